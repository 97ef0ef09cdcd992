"""Crops to unit rows: with networks of one line, and the default pack's."""

import numpy as np
import pytest

from visavis.compare import similarity
from visavis.embedder.model import BATCH, ModelEmbedder, load_embedder, unit
from visavis.errors import DeviceError, EmbeddingError, ImageError, ModelError, PackError
from visavis.runtime import Device

FLOAT32 = Device("cpu", precision="float32")


def crops_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)


def corners(pictures):
    """A network: the first pixel, the last of the first row, and 1."""
    ends = [pictures[:, 0, 0, 0], pictures[:, 0, -1, 0], np.ones(len(pictures))]
    return [np.stack(ends, axis=1).astype(np.float32)]


def embedder(network=corners, *, flip=False, dim=3):
    return ModelEmbedder("fake@0", dim, network, flip)


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 3])
@pytest.mark.parametrize("flip", [False, True])
def test_a_batch_gives_what_its_crops_give_one_by_one(count, flip):
    crops, embed = crops_of(count), embedder(flip=flip)
    single = [embed(crop[None]) for crop in crops]
    np.testing.assert_array_equal(embed(crops), np.concatenate([np.empty((0, 3)), *single]))


def test_the_network_sees_no_more_than_a_batch_at_once():
    sizes = []
    embed = embedder(lambda pictures: sizes.append(len(pictures)) or corners(pictures))
    embed(crops_of(2 * BATCH + 1))
    assert sizes == [BATCH, BATCH, 1]


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (corners, [26**0.5, 1.0]),  # 3, 4, 1; 0, 0, 1
        (lambda pictures: [*corners(pictures), np.float32([[22.0], [7.0]])], [22.0, 7.0]),
    ],
)
def test_lengths_are_the_networks_own_or_its_rows(network, expected):
    crops = np.zeros((2, 112, 112, 3), np.uint8)
    crops[0, 0, 0], crops[0, 0, -1] = 3, 4
    np.testing.assert_allclose(embedder(network, flip=True).lengths(crops), expected, rtol=1e-6)


@pytest.mark.parametrize(("flip", "expected"), [(False, [3, 4, 1]), (True, [7, 7, 2])])
def test_flip_adds_the_mirrored_crop_before_rows_are_made_unit(flip, expected):
    crop = np.zeros((1, 112, 112, 3), np.uint8)
    crop[0, 0, 0], crop[0, 0, -1] = 3, 4
    row = embedder(flip=flip)(crop)
    np.testing.assert_allclose(row[0], np.array(expected) / np.linalg.norm(expected), rtol=1e-6)


def test_rows_are_unit_float32():
    rows = embedder(flip=True)(crops_of(20))
    assert (rows.shape, rows.dtype) == ((20, 3), np.float32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)


def edges(pictures):
    """A network: the first and the last pixel of the first row, and of the first column."""
    ends = [pictures[:, 0, 0], pictures[:, 0, -1], pictures[:, -1, 0]]
    return [np.concatenate(ends, axis=1).astype(np.float32) + 1]


@pytest.mark.parametrize(
    ("size", "top", "left"),
    [((112, 112), 0, 0), ((112, 96), 0, 8), ((96, 112), 8, 0), ((96, 96), 8, 8), ((111, 95), 0, 8)],
)
@pytest.mark.parametrize("flip", [False, True])
def test_a_smaller_network_sees_the_middle_of_a_crop(size, top, left, flip):
    crops, seen = crops_of(3), []
    embed = ModelEmbedder("fake@0", 9, lambda p: seen.append(p) or edges(p), flip, size)
    embed(crops)
    middle = crops[:, top : top + size[0], left : left + size[1]]
    mirrored = crops[:, :, ::-1][:, top : top + size[0], left : left + size[1]]
    expected = np.concatenate([middle, mirrored]) if flip else middle
    np.testing.assert_array_equal(seen[0], expected)
    assert seen[0].flags.c_contiguous


@pytest.mark.parametrize("size", [(112, 128), (160, 128), (513, 513), (0, 112)])
def test_a_size_to_which_no_crop_is_brought_is_refused(size):
    with pytest.raises(PackError, match=rf"at most 112x112, or .*, got {size[0]}x{size[1]}$"):
        ModelEmbedder("fake@0", 3, corners, False, size)


@pytest.mark.parametrize("size", [(128, 128), (160, 160)])
def test_a_larger_network_sees_the_crop_enlarged(size):
    shapes = []

    def network(pictures):
        shapes.append(pictures.shape)
        return [np.ones((len(pictures), 3), np.float32)]

    ModelEmbedder("fake@0", 3, network, True, size)(crops_of(9))
    assert shapes == [(16, *size, 3), (2, *size, 3)]


