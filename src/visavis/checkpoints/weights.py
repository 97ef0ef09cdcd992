"""A file of weights, in any format, to tensors by name. Trusts no file, and runs nothing in one.
Knows nothing of networks.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from visavis.checkpoints.cvlface import weights_in
from visavis.checkpoints.unpickle import DAMAGE, Stub, module_tensors, read_pickled
from visavis.errors import CheckpointError

CONTAINERS = ("state_dict", "net_state_dict", "state_dict_backbone", "model")
HEAD_BYTES = 512
MOST_HEAD = 3  # tensors of a margin head, which is saved beside its backbone
MOST_DEPTH = 4  # of containers within containers
# Of a safetensors file: a network has hundreds of tensors, each about 100 bytes of its header. One
# of a million takes safetensors a minute.
MOST_HEADER_BYTES = 1 << 20
MOST_TENSORS = 10_000
WEB_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml")


@dataclass(frozen=True, slots=True)
class Weights:
    """What a file holds."""

    path: Path  # the file's
    source: Path  # what was asked for: the file, or the CVLface folder it lies in
    tensors: dict[str, Tensor]
    container: str  # the entry they lay in, as in CONTAINERS, or "" where they lay bare
    metadata: dict[str, str]  # of a safetensors file
    sha256: str


def read_weights(source: Path | Weights) -> Weights:
    """The tensors of a torch.save file, new or legacy, of a safetensors file, or of a CVLface
    folder, on the CPU. Weights that were read already are returned as they are.

    Raises CheckpointError, which says what the file is instead if its first bytes tell.
    """
    if isinstance(source, Weights):
        return source
    path = weights_in(source) if source.is_dir() else source
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    metadata: dict[str, str] = {}
    try:
        if head[8:9] == b"{":
            content, metadata = _safetensors(path)
        else:
            _check_head(path, head)
            content = _pickled(path, zipped=head.startswith(b"PK\x03\x04"))
    except (*DAMAGE, BadZipFile, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: damaged, or cut short, or no checkpoint: {_first_line(error)}"
        ) from error
    if isinstance(content, Tensor):
        raise CheckpointError(f"{path}: one tensor alone, as of a margin head: not a backbone")
    tensors, container = _contained(path, content)
    _check_tensors(path, tensors, size)
    return Weights(path, source, tensors, container, metadata, sha256)


def _check_head(path: Path, head: bytes) -> None:
    """Raise CheckpointError for a file that cannot be loaded: its first bytes say what it is."""
    start = head.lstrip().lower()
    known = {
        "empty": not head,
        "a web page, saved in place of the file: download it again": start.startswith(WEB_PAGES),
        "a pointer of Git LFS, not the file: run git lfs pull": start.startswith(b"version https"),
        "a Keras file, which is not read: use the PyTorch checkpoint it was ported from: AdaFace's "
        "adaface_ir101_webface{4m,12m}.ckpt, MagFace's .pth, or arcface_torch's "
        "glint360k_cosface_r{18,34,50,100}_fp16_0.1": head.startswith(b"\x89HDF"),
    }
    for what, applies in known.items():
        if applies:
            raise CheckpointError(f"{path}: {what}")
    if not head.startswith((b"PK\x03\x04", b"\x80")):
        raise CheckpointError(
            f"{path}: no checkpoint: expected a file of torch.save or safetensors, or a CVLface "
            f"folder; it begins with {head[:8]!r}"
        )


def _safetensors(path: Path) -> tuple[object, dict[str, str]]:
    _check_header(path)
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})


def _check_header(path: Path) -> None:
    """Raise CheckpointError where a safetensors file has a header that no network needs."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > MOST_HEADER_BYTES:
            raise CheckpointError(
                f"{path}: expected a header of at most {MOST_HEADER_BYTES:,} bytes, got {size:,}"
            )
        header = json.loads(file.read(size))
    if len(header) > MOST_TENSORS:
        raise CheckpointError(
            f"{path}: expected at most {MOST_TENSORS:,} tensors, got {len(header):,}"
        )


