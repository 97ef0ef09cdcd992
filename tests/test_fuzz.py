"""Every input that a fuzzer was given or has found, through the fuzzers' functions."""

from pathlib import Path

import fuzz_image
import fuzz_manifest
import pytest

CORPUS = Path(__file__).parent / "corpus"
TARGETS = {"image": fuzz_image.one_input, "manifest": fuzz_manifest.one_input}
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.filterwarnings("ignore")  # Pillow's, about damaged metadata
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_kept_input_is_answered_or_refused(path):
    TARGETS[path.parent.name](path.read_bytes())


def test_the_corpus_is_small_and_each_target_has_one():
    assert {path.parent.name for path in FILES} == set(TARGETS)
    assert sum(path.stat().st_size for path in FILES) < 60_000


def test_a_target_notices_what_is_wrong(monkeypatch):
    monkeypatch.setattr("visavis.image.FAULTS", ())
    with pytest.raises(SyntaxError):
        fuzz_image.one_input(b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000049454e44ae426082"))
