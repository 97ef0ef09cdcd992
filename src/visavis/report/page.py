"""Runs as one HTML page: a table that compares them, then figures. It needs no script and no other
file.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from visavis.evaluate.run import Run
from visavis.metrics.likelihood import cllr
from visavis.report import numbers

Metric = float | int | None

UNKNOWN = "\N{EN DASH}"
STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 60rem }
h2 { border-top: 1px solid #8885; margin-top: 2.5rem; padding-top: 1rem }
p, figcaption { max-width: 42rem; overflow-wrap: anywhere }
figure { margin: 1rem 0 } figcaption { color: #666; font-size: .9rem }
img { width: 100%; max-width: 48rem; height: auto; background: #fff; border-radius: 6px }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem }
th, td { border-bottom: 1px solid #8885; padding: .3rem .8rem; text-align: right }
th, td { overflow-wrap: anywhere; min-width: 6rem; max-width: 14rem }
tbody th { font-weight: normal; text-align: left } td { font-variant-numeric: tabular-nums }
.differs { background: #ffe9a8 } .note { border-left: 4px solid #d98c00; padding-left: .8rem }
@media (prefers-color-scheme: dark) { figcaption { color: #aaa } .differs { background: #5c4a00 } }
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and how to read the figures under it."""

    key: str  # the figures' files are called by it
    title: str
    words: str
    lacks: str = ""  # why there may be no figure


@dataclass(frozen=True, slots=True)
class FigureFile:
    """A figure as it is written."""

    name: str  # without suffix
    caption: str
    png: bytes
    data: bytes


SECTIONS = (
    Section(
        "similarities",
        "Similarities",
        "How alike same pairs (blue) and different pairs (orange) are. The less the two overlap, "
        "the better. The lines are the thresholds of the calibration's policies.",
    ),
    Section(
        "roc",
        "ROC",
        "The share of same pairs accepted, against the share of different pairs accepted with "
        "them. Up and to the left is better.",
    ),
    Section(
        "det",
        "DET",
        "Both kinds of error against each other. Down and to the left is better; a straight "
        "line means that similarities are normally distributed.",
    ),
    Section(
        "accuracy",
        "Accuracy by threshold",
        "The share of pairs answered rightly at each threshold, and the best. That best is "
        "chosen on these very pairs: the accuracy of the folds, above, is the fair one.",
    ),
    Section(
        "errors",
        "Errors by threshold",
        "A higher threshold accepts fewer strangers (solid) and misses more same pairs "
        "(dashed). A line ends where these pairs show no error.",
    ),
    Section(
        "discard",
        "Errors against discard",
        "What is still missed when the pairs with the worst face are set aside. A measure of "
        "quality that is worth asking for makes its line fall. The threshold stays where it "
        "shows a false match rate of 1 in 1,000 on all pairs.",
        "the measures of quality are missing, or the same for every picture",
    ),
    Section(
        "reliability",
        "Reliability of the probability",
        "Of the pairs that are one person with the stated probability, the share that really is. "
        "On the dotted line the two are equal. Cllr is what the ratios cost: 0 is perfect, 1 is no "
        "better than not to look. A small mark rests on few pairs. Pairs without a face are left "
        "out.",
        "no run has a calibration, and faces in pairs of both kinds",
    ),
    Section(
        "distances",
        "Three distances, before and after normalising features",
        "Same pairs beside different ones. The dashed line is 0.8 of the mean of same pairs and "
        "0.2 of that of different ones: a rule of thumb, not a threshold with an error rate. "
        "After: each feature scaled to unit length over the data set.",
        "no run has faces in pairs of both kinds",
    ),
    Section(
        "people",
        "People in two dimensions",
        "The people with the most pictures. Clusters that stand apart are told apart; distances "
        "between clusters mean nothing in t-SNE.",
        "too few pictures have a person's name",
    ),
    Section(
        "carried",
        "Train against test",
        "The threshold that is best for the first run, used on another: what it loses there is "
        "what was fitted to the first run's data alone.",
        "it takes two runs",
    ),
    Section(
        "confused",
        "Most confused people",
        "The two people whose closest pictures are most alike: namesakes, relatives, or one "
        "person under two names.",
        "fewer than two people are named",
    ),
    Section(
        "false-matches",
        "Worst false matches",
        "Different people, as the list says, that are most alike.",
        "the run has no faces to show",
    ),
    Section(
        "false-non-matches",
        "Worst false non-matches",
        "The same person, as the list says, least alike.",
        "the run has no faces to show",
    ),
    Section(
        "training",
        "Training",
        "What the training run noted.",
        "no run has a training history",
    ),
)


