"""What `visavis evaluate` does with each kind of data set: read it, measure it, print it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visavis.dataset import Pairs, People, Tree
    from visavis.decision import Calibration
    from visavis.evaluate.degrade import DegradedResult
    from visavis.evaluate.protocols import CropSource
    from visavis.evaluate.run import Run, Subject
    from visavis.metrics.acceptance import Acceptance, Required
    from visavis.metrics.cohorts import LabelRates
    from visavis.runtime import Device
    from visavis.types import Detector

from visavis.cli import options, results

LEAST_SCORE = 0.02  # of a detected box, for its average precision: the field's choice
FUSED = "together"
FAR = 1e-2  # at which gains are stated: lists have a few thousand different pairs


@dataclass(frozen=True, slots=True)
class Model:
    """A pack's embedder as what is measured, and its detector where pictures are to be aligned."""

    subject: "Subject"
    detect: "Detector | None"  # None: the pictures are crops

    @property
    def name(self) -> str:
        """What the pack is called."""
        return self.subject.name

    def source(self, tree: "Tree") -> "CropSource":
        """Where its crops come from."""
        from visavis.evaluate.protocols import CropSource

        return CropSource(tree, self.detect)


@dataclass(frozen=True, slots=True)
class Data:
    """Which pictures, and which pairs of them."""

    images: Path | None
    pairs: Path | None
    protocol: str | None
    sample: int
    exclude: Path | None
    skip_bad: bool

    def tree(self) -> "Tree":
        """The pictures."""
        from visavis.dataset import open_tree

        return open_tree(self.named())

    def named(self) -> Path:
        """The pictures' path. Raises DatasetError where it was not given."""
        from visavis.errors import DatasetError

        if self.images is None:
            raise DatasetError("expected --images: a folder, a zip, or an InsightFace .bin")
        return self.images

    def people(self, tree: "Tree") -> "People":
        """A person for every folder, without known label errors."""
        from visavis.dataset import apply_exclusions, find_people

        people = find_people(tree)
        return apply_exclusions(people, self.exclude) if self.exclude else people

    def listed(self) -> tuple["Tree", "Pairs"]:
        """The pictures, and the list of pairs or one drawn from the people."""
        from visavis.dataset.sample import sample_pairs
        from visavis.dataset.verification import open_pairs

        if self.sample:
            tree = self.tree()
            return tree, sample_pairs(self.people(tree), pairs=self.sample)
        return open_pairs(
            self.named(), pairs=self.pairs, protocol=self.protocol, skip_bad=self.skip_bad
        )


@dataclass(frozen=True, slots=True)
class Further:
    """What else is asked of the same pairs."""

    require: str | None
    weights: str | None
    degrade: str | None
    groups: Path | None
    scores: Path | None
    out: Path | None

    def required(self) -> "Required | None":
        """The error rates that must not be exceeded."""
        from visavis.metrics.acceptance import parse_required

        return parse_required(self.require) if self.require else None

    def fixed(self) -> list[float] | None:
        """The weights given. Raises DatasetError for what are no numbers."""
        from visavis.errors import DatasetError

        try:
            return [float(word) for word in self.weights.split(",")] if self.weights else None
        except ValueError:
            raise DatasetError(f"expected weights as in 0.3,0.7, got {self.weights!r}") from None


def load(name: str, device: "Device", *, flip: bool, detector: bool) -> Model:
    """A pack's models, its detector where it is wanted, and what a report says of them."""
    from visavis.detect import load_detector
    from visavis.embed import load_embedder
    from visavis.evaluate.run import Subject
    from visavis.pack import load_pack
    from visavis.pack.calibration import load_calibration

    pack = load_pack(name)
    manifest = pack.manifest
    subject = Subject(
        manifest.name,
        load_embedder(pack, device=device, flip=flip),
        settings={
            "licence": manifest.embedder.origin.licence,
            "training data": manifest.embedder.origin.training_data,
            "detector": manifest.detector.decoder if detector else "none: the pictures are crops",
            "mirrored crop": "added" if flip else "not added",
            "device": device.name,
            "precision": device.precision,
        },
        calibration=load_calibration(pack) if manifest.calibration else None,
        bytes=(pack.folder / manifest.embedder.file).stat().st_size,
    )
    return Model(subject, load_detector(pack, device=device) if detector else None)


