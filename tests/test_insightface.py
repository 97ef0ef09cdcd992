"""Packs as folders that the insightface package loads: what is written, and what it makes of it.

The tests marked slow load them in the package itself.
"""

import contextlib
import importlib
import io
import json

import cv2
import numpy as np
import onnx
import pytest
from made_networks import DIM, METADATA, noted, recogniser, scaler
from malformed import HTML

from visavis.alignment import align
from visavis.decode.boxes import letterbox
from visavis.decode.scrfd import decode_scrfd
from visavis.decode.yunet import decode_yunet
from visavis.embedder import ModelEmbedder, load_embedder
from visavis.errors import PackError
from visavis.image import read_image
from visavis.insightface.as_scrfd import as_detector
from visavis.insightface.proof import prove_in_insightface
from visavis.insightface.read import import_pack
from visavis.insightface.rules import DETECTOR, recogniser_pixels
from visavis.insightface.write import as_recogniser, write_insightface
from visavis.pack import load_pack
from visavis.pack.build import detector_of, detector_part, embedder_part, write_pack
from visavis.pack.declaration import Declared
from visavis.pack.onnx import read_network
from visavis.runtime import Device, Preprocess, load_model
from visavis.types import Face

EXACT = Device("cpu", precision="float32")
CROPS = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), np.uint8)
CROPS[0, :2], CROPS[1, :, -2:] = 255, 0  # what padding meets
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's
WAYS = {
    "as InsightFace": (Preprocess("rgb", (127.5,) * 3, (127.5,) * 3), "unchanged"),
    "bgr": (Preprocess("bgr", (127.5,) * 3, (127.5,) * 3), "folded"),
    "by 128": (Preprocess("rgb", (127.5,) * 3, (128.0,) * 3), "folded"),
    "three stds, bgr": (Preprocess("bgr", (127.5,) * 3, (50.0, 100.0, 200.0)), "folded"),
    "0..1": (Preprocess("rgb", (0.0,) * 3, (255.0,) * 3), "in the graph"),
    "0..255": (Preprocess(), "in the graph"),
    "bgr 0..255": (Preprocess("bgr"), "in the graph"),
    "ImageNet": (Preprocess("rgb", MEAN, STD), "in the graph"),
    "ImageNet, bgr": (Preprocess("bgr", MEAN[::-1], STD[::-1]), "in the graph"),
}


def given(preprocess, **more):
    return Declared(color=preprocess.color, mean=preprocess.mean, std=preprocess.std, **more)


def made(folder, data, preprocess=WAYS["as InsightFace"][0], part=None, name="made"):
    """A pack of a made embedder and the default pack's detector."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(data)
    embedder = embedder_part(folder / f"{name}.onnx", given(preprocess))
    detect = part or detector_of(load_pack())
    return write_pack(folder / "pack", name=name, embedder=embedder, detector=detect)


def blobs(crops, fed):
    """Crops as InsightFace's recogniser makes them: its own call, on BGR pictures."""
    bgr = [np.ascontiguousarray(crop[..., ::-1]) for crop in crops]
    return cv2.dnn.blobFromImages(bgr, 1 / fed.std[0], (112, 112), (fed.mean[0],) * 3, swapRB=True)


