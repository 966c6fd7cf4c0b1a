"""Initializers: their statistics, bounds and seeds; lookup by name."""

import math

import numpy as np
import pytest
import scipy.stats

import fastnn as fn
from fastnn import _random, initializers, layers

FAN_IN, FAN_OUT = 300, 200
AVERAGE = (FAN_IN + FAN_OUT) / 2

# name -> standard deviation, greatest magnitude (None: no bound)
SPREAD = {
    "glorot_uniform": (math.sqrt(1 / AVERAGE), math.sqrt(6 / (FAN_IN + FAN_OUT))),
    "glorot_normal": (math.sqrt(1 / AVERAGE), 2 * math.sqrt(1 / AVERAGE) / 0.8796256610342398),
    "he_uniform": (math.sqrt(2 / FAN_IN), math.sqrt(6 / FAN_IN)),
    "he_normal": (math.sqrt(2 / FAN_IN), 2 * math.sqrt(2 / FAN_IN) / 0.8796256610342398),
    "lecun_uniform": (math.sqrt(1 / FAN_IN), math.sqrt(3 / FAN_IN)),
    "lecun_normal": (math.sqrt(1 / FAN_IN), 2 * math.sqrt(1 / FAN_IN) / 0.8796256610342398),
    "variance_scaling": (math.sqrt(1 / FAN_IN), 2 * math.sqrt(1 / FAN_IN) / 0.8796256610342398),
    "random_uniform": (0.1 / math.sqrt(12), 0.05),
    "random_normal": (0.05, None),
    "truncated_normal": (0.05 * 0.8796256610342398, 0.1),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SPREAD)
def test_spread(name, dtype):
    _random.set_random_seed(1)
    values = initializers.get(name)((FAN_IN, FAN_OUT), dtype)
    stddev, bound = SPREAD[name]
    assert values.shape == (FAN_IN, FAN_OUT) and values.dtype == dtype
    # Four standard errors; that of a sample's deviation is greatest for the normal distribution.
    assert abs(values.mean()) < 4 * stddev / math.sqrt(values.size)
    assert abs(values.std() - stddev) < 4 * stddev / math.sqrt(2 * values.size)
    if bound is not None:
        # What was drawn comes near its bound, and does not pass it but by rounding.
        assert 0.99 * bound < np.abs(values).max() <= bound * (1 + 1e-7)


@pytest.mark.parametrize(
    "name, distribution",
    [
        ("truncated_normal", scipy.stats.truncnorm(-2, 2, scale=0.05)),
        ("random_normal", scipy.stats.norm(scale=0.05)),
        ("random_uniform", scipy.stats.uniform(-0.05, 0.1)),
    ],
)
def test_distribution(name, distribution):
    _random.set_random_seed(2)
    values = initializers.get(name)((20_000,), "float64")
    assert scipy.stats.kstest(values, distribution.cdf).pvalue > 0.01


def test_parameters_of_the_plain_ones():
    values = initializers.RandomNormal(mean=3.0, stddev=0.0)((5,))
    assert values.tolist() == [3.0] * 5
    values = initializers.RandomUniform(minval=2.0, maxval=4.0)((1000,))
    assert 2 <= values.min() < 2.1 and 3.9 < values.max() <= 4
    untruncated = initializers.VarianceScaling(4.0, "fan_out", "untruncated_normal")
    values = untruncated((100, 400), "float64")
    assert abs(values.std() - 0.1) < 4 * 0.1 / math.sqrt(2 * values.size)
    assert np.abs(values).max() > 0.3


@pytest.mark.parametrize("name, value", [("zeros", 0.0), ("ones", 1.0), ("constant", 0.0)])
def test_constants(name, value):
    values = initializers.get(name)((2, 3))
    assert values.dtype == np.float32 and values.tolist() == [[value] * 3] * 2
    assert initializers.Constant(0.25)(4, "float64").tolist() == [0.25] * 4


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25), (1, 4), (5, 4, 6)])
def test_orthogonal(shape):
    values = initializers.Orthogonal(gain=1.5, seed=3)(shape, "float64")
    assert values.shape == shape
    rows = values.reshape(-1, shape[-1])
    if rows.shape[0] < rows.shape[1]:
        rows = rows.T
    # Each product sums at most 30 numbers, and a Householder step for each column.
    np.testing.assert_allclose(rows.T @ rows, 2.25 * np.eye(rows.shape[1]), atol=900 * 2**-52)
    np.testing.assert_array_equal(
        initializers.Orthogonal(gain=1.5, seed=3)(shape, "float64"), values
    )


