"""What `visavis evaluate` found, as one JSON document or as tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from visavis.cli import options

if TYPE_CHECKING:
    from visavis.dataset import People
    from visavis.evaluate.degrade import DegradedResult
    from visavis.evaluate.run import Run
    from visavis.evaluate.templates import IjbResult
    from visavis.evaluate.wider import DetectionResult
    from visavis.metrics.acceptance import Acceptance
    from visavis.metrics.bootstrap import Rate
    from visavis.metrics.cohorts import Cell, LabelRates
    from visavis.metrics.fusion import Gain
    from visavis.metrics.verification import Result


@dataclass(frozen=True, slots=True)
class Fused:
    """All packs weighed together."""

    result: "Result"
    weights: list[float]  # mean over the folds


@dataclass(frozen=True, slots=True)
class Compared:
    """One set of answers beside the best single pack's."""

    name: str
    than: str
    gains: "tuple[Gain, ...]"


@dataclass(slots=True)
class Results:
    """All that was measured on a list of pairs; what was not asked for is empty."""

    runs: "list[Run]"
    fused: Fused | None = None
    compared: list[Compared] = field(default_factory=list)
    accepted: "list[Acceptance]" = field(default_factory=list)
    degraded: "list[list[DegradedResult]]" = field(default_factory=list)
    groups: "list[list[LabelRates]]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Every:
    """One pack on all pairs of a folder of people."""

    name: str
    model: str
    people: "People"
    result: "Result"
    accepted: "Acceptance | None"


def show(found: Results, *, json: bool) -> None:
    """Print a list's figures: one document for one pack, a list of them for several."""
    if json:
        documents = [_document(found, place) for place in range(len(found.runs))]
        options.print_json(documents[0] if len(documents) == 1 else _together(found, documents))
        return
    for place in range(len(found.runs)):
        _print_run(found, place)
    if found.fused:
        _print_together(found.fused, found)


def show_every(every: Sequence[Every], *, json: bool) -> None:
    """Print the figures of all pairs."""
    if json:
        documents = [
            {
                **asdict(one.result),
                "model": one.model,
                "people": len(one.people.names),
                "require": asdict(one.accepted) if one.accepted else None,
            }
            for one in every
        ]
        options.print_json(documents[0] if len(documents) == 1 else {"models": documents})
        return
    for one in every:
        people, pictures = len(one.people.names), len(one.people.pictures)
        print(f"{one.result.pairs:,} pairs, all of {pictures:,} pictures of {people:,} people")
        print(one.model)
        _print_result(one.result)
        print(f"no face found in {one.result.failures_to_acquire} pictures")
        if one.result.skipped:
            print(f"left out  {one.result.skipped} bad pictures")
        if one.accepted:
            _print_accepted(one.accepted)


def show_ijb(found: "Mapping[str, IjbResult]", *, json: bool) -> None:
    """Print the figures of templates."""
    if json:
        options.print_json({name: asdict(result) for name, result in found.items()})
        return
    for name, result in found.items():
        print(f"{name}: {result.templates:,} templates of {result.pictures:,} pictures")
        print(f"1:1  {result.verification.pairs:,} pairs")
        _print_result(result.verification)
        _print_rates("TAR, nearest FAR", result.verification.tar_nearest)
        if result.galleries:
            print(f"1:N  {len(result.galleries)} galleries, means")
            _print_rates("rank", result.rank)
            _print_rates("TPIR@FPIR", result.tpir)
        if result.skipped:
            print(f"left out  {result.skipped} bad lines and pictures")


def show_wider(found: "Mapping[str, DetectionResult]", *, json: bool) -> None:
    """Print average precisions."""
    if json:
        options.print_json({name: asdict(result) for name, result in found.items()})
        return
    for name, result in found.items():
        print(f"{name}: WIDER FACE, {result.pictures:,} pictures")
        _print_rates("AP", result.average_precision)


def _document(found: Results, place: int) -> dict[str, Any]:
    run = found.runs[place]
    document = {
        **asdict(run.about.result),
        "model": run.about.settings["model"],
        "milliseconds": run.about.milliseconds,
    }
    for accepted in found.accepted[place : place + 1]:
        document["require"] = asdict(accepted)
    for degraded in found.degraded[place : place + 1]:
        document["degraded"] = [
            {
                "name": one.degradation.name,
                "strength": one.degradation.strength,
                **asdict(one.result),
            }
            for one in degraded
        ]
    for groups in found.groups[place : place + 1]:
        document["groups"] = [asdict(label) for label in groups]
    return document


