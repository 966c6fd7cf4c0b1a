"""L-BFGS as an optimizer: steps over the whole data set, whose lengths a line search finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import lbfgs
from fastnn._parts import Part
from fastnn.optimizers.base import Optimizer


class LBFGS(Optimizer):
    """Limited-memory BFGS over the whole data set: fits small networks exactly.

    Each epoch of `fit` takes up to `max_iterations` steps, each of them over all rows, whatever the
    batch size; the next epoch goes on with the curvature learnt so far. Training ends with the
    epoch that converges.

    Parameters
    ----------
    max_iterations : int
        Steps in an epoch, at least 1.
    history_size : int
        How many of the last steps tell of the curvature, at least 1.
    gradient_tolerance : float
        At least 0: converged if no entry of the gradient is larger.
    value_tolerance : float
        At least 0: converged after a step that lowers the loss by no more than this times
        ``max(1, loss)``.
    name
        See `Optimizer`.

    Attributes
    ----------
    converged : bool
        Whether the last descent met a tolerance, or found no lower value in this precision.
    slots : list of dict of str to ndarray
        ``steps`` and ``differences``, (k, *shape), float64: the history of each array.

    Notes
    -----
    There is no learning rate: SciPy's line search finds the length of every step. It needs the same
    value for the same weights, so `Dropout` and its like draw once for an epoch. A network in
    float64 is fitted closer than one in float32. Iteration and sources: `lbfgs`.
    """

    full_batch = True

    def __init__(
        self,
        max_iterations: int = 20,
        history_size: int = 10,
        gradient_tolerance: float = 1e-5,
        value_tolerance: float = 1e-9,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.max_iterations = check.positive_int(max_iterations, "max_iterations")
        self.history_size = check.positive_int(history_size, "history_size")
        self.gradient_tolerance = check.non_negative_rate(gradient_tolerance, "gradient_tolerance")
        self.value_tolerance = check.non_negative_rate(value_tolerance, "value_tolerance")
        self.converged = False

    def get_config(self) -> dict[str, Any]:
        return Part.get_config(self)

    def update(self, params: Sequence[np.ndarray], grads: Sequence[ArrayLike]) -> None:
        raise TypeError(
            f"{self.name}: expected a function to evaluate (descend, Sequential.fit or "
            f"fastnn.minimize), got gradients alone"
        )

    def descend(
        self,
        params: Sequence[np.ndarray],
        evaluate: Callable[[], tuple[float, Sequence[np.ndarray]]],
        iterations: int | None = None,
    ) -> None:
        """Take steps, in place.

        Parameters
        ----------
        params : sequence of ndarray
            As for `Optimizer.update`.
        evaluate : callable
            Returns the value and the gradients at what `params` hold when it is called. They are
            computed with in float64 and rounded to the type of `params`.
        iterations : int, optional
            At most so many; by default `max_iterations`.

        Raises
        ------
        TypeError, ValueError
            If `params` are not arrays that `Optimizer.update` takes, `iterations` is no integer of
            at least 0, or the gradients are not of the shapes of `params`. These are as they were
            then, and also after what `evaluate` raises.
        """
        if iterations is not None:
            iterations = check.non_negative_int(iterations, "iterations")
        if not params:
            raise ValueError("params: expected at least one array, got none")
        for i, w in enumerate(params):
            check.expect_updatable(w, f"params[{i}]")
        if not self._shapes:
            self.build(params)
        self.expect_built_for(params)
        ends = np.cumsum([w.size for w in params])

        def put(x: np.ndarray) -> None:
            for w, part in zip(params, np.split(x, ends[:-1]), strict=True):
                w[...] = part.reshape(w.shape)

        def at(x: np.ndarray) -> tuple[float, np.ndarray]:
            put(x)
            value, gradients = evaluate()
            if len(gradients) != len(params):
                raise ValueError(
                    f"gradients: expected {check.plural(len(params), 'array')}, "
                    f"got {len(gradients)}"
                )
            for i, (w, g) in enumerate(zip(params, gradients, strict=True)):
                check.expect_shape(np.asarray(g), f"gradients[{i}]", w.shape)
            return float(value), _flat(gradients)

        start = end = _flat(params)
        try:
            found = lbfgs.descend(
                at,
                start,
                *self._history(int(ends[-1])),
                self.max_iterations if iterations is None else iterations,
                self.history_size,
                self.gradient_tolerance,
                self.value_tolerance,
            )
            end = found.x
        finally:
            put(end)  # not where the last trial, or an error, left them
        self.converged = found.converged
        self.iterations += found.iterations
        for name, rows in zip(_HISTORY, (found.steps, found.differences), strict=True):
            parts = np.split(rows, ends[:-1], axis=1)
            for w, slots, part in zip(params, self.slots, parts, strict=True):
                slots[name] = part.reshape(len(rows), *w.shape)

    def _history(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The history over all arrays; none where they do not have the same, as after a freeze."""
        lengths = {len(slots.get(name, ())) for slots in self.slots for name in _HISTORY}
        if len(lengths) != 1 or lengths == {0}:
            return np.zeros((0, size)), np.zeros((0, size))
        (k,) = lengths
        steps, differences = (
            np.concatenate([slots[name].reshape(k, -1) for slots in self.slots], axis=1)
            for name in _HISTORY
        )
        return steps, differences


_HISTORY = ("steps", "differences")


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(a, np.float64).ravel() for a in arrays])
