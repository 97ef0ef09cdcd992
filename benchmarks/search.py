"""Race the search for the closest people, and print what a large gallery costs to get ready.

    python benchmarks/search.py [--rows 10000 100000 1000000] [--dims 128 512]
    python benchmarks/search.py --store 1000000 [--dims 512]

Rows are random unit vectors, a photo each, three photos a person. A mate is a row turned to a
cosine; an answer counts as right where it is the person that comparing with every row gives. Times
are medians of single probes, and of a probe in batches of 64; ratios are to numpy exact in the same
run. With --store the templates come from an encrypted gallery in a folder that is removed again:
seconds until the first search, memory at its highest, and what it takes to erase people.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import numpy as np

from visavis.gallery import ExactIndex, Index, open_gallery
from visavis.gallery.faiss import FaissIndex

MATES = {128: (0.5,), 512: (0.3, 0.4, 0.5)}
PROBES, BATCH, PHOTOS = 256, 64, 3
CHUNK = 16_384
ERASED = 1000
MADE = "made@0"
# As FAISS writes them; k_factor rows of each are compared again.
PEERS = ("PQ64x4fs,Refine(SQ8)", "RaBitQfs,Refine(SQ8)")
K_FACTOR = 50

Search = Callable[[np.ndarray], list[str]]  # probes to the closest person of each


def main() -> None:
    """Print a table for each size and dimension."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--store", type=int, default=0, help="templates of an encrypted gallery")
    parser.add_argument("--reading", type=Path, help=argparse.SUPPRESS)  # what a child does
    arguments = parser.parse_args()
    if arguments.reading:
        read_store(arguments.reading, arguments.dims[0])
    elif arguments.store:
        for dim in arguments.dims:
            store(arguments.store, dim)
    else:
        for dim in arguments.dims:
            for count in arguments.rows:
                race(count, dim)


def race(count: int, dim: int) -> None:
    """Every engine over the same rows and the same mates."""
    rng = np.random.default_rng(0)
    rows = unit(rng, count, dim)
    mates = {cosine: turned(rng, rows, cosine) for cosine in MATES.get(dim, (0.5,))}
    print(f"\n{count:,} rows of {dim} numbers; mates at a cosine of {[*mates]}")
    print(f"{'':24}{'ready s':>9}{'one ms':>9}{'x':>7}{'of 64 ms':>10}{'x':>7}  the same answer")
    reference, expected = 0.0, {}
    for name, make in engines(rows).items():
        started = time.perf_counter()
        search = make()
        ready = time.perf_counter() - started
        probes = mates[max(mates)]
        one = timed([lambda i=i: search(probes[i : i + 1]) for i in range(31)])
        many = timed([lambda: search(probes[:BATCH])] * 3) / BATCH
        if not expected:
            reference = one
            expected = {cosine: search(rows) for cosine, rows in mates.items()}
        same = {
            cosine: np.mean([a == b for a, b in zip(search(rows), expected[cosine], strict=True)])
            for cosine, rows in mates.items()
        }
        print(
            f"{name:24}{ready:9.1f}{1e3 * one:9.2f}{reference / one:7.1f}{1e3 * many:10.2f}"
            f"{reference / many:7.1f}  "
            + ", ".join(f"{cosine}: {100 * share:.1f} %" for cosine, share in same.items()),
            flush=True,
        )


def engines(rows: np.ndarray) -> dict[str, Callable[[], Search]]:
    """What is raced, by name; numpy exact first."""
    people = [f"{number // PHOTOS:x}" for number in range(len(rows))]
    samples = [str(number) for number in range(len(rows))]
    return {
        "numpy exact": lambda: of_index(ExactIndex(people, samples, rows)),
        "visavis": lambda: of_index(filled(people, samples, rows)),
        **{text: partial(of_faiss, text, people, rows) for text in (*PEERS, "Flat")},
        "RaBitQfs, rows compared": partial(bits_then_rows, people, rows),
    }


