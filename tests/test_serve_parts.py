"""The parts of the service, each by itself: networks in turn, the queue, decoding, certificates."""

import asyncio
import json
import os
import ssl
import stat
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("fastapi")

from made import AngleEmbedder
from made_photos import encoded
from test_image import black_png

from visavis.errors import EmbeddingError, ImageError, ServeError
from visavis.faces import MAX_SIDE
from visavis.image import Limits, open_photo
from visavis.serve import decoding
from visavis.serve.budget import InferenceBudget, SharedEmbedder
from visavis.serve.decoders import DecoderPool
from visavis.serve.decoding import read_message, write_message
from visavis.serve.desk import Desk
from visavis.serve.forms import BodyBudget, plain_name
from visavis.serve.limits import SERVE_LIMITS
from visavis.serve.refusals import Refusal
from visavis.serve.run import ListenAddress, PatientProtocol
from visavis.serve.tls import DAYS, fingerprint, own_certificate

LIMITS = SERVE_LIMITS.photo


def crops(*levels: float) -> np.ndarray:
    return np.stack([np.full((112, 112, 3), level, np.uint8) for level in levels])


class SlowEmbedder(AngleEmbedder):
    """Notes how many crops came together, and waits to be let go."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()

    def __call__(self, crops, /):
        self.batches.append(len(crops))
        assert self.go.wait(5)
        if 13 in crops:
            raise EmbeddingError("expected a finite embedding")
        return super().__call__(crops)


def asked_at_once(shared: SharedEmbedder, slow: SlowEmbedder, levels) -> list[object]:
    """The answers to requests that came while the first one's network ran."""
    answers: list[object] = [None] * len(levels)

    def ask(row: int) -> None:
        try:
            answers[row] = shared(crops(levels[row]))
        except EmbeddingError as error:
            answers[row] = error

    threads = [threading.Thread(target=ask, args=(row,)) for row in range(len(levels))]
    threads[0].start()
    while not slow.batches:
        time.sleep(0.001)
    for thread in threads[1:]:
        thread.start()
    while len(shared._asked) < len(levels) - 1:
        time.sleep(0.001)
    slow.go.set()
    for thread in threads:
        thread.join(5)
    return answers


def test_crops_that_wait_are_embedded_together():
    slow = SlowEmbedder()
    budget = InferenceBudget(1)
    shared = SharedEmbedder(slow, budget)
    levels = [10, 60, 110, 160]
    answers = asked_at_once(shared, slow, levels)
    assert slow.batches == [1, 3]
    for level, rows in zip(levels, answers, strict=True):
        assert np.allclose(rows, AngleEmbedder()(crops(level)))
    assert (budget.active, budget.waiting, budget.peak) == (0, 0, 1)


def test_a_fault_in_what_went_together_is_one_requests_alone():
    slow = SlowEmbedder()
    answers = asked_at_once(SharedEmbedder(slow, InferenceBudget(1)), slow, [10, 60, 13])
    assert isinstance(answers[2], EmbeddingError)
    assert np.allclose(answers[1], AngleEmbedder()(crops(60)))


def test_no_more_networks_run_at_once_than_there_are_cores():
    budget, inside, most = InferenceBudget(2), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        with budget.slot():
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.005)
            with lock:
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert (most[0], budget.peak, budget.active) == (2, 2, 0)


def test_a_full_queue_refuses_at_once_and_heals():
    async def flood() -> list[object]:
        desk, go = Desk(1, 2), threading.Event()

        async def answered() -> object:
            with desk.place():
                return await desk.run(lambda: go.wait(5))

        running = [asyncio.create_task(answered()) for _ in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal) as refused:
            await answered()
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        assert (desk.taken, desk.refused, desk.has_room) == (3, 1, False)
        go.set()
        done = await asyncio.gather(*running)
        assert (desk.taken, desk.has_room) == (0, True)
        assert await answered() is True
        desk.close()
        return done

    assert asyncio.run(flood()) == [True] * 3


