"""What others recommend or wrote, as configurations: presets, and the replaced service's rows."""

import json

import pytest

from visavis.configuration import Configuration
from visavis.document import to_bytes
from visavis.errors import ConfigurationError
from visavis.presets import preset_called, read_configurations

# A row as the replaced service keeps it.
ROW = {
    "version": 3,
    "name": "after the conversion",
    "description": "all three models",
    "is_active": True,
    "created_at": "2025-06-01T08:00:00Z",
    "updated_at": "2025-06-02T08:00:00Z",
    "mobilefacenet_weight": 0.30,
    "arcface_weight": 0.40,
    "adaface_weight": 0.30,
    "mobilefacenet_threshold": 0.50,
    "arcface_threshold": 0.25,
    "adaface_threshold": 0.40,
    "combined_high_threshold": 0.55,
    "combined_medium_threshold": 0.40,
    "combined_match_threshold": 0.35,
    "minimum_consensus": 2,
    "require_all_agree": False,
    "use_weighted_vote": True,
    "arcface_temperature_enabled": True,
    "arcface_temperature": 3.0,
    "arcface_temperature_shift": -0.15,
}
# The file that was shipped: AdaFace was not there.
SHIPPED = {**ROW, "version": 1, "is_active": False, "mobilefacenet_weight": 0.5}
SHIPPED |= {"arcface_weight": 0.5, "adaface_weight": 0, "require_all_agree": True}


@pytest.fixture
def file(tmp_path):
    def write(document):
        (tmp_path / "config.json").write_text(json.dumps(document))
        return tmp_path / "config.json"

    return write


def test_a_row_of_the_replaced_service_is_a_configuration(file):
    read = read_configurations(file(ROW))
    (made,) = read.configurations
    assert [(one.pack, one.weight) for one in made.members] == [
        ("mobilefacenet", 0.3),
        ("arcface", 0.4),
        ("adaface", 0.3),
    ]
    assert (made.least_members, made.description) == (2, "after the conversion: all three models")
    assert [note.split()[0] for note in read.notes] == ["thresholds", "a", "version"]


def test_rows_keep_their_order_and_the_active_one(file):
    read = read_configurations(file([SHIPPED, ROW]), {"arcface": "buffalo_l"})
    assert [len(one.members) for one in read.configurations] == [2, 3]
    assert [one.least_members for one in read.configurations] == [2, 2]
    assert read.configurations[1].members[1].pack == "buffalo_l"
    assert read.notes[-1] == "version 3 is active there: activate it here"


def test_our_own_form_is_read_too(file):
    made = Configuration.of_pack("a:0.3+b:0.7")
    shown = {"active": True, "models": [], "calibration": None}  # as `config show` prints it
    read = read_configurations(file(json.loads(to_bytes(made)) | shown))
    assert (read.configurations, read.notes) == ((made,), ())


def one_member(**fields):
    """Our own form, of a pack with these fields."""
    return {"members": [{"pack": "a", "weight": 1.0, **fields}]}


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ([{**ROW, "version": 1}, ROW], "expected one active version, got 1 and 3"),
        ([ROW, SHIPPED], "expected versions that rise, got [3, 1]"),
        ([ROW, {**ROW, "is_active": False}], "expected versions that rise, got [3, 3]"),
        ({**ROW, "version": "3"}, "expected versions that rise, got ['3']"),
        ({**ROW, "adaface_weight": 0.2}, "version 3: expected weights that sum to 1, got 0.9"),
        ({**ROW, "adaface_weight": "0.3"}, "version 3: adaface_weight: expected a number"),
        ({**ROW, "adaface_weight": None}, "version 3: adaface_weight: expected a number"),
        ({**ROW, "minimum_consensus": 0}, "version 3: expected least_members from 1 to 3"),
        (
            {**ROW, "minimum_consensus": "2"},
            "minimum_consensus: expected a whole",
        ),
        (
            {**ROW, "minimum_consensus": 2.5},
            "minimum_consensus: expected a whole",
        ),
        (
            {**ROW, "minimum_consensus": None},
            "minimum_consensus: expected a whole",
        ),
        (
            {**ROW, "minimum_consensus": float("inf")},
            "minimum_consensus: expected a whole",
        ),
        ({**ROW, "adaface_weight": 10**400}, "version 3: adaface_weight: expected a number"),
        ({**ROW, "adaface_weight": True}, "version 3: adaface_weight: expected a number"),
        ({**ROW, "adaface_weight": float("nan")}, "version 3: adaface_weight: expected a number"),
        ({**ROW, "adaface_weight": float("inf")}, "version 3: adaface_weight: expected a number"),
        ({**ROW, "require_all_agree": "false"}, "version 3: require_all_agree: expected true or"),
        ({**ROW, "is_active": "false"}, "version 3: is_active: expected true or false"),
        ({**ROW, "name": "\ud800"}, "version 3: description, author: expected text"),
        ({**ROW, "name": "x" * 3000}, "version 3: description, author: expected at most 2000"),
        (one_member(weight=1e300), "expected a pack with a weight above 0 and at most 1"),
        (one_member(weight=float("inf")), "members.0.weight: Input should be a finite number"),
        (one_member(least_quality={"score": float("nan")}), "should be a finite number"),
        (one_member(least_quality={"score": 10**400}), "Input should be a finite number"),
        ({**one_member(), "least_margin": float("nan")}, "least_margin: Input should be a finite"),
        ({**one_member(), "review_factor": 1e300}, "review_factor: expected from 1 to 1000"),
        ({**one_member(), "description": "\ud800"}, "the document: Invalid JSON"),
        ([], "expected a configuration, or a list of such"),
        ("text", "expected a configuration, or a list of such"),
        ({"members": []}, "expected 1 to 16 packs"),
        ({}, "members: Field required"),
    ],
)
def test_what_is_neither_is_refused(file, document, what):
    with pytest.raises(ConfigurationError) as refused:
        read_configurations(file(document))
    assert what in str(refused.value)


def test_a_pack_for_a_model_that_is_not_there_is_refused(file):
    with pytest.raises(ConfigurationError, match="no model archface; there are: mobilefacenet"):
        read_configurations(file(ROW), {"archface": "buffalo_l"})
    with pytest.raises(ConfigurationError, match="no model arcface; there are: none"):
        read_configurations(file(one_member()), {"arcface": "buffalo_l"})


def test_a_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / "no.json").write_text("{")
    for name, what in (("no.json", "cannot be read as JSON"), ("none.json", "cannot read")):
        with pytest.raises(ConfigurationError, match=what):
            read_configurations(tmp_path / name)


def test_the_preset_names_its_packs_and_their_terms():
    preset = preset_called("three-model")
    assert [one.weight for one in preset.configuration.members] == [0.3, 0.4, 0.3]
    assert preset.configuration.least_members == 2
    assert set(preset.missing) == set(preset.weights)
    assert {one.commercial for one in preset.missing.values()} == {"no"}
    with pytest.raises(ConfigurationError, match="no preset 'two'; there are: three-model"):
        preset_called("two")
