"""Whatever the bytes, a manifest is a PackError or a pack, a calibration a CalibrationError or one.

    python tests/fuzz_manifest.py -runs=100000 -max_len=4096 FOLDER_FOR_NEW tests/corpus/manifest

Needs atheris; without it tests/test_fuzz.py runs the corpus alone.
"""

import sys
import tempfile
from contextlib import suppress
from pathlib import Path


def one_input(data: bytes) -> None:
    """Read bytes as pack.json and as a calibration, and use what was read."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pack.json").write_bytes(data)
        as_pack(Path(folder))
        as_calibration(Path(folder) / "pack.json")


def as_pack(folder: Path) -> None:
    """Read the manifest; no file that it names is there, and none elsewhere may be read."""
    # Imported late, so that atheris can instrument what is imported.
    from visavis.errors import CalibrationError, PackError
    from visavis.pack.calibration import load_calibration
    from visavis.pack.manifest import read_pack

    try:
        pack = read_pack(folder)
    except PackError:
        return
    assert "@" in pack.manifest.embedder.model
    assert pack.manifest.embedder.dim > 0
    with suppress(PackError, CalibrationError):
        load_calibration(pack)
    for spec in (pack.manifest.detector, pack.manifest.embedder):
        try:
            pack.read(spec.file, spec.sha256)
        except PackError:
            continue
        raise AssertionError(f"{spec.file!r} was read")


def as_calibration(path: Path) -> None:
    """Read the calibration and ask it for every policy."""
    from visavis.decision import POLICIES, decide, read_calibration
    from visavis.errors import CalibrationError

    try:
        calibration = read_calibration(path)
    except CalibrationError:
        return
    for similarity in (-1.0, 0.4, 1.0):
        assert 0 < calibration.false_match_rate(similarity) <= 1
    for name in POLICIES:
        with suppress(CalibrationError):
            policy = calibration.policy(name)
            assert 0 <= decide(0.4, policy, comparisons=1000).false_positive_rate <= 1
            assert round(1 / policy.match.false_match_rate_upper) >= 1  # "1 in 10,000"


if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["visavis", "json"]):
        one_input(b"{}")
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