def _pickled(path: Path, *, zipped: bool) -> object:
    if zipped:
        _check_zip(path)
        return read_pickled(str(path), mapped=True)
    # As bytes: torch would take some files for its oldest format, a tar, and unpack them.
    return read_pickled(io.BytesIO(path.read_bytes()), mapped=False)


def _check_zip(path: Path) -> None:
    with ZipFile(path) as archive:
        entries = archive.infolist()
    names = {PurePosixPath(entry.filename).name for entry in entries}
    # Before its compressed entries, which are its program.
    if "constants.pkl" in names:
        raise CheckpointError(
            f"{path}: a TorchScript archive, which holds a program",
            mend="save its state_dict() instead",
        )
    for entry in entries:
        place = PurePosixPath(entry.filename.replace("\\", "/"))
        if ".." in place.parts or place.is_absolute():
            raise CheckpointError(f"{path}: its entry {entry.filename!r} leads out of the archive")
        if entry.compress_type != ZIP_STORED:
            raise CheckpointError(
                f"{path}: its entry {entry.filename!r} is compressed, as torch.save never does",
                mend="if it is an archive with a checkpoint inside, unpack it",
            )
    if "data.pkl" not in names:
        raise CheckpointError(f"{path}: a zip archive without data.pkl: not a file of torch.save")


def _contained(path: Path, content: object) -> tuple[dict[str, Tensor], str]:
    """The state dict in a file's content, and the name of the entry it lay in: one of CONTAINERS,
    or else the only one that holds tensors.
    """
    container = ""
    for _ in range(MOST_DEPTH):
        tensors = _named_tensors(content)
        if not isinstance(content, Mapping):
            return tensors, container
        known = [name for name in CONTAINERS if isinstance(content.get(name), Mapping | Stub)]
        inner = known[:1] or ([] if tensors else _holding(content))
        if len(inner) > 1:
            raise CheckpointError(
                f"{path}: {len(inner)} entries hold tensors, and nobody can tell which is meant: "
                f"{', '.join(inner)}",
                mend="save one of them alone",
            )
        if not inner:
            return tensors, container
        container, content = inner[0], content[inner[0]]
    return {}, container


def _named_tensors(content: object) -> dict[str, Tensor]:
    """The tensors by name, of a dictionary or of a module that was pickled whole."""
    if isinstance(content, Stub):
        return module_tensors(content)
    items = content.items() if isinstance(content, Mapping) else ()
    return {
        name: value for name, value in items if isinstance(name, str) and isinstance(value, Tensor)
    }


def _holding(content: Mapping[object, object]) -> list[str]:
    """The entries that hold tensors, themselves or further in; heads only where there is no
    backbone.
    """
    counts = {
        name: _most_tensors(value) for name, value in content.items() if isinstance(name, str)
    }
    backbones = [name for name, count in counts.items() if count > MOST_HEAD]
    return backbones or [name for name, count in counts.items() if count]


def _most_tensors(content: object) -> int:
    """The tensors of the largest state dict in it. An optimiser's have no names."""
    most, seen, held = 0, set[int](), [content]
    # It grows while it is read; a pickle may hold one thing many times, or in itself.
    for value in held:
        count = 0 if id(value) in seen else len(_named_tensors(value))
        most = max(most, count)
        if isinstance(value, Mapping) and not count and id(value) not in seen:
            held.extend(value.values())
        seen.add(id(value))
    return most


def _check_tensors(path: Path, tensors: Mapping[str, Tensor], size: int) -> None:
    if not tensors:
        raise CheckpointError(
            f"{path}: holds no tensors by name: expected a state dict, bare or under "
            f"{', '.join(CONTAINERS)}"
        )
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex():
            raise CheckpointError(f"{path}: {name} is no plain tensor but {tensor.layout}")
        if tensor.device.type != "cpu":
            raise CheckpointError(f"{path}: {name} has a shape and no values")
    # A pickle can name one number a million times: no file of weights does.
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > size:
        raise CheckpointError(f"{path}: its tensors are larger than the file")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
