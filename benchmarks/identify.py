"""Enrol people of lfw_people, identify their other photos and strangers, and print how well.

    python benchmarks/identify.py --people 120 --photos 5

The first people by name are enrolled with their first photos through the code of `visavis
enroll --folder`; the people after them are never enrolled: the strangers. A photo counts by its
largest face, whoever that is. Intervals are 95 %, by drawing people, 1,000 times.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis import Recognizer
from visavis.batch import in_order
from visavis.enrollment import Candidate, enroll
from visavis.errors import VisavisError
from visavis.faces import PhotoFaces
from visavis.gallery import Gallery, Templates, open_gallery
from visavis.recognizer import Identification
from visavis.runtime import Device, cores

Floats = NDArray[np.float64]
DRAWS = 1000
ALIKE_AREA = 0.5  # a second face of half the largest one's area: whom is the photo of?


@dataclass(frozen=True)
class Probe:
    """A photo's largest face: what identify says of it, and its embedding."""

    photo: Path
    faces: int
    alike: int  # faces of half the largest one's area or more
    answer: Identification | None  # None: no face was found
    closest: str  # whether close enough or not
    embedding: NDArray[np.float32]


def main() -> None:
    arguments = parse_arguments()
    people = sorted(folder for folder in arguments.data.iterdir() if folder.is_dir())
    known, strangers = people[: arguments.people], people[arguments.people :]
    recognizer = Recognizer.load(device=Device("cpu").for_many())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CONFIG_HOME"] = str(Path(folder) / "config")  # the key goes, too
        gallery = open_gallery(Path(folder) / "gallery")
        enrol(recognizer, gallery, known, arguments.photos)
        templates, _ = gallery.templates(recognizer.embed.parts)
        names = {person.id: person.name for person in gallery.people()}
        owners = [names[person] for person in templates.people]
        others = [photo for one in known for photo in photos(one)[arguments.photos :]]
        unknown = [photo for one in strangers for photo in photos(one)]
        started = time.perf_counter()
        probes = search(recognizer, gallery, others, arguments.rate)
        stranger_probes = search(recognizer, gallery, unknown, arguments.rate)
        spent = time.perf_counter() - started
    print(f"\nidentified: {(len(others) + len(unknown)) / spent:.0f} photos a second")
    print_known(probes)
    print_strangers(stranger_probes, arguments.rate)
    print_combined(templates, owners, probes, stranger_probes)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    research = Path(os.environ.get("VISAVIS_DATA", "../shared"))
    parser.add_argument("--data", type=Path, default=research / "data" / "lfw_people")
    parser.add_argument("--people", type=int, default=120)
    parser.add_argument("--photos", type=int, default=5, help="of each, to enrol")
    parser.add_argument("--rate", type=float, default=1e-2, help="false positive rate asked for")
    return parser.parse_args()


def photos(person: Path) -> list[Path]:
    return sorted(person.glob("*.jpg"))


def enrol(recognizer: Recognizer, gallery: Gallery, known: list[Path], count: int) -> None:
    """Bulk enrolment as the command line does it: photos a second, and refusals by reason."""
    candidates = [
        Candidate(person.name, photo) for person in known for photo in photos(person)[:count]
    ]
    started = time.perf_counter()
    done = list(enroll(recognizer, gallery, candidates, workers=2 * cores()))
    spent = time.perf_counter() - started
    accepted = sum(one.accepted for one in done)
    print(
        f"enrolled {accepted} of {len(done)} photos of {len(gallery.people())} of {len(known)} "
        f"people in {spent:.1f} s: {len(done) / spent:.0f} photos a second on {cores()} cores"
    )
    refused = [one for one in done if not one.accepted]
    print("refused:", dict(Counter(one.reason for one in refused)))
    for one in refused:
        print(f"  {Path(one.photo).name}: {one.reason}: {one.detail}")


def search(recognizer: Recognizer, gallery: Gallery, paths: list[Path], rate: float) -> list[Probe]:
    index = gallery.index(recognizer.embed.parts)
    names = {person.id: person.name for person in gallery.people()}

    def look(path: Path) -> tuple[PhotoFaces, tuple[Identification, ...], NDArray[np.float32]]:
        photo = recognizer.faces(path)
        answers = recognizer.search(photo, gallery, false_positive_rate=rate)
        if not answers:
            return photo, answers, np.zeros(0)
        return photo, answers, recognizer.embed(photo.crops([0], recognizer.detect))[0]

    probes = []
    for path, found in in_order(look, paths, workers=2 * cores()):
        if isinstance(found, VisavisError):
            raise found
        photo, answers, embedding = found
        alike = sum(face.area >= ALIKE_AREA * photo.faces[0].area for face in photo.faces)
        if answers:
            (((closest, _),),) = index.nearest(embedding[None], people=1)
            probes.append(Probe(path, len(answers), alike, answers[0], names[closest], embedding))
        else:
            probes.append(Probe(path, 0, 0, None, "", embedding))
    return probes


