"""Losses: Keras's published figures, SciPy's functions, gradients by differences, bad targets."""

import numpy as np
import pytest
import scipy.special

from fastnn import kernels, losses, reference
from fastnn.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)

N, M = 5, 4


class HalfFourth(Loss):
    """A loss as a user writes it: half the fourth power."""

    def call(self, y_true, y_pred):
        return 0.5 * ((y_pred - y_true) ** 4).sum(axis=-1)

    def call_gradient(self, y_true, y_pred):
        return 2 * (y_pred - y_true) ** 3


def _case(rng, name):
    """Return (make, y_true, y_pred) for a loss."""
    logits = 2 * rng.standard_normal((N, M))
    labels = rng.integers(0, M, N)
    soft = scipy.special.softmax(rng.standard_normal((N, M)), axis=1)
    probabilities = rng.uniform(0.05, 0.95, (N, M))  # rows that do not sum to 1
    return {
        "sparse": (SparseCategoricalCrossentropy, labels, probabilities),
        "sparse-logits": (lambda **k: SparseCategoricalCrossentropy(True, **k), labels, logits),
        "categorical": (CategoricalCrossentropy, soft, probabilities),
        "categorical-logits": (lambda **k: CategoricalCrossentropy(True, **k), soft, logits),
        "binary": (BinaryCrossentropy, rng.uniform(size=(N, M)), probabilities),
        "binary-logits": (lambda **k: BinaryCrossentropy(True, **k), np.eye(N, M), logits),
        "mse": (MeanSquaredError, rng.standard_normal((N, M)), logits),
        "own": (HalfFourth, rng.standard_normal((N, M)), logits / 4),
    }[name]


CASES = [
    *("sparse", "sparse-logits", "categorical", "categorical-logits"),
    *("binary", "binary-logits", "mse", "own"),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none", None])
@pytest.mark.parametrize("name", CASES)
def test_gradient_and_reduction(name, reduction, weighted, rng):
    make, y_true, y_pred = _case(rng, name)
    loss, rows = make(reduction=reduction), make(reduction="none")(y_true, y_pred)
    weight = rng.uniform(0.5, 2, N) if weighted else None
    expected = rows if weight is None else rows * weight
    value = loss(y_true, y_pred, weight)
    if reduction == "sum":
        expected = expected.sum()
    elif reduction == "sum_over_batch_size":
        expected = expected.sum() / N
    assert isinstance(value, np.ndarray if reduction in ("none", None) else float)
    np.testing.assert_allclose(value, expected, rtol=1e-14)

    gradient, step = loss.gradient(y_true, y_pred, weight), 1e-5
    assert gradient.shape == (N, M) and gradient.dtype == np.float64
    # Truncation is step**2 / 6 times the third derivative: for a logarithm 2 / p**3, p at least
    # 0.05; else of order 1. Rounding is of order eps / step.
    tolerance = 2e-6 if name in ("sparse", "categorical", "binary") else 1e-8
    for i in np.ndindex(N, M):
        d = np.zeros((N, M))
        d[i] = step
        ahead = np.sum(loss(y_true, y_pred + d, weight))
        behind = np.sum(loss(y_true, y_pred - d, weight))
        assert abs(gradient[i] - (ahead - behind) / (2 * step)) < tolerance
    both = loss.value_and_gradient(y_true, y_pred, weight)
    np.testing.assert_array_equal(both[0], value)
    np.testing.assert_array_equal(both[1], gradient)


@pytest.mark.parametrize("name", CASES)
def test_rows(name, rng):
    make, y_true, y_pred = _case(rng, name)
    loss = make(reduction="none")
    values = loss(y_true, y_pred)
    y_true = y_true if name == "own" else loss.targets(y_true, y_pred.shape, "float64")
    np.testing.assert_allclose(loss.call(y_true, y_pred), values, rtol=1e-15)
    np.testing.assert_allclose(
        loss.call_gradient(y_true, y_pred), loss.gradient(y_true, y_pred), rtol=1e-14
    )
    assert loss.kernel_name == {
        "sparse-logits": "sparse_softmax_crossentropy",
        "categorical-logits": "softmax_crossentropy",
        "binary-logits": "binary_crossentropy",
        "mse": "mean_squared_error",
    }.get(name)


def test_against_scipy(rng):
    x = 10 * rng.standard_normal((50, 7))
    labels, t = rng.integers(0, 7, 50), rng.uniform(size=(50, 7))
    log_p, rows = scipy.special.log_softmax(x, axis=1), np.arange(50)
    binary = t * scipy.special.log_expit(x) + (1 - t) * scipy.special.log_expit(-x)
    expected = {
        SparseCategoricalCrossentropy: (labels, -log_p[rows, labels]),
        CategoricalCrossentropy: (t, -(t * log_p).sum(axis=1)),
        BinaryCrossentropy: (t, -binary.mean(axis=1)),
    }
    for cls, (y_true, wanted) in expected.items():
        got = cls(from_logits=True, reduction="none")(y_true, x)
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-13)


def test_from_probabilities_agrees_with_from_logits(rng):
    x = rng.standard_normal((20, 6))
    labels, p = rng.integers(0, 6, 20), scipy.special.softmax(x, axis=1)
    for cls, y_true in ((SparseCategoricalCrossentropy, labels), (CategoricalCrossentropy, p)):
        assert cls()(y_true, 3 * p) == pytest.approx(cls(from_logits=True)(y_true, x), rel=1e-13)
    q = scipy.special.expit(x)
    assert BinaryCrossentropy()(p, q) == pytest.approx(BinaryCrossentropy(True)(p, x), rel=1e-13)


# The figures below stand in the documentation and the tests of Keras 3.


def test_published_binary_crossentropy():
    y_true, y_pred = [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]
    assert BinaryCrossentropy()(y_true, y_pred) == pytest.approx(0.815, abs=5e-4)
    assert BinaryCrossentropy()(y_true, y_pred, [1, 0]) == pytest.approx(0.458, abs=5e-4)
    assert BinaryCrossentropy(reduction="sum")(y_true, y_pred) == pytest.approx(1.630, abs=5e-4)
    rows = BinaryCrossentropy(reduction=None)(y_true, y_pred)
    np.testing.assert_allclose(rows, [0.916, 0.714], atol=5e-4)
    logits = [[-18.6, 0.51, 2.94, -12.8]]
    loss = BinaryCrossentropy(from_logits=True)
    assert loss([[0, 1, 0, 0]], logits) == pytest.approx(0.865, abs=1e-3)


def test_published_categorical_crossentropy():
    y_pred = [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]
    for cls, y_true in (
        (CategoricalCrossentropy, [[0, 1, 0], [0, 0, 1]]),
        (SparseCategoricalCrossentropy, [1, 2]),
    ):
        assert cls()(y_true, y_pred) == pytest.approx(1.177, abs=5e-4)
        assert cls()(y_true, y_pred, [0.3, 0.7]) == pytest.approx(0.814, abs=5e-4)
        assert cls(reduction="sum")(y_true, y_pred) == pytest.approx(2.354, abs=5e-4)
        rows = cls(reduction=None)(y_true, y_pred)
        np.testing.assert_allclose(rows, [0.0513, 2.303], atol=5e-4)


def test_published_mean_squared_error():
    y_true, y_pred = [[1, 9, 2], [-5, -2, 6]], [[4, 8, 12], [8, 1, 3]]
    assert MeanSquaredError()(y_true, y_pred) == pytest.approx(49.5)
    weighted = MeanSquaredError()(y_true, y_pred, [[1.2], [3.4]])
    assert weighted == pytest.approx(767.8 / 6, rel=1e-6)
    total = MeanSquaredError(reduction="sum")(y_true, y_pred, [2.3, 2.3])
    assert total == pytest.approx(227.7, rel=1e-6)


