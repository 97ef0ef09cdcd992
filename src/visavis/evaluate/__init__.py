"""How well embeddings tell people apart, and at which threshold: every number comes from here."""

from visavis.evaluate.calibrate import Curve, calibrate, error_curve
from visavis.evaluate.protocols import Embedded, embed_tree, verification
from visavis.evaluate.verification import Result, evaluate

__all__ = [
    "Curve",
    "Embedded",
    "Result",
    "calibrate",
    "embed_tree",
    "error_curve",
    "evaluate",
    "verification",
]