def test_bodies_share_a_budget():
    budget = BodyBudget(100)
    with budget.holding(60):
        with pytest.raises(Refusal) as refused, budget.holding(60):
            pass
        assert refused.value.status == 503
    with budget.holding(1000):  # one that is alone is let in: its own limit holds
        assert budget.held == 1000
    assert budget.held == 0


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.jpg", "a.jpg"), ("../../etc/passwd", "passwd"), ("C:\\photos\\a.jpg", "a.jpg"),
        ("a\0b\n.jpg", "ab.jpg"), ("x" * 300, "x" * 100), ("/", ""), ("..", ".."), ("", ""),
    ],
)  # fmt: skip
def test_a_files_name_is_shown_plain(name, plain):
    assert plain_name(name) == plain


@pytest.fixture(scope="module")
def pool():
    """One decoder."""
    decoders = DecoderPool(1, seconds=5)
    yield decoders
    decoders.close()


def test_a_photo_is_decoded_elsewhere_as_here(pool):
    image = np.random.default_rng(0).integers(0, 256, (300, 1400, 3)).astype(np.uint8)
    data = encoded(image, "JPEG", quality=90)
    here, there = open_photo(data), pool.open(data, "a.jpg", LIMITS)
    assert (there.name, there.width, there.height) == ("a.jpg", 1400, 300)
    for side in (MAX_SIDE, 300, None):
        assert (here.decode(max_side=side) == there.decode(max_side=side)).all()


BOMBS = [  # bytes, status or error, in the words
    (lambda: black_png(13_000), Refusal, "the limit is 12000 a side"),
    (lambda: black_png(7_000), Refusal, "40 megapixels"),
    (lambda: b"", ImageError, "empty"),
    (lambda: encoded(np.zeros((9, 9, 3), np.uint8), "GIF"), Refusal, "this is GIF"),
    (lambda: encoded(np.zeros((99, 99, 3), np.uint8))[:99], ImageError, "damaged or cut short"),
]


@pytest.mark.parametrize(("build", "error", "said"), BOMBS)
def test_what_is_no_photo_is_refused_and_the_next_one_is_decoded(pool, build, error, said):
    with pytest.raises(error, match=said):
        pool.open(build(), "a.jpg", LIMITS)
    data = encoded(np.zeros((9, 9, 3), np.uint8))
    assert pool.open(data, "b.png", LIMITS).decode().shape == (9, 9, 3)


@pytest.mark.slow
def test_a_decoder_that_dies_or_hangs_costs_one_request():
    decoders = DecoderPool(1, seconds=2)
    data = encoded(np.zeros((9, 9, 3), np.uint8))
    for signal in ("KILL", "SEGV", "STOP"):
        decoder = decoders._idle.get()
        decoder.ask({"limits": {}, "max_side": 9} | QUESTION, data, 5)
        subprocess.run(["kill", f"-{signal}", str(decoder._process.pid)], check=True)
        decoders._idle.put(decoder)
        started = time.monotonic()
        with pytest.raises(ImageError, match="within the limits of memory and time"):
            decoders.open(data, "a.png", LIMITS)
        assert time.monotonic() - started < 4
        assert decoders.open(data, "a.png", LIMITS).width == 9
    assert decoders.replaced == 3
    decoders.close()


