"""Metrics: what is reported of a network, kept apart from what it is trained on.

``metric.update_state(y_true, y_pred)`` for each batch, then ``metric.result()``; ``reset_state()``
starts again. A metric may be computed in Python alone: define ``values(y_true, y_pred)``, one
number for each row, in a subclass of `MeanMetric`; or the three methods in one of `Metric`; or pass
a plain function ``f(y_true, y_pred)`` that returns a number or one for each row. Scores of
scikit-learn are exact through `OnLabels` and `OnOutputs`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import _validate as check
from fastnn import losses
from fastnn._parts import find
from fastnn.metrics.accuracy import (
    Accuracy,
    AccuracyByShape,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    accuracy,
)
from fastnn.metrics.base import MeanMetric, Metric
from fastnn.metrics.confusion import (
    AUC,
    ConfusionMatrix,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from fastnn.metrics.errors import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CosineSimilarity,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    R2Score,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
)
from fastnn.metrics.functions import FunctionMetric, LossMetric, OnLabels, OnOutputs

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "ConfusionMatrix",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanMetric",
    "MeanSquaredError",
    "Metric",
    "OnLabels",
    "OnOutputs",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "get",
]

_METRICS: dict[str, Callable[..., Metric]] = {
    "acc": AccuracyByShape,
    "accuracy": AccuracyByShape,
    "auc": AUC,
    "binary_accuracy": BinaryAccuracy,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_accuracy": CategoricalAccuracy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "confusion_matrix": ConfusionMatrix,
    "cosine_similarity": CosineSimilarity,
    "f1_score": F1Score,
    "false_negatives": FalseNegatives,
    "false_positives": FalsePositives,
    "fbeta_score": FBetaScore,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "precision": Precision,
    "r2_score": R2Score,
    "recall": Recall,
    "rmse": RootMeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "true_negatives": TrueNegatives,
    "true_positives": TruePositives,
}

_BUILT_IN = frozenset(_METRICS.values()) | {Accuracy, LossMetric, OnLabels, OnOutputs}


def get(identifier: Any, loss: losses.Loss | None = None, argument: str = "metric") -> Metric:
    """Return a metric: by name, by class, a plain function wrapped, or as it is.

    Parameters
    ----------
    identifier : str, class, callable or Metric
        ``"accuracy"`` and ``"acc"`` stand for the kind that fits the loss, or else the shapes. A
        name is also the metric's key in a history. Where the loss takes logits, so does a metric
        that is asked for by name.
    loss : Loss, optional
        What the network is trained on.
    argument : str
        What an error calls `identifier`.

    Returns
    -------
    Metric

    Raises
    ------
    ValueError
        If no metric has this name; near matches are named.
    TypeError
        If `identifier` is of another kind.
    """
    if callable(identifier) and not isinstance(identifier, (type, Metric, losses.Loss)):
        name = losses.name_of(identifier)
        return FunctionMetric(identifier) if name is identifier else LossMetric(name)
    metric = find(identifier, _METRICS, Metric, argument)
    if isinstance(identifier, str):
        if isinstance(metric, AccuracyByShape):
            metric = accuracy(loss)
        elif getattr(loss, "from_logits", False):
            metric = _on_logits(metric)
        metric.name = identifier
    if loss is not None:
        metric.suit(loss)
    return metric


def expect_targets(metric: Metric, y_true: np.ndarray, outputs: int) -> None:
    """Raise ValueError if a built-in metric cannot be computed from targets of this shape."""
    if type(metric) not in _BUILT_IN:
        return
    row, pred = y_true[:1], np.full((1, outputs), 0.5)
    try:
        if isinstance(metric, MeanMetric):
            metric.values(row, pred)
        else:
            trial = copy.copy(metric)
            trial.reset_state()
            trial.update_state(row, pred)
    except ValueError:
        raise ValueError(
            f"metrics: expected targets that {metric.name} can be computed from with "
            f"{check.plural(outputs, 'output')}, got shape {y_true.shape}"
        ) from None


def _on_logits(metric: Metric) -> Metric:
    """Return the metric of its kind that takes logits."""
    kind: Any = type(metric)
    if hasattr(metric, "thresholds") and not isinstance(metric, AUC):
        return kind(thresholds=0.0)
    if isinstance(metric, BinaryAccuracy):
        return kind(threshold=0.0)
    return kind(from_logits=True) if hasattr(metric, "from_logits") else metric
