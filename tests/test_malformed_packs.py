"""Networks and packs that are none: each is refused, by the library and by the command line.

Row 61 of the project's list of malformed inputs. Nothing outside a pack is read.
"""

import hashlib
import json
import re
import shutil
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
from malformed import HTML, MEGABYTES, measured, solid
from test_runtime import network

from visavis.detect import load_detector
from visavis.embedder import load_embedder
from visavis.errors import EmbeddingError, ModelError, PackError
from visavis.pack import load_pack
from visavis.runtime import Device

CROP = np.full((1, 112, 112, 3), 255, np.uint8)
PHOTO = np.zeros((480, 640, 3), np.uint8)
POOL = ("GlobalAveragePool", ["in"], ["p"], {})
CONV = ("Conv", ["p", "k"], ["c"], {})
FLATTEN = ("Flatten", ["c"], ["out"], {})
KERNEL = np.ones((128, 3, 1, 1), np.float32)
GIANT = ("ConstantOfShape", ["s"], ["g"], {})


def embedder(*nodes, kernel=KERNEL, tensors=(), **options) -> bytes:
    """A network that gives 128 means of a crop."""
    nodes = (POOL, CONV, *(nodes or (FLATTEN,)))
    return network(*nodes, tensors=[("k", kernel), *tensors], **options)


def changed(change):
    """The same after a change of its protobuf."""
    model = onnx.load_from_string(embedder())
    change(model)
    return model.SerializeToString()


def elsewhere(location):
    """Weights in a file of their own."""

    def change(model):
        (kernel,) = model.graph.initializer
        kernel.ClearField("raw_data")
        kernel.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("length", str(KERNEL.nbytes))):
            kernel.external_data.add(key=key, value=value)

    return changed(change)


def overlong(location):
    """The same, the key's length in two bytes where one would do: protobuf takes either."""
    data, key = elsewhere(location), b"\x08location"
    assert data.count(key) == 1
    # Every message around the key grows by a byte: only a scan of the bytes can still see it.
    return data.replace(key, b"\x88\x00location")


def detector(cells, value=1.0):
    """A network with YuNet's outputs of so many cells each, whatever the picture's size."""
    names = [f"out{row}" for row in range(12)]
    widths = [1] * 6 + [4] * 3 + [10] * 3
    shapes = [np.array([1, n, w], np.int64) for n, w in zip(cells, widths, strict=True)]
    nodes = [
        ("ReduceMean", ["in"], ["mean"], {"keepdims": 0}),
        ("Add", ["mean", "value"], ["m"], {}),
        *(("Expand", ["m", f"s{row}"], [name], {}) for row, name in enumerate(names)),
    ]
    tensors = [("value", np.float32(value)), *((f"s{row}", s) for row, s in enumerate(shapes))]
    return network(*nodes, tensors=tensors, outputs=names)


EMBEDDERS = {
    "empty": (b"", "cannot load this network"),
    "HTML": (HTML, "cannot load this network"),
    "cut": (embedder()[:400], "cannot load this network"),
    "operators of version 0": (changed(lambda m: setattr(m.opset_import[0], "version", 0)),
        "cannot load this network"),
    "unknown operator": (embedder(("Miracle", ["c"], ["out"], {})), "cannot load this network"),
    "smaller pictures": (embedder(shape=["N", 3, 64, 64]), "refuses"),
    "colours last": (embedder(kernel=np.ones((128, 112, 1, 1), np.float32),
        shape=["N", 112, 112, 3]), "refuses"),
    "four channels": (embedder(kernel=np.ones((128, 4, 1, 1), np.float32),
        shape=["N", 4, 112, 112]), "refuses"),
    "two inputs": (embedder(("Flatten", ["c"], ["f"], {}), ("Add", ["f", "more"], ["out"], {}),
        inputs=("in", "more")), "expected a network with one input, got 2"),
    "no output": (embedder(outputs=()), "got no output|At least one output"),
    "two outputs": (embedder(outputs=("out", "c")), r"expected \(\d, 128\) embeddings, got .* and"),
    "64 numbers": (embedder(kernel=KERNEL[:64]), r"expected .*, 128\) embeddings, got .*, 64\)"),
    "4 TB": (embedder(("Flatten", ["c"], ["f"], {}), GIANT,
        ("ReduceMax", ["g"], ["r"], {"keepdims": 0}), ("Add", ["f", "r"], ["out"], {}),
        tensors=[("s", np.array([10**6, 10**6], np.int64))]), "values of at most .*, got 1e.12"),
    "NaN": (embedder(kernel=KERNEL * np.float32("nan")), "expected finite embeddings"),
    "float16 NaN": (embedder(("Cast", ["c"], ["h"], {"to": onnx.TensorProto.FLOAT16}),
        ("Cast", ["h"], ["w"], {"to": onnx.TensorProto.FLOAT}), ("Flatten", ["w"], ["out"], {}),
        kernel=KERNEL * np.float32("nan")), "expected finite embeddings"),
}  # fmt: skip

CELLS = (4800, 1200, 300)  # of strides 8, 16 and 32 at 640x480
DETECTORS = {
    "empty": (b"", "cannot load this network"),
    "HTML": (HTML, "cannot load this network"),
    "an embedder": (embedder(), "declared for the decoder yunet, but its outputs fit none"),
    "no output": (embedder(outputs=()), "outputs fit none"),
    "other cells for boxes": (detector((*CELLS, *CELLS, 1, 1, 1, *CELLS)), "do not fit together"),
    "other cells for scores": (detector((3, 3, 3, 4, 4, 4, 3, 3, 3, 3, 3, 3)), "not fit together"),
    "NaN": (detector(CELLS * 4, np.nan), "answered with NaN or infinity"),
}


