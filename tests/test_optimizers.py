"""Optimizers: figures of Keras 3 and plain Python, slots, schedules, checks before any change."""

import math

import numpy as np
import pytest

from fastnn import kernels, optimizers, reference
from fastnn.optimizers import SGD, Adagrad, Momentum, Optimizer

# The figures of the next tests stand in the tests of Keras 3, rounded to four digits.


def test_published_single_steps():
    expected = {
        SGD(0.5): [0.5, -1.0, -0.5, 3.0],
        Adagrad(0.5): [0.5233, 1.5007, 2.5005, 3.5061],
    }
    for optimizer, values in expected.items():
        w = np.array([1.0, 2.0, 3.0, 4.0])
        optimizer.update([w], [np.array([1.0, 6.0, 7.0, 2.0])])
        np.testing.assert_allclose(w, values, atol=5e-5)


def _path(optimizer):
    """Return ten weights from 1, after a first gradient of 0.01 and each of four of 0.1 to 1."""
    w, path = np.ones(10), []
    for g in (np.full(10, 0.01), *[np.arange(1, 11) / 10] * 4):
        optimizer.update([w], [g])
        path.append(w.copy())
    return np.array(path)


def test_published_path_of_adagrad():
    path = _path(Adagrad(0.2, initial_accumulator_value=0.3, epsilon=1e-6))
    np.testing.assert_allclose(path[0], 0.9963, atol=5e-5)
    published = [
        [0.9604, 0.9278, 0.9003, 0.8784, 0.8615, 0.8487, 0.8388, 0.8313, 0.8255, 0.8209],
        [0.9251, 0.8629, 0.8137, 0.7768, 0.7497, 0.7298, 0.7151, 0.7040, 0.6956, 0.6891],
        [0.8903, 0.8012, 0.7342, 0.6862, 0.6521, 0.6277, 0.6099, 0.5967, 0.5867, 0.5790],
        [0.8560, 0.7422, 0.6604, 0.6037, 0.5644, 0.5367, 0.5168, 0.5021, 0.4910, 0.4825],
    ]
    np.testing.assert_allclose(path[1:], published, atol=6e-5)


def test_published_path_of_sgd():
    path = _path(SGD(nesterov=True))  # without momentum: plain steps of 0.01
    np.testing.assert_allclose(path[0], 0.9999, atol=5e-5)
    steps = np.arange(1, 5)[:, None] * np.arange(1, 11) / 1000
    np.testing.assert_allclose(path[1:], 0.9999 - steps, atol=5e-5)


# Formulas in plain Python, number by number.


def _sgd(w, g, state, rate):
    return w - rate * g


def _momentum(w, g, state, rate, momentum):
    state["v"] = momentum * state.get("v", 0.0) - rate * g
    return w + state["v"]


def _nesterov(w, g, state, rate, momentum):
    state["v"] = momentum * state.get("v", 0.0) - rate * g
    return w + momentum * state["v"] - rate * g


def _adagrad(w, g, state, rate, initial, epsilon):
    state["a"] = state.get("a", initial) + g * g
    return w - rate * g / math.sqrt(state["a"] + epsilon)


