"""visavis attendance VERB"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from visavis.cli import corrections, options, printing
from visavis.cli.corrections import book_at
from visavis.cli.people import Who
from visavis.cli.retention import retention
from visavis.cli.unknown import unknown

if TYPE_CHECKING:
    from datetime import date

    from visavis.attendance.attendance import Attendance
    from visavis.attendance.days import DayRecord
    from visavis.attendance.reports import Sheet
    from visavis.attendance.rules import Rules

attendance = typer.Typer(
    help="Who was there, who came late, what is missing.", no_args_is_help=True
)
Month = Annotated[str, typer.Option("--month", help="As 2026-03; without it, this month.")]
Day = Annotated[str, typer.Option("--day", help="As 2026-03-02; without it, today.")]


attendance.command()(retention)
attendance.add_typer(unknown, name="unknown")
attendance.command()(corrections.punch)
attendance.command()(corrections.correct)
attendance.command("mark-day")(corrections.mark_day)
attendance.command()(corrections.lock)
attendance.command()(corrections.unlock)


@attendance.command()
def today(day: Day = "", gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """Everybody's day: who came when, who is late, who is missing."""
    from visavis.attendance.view import days_of

    book = book_at(gallery)
    chosen = _day(book, day)
    records = days_of(book, (chosen, chosen))
    _show_days(book, records, f"{chosen}", json=json)


@attendance.command()
def month(
    month: Month = "", gallery: options.GalleryFolder = None, json: options.Json = False
) -> None:
    """A month as a matrix: P present, HD half a day, A absent, L leave, H holiday, * late."""
    from visavis.answers.attendance import days_json
    from visavis.attendance.reports import matrix_sheet, sheet_lines
    from visavis.attendance.view import days_of

    book = book_at(gallery)
    period = _month(book, month)
    records = days_of(book, period)
    sheet = matrix_sheet(f"{period[0]:%Y-%m}", records, book.directory, period)
    document = days_json(records, book.directory)
    printing.print_answer(document, sheet_lines(_short(sheet)), json=json)


