"""The catalogue, and a model pulled from a hub and a release page of our own."""

import dataclasses
import hashlib
import io
import json
import re
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from hub_server import COMMIT, Hub, wait_until
from malformed import MEGABYTES, measured

from visavis.cli import pull as command
from visavis.errors import DownloadError, OutputError, PackError
from visavis.hub import catalogue
from visavis.hub.catalogue import CATALOGUE, File, Published
from visavis.hub.download import Patience
from visavis.hub.pins import pins_file, read_pins
from visavis.hub.pull import pull, read_record
from visavis.hub.unzip import unzip
from visavis.pack import pack_names, packs_folder

WEIGHTS = bytes(range(256)) * 1000
YAML = b"color_space: RGB\n"
QUICK = Patience(timeout=20.0, tries=2, wait=0.0)
DETECTOR, EMBEDDER = b"detector" * 1000, b"embedder" * 1000


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


ZIP = zipped({"buffalo_l/det.onnx": DETECTOR, "buffalo_l/rec.onnx": EMBEDDER})
ON_HUB = dataclasses.replace(
    CATALOGUE["adaface-ir50-ms1mv2"],
    files=(
        File("model.safetensors", "minchul/net", "model.safetensors"),
        File("model.yaml", "minchul/net", "pretrained_model/model.yaml"),
    ),
)
IN_ZIP = dataclasses.replace(
    CATALOGUE["buffalo_l"],
    files=(
        File(
            "net.zip",
            releases=("o/r/releases/download/v1/net.zip", "o/r/releases/download/v2/net.zip"),
            size=len(ZIP),
            sha256=hashlib.sha256(ZIP).hexdigest(),
        ),
    ),
)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub and release page that has two models, `net` and `zip`."""
    for name in ("http_proxy", "HTTP_PROXY", "HF_TOKEN", "VISAVIS_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setitem(CATALOGUE, "net", ON_HUB)
    monkeypatch.setitem(CATALOGUE, "zip", IN_ZIP)
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
        monkeypatch.setenv("VISAVIS_MIRROR", server.url)
        publish(server, "main", WEIGHTS)
        server.add("/o/r/releases/download/v1/net.zip", ZIP)
        yield server


def publish(server: Hub, revision: str, weights: bytes, commit: str = COMMIT) -> None:
    for path, data in (("model.safetensors", weights), ("pretrained_model/model.yaml", YAML)):
        for name in {revision, commit}:
            server.add(
                f"/minchul/net/resolve/{name}/{path}", data, commit=commit, linked=data == weights
            )


def below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_model_is_pulled_and_pinned(hub):
    folder = pull("net", patience=QUICK)
    assert folder == packs_folder() / "sources" / "net"
    assert below(folder.parent) == [
        "net/model.safetensors",
        "net/model.yaml",
        "net/source.json",
    ]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    record = read_record(folder)
    assert {one.trusted for one in record.downloads} == {"first use"}
    assert record.downloads[0].commit == COMMIT
    assert (record.licence, record.commercial) == (ON_HUB.licence, "no")
    pin = read_pins()["net/model.safetensors"]
    assert (pin.size, pin.sha256) == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert pin.commit == COMMIT
    assert pack_names() == ["default"]


def test_one_version_of_a_repository_is_asked_for(hub):
    pull("net", patience=QUICK)
    assert [asked.path for asked in hub.asked] == [
        "/minchul/net/resolve/main/model.safetensors",
        f"/minchul/net/resolve/{COMMIT}/pretrained_model/model.yaml",
    ]


def test_what_is_here_is_not_asked_for_again(hub):
    pull("net", patience=QUICK)
    asked = len(hub.asked)
    assert pull("net", offline=True) == packs_folder() / "sources" / "net"
    assert len(hub.asked) == asked


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"x")])
def test_what_was_altered_here_is_not_taken_for_whole(damage, hub):
    folder = pull("net", patience=QUICK)
    damage(folder / "model.safetensors")
    with pytest.raises(PackError, match="is there, and is not net as it was fetched: ") as caught:
        pull("net", patience=QUICK)
    assert (caught.value.mend, caught.value.option) == (
        "choose another folder, or replace it",
        "replace",
    )
    pull("net", replace=True, patience=QUICK)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_later_difference_is_an_error_that_shows_both(hub, tmp_path):
    pull("net", patience=QUICK)
    changed = WEIGHTS[:-1] + b"x"
    publish(hub, "main", changed)
    with pytest.raises(DownloadError) as caught:
        pull("net", to=tmp_path / "again", patience=QUICK)
    for text in (
        hashlib.sha256(WEIGHTS).hexdigest(),
        hashlib.sha256(changed).hexdigest(),
        "it was pinned on",
        f"{pins_file()}: if the change is meant, replace it",
    ):
        assert text in str(caught.value)
    assert not (tmp_path / "again").exists()
    assert below(tmp_path) == [
        "data/visavis/packs/sources/net/model.safetensors",
        "data/visavis/packs/sources/net/model.yaml",
        "data/visavis/packs/sources/net/source.json",
        "data/visavis/pins.json",
    ]
    pull("net", replace=True, patience=QUICK)
    assert read_pins()["net/model.safetensors"].sha256 == hashlib.sha256(changed).hexdigest()


def test_a_newer_version_does_not_disturb_what_is_pinned(hub, tmp_path):
    pull("net", patience=QUICK)
    publish(hub, "main", WEIGHTS[::-1], "d" * 40)
    folder = pull("net", to=tmp_path / "again", patience=QUICK)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert {one.trusted for one in read_record(folder).downloads} == {"pin"}


def test_a_hub_that_gives_another_version_is_not_believed(hub):
    hub.pages[f"/minchul/net/resolve/{COMMIT}/pretrained_model/model.yaml"].commit = "d" * 40
    with pytest.raises(DownloadError, match=f"asked for commit {COMMIT}, the hub gave {'d' * 40}"):
        pull("net", patience=QUICK)
    assert not (packs_folder() / "sources" / "net").exists()


def test_a_wrong_body_of_the_right_size_is_refused_at_first_use(hub):
    page = hub.pages["/minchul/net/resolve/main/model.safetensors"]
    page.linked, page.headers = False, {"X-Linked-ETag": f'"{page.sha256}"'}
    page.data = WEIGHTS[::-1]
    with pytest.raises(DownloadError, match="not the file that was wanted"):
        pull("net", patience=QUICK)
    assert list(packs_folder().rglob("*")) == [packs_folder() / "sources"]
    assert read_pins() == {}


def test_damaged_pins_are_not_taken_for_none(hub):
    pull("net", patience=QUICK)
    pins_file().write_text("{")
    with pytest.raises(PackError, match=r"pins\.json: "):
        pull("net", replace=True, patience=QUICK)
    with pytest.raises(PackError, match=r"pins\.json: "):
        pull("net", to=packs_folder() / "other", patience=QUICK)


def test_a_zip_is_unpacked_and_its_own_folder_left_out(hub):
    folder = pull("zip", patience=QUICK)
    assert below(folder.parent) == ["zip/det.onnx", "zip/rec.onnx", "zip/source.json"]
    assert (folder / "rec.onnx").read_bytes() == EMBEDDER
    assert {one.trusted for one in read_record(folder).downloads} == {"table"}
    assert pull("zip", offline=True) == folder


def test_a_release_that_moved_is_found_under_its_other_tag(hub):
    hub.pages["/o/r/releases/download/v2/net.zip"] = hub.pages.pop(
        "/o/r/releases/download/v1/net.zip"
    )
    folder = pull("zip", patience=QUICK)
    assert read_record(folder).downloads[0].url == hub.url + "/o/r/releases/download/v2/net.zip"


CHILD = """
import dataclasses, sys
from visavis.hub.catalogue import CATALOGUE, File
from visavis.hub.pull import pull
CATALOGUE["net"] = dataclasses.replace(CATALOGUE["adaface-ir50-ms1mv2"], files=(
    File("model.safetensors", "minchul/net", "model.safetensors"),
    File("model.yaml", "minchul/net", "pretrained_model/model.yaml")))
