"""Networks in the forms in which people bring them: what is changed, and that the answers stay."""

import json

import numpy as np
import onnx
import pytest
from made_networks import DIM, METADATA, model, noted, recogniser, scaler
from onnx import TensorProto, helper, numpy_helper

from visavis.embedder import at_size, load_embedder
from visavis.errors import PackError
from visavis.pack import load_pack
from visavis.pack.build import EmbedderPart, detector_of, embedder_part, write_pack
from visavis.pack.declaration import Declared
from visavis.pack.onnx import read_network
from visavis.pack.verify import verify_pack
from visavis.runtime import Device, load_model

RUNTIMES = ("openvino", "onnxruntime")
HALVES = Declared(color="rgb", mean=(127.5,) * 3, std=(127.5,) * 3)
PIXELS = ("--color", "rgb", "--mean", 127.5, "--std", 127.5)
CROPS = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
SMALL = 0.9999  # least cosine of what float16 weights answer
OPEN, ALONE = "its batch was fixed at", "it takes one crop at a time"


def changed(change, data=None):
    """A network, its protobuf changed."""
    network = onnx.load_from_string(data or recogniser())
    change(network.graph)
    return network.SerializeToString()


def dims(value, *sides):
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for side in sides:
        shape.dim.add(**{"dim_value" if isinstance(side, int) else "dim_param": side})


def before(graph, operator, **options):
    """Put a node in front, which reads the input."""
    graph.node[0].input[0] = "first"
    graph.node.insert(0, helper.make_node(operator, ["data"], ["first"], **options))


def behind(graph, operator, *operands, **options):
    """Put a node behind, which gives the embedding."""
    graph.node[-1].output[0] = "last"
    node = helper.make_node(operator, ["last", *operands], ["embedding"], **options)
    graph.node.append(node)


def channels_last(graph):
    before(graph, "Transpose", perm=[0, 3, 1, 2])
    dims(graph.input[0], "N", 112, 112, 3)


def of_rank_4(*sides):
    def change(graph):
        graph.initializer.append(numpy_helper.from_array(np.array(sides), "sides"))
        behind(graph, "Reshape", "sides")
        dims(graph.output[0], "N", *sides[1:])

    return change


def of_type(kind, numbers):
    """Input, weights and answer of this type of float."""

    def change(graph):
        for tensor in graph.initializer:
            if tensor.data_type == TensorProto.FLOAT:
                values = numpy_helper.to_array(tensor).astype(numbers)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        for value in (graph.input[0], graph.output[0]):
            value.type.tensor_type.elem_type = kind

    return change


def only_answers(kind):
    def change(graph):
        behind(graph, "Cast", to=kind)
        graph.output[0].type.tensor_type.elem_type = kind

    return change


def all_at_once(graph):
    of_type(TensorProto.FLOAT16, np.float16)(graph)
    of_rank_4(1, DIM, 1, 1)(graph)
    channels_last(graph)
    dims(graph.input[0], 1, 112, 112, 3)
    dims(graph.output[0], 1, DIM, 1, 1)