def of_index(index: Index) -> Search:
    """Search an index of ours."""
    return lambda probes: [closest[0][0] for closest in index.nearest(probes)]


def filled(people: list[str], samples: list[str], rows: np.ndarray) -> FaissIndex:
    """Ours, filled as a gallery fills it."""
    index = FaissIndex(rows[:CHUNK])
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        index.extend(people[part], samples[part], rows[part])
    return index


def of_faiss(text: str, people: list[str], rows: np.ndarray) -> Search:
    """An index as FAISS makes it from a text."""
    index = faiss.index_factory(rows.shape[1], text, faiss.METRIC_INNER_PRODUCT)
    index.train(rows[:: max(1, len(rows) // CHUNK)])
    for start in range(0, len(rows), CHUNK):
        index.add(rows[start : start + CHUNK])
    if isinstance(index, faiss.IndexRefine):
        index.k_factor = K_FACTOR
    return lambda probes: [people[row] for row in index.search(probes, 5)[1][:, 0]]


def bits_then_rows(people: list[str], rows: np.ndarray) -> Search:
    """A bit a number for a shortlist, which is compared in float32."""
    index = faiss.index_factory(rows.shape[1], "RaBitQfs", faiss.METRIC_INNER_PRODUCT)
    index.train(rows[:CHUNK])
    index.add(rows)

    def search(probes: np.ndarray) -> list[str]:
        near = index.search(probes, min(5 * K_FACTOR, len(rows)))[1]
        pairs = zip(probes, near, strict=True)
        return [people[own[(rows[own] @ probe).argmax()]] for probe, own in pairs]

    return search


def store(count: int, dim: int) -> None:
    """Write an encrypted gallery of so many templates, and let a process of its own read it."""
    from gallery import fill

    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CONFIG_HOME"] = home
        folder = Path(home) / "gallery"
        fill(folder, count, count // PHOTOS, dim=dim)
        print(f"\n{count:,} templates of {dim} numbers, {count // PHOTOS:,} people, encrypted")
        command = [sys.executable, __file__, "--reading", str(folder), "--dims", str(dim)]
        subprocess.run(command, check=True)


def read_store(folder: Path, dim: int) -> None:
    """Open, search, erase people; print seconds and memory."""
    gallery = open_gallery(folder, create=False)
    started = time.perf_counter()
    index = gallery.index(MADE)
    print(f"ready                {time.perf_counter() - started:8.1f} s   (goal 30)")
    print(f"memory at its most   {memory():8.2f} GB  (goal 0.8)   {type(index).__name__}")
    probe = unit(np.random.default_rng(1), 1, dim)
    print(f"one search           {1e3 * timed([lambda: index.nearest(probe)] * 31):8.2f} ms")
    people = [person.id for person in gallery.people()[: ERASED + 1]]
    for some in (people[:1], people[1:]):
        started = time.perf_counter()
        gallery.delete(*some)
        seconds = time.perf_counter() - started
        print(f"{f'{len(some):,} erased at once':21}{seconds:8.2f} s   (goal 5)")
    assert len(gallery.index(MADE)) == len(index)


def memory() -> float:
    """Resident gigabytes of this process at their highest, its libraries included."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9


def unit(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    """Random directions."""
    rows = rng.standard_normal((count, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def turned(rng: np.random.Generator, rows: np.ndarray, cosine: float) -> np.ndarray:
    """PROBES rows, each turned away until its cosine is this."""
    own = rows[rng.integers(0, len(rows), PROBES)]
    away = rng.standard_normal(own.shape, dtype=np.float32)
    away -= np.sum(away * own, axis=1, keepdims=True) * own
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return (cosine * own + np.sqrt(1 - cosine**2) * away).astype(np.float32)


def timed(calls: list[Callable[[], object]]) -> float:
    """Median seconds of a call."""
    seconds = []
    for call in calls:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
