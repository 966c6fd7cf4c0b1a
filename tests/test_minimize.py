"""Optimizers on functions: closed forms, known minima, saddles, errors."""

import numpy as np
import pytest

import fastnn as fn
from fastnn import minimize as minimize_function
from fastnn import optimizers, schedules


def test_gradient_descent_on_a_quadratic():
    # w <- w - rate * c * w, so w after k steps is (1 - rate * c)**k * w.
    c, start, rate = np.array([1.0, 4.0]), np.array([3.0, -2.0]), 0.1
    found = fn.minimize(
        lambda x: 0.5 * (c * x**2).sum(), lambda x: c * x, start, optimizers.SGD(rate), steps=30
    )
    exact = (1 - rate * c) ** np.arange(31)[:, None] * start
    np.testing.assert_allclose(found.path, exact, rtol=0, atol=100 * np.finfo(float).eps)
    np.testing.assert_allclose(found.values, 0.5 * (exact**2) @ c, rtol=0, atol=1e-13)
    assert found.x.dtype == found.path.dtype == found.values.dtype == np.float64
    np.testing.assert_array_equal(found.x, found.path[-1])
    assert found._fields == ("x", "path", "values") and start.tolist() == [3, -2]


def test_a_schedule():
    schedule = schedules.PiecewiseConstantDecay([1], [0.5, 0.25])
    found = fn.minimize(lambda x: x, lambda x: 1.0, 0.0, optimizers.SGD(schedule), steps=4)
    assert found.path.tolist() == [0, -0.5, -1, -1.25, -1.5]


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def rosenbrock_gradient(x):
    across = 200 * (x[1] - x[0] ** 2)
    return np.array([-2 * (1 - x[0]) - 2 * across * x[0], across])


@pytest.mark.parametrize(
    "optimizer, steps, within",
    [(optimizers.Momentum(5e-4), 4000, 1e-3), ("lbfgs", 60, 1e-5)],
    ids=["momentum", "lbfgs"],
)
def test_rosenbrock(optimizer, steps, within):
    found = fn.minimize(rosenbrock, rosenbrock_gradient, [-1.2, 1.0], optimizer, steps)
    assert np.abs(found.x - 1).max() < within
    assert found.path.shape == (steps + 1, 2) and found.values[0] == pytest.approx(24.2)
    assert found.values.tolist() == [rosenbrock(x) for x in found.path]


def test_saddle():
    # f = x**2 - y**2: on the axis it stops at the saddle; beside it y doubles in every step.
    def saddle(x):
        return x[0] ** 2 - x[1] ** 2

    def gradient(x):
        return np.array([2 * x[0], -2 * x[1]])

    sgd = optimizers.SGD(0.5)
    assert fn.minimize(saddle, gradient, [1.0, 0.0], sgd, 20).x.tolist() == [0, 0]
    assert fn.minimize(saddle, gradient, [1.0, 1e-6], sgd, 20).x.tolist() == [0, 2**20 * 1e-6]


def test_shapes():
    for shape in ((), (1,), (2, 3)):
        x0 = np.full(shape, 2.0)
        seen = []

        def function(x, shape=shape, seen=seen):
            seen.append(x.shape)
            total = (x**2).sum()
            x[...] = 99  # its own to keep
            return total

        for optimizer in ("sgd", "lbfgs"):
            found = fn.minimize(function, lambda x: 2 * x, x0, optimizer, steps=3)
            assert found.x.shape == shape and found.path.shape == (4, *shape)
            assert set(seen) == {shape} and (found.x < 2).all()


def test_the_optimizer_starts_anew():
    optimizer = optimizers.Momentum(0.1)
    paths = [
        fn.minimize(lambda x: x**2, lambda x: 2 * x, 1.0, optimizer, steps=5).path.tolist()
        for _ in range(2)
    ]
    assert paths[0] == paths[1] and optimizer.iterations == 5


def test_without_a_gradient():
    exact = fn.minimize(rosenbrock, rosenbrock_gradient, [-1.2, 1.0], optimizers.SGD(1e-3), 50)
    found = fn.minimize(rosenbrock, None, [-1.2, 1.0], optimizers.SGD(1e-3), 50)
    np.testing.assert_allclose(found.path, exact.path, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"function": 3}, TypeError, "function: expected a function, got 3"),
        ({"gradient": 3}, TypeError, "gradient: expected a function, got 3"),
        ({"function": None}, TypeError, "function: expected a function, got None"),
        ({"steps": 0}, ValueError, "steps: expected a positive integer, got 0"),
        ({"x0": []}, ValueError, "x0: expected at least one element, got none"),
        (
            {"function": lambda x: x},
            ValueError,
            "output of function: expected one number, got shape (2,)",
        ),
        (
            {"gradient": lambda x: 1.0},
            ValueError,
            "output of gradient: expected shape (2,), got ()",
        ),
        (
            {"function": lambda x: np.nan},
            ValueError,
            "output of function: expected finite numbers, got nan after step 0, at x = [1.0, 2.0]",
        ),
        (
            {"gradient": lambda x: np.full(2, np.inf)},
            ValueError,
            "output of gradient: expected finite numbers, got [inf inf] after step 0",
        ),
        ({"optimizer": "adagard"}, ValueError, "optimizer: expected one of"),
    ],
)
def test_errors(options, kind, message):
    arguments = {
        "function": lambda x: (x**2).sum(),
        "gradient": lambda x: 2 * x,
        "x0": [1.0, 2.0],
    } | options
    with pytest.raises(kind) as error:
        fn.minimize(**arguments)
    assert str(error.value).startswith(message)


def test_divergence_is_an_error():
    with pytest.raises(ValueError) as error, np.errstate(over="ignore"):
        fn.minimize(lambda x: x**2, lambda x: 2 * x, 1.0, optimizers.SGD(1e20), steps=100)
    assert "got inf after step 8, at x = " in str(error.value)
    assert "a lower learning rate" in str(error.value)


def test_the_name_is_the_function():
    assert minimize_function is fn.minimize and callable(fn.minimize)
