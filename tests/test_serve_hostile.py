"""Clients that mean no good: bodies without end, slow ones, fields by the million."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from served import Served, made_calibration, made_recognizer, png, served
from test_serve_cli import serving

from visavis.gallery import open_gallery
from visavis.serve import doorman, forms, run
from visavis.serve.limits import ServeLimits
from visavis.serve.rest.photos import VERIFY

BOUNDARY = "x" * 20
FORM = f"multipart/form-data; boundary={BOUNDARY}"
MEGABYTE = 1_000_000


def sent(site: Served, head: str, chunks, *, seconds: float = 20) -> tuple[str, int]:
    """The first line that comes back, and how many bytes were taken, to what is sent raw."""
    count = 0
    with socket.create_connection(("127.0.0.1", site.port), timeout=seconds) as connection:
        connection.sendall(f"{head}Host: localhost\r\n\r\n".encode())
        connection.settimeout(0.05)
        answer = b""
        with suppress(ConnectionError):
            for chunk in chunks:
                with suppress(TimeoutError):
                    connection.sendall(chunk)
                count += len(chunk)
                with suppress(TimeoutError):
                    connection.settimeout(0.0005)
                    answer += connection.recv(4096)
                    break
        connection.settimeout(seconds)
        with suppress(ConnectionError):
            while b"\r\n" not in answer and (more := connection.recv(4096)):
                answer += more
    return answer.partition(b"\r\n")[0].decode(), count


def post(length: str, kind: str = FORM) -> str:
    return f"POST /v1/verify HTTP/1.1\r\nContent-Type: {kind}\r\n{length}\r\n"


def part(name: str, data: bytes = b"") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return head.encode() + data + b"\r\n"


def file_without_end():
    yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'.encode()
    for _ in range(6000):
        yield bytes(100_000)


def a_million_fields():
    for _ in range(1000):
        yield b"".join(part(str(n)) for n in range(1000))


def as_chunks(parts):
    """As HTTP sends what has no length."""
    for one in parts:
        yield f"{len(one):x}\r\n".encode() + one + b"\r\n"


def test_a_body_that_says_it_is_too_large_is_refused_unread(site):
    line, count = sent(site, post("Content-Length: 600000000"), [b""])
    assert (line.split()[1], count) == ("413", 0)


@pytest.mark.slow
def test_a_body_without_length_is_refused_at_its_limit(site):
    line, count = sent(site, post("Transfer-Encoding: chunked"), as_chunks(file_without_end()))
    assert line.split()[1] == "413"
    assert count < 60 * MEGABYTE


@pytest.mark.slow
def test_a_million_fields_are_refused_early(site):
    fields = as_chunks(a_million_fields())
    line, count = sent(site, post("Transfer-Encoding: chunked"), fields)
    assert line.split()[1] == "400"
    assert count < 10 * MEGABYTE


ODD = [  # content type, body, status
    ("application/json", b"[" * 100_000, 415),
    ("multipart/form-data", part("a"), 400),
    (FORM, b"", 422),
    (FORM, b"no form", 400),
    (FORM, part("a", b"data:image/png;base64,AAAA") + f"--{BOUNDARY}--\r\n".encode(), 422),
    (FORM, part("a", b"x" * 30_000) + f"--{BOUNDARY}--\r\n".encode(), 400),
    ("multipart/form-data; boundary=\xe4", part("a"), 400),
    ("application/x-www-form-urlencoded", b"a=1", 415),
]


@pytest.mark.parametrize(("kind", "body", "status"), ODD)
def test_what_is_no_form_is_refused(site, kind, body, status):
    headers = [(b"content-type", kind.encode("latin-1"))]
    answer = site.http.post("/v1/verify", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"code", "message", "mend", "request_id"}


def test_a_body_that_stalls_is_given_up(site, monkeypatch):
    monkeypatch.setattr(VERIFY, "limits", ServeLimits(patience=0.2))
    started = time.monotonic()
    line, _ = sent(site, post("Content-Length: 100000"), [part("a")])
    assert line.split()[1] == "408"
    assert time.monotonic() - started < 5
    assert site.service.bodies.held == 0


@pytest.mark.slow
def test_a_stalled_body_would_wait_for_ever_without_that_limit(site, monkeypatch):
    async def patient(stream, most, limits):
        async for chunk in stream:
            yield chunk

    monkeypatch.setattr(VERIFY, "limits", ServeLimits(patience=0.2))
    monkeypatch.setattr(forms, "bounded", patient)
    with pytest.raises(TimeoutError):
        sent(site, post("Content-Length: 100000"), [part("a")], seconds=1)


@pytest.mark.slow
def test_a_connection_that_brings_no_request_is_closed(site):
    with socket.create_connection(("127.0.0.1", site.port), timeout=25) as connection:
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: local")
        started = time.monotonic()
        assert connection.recv(100) == b""
        assert 7 < time.monotonic() - started < 20


@pytest.mark.parametrize(
    "raw", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"x" * 50_000]
)
def test_what_is_no_http_is_answered_400_or_closed(site, raw):
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(raw + b"\r\n\r\n")
        assert b" 400 " in connection.recv(4096)
    assert site.http.get("/v1/health").status_code == 200


@contextmanager
def stalled(site: Served, count: int) -> Iterator[None]:
    """So many clients that begin a form, and do not go on."""
    before = site.service.desk.taken
    with ExitStack() as stack:
        for _ in range(count):
            address = ("127.0.0.1", site.port)
            connection = stack.enter_context(socket.create_connection(address))
            head = post("Content-Length: 100000") + "Host: localhost\r\n\r\n"
            connection.sendall(head.encode() + part("a"))
        until(lambda: site.service.desk.taken == before + count)
        yield
    until(lambda: site.service.desk.taken == before)


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


UNSENT = ["/v1/verify", "/v1/people", "/v1/people:import", "/identify", "/"]


@pytest.mark.parametrize("path", UNSENT)
def test_a_form_that_finds_no_place_is_refused_unread(site, path):
    """Nothing of the body was sent: whoever waits for it does not answer."""
    head = post("Content-Length: 100000").replace("/v1/verify", path)
    with stalled(site, site.service.desk.places):
        assert site.http.get("/v1/ready").status_code == 503
        line, _ = sent(site, head, [b""], seconds=5)
        assert line.split()[1] == "503"
    assert site.http.get("/v1/ready").status_code == 200
    assert site.post("/v1/detect", ("images", png())).status_code == 200


def test_without_places_a_form_is_waited_for_when_all_are_taken(site, monkeypatch):
    with stalled(site, site.service.desk.places):
        monkeypatch.setattr(doorman.Doorman, "_let_in", lambda door, headers, held: None)
        with pytest.raises(TimeoutError):
            sent(site, post("Content-Length: 100000"), [b""], seconds=0.2)


def test_a_client_that_hangs_up_leaves_nothing_behind(site):
    before = site.service.bodies.held
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", site.port)) as connection:
            head = post("Content-Length: 100000") + "Host: localhost\r\n\r\n"
            connection.sendall(head.encode() + part("a"))
    end = time.monotonic() + 5
    while site.service.bodies.held > before and time.monotonic() < end:
        time.sleep(0.01)
    assert (site.service.bodies.held, site.service.desk.taken) == (before, 0)


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.timeout(300)
def test_what_was_acknowledged_outlives_a_kill_under_load(cache, tmp_path, portraits):
    """kill -9 while several clients enrol: a retry with the same key makes nobody twice."""
    photos = [(portraits / name).read_bytes() for name in ("obama.jpg", "biden.jpg")]
    folder, acknowledged, lock = tmp_path / "gallery", {}, threading.Lock()
    key = ""
    for turn in range(3):
        with serving(folder) as (process, said):
            key = said["admin_key"] or key

            def enrol(client: int, url=said["url"], turn=turn, key=key) -> None:
                for number in range(100):
                    name = f"{turn} {client} {number}"
                    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": name}
                    data = {"name": name, "anyway": "true"}
                    files = {"images": ("a.jpg", photos[client % 2])}
                    with suppress(httpx.TransportError):
                        made = httpx.post(
                            f"{url}/v1/people", data=data, files=files, headers=headers, timeout=30
                        )
                        assert made.status_code == 201, made.text
                        with lock:
                            acknowledged[name] = made.json()["person"]["id"]
                        continue
                    return

            clients = [threading.Thread(target=enrol, args=(n,)) for n in range(3)]
            for client in clients:
                client.start()
            end = time.monotonic() + 30
            while len(acknowledged) < 4 * (turn + 1) and time.monotonic() < end:
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)
            for client in clients:
                client.join(60)
    gallery = open_gallery(folder)
    there = {person.name: person for person in gallery.people()}
    assert len(acknowledged) >= 12
    assert {name: there[name].id for name in acknowledged} == acknowledged
    assert gallery.damage() is None
    # Whoever has a name has a photo, but for one a client of a turn: between the two.
    assert sum(not person.samples for person in there.values()) <= 9
    gallery.close()


def memory(process: int) -> int:
    """Bytes of a process that are in memory."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


READS_MEMORY = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read from /proc"
)


@pytest.mark.slow
@READS_MEMORY
@pytest.mark.parametrize("body", [file_without_end, a_million_fields])
def test_large_bodies_leave_memory_flat_and_no_file(site, tmp_path, monkeypatch, body):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sent(site, post("Transfer-Encoding: chunked"), as_chunks(body()))
    before = memory(os.getpid())
    for _ in range(5):
        sent(site, post("Transfer-Encoding: chunked"), as_chunks(body()))
    assert memory(os.getpid()) - before < 64 * MEGABYTE
    assert list(tmp_path.iterdir()) == []
    assert site.post("/v1/verify", ("a", png()), ("b", png(seed=1))).status_code == 200


@pytest.mark.slow
def test_a_request_that_was_begun_ends_although_the_service_is_stopped(cache, tmp_path):
    began, made = threading.Event(), made_recognizer(made_calibration())

    def slowly(image):
        began.set()
        time.sleep(0.5)
        return made.detect(image)

    with served(replace(made, detect=slowly), tmp_path / "gallery") as site:
        answers = []
        files = {"images": ("a.png", png())}
        url = f"{site.http.base_url}/v1/detect"
        client = threading.Thread(target=lambda: answers.append(httpx.post(url, files=files)))
        client.start()
        assert began.wait(10)
        site.server.should_exit = True
        client.join(20)
    assert [answer.status_code for answer in answers] == [200]