def test_probabilities_of_zero_and_one():
    # Kept within [1e-7, 1 - 1e-7]; no gradient there, as for Keras's clip.
    p = np.array([[0.0, 1.0]])
    loss = BinaryCrossentropy()
    assert loss([[1, 0]], p) == pytest.approx(-np.log(1e-7), rel=1e-8)
    assert loss.gradient([[1, 0]], p).tolist() == [[0, 0]]
    loss = SparseCategoricalCrossentropy()
    assert loss([0], p) == pytest.approx(-np.log(1e-7), rel=1e-12)
    assert loss.gradient([0], p).tolist() == [[0, 0]]
    assert np.isfinite(loss([0], p.astype("float32")))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_finite_for_all_finite_logits(dtype):
    most = np.finfo(dtype).max
    x = np.array([[most, -most], [-most, most]], dtype)
    for cls, y_true in (
        (SparseCategoricalCrossentropy, [0, 0]),
        (CategoricalCrossentropy, [[1, 0], [1, 0]]),
        (BinaryCrossentropy, [[1, 0], [1, 0]]),
    ):
        loss = cls(from_logits=True, reduction="none")
        assert np.isfinite(loss(y_true, x)).all() and np.isfinite(loss.gradient(y_true, x)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_type_is_that_of_the_predictions(dtype, rng):
    x = rng.standard_normal((3, 2)).astype(dtype)
    weight = np.ones(3)
    for name in ("mse", "binary_crossentropy", "categorical_crossentropy"):
        gradient = losses.get(name).gradient(np.eye(3, 2), scipy.special.expit(x), weight)
        assert gradient.dtype == dtype
    assert SparseCategoricalCrossentropy(True).gradient([0, 1, 1], x, weight).dtype == dtype


def test_shapes_of_targets(rng):
    x = rng.standard_normal((3, 1))
    for cls in (MeanSquaredError, HalfFourth):
        expected = cls()([[1], [0], [1]], x)
        assert cls()([1, 0, 1], x) == expected
        np.testing.assert_array_equal(
            cls().gradient([1, 0, 1], x), cls().gradient([[1], [0], [1]], x)
        )
    x = rng.standard_normal((3, 4))
    loss = SparseCategoricalCrossentropy(True)
    for labels in ([2, 0, 3], [[2], [0], [3]], [2.0, 0.0, 3.0], np.array([2, 0, 3], "uint8")):
        assert loss(labels, x) == loss(np.array([2, 0, 3]), x)


@pytest.mark.parametrize(
    "loss, y_true, message",
    [
        (
            SparseCategoricalCrossentropy(),
            [0, 9, 4, 10],
            "y_true: expected labels in [0, 10), got 10 at row 3",
        ),
        (
            SparseCategoricalCrossentropy(True),
            [0, -1, 4, 1],
            "y_true: expected labels in [0, 10), got -1 at row 1",
        ),
        (
            SparseCategoricalCrossentropy(True),
            [0, 1, 2.5, 1],
            "y_true: expected labels in [0, 10), got 2.5 at row 2",
        ),
        (
            SparseCategoricalCrossentropy(True),
            [0, 1, 2, np.nan],
            "y_true: expected labels in [0, 10), got nan at row 3",
        ),
        (
            SparseCategoricalCrossentropy(True),
            [0, 1, 2],
            "y_true: expected 4 labels, got shape (3,)",
        ),
        (
            BinaryCrossentropy(),
            np.linspace(0, 2, 40).reshape(4, 10),
            "y_true: expected numbers in [0.0, 1.0], got 1.0256410256410255 at row 2",
        ),
        (
            CategoricalCrossentropy(True),
            -np.ones((4, 10)),
            "y_true: expected numbers in [0.0, 1.0], got -1.0 at row 0",
        ),
        (
            MeanSquaredError(),
            np.where(np.arange(40).reshape(4, 10) == 17, np.nan, 0.0),
            "y_true: expected finite numbers, got nan at row 1",
        ),
        (
            MeanSquaredError(),
            np.ones((4, 9)),
            "y_true: expected shape (4, 10), got (4, 9)",
        ),
        (MeanSquaredError(), np.ones(4), "y_true: expected shape (4, 10), got (4,)"),
        (HalfFourth(), np.ones((3, 10)), "y_true: expected 4 rows, got 3 (shape (3, 10))"),
    ],
)
def test_bad_targets(loss, y_true, message):
    with pytest.raises(ValueError) as error:
        loss(y_true, np.full((4, 10), 0.1))
    assert str(error.value) == message


def test_bad_predictions_and_weights():
    loss = MeanSquaredError()
    with pytest.raises(ValueError) as error:
        loss([1, 2], [1, 2])
    assert str(error.value) == "y_pred: expected 2 axes (n, features), got 1 (shape (2,))"
    with pytest.raises(ValueError) as error:
        loss([[1], [2]], [[1], [2]], [1, 2, 3])
    assert str(error.value) == "sample_weight: expected shape (2,), got (3,)"
    with pytest.raises(ValueError) as error:
        loss([[1], [2]], [[1], [2]], [1, np.inf])
    assert str(error.value) == "sample_weight: expected finite weights, got inf at row 1"
    with pytest.raises(ValueError) as error:
        MeanSquaredError(reduction="avg")
    assert str(error.value) == (
        "reduction: expected one of sum_over_batch_size, sum, none, got 'avg'"
    )
    with pytest.raises(TypeError) as error:
        BinaryCrossentropy(from_logits=1)
    assert str(error.value) == "from_logits: expected True or False, got 1"


def test_get():
    names = {
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
        "categorical_crossentropy": CategoricalCrossentropy,
        "binary_crossentropy": BinaryCrossentropy,
        "mse": MeanSquaredError,
        "mean_squared_error": MeanSquaredError,
        "MeanSquaredError": MeanSquaredError,
    }
    for name, cls in names.items():
        assert type(losses.get(name)) is cls
    assert losses.get("mse").name == "mean_squared_error"
    loss = BinaryCrossentropy(from_logits=True, name="b")
    assert losses.get(loss) is loss
    again = losses.get(loss.identifier())
    assert again.get_config() == loss.get_config()
    assert repr(again) == (
        "BinaryCrossentropy(from_logits=True, reduction='sum_over_batch_size', name='b')"
    )
    with pytest.raises(ValueError, match="did you mean 'mean_squared_error'"):
        losses.get("mean_square_error")
    with pytest.raises(TypeError) as error:
        losses.get(np.mean)
    assert str(error.value).startswith("loss: expected a name or an instance of Loss, got ")


def test_own_losses():
    class OnAKernel(MeanSquaredError):
        """Only the formula for the value is new; so the kernel must not be used."""

        def call(self, y_true, y_pred):
            return 2 * super().call(y_true, y_pred)

        def call_gradient(self, y_true, y_pred):
            return 2 * super().call_gradient(y_true, y_pred)

    assert OnAKernel().kernel_name is None
    assert OnAKernel()([[1.0, 2.0]], [[3.0, 2.0]]) == 4
    assert OnAKernel().gradient([[1.0, 2.0]], [[3.0, 2.0]]).tolist() == [[4, 0]]

    class Wrong(HalfFourth):
        def call(self, y_true, y_pred):
            return y_pred

    with pytest.raises(ValueError) as error:
        Wrong()([[1.0], [2.0]], [[1.0], [2.0]])
    assert str(error.value) == "output of call: expected shape (2,), got (2, 1)"

    with pytest.raises(NotImplementedError, match="a loss defines call and call_gradient"):
        Loss()([[1.0]], [[1.0]])


def test_integer_targets_reach_an_own_loss():
    class Labels(Loss):
        def call(self, y_true, y_pred):
            assert y_true.dtype.kind == "i" and y_true.shape == (3,)
            return -y_pred[np.arange(3), y_true]

        def call_gradient(self, y_true, y_pred):
            return -np.eye(y_pred.shape[1])[y_true]

    loss = Labels(reduction="sum")
    assert loss([0, 1, 1], np.eye(3, 2, dtype="f")) == -2
    assert loss.gradient([0, 1, 1], np.eye(3, 2, dtype="f")).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [None, 1.0, 0.3])
def test_kernel_by_name(scale, dtype, rng):
    x, weight = rng.standard_normal((N, M)).astype(dtype), rng.uniform(size=N).astype(dtype)
    t = rng.uniform(size=(N, M)).astype(dtype)
    for kind in kernels._LOSSES:
        y_true = rng.integers(0, M, N) if kind.startswith("sparse") else t
        got = kernels.loss(kind, x, y_true, weight, scale)
        wanted = reference.loss(kind, x.astype("d"), y_true, weight.astype("d"), scale)
        for a, b in zip(got, wanted, strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=100 * np.finfo(dtype).eps)
    with pytest.raises(ValueError, match="kind: expected one of sparse_softmax_crossentropy"):
        kernels.loss("hinge", x, t)
