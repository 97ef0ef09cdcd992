"""Embeddings that other tools keep: pickles, .npz, .npy and JSON to names with vectors.

DeepFace's .pkl, face_recognition's encodings, CompreFace's JSON and arrays of one's own hold the
same plain data in other words. A pickle may name nothing but NumPy's arrays of numbers and of text;
no code in it runs. Knows no gallery and no model.
"""

import json
import math
import os
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.dataset.pickles import NDARRAY, PlainUnpickler, check_opcodes
from visavis.errors import DatasetError

MOST_BYTES = 1 << 28  # of a file: 100,000 vectors of 512 numbers in float32
MOST_RATIO = 100  # of a zip's content to its size
MOST_NUMBERS = 65_536  # in a vector
# The keys under which tools write whose a vector is, and the vector; the first that is there.
WHOSE = (
    "name", "names", "subject", "subjects", "identity", "identities", "person", "label", "labels",
    "known_face_names", "known_names", "paths", "path",
)  # fmt: skip
VECTORS = (
    "embedding", "embeddings", "encoding", "encodings", "known_face_encodings", "known_encodings",
    "representation", "vector", "vectors",
)  # fmt: skip
ZIP = b"PK"
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
# What a damaged or hostile file makes its reader raise.
FAULTS = (
    pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, TypeError, KeyError,
    IndexError, AttributeError, OverflowError, RecursionError, SyntaxError, TokenError,
    MemoryError, NotImplementedError,
)  # fmt: skip
EXPECTED = (
    "expected names with embeddings, as DeepFace, face_recognition, CompreFace or numpy.savez "
    "write them"
)


@dataclass(frozen=True, eq=False, slots=True)
class NamedVector:
    """A vector, whose it is, and what the file calls it."""

    person: str
    source: str
    vector: NDArray[np.float32]  # (D,), finite, not all zero


def read_vectors(path: Path) -> list[NamedVector]:
    """The vectors of a file, in its order: a pickle, .npz, .npy or JSON, told by its content.

    An .npy has the vectors of one person, named as the file. Where a tool names pictures and not
    people, the person is the picture's folder; where all lie in one, the picture. Raises
    DatasetError for any other file, for vectors of several lengths, and for none.
    """
    data = _read(path)
    try:
        named = list(
            _Reader(MOST_RATIO * len(data) if data[:2] == b"PK" else len(data)).pairs(
                _plain(data, path)
            )
        )
        return _checked(named)
    except FAULTS as error:
        words = str(error)[:200] or type(error).__name__
        raise DatasetError(f"{path}: {EXPECTED}: {words}") from error


def read_array(data: bytes) -> NDArray[Any]:
    """An .npy file's array of floats or of text. Raises one of FAULTS for any other."""
    file = BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format {version}")
    reads = np.lib.format.read_array_header_1_0
    if version == (2, 0):
        reads = np.lib.format.read_array_header_2_0
    shape, turned, kind = reads(file)
    # What the header says is believed only where just so many bytes follow it.
    return _filled(shape, kind, data[file.tell() :], turned=turned)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise DatasetError(f"{path}: expected at most {MOST_BYTES:,} bytes, got {size:,}")
            return file.read(size)
    except OSError as error:
        raise DatasetError(f"{path}: cannot read: {error.strerror}") from error


def _plain(data: bytes, path: Path) -> object:
    """What a file holds, by what it is: dictionaries, lists, text, numbers and arrays."""
    if data.startswith(b"\x93NUMPY"):
        return {path.stem: read_array(data)}
    if data.startswith(ZIP):
        return _unzipped(data)
    if data.startswith((b"\x80", b"(")):
        check_opcodes(data, dictionaries=True)
        return PlainUnpickler(
            data, GLOBALS, codecs=("latin1",), purpose="list of embeddings"
        ).load()
    return json.loads(data.decode("utf-8-sig"))


def _unzipped(data: bytes) -> dict[str, NDArray[Any]]:
    """An .npz file's arrays."""
    arrays, left = {}, min(MOST_BYTES, MOST_RATIO * len(data))
    with zipfile.ZipFile(BytesIO(data)) as archive:
        for name in archive.namelist():
            with archive.open(name) as entry:
                content = entry.read(left + 1)
            left -= len(content)
            if left < 0:
                raise ValueError(f"its arrays are over {MOST_RATIO} times its size")
            arrays[name.removesuffix(".npy")] = read_array(content)
    return arrays


