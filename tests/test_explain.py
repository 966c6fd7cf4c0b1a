"""Explanations: against differences in float64, their axioms, and a network worked by hand."""

import numpy as np
import pytest

import fastnn as fn
from fastnn import activations, explain, layers
from fastnn.gradients import numerical_gradient

FUNCTIONS = [
    explain.gradient,
    explain.saliency,
    explain.gradient_times_input,
    explain.guided_backpropagation,
    explain.integrated_gradients,
    explain.score,
]
N, K, M = 6, 5, 3


@pytest.fixture(autouse=True)
def same_weights():
    """Initial weights are the same in every run."""
    fn.set_random_seed(7)


class Swish:
    """An activation of one's own, that keeps what its gradient needs."""

    def __call__(self, x):
        self.x = x
        return x / (1 + np.exp(-x))

    def gradient(self, y, dy):
        p = 1 / (1 + np.exp(-self.x))
        return dy * (p + y * (1 - p))


class Doubled(layers.Layer):
    """A layer of one's own, around a layer."""

    def build(self, features):
        self.inner = layers.Dense(features, "relu", dtype=self.dtype)
        self.inner.build(features)
        self.weights["kernel"] = self.inner.weights["kernel"]

    def forward(self, x, training=False):
        assert not training
        return 2 * self.inner.forward(x)

    def backward(self, dy):
        dx = self.inner.backward(2 * dy)
        self.gradients["kernel"] = self.inner.gradients["kernel"]
        return dx


def network(top=None, dtype="float64", outputs=M, hidden="tanh"):
    model = fn.Sequential(
        [
            layers.Dense(8, hidden, dtype=dtype, bias_initializer="glorot_uniform"),
            layers.Dense(outputs, top, dtype=dtype),
        ]
    )
    model.build(K)
    return model


def models():
    own = fn.Sequential(
        [
            fn.Input(K),
            layers.Dense(7, Swish(), dtype="float64"),
            Doubled(dtype="float64"),
            layers.Dense(M, dtype="float64"),
            layers.Softmax(dtype="float64"),
        ]
    )
    one = network("sigmoid", outputs=1)
    return {"softmax": network("softmax"), "relu": network(hidden="relu"), "own": own, "one": one}


