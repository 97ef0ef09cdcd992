"""A member that does not answer: the others decide by their own calibration, a review at most."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_photos import face_of
from sqlalchemy import StaticPool, create_engine
from test_choice import made as made_pack

from visavis.cautions import POOR
from visavis.configuration import (
    Configuration,
    Configured,
    ConfiguredPack,
    calibration_name,
    load_members,
)
from visavis.document import to_bytes
from visavis.embedder import Ensemble, Member
from visavis.errors import ConfigurationError
from visavis.gallery import Sample
from visavis.gallery.index import ExactIndex
from visavis.pack import load_pack
from visavis.pack.calibration import keep_calibration, load_calibration
from visavis.quality import Quality
from visavis.recognizer import Recognizer
from visavis.types import Part

RANK = {"no_match": 0, "review": 1, "match": 2}
GOOD = Quality(0.9, 100.0, 90.0, 120.0, 0.0, 0.0, 0.0, 1.0, reasons=())


class Channel:
    """An embedder of one colour: how bright each half of a crop is."""

    def __init__(self, model, channel):
        self.model, self.channel, self.dim = model, channel, 2
        self.parts, self.margin = (Part(model, 2),), 0.0

    def __call__(self, crops):
        halves = np.stack([crops[:, :56, :, self.channel], crops[:, 56:, :, self.channel]], 1)
        rows = (halves.mean(axis=(2, 3)) + 0.01).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


MODELS = ("red@1", "green@2", "blue@3")
EMBEDDERS = [Channel(model, channel) for channel, model in enumerate(MODELS)]
PACKS = tuple(
    ConfiguredPack(model[:-2], weight)
    for model, weight in zip(MODELS, (0.25, 0.5, 0.25), strict=True)
)
# Slopes 10, 10, 20: of what is weighed 2.5, 5 and 5.
WHOLE = Ensemble(
    tuple(
        Member(embed, member.weight, slope)
        for embed, member, slope in zip(EMBEDDERS, PACKS, (10, 10, 20), strict=True)
    )
)


def recognizer(calibration, *, least=1, quality=None, faces=1):
    """Three colours that answer together; `quality`: the least that green asks of a face."""
    members = (PACKS[0], replace(PACKS[1], least_quality=quality or {}), PACKS[2])
    configuration = Configuration(members, least_members=least, version=5)
    own = {model: replace(calibration, model=model) for model in MODELS}
    configured = Configured(configuration, dict(zip(MODELS, members, strict=True)), own)
    found = [face_of(40, 30, 100, 100)] * faces
    known = replace(calibration, model=WHOLE.model)
    return Recognizer(lambda image: found, WHOLE, known, configured=configured)


def unit(angle):
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def enrolled(gallery, name, angles):
    person = gallery.add_person(name)
    rows = {model: unit(angle) for model, angle in zip(MODELS, angles, strict=True)}
    gallery.add_sample(person.id, Sample("a.jpg", name, {}, rows))


def joined(angles, parts=WHOLE.parts):
    """A probe (1, D): of each member's own photo, turned by so much."""
    turned = dict(zip(MODELS, angles, strict=True))
    return np.concatenate([part.scale * unit(turned[part.model]) for part in parts])[None]


def test_the_rest_decides_by_its_own_calibration_and_never_for_sure(gallery, calibration):
    enrolled(gallery, "Ann", (0.1, 0.7, 1.2))
    whole = recognizer(calibration)
    rest = whole.without(frozenset({"green@2"}))
    assert rest.embed.model == WHOLE.without("green@2").model
    near = whole.nearest(joined((0.1, 0.7, 1.2)), gallery, false_positive_rate=None)[0]
    assert (near.decision.outcome, near.decision.left_out) == ("match", ())
    probe = joined((0.1, 0.7, 1.2), rest.embed.parts)
    (near,) = rest.nearest(probe, gallery, false_positive_rate=None)
    assert near.decision.policy.match.threshold == 2.0  # nobody measured these two together
    own = replace(calibration, model=rest.embed.model)
    gallery.keep(calibration_name(own.model), to_bytes(own))
    (near,) = rest.nearest(probe, gallery, false_positive_rate=None)
    assert near.decision.similarity == pytest.approx(1, abs=1e-5)
    assert near.decision.policy.match.threshold == 0.3
    assert near.decision.left_out == ("green",)
    assert (near.decision.outcome, near.person, near.decision.configuration) == ("review", None, 5)


