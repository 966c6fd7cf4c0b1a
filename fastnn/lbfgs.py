"""L-BFGS: descent along directions that learn the curvature from the last few steps.

Sources
-------
[1] J. Nocedal, S. J. Wright, Numerical Optimization, second edition, 2006: algorithms 7.4 (the
    direction), 7.5 (the iteration) and 3.5 (steps by the strong Wolfe conditions, from SciPy).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["Descent", "descend", "direction"]

# The value and the gradient, (n,), of a function at x, (n,).
Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]

# Trials of one line search. Each halves an interval at least, and the first is nearly always taken.
LINE_SEARCH_TRIALS = 20


class Descent(NamedTuple):
    """Where a descent got to.

    Attributes
    ----------
    x : ndarray of float64, shape (n,)
    iterations : int
        Steps taken.
    converged : bool
        Whether a tolerance was met, or no lower value is left to be found in this precision.
    steps, differences : ndarray of float64, shape (up to history, n)
        The last changes of x and of the gradient, oldest first: what the next direction is made of.
    """

    x: np.ndarray
    iterations: int
    converged: bool
    steps: np.ndarray
    differences: np.ndarray


def descend(
    evaluate: Evaluate,
    x: np.ndarray,
    steps: np.ndarray,
    differences: np.ndarray,
    iterations: int,
    history: int,
    gradient_tolerance: float,
    value_tolerance: float,
) -> Descent:
    """Go down from `x` by up to so many iterations.

    Parameters
    ----------
    evaluate : callable
        Where it gives a number that is not finite, no step ends.
    x : ndarray of float64, shape (n,)
    steps, differences : ndarray of float64, shape (k, n)
        Of the descent that this one continues; k is 0 for a new one.
    iterations : int
        Steps to take, at most.
    history : int
        How many of the last steps to keep.
    gradient_tolerance : float
        Stop where no entry of the gradient is larger.
    value_tolerance : float
        Stop after a step that lowers the value by no more than this times ``max(1, |value|)``.

    Returns
    -------
    Descent
    """
    value, gradient = evaluate(x)
    done = 0
    converged = False
    while np.isfinite(value) and np.isfinite(gradient).all():
        converged = converged or bool(np.abs(gradient).max() <= gradient_tolerance)
        if converged or done == iterations:
            break
        towards = direction(gradient, steps, differences)
        found = _step(evaluate, x, value, gradient, towards) if gradient @ towards < 0 else None
        if found is None:
            # Perhaps the history misleads; without one the direction is the steepest, and this is
            # the end.
            converged = len(steps) == 0
            steps, differences = steps[:0], differences[:0]
            continue
        before = value
        step, value, difference = found[0] - x, found[1], found[2] - gradient
        x, _, gradient = found
        done += 1
        if step @ difference > 0:
            steps = np.vstack([steps, step])[-history:]
            differences = np.vstack([differences, difference])[-history:]
        converged = before - value <= value_tolerance * max(1, abs(before), abs(value))
    return Descent(x, done, converged, steps, differences)


def direction(gradient: np.ndarray, steps: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """Return ``-H @ gradient``, with H the inverse Hessian that the history tells of [1, 7.4].

    Without a history, the steepest direction, at most of length 1.

    Parameters
    ----------
    gradient : ndarray of float64, shape (n,)
    steps, differences : ndarray of float64, shape (k, n)
        As in `Descent`.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    if len(steps) == 0:
        return -gradient * min(1, 1 / np.linalg.norm(gradient))
    towards = -gradient
    pairs = list(zip(steps, differences, strict=True))
    weights = []
    for step, difference in reversed(pairs):
        weights.append(step @ towards / (step @ difference))
        towards -= weights[-1] * difference
    step, difference = pairs[-1]
    towards *= step @ difference / (difference @ difference)
    for (step, difference), weight in zip(pairs, reversed(weights), strict=True):
        towards += (weight - difference @ towards / (step @ difference)) * step
    return towards


def _step(
    evaluate: Evaluate, x: np.ndarray, value: float, gradient: np.ndarray, towards: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """The next point, its value and gradient, by the strong Wolfe conditions; None if none does."""
    from scipy.optimize import line_search

    # SciPy asks for value and gradient apart, and again for those of the point it takes.
    latest = x, value, gradient

    def at(point: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        nonlocal latest
        if not np.array_equal(point, latest[0]):
            found, slope = evaluate(point)
            if not (np.isfinite(found) and np.isfinite(slope).all()):
                found, slope = np.inf, np.zeros_like(point)
            latest = point, found, slope
        return latest

    with warnings.catch_warnings():
        # That a search found nothing is an answer here.
        warnings.filterwarnings("ignore", "The line search algorithm|Rounding errors prevent")
        length = line_search(
            lambda point: at(point)[1],
            lambda point: at(point)[2],
            x,
            towards,
            gradient,
            value,
            maxiter=LINE_SEARCH_TRIALS,
        )[0]
    if length is None:
        return None
    found = at(x + length * towards)
    return found if found[1] < value else None
