"""What the service costs on top of the library, and what it does when too much is asked.

    python benchmarks/serve.py --photos build/photos --seconds 10
    python benchmarks/serve.py --people 100000

Pairs of the folder's photos are compared by turns: by the library alone in this process, as many
at once as `visavis` has, and by `visavis serve` with 4 clients on the same machine. Then one
client alone, for a request's own time, and four times as many requests a second as 4 clients had
answered, whoever waits for them. With --people the photos are searched for in a gallery of so many
made people instead, by the service alone.

Clients are on the same machine and take their part of it. `GET /v1/health` is asked all the while:
it is answered as soon as the service's event loop gets to it.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from gallery import fill

from visavis.recognizer import Recognizer
from visavis.runtime import Device, cores

BOUNDARY = "a-part-of-the-benchmark"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
MOST_CLIENTS = 100  # more than the service has places: nobody is late to ask
Ask = Callable[[], int]  # its status
Photos = tuple[tuple[str, bytes], ...]  # by field


@dataclass
class Taken:
    """Milliseconds of each answer by status, and how long all took."""

    seconds: float = 0.0
    times: dict[int, list[float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, ask: Ask) -> None:
        began = time.perf_counter()
        status = ask()
        with self.lock:
            self.times.setdefault(status, []).append(1000 * (time.perf_counter() - began))

    def rate(self) -> float:
        return len(self.times.get(200, ())) / self.seconds

    def quantile(self, share: float, status: int = 200) -> float:
        times = sorted(self.times.get(status, [float("nan")]))
        return times[min(len(times) - 1, int(share * len(times)))]


def main() -> None:
    arguments = parse_arguments()
    with TemporaryDirectory() as work:
        os.environ["XDG_CONFIG_HOME"] = work
        photos = [path.read_bytes() for path in sorted(arguments.photos.glob("*.jpg"))]
        measure = measure_identify if arguments.people else measure_verify
        measure(arguments, photos, Path(work) / "gallery")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=Path("build/photos"))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--people", type=int, default=0, help="identify among so many instead")
    return parser.parse_args()


def measure_verify(arguments: argparse.Namespace, photos: list[bytes], folder: Path) -> None:
    """Two photos compared, beside the library alone."""
    pairs = list(zip(photos, [*photos[1:], photos[0]], strict=True))
    with serving(folder) as (process, service):
        recognizer = Recognizer.load(device=Device().for_many())
        ask = asker(service, "/v1/verify", [(("a", a), ("b", b)) for a, b in pairs])
        alone = by_library(recognizer, pairs)
        for work_once in (alone, ask):  # a size of pictures that comes often is compiled anew
            many(work_once, 4, 3)
        rounds = [
            (many(alone, 2 * cores(), arguments.seconds), many(ask, 4, arguments.seconds))
            for _ in range(arguments.rounds)
        ]
        show_rounds(rounds)
        mine = processor_ms(time.process_time, alone, arguments.seconds)
        theirs = processor_ms(lambda: seconds_of(process.pid), ask, arguments.seconds)
        print(
            f"processor for one: library {mine:.0f} ms, service {theirs:.0f} ms: "
            f"{100 * mine / theirs:.0f} %"
        )
        show_load(service, ask, arguments.seconds)


def measure_identify(arguments: argparse.Namespace, photos: list[bytes], folder: Path) -> None:
    """Photos searched for among many people."""
    (part,) = Recognizer.load().embed.parts
    fill(folder, arguments.people, arguments.people, dim=part.dim, model=part.model)
    with serving(folder) as (_, service):
        ask = asker(service, "/v1/identify", [(("images", photo),) for photo in photos])
        many(ask, 4, 3)
        print(f"identify among {arguments.people:,} people")
        show_load(service, ask, arguments.seconds)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A service, and what it says of itself: its address, its key."""
    command = [sys.executable, "-m", "visavis", "serve", "--port", "0", "--json"]
    command += ["--gallery", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            lines = iter(process.stdout.readline, "}\n")
            yield process, json.loads("".join(lines) + "}")
        finally:
            process.terminate()


def by_library(recognizer: Recognizer, pairs: list[tuple[bytes, bytes]]) -> Ask:
    """Compares the next pair."""
    numbers = count()

    def compare() -> int:
        recognizer.verify(*pairs[next(numbers) % len(pairs)])
        return 200

    return compare


def asker(service: dict[str, str], path: str, forms: Sequence[Photos]) -> Ask:
    """Sends the service the next form, on a connection of its own in each thread."""
    bodies = [form(photos) for photos in forms]
    numbers, headers = count(), {**FORM, "Authorization": f"Bearer {service['admin_key']}"}
    connected = connections(service)

    def ask() -> int:
        body = bodies[next(numbers) % len(bodies)]
        return connected("POST", path, body, headers)

    return ask


def connections(service: dict[str, str]) -> Callable[..., int]:
    """Asks, and gives the status; 0 where the connection was lost."""
    mine, place = threading.local(), urlsplit(service["url"]).netloc

    def ask(*request: object) -> int:
        if not hasattr(mine, "connection"):
            mine.connection = http.client.HTTPConnection(place, timeout=60)
        try:
            mine.connection.request(*request)
            answer = mine.connection.getresponse()
            answer.read()
        except (ConnectionError, http.client.HTTPException):
            del mine.connection
            return 0
        return answer.status

    return ask


def form(photos: Photos) -> bytes:
    parts = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; '
        f'filename="{name}.jpg"\r\n\r\n'.encode()
        + photo
        + b"\r\n"
        for name, photo in photos
    )
    return parts + f"--{BOUNDARY}--\r\n".encode()


