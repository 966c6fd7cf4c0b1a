"""The NumPy twins: the kernels' signatures, the formulas' values, gradients by differences."""

import inspect

import numpy as np
import pytest
import scipy.special

from fastnn import kernels, reference


def functions(module):
    return {
        name: f
        for name, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__ and name[0] != "_"
    }


def test_kernels_and_reference_have_the_same_functions():
    assert functions(kernels).keys() == functions(reference).keys()


@pytest.mark.parametrize("name", sorted(functions(reference)))
def test_signatures_agree(name):
    kernel, twin = functions(kernels)[name], functions(reference)[name]
    assert inspect.signature(kernel) == inspect.signature(twin)
    assert kernel.__name__ == twin.__name__ == name
    assert kernel.__doc__ and twin.__doc__


# ---- gradients ---------------------------------------------------------------------------------


def central_differences(function, x, step=1e-5):
    """Return d function / d x for a scalar function of an array, by central differences."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[i] += step
        behind[i] -= step
        gradient[i] = (function(ahead) - function(behind)) / (2 * step)
    return gradient


def assert_same_gradient(got, function, x):
    # Rounding of order eps / step = 2e-11 and truncation of order step**2 = 1e-10, times some.
    np.testing.assert_allclose(got, central_differences(function, x), rtol=0, atol=1e-8)


def off_the_kinks(x):
    """Move numbers away from where a derivative jumps, in place."""
    for kink in (0, 1, -1, 3, -3, 6):
        x[np.abs(x - kink) < 0.01] = kink + 0.5


@pytest.mark.parametrize("name", reference._ACTIVATIONS)
def test_activation_gradient(name, rng):
    x, dy = rng.standard_normal((2, 3, 5))
    off_the_kinks(x)
    saved = x if name in kernels.FROM_INPUT else reference.activate(name, x)
    got = reference.activate_gradient(name, saved, dy)
    assert_same_gradient(got, lambda x: (reference.activate(name, x) * dy).sum(), x)


@pytest.mark.parametrize("name", [None, *reference._ACTIVATIONS])
def test_dense_backward(name, rng):
    x, kernel, bias = rng.standard_normal((4, 3)), rng.standard_normal((3, 5)), np.full(5, 0.3)
    dy = rng.standard_normal((4, 5))
    y = reference.dense_forward(x, kernel, bias, None if name in kernels.FROM_INPUT else name)

    def score(x, kernel, bias):
        return (reference.dense_forward(x, kernel, bias, name) * dy).sum()

    dx, dkernel, dbias = reference.dense_backward(x, kernel, y, dy, name)
    assert_same_gradient(dx, lambda v: score(v, kernel, bias), x)
    assert_same_gradient(dkernel, lambda v: score(x, v, bias), kernel)
    assert_same_gradient(dbias, lambda v: score(x, kernel, v), bias)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "loss, targets",
    [
        ("softmax_crossentropy", np.array([4, 0, 2])),
        ("softmax_crossentropy", np.linspace(0, 1, 15).reshape(3, 5)),  # rows not summing to one
        ("mean_squared_error", np.linspace(-2, 2, 15).reshape(3, 5)),
        ("binary_crossentropy", np.linspace(0, 1, 15).reshape(3, 5)),
    ],
)
def test_loss_gradient(loss, targets, weighted, rng):
    weight = rng.uniform(0.5, 2, 3) if weighted else None
    function, x = getattr(reference, loss), rng.standard_normal((3, 5))

    def score(x):
        losses = function(x, targets)[0]
        return (losses if weight is None else weight * losses).mean()

    assert_same_gradient(function(x, targets, weight)[1], score, x)


# ---- values, against independent writings of the same ------------------------------------------


def test_values_against_scipy(rng):
    x = 20 * rng.standard_normal((50, 7))
    labels, t = rng.integers(0, 7, 50), rng.uniform(size=(50, 7))
    log_p = scipy.special.log_softmax(x, axis=1)
    rows = np.arange(50)
    expected = [
        (reference.sigmoid(x), scipy.special.expit(x)),
        (reference.softmax(x), scipy.special.softmax(x, axis=1)),
        (reference.log_softmax(x), log_p),
        (reference.softmax_crossentropy(x, labels)[0], -log_p[rows, labels]),
        (reference.softmax_crossentropy(x, t)[0], -(t * log_p).sum(axis=1)),
        (
            reference.binary_crossentropy(x, t)[0],
            -(t * scipy.special.log_expit(x) + (1 - t) * scipy.special.log_expit(-x)).mean(axis=1),
        ),
        (reference.mean_squared_error(x, t)[0], ((x - t) ** 2).sum(axis=1) / 7),
        (reference.matmul(x, t, transpose_a=True), np.einsum("nk,nm->km", x, t)),
        (reference.matmul(x, t, transpose_b=True), np.einsum("nk,mk->nm", x, t)),
        (reference.column_sum(x), np.einsum("nm->m", x)),
    ]
    for got, wanted in expected:
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_finite_logits_give_finite_losses(dtype):
    most = np.finfo(dtype).max
    logits = np.array([[most, -most, 0], [-most, -most, most], [0, 0, 0]], dtype)
    for label in range(3):
        losses, gradient = reference.softmax_crossentropy(logits, np.full(3, label))
        assert np.isfinite(losses).all() and np.isfinite(gradient).all()


def test_updates_by_hand():
    g = np.array([2.0, -4.0])
    w = np.array([1.0, 1.0])
    reference.sgd_update(w, g, 0.5)
    assert w.tolist() == [0, 3]

    w, velocity = np.array([1.0, 1.0]), np.array([1.0, -1.0])
    reference.momentum_update(w, g, velocity, 0.5, 0.5)
    assert velocity.tolist() == [-0.5, 1.5] and w.tolist() == [0.5, 2.5]

    w, velocity = np.array([1.0, 1.0]), np.array([1.0, -1.0])
    reference.momentum_update(w, g, velocity, 0.5, 0.5, nesterov=True)
    assert velocity.tolist() == [-0.5, 1.5] and w.tolist() == [-0.25, 3.75]

    w, accumulator = np.array([1.0, 1.0]), np.array([11.0, 8.0])
    reference.adagrad_update(w, g, accumulator, 0.5, epsilon=1)
    assert accumulator.tolist() == [15, 24] and w.tolist() == [0.75, 1.4]


def test_dtype_rule_and_out(rng):
    x = rng.standard_normal((3, 4))
    assert reference.tanh(x.astype("f")).dtype == np.float32
    assert reference.tanh(np.arange(3)).dtype == np.float32
    assert reference.tanh(x.astype(">f8")).dtype == np.float64
    assert reference.matmul(x.astype("f"), x, transpose_b=True).dtype == np.float64
    out = np.empty_like(x)
    assert reference.softmax(x, out) is out
    np.testing.assert_array_equal(out, reference.softmax(x))
