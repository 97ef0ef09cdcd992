"""The published pair of liveness networks, put into a pack with another pack's models.

Nothing is guessed: what the two networks see and answer is declared here, by their published names.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from visavis.errors import PackError
from visavis.files import refuse_taken, whole_folder
from visavis.pack import DEFAULT_PACK, check_name, load_pack, packs_folder
from visavis.pack.check import check_liveness, loaded
from visavis.pack.manifest import (
    LIVENESS_FORMAT,
    LivenessSpec,
    Origin,
    Pack,
    read_pack,
    write_manifest,
)
from visavis.pack.onnx import read_network
from visavis.runtime import Preprocess

MINIFASNET_ORIGIN = Origin(
    source="Silent-Face-Anti-Spoofing, as ONNX",
    licence="Apache-2.0",
    training_data="Minivision's own recordings, not published",
    commercial="yes",
    citation="Minivision: Silent-Face-Anti-Spoofing, 2020",
)


@dataclass(frozen=True, slots=True)
class PublishedNetwork:
    """One network of the pair, as its authors publish it."""

    name: str
    file: str
    scale: float  # times as large as the face's box is what it sees


# Both take BGR 0..255, 80x80, and answer print, life, replay.
PAIR = (
    PublishedNetwork("MiniFASNetV2", "2.7_80x80_MiniFASNetV2.onnx", 2.7),
    PublishedNetwork("MiniFASNetV1SE", "4_0_0_80x80_MiniFASNetV1SE.onnx", 4.0),
)


def pack_with_liveness(
    name: str, models: Path, *, pack: str = DEFAULT_PACK, folder: Path | None = None
) -> Pack:
    """Make a pack of another pack's models and the two networks of a folder, whole or not at all.

    It is written to `folder`, or among the installed packs. Raises PackError where a network is
    missing or is none, where the name cannot be a pack's or is taken; OutputError where the folder
    cannot be written.
    """
    target = folder or packs_folder() / check_name(name)
    refuse_taken(target, PackError)
    source = load_pack(pack)
    files = {file: source.read(file, sha256) for file, sha256 in source.files().items()}
    parts = [_part(models, one) for one in PAIR]
    members = tuple(spec for spec, _ in parts)
    manifest = replace(
        source.manifest, format=LIVENESS_FORMAT, name=check_name(name), liveness=members
    )
    with whole_folder(target) as staging:
        for file, data in {**files, **{spec.file: data for spec, data in parts}}.items():
            (staging / file).write_bytes(data)
        write_manifest(staging, manifest)
        made = read_pack(staging)
    return replace(made, folder=target)


def _part(models: Path, published: PublishedNetwork) -> tuple[LivenessSpec, bytes]:
    path = models / published.file
    if not path.is_file():
        wanted = " and ".join(one.file for one in PAIR)
        raise PackError(
            f"{path}: no such file; expected {wanted} in one folder",
            mend="visavis pack pull minifasnet fetches both",
        )
    network = read_network(path)
    spec = LivenessSpec(
        name=published.name,
        file=f"liveness-{published.name}.onnx",
        sha256=hashlib.sha256(network.data).hexdigest(),
        weights_sha256=network.weights_sha256,
        scale=published.scale,
        outputs=3,
        live=1,
        origin=MINIFASNET_ORIGIN,
        preprocess=Preprocess("bgr"),
    )
    check_liveness(loaded(network.data, spec.preprocess, str(path)), spec, str(path))
    return spec, network.data
