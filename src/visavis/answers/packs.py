"""Packs as plain data and as words: listed, shown, verified, made. Decides nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.pack.manifest import Manifest, Pack

if TYPE_CHECKING:  # they load onnx, which a list of packs does not need
    from visavis.insightface.write import Written
    from visavis.pack.verify import Finding


def listed_json(name: str, manifest: Manifest) -> dict[str, Any]:
    """A pack's models in short, under the name by which it is loaded."""
    return {
        "name": name,
        "detector": manifest.detector.decoder,
        "embedder": manifest.embedder.model,
        "dim": manifest.embedder.dim,
        "liveness": [one.model for one in manifest.liveness],
        "commercial": manifest.commercial,
    }


def listed_words(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each pack."""
    width = max((len(row["name"]) for row in rows), default=0)
    return [
        f"{row['name']:<{width}}  {row['detector']} + {row['embedder']} · "
        f"{'liveness · ' if row['liveness'] else ''}"
        f"{row['dim']} numbers · commercial use: {row['commercial']}"
        for row in rows
    ]


def pack_json(pack: Pack, policies: Mapping[str, str]) -> dict[str, Any]:
    """A pack's whole manifest, its folder, and its policies in words."""
    return {**asdict(pack.manifest), "folder": str(pack.folder), "policies": {**policies}}


def pack_words(pack: Pack, policies: Mapping[str, str]) -> list[str]:
    """A pack's models: where each comes from, and what may be done with it; its policies."""
    manifest = pack.manifest
    lines = [f"{manifest.name} · format {manifest.format} · {pack.folder}"]
    models = {"detector": manifest.detector.decoder, "embedder": manifest.embedder.model}
    models |= {f"liveness {one.name}": one.model for one in manifest.liveness}
    for title, origin in manifest.origins.items():
        what = models[title]
        lines += [
            f"{title}  {what}",
            f"  from           {origin.source}",
            f"  licence        {origin.licence}",
            f"  trained on     {origin.training_data}",
            f"  commercial use {origin.commercial}",
            f"  cite           {origin.citation}",
        ]
    return lines + [f"{policy:<12}  {text}" for policy, text in policies.items()]


def findings_json(folder: Path, findings: "Sequence[Finding]") -> dict[str, Any]:
    """All that was looked at in a pack."""
    return {"folder": str(folder), "findings": [asdict(finding) for finding in findings]}


def findings_words(findings: "Sequence[Finding]") -> list[str]:
    """A line for each thing that was looked at."""
    return [f"{finding.level:<9}{finding.subject}: {finding.text}" for finding in findings]


def made_json(pack: Pack, notes: Sequence[str] = ()) -> dict[str, Any]:
    """A pack that was made, and what became of each file it was made of."""
    manifest = pack.manifest
    return {
        "folder": str(pack.folder),
        "name": manifest.name,
        "model": manifest.embedder.model,
        "dim": manifest.embedder.dim,
        "detector": manifest.detector.decoder,
        "liveness": [one.model for one in manifest.liveness],
        "commercial": [origin.commercial for origin in manifest.origins.values()],
        "notes": list(notes),
    }


def made_words(pack: Pack, notes: Sequence[str] = ()) -> list[str]:
    """What became of each file, what was made, and whether its thresholds have error rates."""
    manifest = pack.manifest
    height, width = manifest.embedder.size
    margin = f" with a margin of {manifest.embedder.margin:g}" if manifest.embedder.margin else ""
    lines = [
        *notes,
        f"{manifest.name} · {manifest.detector.decoder} + {manifest.embedder.model} · "
        f"{height}x{width}{margin} · {manifest.embedder.dim} numbers · {pack.folder}",
        *(f"liveness · {one.model} · {one.scale:g} times the face" for one in manifest.liveness),
    ]
    if manifest.calibration is None:
        lines.append(
            "no threshold has an error rate yet: measure them with "
            f"visavis calibrate {manifest.name}"
        )
    return lines


def written_json(written: "Written") -> dict[str, Any]:
    """A folder that was written for InsightFace, and its proof."""
    return {**asdict(written), "folder": str(written.folder)}


def written_words(written: "Written") -> list[str]:
    """What was changed, what was written, and what the insightface package made of it."""
    lines = [*written.notes, f"{written.folder}: {', '.join(written.files)}"]
    proof = written.proof
    if proof is None:
        return [*lines, "not proved in the insightface package"]
    return [
        *lines,
        f"insightface {proof.version} loads {', '.join(proof.tasks)}; for {proof.faces} faces with "
        f"the same landmarks its embeddings have cosine {proof.cosine:.6f} to ours, or more; its "
        f"own detector finds {proof.found}",
    ]
