"""Regularizers, by the names of Keras 3: what large weights or activities add to the loss.

``regularizer(x)`` is the cost, ``regularizer.gradient(x)`` its gradient. To write your own, make an
object with these two; layers take it like a built-in one.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import kernels
from fastnn._parts import Part, find

__all__ = ["L1", "L1L2", "L2", "Penalty", "Regularizer", "get", "l1", "l1_l2", "l2"]


@runtime_checkable
class Penalty(Protocol):
    """What a regularizer of your own must have.

    Its gradient is refused (ValueError, by `Layer.backward`) if it has not the shape of `x`.
    """

    def __call__(self, x: np.ndarray, /) -> float:
        """Return the cost of weights or activities.

        Parameters
        ----------
        x : ndarray

        Returns
        -------
        float
        """

    def gradient(self, x: np.ndarray, /) -> np.ndarray:
        """Return the gradient of the cost.

        Parameters
        ----------
        x : ndarray

        Returns
        -------
        ndarray of the shape of `x`
        """


class Regularizer(Part):
    """``l1 * sum |x| + l2 * sum x**2``, for some `l1` and `l2`; base of the built-in regularizers.

    Raises
    ------
    TypeError, ValueError
        By all of them, if `l1` or `l2` is not a number, or not finite and at least 0.

    Notes
    -----
    A. Krogh, J. A. Hertz, A simple weight decay can improve generalization, NIPS 1991 (l2);
    R. Tibshirani, Regression shrinkage and selection via the lasso, JRSS B 58, 1996 (l1).
    """

    _kernel = "l1_l2"
    _formula = ("__call__", "gradient")

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, x: ArrayLike) -> float:
        """Return the cost of an array, computed in float64.

        Parameters
        ----------
        x : array_like
            Of any shape, not empty.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            If `x` is not of real numbers of at most 64 bits, or empty.
        """
        x = check.as_real(x, "x", np.float64)
        return float(self.l1 * np.abs(x).sum() + self.l2 * np.square(x).sum())

    def gradient(self, x: ArrayLike) -> np.ndarray:
        """Return ``l1 * sign(x) + 2 * l2 * x``.

        Parameters
        ----------
        x : array_like
            Of any shape, not empty.

        Returns
        -------
        ndarray of the shape of `x`
            float64 if `x` is, else float32.

        Raises
        ------
        TypeError, ValueError
            As by a call.
        """
        x = check.as_real(x, "x")
        gradient = np.zeros_like(x)
        kernels.add_penalty(gradient, x, self.l1, self.l2)
        return gradient


class L1(Regularizer):
    """``l1 * sum |x|``, which makes weights zero.

    Parameters
    ----------
    l1 : float
        At least 0.
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = check.non_negative_rate(l1, "l1")


class L2(Regularizer):
    """``l2 * sum x**2``, which makes weights small.

    Parameters
    ----------
    l2 : float
        At least 0.
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = check.non_negative_rate(l2, "l2")


class L1L2(Regularizer):
    """``l1 * sum |x| + l2 * sum x**2``, the elastic net.

    Parameters
    ----------
    l1, l2 : float
        At least 0.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = check.non_negative_rate(l1, "l1")
        self.l2 = check.non_negative_rate(l2, "l2")


# The second names that Keras has for them.
l1, l2, l1_l2 = L1, L2, L1L2

_REGULARIZERS: dict[str, type[Regularizer]] = {"l1": L1, "l1_l2": L1L2, "l1l2": L1L2, "l2": L2}


def get(identifier: Any, argument: str = "regularizer") -> Penalty | None:
    """Return a regularizer: None, a name ("l1", "l2", "l1_l2"), or an object of your own.

    Parameters
    ----------
    identifier : str, dict, class or Penalty, optional
        A dict is ``{"class_name": name, "config": arguments}``.
    argument : str
        What an error calls `identifier`.

    Returns
    -------
    Penalty or None

    Raises
    ------
    ValueError
        If no regularizer has this name; near matches are named.
    TypeError
        If the object lacks ``__call__(x)`` or ``gradient(x)``.
    """
    if identifier is None:
        return None
    if isinstance(identifier, Penalty) and not isinstance(identifier, type):
        return identifier
    return find(identifier, _REGULARIZERS, Regularizer, argument)


def add_gradient(penalty: Penalty, gradient: np.ndarray, x: np.ndarray, by: int = 1) -> None:
    """Add the gradient of ``penalty(x) / by`` in place; with the bits of the compiled plan."""
    if isinstance(penalty, Regularizer) and penalty.kernel_name is not None:
        kernels.add_penalty(gradient, x, penalty.l1 / by, penalty.l2 / by)
    else:
        more = check.as_real(penalty.gradient(x), "output of regularizer.gradient", x.dtype)
        check.expect_shape(more, "output of regularizer.gradient", x.shape)
        gradient += more / by


def numbers(penalty: Penalty | None) -> tuple[float, float] | None:
    """Return (l1, l2) of what a kernel computes: zeros for None, None for a user's own."""
    if penalty is None:
        return 0.0, 0.0
    if isinstance(penalty, Regularizer) and penalty.kernel_name is not None:
        return penalty.l1, penalty.l2
    return None