def many(ask: Ask, clients: int, seconds: float) -> Taken:
    """So many at it for so long, each one after the other."""
    taken, started = Taken(), time.perf_counter()

    def client(_: int) -> None:
        while time.perf_counter() - started < seconds:
            taken.add(ask)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    taken.seconds = time.perf_counter() - started
    return taken


def steadily(ask: Ask, rate: float, seconds: float) -> Taken:
    """So many a second for so long, whether those before are answered or not."""
    taken, numbers, started = Taken(), count(), time.perf_counter()

    def client(_: int) -> None:
        while (due := started + next(numbers) / rate) < started + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            taken.add(ask)

    with ThreadPoolExecutor(MOST_CLIENTS) as pool:
        list(pool.map(client, range(MOST_CLIENTS)))
    taken.seconds = time.perf_counter() - started
    return taken


def processor_ms(count_cpu: Callable[[], float], ask: Ask, seconds: float) -> float:
    """Milliseconds of the processor for one answer, whatever else the machine does."""
    before = count_cpu()
    taken = many(ask, 4, seconds)
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


def show_load(service: dict[str, str], ask: Ask, seconds: float) -> None:
    """One client, four, and four times what four are answered."""
    own, four = many(ask, 1, seconds), many(ask, 4, seconds)
    alone = own.quantile(0.5)
    print(f"one client: p50 {alone:.0f} ms, {own.rate():.1f}/s")
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        took = four.quantile(share)
        print(f"4 clients: {four.rate():.1f}/s, {name} {took:.0f} ms, {took / alone:.1f} of it")
    connected = connections(service)
    with ThreadPoolExecutor(1) as pool:
        meanwhile = pool.submit(steadily, lambda: connected("GET", "/v1/health"), 20, seconds)
        over = steadily(ask, 4 * four.rate(), seconds)
        health = meanwhile.result()
    counts = {status: len(times) for status, times in over.times.items()}
    print(
        f"4 times as many: {over.rate():.1f}/s, {100 * over.rate() / four.rate():.0f} % of 4 "
        f"clients'; answers {counts}; answered p99 {over.quantile(0.99):.0f} ms"
    )
    for name, taken, status in (("refused", over, 503), ("health meanwhile", health, 200)):
        p50, p99 = (taken.quantile(share, status) for share in (0.5, 0.99))
        print(f"{name}: p50 {p50:.0f} ms, p99 {p99:.0f} ms")


if __name__ == "__main__":
    main()
