"""Layers that shift and scale: gradients by differences, figures of Keras, what training moves."""

import numpy as np
import pytest
from test_layers import DIFFERENCES, central_differences

import fastnn as fn
from fastnn.layers import (
    BatchNormalization,
    Dense,
    LayerNormalization,
    Normalization,
    PReLU,
    ReLU,
    Rescaling,
)

# ---- gradients ---------------------------------------------------------------------------------


def frozen(layer):
    layer.trainable = False
    return layer


LAYERS = {
    "BatchNormalization": (lambda: BatchNormalization(dtype="float64"), True),
    "BatchNormalization-plain": (
        lambda: BatchNormalization(center=False, scale=False, dtype="float64"),
        True,
    ),
    "BatchNormalization-inference": (lambda: BatchNormalization(dtype="float64"), False),
    "BatchNormalization-frozen": (lambda: frozen(BatchNormalization(dtype="float64")), True),
    "LayerNormalization": (lambda: LayerNormalization(dtype="float64"), True),
    "LayerNormalization-plain": (
        lambda: LayerNormalization(center=False, scale=False, dtype="float64"),
        True,
    ),
    "Rescaling": (lambda: Rescaling(0.5, -1, dtype="float64"), True),
    "Normalization": (lambda: Normalization(dtype="float64"), True),
    "Normalization-given": (
        lambda: Normalization(mean=[1, 2, 3, 4, 5], variance=0.3, dtype="float64"),
        True,
    ),
    "PReLU": (lambda: PReLU(dtype="float64"), True),
}


@pytest.mark.parametrize("features", [5, 20, 70])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name, features, rng):
    make, training = LAYERS[name]
    layer = make()
    if name == "Normalization-given" and features != 5:
        layer = Normalization(mean=0.5, variance=0.3, dtype="float64")
    layer.build(features)
    x, dy = rng.standard_normal((2, 4, features))
    x[np.abs(x) < 0.01] = 0.5  # not on the kink of PReLU
    for key, weight in layer.weights.items():
        weight[:] = rng.uniform(0.5, 1.5, weight.shape) * (-1 if key == "gamma" else 1)
    layer.forward(x, training)
    dx = layer.backward(dy)
    gradients = dict(layer.gradients)
    trained = {"gamma", "beta", "alpha"} & layer.weights.keys()
    assert gradients.keys() == trained
    assert layer.moving.keys() == (trained if layer.trainable else set())

    def score():
        return (layer.forward(x, training) * dy).sum()

    if name.endswith("inference") or name.endswith("frozen"):
        before = {key: weight.copy() for key, weight in layer.weights.items()}
        score()
        assert all(np.array_equal(layer.weights[key], before[key]) for key in before)
    np.testing.assert_allclose(dx, central_differences(score, x), **DIFFERENCES)
    for key in trained:
        expected = central_differences(score, layer.weights[key])
        np.testing.assert_allclose(gradients[key], expected, **DIFFERENCES)


def test_float32_follows_float64(rng):
    x, dy = rng.standard_normal((2, 33, 50)).astype("f")
    for cls in (BatchNormalization, LayerNormalization, PReLU):
        results = []
        for dtype in ("float32", "float64"):
            layer = cls(dtype=dtype)
            y = layer.forward(x, True)
            dx = layer.backward(dy)
            found = [y, dx, *layer.gradients.values(), *layer.weights.values()]
            assert {str(array.dtype) for array in found} == {dtype}
            results.append(found)
        for single, exact in zip(*results, strict=True):
            # Sums of up to 50 numbers of size 4.
            np.testing.assert_allclose(single, exact, rtol=0, atol=50 * 4 * np.finfo("f").eps)


# ---- figures of Keras 3.15, which it computed in float32 -----------------------------------------

