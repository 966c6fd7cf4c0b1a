"""Derivatives made checkable: by differences, by formula, and both against back-propagation.

>>> import fastnn as fn
>>> model = fn.Sequential([fn.Input(4), fn.layers.Dense(3, "tanh"), fn.layers.Dense(2)])
>>> model.compile(loss="mse")
>>> fn.gradients.check_gradients(model, [[1, 2, 3, 4]], [[0, 1]]).passed
True

Difference quotients after W. H. Press et al., Numerical Recipes, third edition, section 5.7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _random
from fastnn import _validate as check
from fastnn._twin import twin_of
from fastnn.model import Sequential

__all__ = [
    "GradientReport",
    "GradientRow",
    "check_gradients",
    "hessian",
    "jacobian",
    "numerical_gradient",
    "sigmoid_derivative",
    "sigmoid_jacobian",
    "softmax_jacobian",
]

EPS = float(np.finfo(np.float64).eps)
# By how many roundings of its own size a loss may be wrong: a few for each layer it went through.
ROUNDINGS = 32


# ---- differences -----------------------------------------------------------------------------


def numerical_gradient(
    f: Callable[[np.ndarray], Any],
    x: ArrayLike,
    method: str = "central",
    step: ArrayLike | None = None,
) -> np.ndarray:
    """Gradient of a scalar function by difference quotients.

    Parameters
    ----------
    f : callable
        Takes a float64 array of the shape of `x`, its own to keep, and returns one number.
    x : array_like
        Of any shape, not empty.
    method : {"central", "forward"}
        ``(f(x + h) - f(x - h)) / 2h``, or ``(f(x + h) - f(x)) / h``, which calls `f` about half as
        often.
    step : float or array_like that broadcasts to `x`, optional
        ``h > 0``, by default ``eps**(1/3) * max(1, |x|)`` (central) or ``eps**(1/2) * max(1, |x|)``
        (forward) for each entry of `x`.

    Returns
    -------
    ndarray of the shape of `x`, float64

    Raises
    ------
    TypeError
        If `x`, `step` or what `f` returns is not of real numbers, or `method` is not a string.
    ValueError
        If `x` is empty, `method` is none of the two, a step is not above 0 or too small to move
        `x`, or `f` returns anything but one number.

    Notes
    -----
    Two errors add up. Truncation is ``h**2 |f'''| / 6`` (central) or ``h |f''| / 2`` (forward), and
    rounding ``eps |f| / h``, more if `f` loses digits within. The default steps balance them where
    `f` and its derivatives are of one order: the result has about 10 (central) or 8 (forward) right
    digits of that order. Across a kink of `f` a quotient is a mean of the slopes on both sides.
    """

    def scalar(x: np.ndarray) -> np.ndarray:
        value = np.asarray(f(x))
        if value.size != 1:
            raise ValueError(f"output of f: expected one number, got shape {value.shape}")
        return value.reshape(())

    return jacobian(scalar, x, method, step)


def jacobian(
    f: Callable[[np.ndarray], Any],
    x: ArrayLike,
    method: str = "central",
    step: ArrayLike | None = None,
) -> np.ndarray:
    """Jacobian of a function of an array by difference quotients.

    Parameters
    ----------
    f : callable
        Takes a float64 array of the shape of `x`, its own to keep, and returns an array, always of
        one shape.
    x, method, step
        As in `numerical_gradient`, which tells of the errors.

    Returns
    -------
    ndarray of shape ``f(x).shape + x.shape``, float64
        ``[i, j]`` is the derivative of ``f(x)[i]`` with respect to ``x[j]``, for multi-indices.

    Raises
    ------
    TypeError, ValueError
        As by `numerical_gradient`, but for what `f` returns: ValueError if that is empty or has
        not always the same shape.
    """
    x = check.as_real(x, "x", np.float64)
    central = check.choice(method, "method", ("central", "forward")) == "central"
    h = _steps(x, step, 1 / 3 if central else 1 / 2)
    return _quotients(f, x, h, h if central else np.zeros_like(h))


def hessian(
    f: Callable[[np.ndarray], Any], x: ArrayLike, step: ArrayLike | None = None
) -> np.ndarray:
    """Matrix of second derivatives of a scalar function by central differences.

    Parameters
    ----------
    f, x
        As in `numerical_gradient`. Calls `f` ``4 x.size**2`` times.
    step : float or array_like that broadcasts to `x`, optional
        By default ``eps**(1/4) * max(1, |x|)``, which balances truncation, of order ``h**2``, and
        rounding, ``eps |f| / h**2``: about 7 right digits.

    Returns
    -------
    ndarray of shape ``x.shape + x.shape``, float64
        Symmetric.

    Raises
    ------
    TypeError, ValueError
        As by `numerical_gradient`.
    """
    x = check.as_real(x, "x", np.float64)
    h = _steps(x, step, 1 / 4)
    found = jacobian(lambda x: numerical_gradient(f, x, step=h), x, step=h)
    matrix = found.reshape(x.size, x.size)
    return ((matrix + matrix.T) / 2).reshape(found.shape)


def _steps(x: np.ndarray, step: ArrayLike | None, power: float) -> np.ndarray:
    if step is None:
        return EPS**power * np.maximum(1, np.abs(x))
    step = check.as_real(step, "step", np.float64)
    if not (np.isfinite(step) & (step > 0)).all():
        raise ValueError(f"step: expected positive numbers, got {step}")
    try:
        steps = np.broadcast_to(step, x.shape)
    except ValueError:
        raise ValueError(
            f"step: expected a number or one for each entry of x (shape {x.shape}), "
            f"got shape {step.shape}"
        ) from None
    lost = (x + steps == x) | (x - steps == x)
    if lost.any():
        raise ValueError(f"step: expected steps that move x, got {steps[lost][0]} at {x[lost][0]}")
    return steps


def _quotients(
    f: Callable[[np.ndarray], Any], x: np.ndarray, ahead: np.ndarray, behind: np.ndarray
) -> np.ndarray:
    """``(f(x + ahead) - f(x - behind)) / (ahead + behind)`` for one entry of `x` at a time."""

    def value_at(i: tuple[int, ...], entry: float) -> np.ndarray:
        moved = np.array(x)
        moved[i] = entry
        return np.array(check.as_real(f(moved), "output of f", np.float64))

    columns = []
    here = None
    for i in np.ndindex(x.shape):
        # What x really moves by: a sum is rounded, and h with it.
        with np.errstate(invalid="ignore"):  # an infinite x has no neighbours
            above, below = x[i] + ahead[i], x[i] - behind[i]
        values = []
        for entry in (above, below):
            if entry != x[i]:
                values.append(value_at(i, entry))
            else:
                here = value_at(i, entry) if here is None else here
                values.append(here)
            check.expect_shape(values[-1], "output of f", values[0].shape)
        with np.errstate(invalid="ignore"):  # two infinite values have no difference but NaN
            columns.append((values[0] - values[1]) / (above - below))
    return np.stack(columns, axis=-1).reshape(columns[0].shape + x.shape)


# ---- formulas --------------------------------------------------------------------------------


def softmax_jacobian(p: ArrayLike) -> np.ndarray:
    """Jacobian of softmax from its output, ``diag(p) - p p.T``.

    Parameters
    ----------
    p : array_like of shape (..., m)
        ``softmax(z)``, over the last axis.

    Returns
    -------
    ndarray of shape (..., m, m)
        ``[..., i, j]`` is the derivative of ``p[..., i]`` with respect to ``z[..., j]``,
        ``p_i (I_ij - p_j)``. float64 if `p` is, else float32.

    Raises
    ------
    TypeError
        If `p` is not of real numbers of at most 64 bits.
    ValueError
        If it is empty or has no axis.
    """
    p = check.as_real(p, "p")
    if p.ndim == 0:
        raise ValueError("p: expected at least 1 axis, got 0 (shape ())")
    return p[..., :, None] * (np.eye(p.shape[-1], dtype=p.dtype) - p[..., None, :])


def sigmoid_derivative(p: ArrayLike) -> np.ndarray:
    """Derivative of the logistic sigmoid from its output, ``p (1 - p)``, elementwise.

    Parameters
    ----------
    p : array_like
        ``sigmoid(z)``, of any shape.

    Returns
    -------
    ndarray of the shape of `p`
        float64 if `p` is, else float32.

    Raises
    ------
    TypeError
        If `p` is not of real numbers of at most 64 bits.
    ValueError
        If it is empty.
    """
    p = check.as_real(p, "p")
    return p * (1 - p)


def sigmoid_jacobian(p: ArrayLike) -> np.ndarray:
    """Jacobian of the logistic sigmoid from its output, ``diag(p (1 - p))``.

    Parameters
    ----------
    p : array_like of shape (..., m)
        ``sigmoid(z)``.

    Returns
    -------
    ndarray of shape (..., m, m)
        float64 if `p` is, else float32.

    Raises
    ------
    TypeError
        If `p` is not of real numbers of at most 64 bits.
    ValueError
        If it is empty or has no axis.
    """
    slopes = sigmoid_derivative(p)
    if slopes.ndim == 0:
        raise ValueError("p: expected at least 1 axis, got 0 (shape ())")
    return slopes[..., :, None] * np.eye(slopes.shape[-1], dtype=slopes.dtype)


# ---- back-propagation against differences ----------------------------------------------------


@dataclass(frozen=True)
class GradientRow:
    """What `check_gradients` found for one parameter, or for the input.

    Parameters
    ----------
    name : str
        ``layer/weight``; ``x`` for the input.
    shape : tuple of int
    checked : int
        How many of its entries were compared.
    retried : int
        How many of those disagreed at first and were judged by a shorter step, as near a kink.
    difference : float
        The greatest ``|back-propagation - difference quotient|``, of the quotients that judged.
    relative_error : float
        `difference` by the greatest of all gradients compared in this row.
    passed : bool
        See `tolerance` of `check_gradients`.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    retried: int
    difference: float
    relative_error: float
    passed: bool


@dataclass(frozen=True)
class GradientReport:
    """The result of `check_gradients`: true if all is well, and a table as a string.

    Parameters
    ----------
    rows : tuple of GradientRow
        One for each parameter, in the order of the layers, and one for the input.
    """

    rows: tuple[GradientRow, ...]

    @property
    def passed(self) -> bool:
        """Whether every row passed."""
        return all(row.passed for row in self.rows)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        table = [("parameter", "shape", "checked", "retried", "difference", "relative", "verdict")]
        for row in self.rows:
            figures = f"{row.difference:.1e}", f"{row.relative_error:.1e}"
            counts = str(row.checked), str(row.retried)
            verdict = "passed" if row.passed else "FAILED"
            table.append((row.name, str(row.shape), *counts, *figures, verdict))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for cells in table:
            padded = [
                cell.ljust(width) if i in (0, 1, 6) else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            lines.append("  ".join(padded).rstrip())
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def check_gradients(
    model: Sequential,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    step: float | None = None,
    tolerance: float = 1e-6,
    max_entries: int | None = 64,
    training: bool = True,
) -> GradientReport:
    """Compare the gradients of back-propagation with central differences, in float64.

    Parameters
    ----------
    model : Sequential
        With a loss. Nothing of it changes, for all happens in a copy of it in float64, which is
        built with initial weights if the model is not built.
    x : array_like of shape (n, features)
        Or (n, a, b, …), where the model flattens it. A few rows are enough.
    y, sample_weight : array_like
        As for `Sequential.fit`.
    step : float, optional
        See `numerical_gradient`.
    tolerance : float
        A row passes if no difference is above ``tolerance`` times its greatest gradient, plus what
        rounding may do to the quotient: ``32 eps max(1, |loss|) / h``, about 1e-9.
    max_entries : int, optional
        Compare so many entries at most of each parameter and of `x`, drawn at random but the same
        ones in every call; None for all.
    training : bool
        Whether to check the pass of training, the one that `fit` goes, or the one of inference.

    Returns
    -------
    GradientReport
        ``report.passed``, ``report.rows``, and a table as ``str(report)``.

    Raises
    ------
    TypeError
        If `model` is not a Sequential, or an argument is of the wrong kind.
    ValueError
        If the model has no loss, the data do not fit it, or `step`, `tolerance` or `max_entries` is
        not above 0.

    Notes
    -----
    *Chance.* In training, every forward pass starts from the same state of the layers and of the
    library's generator, so that dropout and noise draw the same masks each time, and have a
    gradient. A layer that draws from elsewhere must be checked with ``training=False``.

    *Kinks.* A quotient across a kink, such as relu's at 0, is a mean of the slopes on both sides,
    and none of them. So where it disagrees with back-propagation, the slopes to both sides are
    taken with a step 100 times shorter than the default, over which rounding is 100 times greater.
    Back-propagation passes if it agrees with one of them or their mean; and if they stay apart
    however short the step, which they do on a kink and nowhere else, if it lies between them. An
    entry that moves several units at their kinks at once, as an input of zeros with zero biases
    does, may be reported all the same, and rightly: ``relu(x) - relu(-x)`` has slope 1 at 0, and
    back-propagation says 0. Check at another point.

    A layer that computes in float32 whatever its input cannot pass.
    """
    check.expect_instance(model, "model", Sequential)
    if model.loss is None:
        raise ValueError("check_gradients: expected a model with a loss; call compile(...)")
    if step is not None:
        step = check.positive_rate(step, "step")
    tolerance = check.positive_rate(tolerance, "tolerance")
    if max_entries is not None:
        max_entries = check.positive_int(max_entries, "max_entries")
    training = check.flag(training, "training")
    x = np.array(check.as_matrix(model.as_rows(x), "x", np.float64))
    original, _ = twin_of(model, "float64")
    loss = original.loss
    assert loss is not None
    with _random_state_kept() as restart:
        y = loss.targets(y, original(x).shape, "float64", "y")
        if sample_weight is not None:
            n = len(x)
            sample_weight = check.as_sample_weight(sample_weight, "sample_weight", n, np.float64)

        def run() -> tuple[Sequential, float, np.ndarray]:
            """A forward pass: the copy that went it, the loss, and the gradient of the outputs."""
            twin, _ = twin_of(original)
            restart()
            pred = twin(x, training)
            value, gradient = loss.value_and_gradient(y, pred, sample_weight)
            # What weights and outputs cost is in the gradients of a training pass alone.
            cost = twin.penalty() if training else 0.0
            return twin, float(np.sum(value)) + cost, gradient

        twin, value, gradient = run()
        dx = twin.backward(gradient)
        # How far off the loss may be. One that is not finite has quotients of NaN, and fails so.
        noise = ROUNDINGS * EPS * (max(1, abs(value)) if np.isfinite(value) else 1)
        # Arrays that all passes share, and their gradients.
        places = [
            (f"{layer.name}/{name}", layer.weights[name], after.gradients[name])
            for layer, after in zip(original.layers, twin.layers, strict=True)
            for name in layer.weights
            if name in after.gradients
        ]
        return GradientReport(
            tuple(
                _compare(name, array, gradient, run, noise, step, tolerance, max_entries)
                for name, array, gradient in [*places, ("x", x, dx)]
            )
        )


@contextmanager
def _random_state_kept() -> Iterator[Callable[[], None]]:
    """Give what puts the library's generator back to where it is now; at the end it is there."""
    numbers = _random.generator().bit_generator
    state = numbers.state

    def restart() -> None:
        numbers.state = state

    try:
        yield restart
    finally:
        restart()


def _compare(
    name: str,
    array: np.ndarray,
    gradient: np.ndarray,
    run: Callable[[], tuple[Sequential, float, np.ndarray]],
    noise: float,
    step: float | None,
    tolerance: float,
    max_entries: int | None,
) -> GradientRow:
    """Compare `gradient` with the quotients of the loss that `run` finds when `array` moves."""
    chosen = np.arange(array.size)
    if max_entries is not None and array.size > max_entries:
        chosen = np.sort(_random.seeded(0).choice(array.size, max_entries, replace=False))
    entries = np.array(np.unravel_index(chosen, array.shape))
    start, found = array[tuple(entries)], gradient[tuple(entries)]
    h = _steps(start, step, 1 / 3)

    def quotients(some: np.ndarray, ahead: Any, behind: Any) -> np.ndarray:
        where = tuple(entries[:, some])

        def loss_at(values: np.ndarray) -> float:
            array[where] = values
            return run()[1]

        try:
            sides = [np.broadcast_to(side, some.shape) for side in (ahead, behind)]
            return _quotients(loss_at, start[some], *sides)
        finally:
            array[where] = start[some]

    def slopes(some: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return quotients(some, 0, h), quotients(some, h, 0)

    expected = quotients(np.arange(len(chosen)), h, h)
    difference = _apart(found, expected)
    sizes = np.abs([found, expected])
    largest = float(np.max(sizes, initial=0, where=np.isfinite(sizes)))

    def allowed(h: np.ndarray) -> np.ndarray:
        return tolerance * largest + noise / h

    # Here and below, a NaN is wrong.
    retried = np.flatnonzero(~(difference <= allowed(h)))
    good = np.zeros(len(retried), bool)
    if len(retried):
        mine, usual = found[retried], _steps(start, None, 1 / 3)[retried]
        gap = _apart(*slopes(retried, usual / 10))
        left, right = slopes(retried, usual / 100)
        # Past the kinks that are near, the slope to one side is clean, or both are.
        off = _apart(mine, [left, right, (left + right) / 2]).min(axis=0)
        # On a kink the slopes stay apart; elsewhere they meet in proportion to the step.
        between = np.clip(mine, np.minimum(left, right), np.maximum(left, right))
        off = np.where(_apart(left, right) > gap / 2, _apart(mine, between), off)
        good = off <= allowed(usual / 100)
        difference[retried] = off
    worst = float(difference.max())
    return GradientRow(
        name=name,
        shape=array.shape,
        checked=len(chosen),
        retried=len(retried),
        difference=worst,
        relative_error=worst / largest if largest else worst,
        passed=bool(good.all()),
    )


def _apart(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """``|a - b|``; NaN, without a warning, for infinite numbers."""
    with np.errstate(invalid="ignore"):
        return np.abs(np.subtract(a, b))
