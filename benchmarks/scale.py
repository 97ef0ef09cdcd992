"""Photos a second on Ray with one worker and with two, a core each, and without Ray on one thread.

    python benchmarks/scale.py [--photos 600] [--per-shard 20] [--rounds 1]

The photos are those of lfw_people in VISAVIS_DATA, found, cut, flipped and embedded. A run's rate
counts from its first finished shard to its last: a worker's start is told apart.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from visavis.runtime import Device
from visavis.scale.on_ray import embed_on_ray
from visavis.scale.shards import Job, ShardDone, Shards, embed_shards

ONE = Device("cpu", threads=1)


def measured(made: Iterator[ShardDone]) -> tuple[float, float]:
    """Photos a second, and seconds until the first shard."""
    started = time.perf_counter()
    next(made)
    first = time.perf_counter()
    photos = sum(done.photos for done in made)
    return photos / (time.perf_counter() - first), first - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--per-shard", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    os.environ.pop("RAY_ADDRESS", None)
    people = Path(os.environ.get("VISAVIS_DATA", "../shared")) / "data" / "lfw_people"
    photos = sorted(people.rglob("*.jpg"))[: asked.photos]
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "photos.txt"
        manifest.write_text("\n".join(str(photo.absolute()) for photo in photos))
        for number in range(asked.rounds):
            for name, workers in (("no Ray", 0), ("1 worker", 1), ("2 workers", 2)):
                job = Job(manifest, f"{folder}/{number}-{workers}", device=ONE,
                          shard_size=asked.per_shard)  # fmt: skip
                shards = Shards(job)
                made = (
                    embed_on_ray(job, shards.left(), workers) if workers else embed_shards(shards)
                )
                rate, wait = measured(made)
                rates.setdefault(name, []).append(rate)
                print(f"{name}: {rate:.1f} photos a second, the first shard after {wait:.1f} s")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{len(photos)} photos, {asked.rounds} rounds: two workers are "
          f"{medians['2 workers'] / medians['1 worker']:.2f} times one (goal 1.7), one is "
          f"{medians['1 worker'] / medians['no Ray']:.2f} times no Ray")  # fmt: skip


if __name__ == "__main__":
    main()
