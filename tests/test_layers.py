"""Layers: gradients by differences, the checks around every layer, layers of one's own."""

import numpy as np
import pytest

import fastnn as fn
from fastnn import _layer, _random, activations, kernels
from fastnn.layers import (
    ELU,
    Activation,
    Dense,
    Flatten,
    Input,
    Layer,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    ThresholdedReLU,
)

STEP = 1e-5
# Rounding of order eps / STEP = 2e-11 and truncation of order STEP**2 = 1e-10, times some.
DIFFERENCES = {"rtol": 0, "atol": 1e-8}


def central_differences(function, x):
    """Return d function() / d x for an array that is changed in place meanwhile."""
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        value = x[i]
        x[i] = value + STEP
        ahead = function()
        x[i] = value - STEP
        gradient[i] = (ahead - function()) / (2 * STEP)
        x[i] = value
    return gradient


ACTIVATIONS = [None, *kernels._ACTIVATIONS]
LAYERS = {
    **{f"Dense-{a}": lambda a=a: Dense(4, a, dtype="float64") for a in ACTIVATIONS},
    "Dense-nobias": lambda: Dense(4, "tanh", use_bias=False, dtype="float64"),
    "Dense-1": lambda: Dense(1, "sigmoid", dtype="float64"),
    **{f"Activation-{a}": lambda a=a: Activation(a, dtype="float64") for a in ACTIVATIONS[1:]},
    **{c.__name__: lambda c=c: c(dtype="float64") for c in (ReLU, Sigmoid, Tanh, Softmax)},
    "Input": lambda: Input(5, dtype="float64"),
    "Dense-leaky": lambda: Dense(4, activations.leaky_relu.with_(0.1), dtype="float64"),
    "LeakyReLU": lambda: LeakyReLU(dtype="float64"),
    "ELU": lambda: ELU(0.7, dtype="float64"),
    "ThresholdedReLU": lambda: ThresholdedReLU(0.5, dtype="float64"),
    "ReLU-parameters": lambda: ReLU(1.5, 0.2, 0.5, dtype="float64"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name, rng):
    _random.set_random_seed(0)
    layer = LAYERS[name]()
    layer.build(5)
    x = rng.standard_normal((6, 5))
    x[np.abs(x) < 0.01] = 0.4  # not on the kink of relu
    if "bias" in layer.weights:
        layer.weights["bias"][:] = rng.standard_normal(layer.weights["bias"].shape)
    dy = rng.standard_normal((6, layer.output_features(5)))
    y = layer.forward(x, training=True)
    dx = layer.backward(dy)
    assert y.shape == dy.shape and y.dtype == dx.dtype == np.float64
    assert layer.gradients.keys() == layer.weights.keys()

    def score():
        return (layer.forward(x) * dy).sum()

    gradients = dict(layer.gradients)
    np.testing.assert_allclose(dx, central_differences(score, x), **DIFFERENCES)
    for key, weight in layer.weights.items():
        expected = central_differences(score, weight)
        np.testing.assert_allclose(gradients[key], expected, **DIFFERENCES)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_follows_float64(activation, rng):
    n, k, m = 37, 51, 19
    x, dy = rng.standard_normal((n, k)), rng.standard_normal((n, m))
    exact = Dense(m, activation, dtype="float64")
    single = Dense(m, activation)
    exact.build(k)
    single.build(k)
    for key in exact.weights:
        single.weights[key][:] = exact.weights[key]
        exact.weights[key][:] = single.weights[key]
    x, dy = x.astype("f").astype("d"), dy.astype("f").astype("d")
    # Sums of up to 51 products of numbers of size 3 at most, through slopes of at most 1 or, for
    # the softmaxes, sums of 19 such.
    tolerance = {"rtol": 0, "atol": 51 * 19 * 10 * np.finfo("f").eps}
    np.testing.assert_allclose(single.forward(x), exact.forward(x), **tolerance)
    np.testing.assert_allclose(single.backward(dy), exact.backward(dy), **tolerance)
    for key in exact.weights:
        assert single.gradients[key].dtype == np.float32
        np.testing.assert_allclose(single.gradients[key], exact.gradients[key], **tolerance)


def test_dense_by_hand():
    dense = Dense(2, "relu", kernel_initializer="ones", bias_initializer="zeros")
    dense.build(2)
    dense.weights["kernel"][:] = [[1, -1], [2, 1]]
    dense.weights["bias"][:] = [0.5, 0]
    assert dense([[1, 1], [0, -1]]).tolist() == [[3.5, 0], [0, 0]]
    assert dense.backward([[1, 1], [1, 1]]).tolist() == [[1, 2], [0, 0]]
    assert dense.gradients["kernel"].tolist() == [[1, 0], [1, 0]]
    assert dense.gradients["bias"].tolist() == [1, 0]


def test_build():
    dense = Dense(3)
    assert not dense.built and dense.features is None and dense.weights == {}
    with pytest.raises(ValueError) as error:
        dense.count_params()
    assert str(error.value) == f"{dense.name}: expected a built layer; call build(features) first"
    dense.forward(np.ones((2, 7)))
    assert dense.built and dense.features == 7 and dense.count_params() == 24
    kernel = dense.weights["kernel"]
    assert kernel.dtype == np.float32 and (dense.weights["bias"] == 0).all()
    # Glorot uniform: within sqrt(6 / 10), and no two alike.
    assert np.abs(kernel).max() <= np.sqrt(6 / 10) and len(np.unique(kernel)) == kernel.size
    dense.build(7)
    assert dense.weights["kernel"] is kernel
    with pytest.raises(ValueError) as error:
        dense.build(8)
    assert str(error.value) == f"features: expected 7, as {dense.name} is built, got 8"
    assert Dense(3, use_bias=False).output_features(9) == 3
    assert Activation("tanh").output_features(9) == 9


def test_inputs_of_every_kind(rng):
    dense = Dense(4, "sigmoid")
    whole = rng.integers(-3, 4, (6, 10))
    expected = dense.forward(whole[:, ::2].astype("float32"))
    read_only = np.array(whole[:, ::2], dtype="float32")
    read_only.setflags(write=False)
    for x in (
        whole[:, ::2],
        whole[:, ::2].astype("int8"),
        np.asfortranarray(whole[:, ::2], dtype="float32"),
        whole.astype("float64")[:, ::2],
        whole[:, ::2].astype(">f4"),
        whole[:, ::2].tolist(),
        read_only,
    ):
        y = dense.forward(x)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, expected)
    dx = dense.backward(np.ones((6, 4)))
    np.testing.assert_array_equal(dense.backward(np.ones((4, 6), ">f8").T), dx)


