"""Punches as other systems have them: terminals' files, Frappe, Hikvision, tables, JSON.

Each format is written and read by a function of plain data; a person is what the format calls them.
What cannot be read is named with its line, and the rest is read all the same. Times without an
offset are of the zone that is given: in the hour that comes twice they cannot say which.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from visavis.attendance.moments import read_moment, utc_text, zone_named
from visavis.attendance.punches import Reporter, Sighting
from visavis.attendance.rules import Direction
from visavis.attendance.sheets import FORMULA, safe_cell
from visavis.dataset.lists import decoded, rows_of
from visavis.errors import AttendanceError, DatasetError

UNDEFINED = 255  # "no direction", as ZKTeco's terminals say it
STATUS: Mapping[int, Direction] = {
    0: Direction.IN,
    1: Direction.OUT,
    2: Direction.BREAK_OUT,
    3: Direction.BREAK_IN,
    4: Direction.OVERTIME_IN,
    5: Direction.OVERTIME_OUT,
}
CODES = {direction: code for code, direction in STATUS.items()}
FACE = 15  # how it was verified
HIKVISION: Mapping[str, Direction] = {
    "checkIn": Direction.IN,
    "checkOut": Direction.OUT,
    "breakOut": Direction.BREAK_OUT,
    "breakIn": Direction.BREAK_IN,
    "overtimeIn": Direction.OVERTIME_IN,
    "overtimeOut": Direction.OVERTIME_OUT,
}
HIKVISION_WORDS = {direction: word for word, direction in HIKVISION.items()}
# One zone, or the one of each device by its name; of stays, of each person.
Zones = ZoneInfo | Callable[[str], ZoneInfo]
WALL = "%Y-%m-%d %H:%M:%S"
COLUMNS = {"person": "person_id", "time": "time", "device": "device", "direction": "direction"}
COLUMN_NAMES = tuple(COLUMNS.values())


@dataclass(frozen=True, slots=True)
class Fault:
    """What of a file could not be read, or not in full."""

    line: int
    reason: str


@dataclass(slots=True)
class Parsed:
    """What a file says, and what of it cannot be read."""

    sightings: list[Sighting] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A format: how punches are written in it, each by the wall of its own zone, and where it has
    none, of the one given; and read from it.
    """

    write: Callable[[Sequence[Sighting], ZoneInfo], bytes]
    read: Callable[[bytes, ZoneInfo], Parsed]


def wall_of(own: str, zone: ZoneInfo) -> ZoneInfo:
    """The zone of something that may have one of its own."""
    return zone_named(own) if own else zone


def wall_there(zones: Zones, name: str) -> ZoneInfo:
    """The zone of a device, or a person."""
    return zones if isinstance(zones, ZoneInfo) else zones(name)


