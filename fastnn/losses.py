"""Losses, by the names and formulas of Keras 3: ``loss(y_true, y_pred)`` and ``loss.gradient``.

Every loss gives one number for each row of a batch of ``n`` rows and ``m`` outputs; the reduction
makes one number of them. With ``from_logits=True`` a cross-entropy takes what comes before softmax
or sigmoid: one kernel computes both, it is exact where the probability would round to 0 or 1, and
it is finite for any finite logits. Prefer it.

To write a loss of your own, subclass `Loss` and define ``call(y_true, y_pred)``, the loss of each
row (n,), and ``call_gradient(y_true, y_pred)``, its gradient (n, m).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import kernels
from fastnn._parts import Part, find, snake_case

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Loss",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "get",
]

# Keras's epsilon: probabilities are kept this far from 0 and 1 before a logarithm.
_EPSILON = 1e-7


class Loss(Part):
    """Base of all losses.

    Parameters
    ----------
    reduction : {"sum_over_batch_size", "sum", "none", None}
        ``sum_over_batch_size`` divides the weighted sum of the rows' losses by the number of rows
        (not by the sum of weights), as Keras does.
    name : str, optional
        By default the class's name in snake case.
    """

    _formula = ("call", "call_gradient", "__call__", "gradient", "value_and_gradient")

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None
    ) -> None:
        self.reduction = check.choice(
            "none" if reduction is None else reduction,
            "reduction",
            ("sum_over_batch_size", "sum", "none"),
        )
        self.name = snake_case(type(self).__name__) if name is None else str(name)

    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float | np.ndarray:
        """Return the loss.

        Parameters
        ----------
        y_true : array_like
            Targets of shape (n, m), or (n,) where m is 1; class labels (n,) or (n, 1) for a
            sparse loss.
        y_pred : array_like of shape (n, m)
        sample_weight : array_like of shape (n,), optional

        Returns
        -------
        float, or with ``reduction="none"`` the weighted loss of each row, an ndarray (n,)
        """
        return self.value_and_gradient(y_true, y_pred, sample_weight)[0]

    def gradient(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the gradient of the loss with respect to `y_pred`, (n, m).

        With ``reduction="none"`` it is that of the sum. It is float64 if `y_pred` is, else float32.
        """
        return self.value_and_gradient(y_true, y_pred, sample_weight)[1]

    def value_and_gradient(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float | np.ndarray, np.ndarray]:
        """Return the loss and its gradient, for the work of one."""
        pred = check.as_matrix(y_pred, "y_pred")
        n = pred.shape[0]
        true = self.targets(y_true, pred.shape, pred.dtype)
        weight = None
        if sample_weight is not None:
            weight = check.as_sample_weight(sample_weight, "sample_weight", n, pred.dtype)
        scale = 1 / n if self.reduction == "sum_over_batch_size" else 1.0
        if self.kernel_name is not None:
            values, gradient = kernels.loss(self.kernel_name, pred, true, weight, scale)
        else:
            values = check.as_real(self.call(true, pred), "output of call", pred.dtype)
            check.expect_shape(values, "output of call", (n,))
            gradient = check.as_matrix(
                self.call_gradient(true, pred), "output of call_gradient", pred.dtype
            )
            check.expect_shape(gradient, "output of call_gradient", pred.shape)
            gradient = gradient * (scale if weight is None else (weight * scale)[:, None])
        if weight is not None:
            values = values * weight
        if self.reduction == "none":
            return values, gradient
        return float(values.sum(dtype=np.float64) * scale), gradient

    def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the loss of each row, (n,)."""
        return self._rows(y_true, y_pred)[0]

    def call_gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the gradient of each row's loss with respect to `y_pred`, (n, m)."""
        return self._rows(y_true, y_pred)[1]

    def _rows(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._kernel is None:
            raise NotImplementedError(
                f"{type(self).__name__}: a loss defines call and call_gradient"
            )
        return kernels.loss(self._kernel, y_pred, y_true, scale=1.0)

    def targets(
        self,
        y_true: ArrayLike,
        shape: tuple[int, ...],
        dtype: Any = "float32",
        name: str = "y_true",
    ) -> np.ndarray:
        """Return the targets checked, as `call` and the kernels take them.

        Parameters
        ----------
        y_true : array_like
        shape : (n, m)
            Of the predictions.
        dtype : dtype
            Of the predictions; floating targets are converted to it.
        name : str
            What an error text calls the targets.

        Raises
        ------
        ValueError
            If a shape or a value does not fit this loss; the text names the row.
        """
        true = check.as_numbers(y_true, name)
        check.expect_rows(true, name, shape[0])
        if true.ndim == 1 and shape[1] == 1:
            true = true[:, None]
        return check.as_real(true, name, dtype) if true.dtype.kind == "f" else true


class _RealTargets(Loss):
    """A loss whose targets have the shape of the predictions and lie in `_domain`."""

    _domain = (-np.inf, np.inf)

    def targets(
        self,
        y_true: ArrayLike,
        shape: tuple[int, ...],
        dtype: Any = "float32",
        name: str = "y_true",
    ) -> np.ndarray:
        true = check.as_targets(y_true, name, (shape[0], shape[1]), dtype)
        check.expect_within(true, name, *self._domain)
        return true


class MeanSquaredError(_RealTargets):
    """``mean_j (y_pred_j - y_true_j)**2`` for each row."""

    _kernel = "mean_squared_error"


class BinaryCrossentropy(_RealTargets):
    """``-mean_j (t_j log(p_j) + (1 - t_j) log(1 - p_j))`` for each row; targets ``t`` in [0, 1].

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` holds logits, ``p = sigmoid(y_pred)``, or the probabilities themselves.
        Those are kept within [1e-7, 1 - 1e-7]; outside, the gradient is 0, as in Keras.
    reduction, name
        See `Loss`.
    """

    _domain = (0.0, 1.0)

    def __init__(
        self,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = check.flag(from_logits, "from_logits")

    @property
    def _kernel(self) -> str | None:  # type: ignore[override]
        return "binary_crossentropy" if self.from_logits else None

    def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        if self.from_logits:
            return super().call(y_true, y_pred)
        p = _clip(y_pred)
        return -(y_true * np.log(p) + (1 - y_true) * np.log(1 - p)).mean(axis=-1)

    def call_gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        if self.from_logits:
            return super().call_gradient(y_true, y_pred)
        p = _clip(y_pred)
        gradient = (p - y_true) / (p * (1 - p) * y_pred.shape[1])
        return np.where(p == y_pred, gradient, 0)


class _Categorical(Loss):
    """Cross-entropy over classes; subclasses differ in how targets are written."""

    _logits_kernel = ""

    def __init__(
        self,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = check.flag(from_logits, "from_logits")

    @property
    def _kernel(self) -> str | None:  # type: ignore[override]
        return self._logits_kernel if self.from_logits else None

    def _one_hot(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the targets as probabilities (n, m)."""
        return y_true

    def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        if self.from_logits:
            return super().call(y_true, y_pred)
        p = _clip(y_pred / y_pred.sum(axis=-1, keepdims=True))
        return -(self._one_hot(y_true, y_pred) * np.log(p)).sum(axis=-1)

    def call_gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        if self.from_logits:
            return super().call_gradient(y_true, y_pred)
        total = y_pred.sum(axis=-1, keepdims=True)
        share = y_pred / total
        p = _clip(share)
        dp = np.where(p == share, -self._one_hot(y_true, y_pred) / p, 0)
        # Through share_j = y_pred_j / total: d share_j / d y_pred_k = (I_jk - share_j) / total.
        return (dp - (dp * share).sum(axis=-1, keepdims=True)) / total


class CategoricalCrossentropy(_RealTargets, _Categorical):
    """``-sum_j t_j log(p_j)`` for each row; targets ``t`` one-hot or probabilities, in [0, 1].

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` holds logits, ``p = softmax(y_pred)``, or the probabilities themselves.
        Those are divided by their sum and kept within [1e-7, 1 - 1e-7]; outside, the gradient is 0,
        as in Keras.
    reduction, name
        See `Loss`.
    """

    _domain = (0.0, 1.0)
    _logits_kernel = "softmax_crossentropy"


class SparseCategoricalCrossentropy(_Categorical):
    """``-log(p_label)`` for each row; targets are class labels in [0, m).

    Labels are integers, or floating numbers that are whole. Parameters as in
    `CategoricalCrossentropy`.
    """

    _logits_kernel = "sparse_softmax_crossentropy"

    def targets(
        self,
        y_true: ArrayLike,
        shape: tuple[int, ...],
        dtype: Any = "float32",
        name: str = "y_true",
    ) -> np.ndarray:
        return check.as_labels(y_true, name, *shape)

    def _one_hot(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.eye(y_pred.shape[1], dtype=y_pred.dtype)[y_true]


_LOSSES: dict[str, type[Loss]] = {
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get(identifier: Any, argument: str = "loss") -> Loss:
    """Return a loss: by name, by class, or as it is."""
    return find(identifier, _LOSSES, Loss, argument)


def _clip(p: np.ndarray) -> np.ndarray:
    return np.clip(p, _EPSILON, 1 - _EPSILON)
