"""Searches of a gallery: ranks, and errors where strangers come, by hand and line by line."""

import numpy as np
import pytest

from visavis.errors import DatasetError
from visavis.evaluate import all_pairs as everyone
from visavis.evaluate.all_pairs import all_similarities
from visavis.metrics import identification as module
from visavis.metrics.bootstrap import wilson
from visavis.metrics.identification import (
    NEVER,
    Search,
    cmc,
    dir_curve,
    evaluate_search,
    search_gallery,
)
from visavis.metrics.verification import FAILED


def probe(*similarities):
    """A unit embedding that is so similar to each row of `gallery_of`."""
    values = np.array(similarities)
    return np.append(values, np.sqrt(1 - values @ values)).astype(np.float32)


def gallery_of(count):
    return np.eye(count, count + 1, dtype=np.float32)


def search(people, person, *similarities):
    rows = probe(*similarities)[None]
    return search_gallery(gallery_of(len(people)), np.array(people), rows, np.array([person]))


@pytest.mark.parametrize(
    ("people", "person", "similarities", "rank"),
    [
        pytest.param([0, 1, 2], 0, (0.9, 0.1, 0.2), 1, id="first"),
        pytest.param([0, 1, 2], 0, (0.5, 0.6, 0.1), 2, id="one is closer"),
        pytest.param([0, 1, 2], 2, (0.5, 0.6, 0.1), 3, id="two are closer"),
        pytest.param([0, 1, 2], 0, (0.5, 0.5, 0.1), 2, id="a tie counts against us"),
        pytest.param([0, 1, 2], 0, (0.5, 0.5, 0.5), 3, id="two ties"),
        pytest.param([0, 1, 2], 7, (0.5, 0.6, 0.1), 0, id="a stranger"),
        pytest.param([0, 1, 2], -1, (0.5, 0.6, 0.1), 0, id="a stranger below all labels"),
        pytest.param([0, 0, 1], 0, (0.1, 0.8, 0.5), 1, id="the best of the person's counts"),
        pytest.param([0, 0, 1], 1, (0.1, 0.8, 0.5), 2, id="and another's"),
        pytest.param([0, 1, 1], 0, (0.3, 0.5, 0.6), 2, id="another counts once"),
        pytest.param([5, 2, 5], 5, (0.1, 0.5, 0.6), 1, id="in any order"),
        pytest.param([5, 2, 5], 2, (0.1, 0.5, 0.6), 2, id="in any order, second"),
        pytest.param([4], 4, (0.0,), 1, id="alone"),
    ],
)
def test_rank_by_hand(people, person, similarities, rank):
    found = search(people, person, *similarities)
    assert found.rank.tolist() == [rank]
    assert found.best[0] == pytest.approx(max(similarities), abs=1e-6)
    assert (found.people, found.templates) == (len(set(people)), len(people))


def test_a_failed_probe_finds_nobody_and_alarms_nobody():
    rows = np.zeros((2, 4), np.float32)
    found = search_gallery(gallery_of(3), np.arange(3), rows, np.array([1, 9]))
    assert found.rank.tolist() == [NEVER, 0]
    assert found.best.tolist() == [FAILED, FAILED]


def test_a_person_whose_template_failed_is_never_found():
    gallery = gallery_of(3)
    gallery[1] = 0
    found = search_gallery(gallery, np.arange(3), probe(-0.5, 0.8, -0.2)[None], np.array([1]))
    assert found.rank.tolist() == [NEVER]
    assert found.best[0] == pytest.approx(-0.2)
    assert [rate.value for rate in evaluate_search(found).rank.values()] == [0, 0, 0, 0]


def random_unit(rng, count, dim=16):
    rows = rng.normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("cells", [1, 100, 1000])
def test_blocks_do_not_show_in_the_result(monkeypatch, cells):
    rng = np.random.default_rng(0)
    lists = random_unit(rng, 40), rng.integers(0, 20, 40), random_unit(rng, 30), np.arange(30)
    whole = search_gallery(*lists)
    monkeypatch.setattr(module, "CELLS", cells)
    parts = search_gallery(*lists)
    assert parts.rank.tolist() == whole.rank.tolist()
    np.testing.assert_allclose(parts.best, whole.best, atol=1e-6)


def found_of(first, later=(), strangers=()):
    """Mated probes ranked first, second, and strangers, by their similarity."""
    scores = np.array([*first, *later, *strangers], np.float64)
    rank = np.repeat([1, 2, 0], [len(first), len(later), len(strangers)])
    mate = np.where(rank > 0, scores, FAILED)
    return Search(np.arange(len(scores)), scores, mate, rank, people=50, templates=60)


STRANGERS = np.arange(20) / 20  # 0, 0.05 ... 0.95


