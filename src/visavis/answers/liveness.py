"""How often living people are refused and attacks pass, as a document and in words."""

from dataclasses import asdict
from typing import Any

from visavis.liveness.measure import LivenessFigures, Measured


def figures_json(figures: LivenessFigures) -> dict[str, Any]:
    """The document of `liveness calibrate` and `liveness report`."""
    return {**asdict(figures), "species": [asdict(one) for one in figures.species]}


def figures_words(figures: LivenessFigures) -> list[str]:
    """The form, a line each; what was not measured is said."""
    lines = [
        f"live from {figures.band.live:.3f}, spoof up to {figures.band.spoof:.3f}",
        f"BPCER   {_share(figures.bpcer)} of living people are not taken for such",
        f"BPNRR   {_share(figures.bpnrr)} of living people: no face found",
    ]
    if not figures.species:
        return [*lines, "APCER   not measured: what attacks pass, nobody knows"]
    for one in figures.species:
        lines.append(f"APCER   {_share(one.apcer)} of {one.species} pass")
        lines.append(f"APNRR   {_share(one.apnrr)} of {one.species}: no face found")
    worst = figures.worst or "not measured"
    return [
        *lines,
        f"the worst species is what counts: {worst}; of other attacks nobody knows",
        "intervals of 95 %, as if every presentation were another person and another attack",
    ]


def _share(measured: Measured) -> str:
    if measured.rate is None:
        return "not measured: 0"
    return (
        f"{measured.rate:.1%} ({measured.lower:.1%} to {measured.upper:.1%}), {measured.count} of "
        f"{measured.trials},"
    )
