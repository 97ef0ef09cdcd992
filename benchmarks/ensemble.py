"""What two models gain by answering together: the default pack and a converted MobileFaceNet.

    python benchmarks/ensemble.py                        # minutes on two cores
    python benchmarks/ensemble.py --keep build/ensemble  # a second run embeds nothing

LFW's View 2: slopes of each fold from the others. All pairs of LFW without lfw_people, and all of
lfw_people: slopes from the other of the two, so nobody is measured by what was learnt of them.
Needs $VISAVIS_DATA (default ../shared): data and models.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from alternating import race
from numpy.typing import NDArray

from visavis.cascade import ACCEPTED, floor
from visavis.checkpoints.checkpoint import load_checkpoint
from visavis.compare import join_parts
from visavis.convert.export import to_onnx
from visavis.dataset import (
    Pairs,
    People,
    apply_exclusions,
    find_people,
    open_pairs,
    open_tree,
    sample_pairs,
    without,
)
from visavis.decision import Calibration
from visavis.detect import load_detector
from visavis.embedder import load_embedder
from visavis.embedder.ensemble import weighed_parts
from visavis.evaluate.all_pairs import all_similarities
from visavis.evaluate.protocols import CropSource, dot_products, embed_tree
from visavis.metrics.acceptance import Required, accept, accept_curve
from visavis.metrics.calibrate import ErrorCurve, calibrate, error_curve
from visavis.metrics.fusion import fuse, gains
from visavis.metrics.verification import evaluate
from visavis.pack import load_pack
from visavis.runtime import Device
from visavis.types import Crops, Embedder, Embeddings

DATA = Path(os.environ.get("VISAVIS_DATA", "../shared"))
REQUIRED = Required(false_match_rate=1e-3, false_non_match_rate=1e-2)
MEMBERS = ("default", "foamliu")
TOGETHER, CHEAP = "together", "foamliu"
ROUNDS = 10  # of a race
ENROLLED = 120  # of lfw_people's 158; the others are strangers


@dataclass(frozen=True, eq=False, slots=True)
class Measured:
    """Pictures of people, with each member's embeddings."""

    people: People
    rows: dict[str, Embeddings]  # member to (N, D)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="a folder for the embeddings")
    with _folder(parser.parse_args().keep) as folder:
        lfw, pairs, theirs = aligned(folder), *view_2(folder)
        print_pairs("LFW View 2", pairs, theirs)
        photos = photographed(folder)
        slopes = {"LFW": curve_slopes(lfw), "lfw_people": curve_slopes(photos)}
        print_everyone("LFW without lfw_people, all pairs", lfw, slopes["lfw_people"])
        print_everyone("lfw_people, all pairs", photos, slopes["LFW"])
        of_photos = calibrations(photos, slopes["lfw_people"])
        print_cascade("LFW without lfw_people", of_photos, lfw, slopes["lfw_people"])
        of_lfw = calibrations(lfw, slopes["LFW"])
        print_cascade("lfw_people", of_lfw, photos, slopes["LFW"])
        print_speed(print_search(of_lfw, photos, slopes["LFW"]))
        drawn = sample_pairs(photos.people, pairs=600)
        rows = {name: row for row, name in enumerate(photos.people.pictures)}
        places = [rows[name] for name in drawn.names]
        print_pairs(
            "lfw_people, 12,000 pairs drawn",
            drawn,
            {
                member: dot_products(embeddings[places], drawn.left, drawn.right)
                for member, embeddings in photos.rows.items()
            },
        )


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is None:
        with TemporaryDirectory() as made:
            yield Path(made)
    else:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept


def embedders() -> dict[str, Embedder]:
    """Both members, with the mirrored crop added."""
    checkpoint = load_checkpoint(DATA / "models" / "mobilefacenet_foamliu.pt")
    return {
        "default": load_embedder(load_pack(), device=Device()),
        "foamliu": to_onnx(checkpoint).embedder(device=Device()),
    }


def embed(source: CropSource, names: tuple[str, ...], file: Path) -> dict[str, Embeddings]:
    """Each member's rows, zeros where no face was found; from the file, where it is there."""
    if not file.exists():
        rows: dict[str, Embeddings] = {}
        for member, embedder in embedders().items():
            crops = Counted(embedder)
            embedded = embed_tree(source, names, crops).embeddings
            rows[member] = embedded
            print(f"{file.stem}, {member}: {1000 * crops.seconds / crops.count:.2f} ms a crop")
        np.savez(file, **rows)
    with np.load(file) as kept:
        return {member: kept[member] for member in MEMBERS}


