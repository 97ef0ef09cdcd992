"""Downloads against a server on loopback that does everything a server should not."""

import errno
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hub_server import COMMIT, Hub, wait_until

import visavis
from visavis.errors import DownloadError, OutputError
from visavis.files import held
from visavis.hub import web
from visavis.hub.download import Patience, download

DATA = bytes(range(256)) * 1000  # 256,000 bytes
OTHER = DATA[:-1] + b"x"  # of the same size
QUICK = Patience(timeout=20.0, tries=2, wait=0.0)
SHORT = Patience(timeout=0.8, tries=2, wait=0.0)  # for servers that stall
HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 232589\n"


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No proxy, token or offline mode of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("HF_TOKEN", "HF_ENDPOINT", "VISAVIS_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub():
    with Hub() as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "model.onnx"


def left(target) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.exists() else []


def get(hub, target, *pages, **options):
    urls = [hub.url + page.path for page in pages]
    return download(urls, target, **{"patience": QUICK} | options)


def ranges(hub) -> list[str | None]:
    return [asked.headers.get("Range") for asked in hub.asked]


def test_a_file_is_fetched_whole(hub, target):
    page, seen = hub.add("/m", DATA, commit=COMMIT), []
    receipt = get(hub, target, page, progress=lambda *received: seen.append(received))
    assert target.read_bytes() == DATA
    assert left(target) == ["model.onnx"]
    assert (receipt.url, receipt.size) == (hub.url + "/m", len(DATA))
    assert (receipt.sha256, receipt.commit) == (page.sha256, COMMIT)
    assert seen[-1] == ("model.onnx", len(DATA), len(DATA))
    assert seen == sorted(seen)


def test_nothing_personal_is_sent(hub, target):
    get(hub, target, hub.add("/m", DATA))
    assert hub.asked[0].headers == {
        "Host": hub.url.removeprefix("http://"),
        "User-Agent": f"visavis/{visavis.__version__}",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def test_what_is_here_with_its_hash_is_not_asked_for(hub, target):
    page = hub.add("/m", DATA)
    for _ in range(2):
        get(hub, target, page, sha256=page.sha256)
    assert len(hub.asked) == 1


def test_cuts_are_gone_on_from(hub, target):
    page = hub.add("/m", DATA, cut=[50_000, 60_000])
    get(hub, target, page)
    assert target.read_bytes() == DATA
    assert ranges(hub) == [None, "bytes=50000-", "bytes=110000-"]
    assert hub.served() == len(DATA)


@pytest.mark.parametrize(
    "switches", [{"stall": [50_000]}, {"cut": [50_000], "statuses": [200, 503]}]
)
def test_a_stall_or_a_busy_server_is_waited_out(switches, hub, target):
    get(hub, target, hub.add("/m", DATA, **switches), patience=SHORT)
    assert target.read_bytes() == DATA
    assert hub.served() == len(DATA)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switches", "message", "requests"),
    [
        ({"stall": [40_000, 0, 0]}, "stalled: nothing came for 0.8 s; 40000 bytes are kept", 3),
        ({"cut": [40_000, 9, 9]}, "cut: 215982 bytes are missing; 40018 bytes are kept", 3),
        ({"cut": [0, 0]}, "cut: 256000 bytes are missing$", 2),
        ({"trickle": 0.01}, "stalled: [0-9]+ bytes in 0.8 s", 2),
        ({"statuses": [503, 429]}, r"the server is busy \(HTTP 429\)$", 2),
        ({"chunked": True, "cut": [0, 0]}, "cut: IncompleteRead", 2),
    ],
)
def test_too_many_tries_without_progress_end_it(switches, message, requests, hub, target):
    page = hub.add("/m", DATA, **switches)
    with pytest.raises(DownloadError, match=message):
        get(hub, target, page, patience=SHORT)
    assert len(hub.asked) == requests
    assert not target.exists()
    page.trickle = 0.0
    get(hub, target, page)  # another day
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    "switches",
    [{"ranges": False}, {"wrong_range": True, "cut": [50_000, 60_000]}, {"etag": None}],
)
def test_where_ranges_cannot_be_had_it_begins_again(switches, hub, target):
    page = hub.add("/m", DATA, **{"cut": [50_000], **switches})
    get(hub, target, page)
    assert target.read_bytes() == DATA
    assert hub.served() > len(DATA)


def test_a_file_that_changed_between_two_calls_is_begun_again(hub, target):
    page = hub.add("/m", DATA, cut=[50_000, 0, 0])
    with pytest.raises(DownloadError, match="50000 bytes are kept"):
        get(hub, target, page)
    page.data, page.etag = OTHER[::-1], '"new"'
    get(hub, target, page)
    assert target.read_bytes() == OTHER[::-1]
    assert hub.asked[-1].headers["If-Range"]


