"""Packs in words and as plain data: what `pack list`, `info`, `verify`, `build` print."""

from pathlib import Path

import pytest

from visavis.answers import packs
from visavis.answers.policies import pack_policies
from visavis.insightface.proof import Proof
from visavis.insightface.write import Written
from visavis.pack.manifest import DetectorSpec, EmbedderSpec, Manifest, Origin, Pack
from visavis.pack.verify import Finding

MADE = Origin("made here", "CC0-1.0", "nothing", commercial="yes", citation="nobody")
UNKNOWN = Origin("mine.onnx", "not stated", "not stated")
DETECTOR = DetectorSpec("detector.onnx", "ab" * 32, "yunet", MADE)
EMBEDDER = EmbedderSpec("made", "embedder.onnx", "cd" * 32, "ef" * 32, 512, UNKNOWN)
PACK = Pack(Path("packs/mine"), Manifest(1, "mine", DETECTOR, EMBEDDER))
MODEL = EMBEDDER.model


def test_a_list_has_a_line_for_each_pack():
    rows = [packs.listed_json(name, PACK.manifest) for name in ("a", "longer")]
    assert rows[0] == {
        "name": "a",
        "detector": "yunet",
        "embedder": MODEL,
        "dim": 512,
        "liveness": [],
        "commercial": "unknown",
    }
    assert packs.listed_words(rows) == [
        f"a       yunet + {MODEL} · 512 numbers · commercial use: unknown",
        f"longer  yunet + {MODEL} · 512 numbers · commercial use: unknown",
    ]
    assert packs.listed_words([]) == []


@pytest.mark.parametrize(
    ("detector", "embedder", "both"),
    [
        ("yes", "yes", "yes"),
        ("yes", "unknown", "unknown"),
        ("unknown", "no", "no"),
        ("no", "yes", "no"),
    ],
)
def test_a_pack_allows_the_least_that_a_model_allows(detector, embedder, both):
    specs = [
        DetectorSpec("d", "", "yunet", Origin("", "", "", detector)),
        EmbedderSpec("e", "e", "", "", 1, Origin("", "", "", embedder)),
    ]
    assert Manifest(1, "mine", *specs).commercial == both


def test_a_pack_says_where_its_models_come_from_and_that_it_has_no_thresholds():
    policies = pack_policies(PACK)
    lines = packs.pack_words(PACK, policies)
    assert lines[:7] == [
        f"mine · format 1 · {PACK.folder}",
        "detector  yunet",
        "  from           made here",
        "  licence        CC0-1.0",
        "  trained on     nothing",
        "  commercial use yes",
        "  cite           nobody",
    ]
    assert lines[-1].startswith("thresholds    pack mine has no calibration")
    document = packs.pack_json(PACK, policies)
    assert (document["name"], document["folder"]) == ("mine", str(PACK.folder))
    assert list(document["policies"]) == ["thresholds"]


def test_a_finding_is_a_line():
    findings = [Finding("ok", "detector.onnx", "fits"), Finding("warning", "folder", "odd")]
    assert packs.findings_words(findings) == [
        "ok       detector.onnx: fits",
        "warning  folder: odd",
    ]
    assert packs.findings_json(PACK.folder, findings[:1]) == {
        "folder": str(PACK.folder),
        "findings": [{"level": "ok", "subject": "detector.onnx", "text": "fits"}],
    }


def test_a_pack_that_was_made_says_of_what_and_what_is_missing():
    assert packs.made_words(PACK, ["a.onnx: the embedder"]) == [
        "a.onnx: the embedder",
        f"mine · yunet + {MODEL} · 112x112 · 512 numbers · {PACK.folder}",
        "no threshold has an error rate yet: measure them with visavis calibrate mine",
    ]
    assert packs.made_json(PACK, ["a"]) == {
        "folder": str(PACK.folder),
        "name": "mine",
        "model": MODEL,
        "dim": 512,
        "detector": "yunet",
        "liveness": [],
        "commercial": ["yes", "unknown"],
        "notes": ["a"],
    }


def test_a_written_folder_says_what_insightface_made_of_it():
    written = Written(
        Path("root/models/mine"), ("det_a.onnx", "rec_a.onnx"), ("unchanged",), 1.0, None
    )
    lines = ["unchanged", f"{written.folder}: det_a.onnx, rec_a.onnx"]
    assert packs.written_words(written) == [*lines, "not proved in the insightface package"]
    proof = Proof("2.1", 6, 0.9999995, 7, ("detection", "recognition"))
    proved = Written(written.folder, written.files, written.notes, 1.0, proof)
    assert packs.written_words(proved)[2] == (
        "insightface 2.1 loads detection, recognition; for 6 faces with the same landmarks its "
        "embeddings have cosine 1.000000 to ours, or more; its own detector finds 7"
    )
    assert packs.written_json(proved)["proof"]["found"] == 7
