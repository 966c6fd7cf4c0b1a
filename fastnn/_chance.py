"""Layers that draw at random while a network trains, and pass their inputs on otherwise."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastnn import _random, kernels
from fastnn import _validate as check
from fastnn._layer import Layer


class Drawing(Layer):
    """Base of the layers that draw.

    What they draw depends on the seed, on how many forward passes of training came before
    (`draws`) and on the place in the mini-batch, and on nothing else.

    Parameters
    ----------
    seed : int, optional
        In [0, 2**64). By default one is drawn from the generator of `fastnn.set_random_seed`.
    name, dtype
        See `Layer`.
    """

    elementwise = True
    follows = True
    lasting = ("key", "draws")

    def __init__(
        self, seed: int | None = None, name: str | None = None, dtype: DTypeLike | None = None
    ) -> None:
        super().__init__(name, dtype)
        self.seed = seed if seed is None else check.counter(seed, "seed")
        # Without a seed, one from the generator that `set_random_seed` restarts.
        self.key = _random.key() if self.seed is None else self.seed
        self.draws = 0

    def _next(self) -> int:
        """Return the number of this draw."""
        self.draws += 1
        return self.draws - 1


class Dropout(Drawing):
    """While training, sets inputs to 0 at random and divides the others by ``1 - rate``.

    Parameters
    ----------
    rate : float
        In [0, 1]: the probability of 0.
    seed : int, optional
        In [0, 2**64). The same seed draws the same, on any number of threads.
    name, dtype
        See `Layer`.

    Notes
    -----
    N. Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting,
    JMLR 15, 2014.
    """

    _kernel = "dropout"
    lowered_by = ("rate", "key")

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(seed, name, dtype)
        self.rate = check.fraction(rate, "rate", closed=True)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self._mask = None
        if not training:
            return x
        y, self._mask = kernels.dropout(x, self.rate, self.key, self._next())
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy if self._mask is None else kernels.multiply(self._mask, dy)


class GaussianNoise(Drawing):
    """While training, adds numbers of the normal distribution to its inputs.

    Parameters
    ----------
    stddev : float
        Their standard deviation, at least 0; their mean is 0.
    seed : int, optional
        In [0, 2**64). The same seed draws the same, on any number of threads.
    name, dtype
        See `Layer`.
    """

    _kernel = "gaussian_noise"
    lowered_by = ("stddev", "key")

    def __init__(
        self,
        stddev: float,
        seed: int | None = None,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(seed, name, dtype)
        self.stddev = check.non_negative_rate(stddev, "stddev")

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        if not training:
            return x
        return kernels.gaussian_noise(x, self.stddev, self.key, self._next())

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy
