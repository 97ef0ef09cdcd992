"""IJB's protocols on a made set: templates, their pairs and searches, by hand."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow
from test_ijb import LISTS, POINT, POINTS, SCORES, write_ijb

from visavis.alignment import ARCFACE_112
from visavis.dataset.ijb import TemplatePairs, read_ijb
from visavis.errors import DatasetError, EmbeddingError, ImageError, LandmarkError
from visavis.evaluate import templates
from visavis.evaluate.protocols import Embedded
from visavis.evaluate.templates import embed_ijb, ijb_result, measure_ijb, pair_similarities, pool
from visavis.metrics.verification import FAILED, evaluate

RED, GREEN, BLUE = (200, 10, 10), (10, 200, 10), (10, 10, 200)
COLORS = [RED, GREEN, RED, RED, GREEN, BLUE]  # of the pictures: 22 is a stranger


@pytest.fixture
def folder(tmp_path):
    write_ijb(tmp_path)
    for number, color in enumerate(COLORS, 1):
        path = tmp_path / "loose_crop" / f"{number}.jpg"
        Pillow.new("RGB", (112, 112), color).save(path, quality=100)
    return tmp_path


def measured(folder, embed, *, skip_bad=False, progress=iter):
    ijb = read_ijb(folder, skip_bad=skip_bad)
    return measure_ijb(ijb, embed, skip_bad=skip_bad, progress=progress)


def test_a_small_set_is_told_apart(folder, fake_embedder):
    result = measured(folder, fake_embedder)
    assert (result.pictures, result.templates, result.skipped) == (6, 5, 0)
    assert (result.verification.pairs, result.verification.auc) == (4, 1)
    assert result.verification.accuracy is None
    assert result.verification.failures_to_acquire == 0
    for name in ("G1", "G2"):
        one = result.galleries[name]
        assert (one.people, one.mated, one.strangers) == (1, 1, 2)
    assert (result.everybody.people, result.everybody.mated) == (2, 2)
    assert result.rank == {"1": 1, "5": 1, "10": 1, "20": 1}
    assert result.tpir == {}  # two strangers show no rate
    assert result.tpir_index == {"1e-1": 1, "1e-2": 1, "1e-3": 1, "1e-4": 1}


def test_a_set_without_lists_of_searches_has_no_searches(folder, fake_embedder):
    for path in (folder / "meta").glob("*1N*"):
        path.unlink()
    result = measured(folder, fake_embedder)
    assert (result.galleries, result.everybody, result.rank, result.tpir) == ({}, None, {}, {})


def test_a_picture_is_aligned_by_its_own_points(tmp_path, fake_embedder):
    """Halves of two colours in the upper left quarter of a picture, and points to match."""
    lines = [f"{i}.jpg {POINTS} 1" for i in range(1, 7)]
    lines[1] = f"2.jpg {' '.join(str(x) for x in (ARCFACE_112 / 2).ravel())} 1"
    write_ijb(tmp_path, LISTS | {POINT: lines})
    whole = Pillow.new("RGB", (112, 112), RED)
    whole.paste(BLUE, (0, 56, 112, 112))
    quarter = Pillow.new("RGB", (112, 112))
    quarter.paste(whole.resize((56, 56)), (0, 0))
    for number in range(1, 7):
        picture = quarter if number == 2 else whole
        picture.save(tmp_path / "loose_crop" / f"{number}.jpg", quality=100)
    rows = embed_ijb(read_ijb(tmp_path), fake_embedder).embeddings
    np.testing.assert_allclose(rows[1], rows[0], atol=0.02)
    assert rows[0, 0] > 5 * rows[0, 2]  # the upper half is red, not blue


def angles(*degrees):
    turned = np.radians(degrees)
    return np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)


EVERY = np.ones(6, bool)


def test_a_template_is_the_sum_of_the_means_of_its_media(tmp_path):
    members = ["1.jpg 10 1", "2.jpg 10 1", "3.jpg 10 2", "4.jpg 11 2", "5.jpg 21 7", "6.jpg 22 8"]
    lists = LISTS | {"face_tid_mid.txt": members, "template_pair_label.txt": ["10 11 1"]}
    ijb = read_ijb(write_ijb(tmp_path, {k: v for k, v in lists.items() if "1N" not in k}))
    embedded = Embedded(angles(0, 0, 90, 30, 60, 0), EVERY)
    plain = pool(ijb, embedded, weigh=False).embeddings
    np.testing.assert_allclose(plain, angles(45, 30, 60, 0), atol=1e-6)
    # scores 1, 0.5 and 0.75: the mean of the first media is (0.75, 0), the second is (0, 0.75)
    np.testing.assert_allclose(pool(ijb, embedded).embeddings, angles(45, 30, 60, 0), atol=1e-6)
    heavier = replace(ijb, scores=np.array([1, 1, 0.5, 1, 1, 1], np.float32))
    expected = np.array([1, 0.5]) / np.hypot(1, 0.5)
    np.testing.assert_allclose(pool(heavier, embedded).embeddings[0], expected, atol=1e-6)


def pool_slowly(ijb, embedded, weights):
    """InsightFace's protocol, line by line, of templates that have pictures."""
    for template in range(len(ijb.templates)):
        sums = 0
        for media in np.unique(ijb.media[ijb.template == template]):
            rows = (ijb.template == template) & (ijb.media == media) & embedded.acquired
            if rows.any():
                sums = sums + np.mean(embedded.embeddings[rows] * weights[rows, None], axis=0)
        yield sums / np.linalg.norm(sums) if np.ndim(sums) else np.zeros(8)


