"""Layers that shift and scale: by the batch, by the row, by the data, or by given numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnn import _validate as check
from fastnn import initializers, kernels, regularizers
from fastnn._layer import Layer

# The least deviation that `Normalization` divides by, as in Keras.
LEAST_DEVIATION = 1e-7


class _Trained(Layer):
    """What batch and layer normalization share: gamma and beta."""

    def __init__(
        self,
        axis: int,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        trainable: bool,
        name: str | None,
        dtype: DTypeLike | None,
    ) -> None:
        super().__init__(name, dtype)
        self.trainable = check.flag(trainable, "trainable")
        self.axis = check.last_axis(axis, "axis")
        self.epsilon = check.non_negative_rate(epsilon, "epsilon")
        self.center = check.flag(center, "center")
        self.scale = check.flag(scale, "scale")
        self.beta_initializer = initializers.get(beta_initializer, "beta_initializer")
        self.gamma_initializer = initializers.get(gamma_initializer, "gamma_initializer")
        self.beta_regularizer = regularizers.get(beta_regularizer, "beta_regularizer")
        self.gamma_regularizer = regularizers.get(gamma_regularizer, "gamma_regularizer")

    def build(self, features: int) -> None:
        for name, wanted in (("gamma", self.scale), ("beta", self.center)):
            if wanted:
                self.add_weight(
                    name,
                    (features,),
                    getattr(self, f"{name}_initializer"),
                    regularizer=getattr(self, f"{name}_regularizer"),
                )

    def _take(self, dgamma: np.ndarray, dbeta: np.ndarray) -> None:
        if self.scale:
            self.gradients["gamma"] = dgamma
        if self.center:
            self.gradients["beta"] = dbeta


class BatchNormalization(_Trained):
    """Normalises each column: ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    While training, mean and variance are those of the mini-batch; afterwards, their moving
    averages, and also while training if the layer is not ``trainable``.

    Parameters
    ----------
    axis : int
        -1 or 1, that of the features.
    momentum : float
        In [0, 1]: ``moving = momentum * moving + (1 - momentum) * new`` at every step.
    epsilon : float
        At least 0.
    center, scale : bool
        Whether there are beta and gamma.
    beta_initializer, gamma_initializer : str or callable
    moving_mean_initializer, moving_variance_initializer : str or callable
        See `fastnn.initializers.get`.
    beta_regularizer, gamma_regularizer : str or object, optional
        See `fastnn.regularizers.get`.
    trainable : bool
        Whether training changes gamma and beta; batch normalization that does not uses its moving
        averages while training too.
    name, dtype
        See `Layer`.

    Notes
    -----
    Weights: ``gamma``, ``beta``, ``moving_mean``, ``moving_variance``, each (K,); the last two are
    not trainable. The variance is the mean of the squared deviations. S. Ioffe and C. Szegedy,
    Batch normalization, ICML 2015.
    """

    _kernel = "batch_normalization"
    lowered_by = ("momentum", "epsilon")

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        trainable: bool = True,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(
            *(axis, epsilon, center, scale, beta_initializer, gamma_initializer),
            *(beta_regularizer, gamma_regularizer, trainable, name, dtype),
        )
        self.momentum = check.fraction(momentum, "momentum", closed=True)
        self.moving_mean_initializer = initializers.get(
            moving_mean_initializer, "moving_mean_initializer"
        )
        self.moving_variance_initializer = initializers.get(
            moving_variance_initializer, "moving_variance_initializer"
        )

    def build(self, features: int) -> None:
        super().build(features)
        self.add_weight("moving_mean", (features,), self.moving_mean_initializer, trainable=False)
        self.add_weight(
            "moving_variance", (features,), self.moving_variance_initializer, trainable=False
        )

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        gamma, beta = self.weights.get("gamma"), self.weights.get("beta")
        moving = self.weights["moving_mean"], self.weights["moving_variance"]
        self._x, self._constant = x, not (training and self.trainable)
        if self._constant:
            self._mean, self._variance = moving
            scale = 1 / np.sqrt(self._variance + self.epsilon)
            scale = scale if gamma is None else gamma * scale
            return kernels.affine(x, scale, beta, self._mean)
        y, *new = kernels.batch_normalization(x, gamma, beta, self.epsilon)
        self._mean, self._variance = new
        for average, value in zip(moving, new, strict=True):
            average *= self.momentum
            average += value * (1 - self.momentum)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx, dgamma, dbeta = kernels.batch_normalization_gradient(
            self._x,
            self._mean,
            self._variance,
            self.weights.get("gamma"),
            dy,
            self.epsilon,
            self._constant,
        )
        self._take(dgamma, dbeta)
        return dx


class LayerNormalization(_Trained):
    """Normalises each row: ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    Parameters
    ----------
    axis : int
        -1 or 1, that of the features.
    epsilon : float
        At least 0.
    center, scale : bool
        Whether there are beta and gamma.
    beta_initializer, gamma_initializer : str or callable
        See `fastnn.initializers.get`.
    beta_regularizer, gamma_regularizer : str or object, optional
        See `fastnn.regularizers.get`.
    trainable : bool
        Whether training changes gamma and beta.
    name, dtype
        See `Layer`.

    Notes
    -----
    Weights: ``gamma`` and ``beta``, each (K,). J. L. Ba et al., Layer normalization, 2016.
    """

    _kernel = "layer_normalization"
    lowered_by = ("epsilon",)

    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        trainable: bool = True,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(
            *(axis, epsilon, center, scale, beta_initializer, gamma_initializer),
            *(beta_regularizer, gamma_regularizer, trainable, name, dtype),
        )

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        gamma, beta = self.weights.get("gamma"), self.weights.get("beta")
        self._x = x
        y, self._mean, self._inverse = kernels.layer_normalization(x, gamma, beta, self.epsilon)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx, dgamma, dbeta = kernels.layer_normalization_gradient(
            self._x, self._mean, self._inverse, self.weights.get("gamma"), dy
        )
        self._take(dgamma, dbeta)
        return dx


class Rescaling(Layer):
    """Computes ``x * scale + offset``; 1 / 255 makes numbers in [0, 1] of bytes.

    Parameters
    ----------
    scale, offset : float
        Finite.
    name, dtype
        See `Layer`.
    """

    _kernel = "rescaling"
    lowered_by = ("scale", "offset")
    elementwise = True
    follows = True

    def __init__(
        self,
        scale: float,
        offset: float = 0.0,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(name, dtype)
        self.scale = check.number(scale, "scale")
        self.offset = check.number(offset, "offset")

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        return kernels.affine(x, self.columns(self.scale, x), self.columns(self.offset, x))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return kernels.affine(dy, self.columns(self.scale, dy))

    @staticmethod
    def columns(value: float, x: np.ndarray) -> np.ndarray:
        """Return a number, once for each column of a matrix.

        Parameters
        ----------
        value : float
        x : ndarray of shape (N, K)

        Returns
        -------
        ndarray of shape (K,)
            In the type of `x`.
        """
        return np.full(x.shape[1], value, x.dtype)


class Normalization(Layer):
    """Computes ``(x - mean) / max(sqrt(variance), 1e-7)`` by columns.

    Parameters
    ----------
    axis : int or None
        -1 or 1, that of the features; None for one mean and one variance of all numbers.
    mean, variance : float or array_like of shape (K,), optional
        Finite, the variance at least 0. Both or neither. Without them, `adapt` finds them; until
        then they are 0 and 1.
    invert : bool
        Whether to go the other way, ``x * max(sqrt(variance), 1e-7) + mean``: from what a network
        was trained on back to the units of the data. Such a layer keeps a model from the plan.
    name, dtype
        See `Layer`.

    Notes
    -----
    Weights, where mean and variance are not given: ``mean`` and ``variance``, each (K,), not
    trainable.
    """

    _kernel = "normalization"
    lowered_by = ("mean", "variance", "invert")

    def __init__(
        self,
        axis: int | None = -1,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        invert: bool = False,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(name, dtype)
        self.axis = None if axis is None else check.last_axis(axis, "axis")
        if (mean is None) != (variance is None):
            raise ValueError(
                f"mean, variance: expected both or neither, got {mean!r} and {variance!r}"
            )
        self.invert = check.flag(invert, "invert")
        self.mean = self.variance = None
        if mean is not None:
            self.mean, self.variance = _numbers(mean, "mean"), _numbers(variance, "variance")
            if np.min(self.variance) < 0:
                raise ValueError(f"variance: expected numbers of at least 0, got {variance!r}")

    @property
    def kernel_name(self) -> str | None:
        return None if self.invert else super().kernel_name

    def build(self, features: int) -> None:
        if self.mean is None:
            self.add_weight("mean", (features,), "zeros", trainable=False)
            self.add_weight("variance", (features,), "ones", trainable=False)
            return
        for value, name in ((self.mean, "mean"), (self.variance, "variance")):
            if isinstance(value, list) and len(value) != features:
                raise ValueError(
                    f"{name}: expected {check.plural(features, 'number')}, got {len(value)}"
                )

    def adapt(self, data: ArrayLike) -> None:
        """Take mean and variance from examples, computed in float64.

        Parameters
        ----------
        data : array_like of shape (n, K)
            With ``axis=None`` also (n, a, b, …), or (n,) for a single column.

        Raises
        ------
        ValueError
            If mean and variance were given, or `data` is empty, of another shape or number of
            features, or has a mean or variance that the layer's type does not hold.
        TypeError
            If `data` is not of real numbers.
        """
        if self.mean is not None:
            raise ValueError(f"{self.name}: expected no adapt, for mean and variance were given")
        if self.axis is None:
            data = check.as_numbers(data, "data")
            data = data[:, None] if data.ndim == 1 else check.as_rows(data, "data")
        x = check.as_matrix(data, "data", np.float64, self.features)
        if self.axis is None:
            mean, variance = (np.full(x.shape[1], value) for value in (x.mean(), x.var()))
        else:
            mean, variance = x.mean(axis=0), x.var(axis=0)
        found = [check.as_real(v, "data", self.dtype) for v in (mean, variance)]
        self.build(x.shape[1])
        self.weights["mean"][...], self.weights["variance"][...] = found

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each column.

        Returns
        -------
        mean, variance : ndarray of shape (K,)
            In the layer's `dtype`.

        Raises
        ------
        ValueError
            Before the layer is built.
        """
        if not self.built:
            raise ValueError(f"{self.name}: expected a built layer; call build(features) first")
        if self.mean is None:
            return self.weights["mean"], self.weights["variance"]
        assert self.features is not None
        mean, variance = (
            np.full(self.features, value, self.dtype) for value in (self.mean, self.variance)
        )
        return mean, variance

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        mean, variance = self.statistics()
        deviation = np.maximum(np.sqrt(variance), np.array(LEAST_DEVIATION, self.dtype))
        if self.invert:
            self._scale = deviation
            return kernels.affine(x, deviation, mean)
        self._scale = 1 / deviation
        return kernels.affine(x, self._scale, None, mean)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return kernels.affine(dy, self._scale)


def _numbers(value: Any, name: str) -> float | list[float]:
    """Return a number, or a vector of them as a list, as a configuration can keep it."""
    if np.ndim(value) == 0:
        return check.number(value, name)
    vector = check.as_vector(value, name, np.float64)
    check.expect_within(vector[None], name)
    return vector.tolist()
