"""Images a second that training's loader decodes and changes, against a plain decode loop.

    python benchmarks/loader.py [--images 2000] [--workers N] [--rounds 5]

Crops of noise and gradients as JPEG of quality 95, in a RecordIO that is written for it. Plain is
cv2.imdecode and cv2.cvtColor, one after another in one thread. Rounds alternate; the medians count.
"""

import argparse
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from visavis.convert.crops import made_crops
from visavis.dataset.images import open_images
from visavis.runtime import cores
from visavis.train.classes import ALONE
from visavis.train.data import Loader, look_into
from visavis.train.recipe import Augmentation, Recipe

BATCH = 64


def records(path: Path, count: int) -> list[bytes]:
    """A RecordIO of so many JPEGs, of 100 people; the JPEGs."""
    jpegs = [bytes(cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
             for crop in made_crops(112, 112, count=count)]  # fmt: skip
    with path.open("wb") as file:
        for number, jpeg in enumerate(jpegs):
            body = struct.pack("<IfQQ", 0, number % 100, number, 0) + jpeg
            file.write(struct.pack("<II", 0xCED7230A, len(body)) + body + bytes(-len(body) % 4))
    return jpegs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.rec"
        jpegs = records(path, asked.images)
        images = open_images(path)
        all_ways = Augmentation(0.5, 0.2, 0.2, 0.2)
        loaders = {}
        for name, ways in (("flip", Augmentation()), ("AdaFace's", all_ways)):
            recipe = Recipe(batch=BATCH, augmentation=ways)
            loaders[name] = Loader(look_into(images, recipe), recipe, ALONE)
        steps = asked.images // BATCH

        def plain() -> None:
            for jpeg in jpegs[: steps * BATCH]:
                cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1), cv2.COLOR_BGR2RGB)

        work: dict[str, Callable[[], object]] = {"plain, 1 thread": plain}
        for name, loader in loaders.items():
            for workers in (1, asked.workers):
                work[f"ours, {name}, {workers}"] = lambda loader=loader, workers=workers: [
                    None for _ in loader.batches(0, steps, workers=workers)
                ]
        race(work, asked.rounds, steps * BATCH)


def race(work: dict[str, Callable[[], object]], rounds: int, images: int) -> None:
    """Every way in turn, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    first = statistics.median(seconds["plain, 1 thread"])
    for name, each in seconds.items():
        one = statistics.median(each)
        print(f"{name:>22} {images / one:8.0f} images/s {first / one:6.2f}x plain")


if __name__ == "__main__":
    main()
