"""Detectors' checkpoints load strictly, answer as others' ONNX files do, and convert."""

from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="torch is of the extra convert: pip install '.[convert]'"
)

import onnx  # noqa: E402
from conftest import share  # noqa: E402
from made_detectors import CHECKPOINTS, EXACT, five_detectors, network  # noqa: E402
from made_weights import made_tensor, read_fixture  # noqa: E402

from visavis.checkpoints.detectors import (  # noqa: E402
    DETECTOR_FAMILIES,
    is_detector,
    load_detector_checkpoint,
)
from visavis.checkpoints.weights import read_weights  # noqa: E402
from visavis.convert import parity  # noqa: E402
from visavis.convert.detectors import convert_detector, detector_to_onnx  # noqa: E402
from visavis.convert.parity import pytorch_answers  # noqa: E402
from visavis.decode import DECODERS, decoder_of  # noqa: E402
from visavis.decode.yolov5face import ANCHORS  # noqa: E402
from visavis.errors import CheckpointError, ModelError  # noqa: E402
from visavis.image import read_image  # noqa: E402
from visavis.networks.resnet import ResNet50  # noqa: E402
from visavis.networks.retinaface import RetinaFace  # noqa: E402
from visavis.networks.yolov5face import YoloV5Face  # noqa: E402
from visavis.networks.yunet import YuNet  # noqa: E402
from visavis.pack.metadata import read_detector_metadata  # noqa: E402
from visavis.pack.onnx import read_network  # noqa: E402
from visavis.runtime import Preprocess, load_model  # noqa: E402

MADE = {
    "retinaface-resnet50": lambda: RetinaFace(ResNet50(), 256),
    "yunet": lambda: YuNet((16, 16, 32, 64, 64, 64, 64)),  # the widths of yunet_s
    "yolov5face-n-0.5": YoloV5Face,
}
PLACES = {  # where a picture of 128x256 is looked at: cells of strides 8, 16 and 32, and each one's
    "retinaface-resnet50": 2 * (16 * 32 + 8 * 16 + 4 * 8),
    "yunet": 16 * 32 + 8 * 16 + 4 * 8,
    "yolov5face-n-0.5": 3 * (16 * 32 + 8 * 16 + 4 * 8),
}
# RetinaFace on ResNet-50, as its project's checkpoints have it: of 456 tensors, the telling ones.
RESNET50 = {
    "body.conv1.weight": (64, 3, 7, 7),
    "body.layer1.0.downsample.1.running_var": (256,),
    "body.layer2.0.downsample.0.weight": (512, 256, 1, 1),
    "body.layer3.5.conv2.weight": (256, 256, 3, 3),
    "body.layer4.2.bn3.num_batches_tracked": (),
    "fpn.output3.0.weight": (256, 2048, 1, 1),
    "fpn.merge2.0.weight": (256, 256, 3, 3),
    "ssh1.conv3X3.0.weight": (128, 256, 3, 3),
    "ssh1.conv7x7_3.0.weight": (64, 64, 3, 3),
    "ssh3.conv7X7_2.1.weight": (64,),
    "ClassHead.0.conv1x1.bias": (4,),
    "BboxHead.1.conv1x1.weight": (8, 256, 1, 1),
    "LandmarkHead.2.conv1x1.weight": (20, 256, 1, 1),
}
# What another implementation of it, written apart from ours, answers with made weights to a made
# picture of 64x96: a row of each stride, 4 of box, 2 of shares, 10 of points.
RESNET50_ROWS = {
    100: [-0.26897, -1.03464, -0.49041, 2.83703, 0.08666, 0.91334, -3.91837, 0.10807,
          0.794, -2.60655, -3.67808, 1.77076, -2.22416, -1.88766, 5.17154, -1.62885],
    230: [-2.22167, -0.60904, -2.10436, 0.96206, 0.33757, 0.66243, -1.45388, 3.4814,
          -1.37889, -0.14866, 0.85648, 0.37526, -0.23359, -0.77303, 1.45741, -0.82995],
    245: [0.42762, -0.94532, 0.90102, 0.1702, 0.8532, 0.1468, -0.84968, 0.31637,
          -0.39707, 1.14687, 2.2265, -0.21225, 0.08922, 0.87992, -0.41375, -0.46511],
}  # fmt: skip
# Keys and shapes of detectors that are not read.
UNREAD = {
    "RetinaFace resnet18, newer naming": {
        "body.layer4.1.conv2.weight": (512, 512, 3, 3),
        "class_head.class_head.0.weight": (4, 128, 1, 1),
    },
    "RetinaFace mobilenet 0.25, newer naming": {
        "body.stage1.0.0.weight": (8, 3, 3, 3),
        "bbox_head.bbox_head.0.weight": (8, 64, 1, 1),
    },
    "RetinaFace mobilenet 0.5": {
        "body.stage1.0.0.weight": (16, 3, 3, 3),
        "BboxHead.0.conv1x1.weight": (8, 64, 1, 1),
    },
    "SCRFD": {
        "backbone.conv1.weight": (16, 3, 3, 3),
        "bbox_head.stride_kps.(8, 8).weight": (20, 64, 3, 3),
    },
    "YOLOv5-face s": {
        "model.0.stem_1.conv.weight": (32, 3, 3, 3),
        "model.21.anchor_grid": (3, 1, 3, 1, 1, 2),
    },
    "YOLOv8-face": {"model.22.dfl.conv.weight": (1, 16, 1, 1)},
}


