"""Groups of people by REST and on the command line: listed, shown, changed, searched among."""

import json

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from documented import faults
from made import ANNA, BERT
from served import Served, png

from visavis.gallery.groups import add_to_group, group_members, group_sizes
from visavis.serve.rest.groups import MOST_REGROUPED

GROUP = "night/shift é"


@pytest.fixture
def two(site) -> dict[str, str]:
    """Anna and Bert, by name; Anna is in a group."""
    ids = {}
    for name, level in (("Anna", ANNA), ("Bert", BERT)):
        answer = site.post("/v1/people", ("images", png(level)), name=name)
        ids[name] = answer.json()["person"]["id"]
    add_to_group(site.gallery, GROUP, [ids["Anna"]])
    yield ids
    site.gallery.delete(*(one.id for one in site.gallery.people()))


def send(site: Served, verb: str, people: list[str], group: str = GROUP, scope="operator"):
    document = {"group": group, "people": people}
    return site.http.post(f"/v1/groups:{verb}", json=document, headers=site.headers(scope))


def shown(site: Served, path: str, **query):
    return site.http.get(f"/v1/groups{path}", params=query, headers=site.headers("viewer"))


def test_groups_are_listed_shown_and_changed(site, two):
    assert shown(site, "").json() == {"groups": [{"name": GROUP, "people": 1}]}
    added = send(site, "add", [two["Anna"], two["Bert"]]).json()
    assert faults(added, "grouped") == []
    assert [one["name"] for one in added["added"]] == ["Bert"]
    page = shown(site, f"/{GROUP}", limit=1).json()
    assert [one["name"] for one in page["people"]] == ["Anna"]
    page = shown(site, f"/{GROUP}", limit=1, cursor=page["next"]).json()
    assert ([one["name"] for one in page["people"]], page["next"]) == (["Bert"], None)
    removed = send(site, "remove", list(two.values())).json()
    assert faults(removed, "ungrouped") == []
    assert sorted(one["name"] for one in removed["removed"]) == ["Anna", "Bert"]
    assert group_sizes(site.gallery) == {}
    assert shown(site, f"/{GROUP}").status_code == 404
    assert site.gallery.audit_broken_at() is None


@pytest.mark.parametrize(
    ("verb", "people", "group", "scope", "status"),
    [
        ("add", ["nobody"], GROUP, "operator", 422),
        ("add", [], GROUP, "operator", 422),
        ("add", ["{Bert}"] * (MOST_REGROUPED + 1), GROUP, "operator", 422),
        ("add", ["{Bert}"], "a,b", "operator", 422),
        ("add", ["{Bert}"], "\u2028", "operator", 422),
        ("add", ["{Bert}", "nobody"], GROUP, "operator", 422),
        ("add", ["{Bert}"], GROUP, "viewer", 403),
        ("remove", ["{Bert}"], "no group", "operator", 422),
        ("remove", ["{Anna}"], GROUP, "viewer", 403),
    ],
)
def test_what_cannot_be_changes_nothing(site, two, verb, people, group, scope, status):
    ids = [one.format(**two) for one in people]
    assert send(site, verb, ids, group, scope).status_code == status
    assert [one.name for one in group_members(site.gallery, GROUP)] == ["Anna"]


@pytest.mark.slow
def test_two_entries_are_merged_and_the_merge_is_taken_back(site, two):
    def ask(verb: str, **sent):
        path = f"/v1/people/{two['Anna']}:{verb}"
        return site.http.post(path, headers=site.headers("operator"), **sent)

    merged = ask("merge", json={"other": two["Bert"]}).json()
    assert faults(merged, "merged") == []
    assert (merged["merged"]["name"], merged["into"]["samples"]) == ("Bert", 2)
    again = ask("unmerge").json()
    assert faults(again, "unmerged") == []
    assert (again["unmerged"]["name"], again["from"]["samples"]) == ("Bert", 1)
    assert ask("unmerge").status_code == 422
    assert ask("merge", json={"other": two["Bert"]}).status_code == 404
    assert site.gallery.damages() == []


def test_a_search_may_be_among_a_group(site, two):
    def person(**asked: str) -> dict[str, str] | None:
        answer = site.post("/v1/identify", ("images", png(BERT, seed=2)), **asked)
        return answer.json()["images"][0]["faces"][0]["person"]

    assert person()["name"] == "Bert"
    assert person(among=GROUP) is None
    answer = site.post("/v1/identify", ("images", png(BERT)), among="no group")
    assert answer.status_code == 422


def test_the_command_line_lists_and_shows_them(run, gallery):
    ids = [gallery.add_person(name).id for name in ("Carl", "Ann")]
    add_to_group(gallery, "day", ids)
    folder = ("--gallery", gallery.database.path.parent)
    code, out, _ = run("people", "group", "list", *folder, "--json")
    assert (code, json.loads(out)) == (0, {"groups": [{"name": "day", "people": 2}]})
    code, out, _ = run("people", "group", "show", "day", *folder, "--json")
    assert [one["name"] for one in json.loads(out)["people"]] == ["Ann", "Carl"]
    assert run("people", "group", "list", *folder)[1] == "day  2 people\n"
    assert run("people", "group", "show", "night", *folder)[0] == 2
