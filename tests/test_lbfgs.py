"""L-BFGS: its directions, exact minima, and how a model is fitted with it."""

import numpy as np
import pytest

import fastnn as fn
from fastnn import lbfgs, losses, optimizers
from fastnn.callbacks import LambdaCallback
from fastnn.layers import Dense
from fastnn.optimizers import LBFGS

EPS = np.finfo(np.float64).eps
# Steps are judged by the values, which are flat within rounding this near to a minimum (times the
# root of the condition number, below 10 in these tests).
NEAR = 10 * EPS**0.5
SPARSE = losses.SparseCategoricalCrossentropy(from_logits=True)


def test_direction(rng):
    # The same from the matrix itself: H <- V' H V + rho s s' [Nocedal and Wright, eq. 6.17].
    n = 6
    half = rng.normal(size=(n, n))
    hessian = half @ half.T + np.eye(n)
    gradient, steps = rng.normal(size=n), rng.normal(size=(4, n))
    differences = steps @ hessian
    s, y = steps[-1], differences[-1]
    inverse = (s @ y) / (y @ y) * np.eye(n)
    for s, y in zip(steps, differences, strict=True):
        rho = 1 / (s @ y)
        v = np.eye(n) - rho * np.outer(y, s)
        inverse = v.T @ inverse @ v + rho * np.outer(s, s)
    found = lbfgs.direction(gradient, steps, differences)
    np.testing.assert_allclose(found, -inverse @ gradient, rtol=0, atol=1e4 * EPS)
    first = lbfgs.direction(8 * gradient, steps[:0], differences[:0])
    assert np.linalg.norm(first) == pytest.approx(1) and first @ gradient < 0


def rosenbrock(x):
    value = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    gradient[1:] += 200 * (x[1:] - x[:-1] ** 2)
    return value, gradient


def descend(evaluate, x, iterations=500, **options):
    optimizer = LBFGS(iterations, **{"gradient_tolerance": 1e-9, "value_tolerance": 0} | options)
    x = np.array(x, float)
    calls = []

    def at():
        calls.append(x.copy())
        value, gradient = evaluate(x)
        return value, [gradient]

    optimizer.descend([x], at)
    return optimizer, x, len(calls)


def test_rosenbrock():
    optimizer, x, calls = descend(rosenbrock, [-1.2, 1.0] * 5)
    assert np.abs(x - 1).max() < NEAR
    assert optimizer.converged and optimizer.iterations < calls < 200


def test_history_is_what_makes_it_fast():
    scales = np.array([1.0, 30.0, 1000.0])

    def valley(x):
        return 0.5 * (scales * x**2).sum(), scales * x

    _, x, calls = descend(valley, [1.0, 1.0, 1.0])
    assert np.abs(x).max() < 1e-9 and calls < 40
    *_, short = descend(valley, [1.0, 1.0, 1.0], history_size=1)
    assert short > calls


def test_a_function_with_an_edge():
    def edge(x):
        with np.errstate(invalid="ignore"):
            return (x - np.log(x)).sum(), 1 - 1 / x  # not a number below 0

    optimizer, x, _ = descend(edge, [30.0, 0.02])
    assert np.abs(x - 1).max() < NEAR and optimizer.converged


def test_no_way_down():
    optimizer, x, _ = descend(lambda x: (np.nan, x), [1.0])
    assert not optimizer.converged and x == 1 and optimizer.iterations == 0
    # The gradient points the wrong way: no step is lower, and this is as far as it goes.
    optimizer, x, _ = descend(lambda x: (x[0], np.array([-1.0])), [1.0])
    assert optimizer.converged and x == 1 and optimizer.iterations == 0
    optimizer, x, calls = descend(lambda x: ((x**2).sum(), 2 * x), [0.0])
    assert optimizer.converged and calls == 1


def test_no_step_leads_up():
    def cliff(x):  # beyond what the line search looks at before it gives up
        return float(-x[0] if x[0] < 1e6 else x[0]), np.array([-1.0])

    _, x, _ = descend(cliff, [0.0], iterations=1)
    assert cliff(x)[0] <= 0


def test_a_history_that_misleads():
    steps, differences = np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0]])  # as of another function
    found = lbfgs.descend(
        lambda x: ((x**2).sum(), 2 * x), np.array([3.0, 1.0]), steps, differences, 50, 10, 1e-9, 0
    )
    assert np.abs(found.x).max() < 1e-9 and found.iterations > 0 and found.converged


def test_an_error_leaves_the_last_step():
    calls = []

    def falls(x):
        calls.append(float(x[0]))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return rosenbrock(x)

    optimizer, x = LBFGS(100), np.array([-1.2, 1.0])
    with pytest.raises(KeyboardInterrupt):
        optimizer.descend([x], lambda: (lambda f: (f[0], [f[1]]))(falls(x)))
    assert x[0] != calls[-1] and x[0] in calls


# ---- fitting models ------------------------------------------------------------------------------


