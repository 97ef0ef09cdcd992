"""The verb attendance: from rules to a payroll's file, by the command line alone."""

import io
import json
import shutil

import pytest
from made_attendance import BERLIN, RULES, copy_of, people_of_four, rules

from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.exchange import read_attlog, read_csv
from visavis.attendance.moments import zone_named
from visavis.attendance.transfer import import_punches
from visavis.gallery import open_gallery

ATTLOG = (
    b"      E-1\t2026-03-02 07:58:00\t1\t0\t15\t0\r\n"
    b"      E-1\t2026-03-02 07:58:20\t1\t0\t15\t0\r\n"
    b"      E-1\t2026-03-02 17:03:00\t1\t1\t15\t0\r\n"
    b"      E-2\t2026-03-02 08:20:00\t1\t255\t15\t0\r\n"
    b"      E-9\t2026-03-02 08:21:00\t1\t0\t15\t0\r\n"
    b"      E-3\t2026-03-02 21:5"
)
WHY = ("--actor", "HR", "--reason", "forgot")


@pytest.fixture(scope="module")
def made(cache, tmp_path_factory):
    """Four people and the rules."""
    folder = people_of_four(tmp_path_factory.mktemp("attendance") / "gallery")
    gallery = open_gallery(folder)
    keep_rules(gallery, rules())
    gallery.close()
    return folder


@pytest.fixture(scope="module")
def with_punches(made):
    """A copy with what the terminal's file says."""
    gallery = copy_of(made, made.with_name("punches"))
    outcomes = import_punches(Attendance(gallery), read_attlog(ATTLOG, BERLIN))
    assert [one.fate for one in outcomes] == ["punch", "seen", "punch", "punch", "refused"]
    gallery.close()
    return made.with_name("punches")


def caller(run, made, folder):
    """Run attendance on a copy of a gallery."""
    shutil.copytree(made, folder / "gallery")
    (folder / "1_attlog.dat").write_bytes(ATTLOG)
    return lambda *words: run("attendance", *words, "--gallery", folder / "gallery")


@pytest.fixture
def call(run, made, tmp_path):
    return caller(run, made, tmp_path)


@pytest.fixture
def imported(run, with_punches, tmp_path):
    return caller(run, with_punches, tmp_path)


def document(answer):
    code, out, err = answer
    assert (code, err) == (0, "")
    return json.loads(out)


def test_a_file_of_a_terminal_is_read_and_everything_odd_is_said(call, tmp_path):
    code, out, err = call("import", tmp_path / "1_attlog.dat")
    assert (code, err) == (3, "")
    assert out.splitlines() == [
        "3 recorded",
        "1 seen again by the same device",
        "1 refused",
        "  E-9 at 2026-03-02T07:21:00Z: nobody is called 'E-9', and nobody has that id: did you "
        "mean 'E-4' or 'E-3' or 'E-2'?",
        "  line 6: expected user, time, device and status, got half a line: "
        "'      E-3\\t2026-03-02 21:5'",
    ]
    code, out, _ = call("import", tmp_path / "1_attlog.dat", "--json")
    assert json.loads(out)["counts"]["repeated"] == 3


def test_a_day_is_shown(imported):
    code, out, err = imported("today", "--day", "2026-03-02")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[:3]] == [
        "date person_id name shift status in out hours late_minutes early_minutes notes".split(),
        "2026-03-02 E-1 Person 1 day present 07:58 17:03 9.08 0 0".split(),
        "2026-03-02 E-2 Person 2 day present 08:20 17:00 8.67 20 0 auto_closed".split(),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "who"),
    [
        (["today", "--day", "2026-03-02"], ["E-1", "E-2", "E-3", "E-4"]),
        (["late", "--month", "2026-03"], ["E-2"]),
        (["exceptions", "--month", "2026-03"], ["E-2"]),
        (["person", "Person 2", "--month", "2026-03"], ["E-2"] * 31),
    ],
)
def test_the_reports_have_documents(imported, words, who):
    days = document(imported(*words, "--json"))["days"]
    assert [day["person_id"] for day in days] == who


