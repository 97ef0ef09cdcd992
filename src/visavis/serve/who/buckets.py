"""How often somebody may ask: a bucket of tokens for each, filled at a steady rate."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from visavis.serve.refusals import Refusal

MOST_BUCKETS = 10_000  # the longest unused is forgotten: it would be full again


class Buckets:
    """A bucket for each name; an empty one refuses."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, per_minute: float) -> None:
        """Take a token. A bucket holds those of ten seconds, at least one.

        Raises Refusal, 429, with the seconds until there is one.
        """
        rate, size = per_minute / 60, max(1.0, per_minute / 6)
        with self._lock:
            now = self._clock()
            level, then = self._filled.get(name, (size, now))
            level = min(size, level + (now - then) * rate)
            enough = level >= 1
            self._filled[name] = (level - 1 if enough else level, now)
            self._filled.move_to_end(name)
            if len(self._filled) > MOST_BUCKETS:
                self._filled.popitem(last=False)
        if not enough:
            seconds = str(int((1 - level) / rate) + 1)
            raise Refusal(
                "too_many",
                f"more than {per_minute:g} requests a minute",
                mend=f"ask again in {seconds} s",
                headers={"Retry-After": seconds},
            )