FORMULAS = {
    "sgd": (lambda: SGD(0.3), _sgd, (0.3,)),
    "sgd-default": (SGD, _sgd, (0.01,)),
    "momentum": (lambda: SGD(0.3, momentum=0.8), _momentum, (0.3, 0.8)),
    "nesterov": (lambda: SGD(0.3, 0.8, nesterov=True), _nesterov, (0.3, 0.8)),
    "Momentum": (Momentum, _momentum, (0.01, 0.9)),
    "Momentum-nesterov": (lambda: Momentum(nesterov=True), _nesterov, (0.01, 0.9)),
    "adagrad": (lambda: Adagrad(0.3, 0.2, 1e-3), _adagrad, (0.3, 0.2, 1e-3)),
    "adagrad-default": (Adagrad, _adagrad, (0.001, 0.1, 1e-7)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name, dtype, rng):
    make, formula, numbers = FORMULAS[name]
    optimizer = make()
    w = [rng.standard_normal((3, 4)).astype(dtype), rng.standard_normal(5).astype(dtype)]
    expected = [x.astype("d").ravel().tolist() for x in w]
    states = [[{} for _ in x] for x in expected]
    for step in range(4):
        g = [rng.standard_normal(x.shape).astype(dtype) for x in w]
        optimizer.update(w, g)
        assert optimizer.iterations == step + 1
        for x, state, gradient in zip(expected, states, g, strict=True):
            for i, value in enumerate(gradient.astype("d").ravel().tolist()):
                x[i] = formula(x[i], value, state[i], *numbers)
    for got, wanted in zip(w, expected, strict=True):
        # Weights and steps stay below 10; each of four steps rounds a few times.
        np.testing.assert_allclose(got.ravel(), wanted, rtol=0, atol=200 * np.finfo(dtype).eps)


def test_quadratic_is_minimized():
    # f(w) = 1/2 sum_i c_i w_i**2, of gradient c * w, from steps that converge in theory.
    c = np.array([1.0, 10.0])
    for optimizer in (SGD(0.1), Momentum(0.02), Momentum(0.02, nesterov=True), Adagrad(1.0)):
        w = np.array([3.0, -2.0])
        for _ in range(500):
            optimizer.update([w], [c * w])
        assert np.abs(w).max() < 1e-3


# ---- the row of numbers that a plan and `update` share -----------------------------------------


def test_hyper():
    rows = Momentum(0.5, 0.75).hyper(np.arange(3))
    assert rows.dtype == np.float64 and rows.shape == (3, 8)
    assert rows.tolist() == [[0.5, 0.75, 0, 0, 0, 0, 0, 0]] * 3
    assert SGD(0.5).hyper(np.arange(2)).tolist() == [[0.5] + [0] * 7] * 2
    assert Adagrad(0.5, epsilon=0.25).hyper(np.arange(1))[0, :2].tolist() == [0.5, 0.25]


def test_kernels_and_slots():
    assert [
        (x.kernel_name, x.slot_name, x.slot_initial)
        for x in (SGD(), SGD(momentum=0.5), SGD(0.1, 0.5, True), Momentum(), Adagrad())
    ] == [
        ("sgd", None, 0.0),
        ("momentum", "velocity", 0.0),
        ("nesterov", "velocity", 0.0),
        ("momentum", "velocity", 0.0),
        ("adagrad", "accumulator", 0.1),
    ]
    w = [np.ones((2, 3), "f"), np.ones(3)]
    optimizer = Adagrad(initial_accumulator_value=0.25)
    optimizer.build(w)
    for x, slots in zip(w, optimizer.slots, strict=True):
        assert slots.keys() == {"accumulator"} and (slots["accumulator"] == 0.25).all()
        assert slots["accumulator"].shape == x.shape and slots["accumulator"].dtype == x.dtype
    # The slots may live in memory of the caller's.
    mine = np.full((2, 3), 0.25, "f")
    optimizer.slots[0]["accumulator"] = mine
    optimizer.update(w, [np.ones((2, 3)), np.ones(3)])
    assert (mine == 1.25).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [lambda: SGD(0.1), lambda: Momentum(0.1), lambda: Adagrad(0.1)])
def test_same_bits_for_a_flat_buffer_and_its_parts(make, dtype, rng):
    flat, g = rng.standard_normal((2, 1000)).astype(dtype)
    parts = [flat[:600].reshape(20, 30).copy(), flat[600:].copy()]
    whole, split = make(), make()
    for _ in range(3):
        whole.update([flat], [g])
        split.update(parts, [g[:600].reshape(20, 30), g[600:]])
    np.testing.assert_array_equal(np.concatenate([x.ravel() for x in parts]), flat)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernel_by_name(dtype, rng):
    for kind in ("sgd", "momentum", "nesterov", "adagrad"):
        w, g, slot = rng.standard_normal((3, 4, 5)).astype(dtype)
        slot = None if kind == "sgd" else np.abs(slot)
        twin = [x if x is None else x.astype("d") for x in (w, g, slot)]
        kernels.update(kind, [0.1, 0.5], w, g, slot)
        reference.update(kind, [0.1, 0.5], *twin)
        for a, b in ((w, twin[0]), (slot, twin[2])):
            if a is not None:
                np.testing.assert_allclose(a, b, rtol=0, atol=100 * np.finfo(dtype).eps)
    with pytest.raises(ValueError, match="kind: expected one of sgd, momentum, nesterov, adagrad"):
        kernels.update("adam", [0.1], w, g)


# ---- arrays of every kind ----------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: SGD(0.1), lambda: Momentum(0.1), lambda: Adagrad(0.1)])
def test_layouts(make, rng):
    start, g = rng.standard_normal((2, 6, 8))
    expected = start.copy()
    optimizer = make()
    for _ in range(2):
        optimizer.update([expected], [g])
    buffer = np.zeros((6, 16))
    buffer[:, 1::2] = start
    for w in (
        np.asfortranarray(start),
        start[::-1, ::-1].copy()[::-1, ::-1],
        buffer[:, 1::2],
        start.astype(">f8"),
    ):
        optimizer = make()
        for gradient in (np.asfortranarray(g), g.tolist()):
            optimizer.update((w,), (gradient,))
        np.testing.assert_array_equal(w, expected)
    assert (buffer[:, ::2] == 0).all()


