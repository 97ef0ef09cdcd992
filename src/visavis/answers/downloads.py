"""Models and packs from elsewhere, as plain data and as words. Fetches nothing."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from visavis.hub.catalogue import CATALOGUE, Published
from visavis.hub.pull import Download, Record
from visavis.pack import SOURCES_FOLDER, pack_names, packs_folder
from visavis.pack.manifest import Manifest

# Why a file's hash was believed.
TRUSTED = {
    "table": "as this visavis expects",
    "pin": "as it was pinned",
    "first use": "not known before: trusted now, and pinned for every later time",
}


def terms_words(name: str, published: Published) -> list[str]:
    """What a user should know before a model is fetched."""
    size = sum(file.size or 0 for file in published.files) / 1e6
    rows = {
        name: published.about,
        "licence": published.licence,
        "trained on": published.training_data,
        "commercial use": published.commercial,
        "cite": published.citation,
        "size": f"{size:.1f} MB" if size else "not known before it is asked for",
    }
    return [f"{key:<16}{value}" for key, value in rows.items()]


def models_json(*, commercial_alone: bool = False) -> list[dict[str, Any]]:
    """The models that can be pulled: a row for each, and where it lies if it was."""
    return [
        {
            "name": name,
            "about": model.about,
            "commercial": model.commercial,
            "pulled": str(_pulled(name)) if _pulled(name).is_dir() else None,
        }
        for name, model in CATALOGUE.items()
        if not commercial_alone or model.commercial == "yes"
    ]


def models_words(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each model that can be pulled, and how."""
    width = max((len(row["name"]) for row in rows), default=0)
    lines = [
        f"  {row['name']:<{width}}  {row['about']} · commercial use: {row['commercial']}"
        f"{' · pulled' if row['pulled'] else ''}"
        for row in rows
    ]
    return ["to be had with visavis pack pull NAME:", *lines] if lines else []


def published(name: str) -> tuple[dict[str, Any], list[str]] | None:
    """What the catalogue says of a model, as JSON and as words; None for any other name, and for a
    pack of that name that is installed.
    """
    model = CATALOGUE.get(name)
    if model is None or name in pack_names():
        return None
    (row,) = (one for one in models_json() if one["name"] == name)
    lies = f"here            {row['pulled']}" if row["pulled"] else f"visavis pack pull {name}"
    terms = {
        key: getattr(model, key)
        for key in ("licence", "training_data", "citation", "preprocessing")
    }
    return {**row, **terms}, [*terms_words(name, model), lies]


def _pulled(name: str) -> Path:
    return packs_folder() / SOURCES_FOLDER / name


def model_json(folder: Path, record: Record, next_command: str) -> dict[str, Any]:
    """A pulled model: its source.json, where it lies, and what to do next."""
    return asdict(record) | {
        "folder": str(folder),
        "next": next_command,
        "notes": [_download_words(download) for download in record.downloads],
    }


def _download_words(download: Download) -> str:
    """Where a file came from, and why it was believed."""
    return (
        f"{download.file}: {download.url}\n"
        f"         {download.size} bytes, sha256 {download.sha256}: {TRUSTED[download.trusted]}"
    )


def pulled_json(folder: Path, manifest: Manifest, next_command: str) -> dict[str, Any]:
    """A pulled pack: what it is, where it lies, and what to do next."""
    return {
        "name": manifest.name,
        "embedder": manifest.embedder.model,
        "folder": str(folder),
        "next": next_command,
        "notes": [
            f"{part}: {origin.source} · {origin.licence} · commercial use: {origin.commercial}"
            for part, origin in manifest.origins.items()
        ],
    }


def pulled_words(document: dict[str, Any]) -> list[str]:
    """What `model_json` or `pulled_json` holds, for people."""
    return [
        *(line for note in document["notes"] for line in note.split("\n")),
        f"here     {document['folder']}",
        f"next     {document['next']}",
    ]
