"""visavis attendance punch, correct, mark-day, lock, unlock: what somebody says by hand"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from visavis.cli import options, printing
from visavis.cli.people import Who
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from datetime import datetime

    from visavis.attendance.attendance import Attendance
    from visavis.attendance.rules import Direction

Way = Literal["in", "out", "break_out", "break_in", "overtime_in", "overtime_out"]
DayStatus = Literal["present", "half", "absent", "holiday", "leave", "off", "as-punched"]
Since = Annotated[str, typer.Argument(help="The first day, as 2026-03-02.")]
Until = Annotated[str, typer.Argument(help="The last day, as 2026-03-31.")]
WayOption = Annotated[Way | None, typer.Option("--direction", help="Which way they went.")]
Number = Annotated[int, typer.Argument(min=1, max=1 << 53, help="The punch's number.")]


@dataclass(frozen=True, slots=True)
class Why:
    """Who says so, and why: of every change that somebody makes by hand."""

    actor: Annotated[str, typer.Option("--actor", help="Who says so.")] = ""
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = ""

    @property
    def who(self) -> str:
        """Who says so: the user of this machine where nobody is named; empty where it has none."""
        from getpass import getuser

        try:
            return self.actor or getuser()
        except (KeyError, OSError):  # a container's user may have no name
            return ""


@spread
def punch(
    who: Who,
    why: Why,
    at: Annotated[str, typer.Option(help="A wall time, as 2026-03-02 08:00; else now.")] = "",
    direction: WayOption = None,
    terminal: Annotated[str, typer.Option(help="Where.")] = "",
    gallery: options.GalleryFolder = None,
    *,
    json: options.Json = False,
) -> None:
    """Punch for somebody by hand."""
    from dataclasses import replace

    from visavis.answers.attendance import recorded_json, recorded_words
    from visavis.attendance.punches import Reporter, Sighting

    book = book_at(gallery)
    said = Sighting(who, _moment(book, at), terminal, _way(direction), Reporter.HAND)
    made = book.record(replace(said, actor=why.who, reason=why.reason))
    words = [recorded_words(made, book.directory)]
    printing.print_answer(recorded_json(made), words, json=json)


@spread
def correct(
    number: Number,
    why: Why,
    at: Annotated[str, typer.Option(help="When it was, as 2026-03-02 08:00.")] = "",
    direction: WayOption = None,
    void: Annotated[bool, typer.Option("--void", help="It does not count.")] = False,
    gallery: options.GalleryFolder = None,
    *,
    json: options.Json = False,
) -> None:
    """Say that a punch was at another time or the other way, or does not count."""
    from visavis.answers.attendance import correction_json

    if void == bool(at or direction):
        raise typer.BadParameter("say --at or --direction, or --void")
    book = book_at(gallery)
    if void:
        made = book.void(number, actor=why.who, reason=why.reason)
    else:
        way, moment = _way(direction), _moment(book, at) if at else None
        made = book.move(number, at=moment, direction=way, actor=why.who, reason=why.reason)
    words = f"punch {number} is corrected by row {made.number}"
    printing.print_answer(correction_json(made, book.directory), [words], json=json)


@spread
def mark_day(
    who: Who,
    day: Annotated[str, typer.Argument(help="As 2026-03-02.")],
    status: Annotated[DayStatus, typer.Argument(help="as-punched takes a ruling back.")],
    why: Why,
    gallery: options.GalleryFolder = None,
    *,
    json: options.Json = False,
) -> None:
    """Say what somebody's day was, whatever its punches are."""
    from visavis.answers.attendance import ruling_json
    from visavis.attendance.days import Status
    from visavis.attendance.moments import read_day

    book = book_at(gallery)
    meant = None if status == "as-punched" else Status(status)
    made = book.rule(who, read_day(day), meant, actor=why.who, reason=why.reason)
    document = ruling_json(made, book.directory)
    printing.print_answer(document, [f"{who}, {day}: {status}"], json=json)


@spread
def lock(
    since: Since,
    until: Until,
    why: Why,
    gallery: options.GalleryFolder = None,
    *,
    json: options.Json = False,
) -> None:
    """Lock a period: nothing in it is corrected, and what comes late does not count."""
    _lock((since, until), why, gallery, locked=True, json=json)


@spread
def unlock(
    since: Since,
    until: Until,
    why: Why,
    gallery: options.GalleryFolder = None,
    *,
    json: options.Json = False,
) -> None:
    """Open a locked period again."""
    _lock((since, until), why, gallery, locked=False, json=json)


def book_at(gallery: str | None) -> "Attendance":
    """The attendance of the gallery that is meant, by the rules that it keeps."""
    from visavis.attendance.attendance import Attendance

    return Attendance(options.gallery_at(gallery, create=False))


def _moment(book: "Attendance", text: str) -> "datetime":
    """A wall time by the rules' zone; now where none is said."""
    from datetime import UTC, datetime

    from visavis.attendance.moments import read_moment, zone_named

    return read_moment(text, zone_named(book.rules.zone)) if text else datetime.now(UTC)


def _way(word: str | None) -> "Direction | None":
    from visavis.attendance.exchange import direction_of

    return direction_of(word or "")


def _lock(
    period: tuple[str, str], why: Why, gallery: str | None, *, locked: bool, json: bool
) -> None:
    from visavis.answers.attendance import lock_json
    from visavis.attendance.moments import read_day

    since, until = map(read_day, period)
    made = book_at(gallery).lock(since, until, locked=locked, actor=why.who, reason=why.reason)
    words = f"{since} to {until} is {'locked' if locked else 'open'}"
    printing.print_answer(lock_json(made), [words], json=json)