def test_integer_gradients_and_scalars():
    w = np.array(1.0)
    SGD(0.5).update([w], [1])
    assert w == 0.5
    w = np.ones(2, "f")
    SGD(0.5).update([w], [np.array([1, -1], "int8")])
    assert w.tolist() == [0.5, 1.5]


# ---- learning rates ----------------------------------------------------------------------------


def test_learning_rate_is_settable():
    optimizer, w = SGD(0.5), np.ones(1)
    optimizer.update([w], [np.ones(1)])
    optimizer.learning_rate = 0.25
    optimizer.update([w], [np.ones(1)])
    assert w == 0.25 and optimizer.learning_rate == 0.25


def test_schedule():
    seen = []

    def schedule(iteration):
        seen.append(iteration)
        return 1 / (1 + iteration)

    optimizer, w = SGD(schedule), np.zeros(1)
    assert optimizer.learning_rate == 1
    for _ in range(3):
        optimizer.update([w], [np.ones(1)])
    assert w == pytest.approx(-(1 + 1 / 2 + 1 / 3)) and set(seen) == {0, 1, 2}
    assert all(type(i) is int for i in seen)
    assert optimizer.learning_rate == 0.25
    assert optimizer.hyper(np.array([1, 3]))[:, 0].tolist() == [0.5, 0.25]
    assert optimizer.get_config()["learning_rate"] is schedule


def test_momentum_from_now_on():
    optimizer, w = SGD(0.5), np.zeros(1)
    optimizer.update([w], [np.ones(1)])
    optimizer.momentum = 0.5
    optimizer.update([w], [np.ones(1)])
    optimizer.update([w], [np.ones(1)])
    assert w.tolist() == [-0.5 - 0.5 - 0.75]


# ---- refused before anything is changed --------------------------------------------------------


def _read_only():
    w = np.ones(3)
    w.setflags(write=False)
    return w


W, G = [np.ones(3), np.ones((2, 2))], [np.ones(3), np.ones((2, 2))]


@pytest.mark.parametrize(
    "params, grads, kind, message",
    [
        (W, G[:1], ValueError, "grads: expected 2 arrays, got 1"),
        ([], [], ValueError, "params: expected at least one array, got none"),
        (W[0], G[0], TypeError, "params: expected a list of arrays, got one array"),
        (W, G[1], TypeError, "grads: expected a list of arrays, got one array"),
        (W, [G[0], np.ones(4)], ValueError, "grads[1]: expected shape (2, 2), got (4,)"),
        (W, [G[0], 1j * G[1]], TypeError, "grads[1]: expected real numbers of at most 64 bits"),
        (W, [G[0], None], TypeError, "grads[1]: expected real numbers of at most 64 bits"),
        ([W[0], [1.0]], G, TypeError, "params[1]: expected an array, got list"),
        ([W[0], np.ones((2, 2), int)], G, TypeError, "params[1]: expected float32 or float64"),
        ([W[0], np.ones((2, 2), "e")], G, TypeError, "params[1]: expected float32 or float64"),
        ([W[1], _read_only()], G[::-1], ValueError, "params[1]: expected a writeable array"),
    ],
)
def test_bad_arrays(params, grads, kind, message):
    optimizer = Momentum()
    with pytest.raises(kind) as error:
        optimizer.update(params, grads)
    assert str(error.value).startswith(message)
    assert all((w == 1).all() for w in W) and optimizer.iterations == 0
    optimizer.update([np.ones(7)], [np.ones(7)])  # nothing remains of the other shapes


def test_other_arrays_than_before():
    optimizer = SGD()
    optimizer.update([np.ones(3), np.ones(4)], [np.ones(3), np.ones(4)])
    w = np.ones(3)
    with pytest.raises(ValueError) as error:
        optimizer.update([w], [w.copy()])
    assert str(error.value) == "params: expected 2 arrays as before, got 1"
    with pytest.raises(ValueError) as error:
        optimizer.update([w, np.ones(5)], [np.ones(3), np.ones(5)])
    assert str(error.value) == "params[1]: expected shape (4,), got (5,)"
    assert (w == 1).all() and optimizer.iterations == 1


