"""Punches to another system as they come: Frappe HRMS, or any web address, by an outbox.

The ledger is the outbox: for each target it keeps the number of the last row that was delivered,
after each delivery. What is stopped in between is sent once more, with the same key, so that the
other side can tell; Frappe refuses it as the same, which is taken as delivered. What is refused for
good is said and passed over, so that one bad row does not hold up the rest.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from visavis.attendance import store
from visavis.attendance.attendance import Attendance
from visavis.attendance.corrections import told_of
from visavis.attendance.exchange import frappe_body
from visavis.attendance.ledger import Entered
from visavis.attendance.moments import utc_text, zone_named
from visavis.attendance.punches import Punch, Sighting
from visavis.errors import AttendanceError
from visavis.posts import AGAIN, LOOPBACK, Post, Posted, Unreachable, signed_headers

FRAPPE = (
    "/api/method/hrms.hr.doctype.employee_checkin.employee_checkin.add_log_based_on_employee_field"
)
SAME = "already has a log with the same timestamp"  # what Frappe says of a repeat
TRIES = 5  # of one row, before the rest is left for later
PAUSE = 2.0  # seconds after the first failure; doubled after each
LONGEST = 300.0  # seconds, whatever a server asks for


@dataclass(frozen=True, slots=True)
class PushTarget:
    """Where punches go."""

    kind: str  # "frappe" or "webhook"
    url: str  # of Frappe, the site's
    token: str = ""  # sent as Authorization
    secret: str = ""  # signs a webhook's bodies
    rate: int = 60  # requests a minute

    @property
    def name(self) -> str:
        """What its place in the outbox is kept by."""
        return f"{self.kind} {self.url.rstrip('/')}"


@dataclass(slots=True)
class Pushed:
    """What became of what was waiting."""

    delivered: int = 0
    repeated: int = 0  # the other side had it already
    refused: list[tuple[int, str]] = field(default_factory=list)  # row, and why
    left: int = 0  # for the next time
    reason: str = ""  # why they are left


def push_punches(
    attendance: Attendance,
    target: PushTarget,
    post: Post,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Pushed:
    """Deliver what came since the last time, in order; what cannot be now is left for later.

    Raises AttendanceError for an address that would send people's times in the clear.
    """
    check_address(target)
    pushed, waiting = Pushed(), list(_waiting(attendance, target))
    last = -60.0 / target.rate + clock()
    for done, (row, body) in enumerate(waiting):
        sleep(max(0.0, last + 60.0 / target.rate - clock()))
        last = clock()
        answer = _deliver(target, row, body, post, sleep)
        if answer is None or answer.status in AGAIN:
            pushed.left = len(waiting) - done
            pushed.reason = f"HTTP {answer.status}" if answer else "nobody answers"
            break
        _count(pushed, row.number, answer)
        with attendance.gallery.database.writing() as connection:
            attendance.ledger.note_delivered(connection, target.name, row.number)
    return pushed


def check_address(target: PushTarget) -> None:
    """Raise AttendanceError where the address is none, or anybody between could read along."""
    parts = urlsplit(target.url)
    private = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not private or not parts.hostname or parts.username is not None:
        raise AttendanceError(
            "expected an address with https and no user in it: people's times are sent there",
            mend="name another address",
        )
    if not 1 <= target.rate <= 6000:
        raise AttendanceError(f"expected 1 to 6000 requests a minute, got {target.rate}")


def _waiting(
    attendance: Attendance, target: PushTarget
) -> Iterator[tuple[Entered, dict[str, Any]]]:
    """What is to be delivered, with its body; of Frappe only punches that count."""
    ledger = attendance.ledger
    kinds = [store.PUNCH] if target.kind == "frappe" else [store.PUNCH, store.CORRECTION]
    with attendance.gallery.database.reading() as connection:
        after = ledger.delivered(connection, target.name)
        rows = sorted(ledger.rows(connection, kinds, after=after), key=lambda row: row.number)
        corrections = {one.punch: one for one in store.corrections_in(ledger, connection)}
    for row in rows:
        if target.kind == "webhook":
            yield row, _event(attendance, row)
            continue
        punch = store.punch_of(row)
        told = told_of(punch, corrections)
        if told is not None:
            yield row, _checkin(attendance, punch, told.at, told.direction)


def _checkin(attendance: Attendance, punch: Punch, at: datetime, way: Any) -> dict[str, Any]:
    reference = attendance.directory.reference(punch.person)
    return frappe_body(Sighting(reference, at, punch.device, way), zone_named(punch.zone))


def _event(attendance: Attendance, row: Entered) -> dict[str, Any]:
    """A row as a webhook is told it."""
    said = {name: value for name, value in row.body.items() if name not in ("person", "received")}
    return {
        "kind": row.kind,
        "number": row.number,
        "person_id": attendance.directory.reference(row.person or ""),
        "time": utc_text(row.at),
        **said,
    }


def _deliver(
    target: PushTarget,
    row: Entered,
    body: Mapping[str, Any],
    post: Post,
    sleep: Callable[[float], None],
) -> Posted | None:
    """The answer, after as many tries as it takes; None where nobody answered."""
    data = json.dumps(body, ensure_ascii=False).encode()
    url = target.url.rstrip("/") + (FRAPPE if target.kind == "frappe" else "")
    answer: Posted | None = None
    for number in range(TRIES):
        try:
            answer = post(url, data, _headers(target, row, data))
        except Unreachable:
            answer = None
        if answer is not None and answer.status not in AGAIN:
            break
        asked = answer.retry_after if answer else None
        if number < TRIES - 1:
            sleep(min(LONGEST, asked if asked is not None else PAUSE * 2**number))
    return answer


def _headers(target: PushTarget, row: Entered, data: bytes) -> dict[str, str]:
    headers = signed_headers(target.secret, f"{row.kind}-{row.number}", data)
    if target.token:
        headers["Authorization"] = target.token
    return headers


def _count(pushed: Pushed, number: int, answer: Posted) -> None:
    if 200 <= answer.status < 300:
        pushed.delivered += 1
    elif SAME in answer.text:
        pushed.repeated += 1
    else:
        pushed.refused.append((number, f"HTTP {answer.status}: {answer.text[:200]}"))


def refused_lines(refused: Sequence[tuple[int, str]]) -> list[str]:
    """A line for each row that the other side refused."""
    return [f"row {number} is refused: {why}" for number, why in refused]