def test_a_part_that_is_all_of_it_needs_no_byte_more(hub, target):
    page = hub.add("/m", DATA, cut=[50_000, 0, 0])
    with pytest.raises(DownloadError, match="50000 bytes are kept"):
        get(hub, target, page)
    target.with_name("model.onnx.part").write_bytes(DATA)  # then killed, before it got its name
    get(hub, target, page)  # 416, of a file of just this size
    assert target.read_bytes() == DATA
    assert hub.served() == 50_000


def test_a_part_that_does_not_fit_is_begun_again(hub, target):
    page = hub.add("/m", DATA, cut=[50_000, 0, 0], etag='"same"')
    with pytest.raises(DownloadError):
        get(hub, target, page)
    page.data = DATA[:1000]  # 416, though the ETag is the same
    get(hub, target, page)
    assert target.read_bytes() == DATA[:1000]


def pinned(what: str) -> DownloadError:
    return DownloadError(f"{what}; pinned on Monday")


def test_the_wrong_file_is_removed_and_both_hashes_shown(hub, target):
    page = hub.add("/m", OTHER)
    wanted = hub.add("/right", DATA).sha256
    with pytest.raises(DownloadError) as caught:
        get(hub, target, page, size=len(DATA), sha256=wanted, mismatch=pinned)
    assert f"wanted {len(DATA)} bytes and sha256 {wanted}, found" in str(caught.value)
    assert page.sha256 in str(caught.value)
    assert str(caught.value).endswith("; pinned on Monday")
    assert left(target) == []


def test_a_wrong_body_of_the_right_size_is_seen_by_what_the_hub_announces(hub, target):
    page = hub.add("/m", OTHER, headers={"X-Linked-ETag": f'"{"ab" * 32}"'})
    with pytest.raises(DownloadError, match=f"wanted sha256 {'ab' * 32}, found"):
        get(hub, target, page)
    assert left(target) == []


def test_what_the_hub_announces_is_enough_to_refuse(hub, target):
    page = hub.add("/m", DATA, linked=True)
    with pytest.raises(DownloadError, match=f"wanted sha256 {'ab' * 32}, the hub announces"):
        get(hub, target, page, sha256="ab" * 32)
    assert left(target) == []


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"status": 401}, r"refused \(HTTP 401\): sign in or accept the terms at .*/m; .*HF_TOKEN"),
        ({"status": 403, "code": "GatedRepo"}, "HTTP 403, its owners want their terms accepted"),
        ({"status": 401, "code": "RepoNotFound"}, "no such repository, or it is private"),
        ({"status": 404, "code": "EntryNotFound"}, "not there .*no such file in the repository"),
        ({"status": 404}, r"not there \(HTTP 404\)"),
        ({"status": 410, "code": "\x1b[31mX"}, r"not there \(HTTP 410\)"),
        ({"status": 418}, "expected a file, got HTTP 418"),
        ({"status": 416}, "expected a file, got HTTP 416"),
        ({"data": HTML}, "this is a web page, not a model: sign in or accept the terms at http"),
        ({"data": b"\n <HTML>" + DATA}, "this is a web page"),
        ({"data": POINTER}, "this is a Git LFS pointer, not the model itself"),
        ({"data": b""}, "expected a model, got an empty file"),
        ({"headers": {"Content-Encoding": "gzip"}}, "expected the plain file, got a packed one"),
        ({"status": 302}, "a redirect to nowhere"),
        ({"location": "/m"}, "more than 10 redirects, the last to http"),
        ({"location": "file:///etc/passwd"}, "a redirect to something that is not a web address"),
        ({"location": "http://[::bad"}, "a redirect to something that is not a web address"),
        ({"location": "ftp://host/m"}, "a redirect to something that is not a web address"),
    ],
)
def test_a_refusal_is_in_words_at_the_first_try(switches, message, hub, target):
    page = hub.add("/m", **{"data": DATA} | switches)
    with pytest.raises(DownloadError, match=message) as caught:
        get(hub, target, page)
    assert len(hub.asked) == (11 if switches.get("location") == "/m" else 1)
    assert "\x1b" not in str(caught.value)
    assert left(target) == []


@pytest.mark.parametrize(
    ("switches", "size", "message"),
    [
        ({}, 1000, "wanted 1000 bytes, the server has 256000"),
        ({}, 300_000, "wanted 300000 bytes, the server has 256000"),
        ({"chunked": True}, 100_000, "more than the 100000 bytes announced"),
        (
            {"length": 1 << 40},
            None,
            "wanted at most 8589934592 bytes, the server has 1099511627776",
        ),
    ],
)
def test_another_size_than_announced_is_refused(switches, size, message, hub, target):
    page = hub.add("/m", DATA, **switches)
    with pytest.raises(DownloadError, match=message):
        get(hub, target, page, size=size)
    assert left(target) == []


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "many", "1e3", "\u00b2"])
def test_a_length_that_is_no_number_is_left_aside(length, hub, target):
    get(hub, target, hub.add("/m", DATA, length=length))
    assert target.read_bytes() == DATA