def test_linear_regression(rng):
    x = rng.normal(size=(60, 5))
    y = x @ rng.normal(size=(5, 2)) + 3 + rng.normal(size=(60, 2))
    weight = rng.uniform(0.2, 2, size=60)
    model = fn.Sequential([Dense(2, dtype="float64")])
    model.compile(LBFGS(100, gradient_tolerance=1e-10, value_tolerance=0), "mse")
    history = model.fit(x, y, sample_weight=weight)
    design = np.c_[x, np.ones(60)]
    root = np.sqrt(weight)[:, None]
    exact, rest, *_ = np.linalg.lstsq(root * design, root * y, rcond=None)
    np.testing.assert_allclose(model.weights[0], exact[:-1], rtol=0, atol=NEAR)
    np.testing.assert_allclose(model.weights[1], exact[-1], rtol=0, atol=NEAR)
    assert history.history["loss"] == [pytest.approx(rest.sum() / 120, rel=1e-12)]


def test_ridge_regression(rng):
    x = rng.normal(size=(60, 5))
    y = x @ rng.normal(size=(5, 1)) + rng.normal(size=(60, 1))
    penalty = fn.regularizers.L2(0.3)
    model = fn.Sequential([Dense(1, use_bias=False, dtype="float64", kernel_regularizer=penalty)])
    model.compile(LBFGS(100, gradient_tolerance=1e-10, value_tolerance=0), "mse")
    loss = model.fit(x, y).history["loss"]
    # (x'x / 60 + 0.3) w = x'y / 60
    exact = np.linalg.solve(x.T @ x / 60 + 0.3 * np.eye(5), x.T @ y / 60)
    np.testing.assert_allclose(model.weights[0], exact, rtol=0, atol=NEAR)
    cost = ((x @ exact - y) ** 2).mean() + 0.3 * (exact**2).sum()
    assert loss == [pytest.approx(cost, rel=1e-12)]


def test_logistic_regression(rng):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x = rng.normal(size=(300, 4))
    y = (x @ rng.normal(size=(4, 3)) + 2 * rng.gumbel(size=(300, 3))).argmax(axis=1)
    class_weight = {0: 0.5, 1: 1.0, 2: 2.0}
    peer = linear_model.LogisticRegression(
        C=np.inf, tol=1e-10, max_iter=1000, class_weight=class_weight
    )
    peer.fit(x, y)
    model = fn.Sequential([Dense(3, "softmax", dtype="float64")])
    # On probabilities, and with a batch size that does not matter.
    loss = losses.SparseCategoricalCrossentropy()
    model.compile(LBFGS(200, gradient_tolerance=1e-9, value_tolerance=0), loss)
    model.fit(x, y, batch_size=7, class_weight=class_weight)
    # The clipping of probabilities, at 1e-7, is far from these.
    np.testing.assert_allclose(model.predict(x), peer.predict_proba(x), rtol=0, atol=NEAR)


@pytest.fixture
def x(rng):
    return rng.normal(size=(50, 4))


@pytest.fixture
def y(x):
    return (x[:, :2] > 0).sum(axis=1)


def make(optimizer="lbfgs", dtype="float64", metrics=()):
    fn.set_random_seed(3)
    model = fn.Sequential([Dense(6, "tanh", dtype=dtype), Dense(3, dtype=dtype)])
    model.build(4)
    model.compile(optimizer, SPARSE, list(metrics))
    return model


def weights(model):
    return [w.tobytes() for w in model.weights]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_learns(dtype, x, y):
    model = make(LBFGS(4), dtype, ["accuracy"])
    history = model.fit(x, y, epochs=4, validation_data=(x, y)).history
    loss = history["loss"]
    assert len(loss) == 4 and loss == sorted(loss, reverse=True) and loss[-1] < 0.01
    # What an epoch reports are the loss and metrics after it.
    assert history["val_loss"] == pytest.approx(loss, rel=1e-6)
    assert history["accuracy"][-1] == 1 == model.evaluate(x, y)["accuracy"]
    assert model.optimizer.iterations == 16
    assert model.obstacles() == ["optimizer lbfgs"]


def test_epochs_go_on_where_the_last_ended(x, y):
    whole, parts = make(LBFGS(4)), make(LBFGS(4))
    whole.fit(x, y, epochs=4)
    for _ in range(2):
        parts.fit(x, y, epochs=2, batch_size=10)
    assert weights(whole) == weights(parts)
    once = make(LBFGS(16))
    once.fit(x, y)
    np.testing.assert_array_equal(once.predict(x), whole.predict(x))
    assert once.optimizer.iterations == whole.optimizer.iterations == 16
    slots = whole.optimizer.slots
    assert [s["steps"].shape for s in slots] == [(10, *w.shape) for w in whole.weights]


