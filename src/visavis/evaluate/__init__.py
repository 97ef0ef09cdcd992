"""How well embeddings tell people apart, and at which threshold: every number comes from here."""

from visavis.evaluate.calibrate import ErrorCurve, calibrate, error_curve
from visavis.evaluate.detection import evaluate_wider
from visavis.evaluate.everyone import all_similarities
from visavis.evaluate.identification import evaluate_search, search_gallery
from visavis.evaluate.protocols import (
    Embedded,
    Source,
    embed_pairs,
    embed_tree,
    verification,
)
from visavis.evaluate.templates import evaluate_ijb
from visavis.evaluate.verification import Result, evaluate

__all__ = [
    "Embedded",
    "ErrorCurve",
    "Result",
    "Source",
    "all_similarities",
    "calibrate",
    "embed_pairs",
    "embed_tree",
    "error_curve",
    "evaluate",
    "evaluate_ijb",
    "evaluate_search",
    "evaluate_wider",
    "search_gallery",
    "verification",
]
