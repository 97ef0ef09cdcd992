"""What the service costs on top of the library, and what it does when too much is asked.

    python benchmarks/serve.py --photos build/photos --seconds 10

Pairs of the folder's photos are compared by turns: by the library alone in this process, as many
at once as `visavis` has, and by `visavis serve` with 4 clients on the same machine. Then one
client alone, for a request's own time, and four times as many clients as the queue holds.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from visavis.recognizer import Recognizer
from visavis.runtime import Device, cores

BOUNDARY = "a-part-of-the-benchmark"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
Pair = tuple[bytes, bytes]


@dataclass
class Taken:
    """Milliseconds of each answer by status, and how long all took."""

    seconds: float
    times: dict[int, list[float]] = field(default_factory=dict)

    def rate(self) -> float:
        return len(self.times.get(200, ())) / self.seconds

    def quantile(self, share: float, status: int = 200) -> float:
        times = sorted(self.times.get(status, [float("nan")]))
        return times[min(len(times) - 1, int(share * len(times)))]


def main() -> None:
    arguments = parse_arguments()
    pairs = pairs_of(arguments.photos)
    with TemporaryDirectory() as work, serving(Path(work)) as (process, url):
        recognizer = Recognizer.load(device=Device().for_many())
        ask = asker(url, pairs)
        alone = by_library(recognizer, pairs)
        for work_once in (alone, ask):  # a size of pictures that comes often is compiled anew
            many(work_once, 4, 3)
        rounds = [
            (many(alone, 2 * cores(), arguments.seconds), many(ask, 4, arguments.seconds))
            for _ in range(arguments.rounds)
        ]
        show_rounds(rounds)
        mine, theirs = (
            processor_ms(count_cpu, work_once, arguments.seconds)
            for count_cpu, work_once in (
                (time.process_time, alone),
                (lambda: seconds_of(process.pid), ask),
            )
        )
        print(
            f"processor for one: library {mine:.0f} ms, service {theirs:.0f} ms: "
            f"{100 * mine / theirs:.0f} %"
        )
        own = many(ask, 1, arguments.seconds)
        four = rounds[-1][1]
        print(f"one client: p50 {own.quantile(0.5):.0f} ms, {own.rate():.1f}/s")
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            times = f"{four.quantile(share):.0f} ms"
            print(
                f"4 clients: {name} {times}, {four.quantile(share) / own.quantile(0.5):.1f} of it"
            )
        show_overload(many(ask, arguments.overload, arguments.seconds), four)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=Path("build/photos"))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--overload", type=int, default=4 * 10 * cores(), help="clients")
    return parser.parse_args()


def pairs_of(folder: Path) -> list[Pair]:
    """The folder's photos, each with the next one."""
    photos = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    return list(zip(photos, [*photos[1:], photos[0]], strict=True))


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service of its own, and its address."""
    command = [sys.executable, "-m", "visavis", "serve", "--port", "0", "--json"]
    command += ["--gallery", str(folder / "gallery")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            lines = iter(process.stdout.readline, "}\n")
            yield process, json.loads("".join(lines) + "}")["url"]
        finally:
            process.terminate()


def by_library(recognizer: Recognizer, pairs: list[Pair]) -> Callable[[], int]:
    """Compares the next pair."""
    numbers = count()

    def compare() -> int:
        recognizer.verify(*pairs[next(numbers) % len(pairs)])
        return 200

    return compare


def asker(url: str, pairs: list[Pair]) -> Callable[[], int]:
    """Asks the service for the next pair, on a connection of its own in each thread."""
    bodies = [form(*pair) for pair in pairs]
    numbers, mine, place = count(), threading.local(), urlsplit(url).netloc

    def ask() -> int:
        if not hasattr(mine, "connection"):
            mine.connection = http.client.HTTPConnection(place, timeout=60)
        body = bodies[next(numbers) % len(bodies)]
        try:
            mine.connection.request("POST", "/v1/verify", body, HEADERS)
            answer = mine.connection.getresponse()
            answer.read()
        except (ConnectionError, http.client.HTTPException):
            del mine.connection
            return 0
        return answer.status

    return ask


def form(a: bytes, b: bytes) -> bytes:
    parts = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; '
        f'filename="{name}.jpg"\r\n\r\n'.encode()
        + photo
        + b"\r\n"
        for name, photo in (("a", a), ("b", b))
    )
    return parts + f"--{BOUNDARY}--\r\n".encode()


def many(work: Callable[[], int], clients: int, seconds: float) -> Taken:
    """So many at it for so long, each one after the other; whoever is refused waits a little."""
    taken, lock = Taken(0.0), threading.Lock()
    started = time.perf_counter()

    def client(_: int) -> None:
        while time.perf_counter() - started < seconds:
            began = time.perf_counter()
            status = work()
            with lock:
                taken.times.setdefault(status, []).append(1000 * (time.perf_counter() - began))
            if status != 200:
                time.sleep(0.2)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    taken.seconds = time.perf_counter() - started
    return taken


def processor_ms(count_cpu: Callable[[], float], work: Callable[[], int], seconds: float) -> float:
    """Milliseconds of the processor for one answer, whatever else the machine does."""
    before = count_cpu()
    taken = many(work, 4, seconds)
    return 1000 * (count_cpu() - before) / len(taken.times[200])


def seconds_of(process: int) -> float:
    """Seconds of the processor that a process and its children have had."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    stats = [
        Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        for one in (str(process), *children)
    ]
    ticks = sum(int(stat[11]) + int(stat[12]) for stat in stats)
    return ticks / os.sysconf("SC_CLK_TCK")


def show_rounds(rounds: list[tuple[Taken, Taken]]) -> None:
    shares = []
    for library, service in rounds:
        shares.append(service.rate() / library.rate())
        print(
            f"library {library.rate():.1f}/s, service {service.rate():.1f}/s with 4 clients: "
            f"{100 * shares[-1]:.0f} %"
        )
    print(f"the median share: {100 * statistics.median(shares):.0f} %")


def show_overload(over: Taken, four: Taken) -> None:
    counts = Counter({status: len(times) for status, times in over.times.items()})
    print(
        f"overload: {over.rate():.1f}/s, {100 * over.rate() / four.rate():.0f} % of 4 clients'; "
        f"answers {dict(counts)}; refused after p50 {over.quantile(0.5, 503):.0f} ms, "
        f"p99 {over.quantile(0.99, 503):.0f} ms; answered p99 {over.quantile(0.99):.0f} ms"
    )


if __name__ == "__main__":
    main()