def test_training_ends_when_it_converges(x, rng):
    model = fn.Sequential([Dense(1, dtype="float64")])
    model.compile(LBFGS(5), "mse")
    ends = []
    target = x.sum(axis=1) + rng.normal(size=50)
    history = model.fit(
        x, target, epochs=100, callbacks=LambdaCallback(on_epoch_end=lambda *_: ends.append(1))
    )
    assert model.optimizer.converged and len(history.epoch) == len(ends) < 10
    assert len(model.fit(x, target, epochs=100).epoch) == 1  # there already


def test_callbacks(x, y):
    model, seen = make(), []

    def end(epoch, logs):
        seen.append(("epoch", epoch))
        model.stop_training = epoch == 2

    hooks = LambdaCallback(
        on_epoch_end=end,
        on_train_batch_begin=lambda batch, logs: seen.append(("begin", batch)),
        on_train_batch_end=lambda batch, logs: seen.append(("end", batch)),
    )
    model.fit(x, y, epochs=50, batch_size=10, callbacks=hooks)
    one = [("begin", 0), ("end", 0)]
    assert seen == [*one, ("epoch", 0), *one, ("epoch", 1), *one, ("epoch", 2)]


def test_frozen_layers(x, y):
    model = make(LBFGS(3))
    model.fit(x, y)
    before = weights(model)
    model.layers[0].trainable = False
    model.fit(x, y)
    middle = weights(model)
    assert middle[:2] == before[:2] and middle[2:] != before[2:]
    model.layers[0].trainable = True  # histories of different moments: it starts a new one
    loss = model.fit(x, y, epochs=20).history["loss"]
    assert weights(model)[0] != middle[0] and loss[-1] < 0.05
    for layer in model.layers:
        layer.trainable = False
    middle = weights(model)
    model.fit(x, y)
    assert weights(model) == middle


def test_train_on_batch(x, y):
    model, twin = make(LBFGS(3)), make(LBFGS(3))
    logs = model.train_on_batch(x, y)
    assert twin.fit(x, y).history["loss"] == [logs["loss"]]


def test_layers_that_draw(x, y):
    # One draw for all evaluations of an epoch: the loss is a function of the weights.
    fn.set_random_seed(3)
    drop = fn.layers.Dropout(0.3, dtype="float64")
    model = fn.Sequential([Dense(6, "tanh", dtype="float64"), drop, Dense(3, dtype="float64")])
    model.compile(LBFGS(8), SPARSE)
    loss = model.fit(x, y, epochs=3).history["loss"]
    assert model.optimizer.iterations == 24 and drop.draws == 3 and loss[-1] < 0.5


def test_loss_without_reduction(x, y):
    model = make()
    model.compile(LBFGS(3), losses.SparseCategoricalCrossentropy(True, reduction="none"))
    twin = make()
    twin.compile(LBFGS(3), losses.SparseCategoricalCrossentropy(True, reduction="sum"))
    model.fit(x, y)
    twin.fit(x, y)
    np.testing.assert_allclose(model.predict(x), twin.predict(x), rtol=0, atol=1e-9)


def test_config_and_errors():
    optimizer = LBFGS(5, 3, 1e-4, 1e-6, name="mine")
    config = optimizer.get_config()
    assert config == {
        "max_iterations": 5,
        "history_size": 3,
        "gradient_tolerance": 1e-4,
        "value_tolerance": 1e-6,
        "name": "mine",
    }
    assert optimizers.get(optimizer.identifier()).get_config() == config
    assert type(optimizers.get("LBFGS")) is LBFGS
    w = np.ones(2)
    with pytest.raises(
        TypeError, match="^lbfgs: expected a function to evaluate .*gradients alone$"
    ):
        LBFGS().update([w], [w])
    with pytest.raises(ValueError, match="^max_iterations: expected a positive integer, got 0$"):
        LBFGS(0)
    with pytest.raises(
        ValueError, match="^value_tolerance: expected a non-negative number, got -1"
    ):
        LBFGS(value_tolerance=-1)
    with pytest.raises(TypeError, match=r"^params\[0\]: expected float32 or float64, got int64$"):
        LBFGS().descend([np.ones(2, int)], None)
    with pytest.raises(ValueError, match="^params: expected at least one array, got none"):
        LBFGS().descend([], None)
    with pytest.raises(TypeError, match="^iterations: expected a non-negative integer, got 'a'"):
        LBFGS().descend([np.ones(2)], None, "a")
    w = np.ones(2)
    with pytest.raises(ValueError, match=r"^gradients\[0\]: expected shape \(2,\), got \(3,\)"):
        LBFGS().descend([w], lambda: (0.0, [np.zeros(3)]))
    with pytest.raises(ValueError, match="^gradients: expected 1 array, got 2"):
        LBFGS().descend([w], lambda: (0.0, [np.zeros(2), np.zeros(2)]))
    with pytest.raises(ZeroDivisionError):
        LBFGS().descend([w], lambda: (1 / 0, [np.zeros(2)]))
    assert (w == 1).all()
