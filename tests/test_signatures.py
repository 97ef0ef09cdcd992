"""Which decoder a network's outputs fit, and what is said of a pack that declares another."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from visavis.detect import DECODERS, load_detector
from visavis.errors import PackError
from visavis.pack import load_pack
from visavis.pack.signatures import LAST_DIMENSIONS, decoder_of


def flat(*last):
    """Shapes without a batch axis, as the peer's SCRFD files have them."""
    return [(100 * row + 8, size) for row, size in enumerate(last)]


def batched(*last):
    return [(1, *shape) for shape in flat(*last)]


def dynamic(*last):
    return [(None, None, size) for size in last]


YUNET = (1,) * 6 + (4,) * 3 + (10,) * 3
SCRFD_6 = (1,) * 3 + (4,) * 3
SCRFD_9 = (*SCRFD_6, *(10,) * 3)
SCRFD_10 = (1,) * 5 + (4,) * 5
SCRFD_15 = (*SCRFD_10, *(10,) * 5)


@pytest.mark.parametrize("shapes", [flat, batched, dynamic])
@pytest.mark.parametrize(
    ("last", "decoder"),
    [
        (YUNET, "yunet"),
        (SCRFD_6, "scrfd"),
        (SCRFD_9, "scrfd"),
        (SCRFD_10, "scrfd"),
        (SCRFD_15, "scrfd"),
        ((), None),
        ((1,), None),
        ((128,), None),  # an embedder
        ((4,) * 3 + (1,) * 3, None),  # the right sizes in another order
        ((1, 4, 10) * 3, None),  # by stride, not by kind
        ((1,) * 3 + (4,) * 3 + (10,) * 2, None),
        ((2,) * 3 + (4,) * 3, None),  # two classes
        ((1,) * 6 + (4,) * 3 + (14,) * 3, None),  # seven points
        (SCRFD_9 * 2, None),
    ],
)
def test_the_last_dimensions_name_the_decoder(last, decoder, shapes):
    assert decoder_of(shapes(*last)) == decoder


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param([(None, None)] * 12, id="dynamic to the last"),
        pytest.param([*flat(*SCRFD_9[:-1]), (8, None)], id="one of them dynamic"),
        pytest.param([(1,)] * 3 + [(4,)] * 3, id="rank 1"),
        pytest.param([(1, 1, 8, size) for size in SCRFD_9], id="rank 4"),
        pytest.param([*flat(*SCRFD_9[:-1]), (1, 1, 8, 10)], id="one of rank 4"),
        pytest.param([()] * 9, id="scalars"),
    ],
)
def test_other_shapes_fit_none(shapes):
    assert decoder_of(shapes) is None


def test_some_outputs_may_have_a_batch_axis_and_others_none():
    assert decoder_of([*flat(*SCRFD_6[:3]), *batched(*SCRFD_6[3:])]) == "scrfd"


def test_every_decoder_has_a_signature():
    assert set(LAST_DIMENSIONS.values()) == set(DECODERS)


def remade(pack, folder, onnx=None, **detector):
    """A copy of the default pack with another manifest, and maybe another detector."""
    shutil.copytree(pack.folder, folder)
    document = json.loads((folder / "pack.json").read_bytes())
    document["detector"].update(detector)
    if onnx is not None:
        (folder / "detector.onnx").write_bytes(onnx)
        document["detector"]["sha256"] = hashlib.sha256(onnx).hexdigest()
    (folder / "pack.json").write_text(json.dumps(document))
    return load_pack(folder)


def network(*last):
    """A detector that sees nothing, with outputs (1, 8, last)."""
    nodes = [
        helper.make_node("ReduceMean", ["in"], ["rows"], axes=[1], keepdims=0),  # (1, H, W)
        helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1, 2], keepdims=1),  # (1, 1, 1)
        *(
            helper.make_node("Mul", ["mean", f"zeros{row}"], [f"out{row}"])
            for row in range(len(last))
        ),
    ]
    zeros = [np.zeros((1, 8, size), np.float32) for size in last]
    graph = helper.make_graph(
        nodes,
        "blind",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 3, "H", "W"])],
        [
            helper.make_tensor_value_info(f"out{row}", TensorProto.FLOAT, array.shape)
            for row, array in enumerate(zeros)
        ],
        [numpy_helper.from_array(array, f"zeros{row}") for row, array in enumerate(zeros)],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


@pytest.mark.pack
def test_a_pack_that_is_changed_in_nothing_loads(pack, tmp_path):
    detect = load_detector(remade(pack, tmp_path / "pack"))
    assert detect(np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.pack
def test_a_pack_that_declares_another_decoder_is_refused(pack, tmp_path):
    with pytest.raises(PackError) as refused:
        load_detector(remade(pack, tmp_path / "pack", decoder="scrfd"))
    message = str(refused.value)
    assert str(tmp_path / "pack" / "detector.onnx") in message
    assert "declared for the decoder scrfd, but its outputs fit yunet" in message


@pytest.mark.pack
def test_a_network_that_fits_no_decoder_is_refused_with_its_shapes(pack, tmp_path):
    onnx = network(1, 4, 10)
    with pytest.raises(PackError) as refused:
        load_detector(remade(pack, tmp_path / "pack", onnx))
    message = str(refused.value)
    assert "fit none of scrfd, yunet" in message
    assert "(1, 8, 1), (1, 8, 4), (1, 8, 10)" in message


@pytest.mark.pack
@pytest.mark.parametrize("last", [SCRFD_6, SCRFD_9, SCRFD_10, SCRFD_15])
def test_an_scrfd_network_declared_for_yunet_is_refused(pack, tmp_path, last):
    onnx = network(*last)
    with pytest.raises(PackError, match=r"declared for the decoder yunet, .* fit scrfd"):
        load_detector(remade(pack, tmp_path / "wrong", onnx))
    assert load_detector(remade(pack, tmp_path / "right", onnx, decoder="scrfd"))