def test_lengths_beside_the_embeddings_change_no_row():
    def lengths(pictures):
        return [*corners(pictures), np.full((len(pictures), 1), np.nan, np.float32)]

    np.testing.assert_array_equal(embedder(lengths)(crops_of(9)), embedder()(crops_of(9)))


@pytest.mark.parametrize(
    "more",
    [[(2, 3)], [(2, 2)], [(1, 1)], [(2,)], [(2, 1), (2, 1)]],
    ids=str,
)
def test_other_second_outputs_are_refused(more):
    def network(pictures):
        return [*corners(pictures), *(np.ones(shape, np.float32) for shape in more)]

    with pytest.raises(ModelError, match=r"expected \(2, 3\) embeddings, got \(2, 3\) and "):
        embedder(network)(crops_of(2))


def answering(row, values):
    """A network whose row number `row` is `values`, the others ones."""

    def network(pictures):
        raw = np.ones((len(pictures), 3), np.float32)
        raw[row] = values
        return [raw]

    return embedder(network)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, np.nan, 1], r"row 2 of 5 is \[1.0, nan, 1.0\]"),
        ([1, np.inf, 1], r"row 2 of 5 is \[1.0, inf, 1.0\]"),
        ([0, 0, 0], r"row 2 of 5 is \[0.0, 0.0, 0.0\]"),
    ],
)
def test_an_answer_that_is_no_embedding_names_its_row(values, message):
    with pytest.raises(EmbeddingError, match=message):
        answering(2, values)(crops_of(5))


def test_unit_of_rows_by_hand_and_of_none():
    np.testing.assert_allclose(unit(np.float32([[3, 4], [0, -2]])), [[0.6, 0.8], [0, -1]])
    assert unit(np.empty((0, 5), np.float32)).shape == (0, 5)


def test_an_answer_of_another_shape_is_an_error():
    with pytest.raises(ModelError, match=r"fake@0: expected \(2, 4\) embeddings, got \(2, 3\)"):
        embedder(dim=4)(crops_of(2))


@pytest.mark.parametrize(
    "crops",
    [
        pytest.param(crops_of(1)[0], id="one crop without a batch"),
        pytest.param(crops_of(1)[..., :2], id="two channels"),
        pytest.param(crops_of(1).astype(np.float32), id="floats"),
        pytest.param(np.zeros((0,), np.uint8), id="a flat array"),
    ],
)
def test_what_are_no_crops_is_an_error(crops):
    with pytest.raises(ImageError, match=r"expected \(N, 112, 112, 3\) uint8 crops"):
        embedder()(crops)


@pytest.fixture(scope="module")
def embed(pack):
    return load_embedder(pack, device=FLOAT32)


CROP = crops_of(1, seed=7)


@pytest.mark.pack
@pytest.mark.parametrize(
    ("flip", "golden"),
    [
        (True, [-0.034130, -0.004053, -0.025048, 0.084082, -0.067605]),
        (False, [-0.047158, 0.007786, -0.026663, 0.082607, -0.059422]),
    ],
)
def test_the_default_embedder_gives_its_golden_numbers(pack, flip, golden):
    row = load_embedder(pack, device=FLOAT32, flip=flip)(CROP)
    assert row.shape == (1, 128)
    np.testing.assert_allclose(row[0, :5], golden, atol=1e-4)


@pytest.mark.pack
def test_bfloat16_gives_almost_what_float32_gives(pack, embed):
    try:
        fast = load_embedder(pack, device=Device("cpu", precision="bfloat16"))
    except DeviceError as error:
        pytest.skip(str(error))
    cosines = np.diag(similarity(fast(crops_of(4, seed=7)), embed(crops_of(4, seed=7))))
    assert cosines.min() > 0.995
    assert cosines.min() < 1 - 1e-6  # it is another precision


@pytest.mark.pack
def test_order_and_batch_do_not_change_an_embedding(embed):
    crops = crops_of(BATCH + 2, seed=9)
    whole = embed(crops)
    np.testing.assert_allclose(embed(crops[::-1]), whole[::-1], atol=1e-5)
    np.testing.assert_allclose(np.concatenate([embed(c[None]) for c in crops]), whole, atol=1e-5)


@pytest.mark.pack
def test_a_crop_and_its_mirror_have_one_embedding(embed):
    crops = crops_of(2, seed=3)
    np.testing.assert_allclose(embed(crops[:, :, ::-1]), embed(crops), atol=1e-5)


@pytest.mark.pack
def test_crops_of_another_size_are_an_error(embed):
    with pytest.raises(ModelError, match=r"the network refuses \(\d, 96, 112, 3\) pictures"):
        embed(np.zeros((1, 96, 112, 3), np.uint8))


@pytest.mark.pack
def test_the_model_of_the_default_embedder_does_not_change_unseen(embed):
    assert (embed.model, embed.dim) == ("sface@0ae22d6a", 128)