def on_pairs(models: Sequence[Model], data: Data, further: Further, *, json: bool) -> bool:
    """Measure a list of pairs; whether what is required is shown."""
    from visavis.evaluate.run import measure

    required, weights = further.required(), further.fixed()
    tree, pairs = data.listed()
    runs = []
    for model in models:
        subject = replace(
            model.subject, settings={"data": str(data.images), **model.subject.settings}
        )
        watch = options.watch(len(pairs.names), f"embedding, {model.name}")
        source = model.source(tree)
        runs.append(measure(subject, source, pairs, skip_bad=data.skip_bad, progress=watch))
    _write(runs, further)
    found = results.Results(runs)
    if len(runs) > 1:
        found.fused, found.compared = _together(runs, weights)
    for model, run in zip(models, runs, strict=True):
        if required is not None:
            found.accepted.append(_accepted(run, required))
        if further.degrade:
            found.degraded.append(_degraded(model, tree, run, further.degrade))
        if further.groups:
            found.groups.append(_groups(run, tree, further.groups))
    results.show(found, json=json)
    return all(accepted.answer == "yes" for accepted in found.accepted)


def on_all_pairs(models: Sequence[Model], data: Data, further: Further, *, json: bool) -> bool:
    """Measure every pair of a folder of people; whether what is required is shown."""
    from visavis.errors import DatasetError
    from visavis.evaluate.all_pairs import evaluate_everyone
    from visavis.evaluate.protocols import embed_people
    from visavis.metrics.acceptance import accept_curve
    from visavis.metrics.calibrate import error_curve

    if any((further.weights, further.degrade, further.groups, further.scores, further.out)):
        raise DatasetError(
            "of all pairs there are figures and --require alone; for the rest draw a list: "
            "--sample 300"
        )
    required = further.required()
    tree = data.tree()
    people = data.people(tree)
    every = []
    for model in models:
        watch = options.watch(len(people.pictures), f"embedding, {model.name}")
        source = model.source(tree)
        kept, embedded = embed_people(
            source, people, model.subject.embed, skip_bad=data.skip_bad, progress=watch
        )
        embeddings = embedded.embeddings[embedded.acquired]
        result = evaluate_everyone(
            embeddings, kept, failures=embedded.failures, skipped=len(embedded.bad)
        )
        accepted = None
        if required is not None:
            threshold = _calibrated(model.subject.calibration, required)
            accepted = accept_curve(error_curve(embeddings, kept), required, threshold=threshold)
        every.append(results.Every(model.name, model.subject.embed.model, kept, result, accepted))
    results.show_every(every, json=json)
    return all(one.accepted is None or one.accepted.answer == "yes" for one in every)


def on_ijb(folder: Path, models: Sequence[Model], *, json: bool, skip_bad: bool) -> None:
    """IJB-B or IJB-C: templates compared and searched for."""
    from visavis.dataset.ijb import read_ijb
    from visavis.evaluate.templates import embed_ijb, ijb_result, pool

    ijb = read_ijb(folder, skip_bad=skip_bad)
    found = {}
    for model in models:
        watch = options.watch(len(ijb.names), f"embedding, {model.name}")
        embedded = embed_ijb(ijb, model.subject.embed, skip_bad=skip_bad, progress=watch)
        found[model.name] = ijb_result(ijb, embedded, pool(ijb, embedded))
    results.show_ijb(found, json=json)


