"""A pack of made files: its manifest, its names, and every way it can be damaged."""

import hashlib
import json
from dataclasses import replace

import pytest

from visavis.alignment import ALIGNMENT
from visavis.detect import load_detector
from visavis.errors import PackError
from visavis.pack import load_pack, pack_names, packs_folder
from visavis.pack.manifest import (
    DetectorSpec,
    EmbedderSpec,
    Manifest,
    Origin,
    read_pack,
    write_manifest,
)
from visavis.runtime import Preprocess

FILES = {"detector.onnx": b"finds", "embedder.onnx": b"embeds", "calibration.json": b"{}"}
SHA256 = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
ORIGIN = Origin("made here", "CC0-1.0", "nothing", commercial="yes", citation="nobody")
DETECTOR = DetectorSpec(
    "detector.onnx", SHA256["detector.onnx"], "yunet", ORIGIN, min_score=0.7, max_overlap=0.2
)
EMBEDDER = EmbedderSpec(
    name="made",
    file="embedder.onnx",
    sha256=SHA256["embedder.onnx"],
    weights_sha256="ab" * 32,
    dim=6,
    origin=ORIGIN,
    preprocess=Preprocess("bgr", (127.5, 127.5, 127.5), (128.0, 128.0, 128.0)),
)
MANIFEST = Manifest(1, "mine", DETECTOR, EMBEDDER, "calibration.json", SHA256["calibration.json"])


def made(folder, manifest=MANIFEST):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    write_manifest(folder, manifest)
    return folder


def rewritten(folder, change):
    """Change the JSON of a pack's manifest in place."""
    document = json.loads((folder / "pack.json").read_bytes())
    change(document)
    (folder / "pack.json").write_text(json.dumps(document))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The folder of installed packs, empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "visavis" / "packs"


NARROW = replace(MANIFEST, embedder=replace(EMBEDDER, size=(112, 96)))


@pytest.mark.parametrize("manifest", [MANIFEST, Manifest(1, "bare", DETECTOR, EMBEDDER), NARROW])
def test_a_manifest_comes_back_the_same(manifest, tmp_path):
    pack = read_pack(made(tmp_path, manifest))
    assert pack.manifest == manifest
    assert pack.manifest.embedder.model == manifest.embedder.model
    assert pack.folder == tmp_path


def test_the_files_of_a_pack_are_read(tmp_path):
    pack = read_pack(made(tmp_path))
    assert {name: pack.read(name, SHA256[name]) for name in FILES} == FILES


