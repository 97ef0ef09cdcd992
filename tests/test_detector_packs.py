"""Detectors to packs by the command line: every form of YOLOv5-face, what is said of them, and what
is refused.
"""

import json

import numpy as np
import pytest
from made_detectors import network, remade
from made_networks import recogniser
from made_yolo import FLAVOURS, FULL, HEADS_4D, HEADS_5D, ROW, yolo
from PIL import Image

from visavis.decode import DECODERS
from visavis.decode.yolov5face import ANCHORS
from visavis.detect import load_detector
from visavis.errors import PackError, VisavisError
from visavis.insightface.read import foreign_detector
from visavis.pack import load_pack
from visavis.pack.build import detector_part
from visavis.pack.declaration import Declared
from visavis.pack.verify import verify_pack
from visavis.runtime import Preprocess

P5, P6 = 3, 4  # strides
FED = "[detector]\ncolor = 'rgb'\nmean = 0\nstd = 255\n"
EMBEDDER = ("--color", "rgb", "--mean", 127.5, "--std", 127.5)
RGB = Declared(color="rgb", mean=(0.0,) * 3, std=(255.0,) * 3)
OWN = "[[[20, 30], [20, 30], [20, 30]], [[40, 60], [40, 60], [40, 60]], [[50, 70], [1, 1], [1, 1]]]"
NOTES = {
    "family": "made",
    "decoder": "yolov5face",
    "color": "bgr",
    "mean": "[1, 2, 3]",
    "std": "[4, 5, 6]",
    "licence": "MIT",
    "training_data": "made",
    "source": "made.pt",
    "source_sha256": "0" * 64,
    "version": "0",
}
YUNET = (1,) * 6 + (4,) * 3 + (10,) * 3
SCRFD = (1,) * 3 + (4,) * 3 + (10,) * 3
CELLS = (16 * 32, 8 * 16, 4 * 8)  # of 128x256


@pytest.fixture
def photo(tmp_path):
    """192x192, black, with a white spot where cells of every stride begin."""
    picture = np.zeros((192, 192, 3), np.uint8)
    picture[60:70, 60:70] = 255
    Image.fromarray(picture).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def models(tmp_path):
    """A folder with a recogniser as InsightFace names it."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "w600k_r50.onnx").write_bytes(recogniser())
    return folder


def says(folder, text, name="says.toml"):
    """Options that declare what a TOML file holds."""
    (folder / name).write_text(text)
    return ("--says", folder / name)


def written(folder, data, name="yolov5m-face.onnx"):
    (folder / name).write_bytes(data)
    return folder / name


def boxes(run, photo, pack):
    """The boxes that are found, in pixels of the photo."""
    code, out, err = run("detect", photo, "--pack", pack, "--json")
    assert (code, err) == (0, "")
    return [face["box"] for face in json.loads(out)["images"][0]["faces"]]


def box(x, y, width, height):
    """As it is found in the photo: at half its size, for the photo is enlarged twofold."""
    return pytest.approx([(x - width / 2) / 2, (y - height / 2) / 2,
                          (x + width / 2) / 2, (y + height / 2) / 2], abs=0.6)  # fmt: skip


def seen(flavour, levels):
    """The one face that a made network sees in the photo."""
    middle = 128 + (4 << levels) / 2
    return box(*ROW[:4]) if flavour == FULL else box(middle, middle, *ANCHORS[levels][-1][0])


def fixed(arrays, height=128, width=256):
    """A detector of one size that answers these."""
    return network(arrays, height, width)


def silent(*rows):
    """Outputs (1, rows, last) of zeros."""
    return [np.zeros((1, *shape), np.float32) for shape in rows]


@pytest.mark.pack
@pytest.mark.parametrize("size", [None, (640, 640)], ids=["any size", "640x640"])
@pytest.mark.parametrize("levels", [P5, P6], ids=["P5", "P6"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_form_is_imported_and_built_and_finds(flavour, levels, size, tmp_path, photo, run):
    file = written(tmp_path, yolo(flavour, levels, size))
    embedder = written(tmp_path, recogniser(), "embedder.onnx")
    taken, made = tmp_path / "taken", tmp_path / "made"
    assert run("pack", "import", file, "--out", taken)[0] == 0
    fed = says(tmp_path, FED)
    words = ("--embedder", embedder, *EMBEDDER, "--detector", file, *fed, "--out", made)
    assert run("pack", "build", "made", *words)[0] == 0
    assert load_pack(taken).manifest.detector == load_pack(made).manifest.detector
    assert boxes(run, photo, taken) == [seen(flavour, levels)]
    assert not [one for one in verify_pack(taken) if one.level == "error"]


@pytest.mark.pack
@pytest.mark.parametrize("name", ["yolov5m-face.onnx", "detection-yolov5m-face.onnx"])
def test_a_folder_with_a_yolov5face_is_a_pack_of_both(name, models, tmp_path, run, photo):
    written(models, yolo(FULL, P5, (640, 640)), name)
    pack = tmp_path / "pack"
    terms = says(tmp_path, "[detector]\nlicence = 'mine'")
    code, out, _ = run("pack", "import", models, "--out", pack, *terms)
    assert (code, f"{name}: the detector, yolov5face" in out) == (0, True)
    manifest = load_pack(pack).manifest
    assert manifest.embedder.origin.licence == "non-commercial research"
    origin = manifest.detector.origin
    assert (origin.source, origin.licence, origin.commercial) == (name, "mine", "unknown")
    assert boxes(run, photo, pack) == [seen(FULL, P5)]


@pytest.mark.pack
def test_a_lone_detector_gets_the_default_embedder_and_no_ones_terms(tmp_path, run, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    file = written(tmp_path, yolo(FULL, P5, (640, 640)))
    code, out, _ = run("pack", "import", file, "--json")
    document = json.loads(out)
    assert (code, document["name"], document["commercial"]) == (
        0,
        "yolov5m-face",
        ["unknown", "yes"],
    )
    assert document["model"] == load_pack().manifest.embedder.model
    origin = load_pack("yolov5m-face").manifest.detector.origin
    assert (origin.licence, origin.training_data) == ("not stated", "not stated")
    rows = json.loads(run("pack", "list", "--json")[1])["packs"]
    assert [row["commercial"] for row in rows] == ["yes", "unknown"]
    assert len(json.loads(run("pack", "list", "--commercial", "--json")[1])["packs"]) == 1


FAMILIES = {
    "yunet": silent(*((c, 1) for c in 2 * CELLS), *((c, 4) for c in CELLS),
                    *((c, 10) for c in CELLS)),
    "scrfd": silent(*((2 * c, n) for n in (1, 4, 10) for c in CELLS)),
    "retinaface": silent(*((2 * sum(CELLS), n) for n in (2, 4, 10))),
    "yolov5face": silent((3 * sum(CELLS), 16)),
    "yolov8face": silent((20, sum(CELLS))),
}  # fmt: skip


@pytest.mark.pack
@pytest.mark.parametrize("decoder", FAMILIES)
def test_a_detector_that_says_nothing_is_fed_as_it_was_published(decoder, models, tmp_path):
    file = written(models, fixed(FAMILIES[decoder]), "a.onnx")
    assert foreign_detector(file).spec.preprocess == DECODERS[decoder].published
    assert foreign_detector(file).spec.origin.licence == "not stated"
    assert foreign_detector(file, Declared(color="bgr")).spec.preprocess.color == "bgr"
    with pytest.raises(PackError, match="declare the detector's color, mean, std "):
        detector_part(file)  # a pack that is built is told


@pytest.mark.pack
@pytest.mark.parametrize("decoder", FAMILIES)
def test_the_zoos_terms_are_scrfds_alone(decoder, models, tmp_path, run):
    written(models, fixed(FAMILIES[decoder]), "a.onnx")
    assert run("pack", "import", models, "--out", tmp_path / "pack")[0] == 0
    origin = load_pack(tmp_path / "pack").manifest.detector.origin
    zoo = ("non-commercial research", "no")
    assert (origin.licence, origin.commercial) == (
        zoo if decoder == "scrfd" else ("not stated", "unknown")
    )


def test_what_a_detectors_file_notes_goes_before_its_family(tmp_path):
    file = written(tmp_path, yolo(FULL, P5, (128, 128), **NOTES))
    for part in (detector_part(file), foreign_detector(file)):
        assert part.spec.preprocess == Preprocess("bgr", (1, 2, 3), (4, 5, 6))
        assert (part.spec.origin.licence, part.spec.padding) == ("MIT", None)


@pytest.mark.pack
@pytest.mark.parametrize("verb", ["build", "import"])
def test_anchors_squashing_and_padding_are_declared_in_a_file(verb, tmp_path, photo, run):
    file = written(tmp_path, yolo(HEADS_4D, P5))
    embedder = written(tmp_path, recogniser(), "embedder.onnx")
    own = f"anchors = {OWN}\nsquashed_landmarks = true\npadding = 7"
    declared = says(tmp_path, f"{FED if verb == 'build' else '[detector]'}\n{own}")
    words = {
        "build": ("made", "--embedder", embedder, *EMBEDDER, "--detector", file),
        "import": (file,),
    }[verb]
    assert run("pack", verb, *words, *declared, "--out", tmp_path / "pack")[0] == 0
    spec = load_pack(tmp_path / "pack").manifest.detector
    assert spec.anchors is not None
    assert spec.anchors[2] == ((50, 70), (1, 1), (1, 1))
    assert (spec.squashed_landmarks, spec.padding) == (True, 7)
    assert boxes(run, photo, tmp_path / "pack") == [box(144, 144, 50, 70)]


@pytest.mark.parametrize("flavour", [HEADS_5D, HEADS_4D])
def test_anchors_squashing_and_padding_are_read_from_the_file(flavour, tmp_path):
    anchors = (((1.0, 2.0),) * 3,) * P5
    notes = {"anchors": json.dumps(anchors), "squashed_landmarks": "true", "padding": "0"}
    file = written(tmp_path, yolo(flavour, P5, **NOTES, **notes))
    spec = detector_part(file).spec
    assert (spec.anchors, spec.squashed_landmarks, spec.padding) == (anchors, True, 0)
    other = (((3.0, 4.0),) * 3,) * P5
    spec = detector_part(file, Declared(anchors=other, squashed_landmarks=False, padding=9)).spec
    assert (spec.anchors, spec.squashed_landmarks, spec.padding) == (other, False, 9)


@pytest.mark.pack
@pytest.mark.parametrize("size", [None, (320, 320)])
def test_maps_in_falling_order_of_stride_are_taken(size, tmp_path, photo, run):
    file = written(tmp_path, yolo(HEADS_4D, P5, size, turned=True))
    assert run("pack", "import", file, "--out", tmp_path / "pack")[0] == 0
    assert len(boxes(run, photo, tmp_path / "pack")) == 1


@pytest.mark.pack
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("anchors = [[[4, 5], [8, 10]]]", "expected 3 pairs above zero"),
        ("anchors = [[[4, 5], [8, 10], [13, 'x']]]", "detector: anchors.0.2.1: "),
        ("anchors = [[[4, 5], [8, 10], [13, -16]]]", "expected 3 pairs above zero"),
        ("anchors = [[[4, 5], [8, 10], [13, nan]]]", "detector: anchors.0.2.1: "),
        ("anchors = [[[4, 5], [8, 10], [13, 16]]]", "expected anchors for 3 strides, got 1"),
        ("padding = 256", "detector.padding: expected 0..255, got 256"),
        (("--decoder", "scrfd"), "declared for the decoder scrfd, but its outputs fit yolov5face"),
        (("--decoder", "haar"), "unknown decoder 'haar'; known: retinaface, scrfd, yolov5face"),
        (("--licence", "MIT"), "a detector, but something is declared of an embedder: declare"),
        (("--color", "rgb"), "a detector, but something is declared of an embedder: declare"),
        (("--detector", "default", "--decoder", "yunet"), "a pack's detector, which says itself"),
        (("--detector", "default"), "expected an embedder beside the named detector, got a detect"),
    ],
)
def test_what_cannot_be_said_of_a_lone_detector_is_refused(words, said, tmp_path, run):
    file = written(tmp_path, yolo(HEADS_5D, P5))
    words = says(tmp_path, f"[detector]\n{words}") if isinstance(words, str) else words
    code, out, err = run("pack", "import", file, *words, "--out", tmp_path / "pack")
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", "").split())
    assert not (tmp_path / "pack").exists()


@pytest.mark.pack
def test_what_is_said_of_no_detectors_file_is_refused(tmp_path, run):
    file = written(tmp_path, recogniser(), "mine.onnx")
    terms = says(tmp_path, "[detector]\nlicence = 'MIT'")
    words = (*EMBEDDER, *terms, "--out", tmp_path / "pack")
    code, _, err = run("pack", "import", file, *words)
    assert (code, "something is declared of a detector's file" in err) == (2, True)
    code, _, err = run("pack", "build", "mine", "--embedder", file, *words)
    assert (code, "which says itself how it is read" in err) == (2, True)


PAIRS = [[4, 5]] * 3
LIES = {
    "padding": ({"padding": 256}, "detector.padding: expected 0..255, got 256"),
    "min_score": ({"min_score": 7.0}, "detector.min_score: expected 0..1, got 7.0"),
    "max_overlap": ({"max_overlap": -1.0}, "detector.max_overlap: expected 0..1, got -1.0"),
    "std": ({"preprocess": {"std": [1, 0, 1]}}, "preprocess.std: expected numbers above zero"),
    "four levels": ({"anchors": [PAIRS] * 4}, "expected anchors for 3 strides, got 4"),
    "no level": ({"anchors": []}, "expected anchors for 3 strides, got 0"),
    "no anchors": ({"anchors": [[]] * 3}, "detector.anchors: expected 3 pairs above zero"),
    "two anchors": ({"anchors": [PAIRS[:2]] * 3}, "anchors: expected 3 pairs above zero"),
    "negative": ({"anchors": [[[4, -5]] * 3] * 3}, "anchors: expected 3 pairs above zero"),
}


@pytest.mark.pack
@pytest.mark.parametrize(("said", "message"), LIES.values(), ids=LIES)
def test_verify_and_load_refuse_the_same_manifests(said, message, pack, tmp_path):
    """They are not told apart by a picture: each would fail, or lie, on every one."""
    folder = tmp_path / "pack"
    with pytest.raises(PackError, match=message):
        load_detector(remade(pack, folder, yolo(HEADS_4D, P5), decoder="yolov5face", **said))
    errors = [one.text for one in verify_pack(folder) if one.level == "error"]
    assert [message in text for text in errors] == [True]


@pytest.mark.pack
@pytest.mark.parametrize(
    ("onnx", "decoder", "said", "message"),
    [
        (yolo(FULL, P5, (640, 640)), "yolov5face", {"anchors": [PAIRS] * 3}, "outputs are raw"),
        (yolo(FULL, P5, (640, 640)), "yolov5face", {"squashed_landmarks": True}, "are raw"),
        (None, "yunet", {"anchors": [PAIRS] * 3}, "yolov5face's alone"),
        (None, "haar", {}, "unknown decoder 'haar'"),
    ],
    ids=["anchors of rows", "squashed rows", "anchors of yunet", "decoder"],
)
def test_what_no_outputs_could_heed_is_refused(onnx, decoder, said, message, pack, tmp_path):
    changed = remade(pack, tmp_path / "pack", onnx, decoder=decoder, **said)
    with pytest.raises(PackError, match=message):
        load_detector(changed)
    errors = [one.text for one in verify_pack(changed.folder) if one.level == "error"]
    assert [message in text for text in errors] == [True]


UNFIT = {
    "sides": (yolo(HEADS_4D, P5, (640, 600)), "sides that are multiples of 32, got one for 640x60"),
    "batch": (yolo(FULL, P5, (320, 320), batch=4), r"expected a batch of one, got .*\(4, 6300, 16"),
    "maps in a batch": (yolo(HEADS_5D, P5, (320, 320), batch=4), "expected a batch of one"),
    "rows": (fixed(silent((7, 16)), 320, 320), "320x320 calls for other answers than .*7, 16"),
    "strides": (yolo(HEADS_4D, P6, (480, 640)), "480x640 calls for other answers"),
    "yunet": (fixed(silent(*((8, n) for n in YUNET)), 320, 320), "calls for other answers"),
    "scrfd": (fixed(silent(*((9, n) for n in SCRFD)), 160, 96), "calls for other answers"),
}


@pytest.mark.pack
@pytest.mark.parametrize(("data", "said"), UNFIT.values(), ids=UNFIT)
def test_a_network_that_could_answer_for_no_picture_is_refused(data, said, tmp_path, pack):
    file = written(tmp_path, data)
    with pytest.raises(PackError, match=said):
        detector_part(file, RGB)
    decoder = "yunet" if data is UNFIT["yunet"][0] else "yolov5face"
    decoder = "scrfd" if data is UNFIT["scrfd"][0] else decoder
    with pytest.raises(PackError, match=said):
        load_detector(remade(pack, tmp_path / "pack", data, decoder=decoder))
    assert [one for one in verify_pack(tmp_path / "pack") if one.level == "error"] != []


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("surprise", "1"),
        ("anchors", "[[[4, 5]]]"),
        ("anchors", "4,5"),
        ("anchors", "[[[4, 5], [4, 5], [4, NaN]]]"),
        ("padding", "300"),
        ("squashed_landmarks", "1"),
    ],
)
def test_notes_that_cannot_hold_are_refused(key, text, tmp_path):
    file = written(tmp_path, yolo(HEADS_4D, P5, **NOTES, **{key: text}))
    with pytest.raises(VisavisError, match=key):
        detector_part(file)
