"""What is counted of right and wrong: precision, recall, F scores, areas under curves, confusion.

Targets are 0 or 1, one for each output; class labels in [0, m) stand for one-hot rows.

Sources
-------
[1] Keras 3, keras.io/api/metrics/classification_metrics.
[2] J. Davis, M. Goadrich, The relationship between precision-recall and ROC curves, ICML 2006:
    the interpolation between two points of a precision-recall curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import losses
from fastnn.metrics.base import Metric, as_before, batch, class_labels, one_hot, ratio, scalar

# Keras's epsilon.
_EPSILON = 1e-7
# Of an `AUC`, which keeps four counts for each: tens of megabytes.
_MOST_THRESHOLDS = 10**6


class _Counts(Metric):
    """Counts, for each threshold, of what lies above it and below, and should or should not."""

    direction = "up"
    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray
    true_negatives: np.ndarray

    def _start(self, thresholds: np.ndarray, top_k: int | None, class_id: int | None) -> None:
        self._levels, self._top_k, self._class_id = thresholds, top_k, class_id
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weight = batch(y_true, y_pred, sample_weight)
        positive: np.ndarray = one_hot(true, pred) != 0
        if pred.dtype.kind != "f":
            pred = pred.astype(np.float64)
        if self._top_k is not None:
            pred = _keep_highest(pred, self._top_k)
        if self._class_id is not None:
            if self._class_id >= pred.shape[1]:
                raise ValueError(
                    f"y_pred: expected more than class_id = {self._class_id} columns, "
                    f"got {pred.shape[1]}"
                )
            positive, pred = (a[:, self._class_id, None] for a in (positive, pred))
        weights = np.broadcast_to(weight[:, None], pred.shape)
        # Thresholds are compared in the type of the predictions: float32(0.1) is not above 0.1.
        order = np.argsort(self._levels, kind="stable")
        levels = self._levels[order].astype(pred.dtype)
        passed = np.searchsorted(levels, pred.ravel(), side="left")
        passed[np.isnan(pred.ravel())] = 0
        above, every = [], []
        for chosen in (positive, np.logical_not(positive)):
            counts = np.bincount(passed, (weights * chosen).ravel(), len(levels) + 1)
            # How many pass at least threshold j: those that pass j + 1 of them or more.
            at_least = counts[::-1].cumsum()[::-1][1:]
            back = np.empty_like(at_least)
            back[order] = at_least
            above.append(back)
            every.append(float(counts.sum()))
        self.true_positives = self.true_positives + above[0]
        self.false_positives = self.false_positives + above[1]
        self.false_negatives = self.false_negatives + (every[0] - above[0])
        self.true_negatives = self.true_negatives + (every[1] - above[1])

    def reset_state(self) -> None:
        self.true_positives = np.zeros(len(self._levels))
        self.false_positives = np.zeros(len(self._levels))
        self.false_negatives = np.zeros(len(self._levels))
        self.true_negatives = np.zeros(len(self._levels))


class _AtThresholds(_Counts):
    """A score at one threshold or at several."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.thresholds = thresholds
        self.top_k = None if top_k is None else check.positive_int(top_k, "top_k")
        self.class_id = None if class_id is None else check.non_negative_int(class_id, "class_id")
        levels = _levels(thresholds, 0.5 if top_k is None else -np.inf)
        self._start(levels, self.top_k, self.class_id)


class Precision(_AtThresholds):
    """The share of what is predicted positive that is: ``tp / (tp + fp)``, or 0 if nothing is.

    Parameters
    ----------
    thresholds : float or array_like of shape (t,), optional
        An output above it is predicted positive. 0.5 by default; 0 is right for logits, and is
        taken where the metric is asked for by name and the loss takes logits. With several the
        result is an array, one score for each.
    top_k : int, optional
        Only the `top_k` highest outputs of a row can be predicted positive, without a threshold
        unless one is given.
    class_id : int, optional
        Only this column counts, from 0; `update_state` raises ValueError if there is none.
    name
        See `Metric`.
    """

    def result(self) -> Any:
        return scalar(ratio(self.true_positives, self.true_positives + self.false_positives))