def print_known(probes: list[Probe]) -> None:
    seen = [probe for probe in probes if probe.answer]
    right = np.array([probe.closest == probe.photo.parent.name for probe in seen])
    matched = np.array([outcome(probe) == "match" for probe in seen])
    who = [probe.photo.parent.name for probe in seen]
    print(f"known: {len(seen)} of {len(probes)} photos have a face")
    print(f"  rank 1: {interval(right, who)}")
    print(f"  match with the right person: {interval(right & matched, who)}")
    print(f"  match with another person: {interval(~right & matched, who)}")
    for probe, good in zip(seen, right, strict=True):
        if not good:
            print(f"  not right: {described(probe)}")


def print_strangers(probes: list[Probe], rate: float) -> None:
    seen = [probe for probe in probes if probe.answer]
    wrong = np.array([outcome(probe) == "match" for probe in seen])
    policy = seen[0].answer.decision.policy
    print(f"strangers: {len(seen)} of {len(probes)} photos have a face; asked for {rate:g}")
    print(f"  threshold {policy.match.threshold}, shown by the calibration: {policy.supported}")
    print(f"  false positives: {interval(wrong, [p.photo.parent.name for p in seen])}")
    for probe, bad in zip(seen, wrong, strict=True):
        if bad:
            print(f"  taken for somebody: {described(probe)}")


def print_combined(
    templates: Templates, owners: list[str], probes: list[Probe], strangers: list[Probe]
) -> None:
    """Several templates of a person by the best and by the mean, at equal false positive rates."""
    sums = np.add.reduceat(templates.rows, templates.starts, axis=0)
    means = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    known = np.stack([probe.embedding for probe in probes if probe.answer])
    unknown = np.stack([probe.embedding for probe in strangers if probe.answer])
    who = np.array([probe.photo.parent.name for probe in probes if probe.answer])
    lent = np.array(owners)
    counts = np.diff(np.append(templates.starts, len(templates.rows)))
    ways: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
        "best": lambda rows: np.maximum.reduceat(rows @ templates.rows.T, templates.starts, axis=1),
        "mean of similarities": lambda rows: (
            np.add.reduceat(rows @ templates.rows.T, templates.starts, axis=1) / counts
        ),
        "mean template": lambda rows: rows @ means.T,
    }
    rates = (1e-2, 2e-2, 5e-2)
    print("\n| way | rank 1 | " + " | ".join(f"found at {rate:g}" for rate in rates) + " |")
    print("|---|---|" + "---|" * len(rates))
    for way, similar in ways.items():
        near, far = similar(known), np.sort(similar(unknown).max(axis=1))[::-1]
        right = lent[near.argmax(axis=1)] == who
        cells = []
        for rate in rates:
            threshold = far[int(rate * len(far))]  # so many strangers lie above it
            found = right & (near.max(axis=1) > threshold)
            cells.append(f"{100 * found.mean():.2f} % ({threshold:.2f})")
        print(f"| {way} | {100 * right.mean():.2f} % | " + " | ".join(cells) + " |")


def outcome(probe: Probe) -> str:
    return probe.answer.decision.outcome


def described(probe: Probe) -> str:
    two = f", {probe.alike} faces of about one size" if probe.alike > 1 else ""
    return (
        f"{probe.photo.name}: {outcome(probe)} {probe.closest} "
        f"{probe.answer.decision.similarity:.2f}{two}"
    )


def interval(hits: NDArray[np.bool_], who: list[str]) -> str:
    """A share with its 95 % interval, by drawing people with replacement."""
    _, labels = np.unique(who, return_inverse=True)
    good, all_of = np.bincount(labels, hits), np.bincount(labels)
    draws = np.random.default_rng(0).integers(0, len(all_of), (DRAWS, len(all_of)))
    shares: Floats = good[draws].sum(axis=1) / all_of[draws].sum(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5])
    count = f"{int(hits.sum())} of {len(hits)}"
    return f"{count}, {100 * hits.mean():.2f} % ({100 * low:.2f} .. {100 * high:.2f})"


if __name__ == "__main__":
    main()
