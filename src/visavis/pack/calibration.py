"""A pack's calibration: read, compared with its embedder's identity, written."""

import hashlib
from dataclasses import replace
from pathlib import Path

from visavis.alignment import ALIGNMENT
from visavis.decision import Calibration, parse_calibration, uncalibrated
from visavis.document import to_bytes
from visavis.errors import CalibrationError
from visavis.files import write_whole
from visavis.pack.manifest import EmbedderSpec, Pack, write_manifest


def load_calibration(pack: Pack) -> Calibration:
    """The pack's calibration. Raises CalibrationError where it has none that fits."""
    manifest = pack.manifest
    if manifest.calibration is None or manifest.calibration_sha256 is None:
        raise CalibrationError(
            f"pack {manifest.name} has no calibration, so no threshold has an error rate",
            mend="make one with visavis calibrate",
        )
    data = pack.read(manifest.calibration, manifest.calibration_sha256)
    return check_calibration(data, manifest.embedder, str(pack.folder / manifest.calibration))


def calibration_for(pack: Pack, file: Path | None = None) -> Calibration:
    """The calibration in `file`, else the pack's, else one without points: nothing is measured.

    Raises CalibrationError for one that cannot be read, or is another model's.
    """
    if file is not None:
        return check_calibration(_bytes(file), pack.manifest.embedder, str(file))
    if pack.manifest.calibration is None:
        return uncalibrated(pack.manifest.embedder.model)
    return load_calibration(pack)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CalibrationError(f"{file}: cannot read: {error.strerror or error}") from error


def check_calibration(data: bytes, embedder: EmbedderSpec, source: str) -> Calibration:
    """A calibration file's bytes as this embedder's calibration; `source` is what errors call it.

    Raises CalibrationError naming the wrong field, or the model that it was made for.
    """
    calibration = parse_calibration(data, source)
    if calibration.model == embedder.model:
        return calibration
    before = map(embedder.model_of, range(1, ALIGNMENT))
    why = ", of when faces were cut in another way" if calibration.model in before else ""
    raise CalibrationError(
        f"{source}: expected a calibration of {embedder.model}, "
        f"got one of {calibration.model}{why}",
        mend="run visavis calibrate with this pack",
    )


def keep_calibration(pack: Pack, calibration: Calibration) -> Path:
    """Write a calibration into a pack, in place of an earlier one. Returns its file.

    Raises OutputError where the folder cannot be written.
    """
    document = to_bytes(calibration)
    sha256 = hashlib.sha256(document).hexdigest()
    name = f"calibration-{sha256[:8]}.json"
    write_whole(pack.folder / name, document)
    before = pack.manifest.calibration
    write_manifest(pack.folder, replace(pack.manifest, calibration=name, calibration_sha256=sha256))
    if before not in (None, name):
        (pack.folder / str(before)).unlink(missing_ok=True)
    return pack.folder / name