def ran(data, blob):
    """A network in ONNX Runtime, on InsightFace's own blob."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="make test-all installs onnxruntime")
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: blob})
    return output / np.linalg.norm(output, axis=1, keepdims=True)


def ours(data, preprocess, size=(112, 112)):
    network = load_model(data, preprocess, EXACT)
    return ModelEmbedder("m@0", DIM, network, flip=False, size=size)(CROPS)


def spec_of(pack):
    return pack.manifest.embedder


@pytest.mark.parametrize(("pad", "norm"), [(0, False), (1, False), (1, True)])
@pytest.mark.parametrize(("preprocess", "way"), WAYS.values(), ids=WAYS)
def test_a_recogniser_answers_the_same_on_insightfaces_pixels(preprocess, way, pad, norm, tmp_path):
    data = recogniser(pad=pad, norm=norm)
    pack = made(tmp_path, data, preprocess)
    model, notes = as_recogniser(read_network(data), spec_of(pack))
    written = read_network(model.SerializeToString())
    fed = recogniser_pixels(written.model)
    assert fed == (Preprocess() if way == "in the graph" else WAYS["as InsightFace"][0])
    np.testing.assert_allclose(
        ran(written.data, blobs(CROPS, fed)), ours(data, preprocess), atol=2e-6
    )
    assert (way == "unchanged" and not norm) == (notes == [])
    if way != "unchanged":  # what InsightFace would make of the file as it was
        misfed = ours(data, WAYS["as InsightFace"][0])
        assert np.abs(misfed - ours(data, preprocess)).max() > 1e-4
    assert [port.name for port in written.outputs] == ["embedding"]
    onnx.checker.check_model(model)


@pytest.mark.parametrize("width", [96, 80])
@pytest.mark.parametrize(("preprocess", "way"), WAYS.values(), ids=WAYS)
def test_a_smaller_crop_is_cut_in_the_graph(preprocess, way, width, tmp_path):
    data = recogniser(width=width)
    pack = made(tmp_path, data, preprocess)
    model, notes = as_recogniser(read_network(data), spec_of(pack))
    written = read_network(model.SerializeToString())
    assert notes[0] == f"a Slice cuts the middle 112x{width} out of the crop"
    assert written.inputs[0].dims == ("batch", 3, 112, 112)
    blob = blobs(CROPS, recogniser_pixels(written.model))
    expected = ours(data, preprocess, (112, width))
    np.testing.assert_allclose(ran(written.data, blob), expected, atol=2e-6)


@pytest.mark.parametrize(("preprocess", "way"), WAYS.values(), ids=WAYS)
def test_names_that_would_be_misread_are_changed(preprocess, way, tmp_path):
    data = recogniser(names=("Sub_0", "Mul_0", "_minus", "Multiply", "x"))
    pack = made(tmp_path, data, preprocess)
    model, _ = as_recogniser(read_network(data), spec_of(pack))
    written = read_network(model.SerializeToString())
    blob = blobs(CROPS, recogniser_pixels(written.model))
    np.testing.assert_allclose(ran(written.data, blob), ours(data, preprocess), atol=2e-6)


def test_a_network_that_does_not_start_with_a_convolution_is_normalised_in_its_graph(tmp_path):
    network = onnx.load_from_string(recogniser())
    first = onnx.helper.make_node("Identity", ["data"], ["same"])
    network.graph.node.insert(0, first)
    network.graph.node[1].input[0] = "same"
    data, preprocess = network.SerializeToString(), WAYS["bgr"][0]
    model, notes = as_recogniser(read_network(data), spec_of(made(tmp_path, data, preprocess)))
    assert notes == ["Sub_0 and Mul_0 normalise in the graph, so that it is fed 0..255"]
    written = ran(model.SerializeToString(), blobs(CROPS, Preprocess()))
    np.testing.assert_allclose(written, ours(data, preprocess), atol=2e-6)


def test_a_weight_that_two_read_is_folded_for_one_of_them(tmp_path):
    network = onnx.load_from_string(recogniser())
    extra = onnx.helper.make_node("ReduceSum", ["w1"], ["sum"], keepdims=0)
    scaled = onnx.helper.make_node("Mul", ["embedding", "sum"], ["twice"])
    network.graph.node.extend([extra, scaled])
    network.graph.output[0].name = "twice"
    data, preprocess = network.SerializeToString(), WAYS["three stds, bgr"][0]
    model, _ = as_recogniser(read_network(data), spec_of(made(tmp_path, data, preprocess)))
    written = ran(model.SerializeToString(), blobs(CROPS, WAYS["as InsightFace"][0]))
    np.testing.assert_allclose(written, ours(data, preprocess), atol=2e-6)


def test_what_is_written_is_proved_on_made_crops(tmp_path, monkeypatch):
    pack = made(tmp_path, recogniser(), WAYS["ImageNet"][0])
    monkeypatch.setattr("visavis.insightface.write.normal_steps", lambda preprocess: [])
    with pytest.raises(PackError, match="has no exact form in InsightFace"):
        write_insightface(pack, "mine", root=tmp_path / "root", photo=None)
    pack = made(tmp_path / "2", recogniser(), WAYS["by 128"][0])
    monkeypatch.setattr("visavis.insightface.write.fold", lambda *_: None)
    monkeypatch.setattr("visavis.insightface.write.LEAST_COSINE", 1 - 1e-7)
    with pytest.raises(PackError, match="has no exact form in InsightFace"):
        write_insightface(pack, "mine", root=tmp_path / "root", photo=None)
    assert not (tmp_path / "root").exists()


@pytest.mark.pack
def test_yunet_says_the_same_in_scrfds_outputs(pack, portraits):
    spec = pack.manifest.detector
    network = read_network(pack.folder / spec.file)
    model, notes = as_detector(network, spec)
    assert len(notes) == 2
    theirs = load_model(model.SerializeToString(), DETECTOR, EXACT)
    own = load_model(network.data, spec.preprocess, EXACT)
    assert [len(shape) for shape in theirs.shapes] == [3] * 9
    faces = 0
    for name in ("obama", "obama2", "biden", "obama3"):
        for longest in (640, 224):
            canvas, _ = letterbox(read_image(portraits / f"{name}.jpg"), longest)
            size = canvas.shape[:2]
            a = decode_yunet(own(canvas[None]), *size, min_score=0.1)
            b = decode_scrfd(theirs(canvas[None]), *size, min_score=0.1)
            assert len(a.scores) == len(b.scores)
            np.testing.assert_allclose(b.boxes, a.boxes, atol=0.01)
            np.testing.assert_allclose(b.landmarks, a.landmarks, atol=0.01)
            np.testing.assert_allclose(b.scores, a.scores, atol=1e-5)
            faces += len(a.scores)
    assert faces > 20


@pytest.mark.pack
def test_a_folder_is_written_whole(tmp_path):
    pack = made(tmp_path, noted(recogniser(), **METADATA), WAYS["ImageNet"][0], name="a_net")
    extras = tmp_path / "buffalo"
    extras.mkdir()
    for name, size, out in (
        ("1k3d68.onnx", 192, 3309),
        ("genderage.onnx", 96, 3),
        ("w600k_r50.onnx", 112, 512),
    ):
        (extras / name).write_bytes(scaler((size, size), (out,)))
    written = write_insightface(
        pack, "mine", root=tmp_path / "root", photo=None, extras_from=extras
    )
    folder = tmp_path / "root" / "models" / "mine"
    assert written.folder == folder
    names = ("1k3d68.onnx", "det_yunet.onnx", "genderage.onnx", "rec_made.onnx")
    assert written.files == names
    assert tuple(sorted(path.name for path in folder.iterdir())) == names
    assert (folder / "genderage.onnx").read_bytes() == (extras / "genderage.onnx").read_bytes()
    assert (written.cosine > 0.99999, written.proof) == (True, None)
    with pytest.raises(PackError, match="is there already"):
        write_insightface(pack, "mine", root=tmp_path / "root", photo=None)


@pytest.mark.pack
def test_an_embedders_name_leads_nowhere(tmp_path):
    folder = made(tmp_path / "pack", recogniser()).folder
    document = json.loads((folder / "pack.json").read_bytes())
    document["embedder"]["name"] = "../../../evil"
    (folder / "pack.json").write_text(json.dumps(document))
    written = write_insightface(load_pack(folder), "mine", root=tmp_path / "root", photo=None)
    assert written.files == ("det_yunet.onnx", "rec_evil.onnx")


@pytest.mark.slow
@pytest.mark.pack
def test_what_is_written_comes_back_with_its_terms(tmp_path, pack):
    written = write_insightface(pack, "mine", root=tmp_path, photo=None)
    back = import_pack(written.folder, folder=tmp_path / "back", name="back").pack
    for part in ("detector", "embedder"):
        origins = [getattr(p.manifest, part).origin for p in (pack, back)]
        assert origins[0] == origins[1]
    again = write_insightface(back, "again", root=tmp_path, photo=None)
    last = import_pack(again.folder, folder=tmp_path / "last", name="last").pack
    a, b, c = (load_embedder(p, device=EXACT)(CROPS) for p in (pack, back, last))
    np.testing.assert_allclose(b, a, atol=1e-5)
    np.testing.assert_allclose(c, a, atol=1e-5)


@pytest.mark.parametrize("way", ["three stds, bgr", "ImageNet, bgr"])
def test_a_smaller_crop_is_written_and_read_again_and_again(way, tmp_path):
    first = made(tmp_path, recogniser(width=96), WAYS[way][0])
    expected = load_embedder(first, device=EXACT, flip=False)(CROPS)
    pack = first
    for turn in ("one", "two", "three"):
        written = write_insightface(pack, turn, root=tmp_path, photo=None)
        pack = import_pack(written.folder, folder=tmp_path / turn, name=turn).pack
        found = load_embedder(pack, device=EXACT, flip=False)(CROPS)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_nodes_of_our_names_are_no_hindrance(tmp_path):
    names = ("first_slice", "first_gather", "Sub_0", "Mul_0", "visavis_Sub_0")
    data, preprocess = recogniser(width=96, names=names), WAYS["ImageNet, bgr"][0]
    pack = made(tmp_path, data, preprocess)
    model, _ = as_recogniser(read_network(data), spec_of(pack))
    written = ran(model.SerializeToString(), blobs(CROPS, Preprocess()))
    np.testing.assert_allclose(written, ours(data, preprocess, (112, 96)), atol=2e-6)


@pytest.mark.pack
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"detector_from": "empty"}, "expected a detector's ONNX file in it, found none"),
        ({"detector_from": "boxes"}, "with landmarks .9 or 15 outputs., got 6"),
        ({"detector_from": "page"}, "expected an ONNX file"),
        ({"extras_from": "empty"}, "expected networks for landmarks or attributes, found none"),
        ({"name": "a/b"}, "expected a name of letters"),
        ({"name": ".."}, "expected a name of letters"),
        ({"photo": "gone.jpg"}, "gone.jpg"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else None,
)
def test_what_cannot_be_written_leaves_nothing(options, said, tmp_path, pack):
    for name, data in (("boxes", scaler((64, 64), (1, 1, 1, 4, 4, 4))), ("page", HTML)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "det.onnx").write_bytes(data)
    (tmp_path / "empty").mkdir()
    options = {key: value if key == "name" else tmp_path / value for key, value in options.items()}
    name = options.pop("name", "mine")
    with pytest.raises(Exception, match=said):
        write_insightface(pack, name, root=tmp_path / "root", **{"photo": None, **options})
    assert not list((tmp_path / "root").glob("models/*"))


def test_a_proof_or_none_must_be_chosen(run, tmp_path):
    words = ("pack", "insightface", "default", "--name", "mine", "--root", tmp_path / "root")
    for more in ((), ("--photo", "a.jpg", "--no-proof")):
        code, _, err = run(*words, *more)
        assert (code, "a --photo of a face to prove the folder with, or --no-proof" in err) == (
            2,
            True,
        )
    code, out, _ = run(*words, "--no-proof", "--json")
    assert (code, json.loads(out)["proof"]) == (0, None)


def test_without_the_package_there_is_no_proof(tmp_path, monkeypatch, portraits, pack):
    monkeypatch.setitem(__import__("sys").modules, "insightface", None)
    with pytest.raises(PackError, match="the proof needs the insightface package"):
        write_insightface(pack, "mine", root=tmp_path / "root", photo=portraits / "obama.jpg")
    assert not list((tmp_path / "root" / "models").iterdir())


@pytest.fixture(scope="module")
def peer():
    """The insightface package."""
    pytest.importorskip("insightface", reason="make test-all installs insightface")
    return importlib.import_module("insightface.app")


@pytest.fixture(scope="module")
def scrfd(data):
    """SCRFD-500M, as a part of packs."""
    return detector_part(data / "models" / "scrfd_500m_kps.onnx", given(DETECTOR))


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.parametrize("width", [112, 96])
@pytest.mark.parametrize(("preprocess", "way"), WAYS.values(), ids=WAYS)
def test_insightface_embeds_as_we_do(preprocess, way, width, peer, scrfd, portraits, tmp_path):
    pack = made(tmp_path, recogniser(width=width, norm=True), preprocess, scrfd)
    photo = portraits / "obama2.jpg"
    written = write_insightface(pack, "mine", root=tmp_path / "root", photo=photo)
    assert written.proof.cosine > 0.9999
    assert written.proof.tasks == ("detection", "recognition")
    assert (written.proof.faces, written.proof.found) == (1, 1)


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")
def test_insightface_loads_the_default_pack_by_name(peer, portraits, tmp_path, pack):
    """Unmodified: FaceAnalysis(name, root), its own detector, its own flow."""
    extras = tmp_path / "buffalo"
    extras.mkdir()
    (extras / "genderage.onnx").write_bytes(scaler((96, 96), (3,)))
    photo = portraits / "obama.jpg"
    written = write_insightface(pack, "mine", root=tmp_path, photo=photo, extras_from=extras)
    assert written.proof.cosine > 0.9999
    with contextlib.redirect_stdout(io.StringIO()):
        app = peer.FaceAnalysis("mine", root=str(tmp_path), providers=["CPUExecutionProvider"])
        app.prepare(ctx_id=-1, det_thresh=0.6)
        (face,) = app.get(cv2.imread(str(photo)))
    assert sorted(app.models) == ["detection", "genderage", "recognition"]
    assert face.age is not None
    crops = align(read_image(photo), [Face(face.bbox, face.kps, float(face.det_score))])
    ours = load_embedder(pack, device=EXACT, flip=False)(crops)
    assert float(ours[0] @ face.normed_embedding) > 0.9999
    assert app.models["recognition"].get_feat([*CROPS]).shape == (4, 128)


@pytest.mark.slow
@pytest.mark.pack
def test_the_proof_is_told_by_command(peer, portraits, tmp_path, run):
    photo = portraits / "biden.jpg"
    words = ("pack", "insightface", "default", "--name", "mine", "--root", tmp_path)
    code, out, _ = run(*words, "--photo", photo)
    assert code == 0
    assert "loads detection, recognition; for 1 faces with the same landmarks" in out


@pytest.mark.slow
@pytest.mark.pack
def test_insightface_loads_a_converted_checkpoint(peer, portraits, data, tmp_path):
    pytest.importorskip("torch", reason="pip install '.[convert]'")
    checkpoints = importlib.import_module("visavis.checkpoints.checkpoint")
    export = importlib.import_module("visavis.convert.export")
    for name in ("mobilefacenet_foamliu.pt", "mobilefacenet_xiaoccer_068.ckpt"):
        checkpoint = checkpoints.load_checkpoint(data / "models" / name)
        file = tmp_path / f"{checkpoint.family.name}.onnx"
        file.write_bytes(export.to_onnx(checkpoint, norm_output=True).onnx)
        pack = write_pack(
            tmp_path / checkpoint.family.name,
            name="converted",
            embedder=embedder_part(file),
            detector=detector_of(load_pack()),
        )
        for photo in ("obama.jpg", "biden.jpg"):
            written = write_insightface(
                pack,
                f"{checkpoint.family.name}-{photo[:3]}",
                root=tmp_path / "root",
                photo=portraits / photo,
            )
            assert written.proof.cosine > 0.9999


@pytest.mark.slow
@pytest.mark.pack
def test_a_folder_that_embeds_otherwise_fails_the_proof(peer, portraits, tmp_path, pack):
    """InsightFace normalises by 127.5; this file's graph does as well, without saying so."""
    written = write_insightface(pack, "mine", root=tmp_path, photo=None)
    file = written.folder / "rec_sface.onnx"
    network = onnx.load(file)
    for place, node in enumerate(network.graph.node[:8]):
        node.name = f"silent_{place}"
    onnx.save(network, file)
    with pytest.raises(PackError, match=r"embeds the faces of .* differently: cosine"):
        prove_in_insightface(written.folder, pack, portraits / "obama.jpg")
    file.unlink()
    with pytest.raises(PackError, match="loads no recogniser"):
        prove_in_insightface(written.folder, pack, portraits / "obama.jpg")
    (written.folder / "det_yunet.onnx").unlink()
    with pytest.raises(PackError, match="insightface cannot use it: AssertionError"):
        prove_in_insightface(written.folder, pack, portraits / "obama.jpg")
