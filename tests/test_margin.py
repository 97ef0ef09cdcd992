"""Networks that are shown more than a crop: their margin from the manifest to every crop that is
cut, and refused where crops are cut already.
"""

import hashlib
import json
from dataclasses import asdict, replace

import made
import numpy as np
import pytest
from made_networks import recogniser
from PIL import Image
from test_ijb import write_ijb

from visavis.alignment import align
from visavis.clustering import cluster_photos
from visavis.dataset import open_tree
from visavis.dataset.ijb import read_ijb
from visavis.detect import load_detector
from visavis.document import to_bytes
from visavis.embedder import Ensemble, Member, choose_models, load_embedder
from visavis.embeddings import embed_all, embed_photo
from visavis.enrollment import Candidate, embed_kept_crops, enroll
from visavis.errors import MismatchError, PackError
from visavis.evaluate.protocols import CropSource, embed_tree
from visavis.evaluate.templates import embed_ijb
from visavis.facecache import models_of
from visavis.faces import find_faces
from visavis.image import read_image
from visavis.insightface.write import as_recogniser
from visavis.pack.build import embedder_part
from visavis.pack.declaration import Declared
from visavis.pack.manifest import read_pack, write_manifest
from visavis.pack.onnx import read_network
from visavis.presence import portrait_embedding
from visavis.recognizer import Recognizer
from visavis.runtime import Device

HALVES = Declared(color="rgb", mean=(127.5,) * 3, std=(127.5,) * 3)
PIXELS = ("--color", "rgb", "--mean", 127.5, "--std", 127.5)
LOOSE = 0.5


class Seen(made.AngleEmbedder):
    """It remembers the crops that it was shown."""

    def __init__(self, margin):
        self.margin, self.crops = margin, []

    def __call__(self, crops):
        self.crops += list(crops)
        return super().__call__(crops)


@pytest.fixture
def photo(tmp_path):
    return made.photo(tmp_path / "photos" / "a.png", [60, 200])


def recognizer_of(margin, calibration):
    return Recognizer(made.detect, Seen(margin), calibration)


def cut(photo, margin):
    """The crop of a made photo's one face, by hand."""
    return align(read_image(photo), made.SHOWN[made.ONE], margin=margin)[0]


# What embeds a photo: with a recognizer, the photo and a gallery.
WAYS = {
    "embed_faces": lambda it, photo, people: it.embed_faces(it.faces(photo), [0]),
    "verify": lambda it, photo, people: it.verify(photo, photo),
    "identify": lambda it, photo, people: it.identify(photo, people),
    "enroll": lambda it, photo, people: list(enroll(it, people, [Candidate("Anna", photo)])),
    "find": lambda it, photo, people: portrait_embedding(it, photo),
    "cluster": lambda it, photo, people: cluster_photos(it, [photo], None),
    "embed": lambda it, photo, people: embed_photo(photo, it.detect, it.embed),
    "evaluate": lambda it, photo, people: embed_tree(
        CropSource(open_tree(photo.parent), it.detect), ["a.png"], it.embed
    ),
}


@pytest.mark.parametrize("margin", [0.0, LOOSE])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_whatever_embeds_a_photo_cuts_with_the_embedders_margin(
    way, margin, photo, calibration, gallery
):
    it = recognizer_of(margin, calibration)
    way(it, photo, gallery)
    assert it.embed.crops
    for crop in it.embed.crops:
        np.testing.assert_array_equal(crop, cut(photo, margin))
    assert (cut(photo, 0.0) != cut(photo, LOOSE)).mean() > 0.5


def test_a_face_is_measured_kept_and_written_without_the_margin(
    photo, calibration, gallery, tmp_path
):
    loose, plain = (recognizer_of(margin, calibration) for margin in (LOOSE, 0.0))
    expected = plain.verify(photo, photo)
    verification = loose.verify(photo, photo)
    assert verification.qualities == expected.qualities
    np.testing.assert_array_equal(verification.crops[0], cut(photo, LOOSE))  # what was compared
    list(enroll(loose, gallery, [Candidate("Anna", photo)], keep_crops=True))
    (sample,) = gallery.samples(gallery.find("Anna").id)
    np.testing.assert_array_equal(read_image(sample.crop), cut(photo, 0.0))
    cluster_photos(loose, [photo], tmp_path / "groups")
    np.testing.assert_array_equal(
        read_image(tmp_path / "groups" / "crops" / "00001.png"), cut(photo, 0.0)
    )
    source = CropSource(open_tree(photo.parent), made.detect)
    np.testing.assert_array_equal(source.crop("a.png", LOOSE)[1], source.crop("a.png")[1])


