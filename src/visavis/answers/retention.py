"""What is kept no longer, as a JSON document and in words."""

from collections.abc import Iterable
from typing import Any

from visavis.attendance.retention import Due


def due_json(due: Iterable[Due], *, done: bool) -> dict[str, Any]:
    """The document: by class what is kept no longer, or went."""
    return {
        "removed": done,
        "classes": [
            {
                "name": one.name,
                "days": one.days,
                "before": one.before.isoformat(),
                "count": one.count,
                "oldest": one.oldest.isoformat() if one.oldest else None,
            }
            for one in due
        ],
    }


def due_words(due: Iterable[Due]) -> list[str]:
    """A line for each class that has a rule."""
    return [
        f"{one.name}: {one.count} of before {one.before}, kept for {one.days} days"
        + (f"; the oldest is of {one.oldest}" if one.oldest else "")
        for one in due
    ]
