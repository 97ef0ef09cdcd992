"""What was measured of packs, as JSON documents and as words for people. Decides nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from visavis.answers.counts import counted
from visavis.answers.words import policies_words
from visavis.calibration import Calibrated
from visavis.evaluate.all_pairs import PeopleResult
from visavis.evaluate.comparison import Comparison, Together
from visavis.evaluate.degrade import DegradedResult
from visavis.evaluate.pairs import PairsEvaluation, PairsResult
from visavis.evaluate.run import Run
from visavis.evaluate.templates import IjbResult
from visavis.evaluate.wider import DetectionResult
from visavis.metrics.acceptance import Acceptance
from visavis.metrics.bootstrap import Rate, wilson
from visavis.metrics.cohorts import Cell, LabelRates
from visavis.metrics.verification import Result
from visavis.report.page import metrics


def pairs_json(evaluation: PairsEvaluation) -> dict[str, Any]:
    """One pack's figures; of several packs each one's, and how they compare."""
    documents = [_pairs_result_json(result) for result in evaluation.results]
    if len(documents) == 1:
        return documents[0]
    return {
        "models": documents,
        "together": asdict(evaluation.together) if evaluation.together else None,
        "compared": [_comparison_json(one) for one in evaluation.comparisons],
    }


def pairs_words(evaluation: PairsEvaluation) -> list[str]:
    """The figures of each pack, then how they compare."""
    lines = [line for result in evaluation.results for line in _pairs_result_words(result)]
    if evaluation.together is not None:
        names = [result.run.about.name for result in evaluation.results]
        lines += _together_words(evaluation.together, names)
    for comparison in evaluation.comparisons:
        lines += _comparison_words(comparison)
    return lines


def all_pairs_json(results: Sequence[PeopleResult]) -> dict[str, Any]:
    """The figures of all pairs: of one pack, or of several under "models"."""
    documents = [
        {
            **asdict(one.result),
            "model": one.model,
            "people": one.people,
            "require": asdict(one.acceptance) if one.acceptance else None,
        }
        for one in results
    ]
    return documents[0] if len(documents) == 1 else {"models": documents}


def all_pairs_words(results: Sequence[PeopleResult]) -> list[str]:
    """The figures of all pairs, pack by pack."""
    lines: list[str] = []
    for one in results:
        result = one.result
        lines += [
            f"{result.pairs:,} pairs, all of {one.pictures:,} pictures of {one.people:,} people",
            one.model,
            *_result_words(result),
            f"no face found in {result.failures_to_acquire} pictures",
        ]
        if result.skipped:
            lines.append(f"left out  {result.skipped} bad pictures")
        if one.acceptance:
            lines += _acceptance_words(one.acceptance)
    return lines


def by_pack_json(results: Mapping[str, IjbResult] | Mapping[str, DetectionResult]) -> Any:
    """Each pack's figures by its name."""
    return {name: asdict(result) for name, result in results.items()}


def ijb_words(results: Mapping[str, IjbResult]) -> list[str]:
    """The figures of templates, pack by pack."""
    lines: list[str] = []
    for name, result in results.items():
        lines += [
            f"{name}: {result.templates:,} templates of {result.pictures:,} pictures",
            f"1:1  {result.verification.pairs:,} pairs",
            *_result_words(result.verification),
            *_rates_words("TAR, nearest FAR", result.verification.tar_nearest),
        ]
        if result.galleries:
            lines += [
                f"1:N  {len(result.galleries)} galleries, means",
                *_rates_words("rank", result.rank),
                *_rates_words("TPIR@FPIR", result.tpir),
            ]
        if result.skipped:
            lines.append(f"left out  {result.skipped} bad lines and pictures")
    return lines


def wider_words(results: Mapping[str, DetectionResult]) -> list[str]:
    """Average precisions, pack by pack."""
    lines: list[str] = []
    for name, result in results.items():
        lines.append(f"{name}: WIDER FACE, {result.pictures:,} pictures")
        lines += _rates_words("AP", result.average_precision)
    return lines


def calibrated_json(calibrated: Calibrated, written: Path | str) -> dict[str, Any]:
    """Where a calibration was written, and what each policy means by it."""
    return {
        "out": str(written),
        "failures_to_acquire": calibrated.failures,
        "skipped": calibrated.skipped,
        "policies": policies_words(calibrated.calibration),
        "match_possible": calibrated.decides if calibrated.templates else None,
    }


def calibrated_words(calibrated: Calibrated, written: Path | str) -> list[str]:
    """A calibration's data, then what each policy means by it."""
    calibration = calibrated.calibration
    return [
        f"{written}: {calibration.people:,} people, {calibration.same_pairs:,} same and "
        f"{calibration.different_pairs:,} different pairs",
        f"no face found in {calibrated.failures} pictures, {calibrated.skipped} bad ones left out",
        *(f"  {policy:<12}{text}" for policy, text in policies_words(calibration).items()),
        *_search_words(calibrated),
    ]


def _search_words(calibrated: Calibrated) -> list[str]:
    """What a calibration decides in the gallery that it was measured on."""
    if not calibrated.templates:
        return []
    ends = "can end in a match" if calibrated.decides else "ends in a review at most: too few"
    return [f"  {'identify':<12}a search among {counted(calibrated.templates, 'template')} {ends}"]


def report_json(runs: Sequence[Run], written: Sequence[Path]) -> dict[str, Any]:
    """The files of a report, and the figures that it compares."""
    compared = [
        {"name": run.about.name, "settings": run.about.settings, "metrics": metrics(run)}
        for run in runs
    ]
    return {"files": [str(path) for path in written], "runs": compared}


