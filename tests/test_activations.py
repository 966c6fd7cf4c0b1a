"""Activations: values against SciPy, mpmath and Keras, gradients by differences and by SymPy."""

import mpmath
import numpy as np
import pytest
import scipy.special
import sympy

import fastnn as fn
from fastnn import activations, kernels, layers

SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772
EXPECTED = {
    "linear": lambda x: x,
    "sigmoid": scipy.special.expit,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: SCALE * np.where(x > 0, x, ALPHA * np.expm1(x)),
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * scipy.special.expit(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": np.exp,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "log_sigmoid": scipy.special.log_expit,
    "threshold": lambda x: np.where(x > 1, x, 0),
    "step": lambda x: np.heaviside(x, 0),
    "softmax": lambda x: scipy.special.softmax(x, axis=-1),
    "log_softmax": lambda x: scipy.special.log_softmax(x, axis=-1),
}
ELEMENTWISE = [name for name in EXPECTED if "softmax" not in name]
WITH_PARAMETERS = [
    activations.relu.with_(0.1, 2.0, 0.5),
    activations.relu.with_(max_value=1.5),
    activations.leaky_relu.with_(0.01),
    activations.elu.with_(alpha=1.5),
    activations.celu.with_(alpha=0.5),
    activations.threshold.with_(theta=0.25),
    activations.gelu.with_(approximate=True),
]
KINKS = (0, 0.25, 0.5, 1, -1, 1.5, 2, 3, -3, 6)
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def test_there_are_no_others():
    others = {"Activation", "Differentiable", "get", "swish", "hard_swish"}
    assert EXPECTED.keys() == set(activations.__all__) - others
    assert list(kernels._ACTIVATIONS) == list(EXPECTED)


@both_dtypes
@pytest.mark.parametrize("name", EXPECTED)
def test_values(name, dtype, rng):
    x = (3 * rng.standard_normal((4, 3, 17))).astype(dtype)
    y = getattr(activations, name)(x)
    assert y.dtype == dtype
    # The rows of log_softmax reach -20; no other output but the exponential passes the inputs' 15.
    eps = np.finfo(dtype).eps
    rtol = 10 * eps if name == "exponential" else 0
    np.testing.assert_allclose(y, EXPECTED[name](x.astype("float64")), rtol=rtol, atol=100 * eps)


# Keras 3.15 on JAX, float32.
X = [-7.5, -3, -1.3, -0.2, 0.4, 1.1, 3.5, 7]
KERAS = {
    "elu": [-0.9994469, -0.950213, -0.7274682, -0.1812692, 0.4, 1.1, 3.5, 7.0],
    "selu": [-1.757127, -1.670569, -1.278961, -0.3186893, 0.4202804, 1.155771, 3.677454, 7.354907],
    "gelu": [-2.393169e-13, -0.004049696, -0.1258407, -0.08414806, 0.2621687, 0.9507673,
             3.499186, 7.0],
    "gelu_tanh": [0, -0.003637344, -0.126071, -0.08414858, 0.2621612, 0.9505811, 3.499384, 7.0],
    "silu": [-0.004145839, -0.1422776, -0.2784145, -0.0900332, 0.2394751, 0.8252861, 3.397407,
             6.993623],
    "mish": [-0.004146985, -0.1456475, -0.3073824, -0.1071448, 0.2890306, 0.9708416, 3.493991,
             6.999989],
    "hard_silu": [0, 0, -0.3683334, -0.09333333, 0.2266667, 0.7516667, 3.5, 7.0],
    "leaky_relu": [-1.5, -0.6, -0.26, -0.04, 0.4, 1.1, 3.5, 7.0],
}  # fmt: skip


@pytest.mark.parametrize("name", KERAS)
def test_figures_of_keras(name):
    np.testing.assert_allclose(getattr(activations, name)(X), KERAS[name], rtol=1e-6, atol=2e-7)


def test_figures_of_keras_with_parameters():
    y = activations.relu(X, negative_slope=0.1, max_value=3.0, threshold=0.5)
    np.testing.assert_allclose(y, [-0.8, -0.35, -0.18, -0.07, -0.01, 1.1, 3, 3], rtol=1e-6)
    y = activations.celu(X, alpha=0.5)
    wanted = [-0.4999999, -0.4987606, -0.4628632, -0.1648399, 0.4, 1.1, 3.5, 7.0]
    np.testing.assert_allclose(y, wanted, rtol=1e-6)
    np.testing.assert_array_equal(activations.gelu(X, True), activations.gelu_tanh(X))
    np.testing.assert_array_equal(activations.relu(X, 0.2), activations.leaky_relu(X))


@pytest.mark.parametrize("activation", [activations.softmax, activations.log_softmax], ids=str)
def test_axis_of_scripts(activation):
    x = np.arange(12.0).reshape(3, 4)
    for axis in (-1, 1):
        np.testing.assert_array_equal(activation(x, axis=axis), activation(x))
        assert activation.with_(axis=axis) is activation
    assert activation.kernel_name == activation.name
    np.testing.assert_array_equal(activation(x[None], axis=-1), activation(x)[None])
    with pytest.raises(ValueError) as error:
        activation(x, axis=0)
    assert str(error.value) == "axis: expected the last axis, -1 or 1, got 0"
    with pytest.raises(ValueError) as error:
        activation(x[None], axis=1)
    assert str(error.value) == "axis: expected the last axis, got 1 (shape (1, 3, 4))"


def off_the_kinks(x):
    for kink in KINKS:
        x[np.abs(x - kink) < 0.01] = kink + 0.1
    return x


@pytest.mark.parametrize("activation", [*EXPECTED, *WITH_PARAMETERS], ids=str)
def test_gradient(activation, rng):
    activation = activations.get(activation)
    x, dy = rng.standard_normal((2, 3, 9))
    x = off_the_kinks(2 * x)
    got = activation.gradient(activation(x), dy, x=x)
    step = 1e-5
    expected = np.empty_like(x)
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = step
        expected[i] = ((activation(x + d) - activation(x - d)) * dy).sum() / (2 * step)
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8)


