"""A checkpoint as ONNX: open batch, raw embeddings, metadata, nothing of the machine."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install '.[convert]'")
pytest.importorskip("onnxscript", reason="pip install '.[convert]'")

from made_embedders import FAMILY, Named, OneBatch, Small, faces, made_checkpoint  # noqa: E402
from onnx import ModelProto, TensorProto, helper  # noqa: E402

from visavis.convert.export import to_onnx  # noqa: E402
from visavis.convert.parity import pytorch_answers  # noqa: E402
from visavis.errors import ModelError  # noqa: E402
from visavis.insightface.rules import WINDOW, keep_names_apart, names_normalisation  # noqa: E402
from visavis.pack.metadata import read_metadata  # noqa: E402
from visavis.pack.onnx import read_network  # noqa: E402
from visavis.runtime import Device, Preprocess, load_model  # noqa: E402

EXACT = Device("cpu", precision="float32")


@pytest.fixture(scope="module")
def onnx():
    return to_onnx(made_checkpoint()).onnx


@pytest.mark.parametrize("batch", [1, 3, 8, 33])
def test_the_batch_is_open(onnx, batch):
    checkpoint, crops = made_checkpoint(), faces(batch)
    [found] = load_model(onnx, checkpoint.preprocess, EXACT)(crops)
    np.testing.assert_allclose(found, pytorch_answers(checkpoint, crops)[0], atol=1e-5)


def test_ends_have_names_and_an_open_batch(onnx):
    network = read_network(onnx)
    ends = [(port.name, port.type, port.dims) for port in (*network.inputs, *network.outputs)]
    assert ends == [
        ("input", TensorProto.FLOAT, ("batch", 3, 112, 112)),
        ("embedding", TensorProto.FLOAT, ("batch", 16)),
    ]


def test_embeddings_are_as_the_network_gives_them(onnx):
    [found] = load_model(onnx, FAMILY.preprocess, EXACT)(faces(2))
    assert np.abs(np.linalg.norm(found, axis=1) - 1).min() > 0.01


def test_the_norm_is_the_length_of_the_embedding():
    data = to_onnx(made_checkpoint(), norm_output=True).onnx
    assert [port.name for port in read_network(data).outputs] == ["embedding", "norm"]
    embedding, norm = load_model(data, FAMILY.preprocess, EXACT)(faces(5))
    assert norm.shape == (5, 1)
    np.testing.assert_allclose(norm[:, 0], np.linalg.norm(embedding, axis=1), rtol=1e-5)


def test_the_file_says_what_a_pack_needs(onnx):
    network = read_network(onnx)
    metadata = read_metadata(network)
    assert metadata.preprocess == FAMILY.preprocess
    assert (metadata.family, metadata.licence) == ("magface", FAMILY.licence)
    assert (metadata.height, metadata.width, metadata.dim) == (112, 112, 16)
    assert (metadata.source, metadata.source_sha256) == ("small.pth", "ab" * 32)
    assert metadata.weights_sha256 == network.weights_sha256
    assert network.metadata["mean"] == "[0.0, 0.0, 0.0]"


def test_the_same_checkpoint_gives_the_same_weights(onnx):
    assert read_network(to_onnx(made_checkpoint()).onnx).weights_sha256 == (
        read_network(onnx).weights_sha256
    )


def test_nothing_of_the_machine_is_in_the_file(onnx):
    for word in (b"/home", b"/tmp", b"/work", b".py", b"made_embedders", b"stack_trace"):
        assert word not in onnx
    assert not read_network(onnx).model.graph.doc_string


@pytest.mark.parametrize("opset", [17, 18, 20])
def test_opsets(opset):
    data = to_onnx(made_checkpoint(), opset=opset, norm_output=True).onnx
    model = read_network(data).model
    assert [entry.version for entry in model.opset_import] == [opset]
    assert model.ir_version == {17: 8, 18: 8, 20: 9}[opset]
    assert load_model(data, FAMILY.preprocess, EXACT)(faces(3))[0].shape == (3, 16)


@pytest.mark.parametrize("opset", [1, 9, 99])
def test_an_opset_that_cannot_be_written_is_an_error(opset):
    with pytest.raises(ModelError, match=r"opset|exported"):
        to_onnx(made_checkpoint(), opset=opset)


def test_insightface_does_not_take_nodes_for_a_normalisation():
    model = to_onnx(made_checkpoint(Named())).model
    assert {"Sub", "Mul"} <= {node.op_type for node in model.graph.node[:WINDOW]}
    assert not names_normalisation(model)


def test_misread_names_are_changed():
    nodes = [
        helper.make_node(kind, ["x", "x"], [f"y{kind}"], f"{kind}_0") for kind in ("Sub", "Mul")
    ]
    model = ModelProto()
    model.graph.node.extend(nodes)
    assert names_normalisation(model)
    keep_names_apart(model)
    assert not names_normalisation(model)
    assert [node.name for node in model.graph.node] == ["node_0_Sub_0", "node_1_Mul_0"]


def test_a_batch_that_is_closed_is_refused():
    with pytest.raises(ModelError, match="batch"):
        to_onnx(made_checkpoint(OneBatch()))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value):
    network = Small()
    network.embed.weight.data[0, 0] = value
    with pytest.raises(ModelError, match="NaN or infinity"):
        to_onnx(made_checkpoint(network))


@pytest.mark.parametrize("network", [torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(5, 5)])
def test_what_gives_no_embedding_is_refused(network):
    with pytest.raises(ModelError, match=r"expected \(2, D\)|refuses"):
        to_onnx(made_checkpoint(network))


def test_exporting_says_nothing(capfd, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_onnx(made_checkpoint())
    assert capfd.readouterr() == ("", "")
    assert [one for one in caplog.records if one.levelname not in ("DEBUG", "INFO")] == []


def test_other_pixels_are_kept():
    preprocess = Preprocess("rgb", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    metadata = read_metadata(read_network(to_onnx(made_checkpoint(preprocess=preprocess)).onnx))
    assert metadata.preprocess == preprocess
