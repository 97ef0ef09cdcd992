"""Photos that lie turned, tilted faces, small faces, and what looking for them costs.

    python benchmarks/turned.py [--count 60] [--only decisions|tilts|small|costs|panorama|drawn]

The photos are those of lfw_people ($VISAVIS_DATA/data, or ../shared/data). Each person's first two
photos are a same pair; the second is turned or tilted. A pair is missed below the threshold of the
policy standard, or where no one face is found. No picture is written.

The rules were chosen on the first 60 people: `tilts` takes four pairs of each of the others, and
tilts every other second photo to the left. Intervals are of 95 %, over people.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from visavis.compare import similarity
from visavis.detect import ScanDetector, load_detector
from visavis.faces import find_faces
from visavis.image import read_image
from visavis.metrics.bootstrap import INTERVAL, rate, weighted_means
from visavis.pack import load_pack
from visavis.recognizer import Recognizer
from visavis.runtime import Device
from visavis.turned import TURNS, turned
from visavis.types import Embeddings, Image

CPU = Device("cpu")
TILTS = range(15, 180, 15)
CHOSEN_ON = 60  # people, on whose photos the rules were chosen
PAIRS = 4  # of each of the others
SMALL, PLACE = 40, (3000, 4000)  # pixels of a face, and of the picture that it is in
SHRINK = 0.6  # the share of the picture that a tilted photo takes: its corners stay inside
PARTS = ("decisions", "tilts", "small", "costs", "panorama", "drawn")


def main() -> None:
    """Print each claim's figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60, help="how many pairs")
    parser.add_argument("--small", type=int, default=40, help="how many small faces")
    parser.add_argument("--tilts", type=int, nargs="*", default=[*TILTS], help="degrees")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    shared = Path(os.environ.get("VISAVIS_DATA", "../shared"))
    people = sorted(path for path in (shared / "data" / "lfw_people").iterdir() if path.is_dir())
    pairs = [sorted(person.glob("*.jpg"))[:2] for person in people]
    images = [[read_image(path) for path in pair] for pair in pairs if len(pair) == 2]
    first = [pair[0] for pair in images]
    work: dict[str, Callable[[], None]] = {
        "decisions": lambda: print_decisions(images[: options.count]),
        "tilts": lambda: print_tilts(people[CHOSEN_ON:], options.tilts),
        "small": lambda: print_small(first[: options.small]),
        "costs": lambda: print_costs(first[: options.count]),
        "panorama": print_panorama,
        "drawn": print_drawn,
    }
    for name in [options.only] if options.only else PARTS:
        work[name]()


def print_decisions(pairs: list[list[Image]]) -> None:
    """What is decided of pairs whose second photo lies turned."""
    recognizer = Recognizer.load(device=CPU)
    references = [embedded(recognizer, first) for first, _ in pairs]
    seconds = [second for _, second in pairs]
    upright = matches(recognizer, references, seconds)
    for turn in TURNS[1:]:
        lying = matches(recognizer, references, [turned(image, 360 - turn) for image in seconds])
        same = sum(a == b for a, b in zip(upright, lying, strict=True))
        print(f"turned by {turn:>3}: {same} of {len(pairs)} decided as upright", flush=True)


def print_tilts(people: list[Path], tilts: list[int]) -> None:
    """Same pairs missed at each tilt, beside those missed upright, on people not looked at yet."""
    recognizer = Recognizer.load(device=CPU)
    pairs, whose = [], []
    for number, person in enumerate(people):
        photos = sorted(person.glob("*.jpg"))[: 2 * PAIRS]
        pairs += [(read_image(a), read_image(b)) for a, b in zip(*[iter(photos)] * 2, strict=False)]
        whose += [(number, number)] * (len(pairs) - len(whose))
    references = [embedded(recognizer, first) for first, _ in pairs]
    before = np.zeros(0)
    for tilt in (0, *tilts):
        ways = [tilt * (-1) ** number for number in range(len(pairs))]
        seconds = [tilted_by(image, way) for (_, image), way in zip(pairs, ways, strict=True)]
        answers = matches(recognizer, references, seconds)
        missed = np.array([answer is not True for answer in answers])
        before = before if len(before) else missed.astype(float)
        share = rate(missed, np.array(whose))
        more = np.percentile(weighted_means(missed - before, np.array(whose)), INTERVAL)
        print(
            f"tilted by {tilt:>3}: {share.errors} of {share.trials} missed, {percent(share.value)} "
            f"({percent(share.low)} .. {percent(share.high)}), {answers.count(None)} without a "
            f"face; more than upright {percent(more[0])} .. {percent(more[1])}",
            flush=True,
        )