def saved(network, path, change=lambda tensors: tensors):
    torch.save(change(dict(network.state_dict())), path)
    return path


def test_retinaface_on_resnet50_has_the_keys_of_its_projects_checkpoints():
    with torch.device("meta"):
        network = MADE["retinaface-resnet50"]()
    state = network.state_dict()
    assert len(state) == 456
    assert sum(tensor.numel() for tensor in network.parameters()) == 27_293_600
    assert {key: tuple(state[key].shape) for key in RESNET50} == RESNET50


def test_retinaface_on_resnet50_answers_as_another_implementation_does():
    network = MADE["retinaface-resnet50"]().eval()
    network.load_state_dict(
        {key: made_tensor(key, tuple(old.shape)) for key, old in network.state_dict().items()}
    )
    picture = np.random.default_rng(7).uniform(-120, 130, (1, 3, 64, 96)).astype(np.float32)
    with torch.inference_mode():
        answer = torch.cat(network(torch.from_numpy(picture)), dim=2)[0].numpy()
    assert len(answer) == 2 * (8 * 12 + 4 * 6 + 2 * 3)
    np.testing.assert_allclose(
        answer[[*RESNET50_ROWS]], [*RESNET50_ROWS.values()], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("family", MADE)
def test_a_state_dict_finds_its_family_and_its_decoder(family, tmp_path):
    torch.manual_seed(0)
    network = MADE[family]().eval()
    wrapped = saved(
        network, tmp_path / "a.pth", lambda tensors: {f"module.{k}": v for k, v in tensors.items()}
    )
    checkpoint = load_detector_checkpoint(wrapped)
    assert checkpoint.family is DETECTOR_FAMILIES[family]
    assert is_detector(read_weights(wrapped).tensors)
    picture = np.random.default_rng(0).integers(0, 256, (1, 128, 256, 3), np.uint8)
    outputs = pytorch_answers(checkpoint, picture)
    decoder = checkpoint.family.decoder
    assert decoder_of([one.shape for one in outputs]) is decoder
    assert tuple(one.size for one in outputs) in decoder.numbers(128, 256)
    found = decoder.decode(outputs, 128, 256, min_score=0)
    assert len(found.scores) == PLACES[family]
    assert len(DETECTOR_FAMILIES[family].outputs) == len(outputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {k: v for k, v in t.items() if "ssh2" not in k}, "25 missing: ssh2"),
        (lambda t: {**t, "more": torch.ones(1)}, "1 unexpected: more"),
        (lambda t: {**t, "ssh1.conv3X3.1.bias": torch.ones(3)}, "1 of another shape: ssh1"),
        (lambda t: {**t, "ssh1.conv3X3.1.bias": torch.full((32,), torch.nan)}, "infinite: ssh1"),
        (lambda t: {**t, "body.stage1.0.0.weight": t["body.stage1.0.0.weight"].long()},
         r"body.stage1.0.0.weight \(expected \(8, 3, 3, 3\), got \(8, 3, 3, 3\) torch.int64\)"),
        (lambda t: {**t, "module.fpn.output1.1.bias": t["fpn.output1.1.bias"]},
         r"with module\. and without"),
        (lambda t: {"a": torch.ones(2)}, "of no detector known here"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(change, message, data, tmp_path):
    tensors = read_weights(data / "models" / CHECKPOINTS["retinaface"]).tensors
    torch.save(change(tensors), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message) as refused:
        load_detector_checkpoint(tmp_path / "a.pth")
    assert str(tmp_path / "a.pth") in str(refused.value)


@pytest.mark.parametrize("wrapped", ["", "module."])
@pytest.mark.parametrize("name", UNREAD)
def test_a_detector_that_is_not_read_is_called_one(name, wrapped, tmp_path):
    tensors = {wrapped + key: torch.ones(shape) for key, shape in UNREAD[name].items()}
    assert is_detector(tensors)
    torch.save({"state_dict": tensors}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a detector's, .* give that file to visavis pack"):
        load_detector_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "missing", ["backbone.model0.conv1.weight", "neck.lateral_convs.0.bn.bias"]
)
def test_a_yunet_with_keys_missing_is_still_one(missing, tmp_path):
    path = saved(
        MADE["yunet"](), tmp_path / "a.pth",
        lambda tensors: {key: value for key, value in tensors.items() if key != missing},
    )  # fmt: skip
    with pytest.raises(CheckpointError, match=f"1 missing: {missing}"):
        load_detector_checkpoint(path)


def test_no_embedders_keys_are_a_detectors(data):
    names = [path.stem for path in (data / "fixtures").glob("*.json")]
    assert names
    assert [name for name in names if is_detector(read_fixture(data / "fixtures", name).keys)] == []


def test_an_embedders_checkpoint_is_no_detectors(data):
    path = data / "models" / "mobilefacenet_foamliu.pt"
    assert not is_detector(read_weights(path).tensors)
    with pytest.raises(CheckpointError, match="of no detector known here"):
        load_detector_checkpoint(path)


def test_anchors_and_strides_are_the_checkpoints(data):
    checkpoint = load_detector_checkpoint(data / "models" / CHECKPOINTS["yolov5face"])
    head = checkpoint.network.model["21"]
    assert head.anchor_grid.flatten(1).tolist() == [
        [float(side) for anchor in level for side in anchor] for level in ANCHORS[3]
    ]
    before = pytorch_answers(checkpoint, np.zeros((1, 64, 96, 3), np.uint8))[0]
    head.anchor_grid *= 2
    head.anchors *= 2  # the stride is their ratio: it stays, and every size is doubled
    after = pytorch_answers(checkpoint, np.zeros((1, 64, 96, 3), np.uint8))[0]
    np.testing.assert_allclose(after[..., :2], before[..., :2], rtol=1e-5)
    np.testing.assert_allclose(after[..., 2:4], 2 * before[..., 2:4], rtol=1e-5)
    # A landmark is so many anchors from the corner of its cell.
    corners = np.concatenate([
        np.tile([(x, y) for y in range(0, 64, stride) for x in range(0, 96, stride)], (3, 5))
        for stride in (8, 16, 32)
    ])  # fmt: skip
    near, far = before[0, :, 5:15] - corners, after[0, :, 5:15] - corners
    assert np.abs(near).mean() > 1
    np.testing.assert_allclose(far, 2 * near, rtol=1e-4, atol=1e-3)


def test_yunets_checkpoint_answers_as_its_publishers_onnx(data):
    checkpoint = load_detector_checkpoint(data / "models" / CHECKPOINTS["yunet.pth"])
    theirs = load_model(
        (data / "models" / "yunet_n_dynamic.onnx").read_bytes(), Preprocess("bgr"), EXACT
    )
    boxes = 0
    for path in sorted((data / "data" / "lfw_people").rglob("*.jpg"))[:: 1580 // share(200)]:
        picture = np.ascontiguousarray(read_image(path)[None, :224, :224])
        ours, other = pytorch_answers(checkpoint, picture), theirs(picture)
        for a, b in zip(ours, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
        found, expected = (
            DECODERS["yunet"].decode(outputs, 224, 224, min_score=0.6) for outputs in (ours, other)
        )
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.01)
        np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.01)
        boxes += len(found.scores)
    assert boxes > share(200)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_converted_detector_is_the_checkpoints_in_every_runtime(name, data, tmp_path):
    report = convert_detector(data / "models" / CHECKPOINTS[name], tmp_path / "a.onnx")
    assert max(report.parity.values()) < 1e-4
    model = onnx.load(tmp_path / "a.onnx")
    assert [value.name for value in model.graph.output] == [
        *DETECTOR_FAMILIES[report.family].outputs
    ]
    assert [d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch", "", "32*rows", "32*columns",
    ]  # fmt: skip
    notes = read_detector_metadata(read_network(tmp_path / "a.onnx"))
    assert notes is not None
    assert (notes.decoder, notes.source_sha256) == (report.decoder, report.source_sha256)
    assert str(tmp_path) not in (tmp_path / "a.onnx").read_bytes().decode("latin-1")
    loaded = load_model((tmp_path / "a.onnx").read_bytes(), report.preprocess, EXACT)
    detect = five_detectors(data)[name]
    for path in sorted((data / "data" / "lfw_people").rglob("*.jpg"))[::400]:
        (a, *_), (b, *_) = (
            replaced(read_image(path)) for replaced in (detect, with_model(detect, loaded))
        )
        np.testing.assert_allclose(a.box, b.box, atol=0.05)
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=0.05)


def with_model(detect, model):
    from dataclasses import replace

    return replace(detect, model=model)


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        ([[1, 2]], [[1, 2.002]], None),
        (
            [[1, 2]],
            [[1, 2.01]],
            r"is not the checkpoint's: in .* differs by 3\.3e-03 of .* written",
        ),
        ([[1, np.nan]], [[1, np.nan]], "differs by nan"),
        ([[1, np.inf]], [[1, np.inf]], "differs by nan"),
        ([[1, 2]], [[1, 2, 3]], r"answers \(1, 3\), PyTorch \(1, 2\)"),
    ],
)
def test_every_number_must_be_the_checkpoints(theirs, ours, message, monkeypatch):
    monkeypatch.setattr(parity, "SIZES", ((1, 64, 96), (1, 32, 32)))
    theirs, ours = (np.array(numbers, np.float32) for numbers in (theirs, ours))
    prove = partial(parity.prove_numbers, lambda pictures: [theirs], network([ours]), Preprocess())
    if message is None:
        assert all(6e-4 < gap < 7e-4 for gap in prove().values())
    else:
        with pytest.raises(ModelError, match=message):
            prove()


@pytest.mark.slow
def test_another_networks_file_is_no_proof(data):
    yunet = load_detector_checkpoint(data / "models" / CHECKPOINTS["yunet.pth"])
    file = detector_to_onnx(yunet)
    with torch.no_grad():
        yunet.network.backbone.model0.conv1.bias += 1
    with pytest.raises(ModelError, match=r"is not the checkpoint's: in .* nothing was written"):
        parity.prove_numbers(partial(pytorch_answers, yunet), file, yunet.preprocess)