def test_ijb_is_cut_with_the_margin(tmp_path):
    """Its faces are cut by the points of its lists, out of white pictures of a crop's size."""
    write_ijb(tmp_path)
    for number in range(1, 7):
        Image.new("RGB", (112, 112), "white").save(tmp_path / "loose_crop" / f"{number}.jpg")
    embed = Seen(LOOSE)
    embed_ijb(read_ijb(tmp_path), embed)
    assert len(embed.crops) == 6
    for crop in embed.crops:
        assert (crop[28:84, 28:84] == 255).all()
        assert crop.sum() == 3 * 255 * 56**2  # and nothing around


def test_both_cuts_are_of_one_second_look():
    looks = []

    def detect(image):
        looks.append(image.shape)
        again = made.face(40, 40, 112)  # in a tile of 192 pixels, and in the mirrored one
        beside = replace(again, landmarks=again.landmarks + np.float32([192, 0]))
        return [again, beside]

    image = made.picture([60, 200], noise=40)
    photo = find_faces(lambda seen: [made.face(50, 50, 100)], image)
    loose, plain = photo.crops_at([LOOSE, 0.0], [0], detect)
    once = len(looks)
    np.testing.assert_array_equal(loose, photo.crops([0], detect, margin=LOOSE))
    np.testing.assert_array_equal(plain, photo.crops([0], detect))
    assert len(looks) == 3 * once
    assert (plain != photo.crops([0])).any()  # the second look moved it


def refused_by_the_gallery(photo, calibration, gallery):
    plain = recognizer_of(0.0, calibration)
    list(enroll(plain, gallery, [Candidate("Anna", photo)], keep_crops=True))
    embed_kept_crops(gallery, Seen(LOOSE))


CUT_ALREADY = {
    "evaluate": lambda photo, *_: embed_tree(
        CropSource(open_tree(photo.parent)), ["a.png"], Seen(LOOSE), skip_bad=True
    ),
    "embed": lambda photo, *_: embed_photo(photo, None, Seen(LOOSE)),
    "embed all": lambda photo, *_: embed_all([photo], None, Seen(LOOSE)),
    "kept crops": refused_by_the_gallery,
}


@pytest.mark.parametrize("way", CUT_ALREADY.values(), ids=CUT_ALREADY)
def test_what_is_cut_already_is_refused(way, photo, calibration, gallery):
    with pytest.raises(MismatchError, match=r"fake@0 takes crops with a margin of 0\.5 .* none: "):
        way(photo, calibration, gallery)


def test_crops_that_a_model_with_a_margin_kept_serve_models_without(photo, calibration, gallery):
    loose = recognizer_of(LOOSE, calibration)
    list(enroll(loose, gallery, [Candidate("Anna", photo)], keep_crops=True))
    other = Seen(0.0)
    other.model = "other@1"
    assert embed_kept_crops(gallery, other).made == 1
    np.testing.assert_array_equal(other.crops, [cut(photo, 0.0)])


def test_models_that_share_no_crop_are_no_ensemble():
    one, other = Seen(LOOSE), Seen(0.0)
    other.model = "other@1"
    members = (Member(one, 0.5, 10), Member(other, 0.5, 10))
    with pytest.raises(MismatchError, match=r"0\.5 of fake@0, 0 of other@1"):
        Ensemble(members)
    other.margin = LOOSE
    assert Ensemble(members).margin == LOOSE


def with_margin(pack, margin):
    """The default pack, said to take a margin."""
    embedder = replace(pack.manifest.embedder, margin=margin)
    return replace(pack, manifest=replace(pack.manifest, embedder=embedder))


def test_a_margin_is_a_part_of_the_models_identity(pack):
    plain = pack.manifest.embedder
    loose = with_margin(pack, LOOSE).manifest.embedder
    assert plain.margin == 0
    preprocess = json.loads(json.dumps(asdict(plain.preprocess)))
    for spec, more in ((plain, []), (loose, [{"margin": 0.5}])):
        parts = [plain.weights_sha256, preprocess, *more, {"alignment": 2}]
        identity = json.dumps(parts, sort_keys=True)
        assert spec.model == f"sface@{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def test_faces_that_were_cut_otherwise_are_not_taken_from_the_cache(pack):
    assert models_of(with_margin(pack, LOOSE)) != models_of(pack)


