"""Difference quotients against formulas, built-in gradients against sympy's, and the checker."""

import mpmath
import numpy as np
import pytest
import sympy

import fastnn as fn
from fastnn import activations, gradients, kernels, layers, losses
from fastnn.gradients import check_gradients, hessian, jacobian, numerical_gradient

EPS = np.finfo("float64").eps


@pytest.fixture(autouse=True)
def same_weights():
    """Initial weights are the same in every run."""
    fn.set_random_seed(7)


# ---- differences -----------------------------------------------------------------------------


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def rosenbrock_derivatives(x):
    """The gradient and the Hessian, as sympy derives them."""
    symbols = sympy.symbols("x:2")
    f = rosenbrock(symbols)
    found = [[f.diff(a) for a in symbols], sympy.hessian(f, symbols).tolist()]
    return [np.array(sympy.lambdify(symbols, each)(*x), float) for each in found]


def test_truncation_is_what_the_docstring_says():
    # The quotients of x**3 are 3 x**2 + h**2 and 3 x**2 + 3 x h + h**2; a quotient of numbers of
    # order 1 rounds by some eps / h.
    x, h = np.array([0.7, -1.1]), 0.125
    close = {"rtol": 0, "atol": 50 * EPS / h}
    central = numerical_gradient(lambda x: (x**3).sum(), x, step=h)
    np.testing.assert_allclose(central, 3 * x**2 + h**2, **close)
    forward = numerical_gradient(lambda x: (x**3).sum(), x, "forward", h)
    np.testing.assert_allclose(forward, 3 * x**2 + 3 * x * h + h**2, **close)
    each = numerical_gradient(lambda x: (x**3).sum(), x, step=[h, 2 * h])
    np.testing.assert_allclose(each, 3 * x**2 + np.array([h, 2 * h]) ** 2, **close)


@pytest.mark.parametrize("method, digits", [("central", 1e-9), ("forward", 1e-6)])
def test_default_steps(method, digits):
    x = np.array([0.4, 0.3])
    expected = rosenbrock_derivatives(x)[0]
    error = np.abs(numerical_gradient(rosenbrock, x, method) - expected)
    # 400 bounds the second derivatives, and the third ones are 2400 x: 1200.
    assert error.max() < 1200 * digits
    # Steps grow with the entries: with a step of 1e-5 these would not move at all.
    large = numerical_gradient(lambda x: (x**2).sum() / 2e12, [1e12, -3e12], method)
    np.testing.assert_allclose(large, [1, -3], rtol=0, atol=20 * digits)


def test_hessian():
    x = np.array([0.4, 0.3])
    found = hessian(rosenbrock, x)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found, rosenbrock_derivatives(x)[1], rtol=0, atol=1e-4)
    found = hessian(lambda x: np.exp(np.sin(x).sum()) * x[0], [0.3, 2.7, -5.1])
    np.testing.assert_array_equal(found, found.T)
    matrix = hessian(lambda x: (x**2).sum() * x[0, 1], np.ones((2, 2)))
    assert matrix.shape == (2, 2, 2, 2)
    np.testing.assert_allclose(matrix[0, 1, 0, 1], 6, atol=1e-5)


def test_jacobian_shapes_and_values(rng):
    a = rng.standard_normal((4, 3))
    x = rng.standard_normal((3, 2))
    found = jacobian(lambda x: a @ x, x)
    assert found.shape == (4, 2, 3, 2)
    expected = np.einsum("ik,jl->ijkl", a, np.eye(2))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    # The function may hand out the very array that it got.
    np.testing.assert_allclose(jacobian(lambda x: x, x[0]), np.eye(2), rtol=0, atol=1e-9)
    assert jacobian(lambda x: x**2, 3).shape == ()
    np.testing.assert_allclose(numerical_gradient(lambda x: x * x, 3), 6, rtol=0, atol=1e-8)
    assert numerical_gradient(lambda x: (x @ x)[None], [1, 2]).dtype == np.float64


