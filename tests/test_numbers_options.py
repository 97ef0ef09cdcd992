"""Every number that a verb takes has its bounds: what is none is refused in one line."""

import inspect
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import pytest
from verbs import Verb, verbs

from visavis.decision import policy_rate
from visavis.errors import CalibrationError, DatasetError, ModelError
from visavis.evaluate.pairs import Asked
from visavis.faces import find_faces

BAD = ("nan", "inf", "-inf", "-1", "0", "1e300")

# Options whose text holds numbers, and where in it the number stands.
IN_TEXT = {
    "policy": "{}",
    "face": "{}",
    "require": "fmr={0},fnmr={0}",
    "weights": "{0},{0}",
    "degrade": "blur:{}",
    "device": "cuda:{}",
    "mean": "{}",
    "std": "{}",
    "size": "{0}x{0}",
    "shard": "{}/9",
}
# Options whose text holds none, by name.
NO_NUMBER = set(
    "person pack precision runtime name external_id consent family color preset crops protocol "
    "detector licence commercial decoder model root expect_head packs description among "
    "author host liveness mqtt tls actor reason at began month day terminal zone columns out "
    "gallery source target".split()
)
MEANT = {  # numbers of BAD that mean something
    ("min_score", "0"): "every face that the detector sees",
    ("min_size", "0"): "faces of any size",
    ("most_refused", "0"): "nobody may be",
    ("every", "0"): "every frame",
    ("start", "0"): "the beginning",
    ("max_loss", "0"): "no loss at all",
    ("least_margin", "0"): "no margin is asked for",
    ("mean", "0"): "nothing is subtracted",
    ("mean", "-1"): "of networks whose numbers begin at -1",
    ("device", "0"): "the first GPU",
    ("margin", "0"): "a crop, and nothing around it",
    ("port", "0"): "any that is free",
    ("ray", "0"): "no workers of Ray",
}
# What a verb needs beside the number; nothing is there, and nothing is read before the number is.
NEEDED = {
    "verify": ["a.jpg", "b.jpg"],
    "detect": ["a.jpg"],
    "embed": ["a.jpg", "--out", "a.npz"],
    "predict": ["a.jpg", "--out", "a.npz"],
    "enroll": ["Ann", "a.jpg"],
    "identify": ["a.jpg"],
    "find": ["a.jpg", "b.jpg"],
    "watch": ["a.mp4"],
    "liveness calibrate": ["--genuine", "a", "--out", "b"],
    "convert": ["a.onnx", "--out", "b.onnx"],
    "train": ["small", "--data", "a"],
    "config new": ["default"],
    "config compare": ["1", "2", "--images", "a"],
    "evaluate pairs": ["--images", "a"],
    "evaluate people": ["--images", "a", "--sample", "5"],
    "evaluate ijb": ["--images", "a"],
    "evaluate wider": ["--images", "a"],
    "people cluster": ["a.jpg", "--out", "a"],
    "dataset align": ["a", "--out", "b"],
    "dataset check": ["a"],
    "dataset bin make": ["a.bin", "--images", "a"],
    "attendance push": ["frappe", "https://localhost"],
    "pack build": ["mine", "--embedder", "a.onnx"],
    "pack import": ["a.onnx"],
}
# By place: the number under test is put for {}.
PLACES = {
    ("people name-group", "number"): ["a", "{}", "Ann"],
    ("people merge-groups", "first"): ["a", "{}", "2"],
    ("people merge-groups", "second"): ["a", "2", "{}"],
    ("config activate", "version"): ["{}"],
    ("config compare", "first"): ["{}", "1", "--images", "a"],
    ("config compare", "second"): ["1", "{}", "--images", "a"],
    ("config show", "version"): ["{}"],
    ("attendance correct", "number"): ["{}", "--void"],
    ("attendance unknown show", "number"): ["{}"],
    ("attendance unknown name", "number"): ["{}", "Ann"],
    ("attendance unknown discard", "number"): ["{}"],
    ("people split-group", "number"): ["a", "{}", "1"],
    ("people split-group", "faces"): ["a", "1", "{}"],
}
ELSEWHERE = {("people prune", "older_than"): "test_people_cli.py: it erases people"}


def number_options() -> Iterator[tuple[Verb, str]]:
    """Every option and argument that takes a number, alone or within a text."""
    for verb in verbs():
        parameters = inspect.signature(verb.command.callback, eval_str=True).parameters
        for name, parameter in parameters.items():
            if (name in IN_TEXT and name not in verb.arguments()) or is_number(
                parameter.annotation
            ):
                yield verb, name


def is_number(annotation: Any) -> bool:
    kinds = get_args(annotation) if get_origin(annotation) is not Annotated else ()
    kinds = kinds or (get_args(annotation)[:1] if get_args(annotation) else (annotation,))
    return any(kind in (int, float) or (get_args(kind) and is_number(kind)) for kind in kinds)


CASES = [
    pytest.param(verb, name, bad, id=f"{verb.name} {name} {bad}")
    for verb, name in number_options()
    for bad in BAD
    if (name, bad) not in MEANT and (verb.name, name) not in ELSEWHERE
]


@pytest.mark.parametrize(("verb", "name", "bad"), CASES)
def test_what_is_no_number_for_it_is_refused_in_one_line(
    verb, name, bad, run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if (verb.name, name) in PLACES:
        words = [word.format(bad) for word in PLACES[verb.name, name]]
        words = ["--", *words] if bad.startswith("-") else words
        meant = name
    else:
        meant = verb.options()[name]
        words = [*NEEDED.get(verb.name, []), f"{meant}={IN_TEXT.get(name, '{}').format(bad)}"]
    code, out, err = run(*verb.name.split(), *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("visavis: ")
    assert f"'{meant}'" in err.lower() or bad in err.replace("e+", "e")
    assert list(tmp_path.iterdir()) == []


def test_the_tables_are_of_options_that_are_there():
    names = {name for _, name in number_options()}
    assert set(IN_TEXT) <= names
    assert {name for name, _ in MEANT} <= names
    places = {(verb.name, name) for verb, name in number_options()}
    assert set(PLACES) | set(ELSEWHERE) <= places
    assert len(CASES) > 240


IN_LIBRARY = {
    "policy": (policy_rate, CalibrationError, "between 0 and 1", {}),
    "weights": (lambda number: Asked(weights=(number, 1.0)), DatasetError, "weights of", {0}),
    "min_size": (
        lambda number: find_faces(lambda image: [], np.zeros((9, 9, 3), np.uint8), min_size=number),
        ModelError,
        "a least size of 0 to 20000 pixels",
        {0},
    ),
}


@pytest.mark.parametrize("number", [float(bad) for bad in BAD])
@pytest.mark.parametrize(("call", "error", "said", "meant"), IN_LIBRARY.values(), ids=IN_LIBRARY)
def test_the_library_refuses_it_too(call, error, said, meant, number):
    if number in meant:
        call(number)
        return
    with pytest.raises(error, match=said):
        call(number)


def test_every_text_is_known_to_hold_numbers_or_none():
    """A new option of text must be put into one of the two tables."""
    for verb in verbs():
        parameters = inspect.signature(verb.command.callback, eval_str=True).parameters
        texts = {
            name for name in verb.options() if name in parameters and is_text(parameters[name])
        }
        assert texts <= set(IN_TEXT) | NO_NUMBER, verb.name


def is_text(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    return str in (annotation, *get_args(annotation)) or any(
        str in get_args(kind) for kind in get_args(annotation)
    )