ANSWERS = 2000  # that somebody asks for at once, of some 100 KB each


@contextmanager
def never_reading(site: Served) -> Iterator[socket.socket]:
    """A client that asks for answers without end, and reads none."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", site.port))
        connection.settimeout(0.2)
        with suppress(TimeoutError):
            connection.sendall(
                b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * ANSWERS
            )
        yield connection


def rest_of(connection: socket.socket) -> Iterator[bytes]:
    """All that still comes."""
    connection.settimeout(5)
    with suppress(ConnectionError):
        while data := connection.recv(100_000):
            yield data


@pytest.mark.slow
@READS_MEMORY
def test_who_reads_no_answer_is_let_go_and_costs_no_memory(site, monkeypatch):
    assert len(site.http.get("/v1/openapi.json").content) > 90_000
    monkeypatch.setattr(run, "SERVE_LIMITS", ServeLimits(patience=1.0))
    connections = site.server.server_state.connections
    before, others = memory(os.getpid()), set(connections)
    with never_reading(site) as connection:
        until(lambda: set(connections) - others)
        until(lambda: not set(connections) - others)
        assert sum(map(len, rest_of(connection))) < 10 * MEGABYTE  # cut off: not all was sent
    assert memory(os.getpid()) - before < 32 * MEGABYTE


@pytest.mark.slow
def test_without_patience_who_reads_nothing_stays(site, monkeypatch):
    monkeypatch.setattr(run.PatientProtocol, "_look", lambda protocol: None)
    monkeypatch.setattr(run, "SERVE_LIMITS", ServeLimits(patience=0.2))
    connections = site.server.server_state.connections
    others = set(connections)
    with never_reading(site):
        time.sleep(1)
        assert set(connections) - others
