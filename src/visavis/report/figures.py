"""A run's numbers as pictures, one function a figure. The only module that imports matplotlib.

Figures are objects of their own: nothing global is set and no window is opened. A function
returns None where the run lacks what it would draw. `png` makes a file of one.
"""

import warnings
from collections.abc import Iterable, Sequence
from io import BytesIO
from itertools import cycle, zip_longest
from pathlib import PurePosixPath
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from visavis.evaluate.run import Run
from visavis.metrics.likelihood import cllr, reliability
from visavis.metrics.verification import Curve, Flags, Floats, Rows, roc, worst_pairs
from visavis.report import numbers
from visavis.types import Embeddings

Runs = Sequence[Run]

DPI = 150
FACES_DPI = 120  # a crop at about its own size
WIDTH = 6.4  # inches, so that text is large enough on a phone
SAME, DIFFERENT, GREY = "#0072b2", "#d55e00", "#777777"
# Okabe and Ito 2008: told apart by those who see no red or green.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8b5a2b")
STYLES = ("-", "--", "-.", ":")
MARKERS = "os^DvPX*"
BIN = 0.02  # of similarity
POINTS = 1500  # of a curve or a cloud that are drawn
LONG = 34  # letters of a name
PEOPLE = 8  # in a scatter
DET_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.2, 0.5)
_Z = np.linspace(-6, 6, 4001)
_CHANCE = np.array([NormalDist().cdf(z) for z in _Z])


def histogram(run: Run) -> Figure:
    """Similarities of same and different pairs, counted on a log scale, with the thresholds of the
    policies.
    """
    figure, (axes,) = _canvas()
    _histogram(axes, run)
    for style, (name, threshold) in zip(
        STYLES[1:], numbers.policy_thresholds(run.about.calibration).items(), strict=False
    ):
        label = f"{name} {threshold:.3f}"
        axes.axvline(threshold, color="black", linestyle=style, linewidth=1.2, label=label)
    failed = int(np.sum(~run.seen))
    without = f"\nwithout {failed:,} pairs where no face was found" if failed else ""
    axes.set(title=_plain(run.about.name) + without, xlabel="similarity", ylabel="pairs")
    _legend(figure, columns=3)
    return figure


def roc_curves(runs: Runs) -> Figure:
    """True against false accept rate, the latter on a log scale."""
    figure, (axes,) = _canvas()
    lowest = 1.0
    for run, look in zip(runs, _looks(), strict=False):
        false, true = _thinned(roc(run.similarity, run.same))
        shown = false > 0  # a log scale cannot show 0
        lowest = min(lowest, float(true[shown].min()))
        label = f"{_plain(run.about.name)} (EER {100 * run.about.result.eer:.2f} %)"
        axes.plot(false[shown], true[shown], label=label, **look)
    gap = max(1 - lowest, 0.001)
    axes.set(xscale="log", xlabel="false accept rate", ylabel="true accept rate")
    axes.set_ylim(max(0, lowest - 0.3 * gap), 1 + 0.05 * gap)
    _legend(figure)
    return figure


def det_curves(runs: Runs) -> Figure:
    """False non-match against false match rate, on axes where normal similarities are lines."""
    figure, (axes,) = _canvas(size=(WIDTH, 6))
    least, most = np.array([0.5, 0.5]), 0.05
    for run, look in zip(runs, _looks(), strict=False):
        false, true = _thinned(roc(run.similarity, run.same))
        ends = 0.5 / np.array([np.sum(~run.same), np.sum(run.same)])
        shown = (false > 0) & (false <= 0.5)
        missed = np.maximum(1 - true[shown], ends[1])
        least, most = np.minimum(least, ends), float(np.max(3 * missed, initial=most))
        axes.plot(false[shown], missed, label=_plain(run.about.name), **look)
    axes.plot(DET_RATES, DET_RATES, color=GREY, linestyle=":", linewidth=1, label="equal error")
    _probit(axes, least, min(0.5, most))
    axes.set(xlabel="false match rate", ylabel="false non-match rate")
    _legend(figure)
    return figure


