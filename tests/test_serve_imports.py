"""A zip of people, enrolled as a job: what becomes of each file, and of zips that mean no good."""

import gc
import io
import json
import time
import zipfile
from threading import Event

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from made import ANNA, BERT, CARL, NONE
from served import Served, png

from visavis.enrollment import Enrolled
from visavis.errors import DatasetError, ImageError
from visavis.serve.archives import ArchivedPhoto, PhotoArchive
from visavis.serve.jobs import JOB_FILES, JOBS, MOST_WAITING, JobPlan, Jobs
from visavis.serve.limits import SERVE_LIMITS, ServeLimits
from visavis.serve.once import ANSWERED
from visavis.serve.refusals import Refusal

ENDED = ("done", "failed", "interrupted")
KEPT = (JOB_FILES, ANSWERED)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def sent(site: Served, archive: bytes, **fields: str):
    files = {"archive": ("people.zip", archive)}
    headers = site.headers("operator")
    return site.http.post("/v1/people:import", files=files, data=fields, headers=headers)


def ended(site: Served, job: str) -> dict:
    """The job when it has ended, with its files."""
    end = time.monotonic() + 20
    while True:
        shown = site.http.get(f"/v1/jobs/{job}", headers=site.headers()).json()
        if shown["state"] in ENDED or time.monotonic() > end:
            return shown
        time.sleep(0.02)


PEOPLE = {
    "people/Anna/1.png": png(ANNA),
    "people/Anna/2.png": png(ANNA, seed=1),
    "people/Carl/1.png": png(CARL),
    "people/Carl/none.png": png(CARL, shows=NONE),
    "people/Carl/notes.txt": b"not a photo at all",
    "__MACOSX/people/Anna/._1.png": b"x",
}


@pytest.mark.slow
def test_a_zip_of_people_is_enrolled_with_a_report_of_each_file(site):
    begun = sent(site, zipped(PEOPLE))
    assert begun.status_code == 202, begun.text
    shown = ended(site, begun.json()["id"])
    assert (shown["state"], shown["total"], shown["accepted"]) == ("done", 5, 3)
    report = {(one["name"], one["photo"]): one["reason"] for one in shown["files"]}
    assert report == {
        ("Anna", "1.png"): "",
        ("Anna", "2.png"): "",
        ("Carl", "1.png"): "",
        ("Carl", "none.png"): "no_face",
        ("Carl", "notes.txt"): "unreadable",
    }
    again = ended(site, sent(site, zipped(PEOPLE)).json()["id"])
    assert (again["accepted"], again["refused"]) == (0, 5)
    assert {one["reason"] for one in again["files"]} == {"here_already", "no_face", "unreadable"}
    page = site.http.get(f"/v1/jobs/{again['id']}", params={"limit": 2, "after": 1},
                         headers=site.headers()).json()  # fmt: skip
    assert ([one["number"] for one in page["files"]], page["next"]) == ([2, 3], 3)
    jobs = site.http.get("/v1/jobs", headers=site.headers()).json()["jobs"]
    assert [one["state"] for one in jobs[:2]] == ["done", "done"]
    (anna,) = site.gallery.people("Anna")
    site.http.delete(f"/v1/people/{anna.id}", headers=site.headers())
    left = ended(site, shown["id"])["files"]
    assert {one["name"] for one in left} == {"Carl"}
    (carl,) = site.gallery.people("Carl")
    site.gallery.delete(carl.id)
    with site.gallery.database.reading() as connection:
        rows = connection.execute(JOB_FILES.select()).all()
    assert [row.person_id for row in rows] == []


