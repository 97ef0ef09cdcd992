"""The push protocol of ZKTeco's terminals (iClock, ADMS): a request in, an answer and punches out.

It is plain HTTP, and a terminal says who it is by its serial number alone: whoever can reach the
receiver and knows one can push punches. So only serial numbers that the rules name with `push` are
heard, and whoever mounts this keeps it in a network of its own. Knows no sockets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from visavis.attendance.attendance import Attendance
from visavis.attendance.exchange import Parsed, read_attlog
from visavis.attendance.moments import zone_named
from visavis.attendance.punches import Recorded, Reporter
from visavis.attendance.rules import Rules
from visavis.errors import DatasetError

MOST_BODY = 4 << 20  # bytes: some 100,000 punches
CELLS = 5  # of a line, at least: user, time, status, verify, work code
HOUR = timedelta(hours=1)
HOUR_OFF = "hour_off"  # it came whole hours after it was, as of a clock in another zone


@dataclass(frozen=True, slots=True)
class TerminalRequest:
    """What a terminal asks."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class TerminalAnswer:
    """What it is told, and the punches that are to be kept before it is told."""

    status: int
    text: str
    parsed: Parsed = field(default_factory=Parsed)
    said: str = ""  # what whoever runs the receiver should know; empty: nothing


def answer_terminal(request: TerminalRequest, rules: Rules, now: datetime) -> TerminalAnswer:
    """What to answer a terminal. Keeps nothing."""
    serial = request.query.get("SN", "")
    terminal = rules.devices.get(serial)
    if terminal is None or not terminal.push:
        return TerminalAnswer(403, "unknown device\n", said=f"refused: terminal {serial!r:.40}")
    if len(request.body) > MOST_BODY:
        words = f"refused: {len(request.body)} bytes from terminal {serial}"
        return TerminalAnswer(413, "too long\n", said=words)
    if request.path == "/iclock/cdata" and request.method == "GET":
        return TerminalAnswer(200, _options(serial, rules, now))
    if request.path == "/iclock/cdata" and request.method == "POST":
        return _data(request, serial, rules, now)
    if request.path in ("/iclock/getrequest", "/iclock/devicecmd", "/iclock/ping"):
        return TerminalAnswer(200, "OK\n")  # there is never a command for it
    return TerminalAnswer(404, "no such page\n", said=f"{serial}: asked for {request.path!r:.60}")


def _options(serial: str, rules: Rules, now: datetime) -> str:
    """How it is to send: everything it has, at once. The zone in hours, as firmwares take it."""
    offset = now.astimezone(zone_named(rules.device_zone(serial))).utcoffset() or timedelta()
    options = {
        "Stamp": 0,
        "ATTLOGStamp": 0,
        "ErrorDelay": 30,
        "Delay": 10,
        "TransTimes": "00:00;14:05",
        "TransInterval": 1,
        "TransFlag": "TransData AttLog",
        "TimeZone": f"{offset / HOUR:g}",
        "Realtime": 1,
        "Encrypt": 0,
    }
    lines = [f"GET OPTION FROM: {serial}", *(f"{name}={value}" for name, value in options.items())]
    return "\n".join(lines) + "\n"


def _data(request: TerminalRequest, serial: str, rules: Rules, now: datetime) -> TerminalAnswer:
    count = len(request.body.splitlines())
    if request.query.get("table") != "ATTLOG":
        return TerminalAnswer(200, f"OK: {count}\n")  # its own log, its users: nothing for us
    zone = zone_named(rules.device_zone(serial))
    whole, _, last = request.body.rpartition(b"\n")
    # Of a status 255 that was cut, a 2 may be left: such a line is not read at all.
    cut = last.count(b"\t") < CELLS - 1 and bool(last.strip())
    try:
        parsed = read_attlog(whole if cut else request.body, zone, device=serial)
    except DatasetError as error:
        return TerminalAnswer(400, "not readable\n", said=f"{serial}: {error}")
    parsed.sightings = [replace(one, source=Reporter.TERMINAL) for one in parsed.sightings]
    said = "; ".join(f"line {fault.line}: {fault.reason}" for fault in parsed.faults)
    if len(parsed.sightings) == 1 and _hours_off(parsed.sightings[0].at, now, rules):
        said = f"{said}; {HOUR_OFF}: is its clock in another zone?".lstrip("; ")
    if cut:
        # Sent again, the others are known already.
        words = f"{serial}: line {count} was cut; {said}".rstrip("; ")
        return TerminalAnswer(400, "cut\n", parsed, words)
    return TerminalAnswer(200, f"OK: {count}\n", parsed, f"{serial}: {said}" if said else "")


def _hours_off(at: datetime, now: datetime, rules: Rules) -> bool:
    """Whether a punch that is pushed alone, as it is made, comes whole hours before or after."""
    hours = round((now - at) / HOUR)
    tolerance = timedelta(seconds=rules.clock_tolerance)
    return hours != 0 and abs(hours) <= 14 and abs(now - at - hours * HOUR) <= tolerance


def receive(
    attendance: Attendance, request: TerminalRequest, *, now: datetime | None = None
) -> tuple[TerminalAnswer, list[Recorded]]:
    """Answer a terminal, after its punches are on disk: a terminal forgets what is acknowledged.

    Raises GalleryError where they cannot be kept: then it must be told nothing but an error.
    """
    now = now or datetime.now(UTC)
    answer = answer_terminal(request, attendance.rules, now)
    return answer, attendance.record_all(answer.parsed.sightings, now=now)
