"""Liveness networks as members of a pack: format 2, what it says of them, and what they answer."""

import hashlib
import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_liveness import torch_run, two_networks
from made_networks import recogniser, scaler
from made_photos import face_of
from test_liveness import published_box

from visavis.errors import MismatchError, PackError
from visavis.hub.catalogue import CATALOGUE
from visavis.image import read_image
from visavis.insightface.write import write_insightface
from visavis.liveness.networks import load_liveness
from visavis.liveness.outcome import LivenessBand
from visavis.pack import load_pack
from visavis.pack.liveness import MINIFASNET_ORIGIN, PAIR, pack_with_liveness
from visavis.pack.manifest import read_pack, write_manifest
from visavis.pack.verify import verify_pack
from visavis.runtime import Device

pytestmark = pytest.mark.pack


@pytest.fixture(scope="module")
def living(cache, tmp_path_factory):
    """The default pack's models and two made networks."""
    folder = tmp_path_factory.mktemp("living")
    return pack_with_liveness("living", two_networks(folder / "models"), folder=folder / "living")


@pytest.fixture
def copy(living, tmp_path):
    """A copy of it that may be damaged."""
    return shutil.copytree(living.folder, tmp_path / "copy")


def edited(folder, change):
    """The pack after a change of its manifest."""
    path = folder / "pack.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    return folder


def test_a_pack_with_liveness_is_another_packs_models_and_the_two(living, pack):
    made = read_pack(living.folder)
    assert (made.manifest.format, made.manifest.name) == (2, "living")
    assert replace(made.manifest, format=1, name="default", liveness=()) == pack.manifest
    assert [(one.name, one.scale, one.live) for one in made.manifest.liveness] == [
        ("MiniFASNetV2", 2.7, 1),
        ("MiniFASNetV1SE", 4.0, 1),
    ]
    made.read_all()


@pytest.mark.slow
def test_all_of_it_fits_its_files(living):
    assert {finding.level for finding in verify_pack(living.folder)} == {"ok"}


def test_a_pack_without_liveness_is_written_as_before(pack, tmp_path):
    """A visavis that knows format 1 alone refuses a field that it does not know."""
    write_manifest(tmp_path, pack.manifest)
    document = json.loads((tmp_path / "pack.json").read_bytes())
    assert (document["format"], "liveness" in document) == (1, False)
    assert read_pack(tmp_path).manifest == pack.manifest


def test_the_catalogue_and_the_pack_say_the_same(living):
    said = CATALOGUE["minifasnet"]
    assert [file.name for file in said.files] == [one.file for one in PAIR]
    terms = (said.licence, said.training_data, said.commercial, said.citation)
    origin = MINIFASNET_ORIGIN
    assert terms == (origin.licence, origin.training_data, origin.commercial, origin.citation)


