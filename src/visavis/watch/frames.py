"""A picture of a source, what a source is to whoever takes its pictures, and what it counts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from visavis.types import Image
from visavis.watch.address import Address

NoticeKind = Literal["connected", "lost", "failed", "size", "damaged", "clock", "frozen", "moving"]


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture of a source: converting it takes time, so only those that are looked at are."""

    at: float  # seconds: since a file's beginning, or on a clock of live sources that never jumps
    convert: Callable[[], Image] = field(repr=False)

    @cached_property
    def image(self) -> Image:
        """(H, W, 3) uint8 RGB, upright."""
        return self.convert()


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened to a source, in words."""

    kind: NoticeKind
    text: str
    at: float


@dataclass(slots=True)
class Counts:
    """What became of a source's frames."""

    read: int = 0  # decoded
    dropped: int = 0  # of a live source: a newer one came before this one was taken
    damaged: int = 0  # could not be decoded
    lost: int = 0  # how often a live source was lost


class FrameSource(Protocol):
    """A source that was opened."""

    @property
    def address(self) -> Address:
        """Where its pictures come from."""

    @property
    def counts(self) -> Counts:
        """What became of its frames so far."""

    @property
    def ended(self) -> bool:
        """Whether no more frames will come."""

    def take(self) -> Shot | None:
        """The next frame of a file, the newest one of a live source; None where there is no new
        one. Raises SourceError where none will ever come.
        """

    def notes(self) -> list[Notice]:
        """What happened since this was asked before."""

    def close(self) -> None:
        """Stop reading, and let go of files, sockets and threads."""
