"""What was odd about terminals' pushes, for whoever looks at the exceptions.

In memory and bounded: it can name people whom no deletion would reach in a file. Nothing is lost
by that: a terminal keeps its punches, and its whole file can be imported again at any time.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from visavis.attendance.punches import Fate, Recorded

MOST_HEARD = 200  # of them the latest are kept
MOST_MESSAGES = 5  # of one push


@dataclass(frozen=True, slots=True)
class TerminalWords:
    """Something odd that a terminal sent."""

    at: datetime
    serial: str
    words: str


class HeardTerminals:
    """The latest of what was odd. Safe from several threads."""

    def __init__(self) -> None:
        self._heard: deque[TerminalWords] = deque(maxlen=MOST_HEARD)
        self._lock = Lock()

    def note(self, serial: str, words: str) -> None:
        """Keep what was odd."""
        with self._lock:
            self._heard.append(TerminalWords(datetime.now(UTC), serial, words))

    def latest(self) -> list[TerminalWords]:
        """What was heard, the last first."""
        with self._lock:
            return list(reversed(self._heard))


def odd_words(recorded: Iterable[Recorded]) -> str:
    """What became of a push where that is not plainly recorded; empty where all is."""
    kept = list(recorded)
    counts = Counter(one.fate for one in kept)
    notes = Counter(note for one in kept for note in one.notes)
    refused = [one.message for one in kept if one.fate is Fate.REFUSED]
    words = [f"{number} {fate}" for fate, number in counts.items() if fate is not Fate.PUNCH]
    words += [f"{number} with {note}" for note, number in notes.items()]
    return "; ".join([*words, *refused[:MOST_MESSAGES]])
