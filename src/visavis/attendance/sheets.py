"""Tables as CSV and XLSX that a spreadsheet cannot be tricked by.

A cell that begins like a formula is written as text. Knows no attendance.
"""

import csv
import io
import re
from collections.abc import Iterable
from datetime import datetime

from visavis.attendance.reports import Sheet, SheetCell
from visavis.extras import need

# What a spreadsheet takes for a formula, also behind spaces and signs that it passes over.
# With apostrophes in front it may be one that was made text before.
FORMULA = re.compile(r"'*[\s\x00-\x1f\ufeff\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
TITLE = re.compile(r"[\\/*?:\[\]]")
MOST_TITLE = 31  # characters of a sheet's name
LONGEST = 32_767  # characters of a cell
# One moment in every file: the same table gives the same bytes.
WRITTEN = datetime(2026, 1, 1)


def safe_cell(cell: SheetCell) -> SheetCell:
    """A cell that no spreadsheet runs: an apostrophe in front of what looks like a formula."""
    if isinstance(cell, str) and FORMULA.match(cell):
        return f"'{cell}"
    return cell


def csv_bytes(sheet: Sheet, *, mark: bool = False, totals: bool = False) -> bytes:
    """A table as CSV in UTF-8; with `mark` as Excel wants it, with its totals only where asked."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    rows = [sheet.columns, *sheet.rows, *([sheet.totals] if totals and sheet.totals else [])]
    writer.writerows([[safe_cell(cell) for cell in row] for row in rows])
    return text.getvalue().encode("utf-8-sig" if mark else "utf-8", errors="replace")


def xlsx_bytes(sheets: Iterable[Sheet]) -> bytes:
    """Tables as a workbook, a sheet for each, its totals below. Raises DeviceError: no openpyxl."""
    need("openpyxl", extras="attendance")
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    book = Workbook(write_only=True)
    book.properties.created = book.properties.modified = WRITTEN
    bold = Font(bold=True)
    for sheet in sheets:
        page = book.create_sheet(TITLE.sub(" ", sheet.title)[:MOST_TITLE])
        page.freeze_panes = "A2"
        strong = {0, len(sheet.rows) + 1}
        rows = [sheet.columns, *sheet.rows, *([sheet.totals] if sheet.totals else [])]
        for number, row in enumerate(rows):
            cells = [WriteOnlyCell(page, value=_writable(value)) for value in row]
            for cell in cells:
                if isinstance(cell.value, str):
                    cell.data_type = "s"  # or "=1+1" would be a formula
                if number in strong:
                    cell.font = bold
            page.append(cells)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _writable(value: SheetCell) -> SheetCell:
    if isinstance(value, str):
        return UNWRITABLE.sub("\ufffd", str(safe_cell(value)))[:LONGEST]
    return value