HALF = of_type(TensorProto.FLOAT16, np.float16)
# What people bring, and what is said of it: the answers are those of the plain network.
FORMS = {
    "plain": (recogniser(), ()),
    "channels last": (changed(channels_last), ("its input is turned",)),
    "float16": (changed(HALF), ("its input is cast to float16", "answers are cast from float16")),
    "float16 answers": (changed(only_answers(TensorProto.FLOAT16)), ("cast from float16",)),
    "float64 answers": (changed(only_answers(TensorProto.DOUBLE)), ("cast from float64",)),
    "(N, D, 1, 1)": (changed(of_rank_4(0, DIM, 1, 1)), ("it gives (N, 24, 1, 1)",)),
    "(N, 1, 1, D)": (changed(of_rank_4(0, 1, 1, DIM)), ("it gives (N, 1, 1, 24)",)),
    "(N, 1, D)": (changed(of_rank_4(0, 1, DIM)), ("it gives (N, 1, 24)",)),
    "batch of 1": (recogniser(batch=1), (f"{OPEN} 1",)),
    "batch of 8": (recogniser(batch=8), (f"{OPEN} 8",)),
    "batch of 1 inside": (recogniser(fixed_reshape=True), (f"{OPEN} 1",)),
    "batch of 1 inside, too": (recogniser(batch=1, fixed_reshape=True), (f"{OPEN} 1",)),
    "all at once": (changed(all_at_once),
        ("cast to float16", "is turned", "cast from", "it gives (N, 24, 1, 1", f"{OPEN} 1")),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    """The plain network's answers to three crops, as unit rows."""
    return answers(embedder_part(read_network(recogniser(), "plain.onnx"), HALVES), "openvino")


def answers(part: EmbedderPart, runtime: str):
    where = Device("cpu", runtime=runtime, precision="float32")
    (rows, *_) = load_model(part.data, part.spec.preprocess, where)(at_size(CROPS, part.spec.size))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("data", "said"), FORMS.values(), ids=FORMS)
def test_every_form_answers_as_the_plain_one(data, said, runtime, plain):
    pytest.importorskip(runtime, reason=f"{runtime} is of the extra ort")
    part = embedder_part(read_network(data, "mine.onnx"), HALVES)
    assert len(part.notes) == len(said)
    assert all(words in note for words, note in zip(said, part.notes, strict=True))
    rows = answers(part, runtime)
    assert rows.shape == (3, DIM)
    assert ((rows * plain).sum(axis=1) > SMALL).all()


def test_what_is_put_in_front_and_behind_changes_no_models_name():
    names = {
        key: embedder_part(read_network(FORMS[key][0], "mine.onnx"), HALVES).spec.model
        for key in ("plain", "float64 answers", "channels last", "batch of 1")
    }
    assert set(names.values()) == {names["plain"]}


def closed(graph):
    """Take a batch of one for granted where no Reshape says so: three crops become one."""
    graph.initializer.append(numpy_helper.from_array(np.array([1, DIM]), "sides"))
    graph.initializer.append(numpy_helper.from_array(np.array([0]), "axis"))
    dims(graph.input[0], 1, 3, 112, 112)
    behind(graph, "ReduceSum", "axis", keepdims=1)
    dims(graph.output[0], 1, DIM)


@pytest.mark.slow
def test_what_cannot_be_opened_takes_one_crop_at_a_time(plain, tmp_path):
    part = embedder_part(read_network(changed(closed), "mine.onnx"), HALVES)
    assert [note.startswith(ALONE) for note in part.notes] == [True]
    for runtime in RUNTIMES:
        pytest.importorskip(runtime, reason=f"{runtime} is of the extra ort")
        assert (np.sum(answers(part, runtime) * plain, axis=1) > SMALL).all()
    pack = write_pack(
        tmp_path / "pack", name="mine", embedder=part, detector=detector_of(load_pack())
    )
    assert load_embedder(pack)(CROPS).shape == (3, DIM)
    warned = [one.text for one in verify_pack(pack.folder) if one.subject == "embedder.onnx"]
    assert sum(text.startswith(ALONE) for text in warned) == 1


def eight_for_granted(graph):
    closed(graph)
    dims(graph.input[0], 8, 3, 112, 112)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(changed(eight_for_granted), "got .1, 24.", id="a batch of eight inside"),
        pytest.param(changed(lambda graph: dims(graph.input[0], "N", 4, 112, 112)),
            "mine.onnx: ", id="four channels"),
        pytest.param(changed(of_rank_4(0, 6, 2, 2)), "of no known family", id="a map"),
        pytest.param(changed(of_type(TensorProto.UINT8, np.uint8)), "mine.onnx: ", id="bytes"),
    ],
)  # fmt: skip
def test_what_no_form_mends_is_refused(data, said):
    with pytest.raises(PackError, match=said):
        embedder_part(read_network(data, "mine.onnx"), HALVES)


@pytest.mark.parametrize("side", [113, 128, 160, 224, 512])
def test_a_larger_network_gets_the_crop_enlarged(side):
    data = scaler((side, side), (8,), batch="N")
    part = embedder_part(read_network(data, "mine.onnx"), HALVES)
    assert part.spec.size == (side, side)
    assert part.spec.model != embedder_part(read_network(scaler((112, 112), (8,), batch="N"),
        "mine.onnx"), HALVES).spec.model  # fmt: skip


def test_enlarging_keeps_corners_and_the_middle():
    crops = np.zeros((2, 112, 112, 3), np.uint8)
    crops[0, :56], crops[1, :, :28] = 200, 100
    larger = at_size(crops, (224, 224))
    assert larger.shape == (2, 224, 224, 3)
    # Rows 0 to 111 of 224 lie above the middle of 112; those at the edge are mixed.
    assert larger[0, [0, 110, 113, 223], 100, 0].tolist() == [200, 200, 0, 0]
    assert larger[1, 100, [0, 54, 57, 223], 0].tolist() == [100, 100, 0, 0]


def normalising(*operators, wide=False):
    """A network whose graph normalises: by 127.5 or numbers for each channel."""
    numbers = np.full((1, 3, 1, 1) if wide else (), 2.0, np.float32)

    def change(graph):
        graph.initializer.append(numpy_helper.from_array(numbers, "two"))
        graph.node[0].input[0] = f"n{len(operators) - 1}"
        for place, operator in reversed(list(enumerate(operators))):
            at = f"n{place - 1}" if place else "data"
            graph.node.insert(0, helper.make_node(operator, [at, "two"], [f"n{place}"]))

    return changed(change)


@pytest.mark.parametrize(
    ("data", "declared", "warned"),
    [
        pytest.param(normalising("Sub", "Mul"), HALVES, "Sub, Mul", id="told again"),
        pytest.param(normalising("Sub", "Div", wide=True), HALVES, "Sub, Div", id="by channel"),
        pytest.param(normalising("Div"), HALVES, "Div", id="a division alone"),
        pytest.param(changed(channels_last, normalising("Sub")), HALVES, "Sub", id="and turned"),
        pytest.param(normalising("Sub", "Mul"),
            Declared(color="rgb", mean=(0.0,) * 3, std=(1.0,) * 3), "", id="told nothing"),
        pytest.param(recogniser(), HALVES, "", id="normalises nothing"),
        pytest.param(recogniser(names=("Sub_0", "Mul_0")), HALVES, "", id="named so alone"),
        pytest.param(noted(normalising("Sub"), **METADATA), Declared(), "", id="its file says so"),
    ],
)  # fmt: skip
def test_a_graph_that_normalises_and_is_told_a_mean_again(data, declared, warned):
    notes = embedder_part(read_network(data, "mine.onnx"), declared).notes
    doubts = [note for note in notes if "normalises pixels itself" in note]
    assert len(doubts) == bool(warned)
    assert all(f"({warned})" in doubt for doubt in doubts)


def places(*shapes):
    """A detector by its outputs alone."""
    nodes, tensors, ports = [], [], []
    for row, shape in enumerate(shapes):
        tensors.append(numpy_helper.from_array(np.zeros(shape, np.float32), f"zero{row}"))
        nodes.append(helper.make_node("Add", ["mean", f"zero{row}"], [f"out{row}"]))
        ports.append((f"out{row}", shape))
    axes = {"axes": [0, 1, 2, 3], "keepdims": 0}
    nodes.insert(0, helper.make_node("ReduceMean", ["images"], ["mean"], **axes))
    return model(nodes, [1, 3, 64, 96], ports, tensors, name="images")


