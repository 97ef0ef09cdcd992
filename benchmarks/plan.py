"""What many photos and many servers take, from figures measured on one small machine.

    python benchmarks/plan.py [--cores 16] [--price 0.04] [--deaths 0.05] [--change 10]

Prints the tables of docs/scale.md. Embedding is played through: workers take shards, die at random,
and what they had begun is begun again. The rest is arithmetic on MEASURED; docs/experiments.md says
how each figure was come by. Prices are assumptions: give your own.
"""

import argparse
import heapq
from dataclasses import dataclass

import numpy as np

SHARD = 10_000  # photos
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Measured:
    """On two cores with AVX-512 and bf16."""

    photos: float = 26.0  # found, cut, embedded twice a second and core: benchmarks/scale.py
    photo_bytes: float = 2_048 + 400  # of a shard: 512 numbers, and the rest of a row
    ready: float = 13.5e-6  # seconds a template: decrypted and in the index
    resident: float = 780.0  # bytes a template of a server, the index and its process
    search: float = 2 * 2.5e-9  # seconds a template and core, one probe
    sealed: float = 2_600.0  # bytes a template in the database, sealed, with its row and indexes
    catch_up: float = 1.0  # seconds until every server knows a change


MEASURED = Measured()


def embedding(photos: int, workers: int, deaths: float, seed: int = 0) -> tuple[float, float]:
    """Hours until the last shard, and the share of work that was lost to deaths.

    Each worker dies at a rate of `deaths` an hour, and another takes its place within two minutes.
    """
    rng = np.random.default_rng(seed)
    left, seconds = -(-photos // SHARD), SHARD / MEASURED.photos
    free = [(0.0, worker) for worker in range(min(workers, left))]
    heapq.heapify(free)
    lost, ended = 0.0, 0.0
    while left:
        now, worker = heapq.heappop(free)
        dies = now + rng.exponential(HOUR / deaths) if deaths else float("inf")
        if dies < now + seconds:
            lost += dies - now
            heapq.heappush(free, (dies + 120, worker))
        else:
            left -= 1
            ended = max(ended, now + seconds)
            heapq.heappush(free, (now + seconds, worker))
    work = photos / MEASURED.photos
    return ended / HOUR, lost / (work + lost)


def embed_rows(asked: argparse.Namespace) -> list[list[str]]:
    rows = []
    for photos in (10**6, 10**7, 10**8):
        for machines in (1, 10, 100):
            hours, lost = embedding(photos, machines * asked.cores, asked.deaths)
            paid = hours * machines * asked.cores * asked.price
            disk = photos * MEASURED.photo_bytes / 1e9
            rows.append([f"{photos:,}", str(machines), f"{hours:,.1f}", f"{100 * lost:.1f} %",
                         f"{paid:,.0f}", f"{disk:,.0f}"])  # fmt: skip
    return rows


def search_rows(asked: argparse.Namespace) -> list[list[str]]:
    rows = []
    for templates in (10**5, 10**6, 10**7, 10**8):
        seconds = templates * MEASURED.search / asked.cores
        rate = 1e-2 / templates
        rows.append([
            f"{templates:,}", f"{templates * MEASURED.resident / 1e9:,.1f}",
            f"{templates * MEASURED.ready / 60:,.1f}", f"{1000 * seconds:,.2f}",
            f"{min(1 / seconds, 1e5):,.0f}", f"{templates * MEASURED.sealed / 1e9:,.1f}",
            f"{rate:.0e}", f"{3 / rate:.0e}",
        ])  # fmt: skip
    return rows


def server_rows(asked: argparse.Namespace) -> list[list[str]]:
    rows = []
    for servers in (1, 5, 50):
        reads = servers * asked.change
        ready = 10**6 * MEASURED.ready
        at_once = servers * 10**6 * MEASURED.sealed / 1e9
        rows.append([str(servers), f"{reads:,.0f}", f"{MEASURED.catch_up:.0f}", f"{at_once:,.0f}",
                     f"{ready:,.0f}"])  # fmt: skip
    return rows


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    parser.add_argument("--price", type=float, default=0.04, help="of a core and hour")
    parser.add_argument("--deaths", type=float, default=0.05, help="of a worker in an hour")
    parser.add_argument(
        "--change", type=float, default=10.0, help="enrolments and erasures a second"
    )
    asked = parser.parse_args()
    table(
        f"Embedding, machines of {asked.cores} cores; a worker dies {asked.deaths} times an hour",
        ["photos", "machines", "hours", "lost to deaths", f"cost at {asked.price} a core and hour",
         "shards, GB"],
        embed_rows(asked),
    )  # fmt: skip
    table(
        f"One gallery on a server of {asked.cores} cores, 512 numbers a template",
        ["templates", "memory, GB", "ready after, minutes", "one search, ms", "searches a second",
         "database, GB", "rate a comparison must have", "different pairs to show it"],
        search_rows(asked),
    )  # fmt: skip
    table(
        f"Servers of one gallery of a million templates, {asked.change:g} changes a second",
        ["servers", "rows read a second", "seconds until all know",
         "GB read when all start at once", "seconds until one is ready"],
        server_rows(asked),
    )  # fmt: skip


if __name__ == "__main__":
    main()