def output_of(model, x, output, logits):
    """The score, by the layers one by one, whatever explain does."""
    for layer in model.layers[:-1]:
        x = layer.forward(x)
    last = model.layers[-1]
    if isinstance(last, layers.Dense):
        z = x @ last.weights["kernel"] + last.weights["bias"]
        x = z if logits else last.activation(z)
    elif not logits:
        x = last.forward(x)
    return x[np.arange(len(x)), output]


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("name", ["softmax", "relu", "own", "one"])
def test_gradient_against_differences(name, logits, rng):
    model = models()[name]
    x = rng.standard_normal((N, K))
    output = rng.integers(0, 1 if name == "one" else M, N)
    expected = numerical_gradient(lambda x: output_of(model, x, output, logits).sum(), x)
    found = explain.gradient(model, x, output, logits=logits)
    assert found.shape == (N, K) and found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(explain.saliency(model, x, output, logits), np.abs(found))
    times = explain.gradient_times_input(model, x, output, logits)
    np.testing.assert_array_equal(times, x * found)
    np.testing.assert_allclose(
        explain.score(model, x, output, logits),
        output_of(model, x, output, logits),
        rtol=0,
        atol=1e-14,
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_output(function, rng):
    model, x = network("softmax"), rng.standard_normal((20, K))
    predicted = model.predict(x).argmax(axis=1)
    assert len(set(predicted)) > 1
    found = function(model, x)
    np.testing.assert_array_equal(found, function(model, x, predicted))
    of_each = np.stack([function(model, x, output) for output in range(M)])
    np.testing.assert_array_equal(found, of_each[predicted, np.arange(20)])
    assert not np.array_equal(of_each[0], of_each[1])


def test_logits_are_what_comes_before_probabilities(rng):
    x = rng.standard_normal((N, K))
    for top in ("softmax", "log_softmax", "sigmoid"):
        whole, bare = network(top), network()
        bare.set_weights(whole.get_weights())
        for layer in ([], [layers.Activation(top, dtype="float64")]):
            model = fn.Sequential([*bare.layers, *layer]) if layer else whole
            expected = explain.gradient(bare, x, 1)
            np.testing.assert_array_equal(explain.gradient(model, x, 1), expected)
            assert not np.allclose(explain.gradient(model, x, 1, logits=False), expected)
        np.testing.assert_array_equal(explain.score(bare, x, 1), bare.predict(x)[:, 1])
        np.testing.assert_array_equal(
            explain.score(whole, x, 1, logits=False), whole.predict(x)[:, 1]
        )
    # A tanh is no probability: there is nothing before it to ask about.
    model = network("tanh")
    np.testing.assert_array_equal(
        explain.gradient(model, x, 1), explain.gradient(model, x, 1, logits=False)
    )


# ---- guided back-propagation -----------------------------------------------------------------


def by_hand(activation=None, separate=False):
    """Two inputs, two relus and then one, two outputs."""
    first = layers.Dense(2, None if separate else "relu", dtype="float64")
    middle = [layers.ReLU(dtype="float64")] if separate else []
    second = layers.Dense(2, "relu", dtype="float64")
    model = fn.Sequential([first, *middle, second, layers.Dense(2, activation, dtype="float64")])
    model.build(2)
    zeros = np.zeros(2)
    weights = [[[1, 2], [3, -1]], zeros, [[1, -1], [2, 1]], zeros, [[1, -1], [-3, 2]], zeros]
    model.set_weights([np.array(weight, float) for weight in weights])
    return model


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_guided_by_hand(activation, separate):
    model = by_hand(activation, separate)
    x = [[1.0, 0.5], [1.0, 3.0]]
    # Row 0: h = (1 + 1.5, 2 - 0.5) = (2.5, 1.5); then (2.5 + 3, -2.5 + 1.5) = (5.5, -1).
    # Row 1: h = (1 + 9, 2 - 3) = (10, -1); then relu of it, (10, -10).
    # Output 0 has the gradient (1, -3) there, of which the living unit passes (1, 0), which is
    # (1, 2) at h: both live in row 0, so that x gets (1 + 2 * 2, 3 - 2) = (5, 1); in row 1 the
    # second is dead, and x gets (1, 3).
    np.testing.assert_array_equal(explain.guided_backpropagation(model, x, 0), [[5, 1], [1, 3]])
    # Output 1 has (-1, 2): the living unit's is negative, and the other one is dead.
    np.testing.assert_array_equal(explain.guided_backpropagation(model, x, 1), np.zeros((2, 2)))
    np.testing.assert_array_equal(explain.gradient(model, x, 1), [[-5, -1], [-1, -3]])


def test_guided_differs_from_the_gradient_of_relu_alone(rng):
    x = rng.standard_normal((N, K))
    smooth, kinked = network(hidden="tanh"), network(hidden="relu")
    np.testing.assert_array_equal(
        explain.guided_backpropagation(smooth, x), explain.gradient(smooth, x)
    )
    kernel, top = kinked.layers[0].weights["kernel"], kinked.layers[1].weights["kernel"]
    alive = x @ kernel + kinked.layers[0].weights["bias"] > 0
    expected = (alive * np.maximum(top[:, 2], 0)) @ kernel.T
    found = explain.guided_backpropagation(kinked, x, 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    # It reaches relus in layers within layers.
    own = fn.Sequential([Doubled(dtype="float64"), layers.Dense(M, dtype="float64")])
    own.build(K)
    kernel, top = own.layers[0].weights["kernel"], own.layers[1].weights["kernel"]
    expected = ((x @ kernel > 0) * np.maximum(2 * top[:, 0], 0)) @ kernel.T
    found = explain.guided_backpropagation(own, x, 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    assert own.layers[0].inner.activation is activations.relu


# ---- integrated gradients --------------------------------------------------------------------


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("output", [None, 1])
@pytest.mark.parametrize("name", ["softmax", "relu", "one"])
def test_completeness(name, output, logits, rng):
    model, x = models()[name], rng.standard_normal((N, K))
    steps = 60
    if name == "one":
        output = 0
    for baseline in (0.0, rng.standard_normal(K), rng.standard_normal((N, K))):
        found = explain.integrated_gradients(model, x, output, baseline, steps, logits)
        chosen = model.predict(x).argmax(axis=1) if output is None else output
        start = np.broadcast_to(baseline, (N, K))
        rise = explain.score(model, x, chosen, logits) - explain.score(model, start, chosen, logits)
        gap = 1e-9
        if name == "relu":
            # The gradient jumps where a unit wakes, which the sum misses by up to a share of it.
            kernel, top = model.layers[0].weights["kernel"], model.layers[1].weights["kernel"]
            jumps = np.abs((x - start) @ kernel) @ np.abs(top)
            gap = np.pi / 2 / steps * jumps.max()
        np.testing.assert_allclose(found.sum(axis=1), rise, rtol=0, atol=gap)


def test_integral_by_formula():
    # The score is u**2 for u = 2 a + b: du**2/da = 4 u, whose mean on the way from 0 is half of it.
    class Square:
        def __call__(self, x):
            self.x = x
            return x**2

        def gradient(self, y, dy):
            return 2 * self.x * dy

    model = fn.Sequential([layers.Dense(1, Square(), use_bias=False, dtype="float64")])
    model.build(2)
    model.set_weights([np.array([[2.0], [1.0]])])
    for steps in (1, 2, 50):  # one point is exact for a gradient that is linear
        found = explain.integrated_gradients(model, [[1.0, 3.0]], steps=steps)
        np.testing.assert_allclose(found, [[10, 15]], rtol=0, atol=1e-13)


def test_linear_models_agree(rng):
    model = fn.Sequential([layers.Dense(M, dtype="float64")])
    x = rng.standard_normal((N, K))
    model.build(K)
    expected = x * model.weights[0][:, 2]
    for function in (explain.integrated_gradients, explain.gradient_times_input):
        np.testing.assert_allclose(function(model, x, 2), expected, rtol=0, atol=1e-14)


# ---- what stays as it is ---------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_model_is_not_changed(function, rng):
    x = rng.standard_normal((N, K)).astype("float32")
    model = network("softmax", "float32", hidden="relu")
    model.compile(fn.optimizers.SGD(momentum=0.9), "categorical_crossentropy")
    model.fit(x, np.eye(M)[rng.integers(0, M, N)], verbose=0)
    dy = np.ones((N, M), "float32")
    model(x)
    expected = model.backward(dy)
    weights, values = model.weights, model.get_weights()
    gradients = [dict(layer.gradients) for layer in model.layers]
    slots = [{k: v.copy() for k, v in each.items()} for each in model.optimizer.slots]
    numbers = fn._random.generator().bit_generator.state["state"]["counter"]
    found = function(model, 2 * x)
    assert found.dtype == np.float32
    assert all(a is b for a, b in zip(model.weights, weights, strict=True))
    for a, b in zip(model.get_weights(), values, strict=True):
        np.testing.assert_array_equal(a, b)
    for layer, was in zip(model.layers, gradients, strict=True):
        assert layer.gradients.keys() == was.keys()
        assert all(layer.gradients[name] is was[name] for name in was)
    for a, b in zip(model.optimizer.slots, slots, strict=True):
        for name in b:
            np.testing.assert_array_equal(a[name], b[name])
    assert [layer.activation.name for layer in model.layers] == ["relu", "softmax"]
    np.testing.assert_array_equal(
        fn._random.generator().bit_generator.state["state"]["counter"], numbers
    )
    np.testing.assert_array_equal(model.backward(dy), expected)  # it still knows its last forward


@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_input_that_a_model_takes(function, rng):
    model = network("softmax", "float32")
    x = rng.integers(0, 9, (N, K))
    expected = function(model, x.astype("float32"), 1)
    for same in (x, x.tolist(), np.asfortranarray(x), x.astype("float64")):
        np.testing.assert_array_equal(function(model, same, 1), expected)
        assert expected.dtype == np.float32


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("first", ["input", "relu", "none"])
def test_pictures(function, first, rng):
    """A model that flattens its rows is explained in the shape of them, with the same numbers."""
    below = {"input": [fn.Input((2, 3)), layers.Rescaling(2.0)], "relu": [layers.ReLU()]}
    flat = [layers.Flatten(), layers.Dense(5, "relu"), layers.Dense(M, "softmax")]
    model = fn.Sequential([*below.get(first, []), *flat])
    x = rng.random((N, 2, 3))
    model.predict(x)
    found, expected = function(model, x, 1), function(model, x.reshape(N, 6), 1)
    assert found.shape == ((N,) if function is explain.score else (N, 2, 3))
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)
    if function is explain.integrated_gradients:
        baseline = rng.random((2, 3))
        found = function(model, x, 1, baseline)
        np.testing.assert_array_equal(
            found.reshape(N, 6), function(model, x.reshape(N, 6), 1, baseline.ravel())
        )
    if first == "input":
        with pytest.raises(ValueError, match=r"x: expected rows of shape \(2, 3\), got \(3, 2\)"):
            function(model, x.reshape(N, 3, 2), 1)


@pytest.mark.parametrize(
    "change, kind, text",
    [
        ({"model": "m"}, TypeError, "model: expected a Sequential, got str"),
        (
            {"model": fn.Sequential([layers.Dense(3)])},
            ValueError,
            "model: expected a built model; call build(features), fit or predict",
        ),
        ({"x": np.ones((2, 4))}, ValueError, "x: expected 5 features, got 4 (shape (2, 4))"),
        ({"x": np.ones(5)}, ValueError, "x: expected 2 axes (n, features), got 1 (shape (5,))"),
        ({"output": 3}, ValueError, "output: expected labels in [0, 3), got 3 at row 0"),
        ({"output": [0, -1]}, ValueError, "output: expected labels in [0, 3), got -1 at row 1"),
        ({"output": [0, 1, 1]}, ValueError, "output: expected 2 labels, got shape (3,)"),
        ({"logits": "yes"}, TypeError, "logits: expected True or False, got 'yes'"),
        ({"steps": 0}, ValueError, "steps: expected a positive integer, got 0"),
        (
            {"baseline": np.ones(4)},
            ValueError,
            "baseline: expected a number, a row or as many rows as x (shape (2, 5)), "
            "got shape (4,)",
        ),
    ],
)
def test_errors(change, kind, text):
    arguments = {"model": network(), "x": np.ones((2, K))} | change
    if not {"steps", "baseline"} & change.keys():
        for function in FUNCTIONS[:-2]:
            with pytest.raises(kind) as error:
                function(**arguments)
            assert str(error.value) == text
    with pytest.raises(kind) as error:
        explain.integrated_gradients(**arguments)
    assert str(error.value) == text