class Recall(_AtThresholds):
    """The share of positives that is predicted so: ``tp / (tp + fn)``, or 0 without positives.

    Parameters
    ----------
    thresholds, top_k, class_id
        See `Precision`.
    name
        See `Metric`.
    """

    def result(self) -> Any:
        return scalar(ratio(self.true_positives, self.true_positives + self.false_negatives))


class _Count(_Counts):
    """A plain count at one threshold or at several."""

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.thresholds = thresholds
        self._start(_levels(thresholds, 0.5), None, None)


class TruePositives(_Count):
    """How many outputs above a threshold should be: by weight, if rows have weights.

    Parameters
    ----------
    thresholds : float or array_like of shape (t,), optional
        0.5 by default, 0 for logits where `Precision` takes it; with several the result is an
        array.
    name
        See `Metric`.
    """

    def result(self) -> Any:
        return scalar(self.true_positives)


class TrueNegatives(_Count):
    """How many outputs not above a threshold should not be; see `TruePositives`.

    Parameters
    ----------
    thresholds
        See `TruePositives`.
    name
        See `Metric`.
    """

    def result(self) -> Any:
        return scalar(self.true_negatives)


class FalsePositives(_Count):
    """How many outputs above a threshold should not be; see `TruePositives`.

    Parameters
    ----------
    thresholds
        See `TruePositives`.
    name
        See `Metric`.
    """

    direction = "down"

    def result(self) -> Any:
        return scalar(self.false_positives)


class FalseNegatives(_Count):
    """How many outputs not above a threshold should be; see `TruePositives`.

    Parameters
    ----------
    thresholds
        See `TruePositives`.
    name
        See `Metric`.
    """

    direction = "down"

    def result(self) -> Any:
        return scalar(self.false_negatives)