def accuracy_by_threshold(runs: Runs) -> Figure:
    """Accuracy at each threshold, and where it is best."""
    figure, (axes,) = _canvas()
    for run, look in zip(runs, _looks(), strict=False):
        rates = numbers.accuracy_curve(run.similarity, run.same)
        best = f"{100 * rates.accuracy.max():.2f} % at {rates.best:.3f}"
        label = f"{_plain(run.about.name)}: {best}"
        axes.plot(rates.thresholds, rates.accuracy, label=label, **look)
        axes.plot(rates.best, rates.accuracy.max(), "o", color=look["color"], markersize=4)
    axes.set(xlabel="threshold", ylabel="accuracy", xlim=_span(runs))
    _legend(figure, columns=1)
    return figure


def rates_by_threshold(runs: Runs) -> Figure:
    """False match and false non-match rate at each threshold, on a log scale."""
    figure, (axes,) = _canvas()
    for run, look in zip(runs, _looks(), strict=False):
        rates = numbers.accuracy_curve(run.similarity, run.same)
        name, color = _plain(run.about.name), look["color"]
        for kind, style, rate in (
            ("false match", "-", rates.false_match_rate),
            ("false non-match", "--", rates.false_non_match_rate),
        ):
            shown = np.where(rate > 0, rate, np.nan)
            label = f"{kind}, {name}"
            axes.plot(rates.thresholds, shown, color=color, linestyle=style, label=label)
    _log(axes, 0.5 / max(len(run.same) for run in runs), 1.5)
    axes.set(xlabel="threshold", ylabel="rate", xlim=_span(runs))
    _legend(figure)
    return figure


def discard(runs: Runs) -> Figure | None:
    """False non-match rate when the pairs with the worst face are set aside, by measure."""
    qualities = [numbers.pair_qualities(run) for run in runs]
    measures = list(dict.fromkeys(name for quality in qualities for name in quality))
    if not measures:
        return None
    figure, panels = _canvas((len(measures) + 1) // 2, min(2, len(measures)))
    for measure, axes in zip_longest(measures, panels):
        if measure is None:
            axes.remove()
            continue
        for run, quality, look in zip(runs, qualities, _looks(), strict=False):
            if measure in quality:
                shares, left = numbers.discard_curve(run.similarity, run.same, quality[measure])
                axes.plot(100 * shares, 100 * left, label=_plain(run.about.name), **look)
        axes.set(title=measure, xlabel="% of same pairs discarded", ylabel="% missed of the rest")
        axes.set_ylim(bottom=0)
    _legend(figure)
    return figure


def reliability_plot(runs: Runs) -> Figure | None:
    """The probability a calibration states, at even odds, against the share of same pairs."""
    known = [run for run in runs if run.about.calibration and numbers.both_kinds(run)]
    if not known:
        return None
    figure, (axes,) = _canvas(size=(WIDTH, 5.2))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="stated is observed")
    for run, look, marker in zip(known, _looks(), cycle(MARKERS), strict=False):
        assert run.about.calibration is not None
        line = (run.about.calibration.slope, run.about.calibration.offset)
        pairs = (run.similarity[run.seen], run.same[run.seen], *line)
        curve = reliability(*pairs)
        label = f"{_plain(run.about.name)} (Cllr {cllr(*pairs):.3f})"
        axes.plot(curve.stated, curve.observed, label=label, **look)
        sizes = 6 + 20 * np.log10(curve.pairs)
        axes.scatter(curve.stated, curve.observed, s=sizes, marker=marker, color=look["color"])
    axes.set(xlabel="stated probability of same", ylabel="observed share of same")
    _legend(figure)
    return figure