def test_x_is_not_touched():
    x = np.arange(3.0)
    x.flags.writeable = False

    def greedy(x):
        x *= 2
        return x.sum()

    np.testing.assert_allclose(numerical_gradient(greedy, x), 2, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "call, text",
    [
        (
            lambda: numerical_gradient(lambda x: x, [1.0, 2.0]),
            "output of f: expected one number, got shape (2,)",
        ),
        (
            lambda: numerical_gradient(np.sum, [1.0], "backward"),
            "method: expected one of central, forward, got 'backward'",
        ),
        (
            lambda: numerical_gradient(np.sum, [1.0, 2.0], step=[1.0, 0.0]),
            "step: expected positive numbers, got [1. 0.]",
        ),
        (
            lambda: jacobian(np.sum, [1.0, 2.0], step=[1.0, 1.0, 1.0]),
            "step: expected a number or one for each entry of x (shape (2,)), got shape (3,)",
        ),
        (
            lambda: hessian(np.sum, [1.0, 1e9], step=1e-9),
            "step: expected steps that move x, got 1e-09 at 1000000000.0",
        ),
        (
            lambda: jacobian(lambda x: x[: 1 + int(x[0] < 1)], [1.0, 2.0]),
            "output of f: expected shape (1,), got (2,)",
        ),
        (lambda: gradients.softmax_jacobian(0.5), "p: expected at least 1 axis, got 0 (shape ())"),
        (lambda: gradients.sigmoid_jacobian(0.5), "p: expected at least 1 axis, got 0 (shape ())"),
    ],
)
def test_errors_of_differences(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text


# ---- formulas --------------------------------------------------------------------------------


def test_softmax_jacobian(rng):
    z = rng.standard_normal((2, 5))
    found = gradients.softmax_jacobian(kernels.softmax(z))
    assert found.shape == (2, 5, 5)
    for row, expected in zip(z, found, strict=True):
        np.testing.assert_allclose(jacobian(kernels.softmax, row), expected, rtol=0, atol=1e-9)
    p, dy = kernels.softmax(z[0]), rng.standard_normal(5)
    np.testing.assert_allclose(
        kernels.softmax_gradient(p, dy), dy @ found[0], rtol=0, atol=10 * EPS
    )
    assert gradients.softmax_jacobian(p.astype("float32")).dtype == np.float32


def test_sigmoid_jacobian(rng):
    z = rng.standard_normal(5)
    p = kernels.sigmoid(z)
    found = gradients.sigmoid_jacobian(p)
    np.testing.assert_allclose(jacobian(kernels.sigmoid, z), found, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(np.diag(gradients.sigmoid_derivative(p)), found)
    assert gradients.sigmoid_jacobian(np.full((2, 3), 0.5)).shape == (2, 3, 3)


# ---- built-in gradients against sympy --------------------------------------------------------

X = sympy.Symbol("x", real=True)


def hard_sigmoid(x):
    return sympy.Min(sympy.Max(x / 6 + sympy.Rational(1, 2), 0), 1)


def softplus(x):
    return sympy.log(1 + sympy.exp(x))


def general_relu(x, negative_slope=0, max_value=None, threshold=0):
    above = x if max_value is None else sympy.Min(x, max_value)
    below = negative_slope * (x - threshold)
    return sympy.Piecewise((above, x > threshold), (below, True))


# Each as a function of x and of the activation's parameters.
EXPRESSIONS = {
    "linear": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
    "tanh": lambda x: sympy.tanh(x),
    "relu": general_relu,
    "relu6": lambda x: sympy.Min(sympy.Max(x, 0), 6),
    "leaky_relu": lambda x, negative_slope=0.2: general_relu(x, negative_slope),
    "threshold": lambda x, theta=1: sympy.Piecewise((x, x > theta), (0, True)),
    "step": lambda x: sympy.Piecewise((1, x > 0), (0, True)),
    "elu": lambda x, alpha=1: sympy.Piecewise((x, x > 0), (alpha * (sympy.exp(x) - 1), True)),
    "celu": lambda x, alpha=1: sympy.Piecewise(
        (x, x > 0), (alpha * (sympy.exp(x / alpha) - 1), True)
    ),
    # G. Klambauer et al., Self-normalizing neural networks, 2017.
    "selu": lambda x: (
        sympy.Float("1.0507009873554804934193349852946", 30)
        * sympy.Piecewise(
            (x, x > 0),
            (sympy.Float("1.6732632423543772848170429916717", 30) * (sympy.exp(x) - 1), True),
        )
    ),
    "exponential": lambda x: sympy.exp(x),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + sympy.Abs(x)),
    "log_sigmoid": lambda x: -softplus(-x),
    "silu": lambda x: x / (1 + sympy.exp(-x)),
    "mish": lambda x: x * sympy.tanh(softplus(x)),
    "gelu": lambda x: x * (1 + sympy.erf(x / sympy.sqrt(2))) / 2,
    "gelu_tanh": lambda x: (
        x
        * (1 + sympy.tanh(sympy.sqrt(2 / sympy.pi) * (x + sympy.Float("0.044715", 30) * x**3)))
        / 2
    ),
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": lambda x: x * hard_sigmoid(x),
    "hard_tanh": lambda x: sympy.Min(sympy.Max(x, -1), 1),
}
# No function of one number: their rows have Jacobians, tested above and in test_activations.
OF_ROWS = {"softmax", "log_softmax"}


PARAMETRISED = [
    activations.relu.with_(0.125, 3, 0.5),
    activations.leaky_relu.with_(negative_slope=0.25),
    activations.threshold.with_(theta=0.5),
    activations.elu.with_(alpha=0.5),
    activations.celu.with_(alpha=2),
]


@pytest.mark.parametrize(
    "activation",
    [activations.get(name) for name in sorted(set(activations._ACTIVATIONS) - OF_ROWS)]
    + PARAMETRISED,
    ids=repr,
)
def test_activation_gradient_is_the_derivative(activation, rng):
    expression = EXPRESSIONS[activation.name](X, **activation.parameters)
    derivative = sympy.lambdify(X, expression.diff(X), "mpmath")
    x = rng.uniform(-4, 4, 40)
    dy = rng.standard_normal(40)
    y = activation(x)
    found = activation.gradient(y, dy, x=x if activation.from_input else None)
    with mpmath.workdps(40):
        expected = [float(derivative(mpmath.mpf(float(v)))) for v in x] * dy
    # No slope here is above exp(4); some are differences of numbers of that size.
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * np.exp(4) * EPS)