@dataclass(slots=True)
class _Reader:
    """Names with vectors, of whatever a file holds. A pickle can name one list a million times, so
    it gives no more numbers than the file has bytes.
    """

    left: int

    def pairs(self, plain: object) -> Iterator[tuple[str, NDArray[Any]]]:
        """Each name with its vectors (N, D)."""
        if isinstance(plain, Mapping):
            yield from self._of_mapping(plain)
        elif isinstance(plain, list | tuple) and plain:
            yield from self._of_list(plain)
        else:
            raise ValueError(f"got {type(plain).__name__}")

    def _of_mapping(self, plain: Mapping[Any, object]) -> Iterator[tuple[str, NDArray[Any]]]:
        whose, vectors = _under(plain, WHOSE), _under(plain, VECTORS)
        if whose is not None and vectors is not None:
            yield from self._together(whose, vectors)
            return
        lists: list[Any] = [value for value in plain.values() if _is_records(value)]
        if len(lists) == 1:
            yield from self._of_list(lists[0])
        elif len(plain) == 2 and any(map(_texts, plain.values())):
            yield from self._of_list(list(plain.values()))
        elif plain and all(isinstance(name, str) and not _is_a_key(name) for name in plain):
            for name, value in plain.items():
                yield name, self._rows(value)
        else:
            raise ValueError("got a dictionary without names and embeddings")

    def _of_list(self, plain: Sequence[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
        if _is_records(plain):
            for record in plain:
                yield from self._of_mapping(record)
        elif len(plain) == 2 and any(map(_texts, plain)):
            yield from self._together(*(plain if _texts(plain[0]) else plain[::-1]))
        else:
            for item in plain:
                if not isinstance(item, list | tuple) or len(item) != 2:
                    raise ValueError(f"got a list of {type(item).__name__}")
                if not isinstance(item[0], str):
                    raise ValueError(f"expected a name, got {type(item[0]).__name__}")
                yield item[0], self._rows(item[1])

    def _together(self, whose: object, vectors: object) -> Iterator[tuple[str, NDArray[Any]]]:
        """A name for each vector, or one for all."""
        rows = self._rows(vectors)
        if isinstance(whose, str):
            yield whose, rows
            return
        names = _texts(whose)
        if len(names) != len(rows):
            raise ValueError(
                f"expected a name for each embedding, got {len(names)} names and {len(rows)} "
                "embeddings"
            )
        for name, row in zip(names, rows, strict=True):
            yield name, row[None]

    def _rows(self, value: object) -> NDArray[Any]:
        """(N, D) of an array, of a list of numbers, or of a list of either."""
        value = value.numbers if isinstance(value, _Array) else value
        if isinstance(value, list | tuple) and value:
            if not all(type(one) in (int, float) for one in value):
                return np.concatenate([self._rows(one) for one in value])
            value = np.array(value, np.float64)
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise ValueError(f"expected embeddings, got {type(value).__name__}")
        rows = np.atleast_2d(value)
        if rows.ndim != 2 or not 1 <= rows.shape[1] <= MOST_NUMBERS or not len(rows):
            raise ValueError(f"expected vectors (D,) or (N, D), got {value.shape}")
        self.left -= rows.size
        if self.left < 0:
            raise ValueError("its embeddings are larger than the file")
        return rows


def _under(plain: Mapping[Any, object], keys: Sequence[str]) -> object:
    return next((plain[key] for key in keys if key in plain), None)


def _is_a_key(name: str) -> bool:
    """Whether a name is of what it holds, and not of a person."""
    return name in WHOSE or name in VECTORS or bool(re.fullmatch("arr_[0-9]+", name))


def _is_records(value: object) -> bool:
    held = isinstance(value, list | tuple) and bool(value)
    return held and all(isinstance(one, Mapping) for one in value)  # type: ignore[attr-defined]


def _texts(value: object) -> list[str]:
    """The texts of a list or array of nothing else; empty for any other."""
    if isinstance(value, _Array):
        value = value.numbers
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.ndim == 1 and value.dtype.kind == "U" else []
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        return []
    return list(value)


def _checked(named: list[tuple[str, NDArray[Any]]]) -> list[NamedVector]:
    lengths = sorted({rows.shape[1] for _, rows in named})
    if len(lengths) != 1:
        raise ValueError(f"expected embeddings of one length, got {lengths[:5]}")
    vectors = []
    people = _people([name for name, _ in named])
    for (name, rows), person in zip(named, people, strict=True):
        numbers = rows.astype(np.float32)
        if not np.isfinite(numbers).all() or not np.linalg.norm(numbers, axis=1).all():
            raise ValueError(f"expected finite numbers, not all of them zero, of {name!r:.80}")
        source = PurePosixPath(name.replace("\\", "/")).name
        vectors += [NamedVector(person, source, row) for row in numbers]
    return vectors


def _people(names: Sequence[str]) -> list[str]:
    """Who is meant by names, or by paths of pictures."""
    paths = [PurePosixPath(name.replace("\\", "/")) for name in names]
    if not all(path.suffix.lower() in PICTURES for path in paths):
        return list(names)
    several = len({path.parent for path in paths}) > 1
    return [path.parent.name if several and path.parent.name else path.stem for path in paths]


def _filled(shape: object, kind: object, data: object, *, turned: object) -> NDArray[Any]:
    """An array of floats or text. Raises ValueError where it is not as many bytes as it says."""
    if not isinstance(kind, np.dtype) or kind.kind not in "fU":
        raise ValueError(f"expected an array of floats or text, got {kind!r:.80}")
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("expected an array of whole sides")
    size = math.prod(shape) * kind.itemsize
    if not isinstance(data, bytes | bytearray) or size != len(data):
        raise ValueError(f"expected as many bytes as an array {shape} {kind} has")
    return np.frombuffer(data, kind).reshape(shape, order="F" if turned else "C")


@dataclass(eq=False, slots=True)
class _Array:
    """Stands in for numpy.ndarray while a pickle is read."""

    numbers: NDArray[Any] | None = None

    def __setstate__(self, state: object) -> None:
        """Take what NumPy builds an array from: version, shape, dtype, order, bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("expected an array's five parts")
        _, shape, kind, turned, data = state
        self.numbers = _filled(shape, _kind(kind), data, turned=turned)


@dataclass(eq=False, slots=True)
class _Kind:
    """Stands in for numpy.dtype while a pickle is read."""

    kind: np.dtype[Any]

    def __setstate__(self, state: object) -> None:
        """Take the byte order, the second part."""
        if isinstance(state, tuple) and state[1:2] in ((">",), (b">",)):
            self.kind = self.kind.newbyteorder(">")


def _kind(kind: object) -> object:
    return kind.kind if isinstance(kind, _Kind) else kind


def _dtype(name: object, *_: object) -> _Kind:
    if not isinstance(name, str) or name.lstrip("<>=|")[:1] not in ("f", "U") or len(name) > 12:
        raise ValueError(f"expected arrays of floats or text, got dtype {name!r:.40}")
    return _Kind(np.dtype(name))


def _frombuffer(data: object, kind: object, shape: object, order: object = "C") -> _Array:
    return _Array(_filled(shape, _kind(kind), data, turned=order == "F"))


def _scalar(kind: object, data: object) -> object:
    return _filled((1,), _kind(kind), data, turned=False).tolist()[0]


def _nothing(*_: object) -> dict[object, object]:
    return {}


_NUMPY = {
    (f"numpy.{core}.{module}", name): make
    for core in ("core", "_core")
    for module, name, make in (
        ("multiarray", "_reconstruct", lambda *_: _Array()),
        ("multiarray", "scalar", _scalar),
        ("numeric", "_frombuffer", _frombuffer),
    )
}
GLOBALS: Mapping[tuple[str, str], Any] = {
    **_NUMPY,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): NDARRAY,
    ("collections", "OrderedDict"): _nothing,
    ("collections", "defaultdict"): _nothing,
    ("builtins", "list"): NDARRAY,
}