class Counted:
    """An embedder that says how long its crops took."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder, self.model, self.dim = embedder, embedder.model, embedder.dim
        self.parts, self.count, self.seconds = embedder.parts, 0, 0.0

    def __call__(self, crops: Crops, /) -> Embeddings:
        started = time.perf_counter()
        rows = self.embedder(crops)
        self.seconds += time.perf_counter() - started
        self.count += len(crops)
        return rows


def aligned(folder: Path) -> Measured:
    """LFW's crops without the people of lfw_people and without its known label errors."""
    tree = open_tree(DATA / "data" / "lfw_aligned_112.zip")
    everyone = find_people(tree)
    rows = embed(CropSource(tree), everyone.pictures, folder / "lfw.npz")
    place = {name: row for row, name in enumerate(everyone.pictures)}
    corrected = apply_exclusions(everyone, Path(__file__).with_name("lfw_label_errors.csv"))
    kept = without(corrected, {one.name for one in (DATA / "data" / "lfw_people").iterdir()})
    places = [place[name] for name in kept.pictures]
    return Measured(kept, {member: embedded[places] for member, embedded in rows.items()})


def view_2(folder: Path) -> tuple[Pairs, dict[str, NDArray[np.float64]]]:
    """LFW's 6,000 pairs, and each member's similarities."""
    tree, pairs = open_pairs(DATA / "data" / "lfw_aligned_112.zip")
    everyone = find_people(tree)
    rows = embed(CropSource(tree), everyone.pictures, folder / "lfw.npz")
    place = {name: row for row, name in enumerate(everyone.pictures)}
    places = [place[name] for name in pairs.names]
    return pairs, {
        member: dot_products(embedded[places], pairs.left, pairs.right)
        for member, embedded in rows.items()
    }


def photographed(folder: Path) -> Measured:
    """lfw_people's photos, in which the default pack's detector finds the face."""
    tree = open_tree(DATA / "data" / "lfw_people")
    everyone = find_people(tree)
    source = CropSource(tree, load_detector(load_pack()))
    rows = embed(source, everyone.pictures, folder / "lfw_people.npz")
    seen = np.linalg.norm(rows[MEMBERS[0]], axis=1) > 0
    print(f"lfw_people: no face in {int((~seen).sum())} of {len(seen)} photos")
    return Measured(everyone.keep(seen), {member: one[seen] for member, one in rows.items()})


def curve_slopes(measured: Measured) -> dict[str, float]:
    """Each member's slope on these people, as its pack's calibration would have it."""
    return {
        member: error_curve(rows, measured.people, draws=2).slope
        for member, rows in measured.rows.items()
    }


def fused(rows: dict[str, Embeddings], slopes: dict[str, float]) -> Embeddings:
    """Both members together, of equal weight, as `visavis.embedder.Ensemble` joins them."""
    models = [(member, rows[member].shape[1]) for member in MEMBERS]
    return join_parts(rows, weighed_parts(models, [0.5 * slopes[member] for member in MEMBERS]))


def print_pairs(title: str, pairs: Pairs, rows: dict[str, NDArray[np.float64]]) -> None:
    """Accuracy and false non-match rate of each, and what both together gain over the better."""
    together = fuse(list(rows.values()), pairs.same, pairs.fold, weights=(0.5, 0.5)).similarity
    print(f"\n{title}: {len(pairs.same):,} pairs")
    every = {**rows, TOGETHER: together}
    for name, similarity in every.items():
        result = evaluate(similarity, pairs.same, folds=pairs.fold)
        acceptance = accept(pairs, similarity, REQUIRED)
        missed = acceptance.false_non_match_rate
        print(
            f"  {name:<9} accuracy {100 * (result.accuracy or 0):.2f} %, missed at a false match "
            f"rate of 1e-3 {100 * missed.value:.2f} % ({100 * missed.low:.2f} .. "
            f"{100 * missed.high:.2f}), fmr=1e-3,fnmr=1e-2: {acceptance.answer}"
        )
    for member, similarity in rows.items():
        for gain in gains(pairs, together, similarity, far=REQUIRED.false_match_rate):
            print(
                f"  together over {member}: {gain.figure} {100 * gain.value:+.2f} points "
                f"({100 * gain.low:+.2f} .. {100 * gain.high:+.2f}): {gain.verdict}"
            )


def print_everyone(title: str, measured: Measured, slopes: dict[str, float]) -> None:
    """What is missed at 1e-3, kept at the interval's end, and whether that is shown to be 1e-2."""
    people = measured.people
    print(f"\n{title}: {len(people.pictures):,} photos of {len(people.names):,} people")
    print("  slopes", ", ".join(f"{member} {slope:.1f}" for member, slope in slopes.items()))
    for name, rows in {**measured.rows, TOGETHER: fused(measured.rows, slopes)}.items():
        print_curve(name, error_curve(rows, people))


def calibrations(measured: Measured, slopes: dict[str, float]) -> tuple[Calibration, Calibration]:
    """Of the cheap member alone, and of both together."""

    def made(name: str, rows: Embeddings) -> Calibration:
        return calibrate(
            error_curve(rows, measured.people),
            model=name,
            dataset="others",
            data_sha256="0" * 64,
            people=len(measured.people.names),
        )

    return made(CHEAP, measured.rows[CHEAP]), made(TOGETHER, fused(measured.rows, slopes))


