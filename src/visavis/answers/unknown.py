"""Unknown people as JSON documents and in words."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visavis.answers.attendance import FATES, recorded_json, who_json
from visavis.answers.counts import counted
from visavis.attendance.directory import Directory
from visavis.attendance.inbox import Named
from visavis.attendance.moments import utc_text
from visavis.attendance.unknown import UnknownCluster, UnknownSighting


def cluster_json(cluster: UnknownCluster, directory: Directory) -> dict[str, Any]:
    """A cluster's document."""
    best = cluster.best()[0]
    return {
        "number": cluster.number,
        "count": len(cluster.sightings),
        "first": utc_text(cluster.first),
        "last": utc_text(cluster.last),
        "devices": cluster.devices,
        "best": best.number,
        "crop": best.has_crop,
        "like": who_json(cluster.closest, directory) if cluster.closest else None,
    }


def clusters_json(clusters: Sequence[UnknownCluster], directory: Directory) -> dict[str, Any]:
    """The document of all clusters."""
    return {"unknown": [cluster_json(cluster, directory) for cluster in clusters]}


def clusters_words(clusters: Sequence[UnknownCluster], directory: Directory) -> list[str]:
    """A line for each cluster."""
    return [_words(cluster, directory) for cluster in clusters] or ["nobody unknown was seen"]


def unknown_json(cluster: UnknownCluster, directory: Directory, out: Path | None) -> dict[str, Any]:
    """A cluster with its sightings, and where its best crop was written."""
    return {
        **cluster_json(cluster, directory),
        "sightings": [_sighting_json(one) for one in cluster.sightings],
        "out": None if out is None else str(out),
    }


def unknown_words(cluster: UnknownCluster, directory: Directory, out: Path | None) -> list[str]:
    """The same in words."""
    lines = [_words(cluster, directory)]
    for one in cluster.sightings:
        sighting = one.stranger.sighting
        way = f" {sighting.direction}" if sighting.direction else ""
        crop = ", with a crop" if one.has_crop else ""
        lines.append(f"  {one.number}: {utc_text(one.at)} at {sighting.device or '?'}{way}{crop}")
    return lines if out is None else [*lines, f"the best crop is in {out}"]


def named_json(named: Named) -> dict[str, Any]:
    """Who unknown people were, and what became of each of their sightings."""
    person = named.person
    return {
        "person_id": person.external_id or person.name,
        "name": person.name,
        "recorded": [recorded_json(one) for one in named.recorded],
    }


def named_words(named: Named) -> list[str]:
    """The same in words."""
    counts = Counter(one.fate for one in named.recorded)
    sightings = counted(len(named.recorded), "sighting")
    lines = [f"{sightings} of {named.person.name}"]
    return lines + [f"{counts[fate]} {words}" for fate, words in FATES.items() if counts[fate]]


def _words(cluster: UnknownCluster, directory: Directory) -> str:
    where = ", ".join(name or "?" for name in cluster.devices)
    like = f", like {directory.name(cluster.closest)}" if cluster.closest else ""
    times = counted(len(cluster.sightings), "sighting")
    span = f"{utc_text(cluster.first)} to {utc_text(cluster.last)}"
    return f"{cluster.number}: {times}, {span}, at {where}{like}"


def _sighting_json(one: UnknownSighting) -> dict[str, Any]:
    sighting = one.stranger.sighting
    return {
        "number": one.number,
        "at": utc_text(one.at),
        "device": sighting.device,
        "direction": sighting.direction,
        "worth": one.stranger.worth,
        "crop": one.has_crop,
    }
