"""Several sides timed by turns, as every race must be that ONNX Runtime takes part in."""

import time
from collections.abc import Callable

REST = 0.05  # seconds between the sides
WARM = 3  # rounds that do not count


def race(*sides: Callable[[], object], rounds: int) -> list[list[float]]:
    """Milliseconds of each side, round by round, in alternating runs."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds + WARM):
        for side, taken in zip(sides, times, strict=True):
            # ONNX Runtime's threads go on spinning after a call: let them rest, warm up, then time.
            time.sleep(REST)
            side()
            started = time.perf_counter()
            side()
            taken.append(1000 * (time.perf_counter() - started))
    return [taken[WARM:] for taken in times]
