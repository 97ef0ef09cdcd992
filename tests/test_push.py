"""Packs to stores and back: a folder, memory, S3 and Google Cloud Storage, all on loopback."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest
from test_pack import FILES, MANIFEST, made, rewritten

from visavis.cli.pull import pull as pull_command
from visavis.cli.push import push as push_command
from visavis.errors import DownloadError, PackError
from visavis.hub.pins import pins_file, read_pins
from visavis.hub.pull import pull
from visavis.hub.push import push
from visavis.hub.stores import open_store
from visavis.pack import load_pack, pack_names, packs_folder

fsspec = pytest.importorskip("fsspec", reason="pip install '.[hub]'")


def need(module: str, install: str) -> None:
    """Skip where a package is not here, without loading it."""
    if find_spec(module) is None:
        pytest.skip(f"pip install {install}")


KINDS = ["path", "file", "memory", "s3", "gcs"]
OTHER = replace(MANIFEST, name="other")


@pytest.fixture(scope="module")
def s3():
    """The address of a made S3 with one bucket."""
    need("s3fs", "'.[hub]'")
    need("moto", "'moto[server]'")
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture(scope="module")
def gcs():
    """The address of a made Google Cloud Storage with one bucket."""
    need("gcsfs", "'.[hub]'")
    need("gcp_storage_emulator", "gcp-storage-emulator")
    from gcp_storage_emulator.server import create_server

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = create_server("127.0.0.1", port, in_memory=True, default_bucket="packs")
    running.start()
    yield f"http://127.0.0.1:{port}"
    running.stop()


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A made pack, and a data folder with nothing in it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("http_proxy", "HTTP_PROXY", "VISAVIS_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return made(tmp_path / "mine")


@pytest.fixture(params=KINDS)
def url(request, tmp_path, monkeypatch):
    """Where a pack called office may go."""
    kind = request.param
    if kind == "s3":
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        bucket = f"bucket-{os.urandom(4).hex()}"
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
        return f"s3://{bucket}/office"
    if kind == "gcs":
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", request.getfixturevalue("gcs"))
        return f"gs://packs/{os.urandom(4).hex()}/office"
    store = tmp_path / "store" / "office"
    return {
        "path": str(store),
        "file": store.as_uri(),
        "memory": f"memory://{os.urandom(4).hex()}/office",
    }[kind]


def test_a_pack_goes_there_and_comes_back(mine, url):
    assert push(mine, url + "/") == url
    folder = pull(url)
    assert folder == packs_folder() / "office"
    assert load_pack("office").manifest == MANIFEST
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert sorted(path.name for path in packs_folder().iterdir()) == ["office"]
    assert pull(url) == folder


def test_another_pack_is_not_overwritten_unless_said(mine, url, tmp_path):
    push(mine, url)
    push(mine, url)  # the same: nothing to lose
    other = made(tmp_path / "other", OTHER)
    with pytest.raises(PackError, match=r"another pack is there: choose another URL, or replace"):
        push(other, url)
    pull(url)
    push(other, url, replace=True)
    with pytest.raises((PackError, DownloadError), match=r"replace it$") as caught:
        pull(url)
    assert caught.value.option == "replace"
    assert load_pack("office").manifest == MANIFEST
    pull(url, replace=True)
    assert load_pack("office").manifest == OTHER


@pytest.mark.parametrize("damage", [b"embedr", None])
def test_a_damaged_pack_there_leaves_nothing_here(damage, mine, url):
    push(mine, url)
    store = open_store(url)
    if damage:
        store.write("embedder.onnx", damage)
    else:
        store.remove("embedder.onnx")
    with pytest.raises(DownloadError, match=r"embedder\.onnx: "):
        pull(url)
    assert [path for path in packs_folder().rglob("*") if path.is_file()] == []
    assert pack_names() == ["default"]
    push(mine, url)  # mends it
    pull(url)


def test_a_folder_without_a_manifest_is_no_pack(mine, url):
    open_store(url).write("embedder.onnx", b"x")
    with pytest.raises(PackError, match=r"not a pack, it has no pack\.json"):
        pull(url)


def test_a_missing_bucket_is_told_of(mine, s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    with pytest.raises(DownloadError, match=r"s3://nowhere/office/detector\.onnx: "):
        push(mine, "s3://nowhere/office")
    with pytest.raises(PackError, match="not a pack"):
        pull("s3://nowhere/office")


# gcsfs tries six times, whatever it is told: 34 s.
@pytest.mark.parametrize("kind", ["s3", pytest.param("gs", marks=pytest.mark.slow)])
def test_a_server_that_is_gone_is_told_of(kind, mine, monkeypatch, request):
    request.getfixturevalue("s3" if kind == "s3" else "gcs")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        with pytest.raises(DownloadError) as caught:
            pull(f"{kind}://bucket/office")
    assert "verysecret" not in str(caught.value)


def test_what_a_bucket_held_is_pinned(mine, url, tmp_path):
    push(mine, url)
    pull(url)
    if not url.startswith(("s3", "gs")):
        assert read_pins() == {}
        return
    assert list(read_pins()) == [url]
    push(made(tmp_path / "other", OTHER), url, replace=True)
    with pytest.raises(DownloadError) as caught:
        pull(url, to=tmp_path / "elsewhere")
    for text in ("not the pack that was wanted", read_pins()[url].sha256, str(pins_file())):
        assert text in str(caught.value)
    assert not (tmp_path / "elsewhere").exists()


def test_a_copy_that_comes_back_otherwise_is_not_named(mine, tmp_path, monkeypatch):
    url = str(tmp_path / "store" / "office")
    store = type(open_store(url))
    sent = store.write
    monkeypatch.setattr(store, "write", lambda self, name, data: sent(self, name, data[:-1]))
    with pytest.raises(DownloadError, match="not the file that was wanted: wanted sha256"):
        push(mine, url)
    assert not (tmp_path / "store" / "office" / "pack.json").exists()


def test_a_damaged_pack_is_not_pushed(mine, tmp_path):
    (mine / "embedder.onnx").write_bytes(b"embedr")
    with pytest.raises(PackError, match="damaged or was exchanged"):
        push(mine, str(tmp_path / "store" / "office"))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["../out", "/out", "a/b", "..", "", "pack.json", "a\\b", "C:x"])
def test_a_manifest_writes_nowhere_else(name, mine, tmp_path):
    rewritten(mine, lambda d: d["embedder"].update(file=name))
    with pytest.raises(PackError, match="expected a plain file name"):
        pull(str(mine))
    assert not list(tmp_path.glob("**/out"))
    assert pack_names() == ["default"]


@pytest.mark.parametrize("last", ["default", "sources", ".hidden", "a b", "-x"])
def test_a_name_that_no_pack_can_have(last, mine, tmp_path):
    folder = made(tmp_path / last)
    with pytest.raises(PackError, match="cannot be the name of a pack: choose a folder") as caught:
        pull(str(folder))
    assert caught.value.option == "to"
    assert pull(str(folder), to=tmp_path / "fine") == tmp_path / "fine"


def test_what_is_there_already_stays(mine, tmp_path):
    (tmp_path / "to").mkdir()
    assert pull(str(mine), to=tmp_path / "to") == tmp_path / "to"  # an empty folder is nothing
    other = made(tmp_path / "other", OTHER)
    with pytest.raises(PackError, match="is there, and is another pack"):
        pull(str(other), to=tmp_path / "to")
    assert load_pack(tmp_path / "to").manifest == MANIFEST


@pytest.mark.parametrize(
    "url",
    ["https://host/pack", "ftp://host/pack", "simplecache::s3://b/p", "github://o:r@/p", "zip://p"],
)
def test_other_kinds_of_address_are_refused(url, mine):
    with pytest.raises(DownloadError, match="expected a folder, or one of file://"):
        push(mine, url)
    with pytest.raises(DownloadError, match="expected a folder, or one of file://"):
        pull(url)


@pytest.mark.parametrize("url", ["s3://bucket/office", "gs://bucket/office"])
def test_offline_nothing_elsewhere_is_asked_for(url, mine, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", None)
    with pytest.raises(DownloadError, match="is elsewhere, and offline nothing is fetched"):
        pull(url, offline=True)
    monkeypatch.setenv("VISAVIS_OFFLINE", "1")
    for verb in (lambda: pull(url), lambda: push(mine, url)):
        with pytest.raises(DownloadError, match="not asked for: VISAVIS_OFFLINE is set"):
            verb()
    push(mine, str(tmp_path / "store" / "office"))  # this is no place elsewhere


@pytest.mark.parametrize("missing", ["fsspec", "s3fs", "gcsfs"])
def test_a_missing_extra_is_named(missing, mine):
    url = "gs://b/p" if missing == "gcsfs" else "s3://b/p"
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from visavis.errors import DownloadError\n"
        "from visavis.hub.push import push\n"
        f"try: push({str(mine)!r}, {url!r})\n"
        "except DownloadError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{url}: needs {missing}: pip install '.[hub]'\n"


def test_the_verbs_say_what_lies_where(mine, tmp_path, capsys):
    store = tmp_path / "store" / "office"
    push_command(str(mine), str(store))
    assert capsys.readouterr().out == (
        f"there    {store}, read back and the same\nnext     visavis pack pull {store}\n"
    )
    pull_command(str(store))
    out = capsys.readouterr().out
    assert "embedder: made here · CC0-1.0 · commercial use: yes\n" in out
    assert f"here     {packs_folder() / 'office'}\nnext     visavis pack info office\n" in out
    pull_command(str(store), to=tmp_path / "to", json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["folder"] == str(tmp_path / "to")
    push_command("office", str(store), json=True)
    assert json.loads(capsys.readouterr().out)["url"] == str(store)