def test_packs_that_share_no_crop_do_not_answer_together(pack, tmp_path):
    write_manifest(tmp_path, with_margin(pack, LOOSE).manifest)
    with pytest.raises(MismatchError, match=r"other margins: 0 of sface@.*, 0\.5 of sface@"):
        choose_models(f"default+{tmp_path}")


def test_insightface_would_cut_another_crop(pack):
    spec = with_margin(pack, LOOSE).manifest.embedder
    with pytest.raises(PackError, match=r"without a margin, got one of 0\.5"):
        as_recogniser(read_network(recogniser(), "mine.onnx"), spec)


def test_a_manifest_keeps_the_margin(pack, tmp_path):
    write_manifest(tmp_path, with_margin(pack, LOOSE).manifest)
    assert read_pack(tmp_path).manifest.embedder.margin == LOOSE


def test_a_manifest_without_a_margin_has_none(pack, tmp_path):
    """As all were written that are older."""
    document = json.loads(to_bytes(pack.manifest))
    del document["embedder"]["margin"]
    (tmp_path / "pack.json").write_text(json.dumps(document))
    assert read_pack(tmp_path).manifest == pack.manifest


@pytest.mark.parametrize("margin", [-0.1, 1.01, "0.5", None, float("inf")])
def test_a_manifest_with_another_margin_is_refused(margin, pack, tmp_path):
    document = json.loads(to_bytes(pack.manifest))
    document["embedder"]["margin"] = margin
    (tmp_path / "pack.json").write_text(json.dumps(document))
    with pytest.raises(PackError, match=r"embedder\.margin"):
        read_pack(tmp_path)


@pytest.mark.parametrize("margin", [-0.1, 1.01, float("nan")])
def test_a_margin_that_is_none_is_not_declared(margin):
    with pytest.raises(PackError, match=r"mine\.onnx: expected a margin of 0 to 1 "):
        embedder_part(read_network(recogniser(), "mine.onnx"), replace(HALVES, margin=margin))


@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.parametrize("words", [("build", "mine", "--embedder"), ("import",)])
def test_a_pack_with_a_margin_by_command(words, tmp_path, run, monkeypatch, portraits):
    """A network of 160x160 with a margin, from its file to the embedding of a photo."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.onnx").write_bytes(recogniser(height=160, width=160))
    code, out, _ = run("pack", *words, "mine.onnx", *PIXELS, "--margin", LOOSE, "--out", "loose")
    assert (code, "160x160 with a margin of 0.5" in out) == (0, True)
    assert run("pack", "verify", "loose")[0] == 0
    photo = portraits / "obama.jpg"
    as_cli = ("--pack", "loose", "--out", "a.npz", "--precision", "float32")
    assert run("embed", photo, *as_cli)[0] == 0
    pack, device = read_pack(tmp_path / "loose"), Device("auto", precision="float32")
    detect = load_detector(pack, device=device)
    crops = find_faces(detect, photo).crops([0], detect, margin=LOOSE)
    expected = load_embedder(pack, device=device)(crops)
    np.testing.assert_allclose(np.load("a.npz")["embeddings"], expected, atol=1e-4)
    code, _, err = run("embed", photo, "--aligned", *as_cli)
    assert (code, err.count("\n"), "takes crops with a margin" in err) == (2, 1, True)
    assert err.endswith("(--aligned)\n")


@pytest.mark.pack
@pytest.mark.slow
def test_a_portrait_is_cut_with_the_margin_of_its_pack(pack, portraits):
    photo = portraits / "obama.jpg"
    detect, embed = load_detector(pack), load_embedder(with_margin(pack, LOOSE))
    (face,) = embed_photo(photo, detect, embed)
    crops = find_faces(detect, photo).crops([0], detect, margin=LOOSE)
    np.testing.assert_allclose(face.embedding, embed(crops), atol=1e-6)
    plain = find_faces(detect, photo).crops([0], detect)
    # The middle half of the looser crop is the plain one, at half its size.
    small = plain[0].reshape(56, 2, 56, 2, 3).mean(axis=(1, 3))
    assert np.abs(crops[0][28:84, 28:84] - small).mean() < 6
