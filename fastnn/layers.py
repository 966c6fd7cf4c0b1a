"""Layers: ``y = layer.forward(x)``, ``dx = layer.backward(dy)``, weights and their gradients.

Letters: ``N`` rows of a batch, ``K`` inputs, ``M`` outputs. ``dx`` is the gradient of the loss with
respect to ``x`` and has its shape.

To write a layer of your own, subclass `Layer`::

    class Scale(Layer):
        def build(self, features):
            self.add_weight("scale", (features,), "ones")

        def forward(self, x, training=False):
            self.x = x
            return x * self.weights["scale"]

        def backward(self, dy):
            self.gradients["scale"] = (dy * self.x).sum(axis=0)
            return dy * self.weights["scale"]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn import _validate as check
from fastnn import activations, initializers, kernels, regularizers
from fastnn._chance import Dropout, GaussianNoise
from fastnn._layer import Layer
from fastnn._normalization import (
    BatchNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
)

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianNoise",
    "Input",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Normalization",
    "PReLU",
    "ReLU",
    "Rescaling",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "ThresholdedReLU",
]

# ---- layers ----------------------------------------------------------------------------------


class Input(Layer):
    """Says how many inputs a network has; passes them on.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of one row; one of several axes needs a `Flatten` before any layer that mixes them.
    name
        See `Layer`.
    dtype : {"float32", "float64"}, optional
        By default inputs keep their type; the next layer converts them.
    """

    _kernel = "input"
    elementwise = True
    follows = True

    def __init__(
        self,
        shape: int | Sequence[int],
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(name, dtype)
        sides = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        if not sides:
            raise ValueError(f"shape: expected at least one side, as (features,), got {shape!r}")
        self.shape = tuple(check.positive_int(side, "shape") for side in sides)
        self.build(math.prod(self.shape))

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        return x

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy


InputLayer = Input  # as Keras names the layer that its function Input makes


class ActivityRegularization(Layer):
    """Passes its inputs on, and adds to the loss what they cost.

    Parameters
    ----------
    l1, l2 : float
        At least 0: ``l1 * sum |x| + l2 * sum x**2``, divided by the rows of a batch.
    name, dtype
        See `Layer`.
    """

    _kernel = "input"
    elementwise = True
    follows = True

    def __init__(
        self,
        l1: float = 0.0,
        l2: float = 0.0,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(name, dtype)
        self.activity_regularizer = regularizers.L1L2(l1, l2)
        self.l1, self.l2 = self.activity_regularizer.l1, self.activity_regularizer.l2

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        return x

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy


class Flatten(Layer):
    """Makes one row of numbers of rows that have several axes, (n, a, b, …) -> (n, a * b * …).

    Parameters
    ----------
    name, dtype
        See `Layer`.
    """

    _kernel = "flatten"
    flattens = True
    follows = True

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        return x

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy


class Dense(Layer):
    """A fully connected layer, ``y = act(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs, M, at least 1.
    activation : str or object, optional
        See `fastnn.activations.get`; None is linear.
    use_bias : bool
        Whether there is a bias.
    kernel_initializer, bias_initializer : str or callable
        See `fastnn.initializers.get`.
    kernel_regularizer, bias_regularizer, activity_regularizer : str or object, optional
        See `fastnn.regularizers.get`. What the outputs cost is divided by the rows of a batch.
    trainable : bool
        Whether training changes the weights; the attribute may be set later too.
    name, dtype
        See `Layer`.

    Notes
    -----
    Weights: ``kernel`` (K, M) and ``bias`` (M,). With ``dz = dy * act'(z)``:
    ``dkernel = x.T @ dz``, ``dbias = dz.sum(axis=0)``, ``dx = dz @ kernel.T``.
    """

    _kernel = "dense"
    lowered_by = ("activation", "units")

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        trainable: bool = True,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(name, dtype)
        self.trainable = check.flag(trainable, "trainable")
        self.units = check.positive_int(units, "units")
        self.activation = activations.get(activation)
        self.use_bias = check.flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer, "kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")
        self.kernel_regularizer = regularizers.get(kernel_regularizer, "kernel_regularizer")
        self.bias_regularizer = regularizers.get(bias_regularizer, "bias_regularizer")
        self.activity_regularizer = regularizers.get(activity_regularizer, "activity_regularizer")

    def build(self, features: int) -> None:
        self.add_weight(
            "kernel",
            (features, self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        if self.use_bias:
            self.add_weight(
                "bias", (self.units,), self.bias_initializer, regularizer=self.bias_regularizer
            )

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        kernel, bias = self.weights["kernel"], self.weights.get("bias")
        fused = _fused_name(self.activation)
        z = y = kernels.dense_forward(x, kernel, bias, fused)
        if fused is None:
            y = _activate(self.activation, z)
        self._x, self._y = x, y
        self._z = z if _from_input(self.activation) else None
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        fused = _fused_name(self.activation)
        if fused is None:
            dy = _activate_gradient(self.activation, self._y, dy, self._z)
        dx, dkernel, dbias = kernels.dense_backward(
            self._x, self.weights["kernel"], self._y, dy, fused
        )
        self.gradients["kernel"] = dkernel
        if self.use_bias:
            self.gradients["bias"] = dbias
        return dx

    def output_features(self, features: int) -> int:
        return self.units


class Activation(Layer):
    """Applies an activation, ``y = act(x)``: formulas in `fastnn.activations`, sources in
    `fastnn.reference`.

    Parameters
    ----------
    activation : str or object
        See `fastnn.activations.get`.
    name, dtype
        See `Layer`.
    """

    _kernel = "activation"
    follows = True
    lowered_by = ("activation",)

    @property
    def elementwise(self) -> bool:  # type: ignore[override]
        function = self.activation
        return isinstance(function, activations.Activation) and "softmax" not in function.name

    def __init__(
        self, activation: Any, name: str | None = None, dtype: DTypeLike | None = None
    ) -> None:
        super().__init__(name, dtype)
        self.activation = activations.get(activation)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self._y = _activate(self.activation, x)
        self._x = x if _from_input(self.activation) else None
        return self._y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return _activate_gradient(self.activation, self._y, dy, self._x)


class ReLU(Activation):
    """Applies ``max(x, 0)``, or `fastnn.activations.relu` with these parameters.

    Parameters
    ----------
    max_value : float, optional
        At least 0; by default there is no bound.
    negative_slope, threshold : float
        At least 0.
    name, dtype
        See `Layer`.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        function = activations.relu.with_(negative_slope, max_value, threshold)
        super().__init__(function, name, dtype)
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope = float(negative_slope)
        self.threshold = float(threshold)


class LeakyReLU(Activation):
    """Applies ``x`` where ``x > 0``, else ``negative_slope * x``.

    Parameters
    ----------
    negative_slope : float
        At least 0.
    name, dtype
        See `Layer`.
    """

    def __init__(
        self,
        negative_slope: float = 0.3,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(activations.leaky_relu.with_(negative_slope), name, dtype)
        self.negative_slope = float(negative_slope)


class ELU(Activation):
    """Applies ``x`` where ``x > 0``, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    alpha : float
        At least 0.
    name, dtype
        See `Layer`.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(activations.elu.with_(alpha), name, dtype)
        self.alpha = float(alpha)


class ThresholdedReLU(Activation):
    """Applies ``x`` where ``x > theta``, else 0.

    Parameters
    ----------
    theta : float
        At least 0.
    name, dtype
        See `Layer`.
    """

    def __init__(
        self,
        theta: float = 1.0,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(activations.threshold.with_(theta), name, dtype)
        self.theta = float(theta)


class Sigmoid(Activation):
    """Applies ``1 / (1 + exp(-x))``.

    Parameters
    ----------
    name, dtype
        See `Layer`.
    """

    def __init__(self, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        super().__init__("sigmoid", name, dtype)


class Tanh(Activation):
    """Applies the hyperbolic tangent.

    Parameters
    ----------
    name, dtype
        See `Layer`.
    """

    def __init__(self, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        super().__init__("tanh", name, dtype)


class Softmax(Activation):
    """Applies ``exp(x) / sum(exp(x))`` to each row.

    Parameters
    ----------
    axis : int
        -1 or 1, that of the features.
    name, dtype
        See `Layer`.
    """

    def __init__(
        self, axis: int = -1, name: str | None = None, dtype: DTypeLike | None = None
    ) -> None:
        super().__init__("softmax", name, dtype)
        self.axis = check.last_axis(axis, "axis")


class PReLU(Layer):
    """Applies `x` where ``x > 0``, else ``alpha * x``, with an alpha learned for every column.

    Parameters
    ----------
    alpha_initializer : str or callable
        See `fastnn.initializers.get`.
    alpha_regularizer : str or object, optional
        See `fastnn.regularizers.get`.
    trainable : bool
        Whether training changes alpha.
    name, dtype
        See `Layer`.

    Notes
    -----
    Weights: ``alpha`` (K,). K. He et al., Delving deep into rectifiers, ICCV 2015.
    """

    _kernel = "prelu"

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        trainable: bool = True,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(name, dtype)
        self.trainable = check.flag(trainable, "trainable")
        self.alpha_initializer = initializers.get(alpha_initializer, "alpha_initializer")
        self.alpha_regularizer = regularizers.get(alpha_regularizer, "alpha_regularizer")

    def build(self, features: int) -> None:
        self.add_weight(
            "alpha", (features,), self.alpha_initializer, regularizer=self.alpha_regularizer
        )

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self._x = x
        return kernels.prelu(x, self.weights["alpha"])

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx, self.gradients["alpha"] = kernels.prelu_gradient(self._x, self.weights["alpha"], dy)
        return dx


# ---- activations within a layer --------------------------------------------------------------


def _fused_name(activation: activations.Differentiable) -> str | None:
    """Return the name of an activation that the dense kernels apply; None for all others.

    Those with parameters of their own, or a gradient from the input, follow the product.
    """
    if not isinstance(activation, activations.Activation) or activation.parameters:
        return None
    return None if activation.from_input else activation.kernel_name


def _from_input(activation: activations.Differentiable) -> bool:
    return isinstance(activation, activations.Activation) and activation.from_input


def _activate(activation: activations.Differentiable, x: np.ndarray) -> np.ndarray:
    y = check.as_matrix(activation(x), "output of activation", x.dtype)
    check.expect_shape(y, "output of activation", x.shape)
    return y


def _activate_gradient(
    activation: activations.Differentiable, y: np.ndarray, dy: np.ndarray, x: np.ndarray | None
) -> np.ndarray:
    """Call the gradient, with `x` where it is computed from that."""
    saved = {} if x is None else {"x": x}
    dx = activation.gradient(y, dy, **saved)
    dx = check.as_matrix(dx, "output of activation.gradient", y.dtype)
    check.expect_shape(dx, "output of activation.gradient", y.shape)
    return dx