@pytest.mark.parametrize(
    ("first", "later", "strangers", "expected"),
    [
        # two of twenty may alarm: above 0.85
        pytest.param([0.86, 0.9, 0.85, 0.2], [], STRANGERS, 0.5, id="above the third stranger"),
        pytest.param([0.86, 0.9], [0.99, 0.99], STRANGERS, 0.5, id="ranked first, too"),
        pytest.param([], [0.99, 0.99], STRANGERS, 0, id="nobody ranked first"),
        pytest.param([0.7], [], [0.8] * 3 + [0.1] * 17, 0, id="of three equals none may alarm"),
        pytest.param([0.81], [], [0.8] * 3 + [0.1] * 17, 1, id="none does"),
        pytest.param([0.3], [], [0.9] + [0.2] * 9, 1, id="one of ten may"),
        pytest.param([np.nextafter(0.8, 1)], [], [0.8] * 3 + [0.1] * 17, 1, id="just above them"),
    ],
)
def test_tpir_by_hand(first, later, strangers, expected):
    result = evaluate_search(found_of(first, later, strangers), draws=0)
    assert result.tpir["1e-1"].value == expected
    assert result.fnir["1e-1"] == 1 - expected
    assert list(result.tpir) == ["1e-1"]  # twenty cannot show one in a hundred


@pytest.mark.parametrize(
    ("strangers", "rates"),
    [
        (0, []),
        (9, []),
        (10, ["1e-1"]),
        (100, ["1e-1", "1e-2"]),
        (9_999, ["1e-1", "1e-2", "1e-3"]),
        (10_000, ["1e-1", "1e-2", "1e-3", "1e-4"]),
    ],
)
def test_only_rates_that_the_strangers_can_show_are_stated(strangers, rates):
    found = found_of([0.9], strangers=np.linspace(0, 0.5, strangers))
    result = evaluate_search(found, draws=0)
    assert (list(result.tpir), list(result.threshold), result.strangers) == (
        rates,
        rates,
        strangers,
    )
    assert len(result.tpir_index) == (4 if strangers else 0)


def test_thresholds_keep_what_they_promise():
    rng = np.random.default_rng(1)
    strangers = rng.normal(0.2, 0.1, 2000).round(2)
    found = found_of(rng.normal(0.5, 0.1, 300), strangers=strangers)
    result = evaluate_search(found, draws=0)
    for name, threshold in result.threshold.items():
        looser = strangers[strangers < threshold].max()
        assert np.mean(strangers >= threshold) <= float(name) < np.mean(strangers >= looser)


def test_ranks_are_the_share_of_mated_probes():
    rank = np.array([1, 1, 3, 6, 11, 21, 0, 0])
    found = Search(np.arange(8), np.zeros(8), np.zeros(8), rank, people=50, templates=50)
    result = evaluate_search(found, draws=0)
    assert (result.mated, result.strangers) == (6, 2)
    shares = {name: point.value for name, point in result.rank.items()}
    assert shares == pytest.approx({"1": 2 / 6, "5": 3 / 6, "10": 4 / 6, "20": 5 / 6})
    assert cmc(found, 6) == pytest.approx(np.array([2, 2, 3, 3, 3, 4]) / 6)


def insightface_1n(gallery, gallery_people, probes, probe_people, rate):
    """InsightFace's open set protocol, line by line: a template a person."""
    mated, ranked_first, strangers = [], [], []
    for row, person in zip(probes @ gallery.T, probe_people, strict=True):
        if person in gallery_people:
            mated.append(row[gallery_people == person][0])
            ranked_first.append(mated[-1] > row[gallery_people != person].max())
        else:
            strangers.append(row.max())
    strangers = np.sort(strangers)[::-1]
    threshold = strangers[max(int(len(strangers) * rate) - 1, 0)]
    return np.mean(np.array(ranked_first) & (np.array(mated) > threshold))


@pytest.mark.parametrize("rate", [1e-1, 1e-2, 1e-3, 1e-4])
def test_the_index_rule_is_insightfaces(rate):
    rng = np.random.default_rng(3)
    centers = random_unit(rng, 90)
    gallery_people, probe_people = np.arange(60), rng.integers(0, 90, 400)
    probes = centers[probe_people] + 0.7 * random_unit(rng, 400)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    lists = centers[:60], gallery_people, probes, probe_people
    expected = insightface_1n(*lists, rate)
    result = evaluate_search(search_gallery(*lists), draws=0)
    assert result.tpir_index[f"{rate:.0e}".replace("e-0", "e-")] == pytest.approx(expected)
    assert 0.1 < result.tpir_index["1e-1"] < 1


