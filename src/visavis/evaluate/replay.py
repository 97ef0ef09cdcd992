"""Two configurations on the same evidence: the figures of each, and what one gains on the other."""

from dataclasses import dataclass

from visavis.batch import Progress
from visavis.configuration import Configuration, load_members
from visavis.detect import load_detector
from visavis.errors import ConfigurationError, MismatchError
from visavis.evaluate.pairs import PairsData
from visavis.evaluate.protocols import CropSource
from visavis.evaluate.run import Run, Subject, measure
from visavis.metrics.acceptance import Required, accept
from visavis.metrics.bootstrap import Rate
from visavis.metrics.fusion import Gain, gains
from visavis.pack import load_pack
from visavis.runtime import Device

NO_LIMIT = 1 - 1e-9  # of false non-matches: they are counted here, not judged


@dataclass(frozen=True, slots=True)
class Replayed:
    """One configuration on a list of pairs."""

    version: int
    model: str
    left_out: tuple[str, ...]  # packs that did not answer
    accuracy: float | None
    false_match_rate: Rate  # each fold at the threshold that the others chose
    false_non_match_rate: Rate
    failures: int  # pictures without a face


@dataclass(frozen=True, slots=True)
class ReplayedPair:
    """Two configurations, and what the second gains on the first."""

    pairs: int
    asked: float  # the false match rate at which they are compared
    versions: tuple[Replayed, Replayed]
    gains: tuple[Gain, ...]


def replay(
    configurations: tuple[Configuration, Configuration],
    data: PairsData,
    *,
    false_match_rate: float = 1e-3,
    align: bool = False,
    device: Device | None = None,
    progress: Progress = iter,
) -> ReplayedPair:
    """Measure two configurations on the same pairs: of crops, or with `align` of photos in which
    each finds the face itself.

    Every face is compared by all members. Raises DatasetError, ImageError and EmbeddingError for
    bad data, ConfigurationError where too few members can answer, and for a cascade or a least
    quality, which make other decisions; MismatchError where the configurations left out different
    pairs.
    """
    for configuration in configurations:
        _check_rules(configuration)
    tree, pairs = data.open()
    runs, versions = [], []
    for configuration in configurations:
        subject, left_out = _subject(configuration, device or Device(), align=align)
        source = CropSource(tree, subject.detect)
        run = measure(subject, source, pairs, skip_bad=data.skip_bad, progress=progress)
        runs.append(run)
        versions.append(_replayed(configuration, run, left_out, false_match_rate))
    first, second = runs
    if len(first.same) != len(second.same):
        raise MismatchError(
            "the configurations could not embed the same pictures",
            mend="replace the pictures that were left out",
        )
    gained = gains(first.pairs, second.similarity, first.similarity, far=false_match_rate)
    return ReplayedPair(len(first.same), false_match_rate, (versions[0], versions[1]), gained)


def _check_rules(configuration: Configuration) -> None:
    """Raise ConfigurationError where some faces are not compared by all members."""
    picky = [one.pack for one in configuration.members if one.enabled and one.least_quality]
    which = f"configuration {configuration.version}"
    rules = [f"in {which} {pack} asks a quality of faces" for pack in picky]
    rules += [f"{which} asks its first member first, and others only then"] * configuration.cascade
    if rules:
        raise ConfigurationError(
            f"expected configurations by which all members compare every face, but {rules[0]}",
            mend="compare versions without a cascade and a least quality",
        )


def _subject(
    configuration: Configuration, device: Device, *, align: bool
) -> tuple[Subject, tuple[str, ...]]:
    """A configuration as what is measured, and its packs that do not answer."""
    members, detect = load_members(configuration, device), None
    if align:
        detect = load_detector(load_pack(configuration.detecting_pack), device=device)
    subject = Subject(f"configuration {configuration.version}", members.embed, detect=detect)
    return subject, members.configured.left_out


def _replayed(
    configuration: Configuration, run: Run, left_out: tuple[str, ...], rate: float
) -> Replayed:
    accepted = accept(run.pairs, run.similarity, Required(rate, NO_LIMIT))
    return Replayed(
        configuration.version,
        run.about.settings["model"],
        left_out,
        run.about.result.accuracy,
        accepted.false_match_rate,
        accepted.false_non_match_rate,
        run.about.result.failures_to_acquire,
    )
