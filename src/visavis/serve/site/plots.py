"""Small plots of attendance, as shapes that a page draws: bars of a day, columns of a month.

Plain data in units of the drawing; knows no colours and no words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from visavis.attendance.days import DayRecord
from visavis.attendance.moments import midnight

DAY_WIDTH = 120.0  # of a day's drawing: 30 hours, so that a night's shift is seen ending
SHOWN_HOURS = 30.0
COLUMN, TALL = 10.0, 40.0  # of a month's drawing: a column's width, the tallest one's height
LEAST_WIDTH = 0.5  # of a bar: whoever came and went within a minute is seen


@dataclass(frozen=True, slots=True)
class PlotBar:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    title: str = ""


def stay_bars(record: DayRecord, now: datetime, height: float = 6.0) -> list[PlotBar]:
    """A day's stays on a line of 30 hours from its midnight on; an open one reaches until now."""
    zero = midnight(record.day, ZoneInfo(record.zone))
    bars = []
    for stay in record.stays:
        start, end = (_hours(at - zero) for at in (stay.start, stay.end or max(now, stay.start)))
        left, right = (DAY_WIDTH * min(max(at / SHOWN_HOURS, 0), 1) for at in (start, end))
        width = max(right - left, LEAST_WIDTH)
        bars.append(PlotBar(round(left, 2), 0, round(width, 2), height))
    return bars


def columns_of(values: Sequence[float], titles: Iterable[str]) -> list[PlotBar]:
    """A column for each value, the largest one as tall as the drawing."""
    most = max(values, default=0) or 1
    bars = []
    for number, (value, title) in enumerate(zip(values, titles, strict=True)):
        height = round(TALL * value / most, 2)
        bars.append(PlotBar(number * COLUMN + 1, TALL - height, COLUMN - 2, height, title))
    return bars


def _hours(length: timedelta) -> float:
    return length / timedelta(hours=1)
