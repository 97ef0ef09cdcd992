"""Packs made of networks and what is said of them: what comes out, and what is refused."""

import hashlib
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from made_networks import DIM, METADATA, elsewhere, noted, recogniser, scaler
from malformed import HTML

from visavis.embedder import load_embedder
from visavis.errors import CalibrationError, PackError, VisavisError
from visavis.pack import load_pack
from visavis.pack.build import detector_of, detector_part, embedder_part, write_pack
from visavis.pack.declaration import Declared
from visavis.pack.manifest import read_pack
from visavis.pack.onnx import read_network
from visavis.pack.verify import verify_pack

HALVES = Declared(color="rgb", mean=(127.5,) * 3, std=(127.5,) * 3)
BGR = Declared(color="bgr", mean=(0.0,) * 3, std=(1.0,) * 3)
CROPS = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)


@pytest.fixture
def file(tmp_path):
    """An embedder's file."""
    return written(tmp_path, recogniser())


def written(folder, data, name="mine.onnx"):
    (folder / name).write_bytes(data)
    return folder / name


def made(folder, file, given=HALVES, **options):
    detector = detector_of(load_pack())
    embedder = embedder_part(file, given)
    return write_pack(folder, name="mine", embedder=embedder, detector=detector, **options)


def test_a_pack_is_what_was_said(file, tmp_path):
    given = replace(
        HALVES, licence="MIT", training_data="made", commercial="yes", citation="me", source="here"
    )
    pack = made(tmp_path / "pack", file, given)
    spec = pack.manifest.embedder
    assert (spec.name, spec.dim, spec.size) == ("mine", DIM, (112, 112))
    assert spec.preprocess.mean == (127.5,) * 3
    origin = spec.origin
    assert (origin.source, origin.licence, origin.training_data) == ("here", "MIT", "made")
    assert (origin.commercial, origin.citation) == ("yes", "me")
    assert pack.manifest.detector == load_pack().manifest.detector
    assert load_embedder(pack)(CROPS).shape == (3, DIM)
    assert (tmp_path / "pack" / "embedder.onnx").read_bytes() == file.read_bytes()
    assert {finding.level for finding in verify_pack(pack.folder)} == {"ok", "warning"}


def test_what_is_left_out_is_said_to_be(file, tmp_path):
    origin = made(tmp_path / "pack", file).manifest.embedder.origin
    assert (origin.source, origin.licence, origin.commercial) == (
        "mine.onnx",
        "not stated",
        "unknown",
    )
    found = {f.subject for f in verify_pack(tmp_path / "pack") if f.level == "warning"}
    fields = ("licence", "training_data", "commercial")
    assert found == {"calibration", *(f"embedder.origin.{field}" for field in fields)}


def test_a_converted_file_says_itself_how_it_wants_its_pixels(tmp_path):
    part = embedder_part(written(tmp_path, noted(recogniser(), **METADATA)))
    assert (part.spec.name, part.spec.preprocess.color) == ("made", "bgr")
    assert part.spec.preprocess.std == (128.0,) * 3
    assert part.spec.origin.licence == "CC0-1.0"


def test_what_is_given_goes_before_what_the_file_says(tmp_path):
    file = written(tmp_path, noted(recogniser(), **METADATA))
    part = embedder_part(file, Declared(name="other", color="rgb", licence="MIT"))
    assert (part.spec.name, part.spec.preprocess.color) == ("other", "rgb")
    assert (part.spec.preprocess.std, part.spec.origin.licence) == ((128.0,) * 3, "MIT")


def test_an_embedder_of_another_size_is_fed_the_middle(tmp_path):
    pack = made(tmp_path / "pack", written(tmp_path, recogniser(width=96)))
    assert pack.manifest.embedder.size == (112, 96)
    embed = load_embedder(pack, flip=False)
    borders = CROPS.copy()
    borders[:, :, :8], borders[:, :, 104:] = 0, 255
    np.testing.assert_array_equal(embed(borders), embed(CROPS))
    borders[:, :, 8] = 0
    assert not np.array_equal(embed(borders), embed(CROPS))