def strips(run: Run) -> Figure | None:
    """Dot product, cosine and Euclidean distance of same and of different pairs, before and after
    normalising feature columns, with the threshold between their means: the ArcFace project's.
    """
    if not numbers.both_kinds(run):
        return None
    seen = np.flatnonzero(run.seen)
    same = run.same[seen]
    figure, panels = _canvas(3, 2, size=(WIDTH, 8.4))
    for column, (when, rows) in enumerate(
        (("before", run.embeddings), ("after", numbers.column_normalised(run.embeddings)))
    ):
        distances = numbers.distances(rows, run.left[seen], run.right[seen])
        for axes, (name, values) in zip(panels[column::2], distances.items(), strict=True):
            larger = name == numbers.DOT
            between = numbers.separation(values, same, larger_is_closer=larger)
            _strip(axes, values, same, between)
            words = f"threshold {between.threshold:.4g}: {100 * between.accuracy:.2f} % right"
            axes.set_title(f"{name}, {when}\n{words}", fontsize=9)
    figure.suptitle(_plain(run.about.name), fontsize=11)
    return figure


def people_scatter(run: Run, *, people: int = PEOPLE) -> Figure | None:
    """The people with most pictures in two dimensions, by PCA and t-SNE, before and after
    normalising feature columns.
    """
    chosen = numbers.most_pictured(run, people)
    rows = np.concatenate([np.empty(0, np.intp), *(rows for _, rows in chosen)])
    if len(rows) < 4 or np.linalg.matrix_rank(run.embeddings[rows]) < 2:
        return None
    figure, panels = _canvas(2, 2, size=(WIDTH, 6.8))
    ends = np.cumsum([len(own) for _, own in chosen])[:-1]
    for axes, embeddings, when in (
        (panels[:2], run.embeddings, "before"),
        (panels[2:], numbers.column_normalised(run.embeddings), "after"),
    ):
        for one, (name, points) in zip(axes, _in_two(embeddings[rows]).items(), strict=True):
            _cloud(one, np.split(points, ends), [name for name, _ in chosen])
            one.set_title(f"{name}, {when}", fontsize=9)
    figure.suptitle(_plain(run.about.name), fontsize=11)
    _legend(figure)
    return figure


def train_against_test(first: Run, second: Run) -> Figure:
    """Two runs, and what the threshold that is best for the first does on the second."""
    figure, panels = _canvas(2, 1, size=(WIDTH, 6.4))
    carried = numbers.accuracy_curve(first.similarity, first.same).best
    for axes, run in zip(panels, (first, second), strict=True):
        own = numbers.accuracy_curve(run.similarity, run.same).best
        rates = numbers.accuracy_curve(run.similarity, run.same, np.array([carried, own]))
        _histogram(axes, run)
        axes.axvline(carried, color="black", linestyle="--", label="best for the first")
        words = f"{100 * rates.accuracy[0]:.2f} % right at {carried:.3f}"
        if run is second:
            axes.axvline(own, color="black", linestyle=":", label="best for the second")
            words += f", {100 * rates.accuracy[1]:.2f} % at its own best, {own:.3f}"
        axes.set_title(f"{_plain(run.about.name)}\n{words}", fontsize=9)
        axes.set(ylabel="pairs", xlim=_span((first, second)))
    panels[1].set_xlabel("similarity")
    _legend(figure, columns=4)
    return figure


