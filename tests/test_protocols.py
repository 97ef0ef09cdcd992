"""A data set through an embedder: with a made one, over a folder of made pictures."""

import numpy as np
import pytest
from PIL import Image as Pillow

from visavis.alignment import ARCFACE_112
from visavis.dataset import Pairs, open_tree
from visavis.embedder import load_embedder
from visavis.errors import DatasetError, EmbeddingError, ImageError, LandmarkError
from visavis.evaluate import protocols
from visavis.evaluate.protocols import CropSource, Embedded, embed_pairs, embed_tree, verification
from visavis.runtime import Device
from visavis.types import Face

COLORS = {"red.png": (200, 10, 10), "green.png": (10, 200, 10), "blue.png": (10, 10, 200)}


@pytest.fixture
def tree(tmp_path):
    for name, color in COLORS.items():
        Pillow.new("RGB", (112, 112), color).save(tmp_path / name)
    return open_tree(tmp_path)


def unit_color(color):
    both = np.array([*color, *color]) + 1.0
    return both / np.linalg.norm(both)


def test_each_picture_gives_the_embedding_of_its_row(tree, fake_embedder):
    names = ["blue.png", "red.png", "green.png"]
    embedded = embed_tree(CropSource(tree), names, fake_embedder)
    expected = [unit_color(COLORS[name]) for name in names]
    np.testing.assert_allclose(embedded.embeddings, expected, atol=1e-6)
    assert embedded.acquired.tolist() == [True] * 3


@pytest.mark.parametrize("chunk", [1, 2, 3, 4])
def test_chunks_do_not_show_in_the_result(tree, fake_embedder, monkeypatch, chunk):
    whole = embed_tree(CropSource(tree), [*COLORS] * 2, fake_embedder)
    monkeypatch.setattr(protocols, "CHUNK", chunk)
    parts = embed_tree(CropSource(tree), [*COLORS] * 2, fake_embedder)
    np.testing.assert_array_equal(parts.embeddings, whole.embeddings)
    assert parts.acquired.all()


def test_no_pictures_are_no_embeddings(tree, fake_embedder):
    embedded = embed_tree(CropSource(tree), [], fake_embedder)
    assert (embedded.embeddings.shape, embedded.acquired.shape) == ((0, 6), (0,))


def seen_in(*colors):
    """A detector that finds a face in pictures of these colours, and a smaller one beside it."""
    whole = Face(np.float32([0, 0, 112, 112]), ARCFACE_112.astype(np.float32), 0.9)
    part = Face(np.float32([0, 0, 50, 50]), (ARCFACE_112 / 2).astype(np.float32), 0.99)
    return lambda image: [whole, part] if tuple(image[0, 0].tolist()) in colors else []


@pytest.mark.parametrize(
    ("found", "acquired"),
    [
        (("red.png", "green.png", "blue.png"), [True, True, True]),
        (("red.png",), [True, False, False]),
        (("green.png",), [False, True, False]),
        (("blue.png",), [False, False, True]),
        ((), [False, False, False]),
    ],
)
def test_pictures_without_a_face_are_zeros_and_counted(tree, fake_embedder, found, acquired):
    detect = seen_in(*(COLORS[name] for name in found))
    embedded = embed_tree(CropSource(tree, detect), [*COLORS], fake_embedder)
    assert embedded.acquired.tolist() == acquired
    for name, row, there in zip(COLORS, embedded.embeddings, acquired, strict=True):
        np.testing.assert_allclose(row, unit_color(COLORS[name]) * there, atol=1e-6)


def test_of_several_faces_the_first_is_embedded(tree, fake_embedder, tmp_path):
    split = Pillow.new("RGB", (112, 112), COLORS["red.png"])
    split.paste((0, 0, 255), (4, 4, 108, 56))
    split.save(tmp_path / "split.png")
    detect = seen_in(COLORS["red.png"])
    found = embed_tree(CropSource(tree, detect), ["split.png"], fake_embedder)
    whole = embed_tree(CropSource(tree), ["split.png"], fake_embedder)
    np.testing.assert_allclose(found.embeddings, whole.embeddings, atol=1e-3)


def test_a_picture_of_another_size_is_named(tree, fake_embedder, tmp_path):
    Pillow.new("RGB", (250, 200)).save(tmp_path / "wide.png")
    with pytest.raises(ImageError, match=r"wide\.png of .*112x112 crop, got 250x200: align it"):
        embed_tree(CropSource(tree), ["red.png", "wide.png"], fake_embedder)