def packed(folder, which, data):
    """The default pack with another network, its hash in the manifest."""
    shutil.copytree(load_pack().folder, folder, dirs_exist_ok=True)
    (folder / f"{which}.onnx").write_bytes(data)
    document = json.loads((folder / "pack.json").read_bytes())
    document[which]["sha256"] = hashlib.sha256(data).hexdigest()
    document["embedder"]["int8"] = None
    (folder / "pack.json").write_text(json.dumps(document))
    return folder


def refused(run, words, said):
    """The command is refused in one line that says so."""
    code, out, err = run(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("visavis: ")
    assert re.search(said, err)
    if "--json" in words:
        assert f"visavis: {json.loads(out)['error']['message']}" in err
    else:
        assert out == ""


RUNTIMES = ["openvino", *(["onnxruntime"] if find_spec("onnxruntime") else [])]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("data", "said"), EMBEDDERS.values(), ids=EMBEDDERS)
def test_an_embedder_that_is_none_is_refused(data, said, runtime, tmp_path):
    pack = load_pack(packed(tmp_path, "embedder", data))

    def work():
        with pytest.raises((ModelError, EmbeddingError), match=said):
            load_embedder(pack, device=Device(runtime=runtime))(CROP)

    cost = measured(work)
    # An operator that is not known is tried in a process of its own.
    assert cost.seconds < (5 if b"Miracle" in data else 0.25)
    assert cost.megabytes < MEGABYTES


@pytest.mark.pack
@pytest.mark.parametrize(("data", "said"), EMBEDDERS.values(), ids=EMBEDDERS)
def test_an_embedder_that_is_none_is_refused_by_command(data, said, run, portraits, tmp_path):
    photos = portraits / "obama.jpg", portraits / "obama2.jpg"
    folder = packed(tmp_path / "pack", "embedder", data)
    refused(run, ("verify", *photos, "--pack", folder, "--json"), said)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("data", "said"), DETECTORS.values(), ids=DETECTORS)
def test_a_detector_that_is_none_is_refused(data, said, runtime, run, tmp_path):
    folder = packed(tmp_path / "pack", "detector", data)
    with pytest.raises((ModelError, PackError), match=said):
        load_detector(load_pack(folder), device=Device(runtime=runtime))(PHOTO)
    (tmp_path / "photo.png").write_bytes(solid(640, 480))
    words = ("detect", tmp_path / "photo.png", "--pack", folder, "--runtime", runtime)
    refused(run, words, said)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("build", [elsewhere, overlong])
@pytest.mark.parametrize("place", ["absolute", "inside.bin", "../outside.bin", "above/../x.bin"])
def test_weights_in_another_file_are_not_read(place, build, runtime, tmp_path, monkeypatch):
    outside, inside = tmp_path / "outside.bin", tmp_path / "pack" / "inside.bin"
    data = build(str(outside) if place == "absolute" else place)
    pack = load_pack(packed(tmp_path / "pack", "embedder", data))
    for path in (outside, inside):
        path.write_bytes(KERNEL.tobytes())
    monkeypatch.chdir(pack.folder)
    with pytest.raises(ModelError, match="weights in another file"):
        load_embedder(pack, device=Device(runtime=runtime))


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def written(text):
    return lambda folder: (folder / "pack.json").write_bytes(text)


def with_dim(dim):
    """Another number of numbers in the manifest."""

    def change(folder):
        document = json.loads((folder / "pack.json").read_bytes())
        document["embedder"]["dim"] = dim
        (folder / "pack.json").write_text(json.dumps(document))

    return change


PACKS = {
    "gone": (lambda folder: (folder / "pack.json").unlink(), "neither a folder with a pack.json"),
    "no JSON": (written(HTML), "pack.json: cannot be read as JSON"),
    "deep": (written(b"[" * 100_000), "pack.json: cannot be read as JSON"),
    "list": (written(b"[]"), "pack.json: the document"),
    "newer": (written(b'{"format": 9}'), "install a newer visavis"),
    "no numbers": (with_dim(0), "embedder.dim: expected 1 to 65536, got 0"),
    "too many numbers": (with_dim(10**15), "embedder.dim: expected 1 to 65536, got 10"),
    "model gone": (lambda folder: (folder / "embedder.onnx").unlink(), "No such file"),
    "model cut": (lambda folder: (folder / "embedder.onnx").write_bytes(b"\x08\x08"),
        "embedder.onnx: the file is damaged .* wanted sha256 .* found"),
    "one bit off": (lambda folder: flipped(folder / "embedder.onnx"), "wanted sha256 .* found"),
    "model a folder": (lambda folder: ((folder / "embedder.onnx").unlink(),
        (folder / "embedder.onnx").mkdir()), "embedder.onnx: .* directory"),
}  # fmt: skip


@pytest.mark.pack
@pytest.mark.parametrize(("damage", "said"), PACKS.values(), ids=PACKS)
def test_a_damaged_pack_is_refused_by_command(damage, said, run, tmp_path):
    folder = shutil.copytree(load_pack().folder, tmp_path / "pack")
    damage(folder)
    (tmp_path / "photo.png").write_bytes(solid(64, 64))
    photos = tmp_path / "photo.png", tmp_path / "photo.png"
    refused(run, ("pack", "info", folder), said)
    refused(run, ("verify", *photos, "--pack", folder, "--precision", "float32"), said)
