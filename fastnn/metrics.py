"""Metrics: what is reported of a network, kept apart from what it is trained on.

``metric.update_state(y_true, y_pred)`` for each batch, then ``metric.result()``; ``reset_state()``
starts again. A metric may be computed in Python alone: define ``values(y_true, y_pred)``, one
number for each row, in a subclass of `MeanMetric`; or the three methods in one of `Metric`; or pass
a plain function ``f(y_true, y_pred)`` that returns a number or one for each row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import losses
from fastnn._parts import Part, find, snake_case

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "MeanAbsoluteError",
    "MeanMetric",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "get",
]


class Metric(Part):
    """Base of all metrics.

    Parameters
    ----------
    name : str, optional
        The key in a history; by default the class's name in snake case.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = snake_case(type(self).__name__) if name is None else str(name)

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
        """
        raise NotImplementedError(f"{type(self).__name__}: a metric defines update_state")

    def result(self) -> float:
        """Return the metric over all batches since `reset_state`."""
        raise NotImplementedError(f"{type(self).__name__}: a metric defines result")

    def reset_state(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__}: a metric defines reset_state")


class MeanMetric(Metric):
    """The weighted mean over rows of ``values(y_true, y_pred)``; 0 before the first batch."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.reset_state()

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> ArrayLike:
        """Return one number for each row, (n,), or one for the batch."""
        raise NotImplementedError(f"{type(self).__name__}: a metric defines values")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        pred = check.as_numbers(y_pred, "y_pred")
        if pred.ndim == 1:
            pred = pred[:, None]
        n = len(pred)
        true = check.as_numbers(y_true, "y_true")
        check.expect_rows(true, "y_true", n)
        weight = np.ones(n)
        if sample_weight is not None:
            weight = check.as_sample_weight(sample_weight, "sample_weight", n, np.float64)
        values = check.as_real(self.values(true, pred), "output of values", np.float64)
        if values.ndim:
            check.expect_shape(values, "output of values", (n,))
        self.add(float((values * weight).sum()), float(weight.sum()))

    def add(self, total: float, weight: float) -> None:
        """Take in rows whose values have this weighted sum, and their weights that one."""
        self._total += total
        self._weight += weight

    def result(self) -> float:
        return self._total / self._weight if self._weight else 0.0

    def reset_state(self) -> None:
        self._total = 0.0
        self._weight = 0.0


class Accuracy(MeanMetric):
    """How often a prediction equals its target."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return (_like(y_true, y_pred) == y_pred).mean(axis=-1)


class BinaryAccuracy(MeanMetric):
    """How often ``y_pred > threshold`` equals the target, 0 or 1.

    Parameters
    ----------
    threshold : float
        0.5 for probabilities, 0 for logits.
    """

    def __init__(self, threshold: float = 0.5, name: str | None = None) -> None:
        super().__init__(name)
        self.threshold = check.number(threshold, "threshold")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return (_like(y_true, y_pred) == (y_pred > self.threshold)).mean(axis=-1)


class CategoricalAccuracy(MeanMetric):
    """How often the highest output is that of the target's highest class (one-hot targets)."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return _like(y_true, y_pred).argmax(axis=-1) == y_pred.argmax(axis=-1)


class SparseCategoricalAccuracy(MeanMetric):
    """How often the highest output is that of the label, in [0, m)."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return check.as_labels(y_true, "y_true", *y_pred.shape) == y_pred.argmax(axis=-1)


class MeanSquaredError(MeanMetric):
    """``mean (y_pred - y_true)**2``."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.square(_difference(y_true, y_pred)).mean(axis=-1)


class MeanAbsoluteError(MeanMetric):
    """``mean |y_pred - y_true|``."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.abs(_difference(y_true, y_pred)).mean(axis=-1)


class _AccuracyByShape(MeanMetric):
    """Accuracy of whichever kind the first targets and outputs call for, as Keras chooses it."""

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> ArrayLike:
        if y_pred.shape[1] == 1:
            kind: MeanMetric = BinaryAccuracy()
        else:
            kind = CategoricalAccuracy() if y_true.shape == y_pred.shape else _SPARSE
        return kind.values(y_true, y_pred)


_SPARSE = SparseCategoricalAccuracy()


class _FunctionMetric(MeanMetric):
    """A plain function as a metric: its mean over rows, or over batches weighted by their rows."""

    def __init__(self, function: Callable[..., ArrayLike], name: str | None = None) -> None:
        super().__init__(name or getattr(function, "__name__", "function"))
        self.function = function

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> ArrayLike:
        return self.function(y_true, y_pred)


_METRICS: dict[str, Callable[..., Metric]] = {
    "accuracy": _AccuracyByShape,
    "acc": _AccuracyByShape,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
}

_BUILT_IN = frozenset(_METRICS.values()) | {Accuracy}


def get(identifier: Any, loss: losses.Loss | None = None, argument: str = "metric") -> Metric:
    """Return a metric: by name, by class, a plain function wrapped, or as it is.

    Parameters
    ----------
    identifier : str, class, callable or Metric
        ``"accuracy"`` and ``"acc"`` stand for the kind that fits the loss, or else the shapes. A
        name is also the metric's key in a history.
    loss : Loss, optional
        What the network is trained on.
    """
    if isinstance(identifier, str):
        metric = find(identifier, _METRICS, Metric, argument)
        if isinstance(metric, _AccuracyByShape):
            metric = _accuracy(loss)
        metric.name = identifier
        return metric
    if callable(identifier) and not isinstance(identifier, (type, Metric, losses.Loss)):
        return _FunctionMetric(identifier)
    return find(identifier, _METRICS, Metric, argument)


def expect_targets(metric: Metric, y_true: np.ndarray, outputs: int) -> None:
    """Raise ValueError if a built-in metric cannot be computed from targets of this shape."""
    if type(metric) not in _BUILT_IN:
        return
    try:
        metric.values(y_true[:1], np.zeros((1, outputs)))  # type: ignore[attr-defined]
    except ValueError:
        raise ValueError(
            f"metrics: expected targets that {metric.name} can be computed from with "
            f"{check.plural(outputs, 'output')}, got shape {y_true.shape}"
        ) from None


def _accuracy(loss: losses.Loss | None) -> Metric:
    """Return the accuracy that fits `loss`."""
    if isinstance(loss, losses.SparseCategoricalCrossentropy):
        return SparseCategoricalAccuracy()
    if isinstance(loss, losses.CategoricalCrossentropy):
        return CategoricalAccuracy()
    if isinstance(loss, losses.BinaryCrossentropy):
        return BinaryAccuracy(threshold=0.0 if loss.from_logits else 0.5)
    return _AccuracyByShape()


def _like(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return the targets in the shape of the predictions."""
    return check.as_targets(y_true, "y_true", y_pred.shape)


def _difference(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return ``y_pred - y_true`` in float64, so that a difference is not lost in float32."""
    return np.subtract(y_pred, check.as_targets(y_true, "y_true", y_pred.shape), dtype=np.float64)