def test_a_lone_member_has_its_packs_calibration(calibration):
    last = recognizer(calibration).without(frozenset({"green@2"})).without(frozenset({"blue@3"}))
    assert (last.embed.model, last.calibration.model) == ("red@1", "red@1")
    assert last.calibration.points
    assert last.configured.left_out == ("green", "blue")


def test_too_few_members_are_an_error(calibration):
    left = recognizer(calibration, least=2).without(frozenset({"red@1"}))
    with pytest.raises(ConfigurationError, match="expected 2 members to answer, and for this"):
        left.without(frozenset({"blue@3"}))


ANGLES = st.tuples(*[st.floats(0, 1.57)] * 3)


EMPTY = create_engine("sqlite://", poolclass=StaticPool)


class Known:
    """A gallery in memory, of a photo a person; it has kept one calibration."""

    where = "made"

    def __init__(self, people, calibration):
        self.people, self.calibration = people, calibration
        self.database = SimpleNamespace(reading=EMPTY.connect)

    def index(self, parts, among=None):
        ids = [str(number) for number in range(len(self.people))]
        rows = np.concatenate([joined(angles, parts) for angles in self.people])
        return ExactIndex(ids, ids, rows)

    def people_of(self, ids):
        return {one: SimpleNamespace(id=one, name=one) for one in ids}

    def kept(self, name):
        mine = name == calibration_name(self.calibration.model)
        return to_bytes(self.calibration) if mine else None


@given(
    people=st.lists(ANGLES, min_size=1, max_size=3),
    probe=ANGLES,
    missing=st.sets(st.sampled_from(MODELS), min_size=1, max_size=2),
)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_probe_is_accepted_that_all_members_would_not_accept(
    calibration, people, probe, missing
):
    whole = recognizer(calibration)
    rest = whole.without(frozenset(missing))
    gallery = Known(people, replace(calibration, model=rest.embed.model))
    row = joined(probe, rest.embed.parts)
    (near,) = rest.nearest(row, gallery, false_positive_rate=None)
    (full,) = whole.nearest(joined(probe), gallery, false_positive_rate=None)
    assert (near.decision.outcome != "match", near.person) == (True, None)
    assert full or not near
    assert RANK[near.decision.outcome] <= max(RANK[full.decision.outcome], RANK["review"])


def test_without_the_cap_the_rest_alone_would_say_match(calibration, monkeypatch):
    """Sabotage: nobody looks at who is left out. Red and green agree; blue would object."""
    whole = recognizer(calibration)
    rest = whole.without(frozenset({"blue@3"}))
    gallery = Known([(0.1, 0.7, 0.0)], replace(calibration, model=rest.embed.model))
    row = joined((0.1, 0.7, np.pi), rest.embed.parts)
    assert not whole.nearest(joined((0.1, 0.7, np.pi)), gallery, false_positive_rate=0.5)[0]
    monkeypatch.setattr(Configured, "decided", lambda self, decision: decision)
    (near,) = rest.nearest(row, gallery, false_positive_rate=None)
    assert near.decision.outcome == "match"


@pytest.mark.parametrize(
    ("least_quality", "answers"),
    [
        ({}, True),
        ({"size": 100.0}, True),
        ({"size": 100.5}, False),
        ({"size": 50.0, "sharpness": 91.0}, False),
        ({"score": 0.9, "inside": 1.0}, True),
    ],
)
def test_a_member_asks_a_least_quality(least_quality, answers):
    assert ConfiguredPack("a", 1.0, least_quality=least_quality).answers_for(GOOD) is answers


GREY = np.full((200, 300, 3), 128, np.uint8)  # its face: 100 pixels wide, sharpness 0


@pytest.mark.parametrize(
    ("quality", "least", "outcome", "left_out"),
    [
        ({"size": 90.0}, 1, "match", ()),
        ({"size": 110.0}, 1, "review", ("green",)),
        ({"size": 110.0}, 3, "no_match", ()),
    ],
)
def test_a_face_is_judged_by_the_members_it_is_good_enough_for(
    gallery, calibration, quality, least, outcome, left_out
):
    whole = recognizer(calibration, quality=quality, least=least, faces=2)
    enrolled(gallery, "Grey", [np.pi / 4] * 3)
    own = replace(calibration, model=WHOLE.without("green@2").model)
    gallery.keep(calibration_name(own.model), to_bytes(own))
    for face in whole.identify(GREY, gallery):
        assert (face.decision.outcome, face.decision.left_out) == (outcome, left_out)
        assert face.decision.configuration == 5
        assert (POOR in face.warnings) is (least == 3)
        assert ("without green the answer is a review at most" in face.warnings) is bool(left_out)