pull("net")
"""


def test_a_killed_pull_is_gone_on_with(hub):
    hub.pages["/minchul/net/resolve/main/model.safetensors"].stall = [100_000]
    child = subprocess.Popen([sys.executable, "-c", CHILD])
    part = packs_folder() / "sources" / "net.partial" / "whole" / "model.safetensors.part"
    wait_until(lambda: part.exists() and part.stat().st_size == 100_000)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert pack_names() == ["default"]
    folder = pull("net", patience=QUICK)
    assert below(folder.parent) == ["net/model.safetensors", "net/model.yaml", "net/source.json"]
    assert hub.served() == len(WEIGHTS) + len(YAML)


def test_what_an_earlier_pull_finished_is_named_by_where_it_came_from(hub):
    broken = hub.pages[f"/minchul/net/resolve/{COMMIT}/pretrained_model/model.yaml"]
    broken.status = 404
    with pytest.raises(DownloadError, match="not there"):
        pull("net", patience=QUICK)
    (packs_folder() / "sources" / "net.partial" / "whole" / "stray").write_bytes(b"")
    broken.status = 200
    folder = pull("net", patience=QUICK)
    assert below(folder) == ["model.safetensors", "model.yaml", "source.json"]
    assert [one.commit for one in read_record(folder).downloads] == [COMMIT, COMMIT]
    assert read_record(folder).downloads[0].url.startswith(hub.url)
    assert hub.served("/minchul/net/resolve/main/model.safetensors") == len(WEIGHTS)


def test_a_zip_that_is_refused_leaves_nothing(hub, monkeypatch):
    bad = zipped({"ok.onnx": DETECTOR, "../out.onnx": DETECTOR})
    file = dataclasses.replace(
        IN_ZIP.files[0], size=len(bad), sha256=hashlib.sha256(bad).hexdigest()
    )
    monkeypatch.setitem(CATALOGUE, "zip", dataclasses.replace(IN_ZIP, files=(file,)))
    hub.add("/o/r/releases/download/v1/net.zip", bad)
    with pytest.raises(DownloadError, match="a name that leads out of the folder"):
        pull("zip", patience=QUICK)
    assert below(packs_folder()) == []


def test_an_unknown_name_lists_the_known_ones(hub):
    with pytest.raises(
        PackError, match=r"no model 'nett', and no folder .*; known: adaface.*, net, zip$"
    ):
        pull("nett")


@pytest.mark.parametrize("name", ["net", "zip"])
def test_offline_nothing_is_asked_for(name, hub, monkeypatch):
    with pytest.raises(DownloadError, match="is not here, and offline nothing is fetched"):
        pull(name, offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="not asked for: HF_HUB_OFFLINE is set"):
        pull(name)
    assert hub.asked == []
    assert below(packs_folder()) == []


def test_where_it_cannot_be_written_it_says_so(hub, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        pull("net", to=tmp_path / "file" / "net", patience=QUICK)


def member(name: str, mode: int = 0, flags: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name
    info.external_attr = mode << 16
    info.flag_bits |= flags
    return info


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["../out"], "a name that leads out of the folder: '../out'"),
        (["a/../../out"], "a name that leads out"),
        (["/etc/passwd"], "a name that leads out"),
        (["./a"], "a name that leads out"),
        (["a//b"], "a name that leads out"),
        (["..\\out"], "a name that some systems read otherwise"),
        (["C:out"], "a name that some systems read otherwise"),
        (["a\n"], "a name that some systems read otherwise"),
        (["a. "], "a name that some systems read otherwise"),
        (["A.onnx", "a.onnx"], "two files of one name"),
        (["a", "a"], "two files of one name"),
        ([f"f{i}" for i in range(65)], "expected 1 to 64 files .*, got 65 of"),
        ([], "expected 1 to 64 files .*, got 0 of 0"),
        (["a", "a/b"], "cannot unpack"),
    ],
)  # fmt: skip
def test_a_hostile_zip_is_refused(names, message, tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(member(name), b"x")
    with pytest.raises((DownloadError, OutputError), match=message):
        unzip(archive, tmp_path / "to")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (stat.S_IFLNK | 0o777, "not a plain file: 'a'"),
        (stat.S_IFCHR | 0o666, "not a plain file"),
        (stat.S_IFIFO | 0o666, "not a plain file"),
    ],
)
def test_only_plain_files_are_unpacked(mode, message, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(member("a", mode), "/etc/passwd")
    with pytest.raises(DownloadError, match=message):
        unzip(tmp_path / "a.zip", tmp_path / "to")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("find", "put", "message"),
    [
        (b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00", "encrypted"),
        (b"PK\x05\x06", b"PK\x05\x07", "the zip is damaged: "),
        (b"detector", b"detectoR", "the zip is damaged: Bad CRC"),
    ],
)
def test_a_damaged_zip_is_refused(find, put, message, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(member("a.onnx"), DETECTOR)
    data = buffer.getvalue()
    assert find in data
    (tmp_path / "a.zip").write_bytes(data.replace(find, put, 1))
    with pytest.raises(DownloadError, match=message):
        unzip(tmp_path / "a.zip", tmp_path / "to")


def test_a_zip_that_grows_beyond_bounds_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"a": bytes(1_000_000)}))
    with pytest.raises(DownloadError, match="of at most 999999 bytes in all, got 1 of 1000000"):
        unzip(tmp_path / "a.zip", tmp_path / "to", most_bytes=999_999)
    assert not (tmp_path / "to").exists()


@pytest.fixture
def bomb(tmp_path):
    """A zip of 200 KB that unpacks to 200 MB."""
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.onnx", bytes(200 << 20))
    return tmp_path / "bomb.zip"


GROWS = "expected a zip that unpacks to at most 100 times its size, got 209,715,200 bytes from 20"


def test_a_zip_that_grows_a_thousandfold_is_refused(bomb, tmp_path):
    def work():
        with pytest.raises(DownloadError, match=GROWS):
            unzip(bomb, tmp_path / "to")

    cost = measured(work)
    assert cost.seconds < 2
    assert cost.megabytes < MEGABYTES
    assert not (tmp_path / "to").exists()


def test_a_zip_that_grows_a_thousandfold_is_refused_by_command(bomb, run):
    answers = []
    cost = measured(lambda: answers.append(run("pack", "import", bomb, "--color", "rgb")))
    code, out, err = answers[0]
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"visavis: {bomb}: {GROWS}")
    assert cost.seconds < 2
    assert cost.megabytes < MEGABYTES


@pytest.mark.parametrize(("growth", "fits"), [(100, True), (99, False), (1000, True)])
def test_a_zip_may_grow_a_hundredfold_and_no_more(growth, fits, tmp_path, monkeypatch):
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"a": b"0" * 100_000}))
    real = archive.stat().st_size
    monkeypatch.setattr("visavis.hub.unzip.MOST_GROWTH", 100_000 / real * growth / 100)
    if fits:  # with its bound lifted, the attack takes effect
        assert unzip(archive, tmp_path / "to") == ["a"]
        assert (tmp_path / "to" / "a").stat().st_size == 100_000
    else:
        with pytest.raises(DownloadError, match="at most"):
            unzip(archive, tmp_path / "to")


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path):
    data = zipped({"a": bytes(1_000_000)})
    real, lie = (1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data.replace(real, lie))
    with pytest.raises(DownloadError, match="the zip is damaged"):
        unzip(tmp_path / "a.zip", tmp_path / "to", most_bytes=999_999)
    assert (tmp_path / "to" / "a").stat().st_size <= 10


def test_a_zip_with_half_its_bytes_never_escapes(tmp_path):
    data = bytearray(zipped({"a/b.onnx": DETECTOR, "a/c.onnx": EMBEDDER}))
    for offset in range(len(data)):
        (tmp_path / "a.zip").write_bytes(
            data[:offset] + bytes([data[offset] ^ 0x55]) + data[offset + 1 :]
        )
        try:
            unzip(tmp_path / "a.zip", tmp_path / f"to{offset}")
        except (DownloadError, OutputError):
            pass
    assert {p.name[:2] for p in tmp_path.iterdir()} == {"a.", "to"}


def test_every_model_says_all_that_is_needed():
    for name, source in CATALOGUE.items():
        assert re.fullmatch("[a-z0-9_-]+", name)
        assert all((source.about, source.licence, source.training_data, source.citation))
        assert source.preprocessing
        assert source.use
        assert not source.archive or len(source.files) == 1
        for file in source.files:
            assert Path(file.name).name == file.name
            assert bool(file.repository) == bool(file.path)
            assert file.urls()
            assert (file.sha256 is None) == (file.size is None)
            assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.repository or file.sha256  # what a release page has is never taken on trust


@pytest.mark.parametrize(
    ("variable", "value", "name", "url"),
    [
        (None, "", "yunet", "https://huggingface.co/opencv/face_detection_yunet/resolve/main/"
         "face_detection_yunet_2023mar.onnx"),
        ("HF_ENDPOINT", "https://hub.example/", "yunet", "https://hub.example/opencv/"
         "face_detection_yunet/resolve/main/face_detection_yunet_2023mar.onnx"),
        (None, "", "buffalo_l", "https://github.com/deepinsight/insightface/releases/download/v0.7/"
         "buffalo_l.zip"),
        ("VISAVIS_MIRROR", "http://mirror.example/m/", "buffalo_l", "http://mirror.example/m/"
         "deepinsight/insightface/releases/download/v0.7/buffalo_l.zip"),
    ],
)  # fmt: skip
def test_where_a_model_is_asked_for(variable, value, name, url, monkeypatch):
    for other in ("HF_ENDPOINT", "VISAVIS_MIRROR"):
        monkeypatch.delenv(other, raising=False)
    if variable:
        monkeypatch.setenv(variable, value)
    assert CATALOGUE[name].files[0].urls()[0] == url


def rows(name: str, source: Published) -> str:
    size = sum(file.size or 0 for file in source.files) / 1e6
    return (
        f"| `{name}` | {source.about} | {source.licence} | {source.training_data} | "
        f"{source.commercial} | {f'{size:.1f} MB' if size else 'first use'} |"
    )


def test_the_table_in_the_documentation_is_the_catalogue():
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- models -->\n(.*?)\n<!-- end -->", page, re.DOTALL)[1].splitlines()[2:]
    assert table == [rows(name, source) for name, source in CATALOGUE.items()]
    for name, source in CATALOGUE.items():
        section = page.split(f"### {name}\n")[1].split("\n### ")[0].replace("\n", " ")
        assert source.citation in section
        assert source.preprocessing in section
        assert source.use.format(folder="FOLDER") in section
        assert all(f" --{name} {value}" in section for name, value in source.options)
        for file in source.files:
            assert file.sha256 is None or file.sha256 in section
            assert file.repository in section
            assert all(path.split("/raw/")[0] in section for path in file.releases)


@pytest.fixture
def pulling(capsys):
    """Run `pull` as its command does: (stdout, stderr)."""

    def call(name, **options):
        command.pull(name, **options)
        return capsys.readouterr()

    return call


def test_the_terms_are_said_before_anything_is_fetched(hub, pulling, capsys):
    hub.pages.clear()
    with pytest.raises(DownloadError):
        command.pull("net")
    out = capsys.readouterr().out
    for text in (ON_HUB.licence, ON_HUB.training_data, "commercial use  no", ON_HUB.citation):
        assert text in out


def test_a_first_use_is_said_aloud_and_what_comes_next(hub, pulling):
    folder = packs_folder() / "sources" / "net"
    out = pulling("net").out
    assert f"{len(WEIGHTS)} bytes, sha256 {hashlib.sha256(WEIGHTS).hexdigest()}" in out
    assert "not known before: trusted now, and pinned for every later time" in out
    assert f"here     {folder}\n" in out
    assert f"next     visavis convert {folder} --family cvlface_ir --out adaface.onnx\n" in out


def test_json_is_one_document_and_the_terms_go_to_stderr(hub, pulling):
    printed = pulling("zip", json=True)
    document = json.loads(printed.out)
    assert document["commercial"] == "no"
    assert document["downloads"][0]["trusted"] == "table"
    assert document["next"] == f"visavis pack import {document['folder']}"
    assert IN_ZIP.licence in printed.err


def test_on_a_terminal_there_is_a_bar_for_each_file(hub, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with command._bars() as show:
        show("model.onnx", 500_000, 1_000_000)
        show("model.onnx", 1_000_000, None)
    command.pull("net")
    assert "here     " in capsys.readouterr().out


def test_the_catalogue_needs_no_extra():
    code = "import visavis.hub.pull, visavis.hub.push, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"fsspec", "s3fs", "gcsfs", "huggingface_hub"} == set()
    assert catalogue.CATALOGUE is CATALOGUE
