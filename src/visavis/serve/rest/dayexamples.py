"""An example of every answer about attendance, for OpenAPI."""

from typing import Any

from pydantic import BaseModel

from visavis.serve.rest import dayshapes as shapes

PERSON_ID = "3f2b8c1d9e4a4f6b8a7c5d2e1f0a9b8c"
HEAD = "1203-9b1f7a3c5e2d4086b7a9c0d1e3f52647980a1b2c3d4e5f60718293a4b5c6d7e8"
ACTOR = "payroll (5f1c9a02)"
CAME, WENT = "2026-03-02T07:04:00Z", "2026-03-02T16:02:00Z"
WHO = {"person_id": "E-1017", "name": "Ada Lovelace"}
DAY = {
    "date": "2026-03-02",
    **WHO,
    "zone": "Europe/Berlin",
    "shift": "day",
    "status": "present",
    "stays": [{"in": CAME, "out": WENT}],
    "hours": 8.97,
    "late_minutes": 0,
    "early_minutes": 0,
    "notes": [],
    "reason": "",
    "punches": [4711, 4718],
}
SIGHTING = {
    "fate": "punch",
    "punch": 4711,
    "person": PERSON_ID,
    "at": CAME,
    "notes": [],
    "message": "",
}
CORRECTION = {
    "number": 4720,
    "punch": 4711,
    **WHO,
    "before": {"at": CAME, "direction": "in"},
    "after": {"at": "2026-03-02T07:00:00Z", "direction": "in"},
    "actor": ACTOR,
    "reason": "the queue at the door",
}
RULING = {
    "number": 4721,
    "date": "2026-03-03",
    **WHO,
    "before": None,
    "after": {"status": "leave", "reason": "doctor"},
    "actor": ACTOR,
}
LOCK = {
    "number": 4730,
    "locked": True,
    "since": "2026-03-01",
    "until": "2026-03-31",
    "actor": ACTOR,
    "reason": "paid",
}
OBJECTION = {
    "number": 4740,
    "date": "2026-03-02",
    **WHO,
    "words": "I was there at 8",
    "made": WENT,
    "open": True,
    "answer": "",
    "actor": "",
}
PUNCH = {
    "number": 4711,
    **WHO,
    "at": CAME,
    "direction": "in",
    "counts": {"at": "2026-03-02T07:00:00Z", "direction": "in"},
    "device": "entry",
    "zone": "Europe/Berlin",
    "source": "kiosk",
    "received": CAME,
    "notes": [],
    "actor": "",
    "reason": "",
}
DAY_EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    shapes.DaysShape: {"days": [DAY]},
    shapes.InsideShape: {"inside": [{**WHO, "since": CAME, "seen": CAME, "device": "entry"}]},
    shapes.ClassesShape: {
        "classes": [
            {
                "course": "maths",
                "start": "2026-03-02T09:00:00Z",
                "end": "2026-03-02T10:00:00Z",
                "roster": [
                    {
                        **WHO,
                        "status": "present",
                        "first": CAME,
                        "last": WENT,
                        "late_minutes": 0,
                    }
                ],
            }
        ]
    },
    shapes.PunchedShape: {
        "outcome": "match",
        "person": {"id": PERSON_ID, "name": "Ada Lovelace"},
        "similarity": 0.7734,
        "threshold": 0.4325,
        "sighting": SIGHTING,
    },
    shapes.SightingShape: SIGHTING,
    shapes.CorrectionShape: CORRECTION,
    shapes.RulingShape: RULING,
    shapes.ChangesShape: {"corrections": [CORRECTION], "rulings": [RULING]},
    shapes.LockShape: LOCK,
    shapes.LocksShape: {"locks": [LOCK]},
    shapes.HeardShape: {
        "heard": [{"at": CAME, "serial": "CJ7A01", "words": "1 repeated; 1 with future"}]
    },
    shapes.PunchRecordsShape: {"punches": [PUNCH]},
    shapes.ObjectionShape: OBJECTION,
    shapes.ObjectionsShape: {"objections": [OBJECTION]},
    shapes.LinkShape: {"path": "/mine/told-this-once", "days": 30},
    shapes.LinksRevokedShape: {"revoked": PERSON_ID},
    shapes.UnknownsShape: {
        "unknown": [
            {
                "number": 17,
                "count": 3,
                "first": CAME,
                "last": WENT,
                "devices": ["entry"],
                "best": 18,
                "crop": False,
                "like": WHO,
            }
        ]
    },
    shapes.NamedUnknownShape: {**WHO, "recorded": [SIGHTING]},
    shapes.DiscardedShape: {"discarded": 3},
    shapes.ChainShape: {"whole": True, "damages": [], "head": HEAD},
}