X = np.array([[1, 2, -3], [4, 0.5, 2], [-1, 3, 0.25], [2, -2, 1]])
GAMMA, BETA, ALPHA = [1.5, -0.5, 2], [0.1, 0.2, -0.3], [0.1, 0.2, -0.3]
KERAS = {"rtol": 0, "atol": 2e-6}


def test_batch_normalization_as_keras():
    layer = BatchNormalization(momentum=0.9, dtype="float64")
    layer.build(3)
    layer.weights["gamma"][:], layer.weights["beta"][:] = GAMMA, BETA
    trained = [
        [-0.31596112, -0.09863341, -3.56801772],
        [2.17980576, 0.29954445, 1.76752138],
        [-1.97980571, -0.36408532, -0.09991729],
        [0.51596117, 0.96317422, 0.70041358],
    ]
    np.testing.assert_allclose(layer.forward(X, training=True), trained, **KERAS)
    # The variance of the batch is divided by n, not n - 1.
    np.testing.assert_allclose(layer.weights["moving_mean"], [0.15, 0.0875, 0.00625], **KERAS)
    np.testing.assert_allclose(
        layer.weights["moving_variance"], [1.225, 1.2546875, 1.251171875], **KERAS
    )
    inferred = [
        [1.25150263, -0.65335679, -5.67307758],
        [5.31562996, 0.01594265, 3.26343417],
        [-1.45791543, -1.09955645, 0.13565496],
        [2.60621166, 1.13144171, 1.47613168],
    ]
    np.testing.assert_allclose(layer.forward(X), inferred, **KERAS)


def test_layer_normalization_as_keras():
    layer = LayerNormalization(dtype="float64")
    layer.build(3)
    layer.weights["gamma"][:], layer.weights["beta"][:] = GAMMA, BETA
    expected = [
        [0.79429072, -0.26286048, -3.07716274],
        [2.01761961, 0.78109688, -0.53243876],
        [-1.47079587, -0.47319824, -0.89839852],
        [1.5706166, 0.88628775, 0.48432887],
    ]
    np.testing.assert_allclose(layer.forward(X), expected, **KERAS)


def test_normalization_as_keras():
    layer = Normalization(dtype="float64")
    layer.adapt(X)
    expected = [
        [-0.2773501, 0.59735098, -1.6342415],
        [1.38675049, -0.19911699, 1.03390789],
        [-1.38675049, 1.12832963, 0.1000556],
        [0.2773501, -1.52656362, 0.50027801],
    ]
    np.testing.assert_allclose(layer(X), expected, **KERAS)
    given = Normalization(mean=X.mean(axis=0), variance=X.var(axis=0), dtype="float64")
    assert np.array_equal(given(X), layer(X)) and not given.weights
    again = Normalization.from_config(given.get_config())
    assert np.array_equal(again(X), layer(X))


def test_prelu_and_rescaling_as_keras():
    layer = PReLU(dtype="float64")
    layer.build(3)
    assert (layer.weights["alpha"] == 0).all()
    layer.weights["alpha"][:] = ALPHA
    expected = [[1, 2, 0.9], [4, 0.5, 2], [-0.1, 3, 0.25], [2, -0.4, 1]]
    np.testing.assert_allclose(layer(X), expected, rtol=0, atol=1e-15)
    assert Rescaling(0.5, 1, dtype="float64")(X).tolist() == (X / 2 + 1).tolist()
    pixels = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_allclose(
        Rescaling(1 / 255)(pixels), pixels / 255, rtol=0, atol=np.finfo("f").eps
    )


