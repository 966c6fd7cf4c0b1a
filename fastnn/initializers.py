"""Initial values of weights, by the names and formulas of Keras 3.

`fan_in` and `fan_out` are the numbers of inputs and outputs of one unit: the two sides of a
Dense kernel.

Sources
-------
[1] X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
    networks, AISTATS 2010, eq. 16.
[2] K. He et al., Delving deep into rectifiers, ICCV 2015, eq. 10.
[3] Y. LeCun et al., Efficient BackProp, 1998, section 4.6.
[4] Keras 3, keras.io/api/layers/initializers.
[5] A. M. Saxe, J. L. McClelland, S. Ganguli, Exact solutions to the nonlinear dynamics of learning
    in deep linear neural networks, ICLR 2014.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn import _random
from fastnn import _validate as check
from fastnn._parts import Part, find

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "get",
]

# Standard deviation of N(0, 1) cut off at -2 and 2, as Keras writes it.
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer(Part):
    """Makes an array of initial values: ``initializer(shape, dtype="float32")``.

    Parameters
    ----------
    seed : int, optional
        With a seed, every call returns the same values. Without, each call goes on in the sequence
        that `fastnn.set_random_seed` starts. At least 0.

    Raises
    ------
    TypeError, ValueError
        By all initializers: TypeError for an argument of the wrong kind, ValueError for a value out
        of the range that is stated.

    Notes
    -----
    To write one, override ``draw(shape, random)``. Numbers are drawn in float64 and rounded once,
    so that a float32 and a float64 network start from the same values.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else check.non_negative_int(seed, "seed")

    def __call__(self, shape: int | Sequence[int], dtype: DTypeLike = "float32") -> np.ndarray:
        """Return a new array.

        Parameters
        ----------
        shape : int or sequence of int
            Each side at least 1; ``()`` for a single number.
        dtype : {"float32", "float64"}

        Returns
        -------
        ndarray of this shape and type

        Raises
        ------
        TypeError
            If a side is not an integer.
        ValueError
            If a side is not positive, `dtype` is none of the two, or a value is beyond the type.
        """
        real = check.as_dtype(dtype)
        sides = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        sides = tuple(check.positive_int(side, "shape") for side in sides)
        random = _random.generator() if self.seed is None else _random.seeded(self.seed)
        return check.as_real(self.draw(sides, random), f"values of {type(self).__name__}", real)

    def draw(self, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        """Return a new float64 array.

        Parameters
        ----------
        shape : tuple of int
        random : numpy.random.Generator
            To draw from.

        Returns
        -------
        ndarray of this shape, float64

        Raises
        ------
        ValueError
            If the initializer makes no arrays of so many axes (`Orthogonal`, `Identity`).
        NotImplementedError
            If a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__}: an initializer defines draw")


class Constant(Initializer):
    """The same number everywhere.

    Parameters
    ----------
    value : float
        Finite.
    """

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = check.number(value, "value")

    def draw(self, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        return np.full(shape, self.value)


class Zeros(Constant):
    """0 everywhere."""

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """1 everywhere."""

    def __init__(self) -> None:
        super().__init__(1.0)


class RandomUniform(Initializer):
    """Uniform in ``[minval, maxval)``.

    Parameters
    ----------
    minval, maxval : float
        Finite, with ``minval <= maxval``.
    seed
        See `Initializer`.
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.minval = check.number(minval, "minval")
        self.maxval = check.number(maxval, "maxval")
        if self.minval > self.maxval:
            raise ValueError(f"minval: expected at most maxval = {maxval!r}, got {minval!r}")

    def draw(self, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        return random.uniform(self.minval, self.maxval, shape)


class RandomNormal(Initializer):
    """Normal with this mean and standard deviation.

    Parameters
    ----------
    mean, stddev : float
        Finite, and `stddev` at least 0.
    seed
        See `Initializer`.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = check.number(mean, "mean")
        self.stddev = check.non_negative_rate(stddev, "stddev")

    def draw(self, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        return self.mean + self.stddev * random.standard_normal(shape)


class TruncatedNormal(RandomNormal):
    """Normal, with values further than two `stddev` from the mean drawn again.

    What remains has a standard deviation of 0.8796 `stddev`.

    Parameters
    ----------
    mean, stddev, seed
        See `RandomNormal`.
    """

    def draw(self, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        return self.mean + self.stddev * _truncated_normal(shape, random)


class VarianceScaling(Initializer):
    """Values of variance ``scale / fan`` [4].

    Parameters
    ----------
    scale : float
        Positive.
    mode : {"fan_in", "fan_out", "fan_avg"}
        Which fan; ``fan_avg`` is the mean of the two.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        Uniform means ``[-limit, limit)`` with ``limit = sqrt(3 * scale / fan)``. Both normal ones
        have the variance that is asked for, after the cut.
    seed
        See `Initializer`.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.scale = check.positive_rate(scale, "scale")
        self.mode = check.choice(mode, "mode", ("fan_in", "fan_out", "fan_avg"))
        self.distribution = check.choice(
            distribution, "distribution", ("truncated_normal", "untruncated_normal", "uniform")
        )

    def draw(self, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        fan_in, fan_out = _fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            return random.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return stddev * random.standard_normal(shape)
        return stddev / _TRUNCATED_STDDEV * _truncated_normal(shape, random)


class GlorotUniform(VarianceScaling):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)) [1]: for tanh, sigmoid and softmax.

    Parameters
    ----------
    seed
        See `Initializer`.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal of standard deviation sqrt(2 / (fan_in + fan_out)) [1].

    Parameters
    ----------
    seed
        See `Initializer`.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform in ±sqrt(6 / fan_in) [2]: for ReLU.

    Parameters
    ----------
    seed
        See `Initializer`.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal of standard deviation sqrt(2 / fan_in) [2]: for ReLU.

    Parameters
    ----------
    seed
        See `Initializer`.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform in ±sqrt(3 / fan_in) [3].

    Parameters
    ----------
    seed
        See `Initializer`.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal of standard deviation sqrt(1 / fan_in) [3], as Keras has it.

    The plain one, N(0, 1 / sqrt(fan_in)), is
    ``VarianceScaling(1.0, "fan_in", "untruncated_normal")``.

    Parameters
    ----------
    seed
        See `Initializer`.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


class Orthogonal(Initializer):
    """A random matrix with orthonormal columns, or rows where there are fewer of them [5].

    Leading axes count as rows together. It is drawn evenly over all such matrices: the Q of the QR
    decomposition of a normal matrix, with signs so that R has a positive diagonal.

    Parameters
    ----------
    gain : float
        Factor of the matrix; finite.
    seed
        See `Initializer`.

    Notes
    -----
    The decomposition is LAPACK's: on another machine the last bits may differ.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = check.number(gain, "gain")

    def draw(self, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        if len(shape) < 2:
            raise ValueError(f"shape: expected at least 2 axes for Orthogonal, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(random.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.copysign(1.0, np.diag(r))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


class Identity(Initializer):
    """`gain` on the diagonal of a matrix, 0 elsewhere.

    Parameters
    ----------
    gain : float
        Finite.
    """

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = check.number(gain, "gain")

    def draw(self, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(f"shape: expected 2 axes for Identity, got {shape}")
        return self.gain * np.eye(*shape)


_INITIALIZERS: dict[str, type[Initializer]] = {
    "zeros": Zeros,
    "ones": Ones,
    "zero": Zeros,
    "one": Ones,
    "constant": Constant,
    "identity": Identity,
    "orthogonal": Orthogonal,
    "normal": RandomNormal,
    "uniform": RandomUniform,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "lecun_normal": LecunNormal,
    "lecun_uniform": LecunUniform,
}


def get(identifier: Any, argument: str = "initializer") -> Callable[..., np.ndarray]:
    """Return an initializer: by name, by class, or any callable ``(shape, dtype) -> array``.

    Parameters
    ----------
    identifier : str, dict, class, Initializer or callable
        A dict is ``{"class_name": name, "config": arguments}``.
    argument : str
        What an error calls `identifier`.

    Returns
    -------
    Initializer or callable

    Raises
    ------
    ValueError
        If no initializer has this name; near matches are named.
    TypeError
        If `identifier` is of another kind.
    """
    if callable(identifier) and not isinstance(identifier, (type, Initializer)):
        return identifier
    return find(identifier, _INITIALIZERS, Initializer, argument)


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return ``(fan_in, fan_out)``; leading axes of a shape of three or more are windows."""
    if len(shape) < 2:
        side = shape[0] if shape else 1
        return side, side
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def _truncated_normal(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Draw from N(0, 1), and again for each value outside [-2, 2]."""
    values = random.standard_normal(shape)
    outside = np.abs(values) > 2
    while outside.any():
        values[outside] = random.standard_normal(np.count_nonzero(outside))
        outside = np.abs(values) > 2
    return values
