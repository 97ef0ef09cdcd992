"""How long `visavis find` takes over a folder: the first question, and the second.

    python benchmarks/find.py --photos 10000 --real 500

Copies of lfw_people's photos, each with a byte string of its own behind it, in a temporary folder.
`--real` of them are looked through, timed; the faces of the others are made ones, kept by the same
calls, because looking through 10,000 photos takes minutes. Then the whole command is timed, in a
process of its own, as a user waits for it: three times, for another person each time.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from visavis.embedder import unit
from visavis.facecache import FaceCache, PhotoEmbeddings, models_of
from visavis.pack import load_pack
from visavis.presence import find_in_photos, portrait_embedding
from visavis.recognizer import Recognizer
from visavis.runtime import Device, cores


def main() -> None:
    arguments = parse_arguments()
    sources = sorted((arguments.data / "lfw_people").glob("*/*.jpg"))
    with TemporaryDirectory() as work:
        folder, cache = Path(work) / "photos", Path(work) / "faces.db"
        paths = make_photos(sources, folder, arguments.photos)
        time.sleep(3)  # until the file system's clock has moved on
        real = paths[:: max(1, len(paths) // arguments.real)][: arguments.real]
        print_first(real, sources[0], cache)
        fill(cache, paths)
        for portrait in sources[:30:10]:
            print_question(portrait, folder, cache)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--real", type=int, default=500)
    return parser.parse_args()


def make_photos(sources: list[Path], folder: Path, count: int) -> list[Path]:
    """Photos of different bytes, in folders of a hundred."""
    contents = [path.read_bytes() for path in sources]
    paths = [folder / f"{number // 100:03d}" / f"{number:05d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % len(contents)] + f" copy {number}".encode())
    return paths


def print_first(paths: list[Path], portrait: Path, file: Path) -> None:
    recognizer = Recognizer.load(device=Device("auto").for_many())
    cache = FaceCache(models_of(load_pack()), file)
    wanted = portrait_embedding(recognizer, portrait)
    started, begun = time.perf_counter(), time.process_time()
    find_in_photos(recognizer, wanted, paths, cache=cache, workers=2 * cores())
    seconds, busy = time.perf_counter() - started, time.process_time() - begun
    each = f"{1e3 * busy / len(paths):.0f} ms of processor time each"
    print(f"first question: {len(paths)} photos in {seconds:.1f} s, {each}")
    cache.close()


def fill(file: Path, paths: list[Path]) -> None:
    """Made faces, one or two a photo, for what was not looked through."""
    generator = np.random.default_rng(0)
    cache = FaceCache(models_of(load_pack()), file)
    known = cache.known(paths)
    for path in paths:
        if path not in known:
            rows = unit(
                generator.normal(size=(int(generator.integers(1, 3)), 128)).astype(np.float32)
            )
            stamp, data = cache.stamp(path), path.read_bytes()
            cache.keep(data, PhotoEmbeddings(np.zeros((len(rows), 4), np.float32), rows))
            cache.note_file(path, stamp, data)
    print(
        f"of {len(paths)} photos {len(known)} were looked through, the others' faces are made ones"
    )
    cache.close()


def print_question(portrait: Path, folder: Path, cache: Path) -> None:
    """The whole command, as a user waits for it."""
    words = [sys.executable, "-m", "visavis", "find", portrait, folder, "--cache", cache]
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, text=True, check=False)
    seconds, after = time.perf_counter() - started, os.times()
    busy = sum(after[2:4]) - sum(before[2:4])
    answer = done.stdout.splitlines()[-1]
    print(f"next question: {seconds:.2f} s, {busy:.2f} s of processor time; {answer}")


if __name__ == "__main__":
    main()