@pytest.mark.parametrize("images", [1, 7, 50, 8192])
@pytest.mark.parametrize("weigh", [True, False])
def test_templates_are_those_of_the_protocol(tmp_path, monkeypatch, images, weigh):
    monkeypatch.setattr(templates, "IMAGES", images)
    rng = np.random.default_rng(0)
    count = 200
    ijb = replace(
        read_ijb(write_ijb(tmp_path)),
        template=rng.integers(0, 5, count),
        media=rng.integers(0, 12, count),
        scores=rng.random(count).astype(np.float32),
    )
    rows = rng.normal(size=(count, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    acquired = (rng.random(count) < 0.7) & (ijb.template != 3)
    embedded = Embedded(rows * acquired[:, None], acquired)
    expected = list(pool_slowly(ijb, embedded, ijb.scores if weigh else np.ones(count)))
    found = pool(ijb, embedded, weigh=weigh)
    np.testing.assert_allclose(found.embeddings, expected, atol=1e-5)
    assert found.acquired.tolist() == [True, True, True, False, True]


def test_no_picture_at_all_makes_no_template(tmp_path):
    ijb = read_ijb(write_ijb(tmp_path))
    found = pool(ijb, Embedded(np.zeros((6, 4), np.float32), ~EVERY))
    assert (found.embeddings.shape, found.acquired.any()) == ((5, 4), False)


@pytest.mark.parametrize("block", [1, 2, 256])
def test_similarities_of_pairs_are_cosines_or_failed(monkeypatch, block):
    monkeypatch.setattr(templates, "BLOCK", block)
    left, right = np.array([3, 0, 1, 0, 3]), np.array([1, 2, 2, 3, 0])
    made = Embedded(angles(0, 60, 0, 90), np.array([True, True, False, True]))
    pairs = TemplatePairs(left, right, np.ones(5, bool))
    expected = [np.cos(np.pi / 6), FAILED, FAILED, 0, 0]
    np.testing.assert_allclose(pair_similarities(pairs, made), expected, atol=1e-6)


def test_a_template_without_pictures_fails_its_pairs_and_searches(folder, fake_embedder):
    ijb = read_ijb(folder)
    embedded = embed_ijb(ijb, fake_embedder)
    lost = Embedded(embedded.embeddings * (ijb.template != 2)[:, None], ijb.template != 2)
    result = ijb_result(ijb, lost, pool(ijb, lost))
    assert result.verification.failures_to_acquire == 1
    assert result.verification.pairs == 4
    assert result.verification.auc == 2.5 / 4  # a same pair and a different one tie at the end
    assert result.galleries["G1"].rank["1"].value == 0
    assert result.galleries["G2"].rank["1"].value == 1
    assert result.rank["1"] == 0.5
    assert result.tpir_index["1e-1"] == 0.5


def test_a_bad_picture_is_named_by_file_and_line(folder, fake_embedder):
    (folder / "loose_crop" / "4.jpg").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"ijbc_name_5pts_score.txt, line 4: 4\.jpg: "):
        measured(folder, fake_embedder)
    result = measured(folder, fake_embedder, skip_bad=True)
    assert (result.skipped, result.verification.failures_to_acquire) == (1, 0)
    assert (result.verification.pairs, result.verification.auc) == (4, 1)


def test_a_template_whose_only_picture_is_bad_fails(folder, fake_embedder):
    (folder / "loose_crop" / "5.jpg").write_bytes(b"no picture")
    result = measured(folder, fake_embedder, skip_bad=True)
    assert (result.skipped, result.verification.failures_to_acquire) == (1, 1)
    assert result.verification.pairs == 4


def test_a_picture_that_goes_missing_is_named(folder, fake_embedder):
    ijb = read_ijb(folder)
    (folder / "loose_crop" / "3.jpg").unlink()
    with pytest.raises(DatasetError, match=r"line 3: 3\.jpg: "):
        embed_ijb(ijb, fake_embedder)


def test_points_in_one_spot_are_named(folder, fake_embedder):
    path = folder / "meta" / f"ijbc_{POINT}"
    path.write_text(path.read_text().replace(f"2.jpg {POINTS}", f"2.jpg{' 5' * 10}"))
    with pytest.raises(LandmarkError, match=r"line 2: 2\.jpg: "):
        measured(folder, fake_embedder)
    assert measured(folder, fake_embedder, skip_bad=True).skipped == 1


class Nearly:
    """An embedder whose green is no unit embedding."""

    model, dim, margin = "nearly", 6, 0.0

    def __init__(self, embed):
        self.embed = embed

    def __call__(self, crops):
        return self.embed(crops) * np.where(crops[:, 0, 0, 1] > 100, 2, 1)[:, None]


def test_a_picture_that_cannot_be_embedded_is_named(folder, fake_embedder):
    embed = Nearly(fake_embedder)
    with pytest.raises(EmbeddingError, match=r"line 2: 2\.jpg: expected unit"):
        measured(folder, embed)
    found = embed_ijb(read_ijb(folder), embed, skip_bad=True)
    assert found.acquired.tolist() == [True, False, True, True, False, True]
    assert sorted(found.bad) == [1, 4]


def test_progress_is_shown_picture_by_picture(folder, fake_embedder):
    shown = []
    measured(folder, fake_embedder, progress=lambda names: shown.extend(names) or names)
    assert len(shown) == len(SCORES)


@pytest.mark.parametrize("seed", range(5))
def test_tar_nearest_is_that_of_insightface(seed):
    """roc_curve's point whose false positive rate is nearest, of two the looser."""
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with '.[plots]'")
    rng = np.random.default_rng(seed)
    same = rng.random(20_000) < 0.05
    similarity = rng.normal(0.35 * same, 0.15).astype(np.float32)
    false, true, _ = metrics.roc_curve(same, similarity)
    false, true = np.flipud(false), np.flipud(true)
    result = evaluate(similarity, same, folds=None)
    assert list(result.tar_nearest) == ["1e-1", "1e-2", "1e-3", "1e-4"]
    for name, rate in result.tar_nearest.items():
        assert rate == true[np.argmin(np.abs(false - float(name)))]
