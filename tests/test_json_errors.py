"""With --json an error is one document on stdout, in the words of the one line on stderr."""

import json

import pytest
from verbs import Verb, verbs

from visavis.cli import printing
from visavis.errors import GalleryError, VisavisError

LEAVES = [pytest.param(verb, id=verb.name) for verb in verbs()]


@pytest.mark.parametrize("verb", LEAVES)
def test_every_verb_tells_a_usage_error(run, verb: Verb):
    code, out, err = run(*verb.name.split(), "--json", "--no-such-option")
    reason = json.loads(out)["error"]
    assert (code, reason["code"], reason["mend"]) == (2, "usage", "")
    assert err == f"visavis: {reason['message']}\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ["no-such-verb", "--json"],
            {"code": "usage", "message": "No such command 'no-such-verb'.", "mend": ""},
        ),
        (
            ["verify", "a.jpg", "--json"],
            {
                "code": "usage",
                "message": "Invalid value: expected another photo, or --person",
                "mend": "",
            },
        ),
        (
            ["verify", "a", "b", "--face", "x", "--json"],
            {
                "code": "usage",
                "message": "Invalid value for '--face': expected N or N,M (from 1, largest first), "
                "got 'x'",
                "mend": "",
                "option": "--face",
            },
        ),
        (
            ["verify", "a", "b", "--policy", "no-such", "--json"],
            {
                "code": "calibration",
                "message": "unknown policy 'no-such'; known: convenience (0.001), standard "
                "(0.0001), strict (1e-05), or a false match rate such as 1e-4",
                "mend": "",
            },
        ),
        (
            ["evaluate", "wider", "--images", "x", "--groups", "y", "--json"],
            {
                "code": "dataset",
                "message": "evaluate wider has no --groups",
                "mend": "leave it out, or use visavis evaluate pairs or people",
            },
        ),
    ],
)
def test_an_error_says_code_message_and_mend(run, words, reason):
    code, out, err = run(*words)
    assert (code, json.loads(out)) == (2, {"error": reason})
    assert err.count("\n") == 1
    assert err.startswith(f"visavis: {reason['message']}")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["detect", "--json"], True),
        (["--json"], True),
        (["detect", "a"], False),
        (["detect", "--", "--json"], False),
        (["detect", "--json", "--", "a"], True),
        ([], False),
    ],
)
def test_what_stands_behind_a_bare_dash_is_no_option(words, wanted):
    assert printing.wants_json(words) is wanted


ERRORS = [
    (VisavisError("a\n b"), "a b", {"code": "error", "message": "a b", "mend": ""}),
    (
        VisavisError("a", mend="b"),
        "a: b",
        {"code": "error", "message": "a", "mend": "b"},
    ),
    (
        GalleryError("a", mend="b", option="keep_crops"),
        "a: b (--keep-crops)",
        {"code": "gallery", "message": "a", "mend": "b", "option": "--keep-crops"},
    ),
]


@pytest.mark.parametrize(("error", "line", "document"), ERRORS)
def test_the_line_and_the_document_say_the_same(error, line, document):
    reason = printing.complaint(error)
    assert (str(reason), reason.document()) == (line, document)


@pytest.mark.pack
def test_a_batch_says_why_each_photo_failed_in_the_same_words(run, tmp_path, pack):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    code, out, err = run("detect", tmp_path, "--json")
    errors = json.loads(out)["errors"]
    assert (code, [f"visavis: {one['error']}" for one in errors]) == (3, err.splitlines())
    assert {one["code"] for one in errors} == {"image"}
    for one in errors:
        mend = f": {one['mend']}" if one["mend"] else ""
        assert one["error"] == f"{one['message']}{mend}"


@pytest.mark.pack
def test_embed_without_a_face_says_what_failed(run, tmp_path, pack):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    out = tmp_path / "faces.npz"
    code, said, err = run("embed", tmp_path / "a.jpg", "--out", out, "--json")
    document = json.loads(said)
    assert (code, document["out"], document["faces"]) == (2, None, 0)
    assert [f"visavis: {one['error']}\n" for one in document["errors"]] == [err]
    assert not out.exists()
    code, said, err = run("embed", tmp_path / "a.jpg", "--out", out)
    assert (code, said) == (2, "")
