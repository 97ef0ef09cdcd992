"""Pictures of a face that were shown before: a camera that hangs, or a recording that runs again.

Knows faces' pixels as hashes alone. A camera's noise is another in every picture, so that the very
same pixels do not come back; those of a clip that is fed in again do. A clip that is filmed from a
screen, or coded anew, is another picture each time: that is for the networks.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from visavis.types import Image

Sameness = Literal["new", "still", "again"]
MOST = 20_000  # pictures that are remembered: half an hour of ten a second
BYTES = 8  # of a hash


@dataclass(eq=False, slots=True)
class ShownBefore:
    """The pictures of faces that a place has shown."""

    _keys: OrderedDict[bytes, None] = field(default_factory=OrderedDict)  # the oldest first
    _latest: frozenset[bytes] = frozenset()

    def look(self, pictures: Sequence[Image]) -> list[Sameness]:
        """Of each face in the frame that is looked at: whether it is `new`, `still` what the look
        before showed, or shown `again` after others.
        """
        keys = [hashlib.blake2b(one.tobytes(), digest_size=BYTES).digest() for one in pictures]
        said = [self._said(key) for key in keys]
        self._keys.update(dict.fromkeys(keys))
        while len(self._keys) > MOST:
            self._keys.popitem(last=False)
        self._latest = frozenset(keys)
        return said

    def _said(self, key: bytes) -> Sameness:
        if key in self._latest:
            return "still"
        return "again" if key in self._keys else "new"
