"""Tables: what is in them, worked out by hand; and what a spreadsheet makes of them."""

import csv
import io
from datetime import date, timedelta

import pytest
from made_attendance import BERLIN, MONDAY, marks, moment, plan

from visavis.attendance.days import Inside, derive_days
from visavis.attendance.directory import Directory
from visavis.attendance.reports import (
    Sheet,
    day_sheet,
    inside_sheet,
    late_records,
    matrix_sheet,
    odd_records,
    sheet_lines,
)
from visavis.attendance.sheets import csv_bytes, safe_cell, xlsx_bytes
from visavis.gallery import Person

PEOPLE = Directory(
    Person(id_, name, own, None, "", None, 0)
    for id_, name, own in (("a", "Ann", "E-1"), ("b", "Bob", "E-2"))
)
TUESDAY = MONDAY + timedelta(days=1)
NOW = moment("2026-03-09 00:00")


def records():
    """Ann: a good day, and one without an out; Bob: late, and absent."""
    made = []
    for person, name, times in (
        ("a", "E-1", ["2026-03-02 08:00", "2026-03-02 17:00", "2026-03-03 08:00"]),
        ("b", "E-2", ["2026-03-02 08:20", "2026-03-02 12:00"]),
    ):
        due = plan(name, last=TUESDAY)
        made += derive_days(person, marks(*times), due, (MONDAY, TUESDAY), NOW)
    return made


def test_a_day_is_a_row():
    sheet = day_sheet("today", records(), PEOPLE)
    assert sheet.rows[0] == (
        "2026-03-02", "E-1", "Ann", "day", "present", "08:00", "17:00", 9.0, 0, 0, "", "",
    )  # fmt: skip
    assert sheet.rows[2] == (
        "2026-03-02", "E-2", "Bob", "day", "half", "08:20", "12:00", 3.67, 20, 300, "", "",
    )  # fmt: skip
    assert sheet.totals[7:10] == (21.67, 20, 300)


def test_a_day_is_shown_by_the_wall_of_its_site():
    """E-4 works in New York, by rules of Berlin."""
    due = plan("E-4", last=MONDAY)
    made = marks("2026-03-02 08:00", "2026-03-02 17:00", zone="America/New_York")
    sheet = day_sheet("today", derive_days("a", made, due, (MONDAY, MONDAY), NOW), PEOPLE)
    assert sheet.rows[0][4:9] == ("present", "08:00", "17:00", 9.0, 0)


def test_a_month_is_a_matrix_with_totals():
    sheet = matrix_sheet("march", records(), PEOPLE, (MONDAY, TUESDAY))
    assert sheet.columns == (
        "person_id", "name", "2026-03-02", "2026-03-03", "present", "half", "absent", "leave",
        "open", "late", "hours",
    )  # fmt: skip
    assert sheet.rows == [
        ("E-1", "Ann", "P", "P", 2, 0, 0, 0, 0, 0, 18.0),
        ("E-2", "Bob", "HD*", "A", 0, 1, 1, 0, 0, 1, 3.67),
    ]
    assert sheet.totals == ("total", "", "", "", 2, 1, 1, 0, 0, 1, 21.67)


def test_who_is_late_and_what_is_odd():
    made = records()
    assert [one.person for one in late_records(made)] == ["b"]
    assert [(one.person, one.day, one.notes) for one in odd_records(made)] == [
        ("a", TUESDAY, ("auto_closed",))
    ]


def test_somebody_who_is_gone_has_no_name():
    sheet = inside_sheet([Inside("x", moment("08:00"), moment("09:00"), "door")], PEOPLE, BERLIN)
    assert sheet.rows == [("x", "(erased)", "08:00", "09:00", "door")]


def test_a_terminal_shows_the_columns_that_hold_something():
    sheet = Sheet("t", ("a", "empty", "b"), [("1", "", "22"), ("333", "", 4)], ("sum", "", 26))
    assert sheet_lines(sheet) == ["a    b", "1    22", "333  4", "sum  26"]
    assert sheet_lines(Sheet("late", ("a",), [])) == ["late: nothing"]


PAYLOADS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u200b=1", "\ufeff=1",
    "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff201", "\x00=1", '=HYPERLINK("http://x","y")',
    "=cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "\u00a0=1", "\v=1",
]  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_cell_begins_a_formula(payload):
    assert str(safe_cell(payload)).startswith("'")
    data = csv_bytes(Sheet("t", ("a", "b"), [(payload, "x")]), mark=True)
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows[1] == [f"'{payload}", "x"]


@pytest.mark.parametrize("cell", ["Ann", "E-1", "a=b", "08:00", "2026-03-02", "", -5, -0.5])
def test_what_is_no_formula_stays_as_it_is(cell):
    assert safe_cell(cell) == cell


def test_a_workbook_has_a_sheet_for_each_table_and_is_read_back():
    openpyxl = pytest.importorskip("openpyxl", reason="pip install '.[attendance]'")
    bad = Sheet("a/b:c" + "x" * 40, ("name", "n"), [("=1+1", -5), ("\x07\ud800", 1.5)])
    month = matrix_sheet("2026-03", records(), PEOPLE, (date(2026, 3, 2), date(2026, 3, 3)))
    data = xlsx_bytes([month, bad])
    book = openpyxl.load_workbook(io.BytesIO(data))
    assert book.sheetnames == ["2026-03", "a b c" + "x" * 26]
    first, second = [[[cell.value for cell in row] for row in page] for page in book]
    blank = [None if cell == "" else cell for cell in month.totals]
    assert (first[0], first[-1]) == (list(month.columns), blank)
    assert first[1] == ["E-1", "Ann", "P", "P", 2, 0, 0, 0, 0, 0, 18]
    assert second == [["name", "n"], ["'=1+1", -5], ["\ufffd\ufffd", 1.5]]
    assert {cell.data_type for page in book for row in page for cell in row} <= {
        "s",
        "inlineStr",
        "n",
    }
