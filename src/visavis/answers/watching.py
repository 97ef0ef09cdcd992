"""What a camera or a video showed, in words and as a document."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from visavis.answers.attendance import FATES, recorded_json
from visavis.answers.counts import counted, people_counted
from visavis.answers.words import one_in
from visavis.attendance.moments import utc_text
from visavis.attendance.punches import Recorded
from visavis.recognizer import Recognizer
from visavis.watch.deciding import Rule
from visavis.watch.events import Appearance, Event
from visavis.watch.frames import FrameSource
from visavis.watch.writing import event_json


def event_words(event: Event, recorded: Sequence[Recorded] = ()) -> list[str]:
    """An event in a line; none for a face that was seen too shortly to say anything of it. And
    what became of it in attendance.
    """
    where = f"{_time(event.at)}  {event.source}  "
    return [f"{where}{words}" for words in (*_event(event), *map(_recorded, recorded))]


def _event(event: Event) -> list[str]:
    sighting = event.sighting
    if sighting is None:
        return [f"{event.kind}: {event.text}"]
    if sighting.state == "collecting" or event.kind == "stays":
        return []
    if event.kind == "left":
        return [f"{_who(sighting)} left · seen from {_span(sighting)}"]
    return [f"{_who(sighting)} is here{_why(sighting)}"]


def _recorded(one: Recorded) -> str:
    punch = f" {one.punch}" if one.punch else ""
    way = f", {one.sighting.direction}" if one.sighting.direction else ""
    notes = f" ({', '.join(one.notes)})" if one.notes else ""
    at = utc_text(one.sighting.true_at)
    return f"punch{punch}: {FATES[one.fate]}, {at}{way}{notes}{one.message and ': '}{one.message}"


def watched_words(events: Sequence[Event], rule: Rule) -> list[str]:
    """Who was seen, counted; and what the names rest on."""
    left = [event.sighting for event in events if event.kind == "left" and event.sighting]
    people = {one.person.id for one in left if one.person}
    of = Counter(one.state for one in left)
    counts = [
        f"{people_counted(len(people))} seen",
        f"{of['review']} to look at",
        f"{of['unknown']} unknown",
        *([f"{of['spoof']} without a sign of life"] if of["spoof"] else []),
    ]
    return [
        f"{', '.join(counts)}, in {counted(len(left), 'sighting')}",
        f"a name needs {counted(rule.agreeing, 'crop')} that agree, of at most {rule.most}, each "
        "compared as one photo; "
        f"{one_in(rule.false_positive_rate)} strangers' sightings may get one",
    ]


def watched_json(
    recognizer: Recognizer,
    sources: Sequence[FrameSource],
    events: Sequence[Event],
    rule: Rule,
    punches: Sequence[Recorded] = (),
) -> dict[str, Any]:
    """The document of `watch`."""
    return {
        "sources": [
            {
                "source": one.address.shown,
                "read": one.counts.read,
                "dropped": one.counts.dropped,
                "damaged": one.counts.damaged,
                "lost": one.counts.lost,
            }
            for one in sources
        ],
        "events": [event_json(event) for event in events],
        "punches": [recorded_json(one) for one in punches],
        "false_positive_rate": rule.false_positive_rate,
        "agreeing": rule.agreeing,
        "most": rule.most,
        "model": recognizer.embed.model,
    }


def _who(sighting: Appearance) -> str:
    if sighting.person is not None:
        return sighting.person.name
    if sighting.state == "spoof":
        return "somebody without a sign of life"
    if sighting.state == "review" and sighting.closest is not None:
        return f"perhaps {sighting.closest.name}, look yourself,"
    return "somebody unknown"


def _why(sighting: Appearance) -> str:
    if sighting.similarity is None:
        return ""
    closest = "" if sighting.person else " to the closest"
    agree = f"{sighting.agreeing} of {counted(sighting.looks, 'crop')} agree"
    return f" · similarity {sighting.similarity:.2f}{closest}, {agree}"


def _span(sighting: Appearance) -> str:
    if sighting.started_at and sighting.ended_at:
        return f"{sighting.started_at} to {sighting.ended_at}"
    return f"{_time(sighting.start)} to {_time(sighting.end)}"


def _time(seconds: float) -> str:
    """Hours, minutes, and seconds with a tenth: 0:01:02.5."""
    tenths = round(seconds * 10)
    return f"{timedelta(seconds=tenths // 10)}.{tenths % 10}"