def test_a_month_is_a_matrix(imported):
    code, out, err = imported("month", "--month", "2026-03")
    assert (code, err) == (0, "")
    header, *rows = [line.split() for line in out.splitlines()]
    assert header[:4] == ["person_id", "name", "02", "03"]
    assert rows[1][:5] == ["E-2", "Person", "2", "P*", "A"]
    assert len(document(imported("month", "--month", "2026-03", "--json"))["days"]) == 4 * 31


@pytest.mark.slow
def test_a_punch_by_hand_is_corrected_and_taken_back(imported):
    made = document(
        imported("punch", "E-2", "--at", "2026-03-02 16:00", "--direction", "out", *WHY, "--json")
    )
    assert (made["fate"], made["punch"]) == ("punch", 4)
    moved = document(imported("correct", "4", "--at", "2026-03-02 16:30", *WHY, "--json"))
    assert (moved["before"]["at"], moved["after"]["at"]) == (
        "2026-03-02T15:00:00Z", "2026-03-02T15:30:00Z",
    )  # fmt: skip
    words = ("person", "E-2", "--month", "2026-03", "--json")
    (day,) = [one for one in document(imported(*words))["days"] if one["date"] == "2026-03-02"]
    assert (day["hours"], day["notes"], day["early_minutes"]) == (8.17, ["corrected"], 30)
    assert document(imported("correct", "4", "--void", *WHY, "--json"))["after"] is None
    (day,) = [one for one in document(imported(*words))["days"] if one["date"] == "2026-03-02"]
    assert day["notes"] == ["auto_closed"]


@pytest.mark.slow
def test_a_day_is_ruled_and_a_period_locked(imported):
    ruled = document(imported("mark-day", "E-2", "2026-03-02", "leave", *WHY, "--json"))
    assert (ruled["before"], ruled["after"]) == (None, {"status": "leave", "reason": "forgot"})
    locked = document(imported("lock", "2026-03-01", "2026-03-31", *WHY, "--json"))
    assert locked["locked"] is True
    code, out, err = imported("correct", "1", "--void", *WHY)
    assert (code, out) == (2, "")
    assert "2026-03-02 is in a locked period" in err
    assert document(imported("unlock", "2026-03-01", "2026-03-31", *WHY, "--json"))["number"] == 6
    assert imported("mark-day", "E-2", "2026-03-02", "as-punched", *WHY)[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["correct", "1", *WHY], "say --at or --direction, or --void"),
        (["correct", "1", "--void"], "needs who does it and why: say the reason (--reason)"),
        (["punch", "E-1"], "by hand needs who does it and why"),
        (["punch", "E-8", *WHY], "nobody is called 'E-8'"),
        (["correct", "77", "--void", *WHY], "there is no punch 77"),
        (["today", "--day", "tomorrow"], "expected a date as 2026-03-02"),
        (["month", "--month", "march"], "expected a month as 2026-03"),
        (["lock", "2026-03-02", "2026-03-01", *WHY], "expected a period"),
        (["import", "nothing.dat"], "nothing.dat: cannot read"),
        (["import", "x.csv", "--format", "csv", "--columns", "who=a"], "expected --columns as"),
        (["rules", "nothing.toml"], "nothing.toml: cannot read"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(call, words, said):
    code, out, err = call(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "count"),
    [("csv", 3), ("attlog", 3), ("frappe", 3), ("hikvision", 3), ("json", 3), ("odoo", 2),
     ("zoho", 2), ("hibob", 2), ("days", 124), ("xlsx", 124)],
)  # fmt: skip
def test_a_month_is_written_in_every_format(imported, tmp_path, form, count):
    if form == "xlsx":
        pytest.importorskip("openpyxl", reason="pip install '.[attendance]'")
    out = tmp_path / "out"
    words = ("export", out, "--format", form, "--month", "2026-03", "--bom", "--json")
    assert document(imported(*words))["count"] == count
    data = out.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf") == (form in ("csv", "days"))
    assert out.stat().st_mode & 0o77 == 0


@pytest.mark.slow
def test_what_is_exported_is_imported_again_without_a_duplicate(imported, tmp_path):
    assert imported("export", tmp_path / "out.csv", "--month", "2026-03")[0] == 0
    parsed = read_csv((tmp_path / "out.csv").read_bytes(), zone_named("Europe/Berlin"))
    assert [one.person for one in parsed.sightings] == ["E-1", "E-2", "E-1"]
    code, out, _ = imported("import", tmp_path / "out.csv", "--format", "csv", "--json")
    assert (code, json.loads(out)["counts"]["repeated"]) == (0, 3)