def metrics(run: Run) -> dict[str, Metric]:
    """A run's figures by name; None for what it does not state."""
    result, calibration = run.about.result, run.about.calibration
    cost = None
    if calibration and numbers.both_kinds(run):
        line = (calibration.slope, calibration.offset)
        cost = cllr(run.similarity[run.seen], run.same[run.seen], *line)
    return {
        "pictures": len(run.about.names),
        "people": len(np.unique(run.labels[run.labels >= 0])) or None,
        "same pairs": int(run.same.sum()),
        "different pairs": int((~run.same).sum()),
        "pictures without a face": result.failures_to_acquire,
        "pairs left out": result.skipped,
        "accuracy": result.accuracy,
        "accuracy, deviation": result.accuracy_std,
        **{f"TAR at FAR {rate}": tar for rate, tar in result.tar.items()},
        "EER": result.eer,
        "AUC": result.auc,
        "Cllr": cost,
        "model, MB": None if run.about.bytes is None else run.about.bytes / 1e6,
        "ms per face": run.about.milliseconds,
    }


def page(runs: Sequence[Run], figures: dict[str, list[FigureFile]]) -> str:
    """The page, with the figures of each section by its key. All text from data is escaped."""
    names = escape(" · ".join(run.about.name for run in runs))
    sections = "\n".join(_section(section, figures[section.key]) for section in SECTIONS)
    links = " · ".join(f'<a href="#{one.key}">{one.title}</a>' for one in SECTIONS)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Report: {names}</title><style>{STYLE}</style></head><body>
<h1>Report</h1>
<p>{names}</p>
{_data_note(runs)}
<h2 id="comparison">Comparison</h2>
<p>Settings that differ between runs are marked ≠; what a run does not state is {UNKNOWN}.</p>
{_table(runs)}
<p>{links}</p>
{sections}
</body></html>
"""


def _section(section: Section, figures: Sequence[FigureFile]) -> str:
    shown = "\n".join(_figure(section, figure) for figure in figures)
    return (
        f'<section id="{section.key}"><h2>{section.title}</h2>\n<p>{section.words}</p>\n'
        f"{shown or f'<p>Not drawn: {section.lacks}.</p>'}\n</section>"
    )


def _figure(section: Section, figure: FigureFile) -> str:
    caption = escape(figure.caption)
    text = f"{section.title}: {caption}" if caption else section.title
    source = f"data:image/png;base64,{base64.b64encode(figure.png).decode()}"
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure><img src="{source}" alt="{text}">{below}</figure>'


def _table(runs: Sequence[Run]) -> str:
    """Settings, then metrics, a column for each run."""
    settings = [run.about.settings for run in runs]
    labels = dict.fromkeys(label for one in settings for label in one)
    rows = [(label, [one.get(label, UNKNOWN) for one in settings], True) for label in labels]
    measured = [metrics(run) for run in runs]
    kinds = dict.fromkeys(kind for one in measured for kind in one)
    rows += [(kind, [_words(kind, one.get(kind)) for one in measured], False) for kind in kinds]
    head = "".join(f'<th scope="col">{escape(run.about.name)}</th>' for run in runs)
    body = "\n".join(_row(*row) for row in rows)
    return (
        f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(label: str, cells: Sequence[str], setting: bool) -> str:
    differs = setting and len(set(cells)) > 1
    mark = ' class="differs"' if differs else ""
    values = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr{mark}><th scope="row">{escape(label)}{" ≠" if differs else ""}</th>{values}</tr>'


def _words(kind: str, value: Metric) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, int):
        return f"{value:,}"
    if kind == "Cllr":
        return f"{value:.3f}"
    return f"{value:.1f}" if kind in ("model, MB", "ms per face") else f"{100 * value:.2f} %"


def _data_note(runs: Sequence[Run]) -> str:
    """Says which runs are over which data, where that is not the same."""
    groups: list[list[Run]] = []
    for run in runs:
        home = next((group for group in groups if numbers.same_data(group[0], run)), None)
        groups.append([run]) if home is None else home.append(run)
    if len(groups) == 1:
        return ""
    parts = "; ".join(
        f"data {number}: {escape(' · '.join(run.about.name for run in group))}"
        for number, group in enumerate(groups, start=1)
    )
    return (
        '<p class="note"><strong>These runs are over different data</strong>, so their numbers do '
        f"not say which model is better ({parts}).</p>"
    )
