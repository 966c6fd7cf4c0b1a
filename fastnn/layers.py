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

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from fastnn import _validate as check
from fastnn import activations, initializers, kernels
from fastnn._parts import Part, snake_case

__all__ = ["Activation", "Dense", "Input", "Layer", "ReLU", "Sigmoid", "Softmax", "Tanh"]

_names_given: Counter[str] = Counter()


# ---- the guards ------------------------------------------------------------------------------
# Every build, forward and backward, of a built-in layer or a user's, runs inside a guard that
# checks what goes in and what comes out, so that a layer's own code is its formula and no more.
# A call through super() passes: its caller has been checked.


def _guard_build(build: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(build)
    def guarded(self: Layer, features: int) -> None:
        if type(self).build is not guarded:
            return build(self, features)
        features = check.positive_int(features, "features")
        if self.built:
            if features != self.features:
                raise ValueError(
                    f"features: expected {self.features}, as {self.name} is built, got {features}"
                )
            return
        try:
            build(self, features)
        except BaseException:
            self.weights.clear()
            raise
        self.features = features
        self.built = True

    return guarded


def _guard_forward(forward: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    @functools.wraps(forward)
    def guarded(self: Layer, x: Any, training: bool = False) -> np.ndarray:
        if type(self).forward is not guarded:
            return forward(self, x, training)
        x = check.as_matrix(x, "x", self.dtype, self.features)
        n, features = x.shape
        if not self.built:
            self.build(features)
        self._shapes = None
        y = check.as_matrix(
            forward(self, x, training),
            f"{self.name}: output of forward",
            self.dtype,
            self.output_features(features),
        )
        check.expect_shape(y, f"{self.name}: output of forward", (n, y.shape[1]))
        self._shapes = x.shape, y.shape
        return y

    return guarded


def _guard_backward(backward: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    @functools.wraps(backward)
    def guarded(self: Layer, dy: Any) -> np.ndarray:
        if type(self).backward is not guarded:
            return backward(self, dy)
        if self._shapes is None:
            raise RuntimeError(f"{self.name}: backward needs a forward pass before it")
        x_shape, y_shape = self._shapes
        dy = check.as_matrix(dy, "dy", self.dtype)
        check.expect_shape(dy, "dy", y_shape)
        dx = check.as_matrix(backward(self, dy), f"{self.name}: output of backward", self.dtype)
        check.expect_shape(dx, f"{self.name}: output of backward", x_shape)
        for name, weight in self.weights.items():
            got = self.gradients.get(name)
            if got is None or got.shape != weight.shape:
                raise ValueError(
                    f"{self.name}: expected backward to set gradients[{name!r}] of shape "
                    f"{weight.shape}, got {None if got is None else got.shape}"
                )
        return dx

    return guarded


# ---- the base --------------------------------------------------------------------------------


class Layer(Part):
    """Base of all layers.

    Parameters
    ----------
    name : str, optional
        By default the class's name in snake case, with a number from the second layer on.
    dtype : {"float32", "float64"}, optional
        Type of weights and of what is computed; by default float32. Inputs are converted to it.

    Attributes
    ----------
    weights : dict of str to ndarray
        Filled by `build`. Change them in place; to put them in memory of your own, use `bind`.
    gradients : dict of str to ndarray
        The same keys, filled by `backward`: gradients of the loss. New arrays at every call.
    features : int or None
        Number of inputs, None before `build`.
    built, trainable : bool

    Notes
    -----
    Between `forward` and `backward` a layer keeps references to its input and output, not copies:
    change neither in between.
    """

    _formula = ("build", "forward", "backward")
    # Names of the attributes that the compiled plan of a network depends on.
    lowered_by: ClassVar[tuple[str, ...]] = ("features", "dtype")

    def __init__(self, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        self.name = _automatic_name(type(self)) if name is None else str(name)
        self.dtype: str | None = check.as_dtype("float32" if dtype is None else dtype).name
        self.trainable = True
        self.built = False
        self.features: int | None = None
        self.weights: dict[str, np.ndarray] = {}
        self.gradients: dict[str, np.ndarray] = {}
        self._shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for method, guard in (
            ("build", _guard_build),
            ("forward", _guard_forward),
            ("backward", _guard_backward),
        ):
            if method in vars(cls):
                setattr(cls, method, guard(vars(cls)[method]))

    @_guard_build
    def build(self, features: int) -> None:
        """Create the weights for this number of inputs; the first `forward` does it too."""

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """Compute the outputs.

        Parameters
        ----------
        x : array_like of shape (N, K)
        training : bool
            Whether this is a step of training, which some layers compute differently.

        Returns
        -------
        ndarray of shape (N, M)
        """
        raise NotImplementedError(f"{type(self).__name__}: a layer defines forward")

    def backward(self, dy: Any) -> np.ndarray:
        """Carry a gradient back through the last `forward`, and fill `gradients`.

        Parameters
        ----------
        dy : array_like of shape (N, M)
            Gradient of the loss with respect to the outputs.

        Returns
        -------
        dx : ndarray of shape (N, K)

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        """
        raise NotImplementedError(f"{type(self).__name__}: a layer defines backward")

    def __call__(self, x: Any, training: bool = False) -> np.ndarray:
        return self.forward(x, training)

    def add_weight(
        self, name: str, shape: Sequence[int], initializer: Any = "glorot_uniform"
    ) -> np.ndarray:
        """Create ``weights[name]``; for use in `build`."""
        shape = tuple(shape)
        value = initializers.get(initializer)(shape, self.dtype)
        weight = check.as_real(value, f"initializer of {name}", self.dtype).copy()
        check.expect_shape(weight, f"initializer of {name}", shape)
        self.weights[name] = weight
        return weight

    def bind(self, name: str, array: np.ndarray) -> None:
        """Move ``weights[name]`` into `array`: copy its value there, and use that memory from now.

        Parameters
        ----------
        name : str
        array : ndarray
            Of the weight's shape and type, writeable; the rows of a matrix may lie apart.

        Notes
        -----
        A model that runs as a compiled plan binds the weights of its layers to memory of its own,
        at the next call.
        """
        weight = self.weights[name]
        check.expect_shape(array, name, weight.shape)
        if array.dtype != weight.dtype:
            raise TypeError(f"{name}: expected {weight.dtype}, got {array.dtype}")
        array[...] = weight
        self.weights[name] = array

    def output_features(self, features: int) -> int:
        """Return the number of outputs, M, for `features` inputs."""
        return features

    def count_params(self) -> int:
        """Return the number of weights.

        Raises
        ------
        ValueError
            Before the layer is built.
        """
        if not self.built:
            raise ValueError(f"{self.name}: expected a built layer; call build(features) first")
        return sum(weight.size for weight in self.weights.values())


def _automatic_name(cls: type) -> str:
    """Return ``dense``, then ``dense_1``, ``dense_2`` and so on."""
    base = snake_case(cls.__name__)
    _names_given[base] += 1
    count = _names_given[base] - 1
    return f"{base}_{count}" if count else base


# ---- layers ----------------------------------------------------------------------------------


class Input(Layer):
    """Says how many inputs a network has; passes them on.

    Parameters
    ----------
    shape : int or tuple of one int
        Shape of one row.
    name
        See `Layer`.
    dtype : {"float32", "float64"}, optional
        By default inputs keep their type; the next layer converts them.
    """

    _kernel = "input"

    def __init__(
        self,
        shape: int | Sequence[int],
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(name, dtype)
        if dtype is None:
            self.dtype = None
        sides = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        if len(sides) != 1:
            raise ValueError(f"shape: expected one side (features,), got {shape!r}")
        self.shape = (check.positive_int(sides[0], "shape"),)
        self.build(self.shape[0])

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        return x

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy


class Dense(Layer):
    """A fully connected layer, ``y = act(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs, M.
    activation : str or object, optional
        See `fastnn.activations.get`; None is linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str or callable
        See `fastnn.initializers.get`.
    name, dtype
        See `Layer`.

    Notes
    -----
    Weights: ``kernel`` (K, M) and ``bias`` (M,). With ``dz = dy * act'(z)``:
    ``dkernel = x.T @ dz``, ``dbias = dz.sum(axis=0)``, ``dx = dz @ kernel.T``.
    """

    _kernel = "dense"
    lowered_by = ("features", "dtype", "activation", "units")

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(name, dtype)
        self.units = check.positive_int(units, "units")
        self.activation = activations.get(activation)
        self.use_bias = check.flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.get(kernel_initializer, "kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")

    def build(self, features: int) -> None:
        self.add_weight("kernel", (features, self.units), self.kernel_initializer)
        if self.use_bias:
            self.add_weight("bias", (self.units,), self.bias_initializer)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        kernel, bias = self.weights["kernel"], self.weights.get("bias")
        fused = _kernel_name(self.activation)
        y = kernels.dense_forward(x, kernel, bias, fused)
        if fused is None:
            y = _activate(self.activation, y)
        self._x, self._y = x, y
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        fused = _kernel_name(self.activation)
        if fused is None:
            dy = _activate_gradient(self.activation, self._y, dy)
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
    """Applies an activation, ``y = act(x)``.

    Parameters
    ----------
    activation : str or object
        See `fastnn.activations.get`.
    name, dtype
        See `Layer`.
    """

    _kernel = "activation"
    lowered_by = ("features", "dtype", "activation")

    def __init__(
        self, activation: Any, name: str | None = None, dtype: DTypeLike | None = None
    ) -> None:
        super().__init__(name, dtype)
        self.activation = activations.get(activation)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self._y = _activate(self.activation, x)
        return self._y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return _activate_gradient(self.activation, self._y, dy)


class ReLU(Activation):
    """Applies ``max(x, 0)``."""

    def __init__(self, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        super().__init__("relu", name, dtype)


class Sigmoid(Activation):
    """Applies ``1 / (1 + exp(-x))``."""

    def __init__(self, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        super().__init__("sigmoid", name, dtype)


class Tanh(Activation):
    """Applies the hyperbolic tangent."""

    def __init__(self, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        super().__init__("tanh", name, dtype)


class Softmax(Activation):
    """Applies ``exp(x) / sum(exp(x))`` to each row."""

    def __init__(self, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        super().__init__("softmax", name, dtype)


# ---- activations within a layer --------------------------------------------------------------


def _kernel_name(activation: activations.Differentiable) -> str | None:
    """Return the name of an activation that a dense kernel can fuse; None for a user's own."""
    return activation.kernel_name if isinstance(activation, activations.Activation) else None


def _activate(activation: activations.Differentiable, x: np.ndarray) -> np.ndarray:
    y = check.as_matrix(activation(x), "output of activation", x.dtype)
    check.expect_shape(y, "output of activation", x.shape)
    return y


def _activate_gradient(
    activation: activations.Differentiable, y: np.ndarray, dy: np.ndarray
) -> np.ndarray:
    dx = check.as_matrix(activation.gradient(y, dy), "output of activation.gradient", y.dtype)
    check.expect_shape(dx, "output of activation.gradient", y.shape)
    return dx