def confused_people(run: Run) -> Figure | None:
    """The pairs of people that come closest, by the similarity of their closest pictures."""
    confusions = numbers.confused(run)
    if not confusions:
        return None
    figure, (axes,) = _canvas(size=(WIDTH, 1 + 0.36 * len(confusions)))
    labels = [" / ".join(_plain(name, 24) for name in one.people) for one in confusions]
    bars = axes.barh(
        range(len(confusions)), [one.similarity for one in confusions], color=DIFFERENT
    )
    axes.bar_label(bars, fmt="%.3f", fontsize=8, padding=2)
    axes.set_yticks(range(len(confusions)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(title=_plain(run.about.name), xlabel="highest similarity")
    return figure


def worst_false_matches(run: Run) -> Figure | None:
    """The different pairs that are most alike, face beside face."""
    return _faces(run, worst_pairs(run.similarity, run.same)[0])


def worst_false_non_matches(run: Run) -> Figure | None:
    """The same pairs that are least alike, face beside face."""
    return _faces(run, worst_pairs(run.similarity, run.same)[1])


def histories(runs: Runs) -> Figure | None:
    """What a training run noted, by step."""
    kinds = list(dict.fromkeys(kind for run in runs for kind in run.about.history))
    if not kinds:
        return None
    figure, panels = _canvas(len(kinds), size=(WIDTH, 2.6 * len(kinds)))
    for axes, kind in zip(panels, kinds, strict=True):
        for run, look in zip(runs, _looks(), strict=False):
            if values := run.about.history.get(kind):
                marker = "o" if len(values) == 1 else ""
                axes.plot(values, marker=marker, label=_plain(run.about.name), **look)
        axes.set(ylabel=_plain(kind), xlabel="step")
    _legend(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG: the same bytes for the same figure."""
    buffer = BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _canvas(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float] | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure and its panels, row by row."""
    size = size or (WIDTH, 1 + 3 * rows)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure, panels


def _histogram(axes: Axes, run: Run) -> None:
    edges, most = np.arange(-1, 1 + BIN, BIN), 1
    for kind, color, label in ((~run.same, DIFFERENT, "different"), (run.same, SAME, "same")):
        counts = np.histogram(np.clip(run.similarity[run.seen & kind], -1, 1), edges)[0]
        most = max(most, int(counts.max()))
        axes.stairs(counts, edges, fill=True, color=color, alpha=0.55, label=label)
    _log(axes, 0.7, 1.5 * most)
    axes.set_xlim(_span((run,)))


def _log(axes: Axes, least: float, most: float) -> None:
    """A log scale from `least` to `most`, whatever there is to show."""
    axes.set_ylim(least, most)
    axes.set_yscale("log")


def _strip(axes: Axes, values: Floats, same: Flags, between: Any) -> None:
    """Two columns of points, and the line between them."""
    random = np.random.default_rng(0)
    for x, kind, color in ((1, same, SAME), (2, ~same, DIFFERENT)):
        own = values[kind]
        own = own[np.linspace(0, len(own) - 1, min(len(own), POINTS)).astype(np.intp)]
        beside = x + random.uniform(-0.3, 0.3, len(own))
        axes.scatter(beside, own, s=3, color=color, alpha=0.35, linewidths=0, rasterized=True)
    axes.axhline(between.threshold, color="black", linestyle="--", linewidth=1)
    axes.set_xticks((1, 2), (f"same\n{between.same:.4g}", f"different\n{between.different:.4g}"))
    axes.set_xlim(0.4, 2.6)


def _in_two(embeddings: Embeddings) -> dict[str, Floats]:
    """Rows in two dimensions, by each method."""
    neighbours = min(30.0, (len(embeddings) - 1) / 3)
    tsne = TSNE(2, perplexity=neighbours, init="pca", random_state=0)
    # One thread: points are few, and several wait for each other longer than they work.
    with threadpool_limits(1):
        return {
            "PCA": PCA(2, svd_solver="full").fit_transform(embeddings),
            "t-SNE": tsne.fit_transform(embeddings),
        }


def _cloud(axes: Axes, parts: Sequence[Floats], names: Sequence[str]) -> None:
    looks = zip(cycle(COLORS), cycle(MARKERS), strict=False)
    for points, name, (color, marker) in zip(parts, names, looks, strict=False):
        look: dict[str, Any] = {"color": color, "marker": marker, "s": 18, "linewidths": 0}
        axes.scatter(points[:, 0], points[:, 1], label=_plain(name, 24), **look)
    axes.set(xticks=[], yticks=[])


def _faces(run: Run, rows: Rows) -> Figure | None:
    """Pairs of stored crops, three in a row, wrong ones at the standard threshold in red."""
    place = {int(row): at for at, row in enumerate(run.shown)}
    kept = [row for row in rows if run.left[row] in place and run.right[row] in place]
    if not kept:
        return None
    columns = min(3, len(kept))
    height = 1.55 * -(-len(kept) // columns)
    figure, panels = _canvas(-(-len(kept) // columns), columns, size=(WIDTH, height + 0.4))
    figure.set_dpi(FACES_DPI)
    figure.suptitle(_plain(run.about.name), fontsize=11)
    threshold = numbers.policy_thresholds(run.about.calibration).get("standard")
    for row, axes in zip_longest(kept, panels):
        axes.axis("off")
        if row is None:
            continue
        ends = (int(run.left[row]), int(run.right[row]))
        axes.imshow(np.concatenate([run.crops[place[end]] for end in ends], axis=1))
        value = float(run.similarity[row])
        wrong = threshold is not None and (value >= threshold) != run.same[row]
        names = "\n".join(_plain(PurePosixPath(run.about.names[end]).stem, 28) for end in ends)
        color = DIFFERENT if wrong else "black"
        axes.set_title(f"{value:.3f}{' wrong' if wrong else ''}", fontsize=9, color=color)
        axes.text(0.5, -0.04, names, transform=axes.transAxes, ha="center", va="top", fontsize=6.5)
    return figure


def _legend(figure: Figure, columns: int = 2) -> None:
    """What all panels show, each once, below them."""
    artists: dict[str, Any] = {}
    for axes in figure.axes:
        for artist, label in zip(*axes.get_legend_handles_labels(), strict=True):
            artists.setdefault(label, artist)
    where = {"loc": "outside lower center", "ncols": columns, "fontsize": 8, "frameon": False}
    figure.legend(list(artists.values()), list(artists), **where)


def _plain(text: str, longest: int = LONG) -> str:
    """A name as it is drawn: on one line, not too long, and no formula."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "unnamed"
    shown = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    # Matplotlib takes what stands between two dollars for a formula, and leaves a label that begins
    # with _ out of the legend.
    return (" " if shown.startswith("_") else "") + shown.replace("$", r"\$")


def _looks() -> Iterable[dict[str, Any]]:
    """Colour and style of each run's line."""
    for color, style in zip(cycle(COLORS), cycle(STYLES), strict=False):
        yield {"color": color, "linestyle": style, "linewidth": 1.6}


def _span(runs: Runs) -> tuple[float, float]:
    """The range of the similarities."""
    seen = np.concatenate([run.similarity[run.seen] for run in runs])
    least, most = (seen.min(), seen.max()) if len(seen) else (-1.0, 1.0)
    return max(-1.0, float(least) - 0.05), min(1.0, float(most) + 0.05)


def _thinned(curve: Curve) -> Curve:
    """A curve of many corners as few, most of them near its ends."""
    last = len(curve[0]) - 1
    if last < POINTS:
        return curve
    near = np.geomspace(1, last, POINTS // 3)
    places = np.concatenate([[0], near, last - near, np.linspace(0, last, POINTS // 3)])
    kept = np.unique(places.astype(np.intp))
    return curve[0][kept], curve[1][kept]


def _probit(axes: Axes, least: Floats, most: float) -> None:
    """Rates on both axes as the normal quantiles they are; y up to `most`."""
    scale = (lambda rate: np.interp(rate, _CHANCE, _Z), lambda z: np.interp(z, _Z, _CHANCE))
    axes.set_xscale("function", functions=scale)
    axes.set_yscale("function", functions=scale)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(DET_RATES))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:g} %"))
    axes.set(xlim=(least[0], 0.5), ylim=(least[1], most))