def on_wider(
    folder: Path, packs: Sequence[str], device: "Device", *, json: bool, skip_bad: bool
) -> None:
    """WIDER FACE: average precision of each pack's detector, down to its least certain boxes."""
    from visavis.dataset.wider import read_wider
    from visavis.detect import load_detector
    from visavis.evaluate.wider import detect_all, wider_result
    from visavis.pack import load_pack

    wider = read_wider(folder)
    found = {}
    for name in packs:
        pack = load_pack(name)
        detect = load_detector(pack, device=device, min_score=LEAST_SCORE)
        watch = options.watch(len(wider.names), f"detecting, {pack.manifest.name}")
        boxes, skipped = detect_all(wider, detect, skip_bad=skip_bad, progress=watch)
        found[pack.manifest.name] = wider_result(wider, boxes, skipped=skipped)
    results.show_wider(found, json=json)


def _write(runs: "Sequence[Run]", further: Further) -> None:
    """The files asked for: one each, with the pack's name in it where there are several."""
    from visavis.evaluate.run import save_run, scores_csv
    from visavis.files import write_whole

    for run in runs:
        suffix = f"-{run.about.name}" if len(runs) > 1 else ""
        if further.scores:
            path = further.scores
            write_whole(path.with_stem(path.stem + suffix), scores_csv(run))
        if further.out:
            save_run(further.out.with_stem(further.out.stem + suffix), run)


def _together(
    runs: "Sequence[Run]", weights: Sequence[float] | None
) -> "tuple[results.Fused, list[results.Compared]]":
    """All packs weighed together, and each set beside the best single one."""
    from visavis.errors import MismatchError
    from visavis.metrics.fusion import fuse, gains
    from visavis.metrics.verification import evaluate

    first = runs[0]
    if any(len(run.same) != len(first.same) for run in runs):
        raise MismatchError("the packs could not embed the same pictures: mend those left out")
    fused = fuse([run.similarity for run in runs], first.same, first.fold, weights=weights)
    best = max(runs, key=lambda run: run.about.result.accuracy or 0)
    others = [(run.about.name, run.similarity) for run in runs if run is not best]
    compared = [
        results.Compared(
            name, best.about.name, gains(first.pairs, similarity, best.similarity, far=FAR)
        )
        for name, similarity in [*others, (FUSED, fused.similarity)]
    ]
    result = evaluate(fused.similarity, first.same, folds=first.fold)
    return results.Fused(result, fused.weights.mean(axis=0).tolist()), compared


def _accepted(run: "Run", required: "Required") -> "Acceptance":
    from visavis.metrics.acceptance import accept

    threshold = _calibrated(run.about.calibration, required)
    return accept(run.pairs, run.similarity, required, threshold=threshold)


def _calibrated(calibration: "Calibration | None", required: "Required") -> float | None:
    """The threshold that the pack would be used at, if it has one."""
    return calibration.at(required.false_match_rate).threshold if calibration else None


def _degraded(model: Model, tree: "Tree", run: "Run", names: str) -> "list[DegradedResult]":
    from visavis.evaluate.degrade import degradations, degraded
    from visavis.evaluate.protocols import Embedded

    chosen = degradations(names)
    pairs = run.pairs
    watch = options.watch(len(set(pairs.right.tolist())), "degrading")
    clean = Embedded(run.embeddings, run.acquired)
    return degraded(
        model.source(tree), pairs, model.subject.embed, chosen, clean=clean, progress=watch
    )


def _groups(run: "Run", tree: "Tree", path: Path) -> "list[LabelRates]":
    from visavis.errors import CalibrationError
    from visavis.evaluate.labels import read_cohorts
    from visavis.metrics.cohorts import group_rates

    if run.about.calibration is None:
        raise CalibrationError(f"pack {run.about.name} has no calibration: groups need a threshold")
    threshold = run.about.calibration.policy("standard").match.threshold
    groups = read_cohorts(path, tree.names())
    return group_rates(run.pairs, run.similarity, threshold, groups)
