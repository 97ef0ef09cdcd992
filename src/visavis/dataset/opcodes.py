"""A pickle's opcodes, walked and not run: what a list of pictures needs is let through, the rest is
refused before one object is made.

The walk takes the steps that the unpickler will take. It refuses what could make that one hold more
than the file does: dictionaries and sets, memo places out of turn, frames that do not fit.
"""

from pickletools import opcodes

MOST_OPCODES = 5_000_000  # a picture takes 2 of them as bytes, 25 as an array: ten times CFP
# An opcode's argument: none, so many bytes, so many lines, or bytes that a number counts.
BARE = frozenset(b"(.012]aelt)NRb\x81\x85\x86\x87\x88\x89\x93\x94")
FIXED = {"\x80": 1, "\x95": 8, "K": 1, "M": 2, "J": 4, "q": 1, "r": 4, "h": 1, "j": 4}
LINES = {"I": 1, "L": 1, "S": 1, "V": 1, "p": 1, "g": 1, "c": 2}
COUNTED = {
    "U": 1, "T": 4, "C": 1, "B": 4, "\x8e": 8, "\x96": 8, "\x8c": 1, "X": 4, "\x8d": 8, "\x8a": 1,
}  # fmt: skip
NAMES = {opcode.code: opcode.name for opcode in opcodes}
PUTS, FRAME, STOP = frozenset(b"pqr"), 0x95, ord(".")


def check_opcodes(data: bytes) -> None:
    """Raise ValueError, IndexError or EOFError for a pickle that is no list of pictures."""
    at, frame_end, count, code = 0, 0, 0, 0
    while code != STOP:
        code, start, count = data[at], at, count + 1  # IndexError where the file is cut short
        if count > MOST_OPCODES:
            raise ValueError(f"over {MOST_OPCODES} opcodes")
        at = _next(data, start)
        if start < frame_end and (at > frame_end or code == FRAME):
            raise ValueError(f"byte {start} lies in two frames")
        if code == FRAME:
            frame_end = _inside(data, at + int.from_bytes(data[start + 1 : at], "little"))
        elif code in PUTS:
            _check_place(data[start:at], count)


def _next(data: bytes, at: int) -> int:
    """Where the opcode after this one starts."""
    code = data[at]
    if code in BARE:
        return at + 1
    name = chr(code)
    if name in FIXED:
        return _inside(data, at + 1 + FIXED[name])
    if name in COUNTED:
        start = at + 1 + COUNTED[name]
        return _inside(data, start + int.from_bytes(data[at + 1 : start], "little"))
    if name not in LINES:
        known = NAMES.get(name, f"{code:#04x}")
        raise ValueError(f"opcode {known} at byte {at} has no place in a list of pictures")
    for _ in range(LINES[name]):
        at = data.index(b"\n", at + 1)
    return at + 1


def _inside(data: bytes, end: int) -> int:
    if end > len(data):
        raise EOFError("it is cut short")
    return end


def _check_place(put: bytes, count: int) -> None:
    """The unpickler's memo is as long as its highest place: it may not run ahead."""
    place = int(put[1:]) if put[:1] == b"p" else int.from_bytes(put[1:], "little")
    if not 0 <= place <= count:
        raise ValueError(f"memo place {place} after {count} opcodes")