def percent(share: float) -> str:
    """In words."""
    return f"{100 * share:.2f} %"


def matches(
    recognizer: Recognizer, references: list[Embeddings], images: list[Image]
) -> list[bool | None]:
    """Whether each photo is a match of its reference; None where it has no face. The same as
    `Recognizer.verify` decides, with the references embedded once.
    """
    threshold = recognizer.calibration.policy("standard").match.threshold
    answers: list[bool | None] = []
    for reference, image in zip(references, images, strict=True):
        probe = embedded(recognizer, image)
        answers.append(
            bool(similarity(reference, probe)[0, 0] >= threshold) if len(probe) else None
        )
    return answers


def embedded(recognizer: Recognizer, image: Image) -> Embeddings:
    """The embedding (1, D) of the face that is meant, or (0, D); of two as large, the larger's."""
    photo = recognizer.faces(image)
    return recognizer.embed_faces(photo, photo.certain[:1])


def tilted_by(image: Image, tilt: float) -> Image:
    """A photo tilted clockwise, smaller, on grey ground of its own size."""
    height, width = image.shape[:2]
    way = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -tilt, SHRINK)
    tilted = cv2.warpAffine(image, way, (width, height), borderValue=(120, 120, 120))
    return tilted.astype(np.uint8, copy=False)