def test_lengths_beside_the_embeddings_are_no_hindrance(tmp_path):
    plain = made(tmp_path / "plain", written(tmp_path, recogniser()))
    norm = made(tmp_path / "norm", written(tmp_path, recogniser(norm=True)))
    np.testing.assert_array_equal(load_embedder(norm)(CROPS), load_embedder(plain)(CROPS))


def test_weights_that_are_constants_of_the_graph_are_hashed(tmp_path):
    models = {
        embedder_part(written(tmp_path, recogniser(constant=True, seed=seed)), HALVES).spec.model
        for seed in (0, 1)
    }
    assert len(models) == 2
    whole = embedder_part(written(tmp_path, recogniser()), HALVES)
    lifted = embedder_part(written(tmp_path, recogniser(constant=True)), HALVES)
    assert lifted.spec.weights_sha256 == whole.spec.weights_sha256


def test_weights_in_a_file_beside_it_are_packed_in(tmp_path):
    whole = embedder_part(written(tmp_path, recogniser()), HALVES)
    apart = embedder_part(written(tmp_path, elsewhere(recogniser(), tmp_path)), HALVES)
    assert apart.spec.weights_sha256 == whole.spec.weights_sha256
    assert b"location" not in apart.data
    assert read_network(apart.data).weights_sha256 == whole.spec.weights_sha256


def linked(folder):
    (folder / "real.bin").write_bytes(bytes(99))
    data = elsewhere(recogniser(), folder)
    (folder / "weights.bin").unlink()
    os.symlink(folder / "real.bin", folder / "weights.bin")
    return data


def cut_short(folder):
    data = elsewhere(recogniser(), folder)
    (folder / "weights.bin").write_bytes(bytes(99))
    return data


def changed(change, data=None):
    network = onnx.load_from_string(data or recogniser())
    change(network)
    return network.SerializeToString()


def dead(network):
    tensor = next(t for t in network.graph.initializer if t.name == "w3")
    tensor.raw_data = bytes(len(tensor.raw_data))


def damaged(network):
    network.graph.initializer[0].raw_data = b"123"


HOSTILE = {
    "HTML": (HTML, "expected an ONNX file, got 54 bytes that start '<!DOCTYPE html><"),
    "empty": (b"", "got one without a network"),
    "zip": (b"PK\3\4" + bytes(50), "expected an ONNX file"),
    "cut": (recogniser()[:9000], "expected an ONNX file"),
    "cut early": (recogniser()[:100], "expected an ONNX file"),
    "damaged weights": (changed(damaged), "expected tensors within the file"),
    "outside": (lambda f: elsewhere(recogniser(), f, "../weights.bin"), "expected a file beside"),
    "absolute": (lambda f: elsewhere(recogniser(), f, "/etc/passwd"), "expected a file beside"),
    "a folder up": (lambda f: elsewhere(recogniser(), f, ".."), "expected a file beside|is a dir"),
    "linked weights": (linked, "which is a link"),
    "weights gone": (lambda f: elsewhere(recogniser(), f, "gone.bin"), "'gone.bin' cannot be read"),
    "weights cut": (cut_short, "expected 75,?.* bytes of weights in 'weights.bin', got 83"),
    "zeros": (changed(dead), "expected finite embeddings that are not all zero"),
    "five outputs": (scaler((112, 112), (4,) * 5, batch="N"), r"expected \(1, D\) embeddings"),
    "large": (scaler((513, 513), (8,)), "square of at most 512x512, got 513x513"),
    "large and no square": (scaler((128, 112), (8,)), "or of a larger square .*, got 128x112"),
    "rank 3": (scaler((112,), (8,)), r"expected one input \(N, 3, H, W\)"),
    "open size": (scaler(("h", "w"), (8,)), "which size it was trained at: declare its"),
}


