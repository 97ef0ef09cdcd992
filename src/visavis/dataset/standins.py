"""Stand-ins for the functions of numpy that a pickle of pictures names. They build no array, and
never show what they were given: to print a nest of tuples may take for ever.
"""

from dataclasses import dataclass

KINDS = {"u1": "uint8", "b1": "bool"}
SHAPE = "expected an array of one axis, with as many bytes as it says"
NDARRAY = object()  # numpy.ndarray, which is only ever an argument


@dataclass(slots=True)
class Kind:
    """numpy.dtype of uint8 or bool."""

    name: str

    def __setstate__(self, state: object) -> None:
        """Byte order and fields: one byte has neither."""


@dataclass(slots=True)
class Row:
    """An array of one axis, or of one column as OpenCV wrote before 4.5: its kind and bytes."""

    kind: str = ""
    data: bytes | bytearray = b""

    def __setstate__(self, state: object) -> None:
        """What numpy's arrays are built from: version, shape, dtype, order, bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError(SHAPE)
        _, shape, kind, _, data = state
        self.kind, self.data = _checked(kind, shape, data)


def dtype(name: object, *_: object) -> Kind:
    """numpy.dtype. Raises ValueError for any but uint8 and bool."""
    text = name.decode("latin1") if isinstance(name, bytes) else name
    if not isinstance(text, str) or text.removeprefix("|") not in KINDS:
        shown = repr(text[:40]) if isinstance(text, str) else type(text).__name__
        raise ValueError(f"expected arrays of uint8 or bool, got dtype {shown}")
    return Kind(KINDS[text.removeprefix("|")])


def reconstruct(*_: object) -> Row:
    """numpy's _reconstruct: an array that is filled later."""
    return Row()


def frombuffer(data: object, kind: object, shape: object, *_: object) -> Row:
    """numpy's _frombuffer."""
    return Row(*_checked(kind, shape, data))


def scalar(kind: object, data: object) -> bool:
    """numpy's scalar: a bool alone."""
    name, value = _checked(kind, (1,), data)
    if name != "bool":
        raise ValueError(f"expected single values to be bool, got {name}")
    return value != b"\0"


def _checked(kind: object, shape: object, data: object) -> tuple[str, bytes | bytearray]:
    if (
        not isinstance(kind, Kind)
        or not isinstance(shape, tuple)
        or not isinstance(data, bytes | bytearray)
        or shape not in ((len(data),), (len(data), 1))
    ):
        raise ValueError(SHAPE)
    return kind.name, data
