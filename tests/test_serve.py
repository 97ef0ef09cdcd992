"""The service as a client sees it: answers, errors, keys, and what is refused."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from conftest import FakeEmbedder
from documented import faults
from made import ANNA, BERT, CARL, NONE, TWO
from made_photos import encoded
from malformed import PICTURES
from served import Served, png

from visavis import errors
from visavis.errors import GalleryError, ModelError, VisavisError
from visavis.gallery import open_gallery
from visavis.gallery.following import Changes, changes_of
from visavis.gallery.paging import audit_page
from visavis.gallery.sqlite import FULL
from visavis.serve.active import Deciding
from visavis.serve.refusals import REFUSED, STATUSES, envelope, status_of


@pytest.fixture
def anna(site):
    """Anna, enrolled for the test."""
    person = site.post("/v1/people", ("images", png(ANNA)), name="Anna").json()["person"]
    yield person
    site.http.delete(f"/v1/people/{person['id']}", headers=site.headers())


def wrong(document, kind: str) -> list[str]:
    """Where a document is not as docs/json.md says."""
    return faults(document, kind)


def test_two_photos_are_compared_and_the_answer_is_that_of_the_command_line(site):
    files = {"a": ("a.png", png(ANNA)), "b": ("b.png", png(ANNA, seed=1))}
    answer = site.http.post("/v1/verify", files=files)
    assert answer.status_code == 200
    document = answer.json()
    assert (document["outcome"], document["threshold"]) == ("match", 0.5)
    assert [face["photo"] for face in document["faces"]] == ["a.png", "b.png"]
    assert wrong(document, "verification") == []


@pytest.mark.parametrize(
    ("levels", "policy", "outcome"),
    # Anna and Bert are at a right angle; 95 is 35 levels from Anna: cos(63 degrees) is 0.45.
    [((ANNA, ANNA), "standard", "match"), ((ANNA, BERT), "standard", "no_match"),
     ((ANNA, 95), "standard", "review"), ((ANNA, 95), "convenience", "match"),
     ((ANNA, 95), "1e-3", "match")],
)  # fmt: skip
def test_a_policy_decides(site, levels, policy, outcome):
    photos = [(field, png(level)) for field, level in zip("ab", levels, strict=True)]
    assert site.post("/v1/verify", *photos, policy=policy).json()["outcome"] == outcome


def test_faces_are_found_and_documented(site):
    photos = [("images", png(shows=TWO)), ("images", b"GIF89a" + bytes(20)), ("images", png())]
    document = site.post("/v1/detect", *photos).json()
    assert [len(image["faces"]) for image in document["images"]] == [2, 1]
    assert [wrong(image, "detected_image") for image in document["images"]] == [[], []]
    (error,) = document["errors"]
    assert (error["path"], error["code"]) == ("1.png", "unsupported")


FIELDS = [  # path, photos, fields, status, code
    ("/v1/verify", "ab", {}, 200, None),
    ("/v1/verify", "a", {}, 422, "invalid"),
    ("/v1/verify", "abc", {}, 400, "bad_request"),
    ("/v1/verify", "ab", {"policy": ["strict", "strict"]}, 422, "invalid"),
    ("/v1/verify", "ab", {"policy": "lax"}, 422, "calibration"),
    ("/v1/verify", "ab", {"policy": "1e-9"}, 422, "calibration"),
    ("/v1/verify", "ab", {"policy": "nan"}, 422, "calibration"),
    ("/v1/verify", "ab", {"face_a": "0"}, 422, "invalid"),
    ("/v1/verify", "ab", {"face_a": "2"}, 422, "no_face"),
    ("/v1/verify", "ab", {"face_a": "one"}, 422, "invalid"),
    ("/v1/verify", "ab", {"anything": "1"}, 422, "invalid"),
    ("/v1/identify", ["images"], {"false_positive_rate": "nan"}, 422, "invalid"),
    ("/v1/identify", ["images"], {"false_positive_rate": "1"}, 422, "invalid"),
    ("/v1/identify", [], {}, 415, "unsupported"),
    ("/v1/detect", ["images"] * 9, {}, 400, "bad_request"),
    ("/v1/people", ["images"], {"name": ""}, 422, "invalid"),
    ("/v1/people", ["images"], {"name": "a\0b"}, 422, "person"),
    ("/v1/people", ["images"], {"name": "x" * 201}, 422, "invalid"),
    ("/v1/people", ["images"], {"name": "Ann", "anyway": "perhaps"}, 422, "invalid"),
    ("/v1/embed", ["image"], {}, 403, "forbidden"),
]


@pytest.mark.parametrize(("path", "photos", "fields", "status", "code"), FIELDS)
def test_a_field_that_is_wrong_is_named(site, path, photos, fields, status, code):
    answer = site.post(path, *((field, png()) for field in photos), **fields)
    assert answer.status_code == status
    if code:
        error = answer.json()["error"]
        assert (error["code"], error["request_id"]) == (code, answer.headers["x-request-id"])
        assert wrong({**error, "path": "", "error": ""}, "failure") == [
            ".request_id: not on the page"
        ]


@pytest.mark.parametrize(
    ("shows", "code"), [(NONE, "no_face"), (TWO, "ambiguous_face")], ids=["none", "two"]
)
def test_a_face_must_be_meant(site, shows, code):
    answer = site.post("/v1/verify", ("a", png(shows=shows)), ("b", png()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


# Of the rows of tests/malformed.py: what the service makes of each, where it is not 422.
READ = {
    "JPEG that says twice the height", "80 scans", "interlaced", "chunk after the end",
    "1 MB EXIF", "full EXIF", "JPEG with a broken profile", "PNG with a broken profile",
    "WEBP with a broken profile", "JPEG and zip", "HTML in a comment", "1x1", "1x10000", "10x10",
    "drawing", "noise", "black", "white",
}  # fmt: skip
TOO_LARGE = {"30000x30000", "40 MP"}  # the latter's file is over 15 MB
OTHER_FORMATS = {26, 27}  # numbers of rows
TAKEN_HERE = {"BMP of pieces of one pixel", "negative width"}  # of 8 and 30: no format that is


def expected(row) -> int:
    if row.name in READ:
        return 200
    if row.name in TOO_LARGE:
        return 413
    short = len(row.build()) < 12
    other = row.number in OTHER_FORMATS or row.name in TAKEN_HERE
    kinds = row.number == 3 and row.name.split()[0] not in ("JPEG", "PNG", "WEBP")
    return 415 if (other or kinds) and not short else 422


QUICK = {
    "empty",
    "cut at 0.7",
    "PDF",
    "HEIC",
    "GIFAR",
    "30000x30000",
    "JPEG and zip",
    "negative width",
}
MALFORMED = [
    pytest.param(row, id=str(row), marks=() if row.name in QUICK else pytest.mark.slow)
    for row in PICTURES
]


@pytest.mark.parametrize("row", MALFORMED)
def test_an_odd_upload_has_its_status_and_the_service_goes_on(site, row):
    answer = site.post("/v1/detect", ("images", row.build()))
    assert answer.status_code == expected(row), answer.text
    if answer.status_code != 200:
        assert set(answer.json()["error"]) == {"code", "message", "mend", "request_id"}
    assert site.post("/v1/detect", ("images", png())).status_code == 200


@pytest.mark.slow
def test_a_photo_of_forty_megapixels_is_looked_at(site):
    noise = np.random.default_rng(0).integers(0, 256, (500, 800, 3)).astype(np.uint8)
    data = encoded(np.kron(noise, np.ones((10, 10, 1), np.uint8)), "JPEG", quality=80)
    assert 1_000_000 < len(data) < 15_000_000
    answer = site.post("/v1/detect", ("images", data))
    assert answer.json()["images"][0]["width"] == 8000


def test_every_row_that_is_read_is_one():
    assert READ | TOO_LARGE | TAKEN_HERE <= {row.name for row in PICTURES}


def test_every_error_of_the_library_has_a_status():
    classes = [one for one in vars(errors).values() if isinstance(one, type)]
    codes = {one.code for one in classes if issubclass(one, VisavisError)}
    assert set(STATUSES) == codes
    assert not set(STATUSES) & set(REFUSED)


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (GalleryError("/data/g.db: damaged"), 503, False),
        (GalleryError(f"/data/g.db: {FULL}"), 507, False),
        (ModelError("/models/x.onnx: answers NaN"), 503, False),
        (errors.NoFaceError("a.jpg: no face found"), 422, True),
    ],
)
def test_what_is_the_services_own_fault_shows_no_path(error, status, shown):
    assert status_of(error) == status
    assert (error.what in json.dumps(envelope(error, "1"))) == shown


def test_somebody_is_enrolled_found_and_erased_with_proof(site):
    photos = [("images", png(CARL)), ("images", png(CARL, seed=1))]
    made = site.post("/v1/people", *photos, name="Carl", external_id="E7", consent="2026-11")
    assert made.status_code == 201
    person = made.json()["person"]
    assert wrong(person, "person") == []
    assert (person["name"], person["external_id"], person["samples"]) == ("Carl", "E7", 2)
    shown = site.http.get(f"/v1/people/{person['id']}", headers=site.headers()).json()
    assert wrong(shown, "person_shown") == []
    faces = site.post("/v1/identify", ("images", png(CARL, seed=2))).json()["images"][0]["faces"]
    assert [(one["outcome"], one["person"]["name"]) for one in faces] == [("match", "Carl")]
    assert [wrong(one, "identification") for one in faces] == [[]]
    proof = site.http.delete(f"/v1/people/{person['id']}", headers=site.headers()).json()
    assert (proof["photos"], proof["templates"], proof["left"]) == (2, 2, 0)
    assert proof["files_clean"] is True
    assert proof["entry"] == int(proof["head"].partition("-")[0])
    faces = site.post("/v1/identify", ("images", png(CARL, seed=2))).json()["images"][0]["faces"]
    assert [(one["outcome"], one["person"]) for one in faces] == [("no_match", None)]


def test_the_configurations_rules_hold_where_none_are_asked_for(site, anna, monkeypatch):
    recognizer = site.service.recognizer
    rules = replace(recognizer.rules, policy="convenience", false_positive_rate=1e-3)
    configured = replace(recognizer.configured, configuration=rules)
    ruled = replace(recognizer, configured=configured)
    known = Deciding(None, ruled, ruled)
    monkeypatch.setattr(site.service.models, "_known", known)

    def rates(**asked: str) -> tuple[float, float]:
        images = site.post("/v1/identify", ("images", png(ANNA)), **asked).json()["images"]
        photos = (("a", png(ANNA)), ("b", png(ANNA, seed=1)))
        return images[0]["faces"][0]["threshold"], site.post("/v1/verify", *photos).json()[
            "threshold"
        ]

    assert rates() == (0.4, 0.4)
    assert rates(false_positive_rate="1e-2") == (0.3, 0.4)


ENROLMENTS = [  # level, what it shows, whose name; status and reason
    (ANNA, {"seed": 3}, "Anna", 201, ""),
    (ANNA, {}, "Anna", 200, "here_already"),
    (ANNA, {"seed": 4}, "Bert", 409, "other_person"),
    (BERT, {"shows": NONE}, "Bert", 422, "no_face"),
    (BERT, {"shows": TWO}, "Bert", 422, "ambiguous"),
    (BERT, {"noise": 0}, "Bert", 422, "blurred"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("level", "shown", "name", "status", "reason"), ENROLMENTS)
def test_an_enrolment_says_what_became_of_the_photo(site, anna, level, shown, name, status, reason):
    answer = site.post("/v1/people", ("images", png(level, **shown)), name=name)
    assert answer.status_code == status
    (photo,) = answer.json()["photos"]
    assert photo["reason"] == reason
    assert wrong(photo, "enrolled_photo") == []
    assert ("error" in answer.json()) == (status > 400)


@pytest.mark.slow
def test_a_persons_name_consent_and_photos_are_changed(site, anna):
    path, headers = f"/v1/people/{anna['id']}", site.headers()
    more = site.post(f"{path}/samples", ("images", png(ANNA, seed=9)))
    assert (more.status_code, more.json()["person"]["samples"]) == (201, 2)
    changed = site.http.patch(path, json={"name": "Änne", "consent": "yes"}, headers=headers)
    assert (changed.json()["name"], changed.json()["consent"]) == ("Änne", "yes")
    sample = site.http.get(path, headers=headers).json()["samples"][0]["id"]
    removed = site.http.delete(f"{path}/samples/{sample}", headers=headers)
    assert (removed.status_code, removed.json()["person"]["samples"]) == (200, 1)
    assert site.http.delete(f"{path}/samples/{sample}", headers=headers).status_code == 404
    same = site.post(f"{path}/verify", ("image", png(ANNA, seed=5)))
    assert (same.status_code, same.json()["outcome"]) == (200, "match")


@pytest.mark.parametrize("path", ["", "/verify", "/samples", "/samples/1"])
def test_nobody_of_this_id_is_404(site, path):
    fields = {"": "", "/verify": "image", "/samples": "images", "/samples/1": ""}
    method = {"": "GET", "/samples/1": "DELETE"}.get(path, "POST")
    files = {fields[path]: png()} if fields[path] else None
    answer = site.http.request(
        method, f"/v1/people/{'0' * 32}{path}", files=files, headers=site.headers()
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.slow
def test_people_come_page_by_page_and_a_cursor_shows_no_name(site):
    names = ["Zoë", "anna", "Anna", "O'Brien %_", "Bob"]
    people = [site.gallery.add_person(name, external_id=f"id {name}") for name in names]
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = site.http.get("/v1/people", params=query, headers=site.headers()).json()
        assert [wrong(one, "person") for one in page["people"]] == [[]] * len(page["people"])
        seen += [one["name"] for one in page["people"]]
        cursor = page["next"]
        if cursor is None:
            break
        assert "nna" not in cursor
    assert seen == sorted(names)
    for text, meant in (("nn", ["Anna", "anna"]), ("%_", ["O'Brien %_"]), ("id bob", ["Bob"])):
        page = site.http.get("/v1/people", params={"q": text}, headers=site.headers()).json()
        assert [one["name"] for one in page["people"]] == meant
    bad = site.http.get("/v1/people", params={"cursor": "abc="}, headers=site.headers())
    assert (bad.status_code, bad.json()["error"]["code"]) == (422, "invalid")
    for person in people:
        site.gallery.delete(person.id)


HOSTILE = [
    "<script>alert(1)</script>", "{{7*7}}", "${jndi:ldap://x}", "'; DROP TABLE people; --",
    "../../etc/passwd", "CON", "=HYPERLINK(1)", "\u202egpj.exe", "a" * 200, "📷 Zoë", "%00%_",
]  # fmt: skip


@pytest.mark.parametrize(
    "name", [HOSTILE[0], *(pytest.param(one, marks=pytest.mark.slow) for one in HOSTILE[1:])]
)
def test_a_name_is_text_whatever_it_says(site, name, caplog):
    file = f"../../{name}.png"
    files = [("images", (file, png(ANNA)))]
    made = site.http.post("/v1/people", data={"name": name}, files=files, headers=site.headers())
    assert made.status_code == 201, made.text
    person = made.json()["person"]
    assert person["name"] == name
    shown = site.http.get(f"/v1/people/{person['id']}", headers=site.headers())
    assert shown.headers["content-type"] == "application/json"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert "/" not in shown.json()["samples"][0]["source"]
    found = site.http.get("/v1/people", params={"q": name}, headers=site.headers()).json()
    assert [one["id"] for one in found["people"]] == [person["id"]]
    assert name not in caplog.text
    site.http.delete(f"/v1/people/{person['id']}", headers=site.headers())


def once(site: Served, key: str, name: str = "Carl", level: float = CARL):
    files = [("images", ("a.png", png(level)))]
    headers = {**site.headers(), "Idempotency-Key": key}
    return site.http.post("/v1/people", data={"name": name}, files=files, headers=headers)


@pytest.mark.slow
def test_a_write_that_comes_again_is_answered_as_before(site):
    first = once(site, "1")
    person = first.json()["person"]["id"]
    again = once(site, "1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert once(site, "1", level=BERT).json()["error"]["code"] == "invalid"
    assert once(site, "2").status_code == 200  # the photo is here already
    entries = [one.action for one in site.gallery.audit_of(person)]
    assert entries.count("enroll") == 1
    site.http.delete(f"/v1/people/{person}", headers=site.headers())
    # What was kept for it went with the person: the request is a new one.
    third = once(site, "1")
    assert third.status_code == 201
    assert third.json()["person"]["id"] != person
    site.http.delete(f"/v1/people/{third.json()['person']['id']}", headers=site.headers())


@pytest.mark.slow
def test_the_same_write_at_once_is_done_once(site, monkeypatch):
    began, go = threading.Event(), threading.Event()
    known = site.service.once._known

    def slowly(identity, request):
        began.set()
        go.wait(5)
        return known(identity, request)

    monkeypatch.setattr(site.service.once, "_known", slowly)
    site.service.desk._pool._max_workers = 2
    answers = []
    first = threading.Thread(target=lambda: answers.append(once(site, "3")))
    first.start()
    assert began.wait(5)
    second = once(site, "3")
    go.set()
    first.join()
    assert (second.status_code, second.json()["error"]["code"]) == (409, "conflict")
    assert answers[0].status_code == 201
    person = answers[0].json()["person"]["id"]
    site.http.delete(f"/v1/people/{person}", headers=site.headers())


def test_what_another_process_did_is_known_at_the_next_request(site, anna, tmp_path):
    probe = ("images", png(ANNA, seed=7))
    assert site.post("/v1/identify", probe).json()["images"][0]["faces"][0]["person"]
    other = open_gallery(site.gallery.database.path.parent)
    other.delete(anna["id"])
    other.close()
    assert site.post("/v1/identify", probe).json()["images"][0]["faces"][0]["person"] is None


def test_what_the_service_notes_lets_nothing_be_read_again(site, anna):
    """A search is noted in the audit, which the index follows: it says no template changed."""
    before = site.gallery.audit_head().seq
    site.post("/v1/identify", ("images", png(ANNA, seed=7)))
    key, _ = site.service.keys.make("door", "viewer")
    site.service.keys.revoke(key.id)
    site.service.users.remove(site.service.users.add("Ada", "correct horse", "viewer").id)
    entries = audit_page(site.gallery, 100, after=before)
    actions = {one.action for one in entries}
    assert actions >= {"request", "make api key", "revoke api key", "add user", "remove user"}
    assert changes_of(entries) == Changes()


@pytest.mark.slow
def test_reads_are_in_the_audit_without_a_name(site, anna):
    reader = site.headers("viewer")
    site.http.get(f"/v1/people/{anna['id']}", headers=reader)
    last = site.gallery.audit_head().seq
    query = {"after": max(0, last - 20)}
    entries = site.http.get("/v1/audit", params=query, headers=site.headers()).json()
    last = [one for one in entries["entries"] if one["action"] == "request"][-2]
    (key,) = [one for one in site.service.keys.all() if one.id == last["details"]["by"]]
    assert (key.scope, last["details"]["route"]) == ("viewer", "/v1/people/{person}")
    assert last["details"]["of"] == anna["id"]
    assert "Anna" not in json.dumps(entries)
    assert site.http.get("/v1/audit/check", headers=site.headers()).json()["whole"] is True


@pytest.mark.slow
def test_health_and_packs_are_told(site):
    assert site.http.get("/v1/health").json()["status"] == "ok"
    assert site.http.get("/v1/ready").json() == {"status": "ready"}
    packs = site.http.get("/v1/packs").json()
    assert (packs["active"], packs["model"]) == ("default", FakeEmbedder.model)
    assert "1 in 10,000" in packs["policies"]["standard"]