@attendance.command()
def person(
    who: Who,
    month: Month = "",
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """One person's timesheet of a month."""
    from visavis.attendance.view import days_of

    book = book_at(gallery)
    one = book.directory.find(who)
    records = days_of(book, _month(book, month), people=[one.id])
    _show_days(book, records, one.name, json=json)


@attendance.command()
def late(
    month: Month = "", gallery: options.GalleryFolder = None, json: options.Json = False
) -> None:
    """Who came late in a month, the latest first."""
    from visavis.attendance.reports import late_records
    from visavis.attendance.view import days_of

    book = book_at(gallery)
    records = late_records(days_of(book, _month(book, month)))
    _show_days(book, records, "late", json=json)


@attendance.command()
def exceptions(
    month: Month = "", gallery: options.GalleryFolder = None, json: options.Json = False
) -> None:
    """A month's days to look at: open, closed by rule, corrected, with a clock that lies."""
    from visavis.attendance.reports import odd_records
    from visavis.attendance.view import days_of

    book = book_at(gallery)
    records = odd_records(days_of(book, _month(book, month)))
    _show_days(book, records, "exceptions", json=json)


@attendance.command()
def inside(gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """Who is in the building now."""
    from visavis.answers.attendance import inside_json
    from visavis.attendance.moments import zone_named
    from visavis.attendance.reports import inside_sheet, sheet_lines
    from visavis.attendance.view import inside_of

    book = book_at(gallery)
    here = inside_of(book)
    sheet = inside_sheet(here, book.directory, zone_named(book.rules.zone))
    printing.print_answer(inside_json(here, book.directory), sheet_lines(sheet), json=json)


@attendance.command()
def classes(
    day: Day = "", gallery: options.GalleryFolder = None, json: options.Json = False
) -> None:
    """A day's classes: who of each roster is there, late, gone or absent."""
    from visavis.answers.attendance import classes_json, classes_words
    from visavis.attendance.view import classes_of

    book = book_at(gallery)
    held = classes_of(book, _day(book, day))
    document = classes_json(held, book.directory)
    printing.print_answer(document, classes_words(held, book.directory), json=json)


@attendance.command()
def rules(
    file: Annotated[Path | None, typer.Argument(help="TOML or JSON, kept from now on.")] = None,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Keep a file of rules with the gallery; without one, show those that are kept."""
    from json import loads

    from visavis.attendance.attendance import keep_rules, kept_rules
    from visavis.attendance.rules import rules_bytes

    store = options.gallery_at(gallery, create=False)
    unknown = keep_rules(store, _read_rules(file)) if file else []
    text = rules_bytes(kept_rules(store)).decode()
    words = ["the rules are kept"] if file else text.splitlines()
    words += [f"{name}: nobody here has that name or id" for name in unknown]
    printing.print_answer({"rules": loads(text), "unknown": list(unknown)}, words, json=json)


@attendance.command("import")
def import_file(
    file: Path,
    form: Annotated[
        Literal["attlog", "hikvision", "csv", "json", "frappe", "holidays", "leave"],
        typer.Option("--format", help="What the file is."),
    ] = "attlog",
    zone: Annotated[str, typer.Option(help="Of the file's times; else of each device.")] = "",
    terminal: Annotated[str, typer.Option(help="In place of the file's own.")] = "",
    columns: Annotated[str, typer.Option(help="Of a CSV: person=Nr,time=When.")] = "",
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Punches of a terminal's file or a table; or holidays and leave, of a table."""
    from visavis.answers.attendance import imported_punches_json, imported_punches_words
    from visavis.attendance.transfer import import_punches, read_punches

    book = book_at(gallery)
    if form in ("holidays", "leave"):
        _import_days(book, file, form, json=json)
        return
    wall = zone or (book.rules.device_zone(terminal) if terminal else "")
    parsed = read_punches(file, form, wall, _columns(columns), rules=book.rules)
    outcomes = import_punches(book, parsed, device=terminal)
    words = imported_punches_words(outcomes, parsed.faults)
    printing.print_answer(imported_punches_json(outcomes, parsed.faults), words, json=json)
    if parsed.faults or any(one.fate == "refused" for one in outcomes):
        raise typer.Exit(3)


@attendance.command()
def export(
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    form: Annotated[
        Literal["attlog", "frappe", "hikvision", "odoo", "zoho", "hibob", "csv", "json", "xlsx",
                "days"],
        typer.Option("--format", help="Of punches, of stays, or of days."),
    ] = "csv",
    month: Month = "",
    bom: Annotated[bool, typer.Option("--bom", help="Of CSV: as Excel wants UTF-8.")] = False,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:  # fmt: skip
    """A month in the format of a terminal, a payroll or a spreadsheet."""
    from visavis.attendance.transfer import export_period
    from visavis.files import write_whole

    book = book_at(gallery)
    made = export_period(book, _month(book, month), form, mark=bom)
    write_whole(out, made.data, private=True)
    document = {"out": str(out), "format": form, "count": made.count}
    printing.print_answer(document, [f"{made.count} in {out}"], json=json)


@attendance.command()
def push(
    kind: Annotated[Literal["frappe", "webhook"], typer.Argument(help="What takes them.")],
    url: Annotated[str, typer.Argument(help="Frappe's site, or a web address.")],
    rate: Annotated[int, typer.Option(min=1, max=6000, help="Requests a minute.")] = 60,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Send punches that came since the last time; $VISAVIS_PUSH_TOKEN and _SECRET sign them."""
    from os import environ

    from visavis.answers.attendance import pushed_json, pushed_words
    from visavis.attendance.post import post_json
    from visavis.attendance.push import PushTarget, push_punches

    token, secret = (environ.get(f"VISAVIS_PUSH_{name}", "") for name in ("TOKEN", "SECRET"))
    target = PushTarget(kind, url, token, secret, rate)
    pushed = push_punches(book_at(gallery), target, post_json)
    printing.print_answer(pushed_json(pushed), pushed_words(pushed), json=json)
    if pushed.left or pushed.refused:
        raise typer.Exit(3)


@attendance.command()
def check(
    expect_head: Annotated[
        str | None, typer.Option(help="A head of earlier, as check printed it.")
    ] = None,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Whether every punch and correction is as it was written: reads and opens everything."""
    from visavis.attendance.ledger import Ledger
    from visavis.attendance.whole import ledger_damages, ledger_head, removed_counts
    from visavis.gallery.audit import ChainHead

    known = ChainHead.of_text(expect_head) if expect_head is not None else None
    ledger = Ledger(options.gallery_at(gallery, create=False))
    damages = ledger_damages(ledger, known)
    head = None if damages else str(ledger_head(ledger))
    document = {"whole": not damages, "damages": damages, "head": head}
    counts = {"punches": ledger.counts(), "removed": removed_counts(ledger)}
    printing.print_answer(document | counts, damages or [f"whole: {head}"], json=json)
    raise typer.Exit(bool(damages))


def _day(book: "Attendance", text: str) -> "date":
    from datetime import UTC, datetime

    from visavis.attendance.moments import day_of, read_day, zone_named

    return read_day(text) if text else day_of(datetime.now(UTC), zone_named(book.rules.zone))


def _month(book: "Attendance", text: str) -> tuple["date", "date"]:
    from visavis.attendance.moments import month_of

    return month_of(text or f"{_day(book, ''):%Y-%m}")


def _show_days(book: "Attendance", records: "list[DayRecord]", title: str, *, json: bool) -> None:
    from visavis.answers.attendance import days_json
    from visavis.attendance.reports import day_sheet, sheet_lines

    sheet = day_sheet(title, records, book.directory)
    printing.print_answer(days_json(records, book.directory), sheet_lines(sheet), json=json)


def _short(sheet: "Sheet") -> "Sheet":
    """A month's days by their numbers alone: a terminal is narrow."""
    from dataclasses import replace

    columns = tuple(name[-2:] if name[:2] == "20" else name for name in sheet.columns)
    return replace(sheet, columns=columns)


def _read_rules(file: Path) -> "Rules":
    from visavis.attendance.rules import read_rules
    from visavis.errors import RulesError

    try:
        return read_rules(file.read_bytes(), str(file))
    except OSError as error:
        raise RulesError(f"{file}: cannot read: {error.strerror or error}") from error


def _import_days(book: "Attendance", file: Path, form: str, *, json: bool) -> None:
    from visavis.answers.attendance import free_days_json
    from visavis.attendance.attendance import keep_rules
    from visavis.attendance.transfer import with_free_days

    made = with_free_days(book.rules, file, form)
    unknown = keep_rules(book.gallery, made)
    counts = {"holidays": len(made.holidays), "leave": len(made.leave)}
    words = [f"{counts[form]} {form} in the rules"]
    words += [f"{name}: nobody here has that name or id" for name in unknown]
    printing.print_answer(free_days_json(counts, unknown), words, json=json)


def _columns(text: str) -> dict[str, str]:
    """Raises BadParameter for what is no map of columns."""
    known = ("person", "time", "device", "direction")
    pairs = [part.partition("=") for part in text.split(",") if part]
    if any(name not in known or not column for name, _, column in pairs):
        raise typer.BadParameter(f"expected --columns as person=Nr,time=When; got {text!r}")
    return {name: column for name, _, column in pairs}
