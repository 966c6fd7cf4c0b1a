"""Activations: values against SciPy, gradients by differences, activations of one's own."""

import numpy as np
import pytest
import scipy.special

from fastnn import activations, layers

EXPECTED = {
    "linear": lambda x: x,
    "sigmoid": scipy.special.expit,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "softmax": lambda x: scipy.special.softmax(x, axis=-1),
    "log_softmax": lambda x: scipy.special.log_softmax(x, axis=-1),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXPECTED)
def test_values(name, dtype, rng):
    x = (3 * rng.standard_normal((4, 3, 17))).astype(dtype)
    y = getattr(activations, name)(x)
    assert y.dtype == dtype
    eps = np.finfo(dtype).eps
    # The rows of log_softmax reach -20; no other output passes the inputs' 15.
    np.testing.assert_allclose(y, EXPECTED[name](x.astype("float64")), rtol=0, atol=100 * eps)


@pytest.mark.parametrize("name", EXPECTED)
def test_gradient(name, rng):
    activation = activations.get(name)
    x, dy = rng.standard_normal((2, 3, 5))
    x[np.abs(x) < 0.01] = 0.5  # not on the kink of relu
    got = activation.gradient(activation(x), dy)
    step = 1e-5
    expected = np.empty_like(x)
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = step
        expected[i] = ((activation(x + d) - activation(x - d)) * dy).sum() / (2 * step)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-8)


def test_out(rng):
    x = rng.standard_normal((3, 4))
    out = np.empty_like(x)
    assert activations.tanh(x, out=out) is out
    dx = activations.tanh.gradient(out, x)
    assert activations.tanh.gradient(out, x, out=x) is x
    np.testing.assert_array_equal(x, dx)


def test_get():
    assert activations.get(None) is activations.linear
    assert activations.get("relu") is activations.relu
    assert activations.get("LogSoftmax") is activations.log_softmax
    assert activations.get(activations.tanh) is activations.tanh
    assert repr(activations.relu) == "activations.relu"
    assert activations.relu.identifier() == activations.relu.kernel_name == "relu"
    with pytest.raises(ValueError) as error:
        activations.get("sigmiod")
    assert str(error.value) == (
        "activation: expected one of linear, sigmoid, tanh, relu, softmax, log_softmax, "
        "got 'sigmiod' (did you mean 'sigmoid'?)"
    )
    with pytest.raises(TypeError) as error:
        activations.get(7)
    assert str(error.value) == (
        "activation: expected a name or an object with __call__(x) and gradient(y, dy), got 7"
    )
    with pytest.raises(TypeError, match="an object with __call__"):
        layers.Dense(3, activation=np.tanh)


class Cube:
    """An activation that has no kernel; y**(2/3) because the gradient sees the output."""

    def __call__(self, x):
        return x**3

    def gradient(self, y, dy):
        return dy * 3 * np.cbrt(y) ** 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_own_activation_in_layers(dtype, rng):
    x, dy = rng.standard_normal((2, 4, 3)).astype(dtype)
    for layer in layers.Activation(Cube(), dtype=dtype), layers.Dense(3, Cube(), dtype=dtype):
        y, dx = layer.forward(x), layer.backward(dy)
        z, kernel = x.astype("float64"), None
        if layer.weights:
            kernel = layer.weights["kernel"].astype("float64")
            z = z @ kernel
        dz = dy * 3 * z**2
        assert y.dtype == dx.dtype == dtype
        tolerance = {"rtol": 0, "atol": 500 * np.finfo(dtype).eps}
        np.testing.assert_allclose(y, z**3, **tolerance)
        np.testing.assert_allclose(dx, dz if kernel is None else dz @ kernel.T, **tolerance)
        if kernel is not None:
            np.testing.assert_allclose(layer.gradients["kernel"], x.T @ dz, **tolerance)
            np.testing.assert_allclose(layer.gradients["bias"], dz.sum(axis=0), **tolerance)


def test_a_changed_built_in_leaves_its_kernel(rng):
    class Guided(activations.Activation):
        def gradient(self, y, dy, out=None):
            return super().gradient(y, np.maximum(dy, 0))

    x, dy = rng.standard_normal((2, 4, 3))
    guided = Guided("relu")
    assert guided.kernel_name is None
    dense = layers.Dense(3, guided, kernel_initializer=lambda s, d: np.eye(*s), dtype="float64")
    np.testing.assert_array_equal(dense.forward(x), np.maximum(x, 0))
    np.testing.assert_array_equal(dense.backward(dy), np.where(x > 0, np.maximum(dy, 0), 0))


def test_wrong_results_of_an_own_activation():
    class Wrong(Cube):
        def gradient(self, y, dy):
            return dy[:1]

    layer = layers.Activation(Wrong())
    layer.forward(np.ones((2, 3)))
    with pytest.raises(ValueError) as error:
        layer.backward(np.ones((2, 3)))
    assert str(error.value) == "output of activation.gradient: expected shape (2, 3), got (1, 3)"