def print_cascade(
    title: str,
    known: tuple[Calibration, Calibration],
    measured: Measured,
    slopes: dict[str, float],
) -> None:
    """The cheap member first, then both: how many pairs it decides, and the errors of the whole, at
    thresholds from other people.
    """
    labels = measured.people.labels
    first, same = all_similarities(measured.rows[CHEAP], labels)
    both, _ = all_similarities(fused(measured.rows, slopes), labels)
    print(f"\nCascade on {title}, all pairs, {CHEAP} first")
    for rate in (1e-2, 1e-3, 1e-4):
        print_steps(rate, *known, (first, both, same))


def print_search(
    known: tuple[Calibration, Calibration], measured: Measured, slopes: dict[str, float]
) -> float:
    """A search: 120 people of 5 photos, their other photos and 38 strangers as probes; the share
    of probes that the cheap member decides.
    """
    labels, rows = measured.people.labels, fused(measured.rows, slopes)
    place = np.array([int((labels[:row] == label).sum()) for row, label in enumerate(labels)])
    enrolled = (labels < ENROLLED) & (place < 5)
    best = []
    for one in (measured.rows[CHEAP], rows):
        alike = one[~enrolled] @ one[enrolled].T
        best.append((alike.max(axis=1), labels[enrolled][alike.argmax(axis=1)]))
    (alone, alone_who), (both, both_who) = best
    probes, rate = labels[~enrolled], 1e-2 / int(enrolled.sum())
    stranger = probes >= ENROLLED
    step, rest = (
        one.search_policy(rate * share)
        for one, share in zip(known, (ACCEPTED, 1 - ACCEPTED), strict=True)
    )
    points = known[1].search_policy(rate)
    high = step.match.threshold if step.supported else 2.0
    sure = (alone >= high) | (alone < floor(known[0], rest))
    who = np.where(sure, alone_who, both_who)
    matched = np.where(sure, alone >= high, both >= rest.match.threshold)
    print(f"\nCascade in a search, {enrolled.sum()} templates, false positive rate 1e-2")
    for name, match, person in (
        ("all members", both >= points.match.threshold, both_who),
        ("cascade", matched, who),
    ):
        wrong = ~(match & (person == probes))[~stranger]
        print(
            f"  {name:<12} strangers taken for somebody {int(match[stranger].sum())} of "
            f"{stranger.sum()}, missed {int(wrong.sum())} of {(~stranger).sum()}"
        )
    print(
        f"  the first decides {100 * sure[stranger].mean():.1f} % of strangers, "
        f"{100 * sure[~stranger].mean():.1f} % of the others",
        flush=True,
    )
    return float(sure.mean())


def print_speed(share: float) -> None:
    """Milliseconds to embed a face, with and without the cascade."""
    crops = np.random.default_rng(0).integers(0, 256, (16, 112, 112, 3), np.uint8)
    both = embedders()
    calls = [partial(both[member], crops) for member in (CHEAP, MEMBERS[0])]
    cheap, other = (statistics.median(one) / 16 for one in race(*calls, rounds=ROUNDS))
    cascade = cheap + (1 - share) * other
    print(
        f"  to embed a face: all members {cheap + other:.1f} ms, cascade {cascade:.1f} ms, "
        f"x{(cheap + other) / cascade:.2f} ({CHEAP} {cheap:.1f}, {MEMBERS[0]} {other:.1f})"
    )


def print_steps(
    rate: float,
    first: Calibration,
    whole: Calibration,
    pairs: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    """One false match rate: as `visavis.recognizer` shares it out."""
    alone, both, same = pairs
    points = whole.search_policy(rate)
    if not points.supported:
        print(f"  {rate:.0e}: these people cannot show it")
        return
    step, rest = first.search_policy(rate * ACCEPTED), whole.search_policy(rate * (1 - ACCEPTED))
    high = step.match.threshold if step.supported else 2.0
    low = floor(first, rest)
    sure = (alone >= high) | (alone < low)
    matched = np.where(sure, alone >= high, both >= rest.match.threshold)
    plain = both >= points.match.threshold
    for name, answers in (("all members", plain), ("cascade", matched)):
        print(
            f"  {rate:.0e} {name:<12} false matches {answers[~same].mean():.2e}, missed "
            f"{100 * (~answers[same]).mean():.2f} %",
            end="" if name == "cascade" else "\n",
        )
    print(
        f"; the first decides {100 * sure[~same].mean():.1f} % of strangers' pairs, "
        f"{100 * sure[same].mean():.1f} % of the others (below {low:.3f}, from {high:.3f})",
        flush=True,
    )


def print_curve(name: str, curve: ErrorCurve) -> None:
    acceptance = accept_curve(curve, REQUIRED)
    matched, missed = acceptance.false_match_rate, acceptance.false_non_match_rate
    print(
        f"  {name:<9} at {acceptance.threshold:.4f}: false matches {matched.value:.2e} (to "
        f"{matched.high:.2e}), missed {100 * missed.value:.2f} % ({100 * missed.low:.2f} .. "
        f"{100 * missed.high:.2f}) of {missed.trials:,}; fmr=1e-3,fnmr=1e-2: {acceptance.answer}",
        flush=True,
    )


if __name__ == "__main__":
    main()
