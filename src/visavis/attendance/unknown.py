"""People whom nobody knows, as they were seen: sightings, and groups of them that are alike.

Plain data and pure functions. Knows no database and no models; a face is an embedding.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from visavis.attendance.punches import Evidence, Reporter, Sighting
from visavis.attendance.rules import Direction
from visavis.clustering import group_rows
from visavis.types import Embeddings, Part

END = b"\n"  # of the words before an embedding


@dataclass(frozen=True, eq=False, slots=True)
class Stranger:
    """A face at a device that nobody has."""

    sighting: Sighting  # of the person ""
    embedding: Embeddings  # (1, D), of length 1
    parts: tuple[Part, ...]  # of the embedder
    threshold: float  # similarity from which two faces are one person, by the calibration
    worth: float = 0.0  # of its crop, 0 to 1: the best one is shown
    crop: bytes | None = None  # PNG; kept where the rules say so

    @property
    def model(self) -> str:
        """What made the embedding."""
        return "+".join(part.model for part in self.parts)


@dataclass(frozen=True, eq=False, slots=True)
class UnknownSighting:
    """A stranger, as the inbox keeps them."""

    number: int
    stranger: Stranger  # without the crop
    has_crop: bool
    closest: str | None = None  # the gallery's id of whom they are like, if anybody

    @property
    def at(self) -> datetime:
        """When they were seen, in UTC."""
        return self.stranger.sighting.true_at.astimezone(UTC)


@dataclass(frozen=True, eq=False, slots=True)
class UnknownCluster:
    """Sightings that are alike, in order of time: probably of one person."""

    sightings: tuple[UnknownSighting, ...]

    @property
    def number(self) -> int:
        """The lowest of its sightings' numbers; any of them names the cluster."""
        return min(one.number for one in self.sightings)

    @property
    def numbers(self) -> list[int]:
        """Its sightings' numbers."""
        return [one.number for one in self.sightings]

    @property
    def first(self) -> datetime:
        """When they were seen first."""
        return self.sightings[0].at

    @property
    def last(self) -> datetime:
        """When they were seen last."""
        return self.sightings[-1].at

    @property
    def devices(self) -> list[str]:
        """Where they were seen."""
        return sorted({one.stranger.sighting.device for one in self.sightings})

    @property
    def closest(self) -> str | None:
        """The gallery's id of whom most of them are like, if anybody."""
        ids = [one.closest for one in self.sightings if one.closest is not None]
        return max(sorted(set(ids)), key=ids.count) if ids else None

    def best(self, most: int = 1) -> list[UnknownSighting]:
        """Its best sightings, the best first; those with a crop before all others."""
        return sorted(self.sightings, key=lambda one: (not one.has_crop, -one.stranger.worth))[
            :most
        ]


def clusters_of(sightings: Sequence[UnknownSighting]) -> list[UnknownCluster]:
    """Sightings in groups that are alike on average, the largest first; of one model each."""
    by_parts: dict[tuple[Part, ...], list[UnknownSighting]] = {}
    for one in sightings:
        by_parts.setdefault(one.stranger.parts, []).append(one)
    clusters = [
        UnknownCluster(tuple(sorted((own[row] for row in rows), key=lambda one: one.at)))
        for own in by_parts.values()
        for rows in group_rows(
            np.concatenate([one.stranger.embedding for one in own]),
            max(one.stranger.threshold for one in own),
        )
    ]
    return sorted(clusters, key=lambda cluster: (-len(cluster.sightings), cluster.number))


def evidence_of(
    one: UnknownSighting, sightings: Sequence[UnknownSighting], crop: bytes | None
) -> Evidence:
    """Why a sighting counts with the others that were named with it: how like they are."""
    mean = sum(other.stranger.embedding for other in sightings)
    alike = float((one.stranger.embedding @ np.asarray(mean).T).item() / np.linalg.norm(mean))
    return Evidence(one.stranger.model, round(alike, 4), one.stranger.threshold, crop=crop)


def stranger_bytes(stranger: Stranger) -> bytes:
    """A stranger without the crop, as they are sealed: words in JSON, and the embedding."""
    sighting = stranger.sighting
    words = {
        "offset": sighting.offset,
        "device": sighting.device,
        "direction": sighting.direction,
        "source": sighting.source,
        "key": sighting.key,
        "parts": [asdict(part) for part in stranger.parts],
        "threshold": stranger.threshold,
        "worth": round(stranger.worth, 4),
    }
    data = stranger.embedding.astype(np.float32).tobytes()
    return json.dumps(words).encode() + END + data


def stranger_from(at: datetime, data: bytes) -> Stranger:
    """What `stranger_bytes` wrote of somebody who was there at a moment."""
    head, _, rest = data.partition(END)
    words = json.loads(head)
    way = words["direction"]
    sighting = Sighting(
        "",
        at + timedelta(seconds=words["offset"]),
        words["device"],
        Direction(way) if way else None,
        Reporter(words["source"]),
        words["offset"],
        key=words["key"],
    )
    parts = tuple(Part(**part) for part in words["parts"])
    embedding = np.frombuffer(rest, np.float32).reshape(1, -1)
    return Stranger(sighting, embedding, parts, words["threshold"], words["worth"])