@pytest.mark.parametrize("rate", [math.nan, math.inf, -1.0])
def test_bad_schedule(rate):
    optimizer, w = SGD(lambda iteration: rate), np.ones(3)
    with pytest.raises(ValueError) as error:
        optimizer.update([w], [np.ones(3)])
    assert str(error.value) == (
        f"learning_rate at iteration 0: expected a non-negative number, got {rate}"
    )
    assert (w == 1).all() and optimizer.iterations == 0


def test_a_rate_beyond_float32():
    optimizer, w = SGD(1e39), np.ones(3, "f")
    with pytest.raises(ValueError, match="learning_rate: expected numbers within float32"):
        optimizer.update([np.ones(3), w], [np.ones(3), np.ones(3)])
    assert (w == 1).all()


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda: SGD(0), ValueError, "learning_rate: expected a positive number, got 0"),
        (lambda: SGD(-0.1), ValueError, "learning_rate: expected a positive number, got -0.1"),
        (lambda: SGD(math.nan), ValueError, "learning_rate: expected a positive number, got nan"),
        (lambda: SGD("0.1"), TypeError, "learning_rate: expected a positive number, got '0.1'"),
        (lambda: SGD(momentum=1.5), ValueError, "momentum: expected a number in [0, 1], got 1.5"),
        (lambda: SGD(nesterov=1), TypeError, "nesterov: expected True or False, got 1"),
        (lambda: Adagrad(epsilon=0), ValueError, "epsilon: expected a positive number, got 0"),
        (
            lambda: Adagrad(initial_accumulator_value=-1),
            ValueError,
            "initial_accumulator_value: expected a non-negative number, got -1",
        ),
    ],
)
def test_construction_errors(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message


def test_get():
    for name, cls in {"sgd": SGD, "SGD": SGD, "momentum": Momentum, "AdaGrad": Adagrad}.items():
        assert type(optimizers.get(name)) is cls
    assert optimizers.AdaGrad is Adagrad and type(optimizers.get(Adagrad)) is Adagrad
    optimizer = SGD(0.1, momentum=0.9, nesterov=True)
    assert optimizers.get(optimizer) is optimizer
    assert optimizers.get(optimizer.identifier()).get_config() == {
        "learning_rate": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "name": "sgd",
    }
    assert repr(Momentum()) == (
        "Momentum(learning_rate=0.01, momentum=0.9, nesterov=False, name='momentum')"
    )
    with pytest.raises(ValueError) as error:
        optimizers.get("adagard")
    assert str(error.value) == (
        "optimizer: expected one of adagrad, momentum, sgd, got 'adagard' (did you mean 'adagrad'?)"
    )


# ---- optimizers of one's own -------------------------------------------------------------------


class SignMomentum(Optimizer):
    """An optimizer as a user writes it: steps along the sign of a running mean."""

    def update_array(self, w, g, slots, iteration):
        mean = slots.setdefault("mean", np.zeros_like(w))
        mean += 0.5 * (g - mean)
        w -= self.learning_rate / (iteration + 1) * np.sign(mean)


def test_own_optimizer():
    optimizer = SignMomentum(learning_rate=1.0)
    assert optimizer.kernel_name is None and optimizer.name == "sign_momentum"
    a, b = np.zeros(2), np.zeros((1, 1), "f")
    optimizer.update([a, b], [np.array([2.0, -2.0]), np.ones((1, 1))])
    optimizer.update([a, b], [np.array([-1.0, -2.0]), np.ones((1, 1))])
    assert a.tolist() == [-1.0, 1.5] and b.tolist() == [[-1.5]]
    assert optimizer.slots[0]["mean"].tolist() == [0, -1.5]


def test_own_optimizer_on_a_built_in_one():
    class Halved(Momentum):
        def update_array(self, w, g, slots, iteration):
            super().update_array(w, g / 2, slots, iteration)

    class Renamed(Momentum):
        """Changes no formula, so the kernel stays."""

    assert Halved().kernel_name is None and Renamed().kernel_name == "momentum"
    a, b = np.ones(3), np.ones(3)
    for _ in range(3):
        half, plain = Halved(), Momentum()
        half.update([a], [np.full(3, 4.0)])
        plain.update([b], [np.full(3, 2.0)])
    np.testing.assert_array_equal(a, b)


def test_an_unfinished_optimizer():
    with pytest.raises(NotImplementedError, match="Optimizer: an optimizer defines update_array"):
        Optimizer().update([np.ones(1)], [np.ones(1)])