def test_input_errors():
    dense = Dense(10)
    dense.build(64)
    cases = [
        (np.ones((32, 63)), ValueError, "x: expected 64 features, got 63 (shape (32, 63))"),
        (np.ones(64), ValueError, "x: expected 2 axes (n, features), got 1 (shape (64,))"),
        (
            np.ones((0, 64)),
            ValueError,
            "x: expected at least one element, got none (shape (0, 64))",
        ),
        (np.ones((2, 64), complex), TypeError, None),
        ([["a"] * 64], TypeError, None),
    ]
    for x, kind, message in cases:
        with pytest.raises(kind) as error:
            dense.forward(x)
        if message is not None:
            assert str(error.value) == message
    with pytest.raises(RuntimeError) as error:
        dense.backward(np.ones((2, 10)))
    assert str(error.value) == f"{dense.name}: backward needs a forward pass before it"
    dense.forward(np.ones((2, 64)))
    with pytest.raises(ValueError) as error:
        dense.backward(np.ones((3, 10)))
    assert str(error.value) == "dy: expected shape (2, 10), got (3, 10)"
    # An input that is refused changes nothing.
    with pytest.raises(ValueError):
        dense.forward(np.ones((2, 3)))
    dense.backward(np.ones((2, 10)))


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda: Dense(0), ValueError, "units: expected a positive integer, got 0"),
        (lambda: Dense(2.5), TypeError, "units: expected a positive integer, got 2.5"),
        (lambda: Dense(2, use_bias=1), TypeError, "use_bias: expected True or False, got 1"),
        (lambda: Dense(2, dtype="int8"), ValueError, "dtype: expected float32 or float64"),
        (lambda: Dense(2, "rellu"), ValueError, "activation: expected one of linear"),
        (
            lambda: Dense(2, kernel_initializer="glorot"),
            ValueError,
            "kernel_initializer: expected one of zeros",
        ),
        (lambda: Dense(2).build(0), ValueError, "features: expected a positive integer, got 0"),
        (
            lambda: Input(()),
            ValueError,
            "shape: expected at least one side, as (features,), got ()",
        ),
        (lambda: Dense(3, name=5), TypeError, "name: expected a string, got 5"),
        (lambda: Softmax(axis=0), ValueError, "axis: expected the last axis, -1 or 1, got 0"),
        (lambda: Input((8, 0)), ValueError, "shape: expected a positive integer, got 0"),
        (lambda: Input(0), ValueError, "shape: expected a positive integer, got 0"),
        (lambda: Input(3).forward(np.ones((1, 4))), ValueError, "x: expected 3 features, got 4"),
    ],
)
def test_construction_errors(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert str(error.value).startswith(message)


def test_names(monkeypatch):
    monkeypatch.setattr(_layer, "_names_given", type(_layer._names_given)())
    assert [layer().name for layer in (lambda: Dense(1), ReLU, lambda: Dense(1), ReLU)] == [
        "dense",
        "re_lu",
        "dense_1",
        "re_lu_1",
    ]
    assert Dense(1, name="out").name == "out"


def test_config():
    first = Dense(3, "relu", kernel_initializer="he_normal", name="a", dtype="float64")
    config = first.get_config()
    assert config["activation"] == "relu" and config["units"] == 3
    again = Dense.from_config(config)
    assert again.get_config() == config and again.activation is first.activation
    assert repr(Softmax(name="p")) == "Softmax(axis=-1, name='p', dtype=None)"
    assert [layer.kernel_name for layer in (first, Input(1), Activation("relu"), ReLU())] == [
        "dense",
        "input",
        "activation",
        "activation",
    ]


def test_layers_with_parameters():
    x = [[-2.0, 0.25, 1.5, 4.0]]
    for layer, expected, config in (
        (ReLU(), [0, 0.25, 1.5, 4], (None, 0, 0)),
        (ReLU(max_value=2), [0, 0.25, 1.5, 2], (2, 0, 0)),
        (ReLU(2, 0.5, 1), [-1.5, -0.375, 1.5, 2], (2, 0.5, 1)),
        (LeakyReLU(), [-0.6, 0.25, 1.5, 4], (0.3,)),
        (LeakyReLU(0.5), [-1, 0.25, 1.5, 4], (0.5,)),
        (ELU(2), [2 * np.expm1(-2), 0.25, 1.5, 4], (2,)),
        (ThresholdedReLU(), [0, 0, 1.5, 4], (1,)),
        (ThresholdedReLU(theta=0.2), [0, 0.25, 1.5, 4], (0.2,)),
    ):
        np.testing.assert_allclose(layer(x)[0], expected, rtol=1e-6)
        assert tuple(layer.get_config().values())[: len(config)] == config
        again = type(layer).from_config(layer.get_config())
        np.testing.assert_array_equal(again(x), layer(x))
        assert again.activation.numbers == layer.activation.numbers
    assert ReLU().activation.numbers == () and LeakyReLU(name="a").name == "a"
    for make, text in (
        (lambda: ReLU(-1), "max_value: expected a non-negative number, got -1"),
        (lambda: ReLU(threshold=-1), "threshold: expected a non-negative number, got -1"),
        (lambda: LeakyReLU(-0.1), "negative_slope: expected a non-negative number, got -0.1"),
        (lambda: ELU(-1), "alpha: expected a non-negative number, got -1"),
        (lambda: ThresholdedReLU(-1), "theta: expected a non-negative number, got -1"),
    ):
        with pytest.raises(ValueError) as error:
            make()
        assert str(error.value) == text


def test_bind(rng):
    dense = Dense(3)
    dense.build(4)
    kernel = dense.weights["kernel"]
    x = rng.standard_normal((5, 4))
    expected = dense.forward(x)
    rows = np.zeros((4, 16), np.float32)  # padded: rows lie apart
    dense.bind("kernel", rows[:, :3])
    np.testing.assert_array_equal(rows[:, :3], kernel)
    np.testing.assert_array_equal(dense.forward(x), expected)
    rows[:] = 0
    assert (dense.forward(x) == 0).all()
    with pytest.raises(ValueError) as error:
        dense.bind("kernel", rows)
    assert str(error.value) == "kernel: expected shape (4, 3), got (4, 16)"
    with pytest.raises(TypeError) as error:
        dense.bind("bias", np.zeros(3))
    assert str(error.value) == "bias: expected float32, got float64"
    with pytest.raises(TypeError) as error:
        dense.bind("bias", [0, 0, 0])
    assert str(error.value) == "bias: expected an array, got list"
    fixed = np.zeros(3, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError) as error:
        dense.bind("bias", fixed)
    assert str(error.value) == "bias: expected a writeable array, got a read-only one"
    with pytest.raises(TypeError):
        dense.bind("bias", np.zeros(3, np.dtype(np.float32).newbyteorder()))
    with pytest.raises(KeyError):
        dense.bind("gamma", rows)


def test_gradients_are_the_users_to_keep(rng):
    dense = Dense(3)
    x = rng.standard_normal((5, 4))
    dense.forward(x)
    dense.backward(np.ones((5, 3)))
    kept = dense.gradients["kernel"]
    before = kept.copy()
    dense.backward(2 * np.ones((5, 3)))
    np.testing.assert_array_equal(kept, before)
    np.testing.assert_array_equal(dense.gradients["kernel"], 2 * before)


# ---- layers of one's own -----------------------------------------------------------------------


class Scale(Layer):
    """A layer as a user writes it."""

    def build(self, features):
        self.add_weight("scale", (features,), "ones")

    def forward(self, x, training=False):
        self.x = x
        return x * self.weights["scale"]

    def backward(self, dy):
        self.gradients["scale"] = (dy * self.x).sum(axis=0)
        return dy * self.weights["scale"]


def test_own_layer(rng):
    x, dy = rng.standard_normal((2, 5, 4))
    layer = Scale(dtype="float64")
    assert layer.kernel_name is None
    layer.forward(x)  # builds it
    layer.weights["scale"][:] = [1, 2, 3, 4]
    np.testing.assert_array_equal(layer(x), x * [1, 2, 3, 4])
    np.testing.assert_array_equal(layer.backward(dy), dy * [1, 2, 3, 4])
    np.testing.assert_array_equal(layer.gradients["scale"], (dy * x).sum(axis=0))
    assert layer.count_params() == 4
    with pytest.raises(ValueError, match="x: expected 4 features, got 3"):
        layer.forward(x[:, :3])
    with pytest.raises(RuntimeError, match="backward needs a forward pass before it"):
        Scale().backward(dy)


def test_own_layer_gets_its_type_and_gives_its_type():
    class Doubles(Scale):
        def forward(self, x, training=False):
            assert x.dtype == np.float32
            return super().forward(x, training).astype(np.float64)

    layer = Doubles()
    assert layer.forward([[1, 2], [3, 4]]).dtype == np.float32
    assert layer.backward([[1, 2], [3, 4]]).dtype == np.float32


def test_a_layer_on_a_built_in_one(rng):
    class Quadratic(Dense):
        """Dense over the inputs and their squares; super() sees other shapes than the caller."""

        def build(self, features):
            self.add_weight("gain", (1,), "ones")
            super().build(2 * features)

        def forward(self, x, training=False):
            self.x = x
            self.y = super().forward(np.hstack([x, x * x]), training)
            return self.weights["gain"] * self.y

        def backward(self, dy):
            self.gradients["gain"] = np.sum(dy * self.y, keepdims=True)[0]
            dx, dsquare = np.hsplit(super().backward(self.weights["gain"] * dy), 2)
            return dx + 2 * self.x * dsquare

    layer = Quadratic(2, "tanh", dtype="float64")
    assert layer.kernel_name is None
    x, dy = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
    layer.forward(x)
    assert layer.features == 3 and layer.weights["kernel"].shape == (6, 2)
    dx = layer.backward(dy)
    expected = central_differences(lambda: (layer.forward(x) * dy).sum(), x)
    np.testing.assert_allclose(dx, expected, **DIFFERENCES)


def test_a_failed_build_leaves_nothing():
    class Halfway(Dense):
        ready = False

        def build(self, features):
            super().build(features)
            if not self.ready:
                raise OSError("no weights today")

    layer = Halfway(1, name="halfway")
    with pytest.raises(OSError):
        layer.forward([[1.0]])
    assert not layer.built and layer.weights == {}
    layer.ready = True
    layer.forward([[1.0, 2.0]])
    assert layer.weights["kernel"].shape == (2, 1)


def test_a_failed_forward_leaves_nothing_to_go_back_through():
    class Fails(Scale):
        def forward(self, x, training=False):
            if training:
                raise OSError("no training today")
            return super().forward(x, training)

    layer = Fails(name="fails")
    layer.forward([[1.0]])
    with pytest.raises(OSError):
        layer.forward([[1.0]], training=True)
    with pytest.raises(RuntimeError, match="fails: backward needs a forward pass before it"):
        layer.backward([[1.0]])


def test_wrong_results_of_an_own_layer():
    class Wrong(Scale):
        """Returns whatever the test puts there."""

        y = dx = gradient = None

        def forward(self, x, training=False):
            return x if self.y is None else self.y

        def backward(self, dy):
            if self.gradient is not None:
                self.gradients["scale"] = self.gradient
            return dy if self.dx is None else self.dx

    layer = Wrong(name="wrong")
    layer.y = np.ones((2, 3))
    with pytest.raises(ValueError) as error:
        layer.forward(np.ones((2, 4)))
    assert str(error.value) == (
        "wrong: output of forward: expected 4 features, got 3 (shape (2, 3))"
    )
    layer.y = np.ones((1, 4))
    with pytest.raises(ValueError) as error:
        layer.forward(np.ones((2, 4)))
    assert str(error.value) == "wrong: output of forward: expected shape (2, 4), got (1, 4)"
    layer.y = None
    layer.forward(np.ones((2, 4)))
    with pytest.raises(ValueError) as error:
        layer.backward(np.ones((2, 4)))
    assert str(error.value) == (
        "wrong: expected backward to set gradients['scale'] of shape (4,), got None"
    )
    layer.gradient, layer.dx = np.ones(4), np.ones((2, 3))
    with pytest.raises(ValueError) as error:
        layer.backward(np.ones((2, 4)))
    assert str(error.value) == "wrong: output of backward: expected shape (2, 4), got (2, 3)"


def test_an_unfinished_layer():
    class Nothing(Layer):
        pass

    with pytest.raises(NotImplementedError, match="Nothing: a layer defines forward"):
        Nothing().forward([[1.0]])
    with pytest.raises(NotImplementedError, match="Nothing: a layer defines backward"):
        Nothing().backward([[1.0]])


def test_docstrings_survive_the_guards():
    for cls in (Layer, Dense, Scale):
        assert cls.forward.__name__ == "forward" and cls.backward.__name__ == "backward"
    assert "array_like of shape (N, K)" in Layer.forward.__doc__


# ---- rows of several axes ------------------------------------------------------------------------


def test_flatten_by_hand(rng):
    x = rng.standard_normal((3, 4, 5)).astype("f")
    flatten = Flatten()
    y = flatten(x)
    assert flatten.features == 20 and np.array_equal(y, x.reshape(3, 20))
    dx = flatten.backward(2 * y)
    assert dx.shape == x.shape and np.array_equal(dx, 2 * x)
    assert np.array_equal(flatten(x.reshape(3, 20)), y)
    with pytest.raises(ValueError, match=r"^x: expected at least 2 axes, got 1 \(shape \(3,\)\)$"):
        flatten(x[:, 0, 0])
    with pytest.raises(ValueError, match=r"^x: expected 20 features, got 16 \(shape \(3, 16\)\)$"):
        flatten(x[:, :, :4])


def test_a_first_layer_may_say_how_many_inputs():
    class Mine(Layer):
        def __init__(self, input_dim, **kwargs):
            super().__init__(**kwargs)
            self.input_dim = input_dim

    model = fn.Sequential([Dense(4, "relu", input_shape=(3,)), Dense(2)])
    assert model.built and model.input_shape == (None, 3)
    assert "input_shape" not in model.layers[0].get_config()
    assert Dense(4, input_dim=5).features == 5 and Flatten(input_shape=[2, 3]).features == 6
    assert Dense(4).features is None and Mine(7).features is None and Mine(7).input_dim == 7
    for arguments, message in (
        ({"input_shape": 3}, "input_shape: expected a shape as (features,), got 3"),
        ({"input_shape": ()}, "input_shape: expected a shape as (features,), got ()"),
        ({"input_shape": (0,)}, "input_shape: expected a positive integer, got 0"),
        ({"input_dim": -1}, "input_dim: expected a positive integer, got -1"),
        ({"input_dim": 1, "input_shape": (1,)}, "input_shape, input_dim: expected one of them"),
    ):
        with pytest.raises(ValueError) as error:
            Dense(4, **arguments)
        assert str(error.value).startswith(message)
    with pytest.raises(TypeError):
        Dense(4, input_sape=(3,))


def test_weights_as_a_list():
    layer = Dense(2)
    with pytest.raises(ValueError, match="expected a built layer; call build"):
        layer.set_weights([])
    layer.build(3)
    kernel, bias = layer.get_weights()
    assert kernel.shape == (3, 2) and bias.shape == (2,)
    assert not np.shares_memory(kernel, layer.weights["kernel"])
    layer.set_weights([kernel + 1, [5, 6]])
    assert np.array_equal(layer.weights["kernel"], kernel + 1)
    assert layer.weights["bias"].tolist() == [5, 6]
    with pytest.raises(ValueError, match=r"weights\[1\]: expected shape \(2,\), got \(3,\)"):
        layer.set_weights([kernel, np.ones(3)])
    assert np.array_equal(layer.weights["kernel"], kernel + 1)
    assert [len(layer.trainable_weights), len(layer.non_trainable_weights)] == [2, 0]
    layer.trainable = False
    assert [len(layer.trainable_weights), len(layer.non_trainable_weights)] == [0, 2]


def test_weights_that_do_not_train():
    class Shifted(Layer):
        def build(self, features):
            self.add_weight("scale", (features,), "ones")
            self.add_weight("shift", (features,), "ones", trainable=False)

        def forward(self, x, training=False):
            self.x = x
            return x * self.weights["scale"] + self.weights["shift"]

        def backward(self, dy):
            self.gradients["scale"] = (dy * self.x).sum(axis=0)
            return dy * self.weights["scale"]

    layer = Shifted()
    assert layer.forward(np.ones((2, 3))).tolist() == [[2] * 3] * 2
    layer.backward(np.ones((2, 3)))
    assert list(layer.weights) == ["scale", "shift"] and list(layer.moving) == ["scale"]
    assert layer.count_params() == 6
    layer.trainable = False
    assert layer.moving == {}


def test_layers_without_weights_keep_the_type_of_their_inputs(rng):
    x = rng.normal(size=(8, 3))
    layers = [
        *(fn.layers.Rescaling(0.5, 1), fn.layers.Dense(4, dtype="float64"), fn.layers.ReLU()),
        *(fn.layers.Dropout(0.5, seed=1), fn.layers.GaussianNoise(0.1, seed=2)),
        *(fn.layers.ActivityRegularization(l2=0.1), fn.layers.Dense(2, dtype="float64")),
        fn.layers.Softmax(),
    ]
    model = fn.Sequential(layers)
    model.compile("sgd", "mse")
    model.fit(x, np.eye(2)[[0, 1] * 4], verbose=0)
    assert not model.obstacles()
    assert model.predict(x).dtype == model(x).dtype == np.float64
    y = x
    for layer in layers:
        y = layer(y)
        assert y.dtype == np.float64, layer
    assert fn.layers.ReLU()(x.astype(np.float32)).dtype == np.float32
    assert fn.layers.ReLU()([[1, -2]]).dtype == np.float32
    assert fn.layers.ReLU(dtype="float32")(x).dtype == np.float32


@pytest.mark.parametrize(
    "cls, arguments",
    [("Dense", (3,)), ("BatchNormalization", ()), ("LayerNormalization", ()), ("PReLU", ())],
)
def test_trainable_may_be_said_at_once(cls, arguments):
    layer = getattr(fn.layers, cls)(*arguments, trainable=False)
    layer.build(3)
    assert not layer.trainable and not layer.moving and layer.weights
    assert not type(layer)(**layer.get_config()).trainable
    with pytest.raises(TypeError, match="trainable: expected True or False, got 'no'"):
        getattr(fn.layers, cls)(*arguments, trainable="no")