def test_a_damaged_picture_is_named(tree, fake_embedder, tmp_path):
    (tmp_path / "torn.png").write_bytes((tmp_path / "red.png").read_bytes()[:60])
    with pytest.raises(ImageError, match=r"torn\.png of "):
        embed_tree(CropSource(tree), ["red.png", "torn.png"], fake_embedder)


def test_a_missing_picture_is_named(tree, fake_embedder):
    with pytest.raises(DatasetError, match=r"none\.png"):
        embed_tree(CropSource(tree), ["none.png"], fake_embedder)


def test_progress_is_shown_picture_by_picture(tree, fake_embedder):
    names_shown = []

    def progress(names):
        for name in names:
            names_shown.append(name)
            yield name

    embed_tree(CropSource(tree), [*COLORS], fake_embedder, progress=progress)
    assert names_shown == [*COLORS]


def pairs_of(*rows, folds=1):
    left, right, same = zip(*rows, strict=True)
    rows = np.arange(len(left))
    return Pairs(
        names=("a", "b", "c", "d"),
        left=np.array(left),
        right=np.array(right),
        same=np.array(same),
        fold=rows * folds // len(rows),
        lines=rows + 2,
        source="made.txt",
    )


PAIRS = pairs_of((0, 1, True), (2, 3, True), (0, 2, False), (1, 3, False))
# a and b are one way, c and d almost one way, a right angle apart
ROWS = np.float32([[1, 0], [1, 0], [0, 1], [0.6, 0.8]])


def test_pairs_are_compared_by_cosine():
    result = verification(PAIRS, Embedded(ROWS, np.ones(4, bool)))
    assert (result.pairs, result.failures_to_acquire) == (4, 0)
    assert (result.accuracy, result.auc, result.eer) == (1, 1, 0)


@pytest.mark.parametrize("missing", [0, 3])
def test_a_pair_with_a_picture_without_a_face_is_answered_different(missing):
    acquired = np.arange(4) != missing
    result = verification(PAIRS, Embedded(ROWS * acquired[:, None], acquired))
    assert (result.accuracy, result.failures_to_acquire) == (0.75, 1)
    # the same pair that is left lies above both different ones; the failed one ties with a failed
    # one, and lies below the other: two and a half of four
    assert result.auc == 0.625


class Sick:
    """An embedder that fails for one colour: by NaN, by another length, or by saying so."""

    model, dim, margin = "sick@0", 6, 0.0

    def __init__(self, healthy, color, ill):
        self.healthy, self.color, self.ill = healthy, color, ill

    def __call__(self, crops):
        rows = self.healthy(crops)
        hit = (crops[:, 0, 0] == self.color).all(axis=1)
        if self.ill == "error" and hit.any():
            raise EmbeddingError("expected finite embeddings")
        rows[hit] = np.nan if self.ill == "nan" else rows[hit] * 2
        return rows


@pytest.mark.parametrize("ill", ["nan", "length", "error"])
def test_a_bad_embedding_is_named_with_its_line(tree, fake_embedder, ill):
    embed = Sick(fake_embedder, COLORS["green.png"], ill)
    with pytest.raises(EmbeddingError, match=r"made\.txt, line 3: green\.png of .*: expected"):
        embed_pairs(CropSource(tree), colored(), embed)


@pytest.mark.parametrize("ill", ["nan", "length", "error"])
def test_a_bad_embedding_is_skipped_and_counted_and_the_rest_is_as_before(tree, fake_embedder, ill):
    embed = Sick(fake_embedder, COLORS["green.png"], ill)
    kept, found = embed_pairs(CropSource(tree), colored(), embed, skip_bad=True)
    assert (kept.skipped, kept.lines.tolist(), [*found.bad]) == (2, [2], [1])
    whole = embed_tree(CropSource(tree), [*COLORS], fake_embedder)
    np.testing.assert_array_equal(found.embeddings[[0, 2]], whole.embeddings[[0, 2]])
    assert found.acquired.tolist() == [True, False, True]


def colored():
    rows = np.array([[0, 2, True], [0, 1, False], [1, 2, False]])
    return Pairs(
        names=tuple(COLORS),
        left=rows[:, 0],
        right=rows[:, 1],
        same=rows[:, 2].astype(bool),
        fold=np.zeros(3, int),
        lines=np.array([2, 3, 4]),
        source="made.txt",
    )