def interval_words(rate: Rate) -> str:
    """A rate, its 95 % interval, and what it was counted in."""
    return (
        f"{100 * rate.value:.3g} %, likely between {100 * rate.low:.3g} and "
        f"{100 * rate.high:.3g} %: {rate.errors:,} of {rate.trials:,}"
    )


def _pairs_result_json(result: PairsResult) -> dict[str, Any]:
    about = result.run.about
    document = {
        **asdict(about.result),
        "model": about.settings["model"],
        "milliseconds": about.milliseconds,
    }
    if result.acceptance is not None:
        document["require"] = asdict(result.acceptance)
    if result.degraded is not None:
        document["degraded"] = [_degraded_json(one) for one in result.degraded]
    if result.labels is not None:
        document["groups"] = [asdict(label) for label in result.labels]
    return document


def _degraded_json(degraded: DegradedResult) -> dict[str, Any]:
    degradation = degraded.degradation
    return {
        "name": degradation.name,
        "strength": degradation.strength,
        **asdict(degraded.result),
    }


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "name": comparison.name,
        "than": comparison.than,
        "gains": [{**asdict(gain), "verdict": gain.verdict} for gain in comparison.gains],
    }


def _pairs_result_words(result: PairsResult) -> list[str]:
    about = result.run.about
    figures = about.result
    lines = [
        f"{counted(figures.pairs, 'pair')} · {about.settings['model']}",
        *_result_words(figures),
        f"no face found in {figures.failures_to_acquire} of {len(about.names):,} pictures",
    ]
    if figures.skipped:
        lines.append(f"left out  {figures.skipped} pairs whose line or picture is bad")
    if about.milliseconds is not None:
        lines.append(f"embedding {about.milliseconds:.1f} ms a face")
    if result.acceptance is not None:
        lines += _acceptance_words(result.acceptance)
    if result.degraded is not None:
        lines += _degraded_words(result.degraded)
    for label in result.labels or []:
        lines += _label_words(label)
    return lines


def _result_words(result: Result) -> list[str]:
    lines = []
    if result.accuracy is not None and result.accuracy_std is not None:
        low, high = wilson(round(result.accuracy * result.pairs), result.pairs)
        # Folds that are all alike, or a single one, say nothing of how sure the figure is.
        std = result.accuracy_std
        spread = f", ± {100 * std:.2f} over the folds" if std else ""
        lines.append(
            f"accuracy  {100 * result.accuracy:.2f} %, likely between {100 * low:.2f} and "
            f"{100 * high:.2f} %{spread}"
        )
    return [
        *lines,
        *_rates_words("TAR@FAR", result.tar),
        f"EER       {100 * result.eer:.2f} %",
        f"AUC       {100 * result.auc:.3f} %",
    ]


def _rates_words(title: str, rates: Mapping[str, float]) -> list[str]:
    return [f"{title} {name}  {100 * value:.2f} %" for name, value in rates.items()]


def _acceptance_words(acceptance: Acceptance) -> list[str]:
    threshold = "" if acceptance.threshold is None else f" {acceptance.threshold:.4f}"
    return [
        f"required  {acceptance.answer}: at the threshold{threshold} ({acceptance.chosen})",
        f"  {'false match rate':<22}{interval_words(acceptance.false_match_rate)}",
        f"  {'false non-match rate':<22}{interval_words(acceptance.false_non_match_rate)}",
    ]


def _degraded_words(rows: Iterable[DegradedResult]) -> list[str]:
    title = f"{'probe degraded by':<20}{'accuracy':>10}{'EER':>9}{'strictest TAR':>20}  no face"
    lines = ["", title]
    for one in rows:
        result = one.result
        accuracy = f"{100 * result.accuracy:.2f} %" if result.accuracy is not None else ""
        tar = [f"{100 * value:.2f} % @{name}" for name, value in result.tar.items()][-1:] or [""]
        lines.append(
            f"{one.degradation.label:<20}{accuracy:>10}{100 * result.eer:>7.2f} %{tar[0]:>20}"
            f"  {result.failures_to_acquire} of {one.pictures}"
        )
    return lines


def _label_words(label: LabelRates) -> list[str]:
    unlabelled = f"{label.unlabelled} pictures have no value"
    lines = ["", f"{label.label} ({unlabelled}, {label.across} pairs are across groups)"]
    for group in label.groups:
        lines += [
            f"  {group.value:<16}{group.pictures} pictures",
            f"    false match rate      {_cell_words(group.false_match)}",
            f"    false non-match rate  {_cell_words(group.false_non_match)}",
        ]
    for title, spread in (
        ("false match rate", label.false_match),
        ("false non-match rate", label.false_non_match),
    ):
        if spread:
            lines.append(
                f"  {title}: worst {spread.worst}, {spread.worst_to_best:.1f} times the best "
                f"({spread.best}), {spread.worst_to_mean:.1f} times the geometric mean"
            )
    return lines


def _cell_words(cell: Cell) -> str:
    if cell.rate is None:
        return "no such pair"
    return interval_words(cell.rate) + ("" if cell.sufficient else " · insufficient")


def _together_words(together: Together, names: Sequence[str]) -> list[str]:
    shares = ", ".join(
        f"{name} {weight:.2f}" for name, weight in zip(names, together.weights, strict=True)
    )
    return [
        "",
        f"together  weights, mean over the folds, each found on the others: {shares}",
        *_result_words(together.result),
    ]


def _comparison_words(comparison: Comparison) -> list[str]:
    return [
        f"  {comparison.name} against {comparison.than}, {gain.figure}: "
        f"{100 * gain.value:+.2f} points "
        f"({100 * gain.low:+.2f} .. {100 * gain.high:+.2f}): {gain.verdict}"
        for gain in comparison.gains
    ]