def of(field, value):
    """A change of the first member's field."""

    def change(document):
        document["liveness"][0][field] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(format=1), "liveness: a pack of format 1 has no such members"),
        (lambda d: d.update(format=3), "format 3, this visavis reads up to 2"),
        (lambda d: d["liveness"].append(d["liveness"][0]), "each of another name"),
        (of("scale", 0.5), r"liveness.0.scale: expected 1 to 10, got 0.5"),
        (of("live", 3), r"liveness.0.live: expected 0 to 2, got 3"),
        (of("outputs", 1), r"liveness.0.outputs: expected 2 to 100, got 1"),
        (of("size", [80, 4000]), r"liveness.0.size: expected 1 to 512"),
        (of("file", "../other.onnx"), "expected a plain file name"),
        (of("colour", "bgr"), r"liveness.0.colour: Unexpected keyword"),
        (of("sha256", "0" * 64), "the file is damaged or was exchanged"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(copy, change, said):
    with pytest.raises(PackError, match=said):
        read_pack(edited(copy, change)).read_all()


def test_an_exchanged_network_is_refused(copy):
    """The attack: one that calls everybody alive lies where the pair's second was."""
    path = copy / "liveness-MiniFASNetV1SE.onnx"
    path.write_bytes(scaler((80, 80), [3]))
    with pytest.raises(PackError, match="the file is damaged or was exchanged"):
        load_liveness(load_pack(copy))


def test_without_the_hash_the_exchanged_network_would_judge(copy, monkeypatch):
    """The same attack where the file's hash were not looked at."""
    path = copy / "liveness-MiniFASNetV1SE.onnx"
    path.write_bytes(scaler((80, 80), [3]))

    def unchecked(pack, file, sha256):
        return (pack.folder / file).read_bytes()

    monkeypatch.setattr("visavis.pack.manifest.Pack.read", unchecked)
    score = load_liveness(load_pack(copy))(np.zeros((99, 99, 3), np.uint8), [face_of(9, 9, 50, 60)])
    assert score.shape == (1,)


@pytest.mark.slow
def test_verify_says_what_is_wrong_with_a_network(copy):
    """Its hash fits, and it is no network of three answers."""
    data = recogniser(height=80, width=80, batch=1)
    (copy / "liveness-MiniFASNetV2.onnx").write_bytes(data)
    edited(copy, of("sha256", hashlib.sha256(data).hexdigest()))
    errors = [one for one in verify_pack(copy) if one.level == "error"]
    assert [one.subject for one in errors] == [
        "liveness MiniFASNetV2.weights_sha256",
        "liveness MiniFASNetV2",
    ]
    assert "answers a face with 3 finite numbers, got (1, 24)" in errors[1].text


def test_thresholds_of_other_networks_are_refused(living):
    networks = load_liveness(living)
    LivenessBand(0.7, 0.3, networks.model).check_model(networks.model)
    LivenessBand(0.7, 0.3).check_model(networks.model)
    with pytest.raises(MismatchError, match=r"expected liveness thresholds of MiniFASNetV2@.*\+"):
        LivenessBand(0.7, 0.3, "MiniFASNetV2@0").check_model(networks.model)


def test_another_scale_or_colour_order_is_another_model(living):
    spec = living.manifest.liveness[0]
    colors = replace(spec.preprocess, color="rgb")
    others = [replace(spec, scale=2.8), replace(spec, live=0), replace(spec, preprocess=colors)]
    assert len({one.model for one in [spec, *others]}) == 4
    assert replace(spec, file="renamed.onnx", sha256="0").model == spec.model


def test_a_pack_of_a_detector_and_an_embedder_has_no_networks(pack):
    with pytest.raises(PackError, match="pack default: it has no liveness networks") as raised:
        load_liveness(pack)
    assert "visavis pack liveness" in raised.value.mend


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: None, r"2\.7_80x80_MiniFASNetV2\.onnx: no such file; expected"),
        (lambda folder: two_networks(folder, outputs=2), r"got \(1, 2\)"),
        (lambda folder: two_networks(folder, data=b"<html>"), "expected an ONNX file"),
    ],
)
def test_what_is_no_pair_is_refused_and_nothing_is_written(tmp_path, prepare, said):
    (tmp_path / "models").mkdir()
    prepare(tmp_path / "models")
    with pytest.raises(PackError, match=said):
        pack_with_liveness("living", tmp_path / "models", folder=tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_the_verb_makes_shows_and_verifies_it(run, tmp_path):
    models = two_networks(tmp_path / "models")
    code, out, err = run("pack", "liveness", "living", models, "--out", tmp_path / "living")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].startswith("liveness · MiniFASNetV2@")
    code, out, _ = run("pack", "info", tmp_path / "living")
    assert (code, "living · format 2" in out, "liveness MiniFASNetV1SE  " in out) == (0, True, True)
    code, out, err = run("pack", "liveness", "living", models, "--out", tmp_path / "living")
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.slow
def test_insightface_loads_its_models_as_those_of_any_pack(living, portraits, tmp_path):
    """The folder that is written for it, and the pair beside it: what it does not know it skips."""
    pytest.importorskip("insightface", reason="make test-all installs insightface")
    from insightface.app import FaceAnalysis

    photo = portraits / "obama.jpg"
    written = write_insightface(living, "mine", root=tmp_path / "root", photo=photo)
    assert written.proof.tasks == ("detection", "recognition")
    for spec in living.manifest.liveness:
        shutil.copy(living.folder / spec.file, written.folder)
    shutil.copy(living.folder / "pack.json", written.folder)
    app = FaceAnalysis("mine", root=tmp_path / "root", providers=["CPUExecutionProvider"])
    assert set(app.models) == {"detection", "recognition"}


@pytest.mark.slow
def test_each_published_network_answers_as_pytorch_does(data, portraits, tmp_path):
    """Fed as their authors publish it, computed node by node with PyTorch: logits and scores."""
    torch = pytest.importorskip("torch", reason="pip install '.[convert]'")
    pack = pack_with_liveness("living", data / "models", folder=tmp_path / "living")
    networks = load_liveness(pack, Device("cpu", precision="bfloat16"))
    image = cv2.resize(read_image(portraits / "obama.jpg"), (480, 640))
    faces = [face_of(x, y, w, h) for x, y, w, h in [(130, 180, 220, 260), (20, 10, 90, 120)]]
    faces += [face_of(380, 500, 90, 130), face_of(60, 60, 360, 500)]
    expected = []
    for face in faces:
        scores = []
        for member, published in zip(networks.members, PAIR, strict=True):
            left, top, right, bottom = published_box(face, 480, 640, published.scale)
            bgr = np.ascontiguousarray(image[top : bottom + 1, left : right + 1, ::-1])
            patch = cv2.resize(bgr, (80, 80)).astype(np.float32).transpose(2, 0, 1)[None]
            logits = torch_run(data / "models" / published.file, torch.from_numpy(patch))
            (ours,) = member[0](patch.transpose(0, 2, 3, 1)[..., ::-1].astype(np.uint8))
            np.testing.assert_allclose(ours, logits.numpy(), atol=1e-4 * float(logits.abs().max()))
            scores.append(float(torch.softmax(logits, dim=1)[0, 1]))
        expected.append(np.mean(scores))
    np.testing.assert_allclose(networks(image, faces), expected, atol=1e-4)