def test_a_folder_without_a_manifest_is_no_pack(tmp_path):
    with pytest.raises(PackError, match=r"not a pack, it has no pack\.json"):
        read_pack(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"pack\.json: cannot be read as JSON: Expecting value"),
        (b"{'format': 1}", "cannot be read as JSON"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"[]", "the document: .*object"),
        (b"{}", r"pack\.json: format: Field required"),
        (b'{"format": 3}', "format 3, this visavis reads up to 2: install a newer visavis"),
        (b'{"format": 7, "new": [1]}', "format 7, this .*: install a newer visavis"),
    ],
    ids=["empty", "quotes", "no text", "deep", "list", "bare", "newer", "newer with more"],
)
def test_what_is_no_manifest_is_refused(data, message, tmp_path):
    (tmp_path / "pack.json").write_bytes(data)
    with pytest.raises(PackError, match=message):
        read_pack(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=3), "install a newer visavis"),
        (lambda d: d.update(format="one"), r"pack\.json: format: .*valid integer.*, got 'one'"),
        (lambda d: d.update(colour="red"), r"pack\.json: colour: .*, got 'red'"),
        (lambda d: d["embedder"].update(stride=5), r"embedder\.stride: .*, got 5"),
        (lambda d: d["embedder"].update(size=5), r"embedder\.size: .*, got 5"),
        (lambda d: d["embedder"].update(size=[112]), r"embedder\.size"),
        (lambda d: d["embedder"].update(size=[112, 0]), r"size: .* square .*, got 112x0$"),
        (lambda d: d["embedder"].update(size=[10**9, 1]), r"size: .* square .*, got 1000000000x1$"),
        (lambda d: d["embedder"]["preprocess"].update(gamma=2), r"embedder\.preprocess\.gamma: "),
        (lambda d: d["embedder"].pop("dim"), r"embedder\.dim: Field required"),
        (lambda d: d.pop("detector"), "detector: Field required"),
        (lambda d: d["embedder"].update(dim="many"), r"embedder\.dim: .*, got 'many'"),
        (lambda d: d["detector"].update(min_score=float("nan")), r"detector\.min_score: .*finite"),
        (lambda d: d["embedder"]["preprocess"].update(mean=[1, 2]), r"preprocess\.mean"),
        (lambda d: d["detector"]["origin"].update(commercial="maybe"), r"origin\.commercial: "),
    ],
)
def test_a_wrong_field_is_named(change, message, tmp_path):
    rewritten(made(tmp_path), change)
    with pytest.raises(PackError, match=message):
        read_pack(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    pack = read_pack(made(tmp_path))
    (tmp_path / "embedder.onnx").unlink()
    with pytest.raises(PackError, match=r"embedder\.onnx: .*cannot be read: No such file"):
        pack.read("embedder.onnx", SHA256["embedder.onnx"])


def test_one_flipped_bit_shows_both_hashes(tmp_path):
    pack = read_pack(made(tmp_path))
    (tmp_path / "embedder.onnx").write_bytes(b"embedr")  # s is 0x73, r is 0x72
    wanted, found = SHA256["embedder.onnx"][:16], hashlib.sha256(b"embedr").hexdigest()[:16]
    with pytest.raises(PackError, match=rf"wanted sha256 {wanted}\.\.\., found {found}\.\.\."):
        pack.read("embedder.onnx", SHA256["embedder.onnx"])


@pytest.mark.parametrize("name", ["../secret", "a/b", "/etc/passwd", "..", ".", "", "a\0b"])
def test_a_file_is_in_the_pack_itself(name, tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    pack = read_pack(made(tmp_path / "pack"))
    with pytest.raises(PackError, match="expected a plain file name"):
        pack.read(name, hashlib.sha256(b"x").hexdigest())


@pytest.mark.parametrize(
    "changed",
    [
        replace(EMBEDDER, weights_sha256="cd" * 32),
        replace(EMBEDDER, name="other"),
        replace(EMBEDDER, preprocess=replace(EMBEDDER.preprocess, color="rgb")),
        replace(EMBEDDER, preprocess=replace(EMBEDDER.preprocess, mean=(127.5, 127.5, 0.0))),
        replace(EMBEDDER, preprocess=replace(EMBEDDER.preprocess, std=(128.0, 127.5, 128.0))),
    ],
)
def test_other_weights_or_preprocessing_are_another_model(changed):
    assert changed.model != EMBEDDER.model


@pytest.mark.parametrize(
    "changed",
    [
        replace(EMBEDDER, file="renamed.onnx"),
        replace(EMBEDDER, sha256="0" * 64),
        replace(EMBEDDER, origin=replace(ORIGIN, licence="MIT")),
    ],
)
def test_the_same_weights_in_another_file_are_the_same_model(changed):
    assert changed.model == EMBEDDER.model


@pytest.mark.parametrize(("alignment", "added"), [(1, ""), (2, ', {"alignment": 2}')])
def test_a_model_is_its_name_and_the_hash_of_what_it_computes_and_how_faces_are_cut(
    alignment, added
):
    """Packs of before hold calibrations of the first way: its name never changes."""
    preprocess = '{"color": "bgr", "mean": [127.5, 127.5, 127.5], "std": [128.0, 128.0, 128.0]}'
    identity = f'["{"ab" * 32}", {preprocess}{added}]'.encode()
    assert EMBEDDER.model_of(alignment) == f"made@{hashlib.sha256(identity).hexdigest()[:8]}"
    assert EMBEDDER.model == EMBEDDER.model_of(ALIGNMENT)


def test_a_size_is_part_of_a_model_where_it_is_not_the_usual_one():
    assert replace(EMBEDDER, size=(112, 112)).model == EMBEDDER.model
    others = {replace(EMBEDDER, size=size).model for size in ((112, 96), (96, 112), (96, 96))}
    assert len({EMBEDDER.model, *others}) == 4


def test_a_manifest_without_a_size_means_the_usual_one(tmp_path):
    rewritten(made(tmp_path), lambda d: d["embedder"].pop("size"))
    assert read_pack(tmp_path).manifest == MANIFEST


def test_a_pack_is_loaded_by_its_folder(tmp_path):
    folder = made(tmp_path / "anywhere")
    for path in (folder, str(folder)):
        assert load_pack(path).manifest == MANIFEST


def test_an_installed_pack_is_listed_and_loaded_by_name(installed):
    assert pack_names() == ["default"]
    made(installed / "zebra")
    made(installed / "mine")
    (installed / "half").mkdir()  # no manifest: no pack
    assert packs_folder() == installed
    assert pack_names() == ["default", "mine", "zebra"]
    assert load_pack("mine").folder == installed / "mine"


@pytest.mark.parametrize("name", ["other", "half", "../packs/mine", ""])
def test_an_unknown_name_lists_the_known_ones(name, installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made(installed / "mine")
    (installed / "half").mkdir()
    with pytest.raises(PackError, match=rf"no pack '{name}'.*one of: default, mine$"):
        load_pack(name)


def test_an_unknown_decoder_lists_the_known_ones(tmp_path):
    made(tmp_path, replace(MANIFEST, detector=replace(DETECTOR, decoder="haar")))
    with pytest.raises(PackError, match=r"unknown decoder 'haar'; known: .*yunet"):
        load_detector(load_pack(tmp_path))
