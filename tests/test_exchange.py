"""Every format: written, read back equal, its fields by name; what cannot be read is said."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_attendance import BERLIN, moment

from visavis.attendance.exchange import (
    EXCHANGES,
    STATUS,
    read_attlog,
    read_csv,
    read_frappe,
    read_hikvision,
    read_json,
    write_attlog,
    write_csv,
    write_frappe,
    write_hikvision,
)
from visavis.attendance.intervals import PAYROLLS
from visavis.attendance.punches import Reporter, Sighting
from visavis.attendance.rules import Direction
from visavis.errors import AttendanceError, DatasetError

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
# Not in the hours around the clock's changes: a wall time there cannot say which it is.
TIMES = st.integers(0, 28 * 86_400).map(
    lambda seconds: datetime(2026, 6, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
WAYS = st.one_of(st.none(), st.sampled_from(Direction))
SIGHTINGS = st.lists(st.builds(Sighting, NAMES, TIMES, NAMES, WAYS,
                               st.just(Reporter.FILE)), max_size=6)  # fmt: skip


@pytest.mark.parametrize("name", EXCHANGES)
@settings(max_examples=12, deadline=None)
@given(made=SIGHTINGS)
def test_what_is_written_is_read_back_equal(name, made):
    if name == "frappe":  # it knows in and out alone
        ways = {True: Direction.IN, False: Direction.OUT}
        made = [Sighting(one.person, one.at, one.device,
                         None if one.direction is None else ways[one.direction.enters],
                         Reporter.FILE) for one in made]  # fmt: skip
    exchange = EXCHANGES[name]
    parsed = exchange.read(exchange.write(made, BERLIN), BERLIN)
    assert (parsed.sightings, parsed.faults) == (made, [])


def test_attlog_is_as_terminals_write_it():
    made = [
        Sighting("17", moment("08:00:05"), "1", Direction.IN),
        Sighting("4711", moment("17:00")),
    ]
    assert write_attlog(made, BERLIN) == (
        b"       17\t2026-03-02 08:00:05\t1\t0\t15\t0\r\n"
        b"     4711\t2026-03-02 17:00:00\t1\t255\t15\t0\r\n"
    )


ZONES = {"door": "Europe/Berlin", "yorkdoor": "America/New_York"}


@pytest.mark.parametrize("name", EXCHANGES)
def test_each_punch_is_written_by_the_wall_of_its_own_site_and_read_back(name):
    made = [
        Sighting("7", moment("08:00:05", zone), device, Direction.IN, Reporter.FILE, zone=zone)
        for device, zone in ZONES.items()
    ]
    data = EXCHANGES[name].write(made, ZoneInfo("UTC"))
    wall = b"2026-03-02T08:00:05" if name == "hikvision" else b"2026-03-02 08:00:05"
    assert data.count(wall) == 2
    read = {"attlog": read_attlog, "frappe": read_frappe}.get(name)
    zones = (lambda device: ZoneInfo(ZONES[device])) if read else BERLIN
    parsed = (read or EXCHANGES[name].read)(data, zones)
    assert [(one.person, one.at, one.device) for one in parsed.sightings] == [
        (one.person, one.at, one.device) for one in made
    ]


def test_every_status_of_a_terminal_is_known_and_255_is_a_punch():
    lines = [f"17\t2026-03-02 08:0{n}:00\t1\t{n}\t1\t0\n" for n in range(6)]
    lines.append("17\t2026-03-02 09:00:00\t1\t255\t1\t0\n")
    parsed = read_attlog("".join(lines).encode(), BERLIN)
    assert [one.direction for one in parsed.sightings] == [*STATUS.values(), None]
    assert parsed.faults == []


@pytest.mark.parametrize(
    ("line", "kept", "said"),
    [
        ("17\t2026-03-02 08:", 0, "line 2: expected user, time, device and status, got half"),
        ("17\t2026-03-02 08:00:00\t1", 0, "got half a line"),
        ("17\t2026-13-02 08:00:00\t1\t0\t1\t0", 0, "expected a time"),
        (
            "17\t2026-03-29 02:30:00\t1\t0\t1\t0",
            1,
            "there is no such time in Europe/Berlin: kept as 2026-03-29T01:30:00Z",
        ),
        ("17\t2026-03-02 08:00:00\t1\tin\t1\t0", 0, "expected a status"),
        ("\t2026-03-02 08:00:00\t1\t0\t1\t0", 0, "half a line"),
        ("17\t2026-03-02 08:00:00\t1\t9\t1\t0", 1, "status 9 is not known: kept without"),
    ],
)
def test_a_bad_line_is_said_and_the_rest_is_read(line, kept, said):
    good = "17\t2026-03-02 07:00:00\t1\t0\t1\t0\r\n"
    parsed = read_attlog(f"{good}{line}\r\n{good}".encode(), BERLIN)
    assert len(parsed.sightings) == 2 + kept
    (fault,) = parsed.faults
    assert said in f"line {fault.line}: {fault.reason}"


@pytest.mark.parametrize("person", ["a\tb", "a\nb", " a"])
def test_what_a_terminals_file_cannot_hold_is_said(person):
    with pytest.raises(AttendanceError, match="a terminal's file cannot hold"):
        write_attlog([Sighting(person, moment("08:00"))], BERLIN)


def test_frappe_has_the_fields_of_its_call():
    made = [Sighting("E-1", moment("10:48:08"), "door", Direction.BREAK_OUT)]
    assert json.loads(write_frappe(made, BERLIN)) == [
        {
            "employee_field_value": "E-1",
            "timestamp": "2026-03-02 10:48:08.000000",
            "device_id": "door",
            "log_type": "OUT",
            "skip_auto_attendance": 0,
            "employee_fieldname": "attendance_device_id",
        }
    ]


def test_hikvision_has_the_fields_of_its_events():
    (event,) = json.loads(write_hikvision([Sighting("E-1", moment("08:00"), "gate")], BERLIN))
    assert event["dateTime"] == "2026-03-02T08:00:00+01:00"
    inner = event["AccessControllerEvent"]
    assert set(inner) == {"deviceName", "employeeNoString", "attendanceStatus",
                          "currentVerifyMode", "serialNo"}  # fmt: skip
    assert inner["attendanceStatus"] == "undefined"


def test_hikvisions_answer_of_a_search_is_read_too():
    at = "2026-03-02T08:00:00+01:00"
    info = [
        {
            "time": at,
            "employeeNoString": "7",
            "attendanceStatus": "checkIn",
        },
        {"time": at, "employeeNoString": ""},  # a door that was opened
        {"employeeNoString": "7"},
        "nothing",
    ]
    parsed = read_hikvision(json.dumps({"AcsEvent": {"InfoList": info}}).encode(), BERLIN)
    assert [(one.person, one.at, one.direction) for one in parsed.sightings] == [
        ("7", moment("08:00"), Direction.IN)
    ]
    assert [fault.line for fault in parsed.faults] == [2, 3, 4]


def test_a_table_may_call_its_columns_anything():
    data = "Nr;Wann;Terminal;Art\r\n7;02.03.2026;a;in\r\n7;2026-03-02 08:00;a;OUT\r\n;;;\r\n"
    columns = {"person": "Nr", "time": "Wann", "device": "Terminal", "direction": "Art"}
    parsed = read_csv(data.encode("utf-16"), BERLIN, columns)
    assert [(one.person, one.at, one.device, one.direction) for one in parsed.sightings] == [
        ("7", moment("08:00"), "a", Direction.OUT)
    ]
    assert [(one.line, one.reason[:24]) for one in parsed.faults] == [
        (2, "expected a time as 2026-")
    ]


@pytest.mark.parametrize(
    ("data", "columns", "said"),
    [
        ("person_id,time\nJürgen,x".encode("cp1252"), None, "expected UTF-8, got the byte 0xfc"),
        (b"who,when\n", None, "no column person_id, time; got who, when"),
        (b"", None, "got nothing"),
        (b"who,time\n", {"person": "whom"}, "no column whom"),
    ],
)
def test_a_table_that_cannot_be_read_is_said(data, columns, said):
    with pytest.raises(DatasetError, match=said):
        read_csv(data, BERLIN, columns)


@pytest.mark.parametrize("read", [read_json, read_frappe, read_hikvision])
@pytest.mark.parametrize("data", [b"{", b"[" * 10_000, b"\xff"])
def test_what_is_no_document_is_said(read, data):
    with pytest.raises(DatasetError):
        read(data, BERLIN)


def test_no_cell_of_a_table_is_a_formula():
    data = write_csv([Sighting("=cmd|'/c calc'!A1", moment("08:00"), "@door")], BERLIN).decode()
    row = data.splitlines()[1]
    assert row.startswith("'=cmd|")
    assert ",'@door," in row


WORDS = st.sampled_from(
    "AcsEvent InfoList AccessControllerEvent dateTime time employeeNoString attendanceStatus "
    "person_id device direction timestamp employee_field_value log_type device_id data "
    "empId checkIn checkOut requests id clockIn clockOut employee_id check_in check_out".split()
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4),
    st.sampled_from(["2026-03-02 08:00", "2026-03-02T08:00:00+01:00", "9999-12-31 23:59:59", "IN"]),
)  # fmt: skip
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5)
)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EXCHANGES, *PAYROLLS])
@settings(max_examples=300, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), DOCUMENTS.map(json.dumps).map(str.encode)))
def test_whatever_a_file_holds_is_read_or_said(name, data):
    read = EXCHANGES[name].read if name in EXCHANGES else PAYROLLS[name].read
    with suppress(DatasetError, AttendanceError):  # and nothing else
        read(data, BERLIN)
