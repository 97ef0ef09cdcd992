"""Stays for payrolls: read back equal, split at midnight, a hundred a request, no overlap."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_attendance import BERLIN, moment

from visavis.attendance.intervals import (
    PAYROLLS,
    Interval,
    split_at_midnight,
    write_hibob,
    write_odoo,
    write_zoho,
)
from visavis.errors import AttendanceError, DatasetError

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)


@st.composite
def stays(draw):
    """Stays of some people, in minutes, apart from one another; the last may be open."""
    made = []
    for person in draw(st.lists(st.sampled_from(["E-1", "Zoë", "7"]), unique=True)):
        at = BEGIN + timedelta(minutes=draw(st.integers(0, 3000)))
        for _ in range(draw(st.integers(0, 4))):
            end = at + timedelta(minutes=draw(st.integers(2, 3000)))
            made.append(Interval(person, at, end))
            at = end + timedelta(minutes=draw(st.integers(2, 2000)))
        if draw(st.booleans()):
            made.append(Interval(person, at))
    return sorted(made, key=lambda one: (one.person, one.start))


def ends_at_midnight(one):
    return one.end is not None and one.end.astimezone(BERLIN).strftime("%H:%M") == "23:59"


@pytest.mark.parametrize("name", PAYROLLS)
@settings(max_examples=12, deadline=None)
@given(made=stays())
def test_what_is_written_is_read_back_equal(name, made):
    if name == "hibob" and any(map(ends_at_midnight, made)):
        return  # there it is the sign of a night
    payroll = PAYROLLS[name]
    assert payroll.read(payroll.write(made, BERLIN), BERLIN) == made


def test_odoo_has_its_fields_in_utc():
    made = [Interval("7", moment("08:00"), moment("17:00")), Interval("8", moment("08:00"))]
    rows = json.loads(write_odoo(made, BERLIN))
    assert rows[0] == {
        "employee_id": 7,
        "check_in": "2026-03-02 07:00:00",
        "check_out": "2026-03-02 16:00:00",
        "in_mode": "kiosk",
        "out_mode": "kiosk",
    }
    assert rows[1]["check_out"] is False
    # By Odoo's own source, addons/hr_attendance/models/hr_attendance.py.
    assert set(rows[0]) <= {"employee_id", "check_in", "check_out", "in_mode", "out_mode"}
    assert rows[0]["in_mode"] in {"kiosk", "systray", "manual", "technical"}


@pytest.mark.parametrize(
    ("own", "written"), [("7", 7), ("E-7", "E-7"), ("007", "007"), ("0", "0"), ("9" * 12, "9" * 12)]
)
def test_odoo_gets_its_own_id_as_a_number_and_any_other_as_it_is(own, written):
    (row,) = json.loads(write_odoo([Interval(own, moment("08:00"))], BERLIN))
    assert row["employee_id"] == written


@pytest.mark.parametrize(
    "made",
    [
        [Interval("7", moment("08:00"), moment("12:00")), Interval("7", moment("11:00"))],
        [Interval("7", moment("08:00")), Interval("7", moment("11:00"))],
    ],
)
def test_what_odoo_would_refuse_is_refused_here(made):
    with pytest.raises(AttendanceError, match="7: the stay from 2026-03-02 07:00:00 UTC reaches"):
        write_odoo(made, BERLIN)


def test_zoho_has_ins_and_outs_as_rows():
    made = [Interval("7", moment("08:00"), moment("17:00"))]
    assert json.loads(write_zoho(made, BERLIN)) == {
        "dateFormat": "yyyy-MM-dd HH:mm:ss",
        "data": [
            {"empId": "7", "checkIn": "2026-03-02 08:00:00", "location": "", "building": ""},
            {"empId": "7", "checkOut": "2026-03-02 17:00:00", "location": "", "building": ""},
        ],
    }


def test_a_night_is_split_at_midnight_for_hibob():
    made = [Interval("7", moment("22:00"), moment("2026-03-03 06:00"))]
    (request,) = json.loads(write_hibob(made, BERLIN))
    # By apidocs.hibob.com, "Import attendance data": idType is bobId, email or idInCompany.
    assert set(request) == {"idType", "dateTimeFormat", "requests"}
    assert (request["idType"], request["dateTimeFormat"]) == ("idInCompany", "yyyy-MM-dd HH:mm")
    assert request["requests"] == [
        {"id": "7", "clockIn": "2026-03-02 22:00", "clockOut": "2026-03-02 23:59"},
        {"id": "7", "clockIn": "2026-03-03 00:00", "clockOut": "2026-03-03 06:00"},
    ]


def test_hibob_gets_a_hundred_entries_a_request():
    made = [Interval(str(n), moment("08:00"), moment("17:00")) for n in range(201)]
    requests = json.loads(write_hibob(made, BERLIN))
    assert [len(request["requests"]) for request in requests] == [100, 100, 1]


def test_a_stay_until_midnight_is_one_part():
    until = Interval("7", moment("22:00"), moment("2026-03-03 00:00"))
    assert list(split_at_midnight(until, BERLIN)) == [until]


YORK = "America/New_York"


@pytest.mark.parametrize(
    ("name", "walls"),
    [
        ("odoo", ["2026-03-02 07:00:00", "2026-03-02 13:00:00"]),
        ("zoho", ["2026-03-02 08:00:00", "2026-03-02 08:00:00"]),
        ("hibob", ["2026-03-02 08:00", "2026-03-02 08:00"]),
    ],
)
def test_each_stay_is_written_by_the_wall_of_its_own_site(name, walls):
    made = [
        Interval("1", moment("08:00"), moment("17:00"), "Europe/Berlin"),
        Interval("2", moment("08:00", YORK), moment("17:00", YORK), YORK),
    ]
    payroll = PAYROLLS[name]
    data = payroll.write(made, ZoneInfo("UTC"))
    assert [data.count(wall.encode()) for wall in walls] == [walls.count(wall) for wall in walls]
    zones = {"1": BERLIN, "2": ZoneInfo(YORK)}
    assert payroll.read(data, zones.__getitem__) == made


def test_a_night_in_york_is_split_at_its_own_midnight():
    made = [Interval("2", moment("22:00", YORK), moment("2026-03-03 06:00", YORK), YORK)]
    (request,) = json.loads(write_hibob(made, BERLIN))
    assert [one["clockIn"] for one in request["requests"]] == [
        "2026-03-02 22:00", "2026-03-03 00:00",
    ]  # fmt: skip


@pytest.mark.parametrize("name", PAYROLLS)
@pytest.mark.parametrize("data", [b"{", b"1", b'{"data": 1}'])
def test_what_is_no_document_is_said(name, data):
    with pytest.raises(DatasetError, match="expected a"):
        PAYROLLS[name].read(data, BERLIN)