@pytest.mark.parametrize(
    ("length", "outcome"), [(22.0, "match"), (21.9, "review"), (np.nan, "review")]
)
def test_a_member_may_ask_for_the_length_of_its_own_embedding(calibration, length, outcome):
    whole = recognizer(calibration, quality={"length": 22.0})
    measured = {"green@2": lambda crops: np.full(len(crops), length)}
    asked = replace(whole, configured=replace(whole.configured, lengths=measured))
    assert asked.verify(GREY, GREY).decision.outcome == outcome


def test_two_photos_are_compared_by_the_members_both_are_good_enough_for(calibration):
    compared = recognizer(calibration, quality={"size": 110.0}).verify(GREY, GREY)
    assert compared.model == WHOLE.without("green@2").model
    assert (compared.decision.outcome, compared.decision.left_out) == ("review", ("green",))
    with pytest.raises(ConfigurationError, match="2 can: it is not good enough for green"):
        recognizer(calibration, quality={"size": 110.0}, least=3).verify(GREY, GREY)


def test_the_runner_up_must_be_so_much_less_alike(gallery, calibration):
    enrolled(gallery, "Ann", (0.1, 0.7, 1.2))
    enrolled(gallery, "Bob", (1.5, 0.1, 0.1))  # at 0.5 or so: no twin
    whole = recognizer(calibration)
    for least, outcome in ((0.3, "match"), (0.9, "review")):
        rules = replace(whole.configured.configuration, least_margin=least)
        strict = replace(whole, configured=replace(whole.configured, configuration=rules))
        (near,) = strict.nearest(joined((0.1, 0.7, 1.2)), gallery, false_positive_rate=None)
        assert near.decision.outcome == outcome


@pytest.fixture(scope="module")
def twin(pack, tmp_path_factory):
    return made_pack(pack, tmp_path_factory.mktemp("packs") / "twin", slope=30.0)


def of(twin, **changes):
    return Configuration(
        (ConfiguredPack("default", 0.4), ConfiguredPack(str(twin), 0.6, **changes)), version=2
    )


def truncated(folder):
    weights = max(folder.glob("*.onnx"), key=lambda path: path.stat().st_size)
    data = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(data[:1000])


def no_calibration(folder):
    next(folder.glob("calib*.json")).unlink()


def tells_nobody_apart(folder):
    pack = load_pack(folder)
    keep_calibration(pack, replace(load_calibration(pack), slope=0.0))


@pytest.mark.slow
@pytest.mark.parametrize("harm", [shutil.rmtree, truncated, no_calibration, tells_nobody_apart])
def test_a_pack_that_is_missing_or_broken_leaves_the_others(
    harm, pack, tmp_path, portraits, caplog
):
    folder = made_pack(pack, tmp_path / "twin", slope=30.0)
    configuration = of(folder)
    harm(folder)
    left = Recognizer.of(configuration)
    assert left.configured.left_out == (str(folder),)
    assert left.embed.model == pack.manifest.embedder.model
    assert str(folder) in caplog.text
    compared = left.verify(portraits / "obama.jpg", portraits / "obama2.jpg")
    assert (compared.decision.outcome, compared.decision.configuration) == ("review", 2)
    with pytest.raises(ConfigurationError, match="expected 2 members to answer, and 1 can"):
        Recognizer.of(replace(configuration, least_members=2))


@pytest.mark.slow
def test_a_disabled_member_is_left_out(twin, pack):
    members = load_members(of(twin, enabled=False))
    assert members.configured.left_out == (str(twin),)
    assert members.embed.model == pack.manifest.embedder.model


@pytest.mark.slow
def test_all_members_answer_as_the_packs_named_together(twin):
    members = load_members(of(twin))
    assert members.configured.left_out == ()
    together = Recognizer.load(f"default:0.4+{twin}:0.6")
    assert members.embed.model == together.embed.model
    assert members.models.model == of(twin).models().model