def test_a_face_that_cannot_be_aligned_is_named_or_left_out(tree, fake_embedder):
    flat = Face(np.float32([0, 0, 112, 112]), np.ones((5, 2), np.float32), 0.9)
    found = seen_in(*COLORS.values())
    source = CropSource(
        tree,
        lambda image: [flat] if (image[0, 0] == COLORS["green.png"]).all() else found(image),
    )
    with pytest.raises(LandmarkError, match=r"made\.txt, line 3: green\.png of .*: expected five"):
        embed_pairs(source, colored(), fake_embedder)
    kept, embedded = embed_pairs(source, colored(), fake_embedder, skip_bad=True)
    assert (kept.skipped, [*embedded.bad], embedded.failures) == (2, [1], 0)
    assert np.isnan(embedded.measures).all(axis=1).tolist() == [False, True, False]


def test_a_damaged_picture_is_named_with_its_line(tree, fake_embedder, tmp_path):
    (tmp_path / "blue.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"made\.txt, line 2: blue\.png of "):
        embed_pairs(CropSource(tree), colored(), fake_embedder)


def test_a_damaged_picture_is_skipped_and_counted(tree, fake_embedder, tmp_path):
    (tmp_path / "blue.png").write_bytes(b"no picture")
    kept, found = embed_pairs(CropSource(tree), colored(), fake_embedder, skip_bad=True)
    assert (kept.skipped, kept.lines.tolist(), found.failures) == (2, [3], 0)


def test_bad_pictures_are_not_failures_to_acquire(tree, fake_embedder, tmp_path):
    (tmp_path / "blue.png").write_bytes(b"no picture")
    source = CropSource(tree, seen_in(COLORS["red.png"]))
    kept, found = embed_pairs(source, colored(), fake_embedder, skip_bad=True)
    assert (found.failures, len(found.bad)) == (1, 1)
    assert kept.lines.tolist() == [3]


def test_measures_are_those_of_quality_and_nan_without_a_face(tree, fake_embedder):
    source = CropSource(tree, seen_in(COLORS["red.png"]))
    found = embed_tree(source, [*COLORS], fake_embedder)
    sharpness, brightness, size, score, yaw = found.measures[0]
    assert (sharpness, size) == (0, 112)
    assert score == pytest.approx(0.9)
    assert yaw == pytest.approx(0, abs=0.5)
    assert brightness == pytest.approx(0.299 * 200 + 0.701 * 10, abs=1)
    assert np.isnan(found.measures[1:]).all()


def test_a_picture_is_changed_before_the_face_is_sought_with_the_clean_ones_landmarks(
    tree, fake_embedder
):
    seen = []

    def change(image, landmarks):
        seen.append(landmarks)
        return np.full_like(image, 255)

    detect = seen_in(COLORS["red.png"])  # in a white picture it finds nothing
    found = embed_tree(CropSource(tree, detect, change), [*COLORS], fake_embedder)
    assert not found.acquired.any()
    np.testing.assert_allclose(seen[0], ARCFACE_112, atol=1e-4)
    assert seen[1:] == [None, None]
    crops = embed_tree(CropSource(tree, change=change), [*COLORS], fake_embedder)
    np.testing.assert_allclose(crops.embeddings, crops.embeddings[[0, 0, 0]])


@pytest.mark.pack
def test_batches_and_order_do_not_show_in_what_the_default_pack_answers(
    pack, tmp_path, monkeypatch
):
    rng, names = np.random.default_rng(3), [f"{row:02d}.png" for row in range(20)]
    for name in names:
        noise = rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)
        Pillow.fromarray(noise).resize((112, 112)).save(tmp_path / name)
    source = CropSource(open_tree(tmp_path))
    embed = load_embedder(pack, device=Device("cpu", precision="float32"))
    whole = embed_tree(source, names, embed).embeddings
    back = embed_tree(source, names[::-1], embed).embeddings[::-1]
    monkeypatch.setattr("visavis.embedder.model.BATCH", 3)
    monkeypatch.setattr(protocols, "CHUNK", 7)
    parts = embed_tree(source, names, embed).embeddings
    np.testing.assert_allclose(back, whole, atol=1e-5)
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_order_does_not_show_in_the_result(tree, fake_embedder):
    pairs = colored()
    turned = pairs.keep(np.ones(3, bool))
    order = np.array([2, 0, 1])
    there = embed_tree(CropSource(tree), pairs.names, fake_embedder)
    back = embed_tree(CropSource(tree), pairs.names[::-1], fake_embedder)
    np.testing.assert_array_equal(there.embeddings, back.embeddings[::-1])
    result = verification(pairs, there)
    shuffled = Pairs(
        names=pairs.names[::-1],
        left=2 - turned.left[order],
        right=2 - turned.right[order],
        same=turned.same[order],
        fold=turned.fold[order],
        lines=turned.lines[order],
        source="made.txt",
    )
    assert verification(shuffled, back) == result
