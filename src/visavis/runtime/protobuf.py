"""Messages of protobuf, field by field, their bytes not copied. Knows not what a message means."""

import struct
from collections.abc import Iterator

import numpy as np

Value = int | memoryview  # of a field: a number, or bytes


def message_fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Each field's number and value. Raises ValueError for what is no message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == 2:
            size, place = _varint(message, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if not number or place + size > len(message):
            raise ValueError("a field that is cut short")
        yield number, message[place : place + size]
        place += size


def first_numbers(value: Value, most: int, kind: str = "") -> list[float]:
    """The first numbers of a field: of a numpy type, or else whole ones of variable length."""
    if isinstance(value, int):
        return [_signed(value)]
    if kind:
        size = np.dtype(kind).itemsize
        whole = value[: min(len(value) // size, most) * size]
        return [float(number) for number in np.frombuffer(whole, kind)]
    numbers: list[float] = []
    place = 0
    while place < len(value) and len(numbers) < most:
        number, place = _varint(value, place)
        numbers.append(_signed(number))
    return numbers


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A whole number in protobuf's variable length, and where the next byte is."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, place
    raise ValueError("a number that is cut short")


def _signed(number: int) -> int:
    return int(struct.unpack("<q", struct.pack("<Q", number))[0])