P = sympy.symbols("p:3", real=True)
T = sympy.symbols("t:3", real=True)
LOGITS_TO = {
    "sigmoid": [1 / (1 + sympy.exp(-p)) for p in P],
    "softmax": [sympy.exp(p) / sum(map(sympy.exp, P)) for p in P],
    "shares": [p / sum(P) for p in P],
    "as they are": P,
}


def binary(p):
    terms = [t * sympy.log(q) + (1 - t) * sympy.log(1 - q) for t, q in zip(T, p, strict=True)]
    return -sum(terms) / 3


def categorical(p):
    return -sum(t * sympy.log(q) for t, q in zip(T, p, strict=True))


@pytest.mark.parametrize(
    "loss, formula, p",
    [
        (
            losses.MeanSquaredError(),
            lambda p: sum((a - t) ** 2 for a, t in zip(p, T, strict=True)) / 3,
            "as they are",
        ),
        (losses.BinaryCrossentropy(), binary, "as they are"),
        (losses.BinaryCrossentropy(from_logits=True), binary, "sigmoid"),
        (losses.CategoricalCrossentropy(), categorical, "shares"),
        (losses.CategoricalCrossentropy(from_logits=True), categorical, "softmax"),
        (losses.SparseCategoricalCrossentropy(), categorical, "shares"),
        (losses.SparseCategoricalCrossentropy(from_logits=True), categorical, "softmax"),
    ],
    ids=lambda value: repr(value) if isinstance(value, losses.Loss) else "",
)
def test_loss_gradient_is_the_derivative(loss, formula, p, rng):
    n = 6
    expression = formula(LOGITS_TO[p])
    derivative = sympy.lambdify((P, T), [expression.diff(q) for q in P], "mpmath")
    pred = rng.uniform(0.1, 0.9, (n, 3))
    labels = rng.integers(0, 3, n)
    targets = np.eye(3)[labels]
    sparse = isinstance(loss, losses.SparseCategoricalCrossentropy)
    found = loss.gradient(labels if sparse else targets, pred)
    expected = [
        [float(value) / n for value in derivative(q.tolist(), t.tolist())]
        for q, t in zip(pred, targets, strict=True)
    ]
    # 1 / p is at most 10, and at most three such terms cancel.
    np.testing.assert_allclose(found, expected, rtol=0, atol=30 * EPS)