def test_orthogonal_is_drawn_evenly():
    # Without the signs of R, Householder's Q has nearly always a negative corner.
    _random.set_random_seed(4)
    corners = [initializers.get("orthogonal")((3, 3), "float64")[0, 0] for _ in range(1000)]
    # A coordinate of a point that is even on the sphere in three dimensions is uniform.
    assert scipy.stats.kstest(corners, scipy.stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_identity():
    np.testing.assert_array_equal(initializers.get("identity")((3, 3)), np.eye(3))
    np.testing.assert_array_equal(initializers.Identity(2.0)((2, 3)), 2 * np.eye(2, 3))


def test_fans_of_other_shapes():
    # One axis: both fans are its length. Three: the leading one is a window.
    vector = initializers.GlorotUniform(seed=0)((600,), "float64")
    assert 0.99 * math.sqrt(3 / 600) < np.abs(vector).max() <= math.sqrt(3 / 600)
    cube = initializers.HeUniform(seed=0)((5, 40, 30), "float64")
    assert 0.99 * math.sqrt(6 / 200) < np.abs(cube).max() <= math.sqrt(6 / 200)


def test_seeds():
    shape = (7, 3)
    _random.set_random_seed(5)
    first, second = initializers.get("he_normal")(shape), initializers.get("he_normal")(shape)
    assert (first != second).all()
    _random.set_random_seed(5)
    np.testing.assert_array_equal(initializers.get("he_normal")(shape), first)
    _random.set_random_seed(6)
    assert (initializers.get("he_normal")(shape) != first).all()

    own = initializers.HeNormal(seed=5)
    np.testing.assert_array_equal(own(shape), own(shape))
    # An initializer with a seed of its own does not move the shared sequence.
    _random.set_random_seed(5)
    own(shape)
    np.testing.assert_array_equal(initializers.get("he_normal")(shape), first)


def test_float32_values_are_the_float64_ones_rounded():
    for name in SPREAD:
        make = type(initializers.get(name))(seed=3)
        np.testing.assert_array_equal(
            make((50, 40), "float32"), make((50, 40), "float64").astype("float32")
        )


def test_seeded_values_stay():
    # What Philox(0) begins with; another sequence would change every seeded run.
    values = initializers.RandomUniform(0, 1, seed=0)((3,), "float64")
    expected = [0.014067035665647709, 0.2577672456246177, 0.47156538101528966]
    np.testing.assert_allclose(values, expected, rtol=1e-15)


def test_get():
    assert isinstance(initializers.get("GlorotUniform"), initializers.GlorotUniform)
    assert isinstance(initializers.get(initializers.Ones), initializers.Ones)
    for alias, name in {
        "zero": "zeros",
        "one": "ones",
        "normal": "random_normal",
        "uniform": "random_uniform",
    }.items():
        assert type(initializers.get(alias)) is type(initializers.get(name))
    own = initializers.HeUniform(seed=4)
    assert initializers.get(own) is own
    again = initializers.get(own.identifier())
    assert type(again) is initializers.HeUniform and again.seed == 4
    with pytest.raises(ValueError, match="did you mean 'glorot_uniform'"):
        initializers.get("glorot_unifrom")
    with pytest.raises(TypeError) as error:
        initializers.get(3, "kernel_initializer")
    assert (
        str(error.value)
        == "kernel_initializer: expected a name or an instance of Initializer, got int"
    )


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: initializers.GlorotUniform(seed=-1), "seed: expected a non-negative integer"),
        (lambda: initializers.RandomNormal(stddev=-1), "stddev: expected a non-negative number"),
        (lambda: initializers.RandomUniform(1, 0), "minval: expected at most maxval = 0, got 1"),
        (lambda: initializers.VarianceScaling(0.0), "scale: expected a positive number, got 0.0"),
        (lambda: initializers.VarianceScaling(mode="fan"), "mode: expected one of fan_in"),
        (lambda: initializers.Constant(math.nan), "value: expected a finite number, got nan"),
        (lambda: initializers.Orthogonal(math.inf), "gain: expected a finite number, got inf"),
        (lambda: initializers.Orthogonal()((3,)), "shape: expected at least 2 axes for Orthogonal"),
        (lambda: initializers.Identity()((3, 3, 3)), "shape: expected 2 axes for Identity, got"),
        (lambda: initializers.Zeros()((3, 0)), "shape: expected a positive integer, got 0"),
        (lambda: initializers.Zeros()((3,), "float16"), "dtype: expected float32 or float64"),
        (
            lambda: initializers.Constant(1e39)((2,)),
            "values of Constant: expected numbers within float32 (at most 3.403e+38), got 1e+39",
        ),
        (lambda: _random.set_random_seed(-1), "seed: expected a non-negative integer, got -1"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(message)


def test_own_initializers():
    class Identity(initializers.Initializer):
        def draw(self, shape, random):
            return np.eye(*shape)

    mine = np.ones(3, "f")
    dense = layers.Dense(3, kernel_initializer=Identity(), bias_initializer=lambda s, d: mine)
    dense.build(4)
    np.testing.assert_array_equal(dense.weights["kernel"], np.eye(4, 3))
    np.testing.assert_array_equal(dense.weights["bias"], [1, 1, 1])
    assert dense.weights["bias"].dtype == np.float32
    assert not np.shares_memory(dense.weights["bias"], mine)
    with pytest.raises(ValueError) as error:
        layers.Dense(3, kernel_initializer=lambda shape, dtype: np.ones(2)).build(4)
    assert str(error.value) == "initializer of kernel: expected shape (4, 3), got (2,)"


# ---- units that start equal ----------------------------------------------------------------------


def fit(*stack):
    model = fn.Sequential(list(stack))
    model.compile("sgd", "mse")
    x = np.arange(12.0).reshape(4, 3) / 12
    return model.fit(x, np.zeros((4, stack[-1].units)))


@pytest.mark.parametrize("name", ["zeros", "ones", initializers.Constant(0.5)])
@pytest.mark.parametrize("depth", [0, 1])
def test_equal_hidden_units_are_warned_of(name, depth):
    below = [layers.Dense(5, "tanh") for _ in range(depth)]
    hidden = layers.Dense(4, "tanh", kernel_initializer=name, name="equal")
    expected = "equal: expected units that start with different weights, got 4 with the same"
    with pytest.warns(UserWarning, match=expected) as caught:
        fit(*below, hidden, layers.Dense(2, kernel_initializer="ones"))
    assert len(caught) == 1 and caught[0].filename == __file__
    # The warning tells the truth: after training the units are the same still.
    kernel = hidden.weights["kernel"]
    np.testing.assert_array_equal(kernel, np.repeat(kernel[:, :1], 4, axis=1))


def test_where_equal_weights_do_no_harm():
    # Warnings are errors here. A single layer: the perceptron, linear and logistic regression.
    fit(layers.Dense(2, "sigmoid", kernel_initializer="zeros"))
    # The output layer of a deep one; a hidden layer of one unit; units apart by their biases.
    fit(layers.Dense(4, "tanh"), layers.Dense(2, kernel_initializer="zeros"))
    fit(layers.Dense(1, kernel_initializer="ones"), layers.Dense(2))
    apart = layers.Dense(4, kernel_initializer="ones", bias_initializer="random_normal")
    fit(apart, layers.Dense(2))


def test_equal_columns_only():
    # One row of equal numbers is not yet equal units.
    def one_row(shape, dtype):
        return np.vstack([np.ones((1, shape[1])), np.random.default_rng(1).normal(size=(2, 4))])

    fit(layers.Dense(4, kernel_initializer=one_row), layers.Dense(2))
