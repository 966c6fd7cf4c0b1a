"""How many threads a step is given, by what steps took: cores far apart cost more than they bring.

Two threads of a small network hand each other some cache lines at every barrier. That takes a
fraction of a microsecond; between processors that share no cache, or beside other busy programs,
several. The results are the same bits for any number of threads, so the number may change.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from typing import Any

# One thread is taken to reach this share of the peak of multiply-adds. Where more threads together
# are slower than that, one is tried.
SHARE = 0.75
# Calls of fewer steps say little.
STEPS = 8
# Seconds after which the slower number is tried again; doubled each time, up to the last.
FIRST_WAIT, LAST_WAIT = 0.05, 2.0


class Pace:
    """Chooses between all useful threads and one.

    Parameters
    ----------
    alone : float
        Seconds that a step should take on one thread.
    """

    def __init__(self, alone: float) -> None:
        self.alone = alone
        self._took: dict[int, deque[float]] = {}
        self._wait, self._again = FIRST_WAIT, 0.0

    def choose(self, threads: int) -> int:
        """Return `threads` or 1: which one the next steps are to run on."""
        together = self._took.get(threads, ())
        # Two slow calls in turn: one may have been interrupted.
        if threads == 1 or len(together) < 2 or min(together) < self.alone:
            return threads
        alone = self._took.get(1)
        if alone is None:
            self._again = time.perf_counter() + self._wait
            return 1
        better, other = (1, threads) if min(alone) < min(together) else (threads, 1)
        if time.perf_counter() < self._again:
            return better
        self._wait = min(2 * self._wait, LAST_WAIT)
        self._again = time.perf_counter() + self._wait
        return other

    def note(self, threads: int, steps: int, seconds: float) -> None:
        """Tell what so many steps took on so many threads."""
        if steps >= STEPS:
            self._took.setdefault(threads, deque(maxlen=2)).append(seconds / steps)


@functools.cache
def multiply_adds(core: Any) -> float:
    """How many multiply-adds a second one thread does at most, measured for a millisecond."""
    best = 0.0
    for _ in range(3):
        begin = time.perf_counter()
        operations = core.fma_burn(50_000, 1)
        best = max(best, operations / 2 / (time.perf_counter() - begin))
    return best