def write_attlog(sightings: Iterable[Sighting], zone: ZoneInfo) -> bytes:
    """`_attlog.dat`: user id, wall time, device, status, verify, work code, between tabs."""
    lines = [
        "\t".join(
            (
                f"{_plain(one.person):>9}",
                one.true_at.astimezone(wall_of(one.zone, zone)).strftime(WALL),
                _plain(one.device) or "1",
                str(CODES[one.direction] if one.direction else UNDEFINED),
                str(FACE),
                "0",
            )
        )
        for one in sightings
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def read_attlog(data: bytes, zone: Zones, *, device: str = "") -> Parsed:
    """The lines of an `_attlog.dat`, or, with `device`, of what that terminal pushes."""
    parsed = Parsed()
    for number, line in enumerate(decoded(data, "attlog").splitlines(), 1):
        if line.strip():
            try:
                parsed.sightings.append(_attlog_line(line, zone, device, parsed, number))
            except AttendanceError as error:
                parsed.faults.append(Fault(number, str(error)))
    return parsed


def _attlog_line(line: str, zones: Zones, device: str, parsed: Parsed, number: int) -> Sighting:
    cells = [cell.strip() for cell in line.split("\t")]
    # A pushed line has no device of its own: user, time, status, verify.
    if len(cells) < 4 or not cells[0]:
        raise AttendanceError(
            f"expected user, time, device and status, got half a line: {line!r:.60}"
        )
    own = [cells[2]] if not device else []
    code = cells[2 + len(own)]
    if not code.isdecimal():
        raise AttendanceError(f"expected a status of 0 to 255, got {code!r:.20}")
    name = own[0] if own else device
    zone = wall_there(zones, name)
    at = read_moment(cells[1], zone, skipped=True)
    if at.astimezone(zone).strftime(WALL) != cells[1]:
        words = f"{cells[1]}: there is no such time in {zone.key}: kept as {utc_text(at)}"
        parsed.faults.append(Fault(number, words))
    direction = STATUS.get(int(code))
    if direction is None and int(code) != UNDEFINED:
        parsed.faults.append(Fault(number, f"status {code} is not known: kept without direction"))
    return Sighting(cells[0], at, name, direction, source=Reporter.FILE)


def write_frappe(sightings: Iterable[Sighting], zone: ZoneInfo) -> bytes:
    """Bodies of add_log_based_on_employee_field, which Frappe HRMS takes one by one."""
    return _json([frappe_body(one, zone) for one in sightings])


def frappe_body(sighting: Sighting, zone: ZoneInfo) -> dict[str, Any]:
    """One body: the person by attendance_device_id, the time by the site's wall."""
    way = sighting.direction
    return {
        "employee_field_value": sighting.person,
        "timestamp": sighting.true_at.astimezone(wall_of(sighting.zone, zone)).strftime(
            f"{WALL}.%f"
        ),
        "device_id": sighting.device,
        "log_type": "" if way is None else ("IN" if way.enters else "OUT"),
        "skip_auto_attendance": 0,
        "employee_fieldname": "attendance_device_id",
    }


def read_frappe(data: bytes, zone: Zones) -> Parsed:
    """What `write_frappe` wrote."""

    def one(body: Mapping[str, Any]) -> Sighting:
        way = {"IN": Direction.IN, "OUT": Direction.OUT}.get(str(body.get("log_type")))
        person, device = str(body["employee_field_value"]), str(body.get("device_id") or "")
        at = read_moment(str(body["timestamp"]), wall_there(zone, device))
        return Sighting(person, at, device, way, source=Reporter.FILE)

    return _each(_list(data), one)


def write_hikvision(sightings: Iterable[Sighting], zone: ZoneInfo) -> bytes:
    """Events as Hikvision's terminals push them."""
    return _json(
        [
            {
                "dateTime": one.true_at.astimezone(wall_of(one.zone, zone)).isoformat(
                    timespec="seconds"
                ),
                "eventType": "AccessControllerEvent",
                "AccessControllerEvent": {
                    "deviceName": one.device,
                    "employeeNoString": one.person,
                    "attendanceStatus": HIKVISION_WORDS[one.direction]
                    if one.direction
                    else "undefined",
                    "currentVerifyMode": "face",
                    "serialNo": number,
                },
            }
            for number, one in enumerate(sightings, 1)
        ]
    )


def read_hikvision(data: bytes, zone: ZoneInfo) -> Parsed:
    """Events of a Hikvision terminal: pushed ones, one or a list, or the answer of AcsEvent."""
    document = _document(data)
    if isinstance(document, dict) and isinstance(document.get("AcsEvent"), dict):
        document = document["AcsEvent"].get("InfoList", [])
    events = document if isinstance(document, list) else [document]

    def one(event: Mapping[str, Any]) -> Sighting:
        inner = event.get("AccessControllerEvent", event)
        if not isinstance(inner, dict):
            raise AttendanceError("expected an object AccessControllerEvent")
        person = str(inner.get("employeeNoString") or "")
        if not person:
            raise AttendanceError("an event of nobody: it has no employeeNoString")
        at = read_moment(str(event.get("dateTime") or inner.get("time") or ""), zone)
        way = HIKVISION.get(str(inner.get("attendanceStatus", "")))
        device = str(inner.get("deviceName") or "")
        return Sighting(person, at, device, way, source=Reporter.FILE)

    return _each(events, one)


def write_json(sightings: Iterable[Sighting], zone: ZoneInfo) -> bytes:
    """Punches as JSON: times in UTC."""
    return _json(
        [
            {
                "person_id": one.person,
                "time": utc_text(one.true_at),
                "local_time": one.true_at.astimezone(wall_of(one.zone, zone)).strftime(WALL),
                "zone": wall_of(one.zone, zone).key,
                "device": one.device,
                "direction": one.direction or "",
            }
            for one in sightings
        ]
    )


def read_json(data: bytes, zone: ZoneInfo) -> Parsed:
    """What `write_json` wrote."""
    return _each(_list(data), lambda body: _of_cells(body, COLUMNS, zone))


def write_csv(sightings: Iterable[Sighting], zone: ZoneInfo) -> bytes:
    """Punches as CSV: time in UTC, and by the wall beside it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow((*COLUMN_NAMES, "local_time", "zone"))
    for one in sightings:
        wall = wall_of(one.zone, zone)
        local = one.true_at.astimezone(wall).strftime(WALL)
        cells = (one.person, utc_text(one.true_at), one.device, one.direction or "")
        writer.writerow([safe_cell(cell) for cell in (*cells, local, wall.key)])
    return text.getvalue().encode()


def read_csv(data: bytes, zone: ZoneInfo, columns: Mapping[str, str] | None = None) -> Parsed:
    """A table of punches; `columns` says how it calls person, time, device and direction.

    Raises DatasetError for another encoding, and for a column that is not there.
    """
    names = {**COLUMNS, **(columns or {})}
    rows = rows_of(decoded(data, "csv"), "csv")
    header = rows[0][1] if rows else []
    needed = {names["person"], names["time"], *(columns or {}).values()}
    if missing := sorted(needed - set(header)):
        raise DatasetError(
            f"no column {', '.join(missing)}; got {', '.join(header) or 'nothing'}",
            mend="say what person and time are called there",
            option="columns",
        )
    parsed = Parsed()
    for line, cells in rows[1:]:
        body = dict(zip(header, cells, strict=False))
        try:
            parsed.sightings.append(_of_cells(body, names, zone))
        except AttendanceError as error:
            parsed.faults.append(Fault(line, str(error)))
    return parsed


def _of_cells(body: Mapping[str, Any], names: Mapping[str, str], zone: ZoneInfo) -> Sighting:
    person, device, way = (
        _unquoted(str(body.get(names[name]) or "")) for name in ("person", "device", "direction")
    )
    if not person:
        raise AttendanceError(f"nobody: {names['person']} is empty")
    at = read_moment(str(body.get(names["time"]) or ""), zone)
    return Sighting(person, at, device, direction_of(way), source=Reporter.FILE)


def direction_of(text: str) -> Direction | None:
    """A direction by our own word, by IN and OUT, or by a terminal's code; None for none.

    Raises AttendanceError for another word.
    """
    word = text.strip().lower().replace("-", "_").replace(" ", "_")
    if word in ("", "undefined", str(UNDEFINED)):
        return None
    if word.isdecimal() and int(word) in STATUS:
        return STATUS[int(word)]
    try:
        return Direction(word)
    except ValueError:
        known = ", ".join(Direction)
        raise AttendanceError(f"expected a direction, {known}, got {text!r:.30}") from None


def _unquoted(text: str) -> str:
    """A cell without the apostrophe that `safe_cell` put before it."""
    return text[1:] if text[:1] == "'" and FORMULA.match(text[1:]) else text


def _plain(text: str) -> str:
    """A text that no tab or line break takes apart. Raises AttendanceError."""
    if any(sign in text for sign in "\t\r\n") or text != text.strip():
        raise AttendanceError(f"a terminal's file cannot hold {text!r:.60}")
    return text


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _document(data: bytes) -> Any:
    try:
        return json.loads(decoded(data, "json"))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"expected a JSON document: {error}") from error


def _list(data: bytes) -> list[Any]:
    document = _document(data)
    if not isinstance(document, list):
        raise DatasetError("expected a JSON list of punches")
    return document


def _each(items: Iterable[Any], read: Callable[[Mapping[str, Any]], Sighting]) -> Parsed:
    parsed = Parsed()
    for number, item in enumerate(items, 1):
        try:
            if not isinstance(item, dict):
                raise AttendanceError(f"expected an object, got {item!r:.40}")
            parsed.sightings.append(read(item))
        except (AttendanceError, KeyError) as error:
            words = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            parsed.faults.append(Fault(number, words))
    return parsed


EXCHANGES: Mapping[str, Exchange] = {
    "attlog": Exchange(write_attlog, read_attlog),
    "frappe": Exchange(write_frappe, read_frappe),
    "hikvision": Exchange(write_hikvision, read_hikvision),
    "csv": Exchange(write_csv, read_csv),
    "json": Exchange(write_json, read_json),
}
