"""Plain functions as metrics: of each batch, or once of all rows of an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import losses
from fastnn.metrics.base import MeanMetric, Metric, batch, class_labels


class FunctionMetric(MeanMetric):
    """A plain function as a metric: its mean over rows, or over batches weighted by their rows."""

    def __init__(self, function: Callable[..., ArrayLike], name: str | None = None) -> None:
        super().__init__(name or getattr(function, "__name__", "function"))
        self.function = function

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> ArrayLike:
        return self.function(y_true, y_pred)


class LossMetric(MeanMetric):
    """A function of `fastnn.losses` as a metric: its mean over rows.

    Parameters
    ----------
    loss : str
        The name of the function.
    name
        See `Metric`; by default the same.
    """

    direction = "down"

    def __init__(self, loss: str, name: str | None = None) -> None:
        super().__init__(name or loss)
        self.loss = check.choice(loss, "loss", losses.FUNCTIONS)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> ArrayLike:
        return losses.FUNCTIONS[self.loss](y_true, y_pred)


class OnOutputs(Metric):
    """A function of all targets and all outputs of an epoch, such as a score of scikit-learn.

    A plain function in ``metrics=[…]`` is computed for each batch and averaged; this one is called
    once, at the end of an epoch or an evaluation, with every row of it, so that what is no mean
    over rows (an area, a median) is exact too.

    Parameters
    ----------
    function : callable ``(y_true, y_pred, **arguments) -> float or ndarray``
        Gets targets and outputs as the network has them; a single column as (n,). If rows have
        weights, also ``sample_weight``.
    name : str, optional
        By default that of the function.
    **arguments
        Given to the function.

    Raises
    ------
    TypeError
        If `function` cannot be called. What it raises itself, `result` raises.

    Examples
    --------
    >>> from sklearn.metrics import roc_auc_score
    >>> metric = OnOutputs(roc_auc_score)
    >>> metric.update_state([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> metric.result()
    0.75
    """

    running = False

    def __init__(
        self, function: Callable[..., Any], name: str | None = None, **arguments: Any
    ) -> None:
        if not callable(function):
            raise TypeError(f"function: expected a function, got {function!r}")
        super().__init__(name or getattr(function, "__name__", "function"))
        self.function = function
        self.arguments = arguments
        self.reset_state()

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.arguments

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true, pred, weight = batch(y_true, y_pred, sample_weight)
        true, pred = self._seen(true, pred)
        # Copies: a caller may use the arrays again for the next batch.
        self._rows.append((np.array(true), np.array(pred), weight))
        self._weighted |= sample_weight is not None

    def _seen(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the function gets for these rows."""
        return _column(y_true), _column(y_pred)

    def result(self) -> Any:
        if not self._rows:
            return 0.0
        true, pred, weight = map(np.concatenate, zip(*self._rows, strict=True))
        weights = {"sample_weight": weight} if self._weighted else {}
        value = np.asarray(self.function(true, pred, **weights, **self.arguments))
        return float(value) if value.ndim == 0 else value

    def reset_state(self) -> None:
        self._rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._weighted = False


class OnLabels(OnOutputs):
    """A function of all true and all predicted class labels of an epoch.

    So any score of scikit-learn for labels works, and exactly: it is called once, with all rows.

    Parameters
    ----------
    function : callable ``(y_true, y_pred, **arguments) -> float or ndarray``
        Gets int64 labels (n,): the highest of several outputs, or whether a single one is above the
        threshold. One-hot targets become labels too.
    name : str, optional
        By default that of the function.
    threshold : float, optional
        Of a single output: class 1 is above it. By default 0 where the model's loss takes logits,
        else 0.5. If it is given and there are several outputs, they are labels of their own: the
        function gets matrices (n, m) of 0 and 1.
    **arguments
        Given to the function.

    Raises
    ------
    TypeError
        If `function` cannot be called, or `threshold` is not a number.

    Examples
    --------
    >>> from sklearn.metrics import f1_score
    >>> metric = OnLabels(f1_score, average="macro")
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        threshold: float | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(function, name, **arguments)
        self.threshold = None if threshold is None else check.number(threshold, "threshold")
        self._middle = 0.5 if self.threshold is None else self.threshold

    def suit(self, loss: losses.Loss) -> None:
        if self.threshold is None:
            self._middle = 0.0 if getattr(loss, "from_logits", False) else 0.5

    def _seen(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.threshold is None or y_pred.shape[1] == 1:
            return class_labels(y_true, y_pred, self._middle)
        check.expect_shape(y_true, "y_true", y_pred.shape)
        return (y_true > 0).astype(np.int64), (y_pred > self.threshold).astype(np.int64)


def _column(x: np.ndarray) -> np.ndarray:
    """Return (n, 1) as (n,)."""
    return x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x