QUESTION = {"limits": {"bytes": 1 << 40, "pixels": 1 << 40, "side": 1 << 20}, "max_side": 9}
# What an attacker would do in a decoder that runs their code.
ATTACKS = {
    "open a file": "open('/etc/passwd')",
    "write a file": "open('/tmp/owned', 'w')",
    "connect": "__import__('socket').socket()",
    "take memory": "bytearray(3_000_000_000)",
}
ATTACKED = """
import socket
from visavis.serve import decoding
{defence}
decoding._warm_up()
decoding.lock_in()
try:
    {attack}
except (OSError, MemoryError) as error:
    print("stopped", type(error).__name__)
else:
    print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="its limits are another system's")
@pytest.mark.parametrize("attack", ATTACKS)
def test_code_in_a_decoder_reaches_nothing(attack, monkeypatch):
    def run(defence: str) -> str:
        program = ATTACKED.format(attack=ATTACKS[attack], defence=defence)
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout

    assert run("").startswith("stopped")
    # The attack itself works: without the lock it is done.
    assert run("decoding.lock_in = lambda: None") == "done\n"


class FakeTransport:
    """A connection that holds so many bytes which were not taken, at each look."""

    def __init__(self, *unread: int) -> None:
        self.unread, self.did = list(unread), ""

    def is_closing(self) -> bool:
        return bool(self.did)

    def get_write_buffer_size(self) -> int:
        return self.unread.pop(0)

    def close(self) -> None:
        self.did = "closed"

    def abort(self) -> None:
        self.did = "aborted"


@pytest.mark.parametrize(
    ("answered", "unread", "did"),
    [
        ([None, None], [0, 0], "closed"),  # no request came
        ([True, True], [0, 0], "closed"),  # none came after the last one
        ([None, False, True], [0, 0, 0], ""),  # one came meanwhile
        ([False, False, False], [0, 0, 0], ""),  # one is being worked on
        ([True, True], [90, 90], "aborted"),  # its answer is not taken
        ([True, True, True], [90, 60, 30], ""),  # it is, slowly
    ],
)
def test_a_connection_is_closed_where_nothing_goes_on(answered, unread, did):
    connection = object.__new__(PatientProtocol)
    connection.transport = FakeTransport(*unread)
    connection.transport.get_protocol = lambda: connection
    connection.loop = SimpleNamespace(call_later=lambda seconds, look: None)
    cycles = {True: SimpleNamespace(response_complete=True), None: None}
    for complete in answered:
        fresh = SimpleNamespace(response_complete=False)
        connection.cycle = fresh if complete is False else cycles[complete]
        connection._look()
    assert connection.transport.did == did


def test_a_message_is_read_as_it_was_written():
    file = BytesIO()
    write_message(file, {"name": "Zoë"}, b"\0\1")
    file.seek(0)
    assert read_message(file) == ({"name": "Zoë"}, b"\0\1")
    with pytest.raises(EOFError):
        read_message(file)


def test_a_decoders_answer_is_a_document():
    question = {"limits": {"bytes": 1, "pixels": 80, "side": 100}, "max_side": 4}
    small = encoded(np.zeros((8, 8, 3), np.uint8))
    head, image = decoding.answer(question, small)
    assert (json.loads(json.dumps(head))["shape"], image.shape) == ([4, 4, 3], (4, 4, 3))
    head, image = decoding.answer(question, encoded(np.zeros((9, 9, 3), np.uint8)))
    assert (head["code"], image.size) == ("too_large", 0)


def test_limits_are_told_by_the_library_too():
    assert LIMITS == Limits(bytes=15_000_000, pixels=40_000_000, side=12_000)


def test_a_certificate_of_ones_own_is_kept_until_it_ends(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = own_certificate("192.168.7.7")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
    mark = fingerprint(path)
    assert len(mark) == 95
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    assert fingerprint(own_certificate("192.168.7.7")) == mark
    later = datetime.now(UTC) + timedelta(days=DAYS - 29)
    assert fingerprint(own_certificate("192.168.7.7", now=later)) != mark
    other = fingerprint(own_certificate("192.168.7.8"))
    assert other != mark
    assert fingerprint(own_certificate("192.168.7.8")) == other


def test_a_certificate_that_is_none_is_said(tmp_path):
    (tmp_path / "a.pem").write_text("no")
    for path in (tmp_path / "a.pem", tmp_path / "none.pem"):
        with pytest.raises(ServeError, match="expected a PEM file"):
            ListenAddress(tls=str(path)).certificate()
    assert ListenAddress().certificate() is None