@pytest.mark.slow
def test_a_workbook_has_the_matrix_days_punches_and_corrections(imported, tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="pip install '.[attendance]'")
    assert imported("correct", "1", "--void", *WHY)[0] == 0
    words = ("export", tmp_path / "a.xlsx", "--format", "xlsx", "--month", "2026-03")
    assert imported(*words)[0] == 0
    book = openpyxl.load_workbook(io.BytesIO((tmp_path / "a.xlsx").read_bytes()))
    assert book.sheetnames == ["2026-03", "days", "punches", "corrections"]
    assert [len(list(page)) for page in book] == [6, 126, 4, 2]


@pytest.mark.slow
def test_holidays_and_leave_are_imported(call, tmp_path):
    (tmp_path / "h.csv").write_text("date;name\n2026-04-03;Good Friday\n2026-12-25;Christmas\n")
    (tmp_path / "l.csv").write_text("person,since,until\nE-8,2026-04-07,2026-04-08\n")
    made = document(call("import", tmp_path / "h.csv", "--format", "holidays", "--json"))
    assert made == {"free_days": {"holidays": 2, "leave": 1}, "unknown": []}
    made = document(call("import", tmp_path / "l.csv", "--format", "leave", "--json"))
    assert made == {"free_days": {"holidays": 2, "leave": 2}, "unknown": ["E-8"]}
    (tmp_path / "h.csv").write_text("date;name\n03.04.2026;Good Friday\n")
    code, _, err = call("import", tmp_path / "h.csv", "--format", "holidays")
    assert (code, "h.csv, line 2: expected a date as" in err) == (2, True)


@pytest.mark.slow
def test_who_is_inside_and_in_class(call, tmp_path):
    assert document(call("punch", "E-1", *WHY, "--json"))["fate"] == "punch"
    (here,) = document(call("inside", "--json"))["inside"]
    assert (here["person_id"], here["since"]) == ("E-1", here["seen"])
    (maths,) = document(call("classes", "--day", "2026-03-02", "--json"))["classes"]
    assert {one["status"] for one in maths["roster"]} == {"absent"}
    assert call("classes", "--day", "2026-03-03")[1] == "no class on this day\n"


def test_the_ledger_is_checked(imported, tmp_path):
    checked = document(imported("check", "--json"))
    assert (checked["whole"], sum(checked["punches"].values())) == (True, 3)
    saved = (tmp_path / "gallery" / "gallery.db").read_bytes()
    assert imported("punch", "E-2", *WHY)[0] == 0
    later = document(imported("check", "--json"))["head"]
    assert document(imported("check", "--expect-head", checked["head"], "--json"))["whole"]
    (tmp_path / "gallery" / "gallery.db").write_bytes(saved)  # an old copy, put back
    assert imported("check")[0] == 0
    told = "entry 4 of its chain is not the one that was there\n"
    assert imported("check", "--expect-head", later) == (1, told, "")
    gallery = open_gallery(tmp_path / "gallery")
    with gallery.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM attendance_rows WHERE seq = 2")
    gallery.close()
    assert imported("check") == (1, "row 2 is not there\n", "")


@pytest.mark.slow
def test_an_erased_person_leaves_no_name_in_a_report(imported, tmp_path):
    gallery = open_gallery(tmp_path / "gallery")
    gallery.delete(gallery.find("E-2").id)
    assert [punch.person for punch in [Attendance(gallery).punch(1)]]
    gallery.close()
    days = document(imported("today", "--day", "2026-03-02", "--json"))["days"]
    assert [day["person_id"] for day in days] == ["E-1", "E-3", "E-4"]


@pytest.mark.slow
def test_the_rules_are_kept_and_shown(call, tmp_path):
    (tmp_path / "rules.toml").write_bytes(RULES)
    assert call("rules", tmp_path / "rules.toml") == (0, "the rules are kept\n", "")
    shown = document(call("rules", "--json"))
    assert (shown["rules"]["zone"], shown["unknown"]) == ("Europe/Berlin", [])
