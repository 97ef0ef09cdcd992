"""InsightFace's folders and zips to packs: its rules, its terms, and what is refused."""

import json
import os
import zipfile

import numpy as np
import onnx
import pytest
from made_networks import DIM, METADATA, elsewhere, noted, recogniser, scaler
from malformed import HTML

from visavis.detect import load_detector
from visavis.embedder import load_embedder
from visavis.errors import PackError, VisavisError
from visavis.insightface.as_scrfd import as_detector
from visavis.insightface.read import import_pack
from visavis.insightface.rules import task_of
from visavis.pack import load_pack
from visavis.pack.declaration import Declaration, Declared
from visavis.pack.onnx import read_network
from visavis.pack.verify import verify_pack
from visavis.runtime import Preprocess

HALVES = Preprocess("rgb", (127.5,) * 3, (127.5,) * 3)
CROPS = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)


@pytest.fixture(scope="module")
def scrfd(pack):
    """A detector with SCRFD's nine outputs, without a word of its origin."""
    spec = pack.manifest.detector
    model, _ = as_detector(read_network(pack.folder / spec.file), spec)
    return model.SerializeToString()


@pytest.fixture
def folder(tmp_path, scrfd):
    """As buffalo_l is: two landmark networks, a detector, attributes, a recogniser."""
    files = {
        "1k3d68.onnx": scaler((192, 192), (3309,)),
        "2d106det.onnx": scaler((192, 192), (212,)),
        "det_10g.onnx": scrfd,
        "genderage.onnx": scaler((96, 96), (3,)),
        "w600k_r50.onnx": recogniser(batch="None"),
    }
    (tmp_path / "buffalo").mkdir()
    for name, data in files.items():
        (tmp_path / "buffalo" / name).write_bytes(data)
    return tmp_path / "buffalo"


def zipped(folder, path, below=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, below + file.name)
    return path


def imported(source, tmp_path, **options):
    return import_pack(source, folder=tmp_path / "pack", name="mine", **options)


@pytest.mark.pack
def test_a_folder_becomes_a_pack(folder, tmp_path):
    found = imported(folder, tmp_path)
    manifest = found.pack.manifest
    assert manifest.detector.decoder == "scrfd"
    assert manifest.detector.preprocess == Preprocess("rgb", (127.5,) * 3, (128.0,) * 3)
    assert (manifest.embedder.name, manifest.embedder.dim) == ("w600k_r50", DIM)
    assert manifest.embedder.preprocess == HALVES
    for origin in (manifest.detector.origin, manifest.embedder.origin):
        assert (origin.licence, origin.commercial) == ("non-commercial research", "no")
    assert manifest.embedder.origin.training_data == "WebFace600K"
    assert found.notes == (
        "1k3d68.onnx: left aside: a network for landmarks",
        "2d106det.onnx: left aside: a network for landmarks",
        "det_10g.onnx: the detector, scrfd",
        "genderage.onnx: left aside: a network for attributes",
        f"w600k_r50.onnx: the embedder, {manifest.embedder.model}",
    )
    assert {f.level for f in verify_pack(found.pack.folder)} == {"ok", "warning"}
    assert load_embedder(found.pack)(CROPS).shape == (3, DIM)
    assert load_detector(found.pack)(np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.pack
@pytest.mark.parametrize("below", ["", "antelopev2/"], ids=["flat", "nested"])
def test_a_zip_is_the_folder_in_it(below, folder, tmp_path):
    path = zipped(folder, tmp_path / "buffalo.zip", below)
    assert (
        imported(path, tmp_path).pack.manifest
        == import_pack(folder, folder=tmp_path / "other", name="mine").pack.manifest
    )


@pytest.mark.pack
def test_what_is_given_goes_before_the_rules_and_the_terms(folder, tmp_path):
    declared = Declared(licence="MIT", commercial="yes", mean=(0.0,) * 3)
    manifest = imported(folder, tmp_path, declaration=Declaration(declared)).pack.manifest
    assert (manifest.embedder.origin.licence, manifest.embedder.origin.commercial) == ("MIT", "yes")
    assert manifest.embedder.preprocess == Preprocess("rgb", (0.0,) * 3, (127.5,) * 3)
    assert manifest.detector.origin.commercial == "no"


@pytest.mark.pack
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), HALVES),
        (("Sub_0", "Mul_0"), Preprocess()),
        (("_minusscalar0", "_mulscalar0"), Preprocess()),
        (("x", "Mul", "y", "Subtract"), Preprocess()),
        (("/Sub", "/Mul"), HALVES),
        (("node_sub", "node_mul"), HALVES),
        (("Sub_0", "Div_0"), HALVES),
        (("Mul_0", "Mul_1"), HALVES),
    ],
)
def test_names_of_nodes_say_whether_the_graph_normalises(names, expected, folder, tmp_path):
    (folder / "w600k_r50.onnx").write_bytes(recogniser(names=names))
    assert imported(folder, tmp_path).pack.manifest.embedder.preprocess == expected