CELLS = 8 * 12 + 4 * 6 + 2 * 3
STRANGE = {
    "YOLOv7-face": places((1, CELLS * 3, 21)),
    "YOLOv8-face of two strides": places((1, 80, 8, 12), (1, 80, 4, 6)),
    "YuNet 2022": places((1, 99, 14), (1, 99, 2), (1, 99, 1)),
    "MXNet RetinaFace": places(*[(1, n, 2, 3) for n in (4, 8, 20)] * 3),
}
FAMILY = "a detector of no known family: expected outputs of retinaface or scrfd or"


@pytest.mark.pack
@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize(
    "verb",
    [
        "import",
        pytest.param("import as embedder", marks=pytest.mark.slow),
        "build",
        pytest.param("detector", marks=pytest.mark.slow),
        pytest.param("convert", marks=pytest.mark.slow),
    ],
)
def test_a_detector_of_no_known_family_is_called_so_in_every_verb(verb, data, run, tmp_path):
    file, out = tmp_path / "strange.onnx", tmp_path / "pack"
    file.write_bytes(data)
    (tmp_path / "mine.onnx").write_bytes(recogniser())
    words = {
        "import": ("pack", "import", file),
        "import as embedder": ("pack", "import", file, *PIXELS),
        "build": ("pack", "build", "mine", "--embedder", file, *PIXELS),
        "detector": ("pack", "import", tmp_path / "mine.onnx", *PIXELS, "--detector", file),
        "convert": ("convert", file, *PIXELS),
    }[verb]
    if verb == "convert":
        pytest.importorskip("torch")
        out = tmp_path / "out.onnx"
    code, shown, err = run(*words, "--out", out)
    assert (code, shown, out.exists()) == (2, "", False)
    assert f"strange.onnx: {FAMILY}" in err


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE)
def test_in_a_folder_it_is_left_aside_by_name(data, run, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "a_strange.onnx").write_bytes(data)
    (folder / "w600k_r50.onnx").write_bytes(recogniser())
    words = ("pack", "import", folder, "--detector", "default", "--out", tmp_path / "pack")
    code, shown, _ = run(*words, "--json")
    assert code == 0
    assert "no known family" in json.loads(shown)["notes"][0] or "detection" in shown
    assert load_pack(tmp_path / "pack").manifest.embedder.name == "w600k_r50"


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.parametrize("key", ["channels last", "float16", "(N, D, 1, 1)", "batch of 1"])
def test_the_command_says_what_was_changed(key, run, tmp_path):
    data, said = FORMS[key]
    (tmp_path / "mine.onnx").write_bytes(data)
    for words in (
        ("pack", "import", tmp_path / "mine.onnx", *PIXELS),
        ("pack", "build", "mine", "--embedder", tmp_path / "mine.onnx", *PIXELS),
    ):
        code, shown, err = run(*words, "--out", tmp_path / words[1], "--json")
        assert (code, err) == (0, "")
        notes = [note for note in json.loads(shown)["notes"] if ": it" in note]
        assert len(notes) == len(said)
        assert all(f"mine.onnx: {note}"[:9] == "mine.onnx" for note in notes)
    assert load_embedder(load_pack(tmp_path / "import"))(CROPS).shape == (3, DIM)


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.parametrize("flavour", ["rows", "maps"])
def test_a_yolov8face_becomes_a_pack(flavour, run, tmp_path):
    shapes = [(1, 20, CELLS)] if flavour == "rows" else [(1, 80, 8 >> n, 12 >> n) for n in range(3)]
    (tmp_path / "yolov8n-face.onnx").write_bytes(places(*shapes))
    code, _, err = run("pack", "import", tmp_path / "yolov8n-face.onnx", "--out", tmp_path / "pack")
    assert (code, err) == (0, "")
    spec = load_pack(tmp_path / "pack").manifest.detector
    assert (spec.decoder, spec.preprocess.std) == ("yolov8face", (255.0,) * 3)
    assert not [one for one in verify_pack(tmp_path / "pack") if one.level == "error"]
