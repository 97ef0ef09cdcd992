"""What figures draw is what was found; hostile names and bare runs draw as well."""

import ast
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from made_runs import bare_run, changed, made_run
from PIL import Image
from source import SOURCE

pytest.importorskip("matplotlib", reason="figures need an extra: pip install '.[plots]'")
pytest.importorskip("sklearn", reason="figures need an extra: pip install '.[plots]'")

from visavis.metrics.verification import FAILED
from visavis.report import figures, numbers

RUN = made_run(failed=(5,))
OTHER = made_run("other", seed=1, spread=0.4)
OF_ONE = (
    figures.histogram,
    figures.strips,
    figures.people_scatter,
    figures.confused_people,
    figures.worst_false_matches,
    figures.worst_false_non_matches,
)
OF_ALL = (
    figures.roc_curves,
    figures.det_curves,
    figures.accuracy_by_threshold,
    figures.rates_by_threshold,
    figures.discard,
    figures.reliability_plot,
    figures.histories,
)
HOSTILE = [
    "$\\frac{$ $x$",
    "_hidden",
    "<script>",
    "\n\t\x00\ud800",
    "",
    "\u5f20\u4f1f",
    "long " * 99,
]


def every(run):
    """All figures of a run, None where it has not what one takes."""
    return [draw([run]) for draw in OF_ALL] + [draw(run) for draw in OF_ONE]


def lines(figure, panel=0) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in figure.axes[panel].get_lines()}


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("draw", OF_ONE)
def test_a_run_draws(draw):
    with Image.open(BytesIO(figures.png(draw(RUN)))) as picture:
        assert picture.width == round(figures.WIDTH * figures.DPI) or draw in OF_ONE[-2:]
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10  # there is something on it


@pytest.mark.parametrize("draw", OF_ALL)
def test_runs_draw_over_each_other(draw):
    figure = draw([RUN, OTHER])
    assert figures.png(figure) == figures.png(draw([RUN, OTHER]))
    for name in ("made", "other"):
        assert any(name in label for label in legend(figure))


def test_the_histogram_counts_every_pair_with_a_face():
    panel = figures.histogram(RUN).axes[0]
    counts = {patch.get_label(): patch.get_data().values.sum() for patch in panel.patches}
    seen = RUN.similarity > FAILED
    assert counts == {"same": (seen & RUN.same).sum(), "different": (seen & ~RUN.same).sum()}
    assert "without 23 pairs" in panel.get_title()
    assert [line.get_xdata()[0] for line in panel.get_lines()] == [
        0.4,
        0.5,
    ]  # convenience, standard


def test_curves_are_the_findings():
    rates = numbers.accuracy_curve(RUN.similarity, RUN.same)
    (drawn,) = [
        points
        for label, points in lines(figures.accuracy_by_threshold([RUN])).items()
        if label.startswith("made")
    ]
    assert drawn.T.tolist() == [rates.thresholds.tolist(), rates.accuracy.tolist()]
    shares = lines(figures.discard([RUN]))["made"]
    quality = numbers.pair_qualities(RUN)["sharpness"]
    expected = 100 * np.array(numbers.discard_curve(RUN.similarity, RUN.same, quality))
    assert shares.T == pytest.approx(expected)


def test_the_carried_threshold_is_the_first_ones_best():
    carried = numbers.accuracy_curve(RUN.similarity, RUN.same).best
    figure = figures.train_against_test(RUN, OTHER)
    for panel in figure.axes:
        assert panel.get_lines()[0].get_xdata()[0] == carried
    own = numbers.accuracy_curve(OTHER.similarity, OTHER.same)
    assert figure.axes[1].get_lines()[1].get_xdata()[0] == own.best
    assert f"{100 * own.accuracy.max():.2f} % at its own best" in figure.axes[1].get_title()


def test_strips_name_the_rule_and_its_threshold():
    figure = figures.strips(RUN)
    assert len(figure.axes) == 6
    seen = RUN.similarity > FAILED
    between = numbers.separation(RUN.similarity[seen], RUN.same[seen], larger_is_closer=True)
    first = figure.axes[0]
    assert first.get_lines()[0].get_ydata()[0] == pytest.approx(between.threshold, rel=1e-5)
    assert f"threshold {between.threshold:.4g}" in first.get_title()
    assert f"same\n{between.same:.4g}" in [tick.get_text() for tick in first.get_xticklabels()]


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    false, true = np.linspace(0, 1, 100_000), np.linspace(0, 1, 100_000) ** 0.1
    thin = figures._thinned((false, true))
    assert len(thin[0]) <= figures.POINTS
    assert (thin[0][0], thin[0][-1]) == (0, 1)
    assert thin[0][:9].tolist() == false[:9].tolist()  # where rates are low every corner counts
    assert thin[0][-9:].tolist() == false[-9:].tolist()


def test_a_bare_run_draws_what_it_can():
    lacking = {
        figures.discard,
        figures.reliability_plot,
        figures.histories,
        figures.people_scatter,
        figures.confused_people,
        figures.worst_false_matches,
        figures.worst_false_non_matches,
    }
    bare = bare_run()
    for draw in OF_ALL:
        assert (draw([bare]) is None) == (draw in lacking)
    for draw in OF_ONE:
        assert (draw(bare) is None) == (draw in lacking)


def test_a_run_beside_a_bare_one_draws():
    for draw in OF_ALL:
        assert figures.png(draw([bare_run(), RUN]))


def test_any_name_draws():
    run = changed(made_run(people=tuple(HOSTILE)), name=HOSTILE[0])
    for figure in every(run):
        figures.png(figure)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_any_name_stands_in_the_legend(name):
    figure = figures.histories([changed(RUN, name=name, history={name: [1.0, 2.0]})])
    figures.png(figure)
    (label,) = legend(figure)
    assert 1 <= len(label.strip()) <= figures.LONG + 8


@pytest.mark.parametrize(
    "run",
    [
        made_run(people=("Anna", "Bert"), pictures=2),
        made_run(people=("Anna", "Bert"), pictures=40),  # more pictures than neighbours
        made_run(people=tuple(f"P{i}" for i in range(20)), pictures=2),  # more people than colours
        made_run(spread=0),  # every picture of a person the same: no error at all
        made_run(spread=9),  # nothing but errors
        replace(made_run(), embeddings=np.ones((24, 16), np.float32) / 4),
        made_run(failed=tuple(range(23))),  # one face is left
        made_run(failed=tuple(range(8, 24))),
    ],
    ids=range(8),
)
def test_odd_runs_draw(run):
    for figure in every(run):
        if figure is not None:
            figures.png(figure)


def test_many_runs_draw():
    runs = [made_run(f"run {number}", seed=number) for number in range(12)]
    for draw in OF_ALL:
        assert len({label.strip() for label in legend(draw(runs))}) >= 12


def test_nothing_global_is_touched():
    tree = ast.parse((SOURCE / "report" / "figures.py").read_text(encoding="utf-8"))
    names = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not any("pyplot" in name or "rcParams" in name for name in names + modules)
