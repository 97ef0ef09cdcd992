"""What makes other people's pickles safe to read: a walk over their opcodes, and stand-ins for
NumPy.

Knows nothing of pictures, pairs or people.
"""

import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pickletools import opcodes

MOST_OPCODES = 5_000_000  # a picture takes 2 of them as bytes, 25 as an array: ten times CFP
# The argument of an opcode: none, some bytes, some lines, or a number and as many bytes.
BARE = frozenset(b"(.012]aelt)NRb\x81\x85\x86\x87\x88\x89\x93\x94")
FIXED = {"\x80": 1, "\x95": 8, "K": 1, "M": 2, "J": 4, "q": 1, "r": 4, "h": 1, "j": 4}
LINES = {"I": 1, "L": 1, "S": 1, "V": 1, "p": 1, "g": 1, "c": 2}
COUNTED = {
    "U": 1, "T": 4, "C": 1, "B": 4, "\x8e": 8, "\x96": 8, "\x8c": 1, "X": 4, "\x8d": 8, "\x8a": 1,
}  # fmt: skip
# Of dictionaries and numbers with fractions, in place of whole numbers of any length: as keys of a
# dictionary these can be made to take for ever.
DICTIONARIES, FRACTIONS, LONG = frozenset(b"}dsu"), "GF", frozenset("IL\x8a")
NAMES = {opcode.code: opcode.name for opcode in opcodes}
PUTS, FRAME, STOP = frozenset(b"pqr"), 0x95, ord(".")
KINDS = {"u1": "uint8", "b1": "bool"}
SHAPE = "expected an array of one axis, with as many bytes as its shape declares"
NDARRAY = object()  # stands in for numpy.ndarray, which is only ever an argument


class PlainUnpickler(pickle.Unpickler):
    """Builds lists, text, numbers and what stands in for the names in `known`; calls nothing else.

    Its file is walked by `check_opcodes` first. `codecs` are the words by which bytes may be said
    to be encoded, `purpose` what errors call the file: "no list of pictures needs" such a name.
    """

    def __init__(
        self,
        data: bytes,
        known: Mapping[tuple[str, str], object],
        *,
        codecs: Collection[object],
        purpose: str,
    ) -> None:
        super().__init__(BytesIO(data), encoding="bytes")
        self._known, self._codecs, self._purpose = known, codecs, purpose
        # Characters that may still be encoded: a pickle can encode one text many times.
        self._left = len(data)

    def find_class(self, module: str, name: str, /) -> object:
        """What stands in for a name. Raises ValueError for one that is not known."""
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        try:
            make = self._known[module, name]
        except KeyError:
            full_name = f"{module}.{name}"[:80]
            raise ValueError(f"it names {full_name!r}, which no {self._purpose} needs") from None
        # A new one each time: what a pickle sets on it touches no other.
        return partial(make) if callable(make) else make

    def _encode(self, text: object, codec: object) -> bytes:
        """Python 3 writes bytes so in the protocols of Python 2."""
        if not isinstance(text, str) or codec not in self._codecs:
            raise ValueError("expected text in latin1 where bytes are encoded")
        self._left -= len(text)
        if self._left < 0:
            raise ValueError("its texts are longer than the file")
        return text.encode("latin1")


def check_opcodes(data: bytes, *, dictionaries: bool = False) -> None:
    """Raise ValueError, IndexError or EOFError for a pickle that holds more than lists of bytes,
    text and short numbers; with `dictionaries` these may be in it, too, and fractions.
    """
    at, frame_end, count, code = 0, 0, 0, 0
    while code != STOP:
        # Raises IndexError where the file is cut short.
        code, start, count = data[at], at, count + 1
        if count > MOST_OPCODES:
            raise ValueError(f"over {MOST_OPCODES} opcodes")
        at = _next(data, start, dictionaries)
        if start < frame_end and (at > frame_end or code == FRAME):
            raise ValueError(f"byte {start} lies in two frames")
        if code == FRAME:
            frame_end = _inside(data, at + int.from_bytes(data[start + 1 : at], "little"))
        elif code in PUTS:
            _check_place(data[start:at], count)


def _next(data: bytes, at: int, dictionaries: bool) -> int:
    """Where the opcode after this one starts."""
    code = data[at]
    if code in BARE or (dictionaries and code in DICTIONARIES):
        return at + 1
    name = chr(code)
    if dictionaries and name in FRACTIONS:
        return data.index(b"\n", at) + 1 if name == "F" else _inside(data, at + 9)
    if dictionaries and name in LONG:
        raise ValueError(f"opcode {NAMES[name]} at byte {at} is of a number of any length")
    if name in FIXED:
        return _inside(data, at + 1 + FIXED[name])
    if name in COUNTED:
        start = at + 1 + COUNTED[name]
        return _inside(data, start + int.from_bytes(data[at + 1 : start], "little"))
    if name not in LINES:
        known = NAMES.get(name, f"{code:#04x}")
        raise ValueError(f"opcode {known} at byte {at} has no place here")
    for _ in range(LINES[name]):
        at = data.index(b"\n", at + 1)
    return at + 1


def _inside(data: bytes, end: int) -> int:
    if end > len(data):
        raise EOFError("it is cut short")
    return end


def _check_place(put: bytes, count: int) -> None:
    """The unpickler's memo is as long as its highest place, which may not run ahead."""
    place = int(put[1:]) if put[:1] == b"p" else int.from_bytes(put[1:], "little")
    if not 0 <= place <= count:
        raise ValueError(f"memo place {place} after {count} opcodes")


@dataclass(slots=True)
class ByteType:
    """Stands in for numpy.dtype: uint8 or bool."""

    name: str

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and fields, which one byte does not have."""


@dataclass(slots=True)
class ByteArray:
    """Stands in for numpy.ndarray: the type and bytes of an array of one axis, or of one column, as
    OpenCV wrote before 4.5.
    """

    kind: str = ""
    data: bytes | bytearray = b""

    def __setstate__(self, state: object) -> None:
        """Take what NumPy builds an array from: version, shape, dtype, order, bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError(SHAPE)
        _, shape, kind, _, data = state
        self.kind, self.data = _checked(kind, shape, data)


def dtype(name: object, *_: object) -> ByteType:
    """Stands in for numpy.dtype(). Raises ValueError for any type but uint8 and bool."""
    text = name.decode("latin1") if isinstance(name, bytes) else name
    if not isinstance(text, str) or text.removeprefix("|") not in KINDS:
        shown = repr(text[:40]) if isinstance(text, str) else type(text).__name__
        raise ValueError(f"expected arrays of uint8 or bool, got dtype {shown}")
    return ByteType(KINDS[text.removeprefix("|")])


def reconstruct(*_: object) -> ByteArray:
    """Stands in for NumPy's _reconstruct: an array that is filled later."""
    return ByteArray()


def frombuffer(data: object, kind: object, shape: object, *_: object) -> ByteArray:
    """Stands in for NumPy's _frombuffer."""
    return ByteArray(*_checked(kind, shape, data))


def scalar(kind: object, data: object) -> bool:
    """Stands in for NumPy's scalar: a single bool."""
    name, value = _checked(kind, (1,), data)
    if name != "bool":
        raise ValueError(f"expected single values to be bool, got {name}")
    return value != b"\0"


def _checked(kind: object, shape: object, data: object) -> tuple[str, bytes | bytearray]:
    if (
        not isinstance(kind, ByteType)
        or not isinstance(shape, tuple)
        or not isinstance(data, bytes | bytearray)
        or shape not in ((len(data),), (len(data), 1))
    ):
        raise ValueError(SHAPE)
    return kind.name, data
