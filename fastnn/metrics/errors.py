"""How far outputs are from targets: the errors of regression, and the cross-entropies.

Sources
-------
[1] Keras 3, keras.io/api/metrics/regression_metrics.
[2] T. F. Chan, G. H. Golub, R. J. LeVeque, Algorithms for computing the sample variance,
    The American Statistician 37, 1983, eq. 2.1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import losses
from fastnn.metrics.base import MeanMetric, Metric, as_before, batch, like, ratio

# Keras's epsilon.
_EPSILON = 1e-7


class MeanSquaredError(MeanMetric):
    """``mean (y_pred - y_true)**2``.

    Parameters
    ----------
    name
        See `Metric`.
    """

    direction = "down"

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.square(_difference(y_true, y_pred)).mean(axis=-1)


class RootMeanSquaredError(MeanSquaredError):
    """``sqrt(mean (y_pred - y_true)**2)``, the root over all rows, not the mean of batches.

    Parameters
    ----------
    name
        See `Metric`.
    """

    def result(self) -> float:
        return math.sqrt(super().result())


class MeanAbsoluteError(MeanMetric):
    """``mean |y_pred - y_true|``.

    Parameters
    ----------
    name
        See `Metric`.
    """

    direction = "down"

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.abs(_difference(y_true, y_pred)).mean(axis=-1)


class MeanAbsolutePercentageError(MeanMetric):
    """``100 mean(|y_pred - y_true| / max(|y_true|, 1e-7))``.

    Parameters
    ----------
    name
        See `Metric`.
    """

    direction = "down"

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        size = np.maximum(np.abs(like(y_true, y_pred)), _EPSILON, dtype=np.float64)
        return 100 * (np.abs(_difference(y_true, y_pred)) / size).mean(axis=-1)


class CosineSimilarity(MeanMetric):
    """The mean over rows of the cosine of the angle between targets and outputs.

    1 for the same direction, -1 for the opposite one; 0 where a row is all zeros.

    Parameters
    ----------
    name
        See `Metric`.
    """

    direction = "up"

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        true, pred = (np.asarray(y, np.float64) for y in (like(y_true, y_pred), y_pred))
        lengths = np.linalg.norm(true, axis=1) * np.linalg.norm(pred, axis=1)
        return ratio((true * pred).sum(axis=1), lengths)


class R2Score(Metric):
    """The coefficient of determination, ``1 - sum (y_pred - y_true)**2 / sum (y_true - mean)**2``.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        How the scores of several outputs become one; None leaves one for each, (m,).
    num_regressors : int
        With a number of independent variables p, the adjusted score
        ``1 - (1 - R2) (n - 1) / (n - p - 1)``, where n is the number of rows; 0 for the plain one,
        which also takes its place as long as ``n <= p + 1``.
    name
        See `Metric`.

    Notes
    -----
    An output whose targets are all equal scores 1 where it is predicted exactly, or else 0, as in
    scikit-learn. Sums of squares are merged batch by batch about their means [2], so that targets
    far from 0 lose no digits.
    """

    direction = "up"
    _mean: Any
    _spread: Any
    _error: Any

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        if class_aggregation is not None:
            check.choice(
                class_aggregation,
                "class_aggregation",
                ("uniform_average", "variance_weighted_average"),
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = check.non_negative_int(num_regressors, "num_regressors")
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weight = batch(y_true, y_pred, sample_weight)
        true = np.asarray(like(true, pred), np.float64)
        as_before(pred.shape[1], self._error)
        error = np.square(_difference(true, pred))
        column, total = weight[:, None], float(weight.sum())
        self._rows += len(true)
        self._error = self._error + (column * error).sum(axis=0)
        if total == 0:
            return
        mean = (column * true).sum(axis=0) / total
        shift, before = mean - self._mean, self._weight
        self._weight += total
        self._spread = (
            self._spread
            + (column * np.square(true - mean)).sum(axis=0)
            + np.square(shift) * (before * total / self._weight)
        )
        self._mean = self._mean + shift * (total / self._weight)

    def result(self) -> Any:
        if not self._weight:
            return 0.0
        error, spread = np.broadcast_arrays(self._error, self._spread)
        score = np.where(error == 0, 1.0, 0.0)
        np.divide(spread - error, spread, out=score, where=spread != 0)
        if self.class_aggregation == "uniform_average":
            score = score.mean()
        elif self.class_aggregation is not None:
            # All outputs constant: nothing to weigh by.
            score = np.average(score, weights=spread) if spread.any() else score.mean()
        if 0 < self.num_regressors < self._rows - 1:
            n, p = self._rows, self.num_regressors
            score = 1 - (1 - score) * (n - 1) / (n - p - 1)
        return score if self.class_aggregation is None else float(score)

    def reset_state(self) -> None:
        self._rows = 0
        self._weight = 0.0
        self._mean = 0.0
        self._spread = 0.0
        self._error = 0.0


# ---- cross-entropies -------------------------------------------------------------------------


class _Crossentropy(MeanMetric):
    """The mean of a loss over rows."""

    direction = "down"
    _loss: type[losses.Loss]

    def __init__(self, name: str | None = None, from_logits: bool = False) -> None:
        super().__init__(name)
        self.from_logits = check.flag(from_logits, "from_logits")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> ArrayLike:
        loss: Any = self._loss
        return loss(reduction="none", **self._arguments())(y_true, y_pred)

    def _arguments(self) -> dict[str, Any]:
        """What the loss takes beside its reduction."""
        return {"from_logits": self.from_logits}


class _SmoothedCrossentropy(_Crossentropy):
    """A cross-entropy whose targets may be smoothed, as those of the loss."""

    def __init__(
        self, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(name, from_logits)
        self.label_smoothing = check.fraction(label_smoothing, "label_smoothing", closed=True)

    def _arguments(self) -> dict[str, Any]:
        return super()._arguments() | {"label_smoothing": self.label_smoothing}


class BinaryCrossentropy(_SmoothedCrossentropy):
    """The mean of `fastnn.losses.BinaryCrossentropy` over rows.

    Parameters
    ----------
    name
        See `Metric`.
    from_logits, label_smoothing
        See that loss.
    """

    _loss = losses.BinaryCrossentropy


class CategoricalCrossentropy(_SmoothedCrossentropy):
    """The mean of `fastnn.losses.CategoricalCrossentropy` over rows.

    Parameters
    ----------
    name
        See `Metric`.
    from_logits, label_smoothing
        See that loss.
    """

    _loss = losses.CategoricalCrossentropy


class SparseCategoricalCrossentropy(_Crossentropy):
    """The mean of `fastnn.losses.SparseCategoricalCrossentropy` over rows.

    Parameters
    ----------
    name
        See `Metric`.
    from_logits
        See that loss.
    """

    _loss = losses.SparseCategoricalCrossentropy


def _difference(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return ``y_pred - y_true`` in float64, so that a difference is not lost in float32."""
    return np.subtract(y_pred, like(y_true, y_pred), dtype=np.float64)
