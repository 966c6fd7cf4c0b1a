"""The copy of a model: what it shares, what it owns, layers within layers."""

import numpy as np

import fastnn as fn
from fastnn import layers
from fastnn._twin import twin_of


class Pair(layers.Layer):
    """Two layers in one, that holds one of their weights as its own."""

    def build(self, features):
        self.parts = [layers.Dense(3, dtype=self.dtype), layers.ReLU(dtype=self.dtype)]
        self.parts[0].build(features)
        self.weights["kernel"] = self.parts[0].weights["kernel"]

    def output_features(self, features):
        return 3

    def forward(self, x, training=False):
        for part in self.parts:
            x = part.forward(x)
        return x

    def backward(self, dy):
        for part in self.parts[::-1]:
            dy = part.backward(dy)
        self.gradients["kernel"] = self.parts[0].gradients["kernel"]
        return dy


def trained(rng):
    model = fn.Sequential([fn.Input(4), Pair(), layers.Dense(2)])
    model.compile(fn.optimizers.SGD(momentum=0.9), "mse")
    model.fit(rng.standard_normal((8, 4)), rng.standard_normal((8, 2)), verbose=0)
    return model


def test_weights_are_shared(rng):
    model = trained(rng)
    twin, parts = twin_of(model)
    assert all(a is b for a, b in zip(model.weights, twin.weights, strict=True))
    pair = twin.layers[1]
    assert pair is not model.layers[1] and pair.parts[0] is not model.layers[1].parts[0]
    assert pair.parts[0].weights["kernel"] is pair.weights["kernel"]
    assert {id(part) for part in parts} == {id(each) for each in [*twin.layers, *pair.parts]}


def test_passes_leave_the_model_alone(rng):
    model = trained(rng)
    twin, parts = twin_of(model)
    assert all(layer.gradients == {} for layer in twin.layers)
    assert twin.optimizer is model.optimizer and twin.history is model.history
    held = [dict(layer.gradients) for layer in model.layers]
    twin.backward(twin(np.ones((3, 4))))
    for layer, was in zip(model.layers, held, strict=True):
        assert was and all(layer.gradients[name] is was[name] for name in was) or not layer.weights


def test_another_type(rng):
    model = trained(rng)
    x = rng.standard_normal((5, 4))
    twin, parts = twin_of(model, "float64")
    assert [part.dtype for part in twin.layers] == [None, "float64", "float64"]
    assert {part.dtype for part in parts} == {None, "float64"}
    for weight, same in zip(model.weights, twin.weights, strict=True):
        assert weight.dtype == np.float32 and same.dtype == np.float64
        np.testing.assert_array_equal(weight, same)
    pair = twin.layers[1]
    assert pair.parts[0].weights["kernel"] is pair.weights["kernel"]
    kernel, top, bias = twin.weights
    expected = np.maximum(x @ kernel + pair.parts[0].weights["bias"], 0) @ top + bias
    np.testing.assert_allclose(twin(x), expected, rtol=0, atol=1e-14)
