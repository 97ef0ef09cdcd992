"""YOLOv5-faces in the forms in which they are exported, made of one convolution for each map."""

import numpy as np
from made_networks import model, noted
from onnx import helper, numpy_helper

FULL, HEADS_5D, HEADS_4D = FLAVOURS = ("full", "5-D heads", "4-D heads")
# The one face of decoded rows, in pixels of the network: centre, size, objectness, points, class.
ROW = (150.0, 150.0, 80.0, 90.0, 1.0, *(float(n) for n in range(130, 180, 5)), 1.0)


def yolo(flavour, levels, size=None, *, batch=1, turned=False, **notes):
    """An ONNX file of this flavour, for `levels` strides, for any size or for one.

    Raw ones look at the first pixel of a cell of the largest stride: white is a face, as large as
    the first anchor there, its points on the cell's corner. Decoded ones always answer ROW.
    """
    tensors = [numpy_helper.from_array(np.array([1], np.int64), "axis")]
    nodes, ports = [], []
    for stride in [8 << level for level in range(levels)]:
        sides = [side // stride for side in size] if size else [f"h{stride}", f"w{stride}"]
        shape = [batch, 48, *sides] if flavour == HEADS_4D else [batch, 3, *sides, 16]
        ports.append((f"stride_{stride}", shape))
        nodes += head(stride, flavour, tensors, lit=stride == 4 << levels)
    if flavour == FULL:
        nodes += rows([name for name, _ in ports], tensors, batch)
        cells = sum((size[0] >> n) * (size[1] >> n) for n in range(3, 3 + levels)) if size else 0
        ports = [("output", [batch, 3 * cells or "rows", 16])]
    picture = [batch, 3, *(size or ("height", "width"))]
    ports = ports[::-1] if turned else ports
    return noted(model(nodes, picture, ports, tensors, name="input"), **notes)


def head(stride, flavour, tensors, *, lit):
    """One map: three anchors, of which the first may see a face."""
    nodes, maps = [], [f"{stride}_{anchor}" for anchor in range(3)]
    for name in maps:
        weights, bias = np.zeros((16, 3, 1, 1), np.float32), np.zeros(16, np.float32)
        weights[4] = 20 if lit and name == maps[0] else 0  # of three channels in 0..1
        bias[4], bias[15] = -50, 10
        tensors.append(numpy_helper.from_array(weights, "w" + name))
        tensors.append(numpy_helper.from_array(bias, "b" + name))
        inputs = ["input", "w" + name, "b" + name]
        nodes.append(helper.make_node("Conv", inputs, ["c" + name], strides=[stride] * 2))
        nodes.append(helper.make_node("Unsqueeze", ["c" + name, "axis"], ["u" + name]))
    out, kind = f"stride_{stride}", "c" if flavour == HEADS_4D else "u"
    joined = out if flavour == HEADS_4D else f"joined_{stride}"
    nodes.append(helper.make_node("Concat", [kind + name for name in maps], [joined], axis=1))
    if flavour != HEADS_4D:
        nodes.append(helper.make_node("Transpose", [joined], [out], perm=[0, 1, 3, 4, 2]))
    return nodes


def rows(maps, tensors, batch):
    """All maps as rows, each of them ROW."""
    tensors += [
        numpy_helper.from_array(np.array([batch, -1, 16], np.int64), "flat"),
        numpy_helper.from_array(np.float32(0).reshape(()), "zero"),
        numpy_helper.from_array(np.array(ROW, np.float32).reshape(1, 1, 16), "row"),
    ]
    return [
        *(helper.make_node("Reshape", [name, "flat"], ["r" + name]) for name in maps),
        helper.make_node("Concat", ["r" + name for name in maps], ["rows"], axis=1),
        helper.make_node("Mul", ["rows", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "row"], ["output"]),
    ]