@pytest.mark.slow
def test_an_erasure_leaves_no_name_in_any_file(site):
    """Neither in what was kept for an Idempotency-Key, nor in the report of an import."""
    name, folder = "Xyzzy Plugh", site.gallery.database.path.parent
    job = ended(site, sent(site, zipped({f"{name}/1.png": png(BERT)})).json()["id"])
    headers = {**site.headers(), "Idempotency-Key": "xyzzy"}
    files = {"images": (f"{name}.png", png(BERT, seed=3))}
    made = site.http.post("/v1/people", data={"name": name}, files=files, headers=headers)
    assert (job["accepted"], made.status_code) == (1, 201)
    person = made.json()["person"]["id"]
    assert any(name.encode() in path.read_bytes() for path in folder.iterdir())
    with site.gallery.database.reading() as connection:
        sealed = [connection.execute(table.select()).all()[-1].sealed for table in KEPT]
    proof = site.http.delete(f"/v1/people/{person}", headers=site.headers()).json()
    assert (proof["left"], proof["files_clean"]) == (0, True)
    for path in folder.iterdir():
        data = path.read_bytes()
        assert not [part for part in (b"Xyzzy", *(one[:16] for one in sealed)) if part in data]


def test_a_roster_says_whose_photos_they_are(site):
    roster = (
        "name;photo;external_id;consent;groups\n"
        "Zoë;a.png;E9;form 3;night shift\nZoë;more;E9;form 3;night shift, guards\n"
    )
    files = {
        "x/roster.csv": roster.encode(),
        "x/a.png": png(BERT),
        "x/more/b.png": png(BERT, seed=1),
    }
    shown = ended(site, sent(site, zipped(files)).json()["id"])
    assert (shown["state"], shown["accepted"]) == ("done", 2)
    (zoe,) = site.gallery.people("Zoë")
    assert (zoe.external_id, zoe.consent, zoe.samples) == ("E9", "form 3", 2)
    assert zoe.groups == ("guards", "night shift")
    site.gallery.delete(zoe.id)


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Ann/1.png", bytes(30_000_000))
    return buffer.getvalue()


REFUSED = [
    (b"", 422, "cannot be read"),
    (b"PK\3\4" + bytes(100), 422, "cannot be read"),
    (png(), 422, "cannot be read"),
    (zipped({}), 422, "no files here"),
    (zipped({".hidden/a.png": b""}), 422, "no files here"),
    (bomb(), 422, "times its size"),
    (zipped({"train/Ann/1.png": b"1", "train/Bob/1.png": b"2", "test/Ann/2.png": b"3"}), 422,
     "the zip: is test/Ann/2.png a photo of"),
    (zipped({"roster.csv": b"name,photo\nAnn,none.png\n"}), 422, "roster.csv, line 2"),
    (zipped({"roster.csv": b"who\n"}), 422, "no column name, photo"),
]  # fmt: skip


@pytest.mark.parametrize(("archive", "status", "said"), REFUSED)
def test_a_zip_that_is_none_is_refused_before_a_job_begins(site, archive, status, said):
    answer = sent(site, archive)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, "dataset")
    assert said in answer.json()["error"]["message"]


def test_a_zip_of_a_form_that_is_wrong_is_closed(site):
    """An open file would be a warning, which fails the test."""
    assert sent(site, zipped(PEOPLE), layout="heap").status_code == 422
    gc.collect()


HOSTILE_NAMES = {
    "../../etc/passwd/1.png": "passwd",
    "/etc/cron.d/1.png": "cron.d",
    "..\\..\\Ann\\1.png": "Ann",
    "<script>/1.png": "<script>",
    "a" * 300 + "/1.png": "a" * 300,
}


@pytest.mark.parametrize("place", HOSTILE_NAMES)
def test_a_name_in_a_zip_leads_to_no_file(place):
    archive = PhotoArchive(io.BytesIO(zipped({place: b"1"})), SERVE_LIMITS)
    (photo,) = archive.photos()
    assert photo.name == HOSTILE_NAMES[place]
    assert ".." not in photo.place.split("/")
    assert not photo.place.startswith("/")
    assert archive.read(photo) == b"1"


