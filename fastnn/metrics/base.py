"""What all metrics share: the three methods, and the weighted mean over rows."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import losses
from fastnn._parts import Part, snake_case


class Metric(Part):
    """Base of all metrics.

    Parameters
    ----------
    name : str, optional
        The key in a history; by default the class's name in snake case.

    Raises
    ------
    TypeError
        If `name` is not a string. Every metric raises TypeError for an argument of the wrong kind
        and ValueError for a value out of the range that it states.

    Attributes
    ----------
    direction : {"up", "down", None}
        Which way is better, for callbacks with ``mode="auto"``; None if that is not known.
    running : bool
        Whether `fit` asks for the result while an epoch runs too. Without, it asks only once the
        epoch is over, for what is dear to compute.
    """

    direction: ClassVar[str | None] = None
    running: ClassVar[bool] = True

    def __init__(self, name: str | None = None) -> None:
        self.name = check.as_name(name, snake_case(type(self).__name__))

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Take in one batch.

        Parameters
        ----------
        y_true : array_like
            Targets or labels of `n` rows.
        y_pred : array_like of shape (n, m), or (n,)
        sample_weight : array_like of shape (n,), optional
            Of each row; finite.

        Raises
        ------
        TypeError
            If one of them is not of real numbers of at most 64 bits.
        ValueError
            If one is empty or of another shape (or has another number of outputs than the batches
            before, where each counts by itself), or `y_true` holds no targets of this metric, such
            as a class outside [0, m). The metric is as it was.
        NotImplementedError
            If a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__}: a metric defines update_state")

    def result(self) -> Any:
        """Return the metric over all batches since `reset_state`.

        Returns
        -------
        float or ndarray
            0 before the first batch, unless a metric says otherwise. An array is kept in a history
            as it is; what shows progress leaves it out.

        Raises
        ------
        NotImplementedError
            If a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__}: a metric defines result")

    def reset_state(self) -> None:
        """Forget all batches.

        Raises
        ------
        NotImplementedError
            If a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__}: a metric defines reset_state")

    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Any:
        """Take in one batch, and return the metric over all of them.

        Parameters
        ----------
        y_true, y_pred, sample_weight
            As for `update_state`, which also raises what this does.

        Returns
        -------
        float or ndarray
        """
        if sample_weight is None:
            self.update_state(y_true, y_pred)
        else:
            self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def suit(self, loss: losses.Loss) -> None:
        """Take note of what the network is trained on; called when a model is compiled.

        Parameters
        ----------
        loss : Loss
        """


class MeanMetric(Metric):
    """The weighted mean over rows of ``values(y_true, y_pred)``; 0 before the first batch.

    Parameters
    ----------
    name
        See `Metric`.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.reset_state()

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> ArrayLike:
        """Return one number for each row, or one for the batch.

        Parameters
        ----------
        y_true : ndarray of n rows
        y_pred : ndarray of shape (n, m)

        Returns
        -------
        array_like of shape (n,) or ()
            `update_state` raises ValueError for another shape.

        Raises
        ------
        ValueError
            If `y_true` has another shape than the metric takes.
        NotImplementedError
            If a subclass does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__}: a metric defines values")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weight = batch(y_true, y_pred, sample_weight)
        values = check.as_real(self.values(true, pred), "output of values", np.float64)
        if values.ndim:
            check.expect_shape(values, "output of values", (len(pred),))
        self.add(float((values * weight).sum()), float(weight.sum()))

    def add(self, total: float, weight: float) -> None:
        """Take in rows of which the sums are known.

        Parameters
        ----------
        total : float
            The sum of ``weight * value`` over the rows.
        weight : float
            The sum of their weights.
        """
        self._total += total
        self._weight += weight

    def result(self) -> float:
        return self._total / self._weight if self._weight else 0.0

    def reset_state(self) -> None:
        self._total = 0.0
        self._weight = 0.0


def batch(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets, predictions (n, m) and float64 weights (n,), checked."""
    pred = check.as_numbers(y_pred, "y_pred")
    if pred.ndim == 1:
        pred = pred[:, None]
    if pred.ndim != 2:
        raise ValueError(f"y_pred: expected shape (n, m) or (n,), got {pred.shape}")
    n = len(pred)
    true = check.as_numbers(y_true, "y_true")
    check.expect_rows(true, "y_true", n)
    weight = np.ones(n)
    if sample_weight is not None:
        weight = check.as_sample_weight(sample_weight, "sample_weight", n, np.float64)
    return true, pred, weight


def as_before(columns: int, before: Any) -> int:
    """Return the number of outputs, if it is that of the sums of the batches `before`."""
    if np.ndim(before) and len(before) != columns:
        raise ValueError(
            f"y_pred: expected {check.plural(len(before), 'column')} as before, got {columns}"
        )
    return columns


def like(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return the targets in the shape of the predictions."""
    return check.as_targets(y_true, "y_true", y_pred.shape)


def one_hot(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return the targets in the shape of the predictions; class labels become one-hot rows."""
    n, m = y_pred.shape
    if m > 1 and y_true.shape in ((n,), (n, 1)):
        return np.eye(m)[check.as_labels(y_true, "y_true", n, m)]
    return like(y_true, y_pred)


def class_labels(
    y_true: np.ndarray, y_pred: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return true and predicted class labels, int64 (n,).

    One output is class 1 where it is above `threshold`; of several, the highest is the class.
    """
    n, m = y_pred.shape
    found = (y_pred[:, 0] > threshold).astype(np.int64) if m == 1 else y_pred.argmax(axis=1)
    if m > 1 and y_true.shape == (n, m):
        return y_true.argmax(axis=1), found
    return check.as_labels(y_true, "y_true", n, max(2, m)), found


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient, and 0 where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    zero = np.zeros(denominator.shape)
    return np.divide(numerator, denominator, out=zero, where=denominator != 0)


def scalar(values: np.ndarray) -> Any:
    """Return a single number as a float, more as they are."""
    return float(values.reshape(())) if values.size == 1 else values
