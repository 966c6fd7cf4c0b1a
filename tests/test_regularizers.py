"""Regularizers: costs, gradients, and what they do to a training, on both roads."""

import numpy as np
import pytest

import fastnn as fn
from fastnn import layers, optimizers, regularizers
from fastnn.regularizers import L1, L1L2, L2

BUILT_IN = [L1(0.3), L2(0.2), L1L2(0.1, 0.4), L1L2()]


class Own:
    """What L1L2(0.01, 0.02) is, in the user's own words."""

    def __call__(self, x):
        return 0.01 * np.abs(x).sum() + 0.02 * (x * x).sum()

    def gradient(self, x):
        return 0.01 * np.sign(x) + 0.04 * x


@pytest.mark.parametrize("regularizer", BUILT_IN, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cost_and_gradient(regularizer, dtype, rng):
    x = rng.normal(size=(7, 33)).astype(dtype)
    x[2, 5] = 0
    wide = x.astype(np.float64)
    cost = regularizer.l1 * np.abs(wide).sum() + regularizer.l2 * (wide**2).sum()
    assert regularizer(x) == pytest.approx(cost, rel=1e-12)
    gradient = regularizer.gradient(x)
    assert gradient.dtype == dtype and gradient.shape == x.shape
    expected = regularizer.l1 * np.sign(wide) + 2 * regularizer.l2 * wide
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("regularizer", BUILT_IN, ids=repr)
def test_gradient_by_differences(regularizer, rng):
    x = rng.normal(size=(3, 4))
    found = fn.gradients.numerical_gradient(regularizer, x)
    np.testing.assert_allclose(regularizer.gradient(x), found, rtol=0, atol=1e-8)


def test_get():
    assert regularizers.get(None) is None
    assert regularizers.get("l1").l1 == 0.01 and regularizers.get("L2").l2 == 0.01
    both = regularizers.get({"class_name": "L1L2", "config": {"l1": 0.5, "l2": 0.25}})
    assert (both.l1, both.l2) == (0.5, 0.25)
    assert L1L2(**both.get_config()).get_config() == both.get_config()
    assert regularizers.l2(0.5).get_config() == {"l2": 0.5}
    assert (regularizers.l1, regularizers.l1_l2) == (L1, L1L2)
    own = Own()
    assert regularizers.get(own) is own
    with pytest.raises(ValueError, match="kernel_regularizer: expected one of .*got 'l3'"):
        layers.Dense(3, kernel_regularizer="l3")
    with pytest.raises(TypeError, match="regularizer: expected a name or an instance of Regular"):
        regularizers.get(0.01)
    for cls, name in ((L1, "l1"), (L2, "l2"), (L1L2, "l1")):
        with pytest.raises(ValueError, match=f"{name}: expected a non-negative number, got -1"):
            cls(-1)


def trained(rng, kernel=None, activity=None, optimizer=None, units=9, **fit):
    fn.set_random_seed(3)
    hidden = layers.Dense(
        units, "tanh", kernel_regularizer=kernel, activity_regularizer=activity, dtype="float64"
    )
    model = fn.Sequential([hidden, layers.Dense(2, dtype="float64")])
    model.compile(optimizer or optimizers.SGD(0.1), "mse", ["mae"])
    x = np.linspace(-1, 1, 60).reshape(20, 3)
    y = np.stack([x.sum(axis=1), x[:, 0] ** 2], axis=1)
    history = model.fit(x, y, batch_size=8, epochs=3, shuffle=False, **fit)
    return model, x, y, history.history["loss"]


@pytest.mark.parametrize("place", ["kernel", "activity"])
def test_the_roads_agree_with_a_users_own(place, rng):
    built_in, x, y, losses = trained(rng, **{place: L1L2(0.01, 0.02)})
    own, *_, own_losses = trained(rng, **{place: Own()})
    assert not built_in.obstacles()
    assert any("regularizer" in obstacle for obstacle in own.obstacles())
    for a, b in zip(built_in.weights, own.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)
    np.testing.assert_allclose(losses, own_losses, rtol=1e-12)
    np.testing.assert_allclose(
        list(built_in.evaluate(x, y, batch_size=20).values()),
        list(own.evaluate(x, y, batch_size=20).values()),
        rtol=1e-12,
    )


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("units", [9, 16, 33])  # below, of and above whole blocks of 16
def test_what_is_reported_holds_the_cost(own, units, rng):
    penalty = Own() if own else L1L2(0.01, 0.02)
    model, x, y, _ = trained(rng, kernel=penalty, activity=penalty, units=units)
    hidden, pred = model.layers[0](x), model.predict(x)
    expected = ((pred - y) ** 2).mean() + penalty(model.layers[0].weights["kernel"])
    expected += penalty(hidden) / len(x)
    # Activities cost by the mini-batch: the mean over rows is the same for any.
    for batch_size in (20, 8, 3):
        found = model.evaluate(x, y, batch_size=batch_size)["loss"]
        assert found == pytest.approx(expected, rel=1e-12)
    assert model.train_on_batch(x, y)["loss"] == pytest.approx(expected, rel=1e-12)


def test_frozen_weights_cost_nothing(rng):
    model, x, y, _ = trained(rng, kernel="l2")
    assert model.layers[0].penalty() > 0
    model.layers[0].trainable = False
    assert model.layers[0].penalty() == 0
    before = model.layers[0].weights["kernel"].copy()
    model.fit(x, y)
    assert np.array_equal(model.layers[0].weights["kernel"], before)


def test_l1_makes_weights_small_and_l2_is_weight_decay(rng):
    # Gradient descent on l2 w**2 alone multiplies w by 1 - 2 l2 rate.
    fn.set_random_seed(0)
    dense = layers.Dense(5, kernel_regularizer=L2(0.25), dtype="float64")
    model = fn.Sequential([dense])
    model.compile(optimizers.SGD(0.1), "mse")
    x, y = np.zeros((4, 3)), np.zeros((4, 5))
    model.build(3)
    before = dense.weights["kernel"].copy()
    model.fit(x, y, batch_size=4, epochs=7, shuffle=False)
    np.testing.assert_allclose(dense.weights["kernel"], before * 0.95**7, rtol=1e-13)


@pytest.mark.parametrize("clip", [{}, {"clipvalue": 0.01}, {"clipnorm": 0.1},
                                  {"global_clipnorm": 0.1}])  # fmt: skip
def test_costs_are_clipped_with_the_gradient(clip, rng):
    # By hand, in the order: gradient, cost, clip, step.
    model, x, y, _ = trained(rng, kernel=L1L2(0.3, 0.2))
    model.compile(optimizers.SGD(0.5, **clip), "mse")
    start = model.get_weights()
    twin = fn.Sequential([layers.Dense(9, "tanh", dtype="float64"),
                          layers.Dense(2, dtype="float64")])  # fmt: skip
    twin.build(3)
    twin.set_weights(start)
    twin.backward(fn.losses.MeanSquaredError().gradient(y, twin(x)))
    gradients = [g for layer in twin.layers for g in layer.gradients.values()]
    gradients[0] = gradients[0] + 0.3 * np.sign(start[0]) + 0.4 * start[0]
    if "clipvalue" in clip:
        gradients = [np.clip(g, -0.01, 0.01) for g in gradients]
    elif "clipnorm" in clip:
        gradients = [g * min(1, 0.1 / np.linalg.norm(g)) for g in gradients]
    elif clip:
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        gradients = [g * min(1, 0.1 / norm) for g in gradients]
    assert not model.obstacles()
    model.train_on_batch(x, y)
    for w, before, g in zip(model.weights, start, gradients, strict=True):
        np.testing.assert_allclose(w, before - 0.5 * g, rtol=0, atol=1e-14)


def test_gradients_are_checked_with_the_cost(rng):
    model, x, y, _ = trained(rng, kernel=L1L2(0.1, 0.2), activity=L2(0.3))
    report = fn.gradients.check_gradients(model, x, y)
    assert report.passed, str(report)


def test_inference_is_left_alone(rng):
    model, x, _, _ = trained(rng, activity=L2(0.3))
    dy = np.ones((20, 2))
    model(x)
    plain = model.backward(dy)
    model(x, training=True)
    assert not np.allclose(model.backward(dy), plain)
    free = fn.Sequential([layers.Dense(9, "tanh", dtype="float64"),
                          layers.Dense(2, dtype="float64")])  # fmt: skip
    free.build(3)
    free.set_weights(model.get_weights())
    free(x, training=True)
    assert np.array_equal(free.backward(dy), plain)
