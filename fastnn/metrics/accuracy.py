"""Accuracies: how often the class predicted is the right one.

Source: Keras 3, keras.io/api/metrics/accuracy_metrics.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import losses
from fastnn.metrics.base import MeanMetric, like


class Accuracy(MeanMetric):
    """How often a prediction equals its target, which has its shape.

    Parameters
    ----------
    name
        See `Metric`.
    """

    direction = "up"

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return (like(y_true, y_pred) == y_pred).mean(axis=-1)


class BinaryAccuracy(MeanMetric):
    """How often ``y_pred > threshold`` equals the target, 0 or 1.

    Parameters
    ----------
    name
        See `Metric`.
    threshold : float
        0.5 for probabilities, 0 for logits.
    """

    direction = "up"

    def __init__(self, name: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = check.number(threshold, "threshold")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return (like(y_true, y_pred) == (y_pred > self.threshold)).mean(axis=-1)


class CategoricalAccuracy(MeanMetric):
    """How often the highest output is that of the target's highest class (one-hot targets).

    Of equals the first is the highest.

    Parameters
    ----------
    name
        See `Metric`.
    """

    direction = "up"

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return like(y_true, y_pred).argmax(axis=-1) == y_pred.argmax(axis=-1)


class SparseCategoricalAccuracy(MeanMetric):
    """How often the highest output is that of the label, in [0, m).

    Of equals the first is the highest.

    Parameters
    ----------
    name
        See `Metric`.
    """

    direction = "up"

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return check.as_labels(y_true, "y_true", *y_pred.shape) == y_pred.argmax(axis=-1)


class TopKCategoricalAccuracy(MeanMetric):
    """How often the target's highest class is among the `k` highest outputs (one-hot targets).

    Outputs that tie with the one of rank `k` count as among them, as in Keras.

    Parameters
    ----------
    k : int
        At least 1.
    name
        See `Metric`.
    """

    direction = "up"

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = check.positive_int(k, "k")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return _among_highest(like(y_true, y_pred).argmax(axis=-1), y_pred, self.k)


class SparseTopKCategoricalAccuracy(MeanMetric):
    """How often the output of the label, in [0, m), is among the `k` highest.

    Outputs that tie with the one of rank `k` count as among them, as in Keras.

    Parameters
    ----------
    k : int
        At least 1.
    name
        See `Metric`.
    """

    direction = "up"

    def __init__(self, k: int = 5, name: str | None = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = check.positive_int(k, "k")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return _among_highest(check.as_labels(y_true, "y_true", *y_pred.shape), y_pred, self.k)


class AccuracyByShape(MeanMetric):
    """Accuracy of whichever kind the first targets and outputs call for, as Keras chooses it."""

    direction = "up"

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> ArrayLike:
        if y_pred.shape[1] == 1:
            kind: MeanMetric = BinaryAccuracy()
        else:
            kind = CategoricalAccuracy() if y_true.shape == y_pred.shape else _SPARSE
        return kind.values(y_true, y_pred)


_SPARSE = SparseCategoricalAccuracy()


def accuracy(loss: losses.Loss | None) -> MeanMetric:
    """Return the accuracy that fits `loss`."""
    if isinstance(loss, losses.SparseCategoricalCrossentropy):
        return SparseCategoricalAccuracy()
    if isinstance(loss, losses.CategoricalCrossentropy):
        return CategoricalAccuracy()
    if isinstance(loss, (losses.BinaryCrossentropy, losses.BinaryFocalCrossentropy)):
        return BinaryAccuracy(threshold=0.0 if loss.from_logits else 0.5)
    return AccuracyByShape()


def _among_highest(labels: np.ndarray, y_pred: np.ndarray, k: int) -> np.ndarray:
    own = np.take_along_axis(y_pred, labels[:, None], axis=1)
    higher = ~(y_pred <= own)  # a NaN counts as higher than all
    return (higher.sum(axis=1) < k) & ~np.isnan(own[:, 0])
