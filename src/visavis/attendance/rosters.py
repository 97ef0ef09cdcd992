"""Whom a camera, a kiosk or a photo's search looks for first: whose shift or class has its window.

Knows no pictures and no networks.
"""

from datetime import datetime, timedelta

from visavis.attendance.attendance import Attendance
from visavis.watch.searching import Roster

REFRESH = timedelta(seconds=30)  # after which it is asked anew who is expected


class Rosters:
    """Who is expected at each device. Safe from several threads."""

    def __init__(self, attendance: Attendance) -> None:
        self._attendance = attendance
        self._asked: tuple[datetime, frozenset[str]] | None = None  # the moment of what follows

    def of(self, device: str, at: datetime) -> Roster:
        """Who is expected at a moment, and whether the others are looked for by that device."""
        asked = self._asked
        if asked is None or abs(at - asked[0]) >= REFRESH:
            asked = self._asked = at, frozenset(self._attendance.expected(at))
        terminal = self._attendance.rules.devices.get(device)
        return Roster(asked[1], terminal.others if terminal else True)