class AUC(_Counts):
    """The area under the ROC or the precision-recall curve, through fixed thresholds as in Keras.

    Parameters
    ----------
    num_thresholds : int
        How many thresholds share [0, 1], ends included: at least 2 and at most a million; more come
        nearer to the exact area.
    curve : {"ROC", "PR"}
    summation_method : {"interpolation", "minoring", "majoring"}
        Between two thresholds: the trapezoid for ROC and the formula of [2] for PR; or the lower
        or higher of the two ends.
    name
        See `Metric`.
    thresholds : sequence of float, optional
        In [0, 1], instead of evenly spaced ones.
    multi_label : bool
        Whether each output has a curve of its own, and the result is the mean of their areas. By
        default all outputs of a row count together.
    num_labels : int, optional
        With `multi_label`, how many outputs there must be.
    label_weights : sequence of float, optional
        With `multi_label`, the weight of each output's area in the mean, at least 0.
    from_logits : bool
        Whether outputs are logits, to be put through a sigmoid first.

    Notes
    -----
    For the exact area use ``OnOutputs(sklearn.metrics.roc_auc_score)``.
    """

    _curves: list[AUC]  # of each output, with `multi_label`

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name)
        self.multi_label = check.flag(multi_label, "multi_label")
        self.num_labels, self.label_weights = num_labels, label_weights
        if not multi_label and not (num_labels is None and label_weights is None):
            raise ValueError(
                "multi_label: expected True with num_labels or label_weights, got False"
            )
        self._labels = None if num_labels is None else check.positive_int(num_labels, "num_labels")
        self._label_weights = None
        if label_weights is not None:
            self._labels = np.size(label_weights) if self._labels is None else self._labels
            self._label_weights = check.as_sample_weight(
                label_weights, "label_weights", self._labels, np.float64
            )
            check.expect_within(self._label_weights[:, None], "label_weights", 0)
        self.num_thresholds = check.positive_int(num_thresholds, "num_thresholds")
        if not 2 <= self.num_thresholds <= _MOST_THRESHOLDS:
            raise ValueError(
                f"num_thresholds: expected a number in [2, {_MOST_THRESHOLDS}], "
                f"got {num_thresholds}"
            )
        self.curve = check.choice(curve, "curve", ("ROC", "PR"))
        self.summation_method = check.choice(
            summation_method, "summation_method", ("interpolation", "minoring", "majoring")
        )
        self.from_logits = check.flag(from_logits, "from_logits")
        self.thresholds = thresholds
        if thresholds is None:
            inner = np.arange(1, self.num_thresholds - 1) / (self.num_thresholds - 1)
        elif not np.ndim(thresholds):
            raise TypeError(f"thresholds: expected a list of numbers, got {thresholds!r}")
        else:
            inner = np.sort([check.fraction(t, "thresholds", closed=True) for t in thresholds])
            self.num_thresholds = len(inner) + 2
        # The ends lie outside [0, 1], so that every probability passes one and none the other.
        self._start(np.concatenate([[-_EPSILON], inner, [1 + _EPSILON]]), None, None)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        pred = check.as_real(y_pred, "y_pred")
        if self.from_logits:
            pred = 0.5 + 0.5 * np.tanh(0.5 * pred)
        if not self.multi_label:
            return super().update_state(y_true, pred, sample_weight)
        true, pred, weight = batch(y_true, pred, sample_weight)
        columns = pred.shape[1]
        if columns != (self._labels or columns):
            raise ValueError(
                f"y_pred: expected {check.plural(self._labels or 0, 'column')}, got {columns}"
            )
        true = one_hot(true, pred)
        if not self._curves:
            # Between their ends the thresholds are those of this one.
            inner = self._levels[1:-1].tolist()
            self._curves = [
                AUC(2, self.curve, self.summation_method, thresholds=inner) for _ in range(columns)
            ]
        check.expect_shape(pred, "y_pred", (len(pred), len(self._curves)))
        for j, curve in enumerate(self._curves):
            curve.update_state(true[:, j], pred[:, j], weight)

    def reset_state(self) -> None:
        super().reset_state()
        self._curves = []

    def result(self) -> float:
        if self.multi_label:
            areas = [curve.result() for curve in self._curves]
            if not areas or (self._label_weights is not None and not self._label_weights.any()):
                return 0.0
            return float(np.average(areas, weights=self._label_weights))
        tp, fp, fn, tn = (
            self.true_positives,
            self.false_positives,
            self.false_negatives,
            self.true_negatives,
        )
        recall = ratio(tp, tp + fn)
        if self.curve == "ROC":
            x, y = ratio(fp, fp + tn), recall
        elif self.summation_method == "interpolation":
            return self._interpolated_precision_recall()
        else:
            x, y = recall, ratio(tp, tp + fp)
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2
        else:
            choose = np.minimum if self.summation_method == "minoring" else np.maximum
            heights = choose(y[:-1], y[1:])
        return float(((x[:-1] - x[1:]) * heights).sum())

    def _interpolated_precision_recall(self) -> float:
        """Between two thresholds true positives grow linearly with all that is predicted so [2]:
        ``precision = slope + intercept / predicted``, integrated over recall."""
        tp, predicted = self.true_positives, self.true_positives + self.false_positives
        positives = (tp + self.false_negatives)[1:]
        gained = tp[:-1] - tp[1:]
        slope = ratio(gained, predicted[:-1] - predicted[1:])
        intercept = tp[1:] - slope * predicted[1:]
        growth = np.where(predicted[1:] > 0, ratio(predicted[:-1], predicted[1:]), 1.0)
        area = slope * (gained + intercept * np.log(growth))
        return float(ratio(area, positives).sum())


# ---- counts for each class -------------------------------------------------------------------