def test_the_index_rule_by_hand():
    """Of twenty strangers the second at a rate of 0.1, the first at lower ones; as alike is not
    above.
    """
    strangers = [0.8, 0.6, *[0.1] * 18]
    result = evaluate_search(found_of([0.9, 0.8, 0.7, 0.6], [0.95], strangers), draws=0)
    assert result.tpir_index == {"1e-1": 0.6, "1e-2": 0.2, "1e-3": 0.2, "1e-4": 0.2}


def test_the_curve_for_plots_by_hand():
    false, true = dir_curve(found_of([0.9, 0.5], [0.99, 0.99], [0.7, 0.3]))
    assert false.tolist() == [0, 0, 0, 0.5, 0.5, 1]
    assert true.tolist() == [0, 0, 0.25, 0.25, 0.5, 0.5]


def test_the_curve_of_nobody_ranked_first_is_flat():
    false, true = dir_curve(found_of([], [0.99], [0.7]))
    assert (false.tolist(), true.tolist()) == ([0, 1], [0, 0])


def test_the_curve_goes_through_the_stated_figures():
    rng = np.random.default_rng(2)
    strangers = rng.normal(0.2, 0.1, 1000).round(2)
    found = found_of(rng.normal(0.4, 0.1, 200).round(2), [0.9] * 20, strangers)
    false, true = dir_curve(found)
    for name, point in evaluate_search(found, draws=0).tpir.items():
        assert point.value == pytest.approx(true[false <= float(name)].max())


def test_intervals_are_wilsons_and_wider_where_a_person_has_many_probes():
    found = found_of([0.9] * 30, [0.9] * 10)
    one = evaluate_search(found, draws=0).rank["1"]
    assert (one.value, one.errors, one.trials) == (0.75, 10, 40)
    assert (1 - one.high, 1 - one.low) == pytest.approx(wilson(10, 40))
    few = Search(np.arange(40) // 10, found.best, found.mate, found.rank, 50, 60)
    wide = evaluate_search(few).rank["1"]
    assert (wide.low, wide.high) == (0.25, 1)  # the one missed is drawn three times, or never
    assert 0.5 < one.low


EMPTY, NOBODY = np.empty((0, 4), np.float32), np.empty(0, np.intp)
NAN = np.full((1, 4), np.nan, np.float32)


@pytest.mark.parametrize(
    ("gallery", "people", "probes", "message"),
    [
        (EMPTY, NOBODY, gallery_of(3), "expected gallery embeddings, got none"),
        (gallery_of(3), np.arange(3), EMPTY, "expected probe embeddings, got none"),
        (gallery_of(3), np.arange(2), gallery_of(3), r"expected \(2, D\) gallery embeddings"),
        (gallery_of(3)[0], np.arange(4), gallery_of(3), r"got \(4,\)"),
        (gallery_of(4), np.arange(4), gallery_of(3), "got 5 numbers a gallery row and 4 a probe"),
        (NAN, np.arange(1), gallery_of(3), "row 0 of 1 has length nan"),
        (gallery_of(3), np.arange(3), 2 * gallery_of(3), "probe rows .* row 0 of 3 has length 2"),
    ],
)
def test_what_cannot_be_searched_is_an_error(gallery, people, probes, message):
    with pytest.raises(DatasetError, match=message):
        search_gallery(gallery, people, probes, np.arange(len(probes)))


@pytest.mark.parametrize("figures", [evaluate_search, cmc, dir_curve])
def test_without_mated_probes_there_are_no_figures(figures):
    with pytest.raises(DatasetError, match="is in the gallery, got none of 3"):
        figures(found_of([], [], [0.1, 0.2, 0.3]))


def test_without_strangers_there_is_no_curve():
    with pytest.raises(DatasetError, match="probes of strangers"):
        dir_curve(found_of([0.9]))


@pytest.mark.parametrize("block", [1, 2, 7, 512])
def test_all_similarities_are_those_of_all_pairs(monkeypatch, block):
    monkeypatch.setattr(everyone, "BLOCK", block)
    rng = np.random.default_rng(0)
    rows, labels = random_unit(rng, 7), np.array([0, 1, 0, 2, 1, 0, 3])
    similarity, same = all_similarities(rows, labels)
    i, j = np.triu_indices(7, 1)
    np.testing.assert_allclose(similarity, (rows @ rows.T)[i, j], atol=1e-6)
    assert same.tolist() == (labels[i] == labels[j]).tolist()
    assert similarity.dtype == np.float32


@pytest.mark.parametrize(("rows", "labels"), [(1, 1), (3, 2), (0, 0)])
def test_all_similarities_need_two_embeddings_and_their_labels(rows, labels):
    with pytest.raises(DatasetError, match="expected 2 embeddings or more"):
        all_similarities(np.ones((rows, 4), np.float32), np.arange(labels))
