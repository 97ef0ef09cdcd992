"""Every verb reads its options, calls the library once, and shows the answer."""

import re

import pytest
from source import ROOT, body_lines
from verbs import Verb, shared_by_several, verbs

BODY, OPTIONS = 15, 12  # lines of a body, options of a verb's own
SHARED = {"--pack", "--device", "--precision", "--runtime", "--json", "--gallery", "--help"}
MODELS = {"--device", "--precision", "--runtime"}

# Verbs that run no model on a picture; every other one takes the options of MODELS.
NO_MODEL = {
    "report": "it reads what evaluate wrote",
    "train": "it runs a network that is being made, as its recipe says",
    "convert": "the checkpoint is the model, and is compared in float32 on the CPU",
    "people merge-groups": "it changes a list",
    "people split-group": "it changes a list",
    "people list": "it reads the gallery",
    "people show": "it reads the gallery",
    "people rename": "it changes the gallery's people",
    "people merge": "it changes the gallery's people",
    "people delete": "it erases",
    "people info": "it reads the gallery",
    "people unmerge": "it changes the gallery's people",
    "people negatives": "it reads the gallery",
    "people remove-negative": "it changes the gallery's people",
    "people group list": "it reads the gallery",
    "people group show": "it reads the gallery",
    "people group add": "it changes the gallery's people",
    "people group remove": "it changes the gallery's people",
    "people remove-photo": "it erases",
    "people undo": "it erases",
    "people export": "it copies what is there",
    "people export-tensors": "it copies what is there",
    "people import": "it copies what is there",
    "people prune": "it erases",
    "people audit head": "it reads the gallery",
    "people audit check": "it reads the gallery",
    "people audit accept": "it changes the gallery's audit",
    "people check": "it reads the gallery",
    "people rotate-key": "it seals anew what is there",
    "people backup": "it copies what is there",
    "people restore": "it copies what is there",
    "gallery copy": "it copies what is there",
    "people note-consent": "it writes a note",
    "people consent": "it changes a setting",
    "config list": "it reads the gallery",
    "config show": "it reads manifests and the gallery",
    "config new": "it changes the gallery's configurations",
    "config import": "it changes the gallery's configurations",
    "config activate": "it changes the gallery's configurations",
    "config rollback": "it changes the gallery's configurations",
    **dict.fromkeys(
        [
            f"attendance {verb}"
            for verb in "today month person late exceptions inside classes "
            "export push check".split()
        ],
        "it reads the gallery",
    ),
    **dict.fromkeys(
        [
            f"attendance {verb}"
            for verb in "punch correct mark-day lock unlock rules import".split()
        ],
        "it writes into the gallery",
    ),
    "attendance retention": "it removes from the gallery",
    "attendance unknown list": "it reads the gallery",
    "attendance unknown show": "it reads the gallery",
    "attendance unknown name": "it writes into the gallery",
    "attendance unknown discard": "it removes from the gallery",
    "dataset convert": "it copies files",
    "dataset bin inspect": "it decodes pictures",
    "pack list": "it reads manifests",
    "pack remove": "it deletes files",
    "pack info": "it reads a manifest, and hashes",
    "pack verify": "it reads files, and hashes",
    "pack build": "the models are what it is given, and run once to be checked",
    "pack import": "the models are what it is given, and run once to be checked",
    "pack liveness": "the models are what it is given, and run once to be checked",
    "pack insightface": "the insightface package runs them",
    "pack pull": "it copies files",
    "pack push": "it copies files",
}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def each_verb(*, without: object = ()) -> pytest.MarkDecorator:
    kept = [pytest.param(verb, id=verb.name) for verb in verbs() if verb.name not in without]
    return pytest.mark.parametrize("verb", kept)


@each_verb()
def test_a_verb_reads_calls_and_shows(verb: Verb):
    assert body_lines(verb.function) <= BODY


@each_verb()
def test_a_verb_has_few_options_of_its_own(verb: Verb):
    own = {
        parameter: option
        for parameter, option in verb.options().items()
        if option not in SHARED and parameter not in shared_by_several()
    }
    assert len(own) <= OPTIONS, own


@each_verb()
def test_every_verb_answers_in_json(verb: Verb):
    assert "--json" in verb.options().values()


@each_verb(without=NO_MODEL)
def test_a_verb_that_runs_models_says_which_and_where(verb: Verb):
    options = set(verb.options().values())
    assert options >= MODELS
    assert "--pack" in options or verb.arguments() & {"pack", "packs", "first"}


FIND_FACES = (
    "detect", "verify", "embed", "identify", "enroll", "people cluster", "people name-group"
)  # fmt: skip


@pytest.mark.parametrize("name", FIND_FACES)
def test_a_verb_that_finds_faces_in_photos_can_look_in_tiles(name: str):
    (verb,) = [verb for verb in verbs() if verb.name == name]
    assert "--tiled" in verb.options().values()


def test_the_verbs_that_run_no_model_exist():
    assert set(NO_MODEL) <= {verb.name for verb in verbs()}


@pytest.mark.parametrize(
    ("sentence", "takers"),
    [
        (r"Every verb takes ([^.]*)\.", list(verbs())),
        (
            r"[Vv]erbs that run models take ([^.]*)\.",
            [verb for verb in verbs() if verb.name not in NO_MODEL],
        ),
    ],
)
def test_what_the_readme_says_of_every_verb_is_true(sentence, takers):
    promise = re.search(sentence, README.replace("\n", " "))
    assert promise, f"the README has no sentence like {sentence!r}"
    options = set(re.findall(r"`(--[a-z-]+)`", promise[1]))
    assert options
    missing = {verb.name: options - set(verb.options().values()) for verb in takers}
    assert {name: without for name, without in missing.items() if without} == {}
