"""A gallery's configurations, as JSON documents and in words."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from visavis.answers.counts import counted
from visavis.configuration import Configuration, MemberState
from visavis.decision import Calibration
from visavis.evaluate.replay import ReplayedPair
from visavis.gallery.configurations import History
from visavis.gallery.models import Apart
from visavis.presets import Preset


def configuration_json(configuration: Configuration) -> dict[str, Any]:
    """A configuration as its file has it."""
    return asdict(configuration)


def history_json(history: History) -> dict[str, Any]:
    """The document of `config list`."""
    active = history.active
    return {
        "configurations": [configuration_json(one) for one in history.versions],
        "active": active and active.version,
    }


def history_words(history: History) -> list[str]:
    """A line for each version, the active one marked."""
    if not history.versions:
        return ["no configurations: visavis config new makes one"]
    active = history.active
    return [
        f"{'*' if one == active else ' '} {one.version:>3}  {_members(one)}  {one.at[:19]}  "
        f"{one.author}  {one.description}".rstrip()
        for one in history.versions
    ]


def shown_json(
    configuration: Configuration,
    states: Sequence[MemberState],
    calibration: Calibration | None,
    *,
    active: bool,
) -> dict[str, Any]:
    """The document of `config show`."""
    return {
        **configuration_json(configuration),
        "active": active,
        "models": [
            {
                "pack": state.member.pack,
                "model": state.model or None,
                "slope": state.slope,
                "fault": state.fault or None,
            }
            for state in states
        ],
        "calibration": calibration and calibration.dataset,
    }


def shown_words(
    configuration: Configuration,
    states: Sequence[MemberState],
    calibration: Calibration | None,
    *,
    active: bool,
) -> list[str]:
    """A configuration: its members with weights beside slopes, then its rules."""
    one = configuration
    head = f"configuration {one.version}{', active' if active else ''}: {one.description}"
    lines = [head.rstrip(": "), *([f"  by {one.author}, {one.at[:19]}"] if one.at else [])]
    lines.append(f"  {'pack':<24}{'weight':>8}{'slope':>8}")
    for state in states:
        slope = "-" if state.slope is None else f"{state.slope:.2f}"
        member = state.member
        words = [] if member.enabled else ["disabled"]
        words += [f"{name} at least {least:g}" for name, least in member.least_quality.items()]
        words += [state.fault] if state.fault else [state.model]
        lines.append(f"  {member.pack:<24}{member.weight:>8.3g}{slope:>8}  {'; '.join(words)}")
    measured = "none: every answer is a review; measure these people with visavis calibrate"
    if calibration is not None:
        measured = f"{calibration.dataset}, {calibration.people:,} people"
    return [
        *lines,
        f"  detector            {one.detecting_pack}",
        f"  policy              {one.policy}; a search {one.false_positive_rate:g}",
        f"  review              up to {one.review_factor:g} times that rate",
        f"  least members       {one.least_members}",
        f"  least margin        {one.least_margin:g}",
        f"  cascade             {'yes' if one.cascade else 'no'}",
        f"  calibration         {measured}",
    ]


def added_words(made: Sequence[Configuration], notes: Sequence[str]) -> list[str]:
    """Which versions are new, and what to do next."""
    lines = [f"configuration {one.version}: {_members(one)}" for one in made]
    lines += [f"  not taken over: {note}" for note in notes]
    return [*lines, f"not active yet: visavis config activate {made[-1].version}"]


def activated_json(configuration: Configuration, apart: Apart) -> dict[str, Any]:
    """The document of `config activate` and `config rollback`."""
    return {"active": configuration.version, "stale": asdict(apart)}


def activated_words(configuration: Configuration, apart: Apart) -> list[str]:
    """Which version decides now, and which photos it does not see."""
    lines = [f"configuration {configuration.version} is active: {_members(configuration)}"]
    if apart.photos:
        photos, people = counted(apart.photos, "photo"), "person" if apart.people == 1 else "people"
        lines.append(
            f"{photos} of {apart.people} {people} have no template of its models, and are not "
            "seen: visavis people re-embed makes them of crops that were kept"
        )
    return lines


def compared_json(compared: ReplayedPair) -> dict[str, Any]:
    """The document of `config compare`."""
    return {
        "pairs": compared.pairs,
        "asked": compared.asked,
        "versions": [asdict(version) for version in compared.versions],
        "gains": [{**asdict(gain), "verdict": gain.verdict} for gain in compared.gains],
    }


def compared_words(compared: ReplayedPair) -> list[str]:
    """Each version's figures, then what the second gains on the first."""
    lines = [f"{compared.pairs:,} pairs, at a false match rate of {compared.asked:g}"]
    for one in compared.versions:
        missed = one.false_non_match_rate
        accuracy = "unknown" if one.accuracy is None else f"{100 * one.accuracy:.2f} %"
        interval = f"{100 * missed.low:.2f} .. {100 * missed.high:.2f}"
        lines.append(
            f"  configuration {one.version}: accuracy {accuracy}, missed "
            f"{100 * missed.value:.2f} % ({interval}), no face in {one.failures} pictures · "
            f"{one.model}"
        )
        lines += [f"    without {pack}: it does not answer" for pack in one.left_out]
    first, second = (one.version for one in compared.versions)
    return lines + [
        f"  {second} against {first}, {gain.figure}: {100 * gain.value:+.2f} points "
        f"({100 * gain.low:+.2f} .. {100 * gain.high:+.2f}): {gain.verdict}"
        for gain in compared.gains
    ]


def preset_words(preset: Preset) -> list[str]:
    """Which published models a preset still needs, and what their owners say."""
    return [
        f"visavis pack pull {name}: {one.about}; {one.licence}; trained on "
        f"{one.training_data}; commercial use: {one.commercial}; then make a pack called {name}"
        for name, one in preset.missing.items()
    ]


def _members(configuration: Configuration) -> str:
    return "+".join(
        f"{member.pack}:{member.weight:.3g}{'' if member.enabled else ' (disabled)'}"
        for member in configuration.members
    )