def print_small(images: list[Image]) -> None:
    """Faces of SMALL pixels in photos of 12 megapixels: how many are found, and how fast."""
    detect = load_detector(load_pack(), device=CPU)
    draws = np.random.default_rng(0)
    hits, times, shrunk = 0, [], []
    for image in images:
        left, top, right, bottom = detect(image)[0].box
        scale = SMALL / (right - left)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x, y = (int(draws.integers(PLACE[1 - n] - small.shape[1 - n])) for n in (0, 1))
        ground = np.full((*PLACE, 3), 120, np.uint8)
        ground[y : y + small.shape[0], x : x + small.shape[1]] = small
        data = cv2.imencode(".jpg", ground, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        middle = np.array([(left + right) / 2, (top + bottom) / 2]) * scale + (x, y)
        started = time.perf_counter()
        faces = find_faces(detect, data).faces
        times.append(time.perf_counter() - started)
        started = time.perf_counter()
        detect(cv2.resize(ground, (1280, 960)))
        shrunk.append(time.perf_counter() - started)
        hits += any(
            (face.box[:2] < middle).all() and (face.box[2:] > middle).all() for face in faces
        )
    print(
        f"faces of {SMALL} pixels in 12 megapixels: {hits} of {len(images)} found, "
        f"{statistics.median(times):.2f} s each; a look at 1280 pixels alone takes "
        f"{1000 * statistics.median(shrunk):.0f} ms"
    )


def print_costs(images: list[Image]) -> None:
    """How long it takes to find faces with and without angles, by turns in one run."""
    full = load_detector(load_pack(), device=CPU)
    once = replace(full, angles=False)
    nothing = [np.full((*size, 3), 120, np.uint8) for size in ((250, 250), (960, 1280))]
    large = [cv2.resize(image, (1280, 1280), interpolation=cv2.INTER_CUBIC) for image in images]
    for name, pictures in (
        ("upright photos of 250 pixels", images),
        ("upright photos of 1280 pixels", large),
        ("nothing, 250 x 250", nothing[:1] * len(images)),
        ("nothing, 1280 x 960", nothing[1:] * len(images)),
    ):
        print_ratio(name, once, full, pictures)


def print_ratio(name: str, once: ScanDetector, full: ScanDetector, pictures: list[Image]) -> None:
    """The median over pictures of the ratio of two detectors' times, each the best of three."""
    ratios, looks = [], []
    for number, picture in enumerate(pictures):
        best = {id(once): np.inf, id(full): np.inf}
        for repeat in range(6):
            detect = (once, full)[(number + repeat) % 2]
            started = time.perf_counter()
            detect(picture)
            best[id(detect)] = min(best[id(detect)], time.perf_counter() - started)
        ratios.append(best[id(full)] / best[id(once)])
        looks.append(best[id(once)])
    print(
        f"{name}: one look {1000 * statistics.median(looks):.1f} ms, with angles "
        f"{statistics.median(ratios):.3f} times that at the median, "
        f"{np.quantile(ratios, 0.95):.2f} at 95 %"
    )


PANORAMA = """
import resource, sys, numpy as np
from visavis.detect import load_detector
from visavis.faces import find_faces
from visavis.pack import load_pack
photo = find_faces(load_detector(load_pack()), sys.argv[1])
print(len(photo.faces), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def print_panorama() -> None:
    """The memory that a panorama of nothing takes in tiles, in a process of its own."""
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"panorama-{os.getpid()}.jpg"
    cv2.imwrite(str(path), np.full((4000, 16000, 3), 120, np.uint8))
    try:
        started = time.perf_counter()
        child = [sys.executable, "-c", PANORAMA, str(path)]
        said = subprocess.run(child, check=True, capture_output=True, text=True).stdout.split()
    finally:
        path.unlink()
    print(
        f"a panorama of 16000 x 4000 pixels: {said[0]} faces, {int(said[1]) / 1e6:.2f} GB at most, "
        f"{time.perf_counter() - started:.0f} s with start"
    )


def print_drawn() -> None:
    """The scores of drawn faces, from two dots and a line to shaded features."""
    detect = load_detector(load_pack(), device=CPU, min_score=0.01)
    for name, draw in DRAWN.items():
        score = max((face.score for face in detect(draw())), default=0.0)
        print(f"drawn, {name}: score {score:.2f}")


def smiley() -> Image:
    """A yellow disc with two dots and a mouth."""
    image = np.full((400, 400, 3), 255, np.uint8)
    cv2.circle(image, (200, 200), 150, (255, 220, 40), -1)
    for x in (145, 255):
        cv2.circle(image, (x, 160), 18, (30, 30, 30), -1)
    cv2.ellipse(image, (200, 220), (80, 60), 0, 20, 160, (30, 30, 30), 10)
    return image


def lines() -> Image:
    """A face in black lines on white, as in a comic."""
    image = np.full((400, 400, 3), 255, np.uint8)
    cv2.ellipse(image, (200, 200), (115, 150), 0, 0, 360, (0, 0, 0), 4)
    for x in (155, 245):
        cv2.ellipse(image, (x, 175), (26, 13), 0, 0, 360, (0, 0, 0), 3)
        cv2.circle(image, (x, 175), 9, (0, 0, 0), -1)
        cv2.ellipse(image, (x, 150), (32, 12), 0, 200, 340, (0, 0, 0), 5)
    cv2.polylines(image, [np.array([[200, 180], [185, 235], [208, 240]])], False, (0, 0, 0), 3)
    cv2.ellipse(image, (200, 280), (45, 16), 0, 0, 180, (0, 0, 0), 4)
    return image


def shaded() -> Image:
    """The same with skin, hair, lips and soft shadows."""
    image = np.full((400, 400, 3), 200, np.uint8)
    cv2.ellipse(image, (200, 185), (135, 165), 0, 0, 360, (60, 40, 30), -1)
    cv2.ellipse(image, (200, 210), (108, 140), 0, 0, 360, (225, 180, 150), -1)
    for x in (155, 245):
        cv2.ellipse(image, (x, 185), (26, 12), 0, 0, 360, (250, 250, 250), -1)
        cv2.circle(image, (x, 185), 11, (60, 40, 30), -1)
        cv2.ellipse(image, (x, 160), (32, 10), 0, 180, 360, (70, 50, 40), 9)
    cv2.ellipse(image, (200, 245), (22, 12), 0, 0, 180, (180, 130, 105), -1)
    cv2.ellipse(image, (200, 290), (42, 14), 0, 0, 360, (185, 80, 80), -1)
    return cv2.GaussianBlur(image, (0, 0), 3).astype(np.uint8)


DRAWN = {"a smiley": smiley, "black lines": lines, "shaded": shaded}

if __name__ == "__main__":
    main()
