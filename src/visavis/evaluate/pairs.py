"""Packs on a list of pairs: the figures of each, how they compare, and what else is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from visavis.batch import Progress
from visavis.dataset import (
    Pairs,
    Tree,
    apply_exclusions,
    find_people,
    open_pairs,
    open_tree,
    sample_pairs,
)
from visavis.dataset.embedded import EmbeddedTree
from visavis.decision import Calibration
from visavis.errors import CalibrationError, DatasetError
from visavis.evaluate.comparison import Comparison, Together, compare_runs
from visavis.evaluate.degrade import Degradation, DegradedResult, degraded
from visavis.evaluate.labels import read_cohorts
from visavis.evaluate.protocols import CropSource, Embedded
from visavis.evaluate.run import Run, Subject, measure, save_run, scores_csv
from visavis.evaluate.subjects import Packs, load_subjects
from visavis.files import write_whole
from visavis.metrics.acceptance import Acceptance, Required, accept
from visavis.metrics.cohorts import LabelRates, group_rates
from visavis.metrics.fusion import check_weights


@dataclass(frozen=True, slots=True)
class PairsData:
    """Pictures, and which pairs of them: of a list, of a protocol, or drawn from people."""

    images: Path  # a folder, a zip, or an InsightFace .bin
    pairs: Path | None = None  # the list; None: the one among the images
    protocol: str | None = None  # FF or FP, where the images are CFP's folders
    sample: int | None = None  # pairs of each kind and fold to draw from a folder of people
    exclude: Path | None = None  # a CSV of known label errors of a folder of people
    skip_bad: bool = False  # leave out bad lines and pictures, and count them

    def open(self) -> tuple[Tree, Pairs]:
        """The pictures and the pairs. Raises DatasetError for what cannot be read."""
        if self.sample is None:
            if self.exclude is not None:
                raise DatasetError(
                    "label errors can be taken out of a folder of people, not out of a list of "
                    "pairs",
                    mend="draw pairs from the people",
                    option="sample",
                )
            return open_pairs(
                self.images, pairs=self.pairs, protocol=self.protocol, skip_bad=self.skip_bad
            )
        tree = open_tree(self.images)
        people = find_people(tree)
        if self.exclude is not None:
            people = apply_exclusions(people, self.exclude)
        return tree, sample_pairs(people, pairs=self.sample)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the pairs beyond their figures."""

    required: Required | None = None  # error rates that must not be exceeded
    weights: tuple[float, ...] | None = None  # of several packs; None: searched
    degradations: tuple[Degradation, ...] = ()
    labels: Path | None = None  # a CSV that labels people or pictures
    scores: Path | None = None  # where to write every similarity, as CSV
    out: Path | None = None  # where to write the run, as .npz

    def __post_init__(self) -> None:
        if self.weights is not None:
            check_weights(self.weights)


FIGURES_ALONE = Asked()


@dataclass(frozen=True, eq=False, slots=True)
class PairsResult:
    """One pack on a list of pairs; None where it was not asked for."""

    run: Run
    acceptance: Acceptance | None = None
    degraded: list[DegradedResult] | None = None
    labels: list[LabelRates] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class PairsEvaluation:
    """All packs on a list of pairs."""

    results: list[PairsResult]
    together: Together | None = None  # None: one pack alone
    comparisons: tuple[Comparison, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether every pack is shown to meet what is required, if anything is."""
        answers = [one.acceptance.answer for one in self.results if one.acceptance is not None]
        return all(answer == "yes" for answer in answers)


def evaluate_pairs(
    data: PairsData, packs: Packs, asked: Asked = FIGURES_ALONE, *, progress: Progress = iter
) -> PairsEvaluation:
    """Measure packs on a list of pairs, compare them, and answer what else is asked.

    Where several packs are measured, the files of `asked` have the pack's name in theirs. Raises
    DatasetError, ImageError and EmbeddingError for bad data, CalibrationError where labels need the
    threshold of a pack without calibration, MismatchError where packs left out different pairs.
    """
    _refuse_lone_weights(packs, asked)
    subjects = load_subjects(packs)
    tree, pairs = data.open()
    runs = [_run(subject, data, tree, pairs, progress) for subject in subjects]
    _write(runs, asked)
    together: Together | None = None
    comparisons: list[Comparison] = []
    if len(runs) > 1:
        together, comparisons = compare_runs(runs, weights=asked.weights)
    results = [
        _answer(run, subject, tree, asked, progress)
        for run, subject in zip(runs, subjects, strict=True)
    ]
    return PairsEvaluation(results, together, tuple(comparisons))


def calibrated_threshold(calibration: Calibration | None, required: Required) -> float | None:
    """The threshold that a pack is used at for a required false match rate; None without one.

    Raises CalibrationError where the calibration cannot show that rate.
    """
    return calibration.at(required.false_match_rate).threshold if calibration else None


def _refuse_lone_weights(packs: Packs, asked: Asked) -> None:
    if asked.weights is not None and len(packs.names) == 1:
        raise DatasetError(
            "expected at least two packs to weigh together, got one",
            mend="name another pack, or leave the weights out",
        )


def _run(subject: Subject, data: PairsData, tree: Tree, pairs: Pairs, progress: Progress) -> Run:
    said = {"data": str(data.images), **subject.settings}
    if isinstance(tree, EmbeddedTree):
        said["detector"] = "none: embedded before"
    named = replace(subject, settings=said)
    source = CropSource(tree, subject.detect)
    return measure(named, source, pairs, skip_bad=data.skip_bad, progress=progress)


def _write(runs: Sequence[Run], asked: Asked) -> None:
    """The files asked for: one a run, with the pack's name in it where there are several."""
    for run in runs:
        suffix = f"-{run.about.name}" if len(runs) > 1 else ""
        if asked.scores is not None:
            write_whole(asked.scores.with_stem(asked.scores.stem + suffix), scores_csv(run))
        if asked.out is not None:
            save_run(asked.out.with_stem(asked.out.stem + suffix), run)


def _answer(
    run: Run, subject: Subject, tree: Tree, asked: Asked, progress: Progress
) -> PairsResult:
    return PairsResult(
        run,
        _acceptance(run, asked.required) if asked.required is not None else None,
        _degraded(run, subject, tree, asked, progress) if asked.degradations else None,
        _labels(run, tree, asked.labels) if asked.labels is not None else None,
    )


def _acceptance(run: Run, required: Required) -> Acceptance:
    threshold = calibrated_threshold(run.about.calibration, required)
    return accept(run.pairs, run.similarity, required, threshold=threshold)


def _degraded(
    run: Run, subject: Subject, tree: Tree, asked: Asked, progress: Progress
) -> list[DegradedResult]:
    return degraded(
        CropSource(tree, subject.detect),
        run.pairs,
        subject.embed,
        asked.degradations,
        clean=Embedded(run.embeddings, run.acquired),
        progress=progress,
    )


def _labels(run: Run, tree: Tree, path: Path) -> list[LabelRates]:
    if run.about.calibration is None:
        raise CalibrationError(
            f"pack {run.about.name} has no calibration: groups need a threshold",
            mend="make one with visavis calibrate",
        )
    threshold = run.about.calibration.policy("standard").match.threshold
    cohorts = read_cohorts(path, tree.names())
    return group_rates(run.pairs, run.similarity, threshold, cohorts)