class FBetaScore(Metric):
    """``(1 + beta**2) precision recall / (beta**2 precision + recall)`` of each class.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        How the classes' scores become one: of all counts together, as their mean, or as their mean
        weighted by the classes' rows. None leaves one score for each class, (m,).
    beta : float
        Above 0: how much more recall matters than precision.
    threshold : float, optional
        In (0, 1]; an output above it is predicted positive. By default the highest output of a
        row is.
    name
        See `Metric`.

    Notes
    -----
    A class that is neither in the targets nor predicted scores 0, as in scikit-learn. No epsilon is
    added to the denominators, so that results are exact where Keras's are within 1e-7.
    """

    direction = "up"
    _hits: Any
    _predicted: Any
    _positives: Any

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
    ) -> None:
        super().__init__(name)
        if average is not None:
            check.choice(average, "average", ("micro", "macro", "weighted"))
        self.average = average
        self.beta = check.positive_rate(beta, "beta")
        self.threshold = threshold
        if threshold is not None:
            self.threshold = check.fraction(
                check.positive_rate(threshold, "threshold"), "threshold", closed=True
            )
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weight = batch(y_true, y_pred, sample_weight)
        true = one_hot(true, pred)
        as_before(pred.shape[1], self._hits)
        if self.threshold is None:
            # A row of zeros predicts nothing.
            found = (pred >= pred.max(axis=1, keepdims=True)) & (np.abs(pred) > 1e-9)
        else:
            found = pred > self.threshold
        column = weight[:, None]
        self._hits = self._hits + (column * true * found).sum(axis=0)
        self._predicted = self._predicted + (column * found).sum(axis=0)
        self._positives = self._positives + (column * true).sum(axis=0)

    def result(self) -> Any:
        counts = np.stack(np.broadcast_arrays(self._hits, self._predicted, self._positives))
        if self.average == "micro":
            counts = counts.reshape(3, -1).sum(axis=1)
        hits, predicted, positives = counts
        square = self.beta**2
        score = ratio((1 + square) * hits, square * positives + predicted)
        if self.average is None:
            return np.atleast_1d(score)
        if self.average == "weighted":
            return float(ratio((score * positives).sum(), positives.sum()))
        return float(score.mean())

    def reset_state(self) -> None:
        self._hits = 0.0
        self._predicted = 0.0
        self._positives = 0.0


class F1Score(FBetaScore):
    """``2 precision recall / (precision + recall)`` of each class: `FBetaScore` with beta 1.

    Parameters
    ----------
    average, threshold
        See `FBetaScore`.
    name
        See `Metric`.
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
    ) -> None:
        super().__init__(average, 1.0, threshold, name)


class ConfusionMatrix(Metric):
    """How many rows of class i, in row i, are predicted to be of class j, in column j.

    Parameters
    ----------
    threshold : float, optional
        Of a single output: class 1 is above it. By default 0 where the model's loss takes logits,
        else 0.5.
    name
        See `Metric`.

    Notes
    -----
    The result is an array (m, m), or (2, 2) for one output: int64, or float64 once rows have come
    with weights; (0, 0) before the first batch. A history holds one for each epoch; what shows
    progress leaves it out.
    """

    _counts: np.ndarray | None

    def __init__(self, threshold: float | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.threshold = None if threshold is None else check.number(threshold, "threshold")
        self._middle = 0.5 if self.threshold is None else self.threshold
        self.reset_state()

    def suit(self, loss: losses.Loss) -> None:
        if self.threshold is None:
            self._middle = 0.0 if getattr(loss, "from_logits", False) else 0.5

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weight = batch(y_true, y_pred, sample_weight)
        labels, found = class_labels(true, pred, self._middle)
        m = as_before(max(2, pred.shape[1]), self._counts)
        weights = None if sample_weight is None else weight
        counts = np.bincount(labels * m + found, weights, m * m).reshape(m, m)
        self._counts = counts if self._counts is None else self._counts + counts

    def result(self) -> np.ndarray:
        return np.zeros((0, 0), np.int64) if self._counts is None else self._counts

    def reset_state(self) -> None:
        self._counts = None


def _levels(thresholds: float | Sequence[float] | None, default: float) -> np.ndarray:
    """Return one threshold or several as a vector."""
    if thresholds is None:
        return np.array([default])
    several: Any = thresholds if np.ndim(thresholds) else [thresholds]
    levels = np.array([check.number(t, "thresholds") for t in several])
    if not levels.size:
        raise ValueError("thresholds: expected at least one number, got none")
    return levels


def _keep_highest(y_pred: np.ndarray, k: int) -> np.ndarray:
    """Return the predictions with all but the `k` highest of each row at -inf, the first of equals
    being the higher."""
    kept = np.argsort(-y_pred, axis=1, kind="stable")[:, :k]
    highest = np.full_like(y_pred, -np.inf)
    np.put_along_axis(highest, kept, np.take_along_axis(y_pred, kept, axis=1), axis=1)
    return highest
