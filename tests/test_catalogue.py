"""Models that can be pulled, as `pack list` and `pack info` show them; packs and models removed."""

import io
import json

import pytest

from visavis.errors import PackError
from visavis.hub.catalogue import CATALOGUE
from visavis.pack import packs_folder, removable, remove_pack

OPEN = ("MIT", "Apache-2.0")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name in ("mine", "sources/sface"):
        (packs_folder() / name).mkdir(parents=True)
    (packs_folder() / "mine" / "pack.json").write_text("{}")
    return packs_folder()


@pytest.mark.parametrize("name", CATALOGUE)
def test_commercial_use_is_what_the_owners_say_of_the_weights(name):
    """An open licence without a reservation is a yes; all others here are none."""
    model = CATALOGUE[name]
    assert (model.commercial == "yes") is (model.licence in OPEN)


@pytest.mark.pack
def test_a_list_names_what_can_be_pulled(tmp_path, monkeypatch, run):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (packs_folder() / "sources" / "yunet").mkdir(parents=True)
    code, out, err = run("pack", "list")
    assert (code, err) == (0, "")
    first, head, *lines = out.splitlines()
    assert first.startswith("default ")
    assert head == "to be had with visavis pack pull NAME:"
    assert [line.split()[0] for line in lines] == [*CATALOGUE]
    assert [line.split()[0] for line in lines if line.endswith(" · pulled")] == ["yunet"]
    models = json.loads(run("pack", "list", "--commercial", "--json")[1])["models"]
    assert [row["name"] for row in models] == ["yunet", "sface", "minifasnet"]


@pytest.mark.parametrize("name", ["sface", "buffalo_l"])
def test_info_knows_a_model_that_can_be_pulled(name, home, run):
    code, out, err = run("pack", "info", name)
    assert (code, err) == (0, "")
    for text in (CATALOGUE[name].licence, CATALOGUE[name].training_data, "commercial use"):
        assert text in out
    last = out.splitlines()[-1]
    pulled = str(home / "sources" / "sface") if name == "sface" else None
    assert last == (f"here            {pulled}" if pulled else f"visavis pack pull {name}")
    document = json.loads(run("pack", "info", name, "--json")[1])
    assert (document["name"], document["pulled"]) == (name, pulled)


@pytest.mark.parametrize("name", ["mine", "sface"])
def test_a_pack_and_a_pulled_model_are_removed_when_that_is_meant(name, home, monkeypatch, run):
    folder = removable(name)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run("pack", "remove", name)[0] == 1
    code, out, err = run("pack", "remove", name, "--json")
    assert (code, json.loads(out)["error"]["code"], "say --yes" in err) == (2, "usage", True)
    assert folder.is_dir()
    code, out, _ = run("pack", "remove", name, "--yes", "--json")
    assert (code, json.loads(out)) == (0, {"removed": str(folder)})
    assert not folder.exists()
    assert packs_folder().is_dir()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("default", "the default pack is part of the install"),
        ("mime", "no pack 'mime' is installed; there are: mine, sface: did you mean 'mine'"),
        ("sources", "no pack 'sources' is installed"),
        ("../packs/mine", "no pack '../packs/mine' is installed"),
        (".", r"no pack '\.' is installed"),
    ],
)
def test_what_is_no_pack_of_ours_is_not_removed(name, said, home, run):
    with pytest.raises(PackError, match=said):
        remove_pack(name)
    assert run("pack", "remove", name, "--yes")[0] == 2
    assert sorted(path.name for path in home.iterdir()) == ["mine", "sources"]


def test_a_link_is_removed_and_what_it_leads_to_stays(home, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "pack.json").write_text("{}")
    (home / "linked").symlink_to(tmp_path / "elsewhere")
    remove_pack("linked")
    assert not (home / "linked").is_symlink()
    assert (tmp_path / "elsewhere" / "pack.json").is_file()