def test_what_lies_there_stays_until_the_new_is_whole(hub, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(DownloadError):
        get(hub, target, hub.add("/m", OTHER), sha256="ab" * 32)
    assert target.read_bytes() == b"old"
    get(hub, target, hub.add("/m", DATA))
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_to_other_hosts_too(status, hub, target):
    with Hub() as cdn:
        cdn.add("/deep/file", DATA, cut=[50_000])
        hub.add("/hop", location=cdn.url + "/deep/file?signature=secret", status=status)
        page = hub.add("/m", location="hop", linked=True, commit=COMMIT)
        page.data, page.linked = DATA, True
        receipt = get(hub, target, page)
        assert ranges(cdn) == [None, "bytes=50000-"]
    assert (receipt.commit, receipt.sha256) == (COMMIT, page.sha256)


def test_a_token_goes_to_the_hub_and_nowhere_else(hub, target, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    with Hub() as cdn:
        back = hub.add("/back", DATA)
        cdn.add("/file", location=hub.url + back.path)
        hub.add("/again", location=cdn.url + "/file")
        get(hub, target, hub.add("/m", location="/again"))
        seen = [(asked.path, asked.headers.get("Authorization")) for asked in hub.asked]
        assert seen == [("/m", "Bearer hf_secret"), ("/again", "Bearer hf_secret"), ("/back", None)]
        assert [asked.headers.get("Authorization") for asked in cdn.asked] == [None]
        get(cdn, target, cdn.add("/other", OTHER))
        assert cdn.asked[-1].headers.get("Authorization") is None


@pytest.fixture
def tls(tmp_path):
    """A server with a certificate of its own making, and the file of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    with Hub(file) as server:
        yield server, file


def test_https_is_never_left_for_http(tls, hub, target, monkeypatch):
    server, file = tls
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    get(server, target, server.add("/m", DATA))
    assert target.read_bytes() == DATA
    down = server.add("/down", location=hub.url + hub.add("/m", OTHER).path)
    with pytest.raises(
        DownloadError, match=r"redirected from https to http .* where anyone may alt"
    ):
        get(server, target, down)
    assert hub.asked == []


def test_an_unknown_certificate_is_refused_at_once(tls, target):
    server, _ = tls
    with pytest.raises(DownloadError, match=r"its certificate is not valid: self.signed"):
        get(server, target, server.add("/m", DATA))
    assert server.asked == []


def test_mirrors_are_tried_in_turn(hub, target):
    pages = (
        hub.add("/a", status=404),
        hub.add("/b", HTML),
        hub.add("/c", OTHER),
        hub.add("/d", DATA),
    )
    receipt = get(hub, target, *pages, sha256=pages[3].sha256)
    assert receipt.url == hub.url + "/d"
    assert target.read_bytes() == DATA


def test_where_no_mirror_has_it_each_says_why(hub, target):
    pages = hub.add("/a", status=404), hub.add("/b", HTML)
    told = r"^model.onnx: none of 2 sources has it: .*/a: not there .*; .*/b: this is a web page"
    with pytest.raises(DownloadError, match=told):
        get(hub, target, *pages)
    assert left(target) == []


def test_a_mirror_goes_on_where_another_stopped(hub, target):
    broken, good = hub.add("/a", DATA, cut=[50_000, 0, 0], etag='"a"'), hub.add("/b", DATA)
    get(hub, target, broken, good, sha256=good.sha256)
    assert hub.served("/b") == len(DATA) - 50_000


def test_a_part_that_a_mirror_spoilt_is_fetched_anew(hub, target):
    bad, good = hub.add("/a", OTHER[::-1], cut=[50_000, 0, 0]), hub.add("/b", DATA)
    get(hub, target, bad, good, sha256=good.sha256)
    assert target.read_bytes() == DATA
    assert ranges(hub)[-2:] == ["bytes=50000-", None]


def test_a_part_of_another_file_is_not_gone_on_from(hub, target):
    page, other = hub.add("/a", DATA, cut=[50_000, 0, 0]), hub.add("/b", OTHER)
    with pytest.raises(DownloadError):
        get(hub, target, page)
    get(hub, target, other)
    assert ranges(hub)[-1] is None
    assert target.read_bytes() == OTHER


def test_proxies_of_the_environment_are_used(hub, target, monkeypatch):
    monkeypatch.setenv("http_proxy", hub.url)
    hub.add("http://models.invalid/m", DATA)
    download(["http://models.invalid/m"], target, patience=QUICK)
    assert target.read_bytes() == DATA
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    get(hub, target, hub.add("/m", OTHER))
    assert hub.asked[-1].path == "/m"


@pytest.mark.parametrize("name", ["VISAVIS_OFFLINE", "HF_HUB_OFFLINE"])
@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_offline_means_no_look_up_and_no_connection(name, value, target, monkeypatch):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(DownloadError, match=f"not asked for: {name} is set"):
        download(["https://models.invalid/m"], target)
    assert left(target) == []


def test_a_server_that_is_not_there_is_told_of_at_once(hub, target):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(DownloadError, match="Connection refused"):
            download([f"http://127.0.0.1:{port}/m"], target)
    assert left(target) == []


@pytest.mark.parametrize("url", ["ftp://h/m", "file:///etc/passwd", "m", "http://", "http://[::x/",
                                 "https://user:secret@h/m", "http://h:port/m"])  # fmt: skip
def test_what_is_no_web_address_is_refused(url, target):
    with pytest.raises(DownloadError) as caught:
        download([url], target, patience=QUICK)
    assert "secret" not in str(caught.value)


def test_secrets_of_an_address_are_written_nowhere(hub, target):
    page = hub.add("/m", DATA, cut=[50_000, 0, 0])
    url = hub.url + "/m?token=hunter2"
    with pytest.raises(DownloadError) as caught:
        download([url], target, patience=QUICK)
    note = (target.parent / "model.onnx.part.json").read_text()
    page.cut = []
    receipt = download([url], target, patience=QUICK)
    assert "hunter2" not in f"{caught.value} {note} {receipt}"
    assert receipt.url == hub.url + "/m?..."
    assert hub.asked[-1].path.endswith("?token=hunter2")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://u:p@h:1/a/b?x=1#f", "https://h:1/a/b?..."),
        ("s3://key:secret@bucket/pack", "s3://bucket/pack"),
        ("https://h/a", "https://h/a"),
        ("/a/b", "/a/b"),
        ("http://u:p@[bad/x?t=1", "[bad/x"),
    ],
)
def test_redacted(url, expected):
    assert web.redacted(url) == expected


def test_redacted_within_a_message():
    text = "GET https://u:p@h/a?sig=1 failed\nand s3://k:s@b/c"
    assert web.scrubbed(text) == "GET https://h/a?... failed and s3://b/c"


def test_a_full_disk_is_seen_before_it_is_full(hub, target, monkeypatch):
    page = hub.add("/m", DATA)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 1000))
    with pytest.raises(
        OutputError, match="the disk is full: 256000 bytes are needed, 1000 are fre"
    ):
        get(hub, target, page)
    assert left(target) == []


CHILD = """
import sys
from pathlib import Path
from visavis.hub.download import Patience, download
urls, target, sha256 = sys.argv[1].split(), Path(sys.argv[2]), sys.argv[3]
download(urls, target, sha256=sha256 or None, patience=Patience(timeout=30))
"""


def test_a_disk_that_fills_up_keeps_what_is_there(hub, target):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    done = subprocess.run(
        [sys.executable, "-c", limit + CHILD, hub.url + hub.add("/m", DATA).path, target, ""],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"cannot write: {os.strerror(errno.EFBIG)}; the bytes that came are kept" in done.stderr
    assert left(target) == ["model.onnx.part", "model.onnx.part.json"]
    get(hub, target, hub.pages["/m"])
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("known", [True, False], ids=["hash known", "hash not known"])
def test_a_killed_process_is_gone_on_from(known, hub, target):
    page = hub.add("/m", DATA, stall=[100_000, 100_000])
    sha256 = page.sha256 if known else ""
    part = target.parent / "model.onnx.part"
    for kept in (100_000, 200_000):
        child = subprocess.Popen([sys.executable, "-c", CHILD, hub.url + "/m", target, sha256])
        wait_until(lambda kept=kept: part.exists() and part.stat().st_size == kept)
        child.send_signal(signal.SIGKILL)
        child.wait()
    get(hub, target, page, sha256=sha256 or None)
    assert target.read_bytes() == DATA
    assert left(target) == ["model.onnx"]
    assert hub.served() == len(DATA)
    assert ranges(hub) == [None, "bytes=100000-", "bytes=200000-"]


def test_two_at_once_do_not_meet(hub, target):
    with held(target.with_name("model.onnx.lock")):
        with pytest.raises(DownloadError, match="another process is writing this: wait"):
            get(hub, target, hub.add("/m", DATA))
    assert hub.asked == []
    get(hub, target, hub.pages["/m"])
    assert left(target) == ["model.onnx"]


def test_where_nothing_can_be_written_it_says_so(hub, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write: "):
        get(hub, tmp_path / "file" / "model.onnx", hub.add("/m", DATA))
