"""Losses, by the names and formulas of Keras 3: ``loss(y_true, y_pred)`` and ``loss.gradient``.

Every loss gives one number for each row of a batch of ``n`` rows and ``m`` outputs; the reduction
makes one number of them. With ``from_logits=True`` a cross-entropy takes what comes before softmax
or sigmoid: one kernel computes both, it is exact where the probability would round to 0 or 1, and
it is finite for any finite logits. Prefer it. The probability forms keep probabilities within
[1e-7, 1 - 1e-7], as Keras does; where that changes one, its gradient is 0. A model that ends in the
softmax or sigmoid before such a loss is trained and evaluated by the kernel on logits.

Formulas write ``p`` for `y_pred`, ``t`` for `y_true`, ``j`` for the outputs of a row.

Most have a function beside the class, by Keras's name, which gives the loss of each row:
``mean_squared_error(y_true, y_pred)``. It may stand for the loss of a model, or for a metric.

To write a loss of your own, subclass `Loss` and define ``call(y_true, y_pred)``, the loss of each
row (n,), and ``call_gradient(y_true, y_pred)``, its gradient (n, m).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import kernels
from fastnn._parts import Part, find, snake_case

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "Contrastive",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "Quantile",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "SumSquaredError",
    "Triplet",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]


class Loss(Part):
    """Base of all losses.

    Parameters
    ----------
    reduction : {"sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None}
        ``sum_over_batch_size`` and ``mean`` divide the weighted sum of the rows' losses by the
        number of rows (not by the sum of weights), as Keras does; ``mean_with_sample_weight``
        divides by the sum of weights, and is 0 where that is 0.
    name : str, optional
        By default the class's name in snake case.

    Raises
    ------
    TypeError, ValueError
        By all losses: TypeError for an argument of the wrong kind, ValueError for a value out of
        the range that is stated.
    """

    _formula = ("call", "call_gradient", "__call__", "gradient", "value_and_gradient")

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None
    ) -> None:
        self.reduction = check.choice(
            "none" if reduction is None else reduction,
            "reduction",
            ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none"),
        )
        self.name = check.as_name(name, snake_case(type(self).__name__))

    @property
    def numbers(self) -> tuple[float, ...]:
        """What the kernel is told beside the arrays: margins, exponents, smoothing."""
        return ()

    @property
    def is_mean_of_rows(self) -> bool:
        """Whether the loss of many rows is the mean of theirs, however they are split."""
        return self.reduction in ("sum_over_batch_size", "mean")

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
            Of each row; finite.

        Returns
        -------
        float, or with ``reduction="none"`` the weighted loss of each row, an ndarray (n,)

        Raises
        ------
        TypeError
            If one of them is not of real numbers of at most 64 bits.
        ValueError
            If one is empty or of another shape, a weight is not finite, or a target is not one that
            the loss takes: finite, and in the range it states; the text names the row. Or if what a
            loss of one's own gives is of another shape.
        NotImplementedError
            If a subclass does not define `call` and `call_gradient`.
        """
        return self.value_and_gradient(y_true, y_pred, sample_weight)[0]

    def gradient(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the gradient of the loss with respect to `y_pred`.

        Parameters
        ----------
        y_true, y_pred, sample_weight
            As in a call, which also raises what this does.

        Returns
        -------
        ndarray of shape (n, m)
            With ``reduction="none"`` the gradient of the sum. float64 if `y_pred` is, else float32.
        """
        return self.value_and_gradient(y_true, y_pred, sample_weight)[1]

    def value_and_gradient(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float | np.ndarray, np.ndarray]:
        """Return the loss and its gradient, for the work of one.

        Parameters
        ----------
        y_true, y_pred, sample_weight
            As in a call, which also raises what this does.

        Returns
        -------
        value : float or ndarray
            As of a call.
        gradient : ndarray of shape (n, m)
            As of `gradient`.
        """
        pred = check.as_matrix(y_pred, "y_pred")
        n = pred.shape[0]
        true = self.targets(y_true, pred.shape, pred.dtype)
        weight = None
        if sample_weight is not None:
            weight = check.as_sample_weight(sample_weight, "sample_weight", n, pred.dtype)
        scale = 1.0
        if self.reduction in ("sum_over_batch_size", "mean"):
            scale = 1 / n
        elif self.reduction == "mean_with_sample_weight":
            total = n if weight is None else float(weight.sum(dtype=np.float64))
            scale = 1 / total if total else 0.0
        if self.kernel_name is not None:
            values, gradient = kernels.loss(
                self.kernel_name, pred, true, weight, scale, self.numbers
            )
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
        with np.errstate(over="ignore"):
            total = values.sum(dtype=np.float64) * scale
        if np.isinf(total):
            # The mean of finite losses is finite; their sum may be beyond float64.
            total = (values * np.float64(scale)).sum()
        return float(total), gradient

    def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the loss of each row.

        Parameters
        ----------
        y_true : ndarray
            What `targets` returned.
        y_pred : ndarray of shape (n, m)

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        NotImplementedError
            If a subclass does not define it.
        """
        return self._rows(y_true, y_pred)[0]

    def call_gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the gradient of each row's loss with respect to `y_pred`.

        Parameters
        ----------
        y_true, y_pred
            As for `call`, which also raises what this does.

        Returns
        -------
        ndarray of shape (n, m)
        """
        return self._rows(y_true, y_pred)[1]

    def _rows(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._kernel is None:
            raise NotImplementedError(
                f"{type(self).__name__}: a loss defines call and call_gradient"
            )
        return kernels.loss(self._kernel, y_pred, y_true, scale=1.0, numbers=self.numbers)

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

        Returns
        -------
        ndarray
            Of the built-in losses (n, m) in this dtype, or int64 labels (n,).

        Raises
        ------
        TypeError
            If they are not of real numbers of at most 64 bits.
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

    _domain: tuple[float, float] = (-np.inf, np.inf)

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


# ---- regression ------------------------------------------------------------------------------


class MeanSquaredError(_RealTargets):
    """``mean_j (p_j - t_j)**2`` for each row.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "mean_squared_error"


class RootMeanSquaredError(_RealTargets):
    """The square root of the mean squared error of the batch as a whole.

    ``sqrt(sum_i w_i mean_j (p_ij - t_ij)**2 / n)``. With ``reduction="sum"``, the root of the sum
    over the rows (without ``/ n``); with ``"none"``, ``w_i`` times the root of each row. The
    gradient is 0 where the root is.

    So the loss of many rows is not the mean of theirs: `evaluate` gives the mean over batches.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    @property
    def _kernel(self) -> str | None:  # type: ignore[override]
        return None if self.reduction == "none" else "root_mean_squared_error"

    @property
    def is_mean_of_rows(self) -> bool:
        return self.kernel_name is None and super().is_mean_of_rows

    def value_and_gradient(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float | np.ndarray, np.ndarray]:
        value, gradient = super().value_and_gradient(y_true, y_pred, sample_weight)
        return value if self.kernel_name is None else float(np.sqrt(value)), gradient

    def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.sqrt(self._squares(y_true, y_pred)[0])

    def call_gradient(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        values, gradient = self._squares(y_true, y_pred)
        twice = 2 * np.sqrt(values)
        twice[twice == 0] = np.inf
        return gradient / twice[:, None]

    def _squares(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return kernels.loss("mean_squared_error", y_pred, y_true, scale=1.0)


class SumSquaredError(_RealTargets):
    """``sum_j (p_j - t_j)**2 / 2`` for each row, the quadratic cost of textbooks.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "sum_squared_error"


class MeanAbsoluteError(_RealTargets):
    """``mean_j |p_j - t_j|`` for each row; the gradient is 0 where ``p_j = t_j``.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "mean_absolute_error"


class MeanAbsolutePercentageError(_RealTargets):
    """``100 * mean_j |p_j - t_j| / max(|t_j|, 1e-7)`` for each row.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(_RealTargets):
    """``mean_j (log(1 + p_j) - log(1 + t_j))**2`` for each row; targets of at least 0.

    Predictions and targets below 1e-7 count as 1e-7; such predictions have no gradient.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "mean_squared_logarithmic_error"
    _domain = (0.0, np.inf)


class Huber(_RealTargets):
    """Squared near 0, absolute beyond [Huber, 1964].

    The mean over a row of ``e**2 / 2`` where ``|e| <= delta``, ``e = p_j - t_j``, and else of
    ``delta * |e| - delta**2 / 2``.

    Parameters
    ----------
    delta : float
        Above 0.
    reduction, name
        See `Loss`.
    """

    _kernel = "huber"

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.delta = check.positive_rate(delta, "delta")

    @property
    def numbers(self) -> tuple[float, ...]:
        return (self.delta,)


class LogCosh(_RealTargets):
    """``mean_j log(cosh(p_j - t_j))`` for each row; it cannot overflow.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "log_cosh"


class Quantile(_RealTargets):
    """The pinball loss, least where ``p_j`` is a quantile of ``t_j`` [Koenker and Bassett, 1978].

    ``mean_j max(q (t_j - p_j), (q - 1) (t_j - p_j))`` for each row. With ``q = 0.5`` that is half
    the absolute error, and the median.

    Parameters
    ----------
    quantile : float
        ``q``, between 0 and 1.
    reduction, name
        See `Loss`.
    """

    _kernel = "quantile"

    def __init__(
        self,
        quantile: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.quantile = check.proper_fraction(quantile, "quantile")

    @property
    def numbers(self) -> tuple[float, ...]:
        return (self.quantile,)


class CosineSimilarity(_RealTargets):
    """``-sum_j t_j p_j / (|t| |p|)`` for each row: -1 for one direction, 1 for the opposite.

    A length below 1e-7 counts as 1e-7; a prediction that short has no gradient.

    Parameters
    ----------
    axis : {-1, 1}
        Accepted for the sake of scripts.
    reduction, name
        See `Loss`.
    """

    _kernel = "cosine_similarity"

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.axis = check.last_axis(axis, "axis")


# ---- probabilities ---------------------------------------------------------------------------


class _Crossentropy(Loss):
    """A cross-entropy: of logits by one kernel, of probabilities by another."""

    _logits_kernel = ""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = check.flag(from_logits, "from_logits")
        self.label_smoothing = check.fraction(label_smoothing, "label_smoothing", closed=True)
        self.axis = check.last_axis(axis, "axis")

    @property
    def _kernel(self) -> str | None:  # type: ignore[override]
        if self.from_logits:
            return self._logits_kernel
        return self._logits_kernel.replace("softmax_", "") + "_of_probabilities"

    @property
    def numbers(self) -> tuple[float, ...]:
        return (self.label_smoothing,)


class BinaryCrossentropy(_Crossentropy, _RealTargets):
    """``-mean_j (t_j log(p_j) + (1 - t_j) log(1 - p_j))`` for each row; targets ``t`` in [0, 1].

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` holds logits, ``p = sigmoid(y_pred)``, or the probabilities themselves.
    label_smoothing : float
        ``s`` in [0, 1]: the loss takes ``(1 - s) t_j + s / 2`` for the targets.
    axis : {-1, 1}
        Accepted for the sake of scripts.
    reduction, name
        See `Loss`.
    """

    _domain = (0.0, 1.0)
    _logits_kernel = "binary_crossentropy"


class BinaryFocalCrossentropy(_Crossentropy, _RealTargets):
    """Binary cross-entropy that looks away from what is right already [Lin et al., 2017].

    ``mean_j w_j q_j**gamma B_j`` for each row, where ``B_j`` is the binary cross-entropy,
    ``q_j = t_j (1 - p_j) + (1 - t_j) p_j`` how wrong the prediction is, and ``w_j`` is 1, or with
    `apply_class_balancing` ``t_j alpha + (1 - t_j) (1 - alpha)``.

    Parameters
    ----------
    apply_class_balancing : bool
        See above.
    alpha : float
        The weight of class 1, in [0, 1].
    gamma : float
        At least 0; with 0 it is the binary cross-entropy.
    from_logits, label_smoothing, axis
        See `BinaryCrossentropy`.
    reduction, name
        See `Loss`.
    """

    _domain = (0.0, 1.0)
    _logits_kernel = "binary_focal_crossentropy"

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name)
        self.apply_class_balancing = check.flag(apply_class_balancing, "apply_class_balancing")
        self.alpha = check.fraction(alpha, "alpha", closed=True)
        self.gamma = check.non_negative_rate(gamma, "gamma")

    @property
    def numbers(self) -> tuple[float, ...]:
        weights = (self.alpha, 1 - self.alpha) if self.apply_class_balancing else (1.0, 1.0)
        return (self.label_smoothing, self.gamma, *weights)


class CategoricalCrossentropy(_Crossentropy, _RealTargets):
    """``-sum_j t_j log(p_j)`` for each row; targets ``t`` one-hot or probabilities, in [0, 1].

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` holds logits, ``p = softmax(y_pred)``, or the probabilities themselves,
        which are divided by their sum.
    label_smoothing : float
        ``s`` in [0, 1]: the loss takes ``(1 - s) t_j + s / m`` for the targets, of ``m`` classes.
    axis : {-1, 1}
        Accepted for the sake of scripts.
    reduction, name
        See `Loss`.
    """

    _domain = (0.0, 1.0)
    _logits_kernel = "softmax_crossentropy"


class SparseCategoricalCrossentropy(_Crossentropy):
    """``-log(p_label)`` for each row; targets are class labels in [0, m).

    Labels are integers, or floating numbers that are whole. The order of the parameters is that of
    Keras; there is no label smoothing.

    Parameters
    ----------
    from_logits, axis
        See `CategoricalCrossentropy`.
    reduction, name
        See `Loss`.
    """

    _logits_kernel = "sparse_softmax_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, axis=axis, reduction=reduction, name=name)

    @property
    def numbers(self) -> tuple[float, ...]:
        return ()

    def targets(
        self,
        y_true: ArrayLike,
        shape: tuple[int, ...],
        dtype: Any = "float32",
        name: str = "y_true",
    ) -> np.ndarray:
        return check.as_labels(y_true, name, *shape)


class KLDivergence(_RealTargets):
    """``sum_j t_j log(t_j / p_j)`` for each row; targets in [0, 1].

    Both are kept within [1e-7, 1]; a prediction outside has no gradient.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "kl_divergence"
    _domain = (0.0, 1.0)

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None
    ) -> None:
        super().__init__(reduction, "kl_divergence" if name is None else name)


class Poisson(_RealTargets):
    """``mean_j (p_j - t_j log(p_j + 1e-7))`` for each row; targets of at least 0.

    Predictions are rates and must not be negative: let the last activation be ``exp`` or such.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "poisson"
    _domain = (0.0, np.inf)


# ---- margins ---------------------------------------------------------------------------------


class Hinge(Loss):
    """``mean_j max(0, 1 - t_j p_j)`` for each row; targets -1 and 1, or 0 and 1.

    0 stands for -1.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "hinge"

    def targets(
        self,
        y_true: ArrayLike,
        shape: tuple[int, ...],
        dtype: Any = "float32",
        name: str = "y_true",
    ) -> np.ndarray:
        true = check.as_targets(y_true, name, (shape[0], shape[1]), dtype)
        check.expect_signs(true, name)
        return true


class SquaredHinge(Hinge):
    """``mean_j max(0, 1 - t_j p_j)**2`` for each row; targets as for `Hinge`.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "squared_hinge"


class CategoricalHinge(_RealTargets):
    """``max(0, 1 + max_j (1 - t_j) p_j - sum_j t_j p_j)`` for each row; targets one-hot.

    Targets may lie in [-1, 1]. Of several greatest outputs, the first has the gradient.

    Parameters
    ----------
    reduction, name
        See `Loss`.
    """

    _kernel = "categorical_hinge"
    _domain = (-1.0, 1.0)


# ---- embeddings ------------------------------------------------------------------------------


class Contrastive(_RealTargets):
    """The contrastive loss of pairs, by their distance [Hadsell, Chopra and LeCun, 2006, eq. 4].

    ``mean_j (t_j p_j**2 + (1 - t_j) max(0, margin - p_j)**2)`` for each row: `y_pred` holds
    distances, `y_true` 1 for a similar pair and 0 for another. (The paper halves it and writes
    ``1 - t`` for ``t``.)

    Parameters
    ----------
    margin : float
        Above 0: pairs that are not similar are pushed this far apart.
    reduction, name
        See `Loss`.
    """

    _kernel = "contrastive"
    _domain = (0.0, 1.0)

    def __init__(
        self,
        margin: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.margin = check.positive_rate(margin, "margin")

    @property
    def numbers(self) -> tuple[float, ...]:
        return (self.margin,)


class Triplet(Loss):
    """The triplet loss with the hardest triplets of the batch [Hermans, Beyer and Leibe, 2017].

    "Batch hard", eq. 5: every row is an anchor, ``max(0, margin + far - near)``, where ``far`` is
    its Euclidean distance to the farthest row of its label and ``near`` that to the nearest row of
    another. A row that lacks either has the loss 0. `y_pred` (n, d) holds embeddings, `y_true` (n,)
    labels, whole numbers of at least 0. The gradient of a distance 0 is 0.

    The loss of a row depends on the others of its batch, so that a model with it runs part by part,
    and `evaluate` gives the mean over batches.

    Parameters
    ----------
    margin : float
        Above 0.
    reduction, name
        See `Loss`.
    """

    _kernel = "triplet"

    def __init__(
        self,
        margin: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.margin = check.positive_rate(margin, "margin")

    @property
    def numbers(self) -> tuple[float, ...]:
        return (self.margin,)

    @property
    def is_mean_of_rows(self) -> bool:
        return False

    def targets(
        self,
        y_true: ArrayLike,
        shape: tuple[int, ...],
        dtype: Any = "float32",
        name: str = "y_true",
    ) -> np.ndarray:
        return check.as_labels(y_true, name, shape[0])


_LOSSES: dict[str, type[Loss]] = {
    "bce": BinaryCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_focal_crossentropy": BinaryFocalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "categorical_hinge": CategoricalHinge,
    "contrastive": Contrastive,
    "cosine_similarity": CosineSimilarity,
    "hinge": Hinge,
    "huber": Huber,
    "kl_divergence": KLDivergence,
    "kld": KLDivergence,
    "log_cosh": LogCosh,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_squared_error": MeanSquaredError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "mse": MeanSquaredError,
    "msle": MeanSquaredLogarithmicError,
    "poisson": Poisson,
    "quantile": Quantile,
    "rmse": RootMeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "squared_hinge": SquaredHinge,
    "sum_squared_error": SumSquaredError,
    "triplet": Triplet,
}


def get(identifier: Any, argument: str = "loss") -> Loss:
    """Return a loss: by name, by class or function, or as it is.

    Parameters
    ----------
    identifier : str, dict, class, function or Loss
        A name may be one of Keras's short ones, ``"mse"``; a function is one of those here. A dict
        is ``{"class_name": name, "config": arguments}``.
    argument : str
        What an error calls `identifier`.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If no loss has this name; near matches are named.
    TypeError
        If `identifier` is of another kind.
    """
    return find(name_of(identifier), _LOSSES, Loss, argument)


# ---- functions -------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {}

_DOCUMENTATION = """\
{formula}

Parameters
----------
{arguments}
    See `{kind}`; targets and outputs are those of a call.

Returns
-------
ndarray of shape (n,)
    The loss of each row.

Raises
------
TypeError, ValueError
    As by that class and its call.
"""


def name_of(identifier: Any) -> Any:
    """Return the name of a loss for its function; anything else as it is."""
    return next((name for name, known in FUNCTIONS.items() if known is identifier), identifier)


def _function(name: str) -> Callable[..., np.ndarray]:
    """Make the function of the loss of this name, with the arguments of its class."""
    kind = _LOSSES[name]

    def function(y_true: ArrayLike, y_pred: ArrayLike, *values: Any, **named: Any) -> Any:
        try:
            given = signature.bind(y_true, y_pred, *values, **named).arguments
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        return kind(reduction="none", **dict(list(given.items())[2:]))(y_true, y_pred)

    arguments = list(inspect.signature(kind).parameters.values())
    place = [argument.name for argument in arguments].index("reduction")
    # What comes after the reduction has another place in Keras's function: here, none.
    behind = [a.replace(kind=a.KEYWORD_ONLY) for a in arguments[place + 1 :] if a.name != "name"]
    batch = list(inspect.signature(function).parameters.values())[:2]
    signature = inspect.Signature(
        [*batch, *arguments[:place], *behind], return_annotation="np.ndarray"
    )
    function.__name__ = function.__qualname__ = name
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__doc__ = _DOCUMENTATION.format(
        formula=(inspect.getdoc(kind) or "").partition("\n\n")[0],
        arguments=", ".join(signature.parameters),
        kind=kind.__name__,
    )
    FUNCTIONS[name] = function
    return function


binary_crossentropy = _function("binary_crossentropy")
binary_focal_crossentropy = _function("binary_focal_crossentropy")
categorical_crossentropy = _function("categorical_crossentropy")
categorical_hinge = _function("categorical_hinge")
cosine_similarity = _function("cosine_similarity")
hinge = _function("hinge")
huber = _function("huber")
kl_divergence = _function("kl_divergence")
log_cosh = _function("log_cosh")
mean_absolute_error = _function("mean_absolute_error")
mean_absolute_percentage_error = _function("mean_absolute_percentage_error")
mean_squared_error = _function("mean_squared_error")
mean_squared_logarithmic_error = _function("mean_squared_logarithmic_error")
poisson = _function("poisson")
sparse_categorical_crossentropy = _function("sparse_categorical_crossentropy")
squared_hinge = _function("squared_hinge")
