"""An example of every answer, for OpenAPI."""

from typing import Any

from pydantic import BaseModel

from visavis.serve.rest import kept, shapes
from visavis.serve.rest.dayexamples import DAY_EXAMPLES

AT = "2026-11-28T09:30:00.000+00:00"
PERSON_ID, SAMPLE_ID = "3f2b8c1d9e4a4f6b8a7c5d2e1f0a9b8c", "7d1e5a0c2b9f4c3d8e6a1b4f7c0d9e2a"
JOB_ID = "a4c81f0e6d3b4b7f9c2e5d8a1b0f3e6c"
HEAD = "41-9b1f7a3c5e2d4086b7a9c0d1e3f52647980a1b2c3d4e5f60718293a4b5c6d7e8"
MODEL = "sface@0ae22d6a"
FACE: dict[str, Any] = {
    "box": [646.4, 274.3, 912.2, 619.3],
    "landmarks": [
        [734.5, 378.8],
        [867.1, 381.6],
        [810.9, 445.1],
        [736.2, 508.5],
        [850.7, 511.3],
    ],
    "score": 0.9443,
}
QUALITY = {
    "score": 0.944,
    "size": 265.8,
    "sharpness": 212.4,
    "brightness": 131.6,
    "yaw": -8.2,
    "pitch": 4.1,
    "roll": 1.3,
    "inside": 1.0,
    "reasons": [],
}
PERSON = {
    "id": PERSON_ID,
    "name": "Ada Lovelace",
    "external_id": "E-1017",
    "consent": "form of 2026-03-02",
    "added_at": AT,
    "seen_at": None,
    "samples": 1,
    "groups": ["night shift"],
}
SAMPLE = {
    "id": SAMPLE_ID,
    "person_id": PERSON_ID,
    "source": "ada.jpg",
    "source_sha256": "5" * 64,
    "quality": QUALITY,
    "added_at": AT,
    "models": [MODEL],
    "crop": False,
}
NAMED = {"id": PERSON_ID, "name": "Ada Lovelace"}
IDENTIFIED = {
    **FACE,
    "outcome": "match",
    "person": NAMED,
    "closest": NAMED,
    "similarity": 0.7734,
    "threshold": 0.4325,
    "false_positive_rate": 0.0098,
    "runner_up": {"name": "Grace Hopper", "similarity": 0.1312},
    "margin": 0.6422,
    "warnings": [],
}
ENROLLED = {
    "name": "Ada Lovelace",
    "photo": "ada.jpg",
    "accepted": True,
    "reason": "",
    "detail": "",
}
BLURRED = {**ENROLLED, "accepted": False, "reason": "blurred", "detail": "the face is blurred"}
JOB = {
    "id": JOB_ID,
    "state": "running",
    "by": "5f1c9a02",
    "at": AT,
    "total": 200,
    "done": 120,
    "accepted": 117,
    "refused": 3,
    "error": None,
}
KEY = {
    "id": "5f1c9a02",
    "name": "door",
    "scope": "viewer",
    "per_minute": 6000,
    "device": "",
    "made_at": AT,
}

CONFIGURATION = {
    "members": [{"pack": "default", "weight": 1.0, "enabled": True, "least_quality": {}}],
    "detector": "",
    "policy": "standard",
    "false_positive_rate": 0.01,
    "review_factor": 10.0,
    "least_members": 1,
    "least_margin": 0.0,
    "cascade": False,
    "description": "as delivered",
    "author": "ann",
    "at": AT,
    "version": 1,
}

NEGATIVE = {"id": JOB_ID, "person_id": PERSON_ID, "added_at": AT}
WEBHOOK = {
    "id": "5f1c9a02",
    "url": "https://door.example.org/visavis",
    "events": ["match", "unknown"],
    "made_at": AT,
    "off": "",
    "waiting": 0,
    "last_status": 204,
    "last_reason": "",
}

EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    shapes.HealthShape: {"status": "ok", "version": "0.1.0"},
    shapes.ReadyShape: {"status": "ready"},
    shapes.PacksShape: {
        "packs": [
            {
                "name": "default",
                "detector": "yunet",
                "embedder": MODEL,
                "dim": 128,
                "commercial": "yes",
            }
        ],
        "active": "default",
        "model": MODEL,
        "policies": {"standard": "threshold 0.43: about 1 in 11,000 stranger pairs passes"},
    },
    shapes.DetectedAllShape: {
        "images": [
            {
                "path": "a.jpg",
                "width": 1200,
                "height": 900,
                "turn": 0,
                "faces": [{**FACE, "quality": QUALITY}],
                "truncated": False,
            }
        ],
        "errors": [],
    },
    shapes.VerificationShape: {
        "outcome": "match",
        "similarity": 0.7606,
        "threshold": 0.4325,
        "review_threshold": 0.375,
        "false_match_rate": 8.4e-05,
        "false_match_rate_upper": 9.4e-05,
        "false_non_match_rate": 0.0167,
        "model": MODEL,
        "calibration": {
            "dataset": "LFW without the people of lfw_people",
            "people": 4121,
            "same_pairs": 20000,
            "different_pairs": 21964035,
        },
        "faces": [
            {"photo": name, "turn": 0, "chosen": True, **FACE} for name in ("a.jpg", "b.jpg")
        ],
        "quality": [QUALITY, QUALITY],
        "warnings": [],
    },
    shapes.IdentifiedAllShape: {
        "images": [{"path": "party.jpg", "faces": [IDENTIFIED]}],
        "errors": [
            {
                "path": "notes.txt",
                "code": "unsupported",
                "message": "notes.txt: expected a photo as JPEG, PNG, WebP; this is text",
                "mend": "save it as JPEG",
            }
        ],
    },
    shapes.IdentifiedFaceShape: {**IDENTIFIED, "runner_up": None, "margin": 2.0},
    shapes.EmbeddedShape: {
        "model": MODEL,
        "dim": 4,
        "faces": [FACE],
        "embeddings": [[0.5, -0.5, 0.5, 0.5]],
    },
    shapes.PeopleShape: {"people": [PERSON], "next": None},
    shapes.PersonShape: PERSON,
    shapes.PersonShownShape: {**PERSON, "samples": [SAMPLE]},
    shapes.EnrolledShape: {"person": PERSON, "photos": [ENROLLED, BLURRED]},
    shapes.RefusedPhotosShape: {
        "error": {
            "code": "blurred",
            "message": "the face is blurred",
            "mend": "",
            "request_id": JOB_ID,
        },
        "photos": [BLURRED],
    },
    shapes.ErasureShape: {
        "person": PERSON_ID,
        "photos": 1,
        "templates": 1,
        "left": 0,
        "files_clean": True,
        "beyond": ["backups"],
        "entry": 41,
        "head": HEAD,
        "at": AT,
    },
    shapes.PhotoRemovedShape: {"removed": SAMPLE_ID, "person": {**PERSON, "samples": 0}},
    shapes.AuditShape: {
        "entries": [
            {
                "seq": 41,
                "at": AT,
                "action": "enroll",
                "person": PERSON_ID,
                "details": {"sample": SAMPLE_ID},
            }
        ],
        "head": HEAD,
        "next": None,
    },
    shapes.WholeShape: {"whole": True, "broken_at": None},
    shapes.KeysShape: {"keys": [KEY]},
    shapes.NewKeyShape: {"key": KEY, "text": "visavis_5f1c9a02_told-this-once"},
    shapes.RevokedShape: {"revoked": "5f1c9a02"},
    kept.GroupsShape: {"groups": [{"name": "night shift", "people": 1}]},
    kept.GroupShape: {"group": "night shift", "people": [PERSON], "next": None},
    kept.GroupedShape: {"group": "night shift", "added": [PERSON]},
    kept.UngroupedShape: {"group": "night shift", "removed": [{**PERSON, "groups": []}]},
    kept.ConfigurationsShape: {"configurations": [CONFIGURATION], "active": 1},
    kept.ConfigurationShownShape: {
        **CONFIGURATION,
        "active": True,
        "models": [{"pack": "default", "model": MODEL, "slope": 21.4, "fault": None}],
        "calibration": "LFW without the people of lfw_people",
    },
    kept.ActivatedShape: {"active": 1, "stale": {"photos": 0, "people": 0, "models": []}},
    kept.NegativesShape: {"negatives": [NEGATIVE]},
    kept.RejectedShape: {
        "person": NAMED,
        "similarity": 0.5121,
        "threshold": 0.4325,
        "photos": [
            {
                "sample": SAMPLE_ID,
                "source": "ada.jpg",
                "similarity": 0.7713,
                "negative_similarity": 0.5121,
                "lost": False,
            }
        ],
        "lost": 0,
        "negative": NEGATIVE,
    },
    kept.NegativeRemovedShape: {"removed": NEGATIVE},
    kept.MergedShape: {"merged": {**PERSON, "id": JOB_ID}, "into": {**PERSON, "samples": 2}},
    kept.UnmergedShape: {"unmerged": {**PERSON, "id": JOB_ID}, "from": PERSON},
    kept.UndoneShape: {"photos": 3, "people": ["Ada Lovelace"], "at": AT},
    kept.WebhooksShape: {"webhooks": [WEBHOOK]},
    kept.NewWebhookShape: {"webhook": WEBHOOK, "secret": "whsec_told-this-once"},
    kept.WebhookRemovedShape: {"removed": "5f1c9a02"},
    kept.WebhookTestedShape: {"delivered": True, "status": 204, "reason": ""},
    shapes.JobShape: JOB,
    shapes.JobsShape: {"jobs": [JOB]},
    shapes.JobShownShape: {
        **JOB,
        "files": [{"number": 1, **ENROLLED}, {"number": 2, **BLURRED, "detail": ""}],
        "next": None,
    },
    **DAY_EXAMPLES,
}
# Of each status an error, by its code.
ERRORS = {
    400: ("bad_request", "no whole form: a part or the boundary is wrong", ""),
    401: ("unauthorized", "this needs a key", "send the header Authorization: Bearer KEY"),
    403: ("forbidden", "this needs a key of the scope admin; yours is of viewer", "ask an admin"),
    404: ("not_found", "nobody here has this id", ""),
    408: ("timeout", "the request arrives too slowly: 1200 bytes so far", ""),
    409: ("conflict", "the request of this Idempotency-Key is being worked on", "ask again"),
    413: ("too_large", "a.jpg: 13000x13000 pixels, the limit is 12000 a side", "shrink it first"),
    415: ("unsupported", "a.jpg: expected a photo as JPEG, PNG, WebP; this is GIF", "save it anew"),
    422: ("no_face", "a.jpg: no face found", "a face must be clearly seen, from the front"),
    429: ("too_many", "more than 6000 requests a minute", "ask again in 1 s"),
    503: ("busy", "too many requests are waiting", "ask again in 1 s"),
}


def error_example(status: int) -> dict[str, Any]:
    """An error of a status."""
    code, message, mend = ERRORS[status]
    said = {"code": code, "message": message, "mend": mend, "request_id": JOB_ID}
    return {"error": said}


def content_of(example: dict[str, Any]) -> dict[str, Any]:
    """An example as OpenAPI has it in a response."""
    return {"application/json": {"example": example}}