@pytest.mark.parametrize(("data", "said"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_embedder_is_refused_by_name(data, said, tmp_path):
    file = written(tmp_path, data if isinstance(data, bytes) else data(tmp_path))
    with pytest.raises(PackError, match=rf"mine\.onnx: .*({said})"):
        embedder_part(file, HALVES)


SAID = {
    "nothing": (Declared(), "declare the embedder's color, mean, std "),
    "only the colour": (Declared(color="rgb"), "declare the embedder's mean, std "),
    "no spread": (
        replace(HALVES, std=(1.0, 0.0, 1.0)),
        r"preprocess\.std: expected numbers above zero",
    ),
    "another size": (replace(HALVES, size=(112, 96)), "declared to take 112x96, .* is 112x112"),
    "a name with a folder": (replace(HALVES, name="a/b"), "expected a name of letters"),
    "a name that is taken": (replace(HALVES, name="sources"), "not 'default' or 'sources'"),
}


@pytest.mark.parametrize(("given", "said"), SAID.values(), ids=SAID)
def test_what_is_not_said_is_not_guessed(given, said, file):
    with pytest.raises(PackError, match=said):
        embedder_part(file, given)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"color": "grey"}, "color: .*'rgb' or 'bgr'"),
        ({"mean": "many"}, "mean: cannot be read"),
        ({"std": "[1, 2]"}, "std"),
        ({"dim": "7"}, f"metadata says 7 numbers, it gives {DIM}"),
        ({"height": "96"}, "declared to take 96x112"),
        ({"surprise": "1"}, "surprise"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(change, said, tmp_path):
    file = written(tmp_path, noted(recogniser(), **{**METADATA, **change}))
    with pytest.raises(VisavisError, match=rf"mine\.onnx: .*{said}"):
        embedder_part(file)


@pytest.mark.slow
@pytest.mark.pack
def test_the_default_models_built_again_are_the_same_model(tmp_path, pack):
    embedder = pack.folder / pack.manifest.embedder.file
    given = Declared(name="sface", color="rgb", mean=(0.0,) * 3, std=(1.0,) * 3)
    again = write_pack(
        tmp_path / "again",
        name="again",
        embedder=embedder_part(embedder, given),
        detector=detector_part(pack.folder / pack.manifest.detector.file, BGR),
        calibration=pack.folder / pack.manifest.calibration,
    )
    assert again.manifest.embedder.model == "sface@0ae22d6a"
    assert again.manifest.detector.decoder == "yunet"
    assert [f for f in verify_pack(again.folder) if f.subject.startswith("calibration")] != []
    assert not [f for f in verify_pack(again.folder) if f.level == "error"]


def test_a_calibration_of_another_model_is_refused(file, tmp_path, pack):
    other = pack.folder / pack.manifest.calibration
    with pytest.raises(CalibrationError, match=r"of mine@.*, got one of sface@0ae22d6a"):
        made(tmp_path / "pack", file, calibration=other)
    assert not (tmp_path / "pack").exists()


def test_a_folder_that_is_there_is_left_alone(file, tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "mine.txt").write_text("kept")
    with pytest.raises(PackError, match="is there already"):
        made(tmp_path / "pack", file)
    assert [path.name for path in (tmp_path / "pack").iterdir()] == ["mine.txt"]


def test_a_pack_is_whole_or_not_there(file, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("visavis.files.os.rename", full)
    with pytest.raises(VisavisError, match="No space left"):
        made(tmp_path / "packs" / "mine", file)
    assert list((tmp_path / "packs").iterdir()) == []


@pytest.mark.pack
@pytest.mark.parametrize(
    ("data", "given", "decoder", "said"),
    [
        (HTML, BGR, None, "expected an ONNX file"),
        (
            recogniser(),
            BGR,
            None,
            "no known family: expected outputs of .*scrfd or .*yunet, got",
        ),
        (None, Declared(), None, "declare the detector's color, mean, std "),
        (None, BGR, "haar", "unknown decoder 'haar'; known: .*scrfd, .*yunet"),
        (None, BGR, "scrfd", "declared for the decoder scrfd, but its outputs fit yunet: "),
    ],
    ids=["HTML", "an embedder", "nothing said", "unknown decoder", "another decoder"],
)
def test_what_is_no_detector_is_refused(data, given, decoder, said, tmp_path, pack):
    data = data or (pack.folder / pack.manifest.detector.file).read_bytes()
    with pytest.raises(PackError, match=said):
        detector_part(written(tmp_path, data), replace(given, decoder=decoder))


def rewritten(folder, **changes):
    document = json.loads((folder / "pack.json").read_bytes())
    for key, value in changes.items():
        part, _, field = key.partition("__")
        document[part] = {**document[part], field: value} if field else value
    (folder / "pack.json").write_text(json.dumps(document))


def exchanged(folder, data):
    (folder / "embedder.onnx").write_bytes(data)
    rewritten(folder, embedder__sha256=hashlib.sha256(data).hexdigest())


LAX = {
    "a byte": (lambda f: (f / "detector.onnx").write_bytes(b"x"), "detector", "wanted sha256"),
    "other weights": (
        lambda f: exchanged(f, recogniser(seed=1)),
        "embedder.weights_sha256",
        "its tensors have",
    ),
    "a page": (lambda f: exchanged(f, HTML), "embedder", "expected an ONNX file"),
    "dim": (lambda f: rewritten(f, embedder__dim=7), "embedder.dim", "says 7, it gives 24"),
    "size": (lambda f: rewritten(f, embedder__size=[96, 96]), "embedder", "refuses"),
    "decoder": (lambda f: rewritten(f, detector__decoder="scrfd"), "detector", "decoder scrfd"),
    "no manifest": (lambda f: (f / "pack.json").unlink(), "pack.json", "has no pack.json"),
    "calibration gone": (
        lambda f: rewritten(f, calibration="c.json", calibration_sha256="0" * 64),
        "calibration",
        "No such file",
    ),
}


@pytest.mark.pack
@pytest.mark.parametrize(("harm", "subject", "said"), LAX.values(), ids=LAX)
def test_verify_finds_what_does_not_hold(harm, subject, said, file, tmp_path, run):
    folder = made(tmp_path / "pack", file).folder
    harm(folder)
    errors = [f for f in verify_pack(folder) if f.level == "error"]
    assert [f.subject for f in errors] in ([subject], [subject, "embedder"])
    assert said in errors[0].text
    code, out, _ = run("pack", "verify", folder, "--json")
    assert code == 1
    assert {"level": "error", "subject": subject, "text": errors[0].text} in json.loads(out)[
        "findings"
    ]


def test_verify_names_files_that_nothing_reads(file, tmp_path):
    folder = made(tmp_path / "pack", file).folder
    (folder / "notes.txt").write_text("?")
    assert [f.text for f in verify_pack(folder) if f.subject == "notes.txt"] == [
        "the manifest does not name it: nothing reads it"
    ]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The folder of installed packs, empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "visavis" / "packs"


def test_build_verify_and_list_by_command(file, installed, run):
    words = ("--color", "rgb", "--mean", "123.7,116.3,103.5", "--std", 58, "--licence", "MIT")
    code, out, _ = run("pack", "build", "mine", "--embedder", file, *words)
    assert code == 0
    assert "no threshold has an error rate yet" in out
    pack = load_pack("mine")
    assert pack.folder == installed / "mine"
    assert pack.manifest.embedder.preprocess.mean == (123.7, 116.3, 103.5)
    assert run("pack", "verify", "mine")[0] == 0
    names = [row["name"] for row in json.loads(run("pack", "list", "--json")[1])["packs"]]
    assert names == ["default", "mine"]
    out = run("pack", "list", "--commercial", "--json")[1]
    assert [row["name"] for row in json.loads(out)["packs"]] == ["default"]
    code, _, err = run("pack", "build", "mine", "--embedder", file, *words)
    assert (code, "is there already" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "declare the embedder's color, mean, std "),
        (("--color", "rgb", "--mean", "1", "--std", "1", "--detector", "gone"), "no pack 'gone'"),
    ],
)
def test_build_says_what_is_missing(words, said, file, installed, run):
    code, out, err = run("pack", "build", "mine", "--embedder", file, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert err.endswith(" (--color)\n") == (not words)
    assert not installed.exists()


@pytest.mark.parametrize("words", [("--mean", "1,2"), ("--std", "x"), ("--size", "112")])
def test_numbers_that_are_none_are_a_usage_error(words, file, run):
    code, _, err = run("pack", "build", "mine", "--embedder", file, *words)
    assert code == 2
    assert "expected" in err


def test_a_built_pack_is_read_back(file, tmp_path):
    folder = made(tmp_path / "pack", file).folder
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert read_pack(moved).manifest == read_pack(folder).manifest
