"""The one source of random numbers: a counter-based generator that `set_random_seed` restarts.

Philox (J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC11) makes its n-th
number from a key and n alone, so what is drawn never depends on threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from fastnn import _dispatch
from fastnn import _validate as check

_generator: np.random.Generator | None = None


def set_random_seed(seed: int) -> None:
    """Restart the generator behind initial weights, shuffling and every other random choice.

    Parameters
    ----------
    seed : int
        At least 0. The same seed gives the same numbers, on any number of threads.

    Raises
    ------
    TypeError, ValueError
        If it is not a whole number of at least 0.
    """
    global _generator
    _generator = seeded(check.non_negative_int(seed, "seed"))


def generator() -> np.random.Generator:
    """Return the generator that all parts share; unless a seed was set, the system seeds it."""
    global _generator
    if _generator is None:
        _generator = seeded(None)
    return _generator


def key() -> int:
    """Return a new key for numbers that are made by counter."""
    return int(generator().integers(1 << 63))


def permutation(n: int) -> np.ndarray:
    """Return ``0 … n - 1`` in random order, as int64."""
    return _dispatch.core("float32").permutation(n, key())


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Give back every number that is drawn inside: what follows is as if none had been."""
    state = generator().bit_generator.state
    try:
        yield
    finally:
        generator().bit_generator.state = state


def seeded(seed: int | None) -> np.random.Generator:
    """Return a generator of its own for `seed`."""
    return np.random.Generator(np.random.Philox(seed))