T = sympy.symbols("x", real=True)
SMOOTH = {
    "sigmoid": 1 / (1 + sympy.exp(-T)),
    "elu": sympy.exp(T) - 1,
    "selu": sympy.Float(str(SCALE * ALPHA), 30) * (sympy.exp(T) - 1),
    "celu": sympy.exp(T) - 1,
    "gelu": T * (1 + sympy.erf(T / sympy.sqrt(2))) / 2,
    "gelu_tanh": T
    / (1 + sympy.exp(-sympy.sqrt(8 / sympy.pi) * (T + sympy.Rational(44715, 10**6) * T**3))),
    "silu": T / (1 + sympy.exp(-T)),
    "mish": T * sympy.tanh(sympy.log(1 + sympy.exp(T))),
    "softplus": sympy.log(1 + sympy.exp(T)),
    "log_sigmoid": -sympy.log(1 + sympy.exp(-T)),
    "softsign": T / (1 + sympy.sqrt(T**2)),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_by_sympy(name, rng):
    below = name in ("elu", "selu", "celu")
    x = rng.uniform(-9, 0 if below else 9, 200)
    derivative = sympy.lambdify(T, sympy.diff(SMOOTH[name], T), "mpmath")
    with mpmath.workdps(40):
        exact = np.array([float(derivative(mpmath.mpf(value))) for value in x])
    activation = activations.get(name)
    got = activation.gradient(activation(x), np.ones_like(x), x=x)
    eps = np.finfo(np.float64).eps
    np.testing.assert_allclose(got, exact, rtol=0, atol=8 * eps)
    if name in ("gelu", "softplus", "softsign"):  # relatively too, where it is small
        far = x[x < -2]
        exact = exact[x < -2]
        got = activation.gradient(activation(far), np.ones_like(far), x=far)
        np.testing.assert_allclose(got, exact, rtol=64 * eps, atol=eps / 16)


# ---- accuracy ----------------------------------------------------------------------------------

EXACT = {
    "elu": mpmath.expm1,
    "celu": mpmath.expm1,
    "selu": lambda x: mpmath.mpf(SCALE) * mpmath.mpf(ALPHA) * mpmath.expm1(x),
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "gelu_tanh": lambda x: x / (1 + mpmath.exp(-mpmath.sqrt(8 / mpmath.pi)
                                               * (x + mpmath.mpf("0.044715") * x**3))),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "hard_silu": lambda x: x * min(max(x + 3, 0), 6) / 6,
}  # fmt: skip
ULP_BOUNDS = {
    "elu": 1,
    "celu": 1,
    "selu": 2,
    "gelu": 4,
    "gelu_tanh": 2.5,
    "silu": 2.5,
    "mish": 3.5,
    "softplus": 2,
    "log_sigmoid": 2,
    "softsign": 2,
    "hard_silu": 2,
}


@both_dtypes
@pytest.mark.parametrize("name", EXACT)
def test_ulp_bounds(name, dtype, rng):
    if fn.show_config()["arch"] not in ("v3", "v4"):
        pytest.skip("the bounds are those of builds with fused multiply-add")
    far = 12 if dtype == "float32" else 36
    x = np.concatenate([rng.uniform(-5, 5, 1500), rng.uniform(-far, far, 1500)])
    x = np.concatenate([x, 10 ** rng.uniform(-30, 0, 300) * rng.choice([-1, 1], 300)])
    if name in ("elu", "celu", "selu"):
        x = -np.abs(x)
    if name == "gelu_tanh":
        x = x[x > -0.5]  # beyond, the rounding of its argument shows in its tail
    x = x.astype(dtype)
    y = getattr(activations, name)(x)
    with mpmath.workdps(40):
        exact = [EXACT[name](mpmath.mpf(float(value))) for value in x]
        ulp = [float(np.spacing(abs(y.dtype.type(value)))) for value in exact]
        error = [
            float(abs(mpmath.mpf(float(got)) - value) / one)
            for got, value, one in zip(y, exact, ulp, strict=True)
        ]
    worst = int(np.argmax(error))
    assert error[worst] <= ULP_BOUNDS[name], f"{error[worst]} ULP at {x[worst]!r}"


@both_dtypes
def test_the_tail_of_gelu(dtype):
    # Its smallest values: the last before 0 are subnormal.
    for x in (-5.0, -10.0, -12.5, *((-30.0, -37.0) if dtype == "float64" else ())):
        with mpmath.workdps(40):
            exact = float(EXACT["gelu"](mpmath.mpf(x)))
        y = activations.gelu(np.full(3, x, dtype))
        np.testing.assert_allclose(y, exact, rtol=4 * np.finfo(dtype).eps)
    assert (activations.gelu(np.array([-14 if dtype == "float32" else -38.4], dtype)) < 0).all()


# ---- the ends ----------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("activation", [*ELEMENTWISE, *WITH_PARAMETERS], ids=str)
def test_finite_for_all_finite_inputs(activation, dtype):
    activation = activations.get(activation)
    info = np.finfo(dtype)
    ends = np.array([info.max, 1e30, 1e10, 1e4, 1000, 700, 100, 89, 40, 20, 3, 1, 1e-10, info.tiny])
    x = np.concatenate([ends, -ends, [0, -0.0, info.smallest_subnormal]]).astype(dtype)
    if activation.name == "exponential":
        x = x[x < 88]
    if activation.name == "selu":  # steeper than 1
        x = np.minimum(x, info.max / 2)
    y = activation(x)
    dx = activation.gradient(y, np.ones_like(x), x=x)
    assert np.isfinite(y).all() and np.isfinite(dx).all()
    if activation.name not in ("exponential", "step", "threshold"):
        x = np.sort(x)
        # No value is further from the last than the steepest slope allows: no jump, no wrong limit.
        wide = x.astype(np.longdouble)
        steps = np.abs(np.diff(activation(x).astype(np.longdouble)))
        assert (steps <= 1.8 * np.diff(wide) + 8 * info.eps * np.abs(wide[1:])).all()


LIMITS = {  # at -inf and inf, of the function and of its derivative
    "relu": (0, np.inf, 0, 1),
    "relu6": (0, 6, 0, 0),
    "leaky_relu": (-np.inf, np.inf, 0.2, 1),
    "elu": (-1, np.inf, 0, 1),
    "selu": (-SCALE * ALPHA, np.inf, 0, SCALE),
    "celu": (-1, np.inf, 0, 1),
    "gelu": (0, np.inf, 0, 1),
    "gelu_tanh": (0, np.inf, 0, 1),
    "silu": (0, np.inf, 0, 1),
    "mish": (0, np.inf, 0, 1),
    "softplus": (0, np.inf, 0, 1),
    "softsign": (-1, 1, 0, 0),
    "exponential": (0, np.inf, 0, np.inf),
    "hard_sigmoid": (0, 1, 0, 0),
    "hard_silu": (0, np.inf, 0, 1),
    "hard_tanh": (-1, 1, 0, 0),
    "log_sigmoid": (-np.inf, 0, 1, 0),
    "threshold": (0, np.inf, 0, 1),
    "step": (0, 1, 0, 0),
}


@both_dtypes
@pytest.mark.parametrize("name", LIMITS)
def test_limits_and_nan(name, dtype):
    activation = activations.get(name)
    for lane in range(19):
        x = np.ones(19, dtype)
        expected = LIMITS[name]
        for value, y, slope in ((-np.inf, *expected[::2]), (np.inf, *expected[1::2])):
            x[lane] = value
            got = activation(x)
            dx = activation.gradient(got, np.ones_like(x), x=x)
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose([got[lane], dx[lane]], [y, slope], rtol=eps, atol=eps)
            assert np.isfinite(np.delete(got, lane)).all()
        x[lane] = np.nan
        got = activation(x)
        dx = activation.gradient(got, np.ones_like(x), x=x)
        assert np.isnan(got[lane]) and np.isnan(dx[lane])
        assert np.isfinite(np.delete(dx, lane)).all()
        ones = np.ones_like(x)
        dx = activation.gradient(activation(ones), x, x=ones)
        if name not in ("step", "hard_tanh", "threshold"):  # whose slope at 1 is a plain 0
            assert np.isnan(dx[lane])


def test_the_step_at_zero():
    x = np.array([-1, -0.0, 0, 1e-45, 2], "f")
    assert activations.step(x).tolist() == [0, 0, 0, 1, 1]
    assert not activations.step.gradient(activations.step(x), x).any()
    assert "gradient is 0 everywhere" in activations.step.__doc__


# ---- parameters --------------------------------------------------------------------------------


def test_parameters():
    leaky = activations.leaky_relu.with_(0.1)
    assert repr(leaky) == "activations.leaky_relu.with_(negative_slope=0.1)"
    assert leaky.parameters == {"negative_slope": 0.1} and leaky.kernel_name == "leaky_relu"
    assert leaky.numbers == (0.1, np.inf, 0)
    assert activations.relu.numbers == () and activations.relu6.numbers == (0, 6, 0)
    x = np.array([-2.0, 3.0])
    np.testing.assert_array_equal(leaky(x), activations.leaky_relu(x, negative_slope=0.1))
    assert leaky(x).tolist() == [-0.2, 3]
    assert leaky(x, negative_slope=0.5).tolist() == [-1, 3]
    both = activations.relu.with_(max_value=2).with_(threshold=1)
    assert both.parameters == {"max_value": 2, "threshold": 1}
    assert both([-1, 1, 1.5, 3]).tolist() == [0, 0, 1.5, 2]
    assert activations.relu.with_(0.0).parameters == {}
    assert activations.gelu.with_(approximate=True) is activations.gelu_tanh
    assert activations.gelu.with_() is activations.gelu
    out = np.empty(2)
    assert activations.elu(x, 2.0, out=out) is out and leaky(x, out=out) is out
    np.testing.assert_array_equal(out, leaky(x))


@pytest.mark.parametrize("activation", WITH_PARAMETERS, ids=str)
def test_config_of_parameters(activation):
    again = activations.get(activation.identifier())
    assert type(again) is type(activation)
    assert again.get_config() == activation.get_config() and again.numbers == activation.numbers
    assert activations.Activation.from_config(activation.get_config()).numbers == again.numbers
    layer = layers.Dense(3, activation)
    assert layers.Dense.from_config(layer.get_config()).get_config() == layer.get_config()


def test_get_takes_a_dict():
    found = activations.get({"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}})
    assert found.identifier() == {"class_name": "leaky_relu", "config": {"negative_slope": 0.1}}
    with pytest.raises(ValueError, match="negative_slope: expected a non-negative number, got -1"):
        activations.get({"class_name": "leaky_relu", "config": {"negative_slope": -1}})
    with pytest.raises(ValueError, match="activation: expected one of linear"):
        activations.get({"class_name": "leaky", "config": {}})


@pytest.mark.parametrize("call, kind, text", [
    (lambda: activations.leaky_relu(1.0, slope=2), TypeError,
     "leaky_relu: got an unexpected keyword argument 'slope'"),
    (lambda: activations.tanh(1.0, 2), TypeError, "tanh: too many positional arguments"),
    (lambda: activations.tanh.with_(alpha=2), TypeError,
     "tanh: got an unexpected keyword argument 'alpha'"),
    (lambda: activations.elu.with_(alpha=np.inf), ValueError,
     "alpha: expected a non-negative number, got inf"),
    (lambda: activations.celu(1.0, alpha=1e-40), ValueError,
     "alpha: expected a number from 1e-30 to 1e30, got 1e-40"),
    (lambda: activations.gelu(1.0, approximate=1), TypeError,
     "approximate: expected True or False, got 1"),
    (lambda: activations.relu.with_(max_value=-1), ValueError,
     "max_value: expected a non-negative number, got -1"),
    (lambda: activations.gelu.gradient(1.0, 1.0), TypeError,
     "x: expected the input of gelu, got None"),
])  # fmt: skip
def test_errors(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text


def test_from_input():
    named = [name for name in EXPECTED if activations.get(name).from_input]
    assert named == ["gelu", "gelu_tanh", "silu", "mish", "softsign", "hard_silu"]
    x = np.array([-1.0, 2.0])
    for name in named:  # the output is not looked at
        activation = activations.get(name)
        dx = activation.gradient(None, x, x=x)
        np.testing.assert_array_equal(dx, getattr(kernels, f"{name}_gradient")(x, x))
        assert "computed from the input" in activation.__doc__


def test_docstrings():
    for name in EXPECTED:
        activation = getattr(activations, name)
        assert activation.__doc__ and activation.__doc__.endswith((".", ",")), name
        assert activation.__doc__ != activations.Activation.__doc__


def test_out(rng):
    x = rng.standard_normal((3, 4))
    out = np.empty_like(x)
    assert activations.tanh(x, out=out) is out
    dx = activations.tanh.gradient(out, x)
    assert activations.tanh.gradient(out, x, out=x) is x
    np.testing.assert_array_equal(x, dx)


def test_get():
    assert activations.get(None) is activations.linear
    assert activations.get("relu") is activations.relu
    for name, alias in (("silu", "swish"), ("hard_silu", "hard_swish")):
        assert activations.get(alias) is getattr(activations, alias) is activations.get(name)
    assert activations.get("LogSoftmax") is activations.log_softmax
    assert activations.get("swish") is activations.silu
    assert activations.get("hard_swish") is activations.hard_silu
    assert activations.get(activations.tanh) is activations.tanh
    assert repr(activations.relu) == "activations.relu"
    assert activations.relu.identifier() == activations.relu.kernel_name == "relu"
    with pytest.raises(ValueError) as error:
        activations.get("sigmiod")
    names = ", ".join([*EXPECTED, "swish", "hard_swish"])
    assert str(error.value) == (
        f"activation: expected one of {names}, "
        "got 'sigmiod' (did you mean 'sigmoid' or 'log_sigmoid' or 'hard_sigmoid'?)"
    )
    with pytest.raises(TypeError) as error:
        activations.get(7)
    assert str(error.value) == (
        "activation: expected a name or an object with __call__(x) and gradient(y, dy), got 7"
    )
    with pytest.raises(TypeError, match="an object with __call__"):
        layers.Dense(3, activation=np.tanh)


class Cube:
    """An activation that has no kernel; y**(2/3) because the gradient sees the output."""

    def __call__(self, x):
        return x**3

    def gradient(self, y, dy):
        return dy * 3 * np.cbrt(y) ** 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_own_activation_in_layers(dtype, rng):
    x, dy = rng.standard_normal((2, 4, 3)).astype(dtype)
    for layer in layers.Activation(Cube(), dtype=dtype), layers.Dense(3, Cube(), dtype=dtype):
        y, dx = layer.forward(x), layer.backward(dy)
        z, kernel = x.astype("float64"), None
        if layer.weights:
            kernel = layer.weights["kernel"].astype("float64")
            z = z @ kernel
        dz = dy * 3 * z**2
        assert y.dtype == dx.dtype == dtype
        tolerance = {"rtol": 0, "atol": 500 * np.finfo(dtype).eps}
        np.testing.assert_allclose(y, z**3, **tolerance)
        np.testing.assert_allclose(dx, dz if kernel is None else dz @ kernel.T, **tolerance)
        if kernel is not None:
            np.testing.assert_allclose(layer.gradients["kernel"], x.T @ dz, **tolerance)
            np.testing.assert_allclose(layer.gradients["bias"], dz.sum(axis=0), **tolerance)


def test_a_changed_built_in_leaves_its_kernel(rng):
    class Guided(activations.Activation):
        def gradient(self, y, dy, out=None):
            return super().gradient(y, np.maximum(dy, 0))

    x, dy = rng.standard_normal((2, 4, 3))
    guided = Guided("relu")
    assert guided.kernel_name is None
    dense = layers.Dense(3, guided, kernel_initializer=lambda s, d: np.eye(*s), dtype="float64")
    np.testing.assert_array_equal(dense.forward(x), np.maximum(x, 0))
    np.testing.assert_array_equal(dense.backward(dy), np.where(x > 0, np.maximum(dy, 0), 0))


def test_wrong_results_of_an_own_activation():
    class Wrong(Cube):
        def gradient(self, y, dy):
            return dy[:1]

    layer = layers.Activation(Wrong())
    layer.forward(np.ones((2, 3)))
    with pytest.raises(ValueError) as error:
        layer.backward(np.ones((2, 3)))
    assert str(error.value) == "output of activation.gradient: expected shape (2, 3), got (1, 3)"