def _print_run(found: Results, place: int) -> None:
    about = found.runs[place].about
    result = about.result
    print(f"{result.pairs:,} pairs · {about.settings['model']}")
    _print_result(result)
    print(f"no face found in {result.failures_to_acquire} of {len(about.names):,} pictures")
    if result.skipped:
        print(f"left out  {result.skipped} pairs whose line or picture is bad")
    if about.milliseconds is not None:
        print(f"embedding {about.milliseconds:.1f} ms a face")
    for accepted in found.accepted[place : place + 1]:
        _print_accepted(accepted)
    for degraded in found.degraded[place : place + 1]:
        _print_degraded(degraded)
    for groups in found.groups[place : place + 1]:
        _print_groups(groups)


def _together(found: Results, documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "models": documents,
        "together": asdict(found.fused) if found.fused else None,
        "compared": [
            {
                "name": one.name,
                "than": one.than,
                "gains": [{**asdict(gain), "verdict": gain.verdict} for gain in one.gains],
            }
            for one in found.compared
        ],
    }


def _print_result(result: "Result") -> None:
    if result.accuracy is not None and result.accuracy_std is not None:
        spread = f"± {100 * result.accuracy_std:.2f} over the folds"
        print(f"accuracy  {100 * result.accuracy:.2f} % {spread}")
    _print_rates("TAR@FAR", result.tar)
    print(f"EER       {100 * result.eer:.2f} %\nAUC       {100 * result.auc:.3f} %")


def _print_rates(title: str, rates: Mapping[str, float]) -> None:
    for name, value in rates.items():
        print(f"{title} {name}  {100 * value:.2f} %")


def _print_accepted(accepted: "Acceptance") -> None:
    threshold = "" if accepted.threshold is None else f" {accepted.threshold:.4f}"
    print(f"required  {accepted.answer}: at the threshold{threshold} ({accepted.chosen})")
    for title, rate in (
        ("false match rate", accepted.false_match_rate),
        ("false non-match rate", accepted.false_non_match_rate),
    ):
        print(f"  {title:<22}{rate_words(rate)}")


def rate_words(rate: "Rate") -> str:
    """A rate, its interval, and what it was counted in."""
    return (
        f"{100 * rate.value:.3g} % ({100 * rate.low:.3g} .. {100 * rate.high:.3g}), "
        f"{rate.errors:,} of {rate.trials:,}"
    )


def _print_degraded(rows: "Iterable[DegradedResult]") -> None:
    print(f"\n{'probe degraded by':<20}{'accuracy':>10}{'EER':>9}{'strictest TAR':>20}  no face")
    for one in rows:
        result = one.result
        accuracy = f"{100 * result.accuracy:.2f} %" if result.accuracy is not None else ""
        tar = [f"{100 * value:.2f} % @{name}" for name, value in result.tar.items()][-1:] or [""]
        print(
            f"{one.degradation.label:<20}{accuracy:>10}{100 * result.eer:>7.2f} %{tar[0]:>20}"
            f"  {result.failures_to_acquire} of {one.pictures}"
        )


def _print_groups(labels: "Iterable[LabelRates]") -> None:
    for label in labels:
        unlabelled = f"{label.unlabelled} pictures have no value"
        print(f"\n{label.label} ({unlabelled}, {label.across} pairs are across groups)")
        for group in label.groups:
            print(f"  {group.value:<16}{group.pictures} pictures")
            print(f"    false match rate      {_cell_words(group.false_match)}")
            print(f"    false non-match rate  {_cell_words(group.false_non_match)}")
        for title, spread in (
            ("false match rate", label.false_match),
            ("false non-match rate", label.false_non_match),
        ):
            if spread:
                print(
                    f"  {title}: worst {spread.worst}, {spread.worst_to_best:.1f} times the best "
                    f"({spread.best}), {spread.worst_to_mean:.1f} times the geometric mean"
                )


def _cell_words(cell: "Cell") -> str:
    if cell.rate is None:
        return "no such pair"
    return rate_words(cell.rate) + ("" if cell.sufficient else " · insufficient")


def _print_together(fused: Fused, found: Results) -> None:
    names = [run.about.name for run in found.runs]
    shares = ", ".join(
        f"{name} {weight:.2f}" for name, weight in zip(names, fused.weights, strict=True)
    )
    print(f"\ntogether  weights, mean over the folds, each found on the others: {shares}")
    _print_result(fused.result)
    for one in found.compared:
        for gain in one.gains:
            print(
                f"  {one.name} against {one.than}, {gain.figure}: {100 * gain.value:+.2f} points "
                f"({100 * gain.low:+.2f} .. {100 * gain.high:+.2f}): {gain.verdict}"
            )