def test_training_as_keras():
    """Dense, batch normalization, ReLU, layer normalization, PReLU, Dense: six steps of SGD."""
    first = [[0.13, -0.13, 0.64, 0.1], [-0.54, 0.36, 1.3, 0.95], [-0.7, -1.27, -0.62, 0.04]]
    last = [[-2.33, -0.22], [-1.25, -0.73], [-0.54, -0.32], [0.41, 1.04]]
    model = fn.Sequential(
        [
            Dense(4, use_bias=False, dtype="float64"),
            BatchNormalization(dtype="float64"),
            ReLU(dtype="float64"),
            LayerNormalization(dtype="float64"),
            PReLU(dtype="float64"),
            Dense(2, dtype="float64"),
        ]
    )
    model.build(3)
    model.layers[0].weights["kernel"][:] = first
    model.layers[4].weights["alpha"][:] = [0.1, 0.2, 0.3, 0.4]
    model.layers[5].weights["kernel"][:] = last
    model.compile(fn.optimizers.SGD(0.1), "mse")
    targets = [[0, 1], [1, 0], [0.5, -1], [2, 1]]
    history = model.fit(X, targets, batch_size=2, epochs=3, shuffle=False).history
    # Six steps in float32 there, of numbers up to 6; batches of two rows magnify what is rounded.
    close = {"rtol": 0, "atol": 2e-5}
    losses = [5.807089105248451, 1.0455189272761345, 0.8022266812622547]
    np.testing.assert_allclose(history["loss"], losses, **close)
    expected = [
        [
            [0.1301625, -0.1299726, 0.6400434, 0.0823711],
            [-0.5400684, 0.3599863, 1.2999822, 0.9588116],
            [-0.6997136, -1.2699543, -0.6199228, 0.0106142],
        ],
        [0.8024146, 0.1179961, 0.9216435, 2.1583705],
        [-0.1976587, -0.8820371, -0.0783776, 1.1610953],
        [-0.0188843, 0.0021674, 0.1200464, 0.0564126],
        [1.028347, 1.3997828, 1.1998607, 1.1013163],
        [-0.2097546, 0.9892412, 1.0385467, 0.4037625],
        [-0.6943551, -0.0944523, -0.0554616, -0.1892634],
        [0.183261, 0.2240877, 0.4238342, 0.2484484],
        [
            [-1.8401569, -0.0906589],
            [-1.2617431, -0.6976632],
            [-0.6044097, -0.332875],
            [0.1495074, 0.6171568],
        ],
        [0.3570218, -0.0875426],
    ]
    for found, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, **close)
    outputs = [
        [0.4869558, 0.0555038],
        [0.6747097, 0.2202427],
        [0.8630976, 0.3518151],
        [1.0435092, 0.0582146],
    ]
    np.testing.assert_allclose(model.predict(X), outputs, **close)


# ---- what training moves -------------------------------------------------------------------------


def test_weights_and_what_moves():
    layer = BatchNormalization()
    layer.build(4)
    assert list(layer.weights) == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert list(layer.moving) == ["gamma", "beta"]
    assert layer.count_params() == 16
    model = fn.Sequential([Dense(4), layer, Normalization(), Dense(2)])
    model.build(3)
    assert len(model.weights) == 2 + 4 + 2 + 2
    assert [w.shape for w in model.trainable_weights] == [(3, 4), (4,), (4,), (4,), (4, 2), (2,)]
    layer.trainable = False
    assert not layer.moving and len(model.trainable_weights) == 4


def test_a_frozen_batch_normalization_stays_as_it_is(rng):
    x, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    layer = frozen(BatchNormalization(moving_mean_initializer="ones"))
    model = fn.Sequential([Dense(4), layer, Dense(2)])
    model.compile("sgd", "mse")
    model.build(3)
    before = [w.copy() for w in layer.weights.values()]
    outer = model.layers[0].weights["kernel"].copy()
    model.fit(x, y)
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.weights.values(), strict=True))
    assert (model.layers[0].weights["kernel"] != outer).all()


def test_constant_columns_are_zero_after_adapt(rng):
    x = rng.normal(1e4, 1, (50, 3)).astype("f")
    x[:, 1] = 3.3
    layer = Normalization()
    layer.adapt(x)
    y = layer(x)
    assert (y[:, 1] == 0).all()
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(y[:, [0, 2]].std(axis=0), 1, atol=1e-3)
    model = fn.Sequential([layer, Dense(2)])
    model.build(3)
    layer.adapt(x + 1)
    assert (model.layers[0](x + 1)[:, 1] == 0).all()
    outputs = model.predict(x + 1)
    assert not model.obstacles() and np.isfinite(outputs).all()
    np.testing.assert_array_equal(outputs, model(x + 1))


def test_normalization_inverted(rng):
    x = rng.normal(3, 2, (20, 3))
    there, back = (Normalization(invert=invert, dtype="float64") for invert in (False, True))
    there.adapt(x)
    back.adapt(x)
    np.testing.assert_allclose(back(there(x)), x, rtol=1e-12)
    # Keras's figures for mean [1, -2], variance [4, 0].
    given = Normalization(mean=[1, -2], variance=[4, 0], invert=True)
    np.testing.assert_allclose(given([[1.5, 3]]), [[4, -1.9999996]], rtol=1e-7)
    np.testing.assert_allclose(given.backward(np.ones((1, 2), "f")), [[2, 1e-7]], rtol=1e-6)
    model = fn.Sequential([Dense(3, dtype="float64"), back])
    model.compile(loss="mse")
    assert model.obstacles() == [f"layer {back.name} (Normalization)"]
    assert fn.gradients.check_gradients(model, x, x)
    with pytest.raises(TypeError, match="invert: expected True or False, got 1"):
        Normalization(invert=1)


def test_one_mean_for_all_numbers(rng):
    x = rng.normal(3, 2, (20, 3, 4))
    for data in (x, x.reshape(20, 12), x.ravel()):
        layer = Normalization(axis=None, dtype="float64")
        layer.adapt(data)
        assert [len(w) for w in layer.weights.values()] == [1 if data.ndim == 1 else 12] * 2
        y = layer(data.reshape(len(data), -1))
        np.testing.assert_allclose(y.ravel(), (x.ravel() - x.mean()) / x.std(), rtol=1e-12)
    model = fn.Sequential([fn.Input(1), layer, Dense(1, dtype="float64")])
    assert not model.obstacles() and Normalization.from_config(layer.get_config()).axis is None


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: BatchNormalization(axis=0), "axis: expected the last axis, -1 or 1, got 0"),
        (lambda: LayerNormalization(axis=True), "axis: expected the last axis, -1 or 1, got True"),
        (lambda: Normalization(axis=np.arange(2)), "axis: expected the last axis, -1 or 1, got ar"),
        (lambda: BatchNormalization(momentum=1.5), "momentum: expected a number in [0, 1]"),
        (lambda: BatchNormalization(epsilon=-1), "epsilon: expected a non-negative number"),
        (lambda: LayerNormalization(epsilon=-1), "epsilon: expected a non-negative number"),
        (lambda: Normalization(mean=1), "mean, variance: expected both or neither, got 1 and None"),
        (lambda: Normalization(mean=1, variance=-1), "variance: expected numbers of at least 0"),
        (lambda: Normalization(mean=[np.nan], variance=1), "mean: expected finite numbers"),
        (lambda: Normalization(mean=[1, 2], variance=1).build(3), "mean: expected 3 numbers"),
        (lambda: Normalization(mean=1, variance=1).adapt(X), "normalization"),
        (lambda: Normalization().adapt(X[0]), "data: expected 2 axes (n, features), got 1"),
        (lambda: Normalization(name="n").statistics(), "n: expected a built layer; call build"),
        (lambda: Normalization(mean=1, variance=1, name="n").statistics(), "n: expected a built"),
        (lambda: Rescaling(np.inf), "scale: expected a finite number"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(message)


def test_adapt_that_is_refused_changes_nothing():
    layer = Normalization()
    layer.adapt(X)
    before = [w.copy() for w in layer.weights.values()]
    for data in (np.ones((3, 4)), np.full((3, 3), 1e200)):
        with pytest.raises(ValueError):
            layer.adapt(data)
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.weights.values(), strict=True))