def test_what_a_zip_says_of_its_sizes_is_not_believed():
    data = bytearray(zipped({"Ann/1.png": bytes(2000)}))
    for start in (data.find(b"PK\1\2") + 24, data.find(b"PK\3\4") + 22):
        data[start : start + 4] = (10).to_bytes(4, "little")
    archive = PhotoArchive(io.BytesIO(bytes(data)), SERVE_LIMITS)
    (photo,) = archive.photos()
    with pytest.raises(ImageError):
        archive.read(photo)


def test_too_large_a_photo_and_too_many_files_are_refused():
    from dataclasses import replace

    small = replace(SERVE_LIMITS.photo, bytes=100)
    archive = PhotoArchive(io.BytesIO(zipped({"Ann/1.png": bytes(101)})), ServeLimits(photo=small))
    with pytest.raises(ImageError, match="over the limit"):
        archive.read(archive.photos()[0])
    many = zipped({f"Ann/{number}.png": b"1" for number in range(4)})
    with pytest.raises(DatasetError, match="at most 3 files"):
        PhotoArchive(io.BytesIO(many), ServeLimits(archived=3))


def test_an_encrypted_photo_is_said_to_be_so():
    data = bytearray(zipped({"Ann/1.png": b"1"}))
    data[data.find(b"PK\1\2") + 8] |= 1
    data[data.find(b"PK\3\4") + 6] |= 1
    archive = PhotoArchive(io.BytesIO(bytes(data)), SERVE_LIMITS)
    with pytest.raises(ImageError, match="encrypted"):
        archive.read(ArchivedPhoto("Ann", "Ann/1.png"))


def begun(gallery, *works) -> list[dict]:
    """Jobs that do these works, when all have ended."""
    jobs = Jobs(gallery)
    ids = [jobs.begin(JobPlan(1, work), "key") for work in works]
    end = time.monotonic() + 10
    while any(jobs.one(job)["state"] not in ENDED for job in ids) and time.monotonic() < end:
        time.sleep(0.01)
    jobs.close()
    return [jobs.one(job) for job in ids]


def test_a_job_that_a_crash_ended_is_known_as_interrupted(gallery):
    (job,) = begun(gallery, lambda: iter(()))
    assert job["state"] == "done"
    with gallery.database.writing() as connection:
        connection.execute(JOBS.update().values(state="running"))
    again = Jobs(gallery)
    assert again.one(job["id"])["state"] == "interrupted"
    again.close()


@pytest.mark.slow
def test_a_job_stops_with_the_service(gallery):
    go, ended = Event(), []

    def slow():
        go.wait(10)
        yield Enrolled("Ann", "a.png", True), None
        raise AssertionError("it went on")

    jobs = Jobs(gallery)
    ids = [jobs.begin(JobPlan(9, slow, lambda: ended.append(1)), "key") for _ in range(2)]
    jobs._stopping.set()
    go.set()
    jobs.close()
    assert [jobs.one(job)["state"] for job in ids] == ["interrupted"] * 2
    assert ended == [1, 1]


def test_too_many_imports_wait_for_no_other(gallery):
    go = Event()

    def slow():
        go.wait(10)
        yield from ()

    jobs = Jobs(gallery)
    first = jobs.begin(JobPlan(0, slow), "key")
    while jobs.one(first)["state"] == "waiting":
        time.sleep(0.005)
    for _ in range(MOST_WAITING):
        jobs.begin(JobPlan(0, slow), "key")
    with pytest.raises(Refusal) as refused:
        jobs.begin(JobPlan(0, slow), "key")
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "60"})
    go.set()
    jobs.close()


def test_a_job_that_fails_says_why(gallery):
    def refused():
        raise DatasetError("the zip: no files here")
        yield

    def broken():
        raise KeyError("Secret Name")
        yield

    states = begun(gallery, refused, broken)
    assert [one["state"] for one in states] == ["failed", "failed"]
    assert [one["error"]["code"] for one in states] == ["dataset", "unexpected"]
    assert "Secret" not in json.dumps(states)
