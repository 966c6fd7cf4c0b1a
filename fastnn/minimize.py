"""Any optimizer on any function: the path it takes, for study and for plots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import optimizers

__all__ = ["Minimization", "minimize"]


class Minimization(NamedTuple):
    """What `minimize` returns.

    Attributes
    ----------
    x : ndarray of float64
        Where the last step led.
    path : ndarray of float64, shape (steps + 1, *x.shape)
        From the start to `x`.
    values : ndarray of float64, shape (steps + 1,)
        Of the function along the path.
    """

    x: np.ndarray
    path: np.ndarray
    values: np.ndarray


def minimize(
    function: Callable[[np.ndarray], Any],
    gradient: Callable[[np.ndarray], ArrayLike] | None,
    x0: ArrayLike,
    optimizer: Any = "sgd",
    steps: int = 100,
) -> Minimization:
    """Go down a function with an optimizer, step by step.

    Parameters
    ----------
    function : callable
        Takes a float64 array of the shape of `x0`, its own to keep; returns one number.
    gradient : callable or None
        Takes the same; returns the gradient, of the shape of `x0`. None: central differences
        (`fastnn.gradients.numerical_gradient`).
    x0 : array_like
        Where to start, of any shape.
    optimizer : str or Optimizer
        Started anew. One step of `optimizers.LBFGS` is one of its iterations; it stays where its
        gradient tolerance is met.
    steps : int

    Returns
    -------
    Minimization

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, or if the function or its gradient returns anything but finite numbers
        of the right shape: an optimizer that diverges ends in an error that names the step.

    Examples
    --------
    >>> import fastnn as fn
    >>> found = fn.minimize(lambda x: (x**2).sum(), lambda x: 2 * x, [3.0, -4.0], "sgd", steps=2)
    >>> found.values.round(2).tolist()
    [25.0, 24.01, 23.06]
    """
    for name, argument in (("function", function), ("gradient", gradient)):
        if not callable(argument) and (name, argument) != ("gradient", None):
            raise TypeError(f"{name}: expected a function, got {argument!r}")
    x = check.as_real(x0, "x0", np.float64).copy(order="C")
    steps = check.positive_int(steps, "steps")
    found = optimizers.get(optimizer)
    found.reset()

    def value() -> float:
        got = check.as_real(function(x.copy()), "output of function", np.float64)
        if got.size != 1:
            raise ValueError(f"output of function: expected one number, got shape {got.shape}")
        return got.item()

    def slope() -> np.ndarray:
        if gradient is None:
            from fastnn.gradients import numerical_gradient

            return numerical_gradient(function, x)
        got = check.as_real(gradient(x.copy()), "output of gradient", np.float64)
        check.expect_shape(got, "output of gradient", x.shape)
        return got

    path, values = np.empty((steps + 1, *x.shape)), np.empty(steps + 1)
    for step in range(steps + 1):
        path[step], values[step] = x, value()
        _expect_finite(float(values[step]), "function", step, x)
        if step == steps:
            break
        if isinstance(found, optimizers.LBFGS):
            found.descend([x], lambda: (value(), [slope()]), iterations=1)
        else:
            grads = slope()
            _expect_finite(grads, "gradient", step, x)
            found.update([x], [grads])
    return Minimization(x, path, values)


def _expect_finite(result: float | np.ndarray, name: str, step: int, x: np.ndarray) -> None:
    if not np.isfinite(result).all():
        hint = " (a lower learning rate may keep it from diverging)" if step else ""
        raise ValueError(
            f"output of {name}: expected finite numbers, got {result!s} after step {step}, "
            f"at x = {x.tolist()}{hint}"
        )