# ---- check_gradients -------------------------------------------------------------------------


def data(rng, n=8, features=5, classes=3):
    return rng.standard_normal((n, features)), rng.integers(0, classes, n)


def classifier(*parts, dtype=None):
    model = fn.Sequential([*parts, layers.Dense(3, name="top", dtype=dtype)])
    model.compile(loss=losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def failed(report):
    return [row.name for row in report.rows if not row.passed]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sound_model_passes(dtype, weighted, training, rng):
    x, y = data(rng)
    model = classifier(
        layers.Dense(7, "relu", name="bottom", dtype=dtype),
        layers.Dense(4, "tanh", name="middle", use_bias=False, dtype=dtype),
        dtype=dtype,
    )
    model(x)
    weight = rng.uniform(0.5, 2, len(x)) if weighted else None
    report = check_gradients(model, x.astype(dtype), y, weight, training=training)
    assert report.passed and report
    assert [row.name for row in report.rows] == [
        *("bottom/kernel", "bottom/bias", "middle/kernel", "top/kernel", "top/bias", "x")
    ]
    assert [row.shape for row in report.rows] == [(5, 7), (7,), (7, 4), (4, 3), (3,), (8, 5)]
    assert [row.checked for row in report.rows] == [35, 7, 28, 12, 3, 40]
    # In float64 throughout: float32 would be wrong by 1e-3 at such steps.
    assert max(row.relative_error for row in report.rows) < 1e-7


def test_sample_weight_counts(rng):
    x, y = data(rng)
    model = classifier(layers.Dense(4, "tanh"))
    model(x)
    report = check_gradients(model, x, y, np.zeros(8))
    assert [row.difference for row in report.rows] == [0] * 5


@pytest.mark.parametrize("reduction", ["sum", "none"])
@pytest.mark.parametrize("top", ["linear", "sigmoid", "softmax"])
def test_reductions_and_activations(reduction, top, rng):
    model = fn.Sequential([layers.Dense(3), layers.Activation(top)])
    model.compile(loss=losses.MeanSquaredError(reduction=reduction))
    assert check_gradients(model, rng.standard_normal((4, 5)), rng.standard_normal((4, 3)))
    assert not model.built


class Wrong(layers.Dense):
    """A dense layer whose backward is spoilt."""

    def __init__(self, units, spoil, **kwargs):
        super().__init__(units, **kwargs)
        self.spoil = spoil

    def backward(self, dy):
        dx = super().backward(dy).copy()
        self.spoil(self.gradients, dx)
        return dx


def forget_one_row_of_the_kernel(gradients, dx):
    gradients["kernel"][1] = 0


def nearly_right_bias(gradients, dx):
    gradients["bias"] *= 1 + 1e-4


def mean_for_sum(gradients, dx):
    gradients["bias"] /= 8


def not_a_number(gradients, dx):
    gradients["kernel"][0, 0] = np.nan


def infinite(gradients, dx):
    gradients["bias"][0] = np.inf


def wrong_inputs(gradients, dx):
    dx[:] *= -1


@pytest.mark.parametrize(
    "spoil, names",
    [
        (forget_one_row_of_the_kernel, ["wrong/kernel"]),
        (nearly_right_bias, ["wrong/bias"]),
        (mean_for_sum, ["wrong/bias"]),
        (not_a_number, ["wrong/kernel"]),
        (infinite, ["wrong/bias"]),
        (wrong_inputs, ["bottom/kernel", "bottom/bias", "x"]),
    ],
)
def test_broken_gradient_is_named(spoil, names, rng):
    x, y = data(rng)
    model = classifier(
        layers.Dense(6, "relu", name="bottom"), Wrong(4, spoil, activation="tanh", name="wrong")
    )
    report = check_gradients(model, x, y)
    assert failed(report) == names
    assert not report.passed and not report
    for line in str(report).splitlines()[2:]:
        assert line.endswith("FAILED" if line.split()[0] in names else "passed")


def test_nothing_changes(rng):
    x, y = data(rng)
    model = classifier(layers.Dense(4, "relu"), Noise())
    model.compile("sgd", loss=model.loss)
    model.fit(x, y, verbose=0)
    dy = rng.standard_normal((8, 3)).astype("float32")
    model(x)
    expected = model.backward(dy)
    held = [(layer, name, array) for layer in model.layers for name, array in layer.weights.items()]
    values = [array.copy() for _, _, array in held]
    found = [layer.gradients for layer in model.layers]
    copies = [dict(each) for each in found]
    numbers = fn._random.generator().bit_generator.state
    before = x.copy(), y.copy()
    assert check_gradients(model, x, y)
    np.testing.assert_array_equal((x, y[:, None] + 0 * x), (before[0], before[1][:, None] + 0 * x))
    for (layer, name, array), value in zip(held, values, strict=True):
        assert layer.weights[name] is array and array.dtype == np.float32
        np.testing.assert_array_equal(array, value)
    for layer, each, was in zip(model.layers, found, copies, strict=True):
        assert layer.gradients is each and each == was and layer.dtype == "float32"
    assert fn._random.generator().bit_generator.state["state"]["counter"].tolist() == (
        numbers["state"]["counter"].tolist()
    )
    np.testing.assert_array_equal(model.backward(dy), expected)  # it still knows its last forward


class Noise(layers.Layer):
    """Dropout as a user writes it, from the library's generator or from one of its own."""

    def __init__(self, own=False):
        super().__init__()
        self.numbers = np.random.default_rng(5) if own else None

    def forward(self, x, training=False):
        self.mask = np.ones_like(x)
        if training:
            numbers = fn._random.generator() if self.numbers is None else self.numbers
            self.mask = 2 * (numbers.random(x.shape) < 0.5).astype(x.dtype)
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


class Centred(layers.Layer):
    """Subtracts the batch's mean in training, and a mean of such means in inference."""

    def build(self, features):
        self.mean = np.zeros(features)

    def forward(self, x, training=False):
        self.training = training
        if not training:
            return x - self.mean.astype(x.dtype)
        mean = x.mean(axis=0)
        self.mean += (mean - self.mean) / 2
        return x - mean

    def backward(self, dy):
        return dy - dy.mean(axis=0) if self.training else dy


class Residual(layers.Layer):
    """A layer made of layers, whose weights are its own."""

    def build(self, features):
        self.parts = [layers.Dense(4, "tanh"), layers.Dense(features)]
        for part, width in zip(self.parts, (features, 4), strict=True):
            part.build(width)
        self._collect("weights")

    def _collect(self, what):
        for i, part in enumerate(self.parts):
            for name, array in getattr(part, what).items():
                getattr(self, what)[f"{i}.{name}"] = array

    def forward(self, x, training=False):
        return x + self.parts[1].forward(self.parts[0].forward(x))

    def backward(self, dy):
        dx = dy + self.parts[0].backward(self.parts[1].backward(dy))
        self._collect("gradients")
        return dx


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("make", [Noise, lambda: Noise(own=True), Centred, Residual])
def test_layers_of_ones_own(make, training, rng):
    x, y = data(rng)
    model = classifier(layers.Dense(6, name="bottom"), make())
    model(x)
    assert failed(check_gradients(model, x, y, training=training)) == []


def test_training_and_inference_are_told_apart(rng):
    class OnlyInference(Centred):
        def backward(self, dy):
            return dy

    x, y = data(rng)
    model = classifier(OnlyInference())
    assert failed(check_gradients(model, x, y)) == ["x"]
    assert check_gradients(model, x, y, training=False)


# ---- kinks -----------------------------------------------------------------------------------


H = EPS ** (1 / 3)  # the default step


class Curve:
    """An activation of one's choice, by its formula and its slope."""

    def __init__(self, f, slope):
        self.f, self.slope = f, slope

    def __call__(self, x):
        self.x = x
        return self.f(x)

    def gradient(self, y, dy):
        return dy * self.slope(self.x)


def relu(x):
    return np.maximum(x, 0)


class Itself(losses.Loss):
    """A loss that is the prediction."""

    def call(self, y_true, y_pred):
        return y_pred[:, 0]

    def call_gradient(self, y_true, y_pred):
        return np.ones_like(y_pred)


def check_at(point, activation, weight=0.0):
    """Check the derivative of ``act(weight + bias)`` with respect to the bias, at `point`."""
    model = fn.Sequential([layers.Dense(1, activation, name="unit", dtype="float64")])
    model.build(1)
    model.set_weights([np.array([[weight]]), np.array([float(point)])])
    model.compile(loss=Itself())
    report = check_gradients(model, [[1.0]], [[0.0]])
    return {row.name: row for row in report.rows}["unit/bias"]


@pytest.mark.parametrize("slope", [0, 0.25, 0.5, 0.9, 1])
def test_any_slope_between_is_right_on_a_kink(slope):
    row = check_at(0, Curve(relu, lambda x: np.where(x == 0, slope, x > 0)))
    assert row.passed and row.difference < 1e-7
    assert row.retried == int(slope != 0.5)  # which is the mean, as it happens


@pytest.mark.parametrize("slope", [-1e-5, 1 + 1e-5])
def test_no_other_slope_is(slope):
    row = check_at(0, Curve(relu, lambda x: np.where(x == 0, slope, x > 0)))
    assert not row.passed and row.retried == 1
    assert row.difference == pytest.approx(1e-5, rel=0.01)


@pytest.mark.parametrize("distance", [-0.7, -0.05, -0.008, -0.004, 0.004, 0.008, 0.05, 0.7])
def test_near_a_kink_one_slope_is_right(distance):
    row = check_at(distance * H, activations.relu)
    assert row.passed and row.retried == 1
    for wrong in (-0.1, 1.1, 0.5)[: 3 if abs(distance) > 0.01 else 2]:
        row = check_at(distance * H, Curve(relu, lambda x, wrong=wrong: np.full_like(x, wrong)))
        assert not row.passed


def test_kinks_on_both_sides_are_left_behind():
    row = check_at(0, Curve(lambda x: np.clip(x, -0.3 * H, 0.4 * H), np.ones_like))
    assert row.passed and row.retried == 1


def test_kink_beside_a_strong_curve():
    # Over a hundredth of a step, the slopes to each side of 0 are 3e-5 off.
    curve = Curve(lambda x: 500 * x**2 + 10 * relu(x - H / 2), lambda x: 1000 * x)
    row = check_at(0, curve)
    assert row.passed and row.retried == 1


def test_strong_curve_excuses_nothing():
    # The slopes to both sides differ by more than this is wrong, but there is no kink.
    assert check_at(1e-3, Curve(lambda x: 500 * x**2, lambda x: 1000 * x)).passed
    assert not check_at(1e-3, Curve(lambda x: 500 * x**2, lambda x: 1000 * x * (1 + 2e-5))).passed


def test_relu_of_data_with_zeros(rng):
    x, y = data(rng)
    x[:4] = 0  # biases are zeros: every unit is on its kink for these rows
    report = check_gradients(classifier(layers.Dense(6, "relu", name="bottom")), x, y)
    assert "bottom/bias" not in failed(report)
    assert {row.name: row.retried for row in report.rows}["bottom/bias"] == 6


# ---- the report ------------------------------------------------------------------------------


def test_report_is_a_table():
    report = gradients.GradientReport(
        (
            gradients.GradientRow("dense/kernel", (64, 10), 64, 2, 3.14e-11, 2.7e-10, True),
            gradients.GradientRow("x", (8, 64), 64, 0, 0.5, 1.0, False),
        )
    )
    assert str(report).splitlines() == [
        "parameter     shape     checked  retried  difference  relative  verdict",
        "-----------------------------------------------------------------------",
        "dense/kernel  (64, 10)       64        2     3.1e-11   2.7e-10  passed",
        "x             (8, 64)        64        0     5.0e-01   1.0e+00  FAILED",
    ]


def test_max_entries(rng):
    x, y = data(rng)
    model = classifier(layers.Dense(30, name="bottom"))
    model(x)
    few = check_gradients(model, x, y, max_entries=10)
    assert [row.checked for row in few.rows] == [10, 10, 10, 3, 10]
    fn._random.generator().random()
    assert few == check_gradients(model, x, y, max_entries=10)
    everything = check_gradients(model, x, y, max_entries=None)
    assert [row.checked for row in everything.rows] == [150, 30, 90, 3, 40]
    assert everything.rows[0].difference >= few.rows[0].difference


def test_step_and_tolerance(rng):
    x, y = data(rng)
    model = classifier(layers.Dense(4, "tanh"))
    model(x)
    fine, coarse = (check_gradients(model, x, y, step=step) for step in (None, 0.03))
    # Too long a step is made up for by shorter ones; a generous tolerance needs none.
    assert fine and coarse
    assert [row.retried for row in fine.rows] == [0] * 5
    assert [row.retried for row in coarse.rows][0] > 10
    coarse = check_gradients(model, x, y, step=0.03, tolerance=0.01)
    assert coarse.rows[0].retried == 0
    assert coarse.rows[0].difference > 1e3 * fine.rows[0].difference


@pytest.mark.parametrize("step", [0.1, 1e-3, 1e-8])
def test_a_poor_step_hides_nothing(step, rng):
    x, y = data(rng)
    model = classifier(Wrong(4, nearly_right_bias, activation="tanh", name="wrong"))
    assert failed(check_gradients(model, x, y, step=step)) == ["wrong/bias"]


def test_pictures(rng):
    model = fn.Sequential([fn.Input((2, 3)), layers.Flatten(), layers.Dense(2, "tanh")])
    model.compile(loss="mse")
    report = check_gradients(model, rng.random((4, 2, 3)), rng.random((4, 2)))
    assert report.passed and [row.shape for row in report.rows] == [(6, 2), (2,), (4, 6)]


def test_a_loss_that_is_not_finite_fails():
    row = check_at(0, activations.linear, weight=np.inf)
    assert not row.passed and np.isnan(row.difference)


@pytest.mark.parametrize(
    "change, kind, text",
    [
        ({"model": 3}, TypeError, "model: expected a Sequential, got int"),
        ({"x": np.ones((8, 4))}, ValueError, "x: expected 5 features, got 4 (shape (8, 4))"),
        ({"y": np.full(8, 3)}, ValueError, "y: expected labels in [0, 3), got 3 at row 0"),
        (
            {"sample_weight": np.ones(7)},
            ValueError,
            "sample_weight: expected shape (8,), got (7,)",
        ),
        ({"step": 0}, ValueError, "step: expected a positive number, got 0"),
        ({"tolerance": -1}, ValueError, "tolerance: expected a positive number, got -1"),
        ({"max_entries": 0}, ValueError, "max_entries: expected a positive integer, got 0"),
        ({"training": 1}, TypeError, "training: expected True or False, got 1"),
        (
            {"model": fn.Sequential([layers.Dense(3)])},
            ValueError,
            "check_gradients: expected a model with a loss; call compile(...)",
        ),
    ],
)
def test_errors(change, kind, text, rng):
    x, y = data(rng)
    model = classifier()
    model(x)
    with pytest.raises(kind) as error:
        check_gradients(**{"model": model, "x": x, "y": y} | change)
    assert str(error.value) == text