@pytest.mark.pack
def test_the_ninth_node_says_nothing(folder, tmp_path):
    network = onnx.load_from_string(recogniser())
    for place in range(8):
        node = onnx.helper.make_node(
            "Identity", [f"i{place}" if place else "data"], [f"i{place + 1}"]
        )
        network.graph.node.insert(place, node)
    for node, name in zip(list(network.graph.node)[8:], ("Sub_0", "Mul_0"), strict=False):
        node.name = name
    network.graph.node[8].input[0] = "i8"
    (folder / "w600k_r50.onnx").write_bytes(network.SerializeToString())
    assert imported(folder, tmp_path).pack.manifest.embedder.preprocess == HALVES


@pytest.mark.pack
def test_what_our_own_files_say_goes_before_the_rules(folder, tmp_path):
    (folder / "w600k_r50.onnx").write_bytes(noted(recogniser(), **METADATA))
    spec = imported(folder, tmp_path).pack.manifest.embedder
    assert (spec.name, spec.origin.licence) == ("made", "CC0-1.0")
    assert spec.preprocess == Preprocess("bgr", (127.5,) * 3, (128.0,) * 3)


@pytest.mark.pack
def test_the_first_file_of_each_task_wins(folder, tmp_path):
    (folder / "glintr100.onnx").write_bytes(recogniser(seed=1))
    found = imported(folder, tmp_path)
    assert found.pack.manifest.embedder.name == "glintr100"
    assert found.pack.manifest.embedder.origin.training_data == "Glint360K"
    assert found.notes[-1] == "w600k_r50.onnx: left aside: another network is used for recognition"


@pytest.mark.pack
def test_a_recogniser_alone_takes_another_packs_detector(folder, tmp_path, pack):
    (folder / "det_10g.onnx").unlink()
    with pytest.raises(PackError, match=r"expected a detector; .*: name another pack's detector"):
        imported(folder, tmp_path)
    found = imported(folder, tmp_path, detector=str(pack.folder))
    assert found.pack.manifest.detector == pack.manifest.detector


@pytest.mark.parametrize(
    ("data", "task"),
    [
        (recogniser(), "recognition"),
        (scaler((112, 112), (8,) * 5), "detection"),
        (scaler((192, 192), (8,) * 5), "detection"),
        (scaler((192, 192), (8,)), "landmarks"),
        (scaler((96, 96), (8,)), "attributes"),
        (scaler((128, 128), (8,)), "recognition"),
        (scaler((160, 160), (8,)), "recognition"),
        (scaler((120, 120), (8,)), None),
        (scaler((112, 96), (8,)), None),
        (scaler((80, 80), (8,)), None),
        (scaler(("h", "w"), (8,)), None),
        (scaler(("s", "s"), (8,)), None),
        (scaler((112,), (8,)), None),
    ],
)
def test_shapes_say_what_a_network_is_for(data, task):
    assert task_of(read_network(data)) == task


def test_a_lone_file_is_imported_with_what_is_said_of_it(tmp_path, pack):
    file = tmp_path / "mine.onnx"
    file.write_bytes(recogniser())
    with pytest.raises(PackError, match="declare the embedder's color, mean, std "):
        imported(file, tmp_path, detector=str(pack.folder))
    declared = Declared(color="bgr", mean=(0.0,) * 3, std=(255.0,) * 3)
    found = imported(file, tmp_path, declaration=Declaration(declared), detector=str(pack.folder))
    assert found.pack.manifest.embedder.preprocess == Preprocess("bgr", (0.0,) * 3, (255.0,) * 3)
    assert found.pack.manifest.embedder.origin.licence == "not stated"


