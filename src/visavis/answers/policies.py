"""A pack's policies in words: apart from packs.py, because a list of packs loads no recognizer."""

from visavis.answers.words import policies_words
from visavis.errors import CalibrationError
from visavis.pack.calibration import load_calibration
from visavis.pack.manifest import Pack


def pack_policies(pack: Pack) -> dict[str, str]:
    """What each policy means by the pack's calibration, or that it has none that fits."""
    try:
        return policies_words(load_calibration(pack))
    except CalibrationError as error:
        return {"thresholds": str(error)}
