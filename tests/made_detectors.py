"""Detectors for tests: packs made of constant networks, and those that research data hold."""

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from visavis.decode.scrfd import SCRFD
from visavis.detect import ScanDetector, load_detector
from visavis.pack import load_pack
from visavis.runtime import Device, load_model

EXACT = Device("cpu", precision="float32")
LEAST, OVERLAP = 0.5, 0.4
CHECKPOINTS = {
    "retinaface": "retinaface_mobilenet025.pth",
    "yunet.pth": "yunet_n.pth",
    "yolov5face": "yolov5n-0.5-face.pt",
}


def network(arrays, height="H", width="W"):
    """A detector that answers these arrays, whatever it sees, with a picture of this size."""
    nodes = [
        helper.make_node("ReduceMean", ["in"], ["mean"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        *(
            helper.make_node("Add", ["nothing", f"array{row}"], [f"out{row}"])
            for row in range(len(arrays))
        ),
    ]
    picture = helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 3, height, width])
    outputs = [
        helper.make_tensor_value_info(f"out{row}", TensorProto.FLOAT, array.shape)
        for row, array in enumerate(arrays)
    ]
    tensors = [numpy_helper.from_array(np.float32(0).reshape(()), "zero")]
    tensors += [numpy_helper.from_array(array, f"array{row}") for row, array in enumerate(arrays)]
    graph = helper.make_graph(nodes, "blind", [picture], outputs, tensors)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


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


@cache
def five_detectors(data: Path) -> dict[str, ScanDetector]:
    """The default pack's, SCRFD-500M, and three checkpoints as PyTorch runs them. Needs torch."""
    from visavis.checkpoints.detectors import load_detector_checkpoint
    from visavis.convert.parity import pytorch_answers

    scrfd = (data / "models" / "scrfd_500m_kps.onnx").read_bytes()
    found = {
        "yunet": load_detector(load_pack(), device=EXACT),
        "scrfd": ScanDetector(
            load_model(scrfd, SCRFD.published, EXACT), SCRFD.decode, LEAST, OVERLAP
        ),
    }
    for name, file in CHECKPOINTS.items():
        checkpoint = load_detector_checkpoint(data / "models" / file)
        found[name] = ScanDetector(
            lambda pictures, checkpoint=checkpoint: pytorch_answers(checkpoint, pictures),
            checkpoint.family.decoder.decode,
            LEAST,
            OVERLAP,
            frame=checkpoint.family.decoder.frame,
        )
    return found