def without_recogniser(folder):
    (folder / "w600k_r50.onnx").unlink()


def put(name, data):
    return lambda folder: (folder / name).write_bytes(
        data if isinstance(data, bytes) else data(folder)
    )


FOLDERS = {
    "empty": (lambda f: [p.unlink() for p in f.iterdir()], "expected (one folder with|1 to)"),
    "no recogniser": (without_recogniser, "expected an embedder; found 1k3d68.onnx: left aside"),
    "96x96": (put("w600k_r50.onnx", scaler((96, 96), (512,))), "expected an embedder; found"),
    "528x528": (put("w600k_r50.onnx", scaler((528, 528), (8,))), "at most 112x112"),
    "HTML": (put("w600k_r50.onnx", HTML), r"w600k_r50\.onnx: expected an ONNX file"),
    "HTML aside": (put("a.onnx", HTML), r"a\.onnx: expected an ONNX file"),
    "no landmarks": (put("det_10g.onnx", scaler((64, 64), (1,) * 3 + (4,) * 3)), "det_10g"),
    "outside": (put("w600k_r50.onnx", lambda f: elsewhere(recogniser(), f, "../weights.bin")),
        "expected a file beside it"),
    "version 2": (put("manifest.json", b'{"manifest_version": 2}'), "is of version 2"),
    "two folders": (lambda f: [(f / n).mkdir() or (f / "w600k_r50.onnx").replace(f / n / "r.onnx")
        if n == "a" else (f / "b").mkdir() for n in ("a", "b")], "expected an embedder"),
}  # fmt: skip


@pytest.mark.pack
@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize(("harm", "said"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_that_makes_no_pack_is_refused(harm, said, form, folder, tmp_path):
    harm(folder)
    source = folder
    if form == "zip":
        source = zipped(folder, tmp_path / "buffalo.zip")
    with pytest.raises(VisavisError, match=said):
        imported(source, tmp_path)
    assert not (tmp_path / "pack").exists()


def link_in_zip(archive):
    info = zipfile.ZipInfo("det.onnx")
    info.external_attr = 0o120777 << 16
    archive.writestr(info, "/etc/passwd")


ZIPS = {
    "up": lambda archive: archive.writestr("../evil.onnx", recogniser()),
    "absolute": lambda archive: archive.writestr("/tmp/evil.onnx", recogniser()),
    "a link": link_in_zip,
    "thousands": lambda archive: [archive.writestr(f"{n}.onnx", b"") for n in range(3000)],
    "empty": lambda archive: None,
}


@pytest.mark.parametrize("fill", ZIPS.values(), ids=ZIPS)
def test_a_zip_that_leads_elsewhere_is_refused(fill, tmp_path):
    path = tmp_path / "in" / "evil.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        fill(archive)
    with pytest.raises(VisavisError, match=r"evil\.zip: "):
        imported(path, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["in"]


@pytest.mark.parametrize("data", [b"", HTML, b"PK\3\4" + bytes(40)], ids=["empty", "HTML", "cut"])
def test_what_is_no_zip_is_refused(data, tmp_path):
    (tmp_path / "buffalo.zip").write_bytes(data)
    with pytest.raises(VisavisError, match=r"buffalo\.zip"):
        imported(tmp_path / "buffalo.zip", tmp_path)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(PackError, match="expected a folder, a zip or an ONNX file, found none"):
        imported(tmp_path / "gone", tmp_path)


@pytest.mark.pack
def test_import_by_command(folder, tmp_path, monkeypatch, run):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    code, out, _ = run("pack", "import", folder, "--json")
    document = json.loads(out)
    assert (code, document["name"], document["commercial"]) == (0, "buffalo", ["no", "no"])
    assert len(document["notes"]) == 5
    assert load_pack("buffalo").manifest.embedder.model == document["model"]
    code, out, _ = run("pack", "import", folder, "--name", "other", "--detector", "default")
    assert code == 0
    assert "det_10g.onnx: left aside: another network is used for detection" in out
