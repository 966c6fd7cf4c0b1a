"""Losses: figures of Keras and PyTorch, SciPy's functions, gradients by differences, targets."""

import inspect
import pickle

import numpy as np
import pytest
import scipy.special

import fastnn as fn
from fastnn import kernels, losses, reference
from fastnn.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    Contrastive,
    CosineSimilarity,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    Quantile,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    SumSquaredError,
    Triplet,
)

N, M = 5, 4


class HalfFourth(Loss):
    """A loss as a user writes it: half the fourth power."""

    def call(self, y_true, y_pred):
        return 0.5 * ((y_pred - y_true) ** 4).sum(axis=-1)

    def call_gradient(self, y_true, y_pred):
        return 2 * (y_pred - y_true) ** 3


def _logits(rng):
    return 2 * rng.standard_normal((N, M))


def _normal(rng):
    return rng.standard_normal((N, M))


def _uniform(rng):
    return rng.uniform(0.05, 0.95, (N, M))  # rows that do not sum to 1


def _positive(rng):
    return rng.uniform(0.3, 3, (N, M))


def _labels(rng):
    return rng.integers(0, M, N)


def _soft(rng):
    return scipy.special.softmax(rng.standard_normal((N, M)), axis=1)


def _one_hot(rng):
    return np.eye(M)[rng.integers(0, M, N)]


def _signs(rng):
    return rng.choice([-1, 1], (N, M))


# Name -> (class, its arguments, targets, predictions, kernel).
CASES = {
    "sparse": (SparseCategoricalCrossentropy, {}, _labels, _uniform,
               "sparse_crossentropy_of_probabilities"),
    "sparse-logits": (SparseCategoricalCrossentropy, {"from_logits": True}, _labels, _logits,
                      "sparse_softmax_crossentropy"),
    "categorical": (CategoricalCrossentropy, {"label_smoothing": 0.1}, _soft, _uniform,
                    "crossentropy_of_probabilities"),
    "categorical-logits": (CategoricalCrossentropy, {"from_logits": True}, _soft, _logits,
                           "softmax_crossentropy"),
    "categorical-smooth": (
        CategoricalCrossentropy, {"from_logits": True, "label_smoothing": 0.2}, _one_hot, _logits,
        "softmax_crossentropy"),
    "binary": (BinaryCrossentropy, {"label_smoothing": 0.1}, _uniform, _uniform,
               "binary_crossentropy_of_probabilities"),
    "binary-logits": (BinaryCrossentropy, {"from_logits": True, "label_smoothing": 0.2}, _one_hot,
                      _logits, "binary_crossentropy"),
    "focal": (BinaryFocalCrossentropy, {"gamma": 1.5}, _uniform, _uniform,
              "binary_focal_crossentropy_of_probabilities"),
    "focal-logits": (
        BinaryFocalCrossentropy, {"apply_class_balancing": True, "from_logits": True}, _one_hot,
        _logits, "binary_focal_crossentropy"),
    "focal-smooth": (
        BinaryFocalCrossentropy, {"gamma": 0.5, "from_logits": True, "label_smoothing": 0.3},
        _one_hot, _logits, "binary_focal_crossentropy"),
    "mse": (MeanSquaredError, {}, _normal, _logits, "mean_squared_error"),
    "rmse": (RootMeanSquaredError, {}, _normal, _logits, "root_mean_squared_error"),
    "sse": (SumSquaredError, {}, _normal, _logits, "sum_squared_error"),
    "mae": (MeanAbsoluteError, {}, _normal, _logits, "mean_absolute_error"),
    "mape": (MeanAbsolutePercentageError, {}, _positive, _logits,
             "mean_absolute_percentage_error"),
    "msle": (MeanSquaredLogarithmicError, {}, _positive, _logits,
             "mean_squared_logarithmic_error"),
    "huber": (Huber, {"delta": 1.3}, _normal, _logits, "huber"),
    "log-cosh": (LogCosh, {}, _normal, _logits, "log_cosh"),
    "quantile": (Quantile, {"quantile": 0.8}, _normal, _logits, "quantile"),
    "kl": (KLDivergence, {}, _soft, _uniform, "kl_divergence"),
    "poisson": (Poisson, {}, _positive, _positive, "poisson"),
    "hinge": (Hinge, {}, _signs, _logits, "hinge"),
    "hinge-01": (Hinge, {}, _one_hot, _logits, "hinge"),
    "squared-hinge": (SquaredHinge, {}, _signs, _logits, "squared_hinge"),
    "categorical-hinge": (CategoricalHinge, {}, _one_hot, _logits, "categorical_hinge"),
    "cosine": (CosineSimilarity, {}, _normal, _logits, "cosine_similarity"),
    "contrastive": (Contrastive, {"margin": 2.0}, _one_hot, _positive, "contrastive"),
    "triplet": (Triplet, {"margin": 3.0}, lambda rng: np.arange(N) % 2, _logits, "triplet"),
    "own": (HalfFourth, {}, _normal, lambda rng: _logits(rng) / 4, None),
}  # fmt: skip

# Of one batch whose rows depend on each other, the loss is not the sum of the rows' losses.
COUPLED = ("rmse",)
REDUCTIONS = ["sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_gradient_and_reduction(name, reduction, weighted, rng):
    cls, config, targets, predictions, _ = CASES[name]
    y_true, y_pred = targets(rng), predictions(rng)
    loss = cls(**config, reduction=reduction)
    rows = cls(**config, reduction="none")(y_true, y_pred)
    weight = rng.uniform(0.5, 2, N) if weighted else None
    expected = rows if weight is None else rows * weight
    value = loss(y_true, y_pred, weight)
    if reduction not in ("none", None):
        weights = np.ones(N) if weight is None else weight
        expected = np.sum(weights * (rows**2 if name in COUPLED else rows))
        if reduction in ("sum_over_batch_size", "mean"):
            expected /= N
        elif reduction == "mean_with_sample_weight":
            expected /= weights.sum()
        expected = np.sqrt(expected) if name in COUPLED else expected
    assert isinstance(value, np.ndarray if reduction in ("none", None) else float)
    np.testing.assert_allclose(value, expected, rtol=1e-14)

    gradient, step = loss.gradient(y_true, y_pred, weight), 1e-5
    assert gradient.shape == (N, M) and gradient.dtype == np.float64
    # Truncation is step**2 / 6 times the third derivative: for a logarithm 2 / p**3, p at least
    # 0.05; else of order 1. Rounding is of order eps / step.
    tolerance = 2e-6 if predictions is _uniform else 1e-8
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
    cls, config, targets, predictions, kernel = CASES[name]
    y_true, y_pred = targets(rng), predictions(rng)
    loss = cls(**config, reduction="none")
    values = loss(y_true, y_pred)
    y_true = y_true if name == "own" else loss.targets(y_true, y_pred.shape, "float64")
    np.testing.assert_allclose(loss.call(y_true, y_pred), values, rtol=1e-15)
    np.testing.assert_allclose(
        loss.call_gradient(y_true, y_pred), loss.gradient(y_true, y_pred), rtol=1e-14
    )
    assert cls(**config).kernel_name == kernel
    assert cls(**config).is_mean_of_rows == (name not in ("rmse", "triplet"))


# Computed once with Keras 3.15 over JAX in float64, and with PyTorch 2.13 where it stands so: the
# loss with sample weights 0.5 and 3, and its gradient.
P = np.array([[0.25, 0.6, 0.15], [0.8, 0.05, 0.4]])
X = np.array([[-1.5, 0.5, 2.0], [3.0, -0.25, 0.75]])
T = np.array([[0.2, 1.0, 0.5], [0.9, 0.3, 0.0]])
SIGNS = np.array([[-1, 1, 1], [1, -1, -1]])
ONE_HOT = np.array([[0, 1, 0], [1, 0, 0]])
FIGURES = [
    (MeanSquaredError(), T, X, 3.08666652441,
     [-0.28333334, -0.08333333, 0.25, 2.1, -0.55, 0.75]),
    (MeanAbsoluteError(), T, X, 2.00833332539,
     [-0.08333333, -0.08333333, 0.08333333, 0.5, -0.5, 0.5]),
    (MeanAbsolutePercentageError(), T + 0.1, X, 580.239903927,
     [-27.7777799, -7.57575815, 13.88888995, 50, -125, 500]),
    (MeanSquaredLogarithmicError(), T, X, 0.517802771181,
     [0, -0.03196467567, 0.03850817785, 0.1861101187, 0, 0.3197803931]),
    (Huber(), T, X, 1.21000002325,
     [-0.08333333, -0.04166667, 0.08333333, 0.5, -0.275, 0.375]),
    (Huber(0.3), T, X, 0.523750029504, [-0.025, -0.025, 0.025, 0.15, -0.15, 0.15]),
    (LogCosh(), T, X, 1.08003205061,
     [-0.07795075821, -0.03850976425, 0.07542902339, 0.4852259683, -0.2502601056, 0.3175744762]),
    (CosineSimilarity(), T, X, -1.44142625488,
     [-0.04117530382, -0.0783659008, -0.01129000266, -0.04169840657, -0.18764282958,
      0.10424601643]),
    (BinaryCrossentropy(), T, P, 1.07428261638,
     [0.02222222288, -0.138888893, -0.2287581768, -0.3125, -2.631578947, 0.8333333333]),
    (BinaryCrossentropy(False, 0.2), T, P, 1.2177682817,
     [-0.004444444577, -0.1041666698, -0.2287581768, -0.0625, -3.0526315789, 0.625]),
    (BinaryCrossentropy(True, 0.2), T, X, 1.34256714582,
     [-0.006464539875, -0.02312838976, 0.03173309078, 0.06628706341, 0.04891174956,
      0.28958934959]),
    (BinaryFocalCrossentropy(), T, P, 0.134392116219,
     [0.02048138139, -0.05627726548, -0.05718954419, -0.09637378138, -0.14984168573,
      0.33766358284]),
    (BinaryFocalCrossentropy(True, 0.4, 1.5), T, P, 0.118902284652,
     [0.01518453374, -0.03020829286, -0.04043911451, -0.06388652965, -0.17158799893,
      0.27187462765]),
    (BinaryFocalCrossentropy(True, 0.4, 0.5, True, 0.2), T, X, 0.488418933004,
     [-0.000448682848, -0.008878577382, 0.01121934184, 0.0092108553, 0.02802220548,
      0.16818222745]),
    (CategoricalCrossentropy(), T, P, 2.48514283185,
     [0.225, 0.00833333333, -0.40833333333, -0.2475, -7.56, 1.44]),
    (CategoricalCrossentropy(False, 0.2), ONE_HOT, P, 1.18140670181,
     [0.18333333333, -0.11111111111, 0.13888888889, -0.425, -0.8, 0.95]),
    (CategoricalCrossentropy(True, 0.2), ONE_HOT, X, 1.19180757046,
     [-0.0106432246, -0.17215911529, 0.18280233989, 0.01099006281, -0.04916739884,
      0.03817733603]),
    (SparseCategoricalCrossentropy(), [1, 0], P, 0.797137059884,
     [0.25, -0.16666666667, 0.25, -0.675, 1.2, 1.2]),
    (SparseCategoricalCrossentropy(True), [1, 0], X, 0.633474237123,
     [0.00602344207, -0.20549244862, 0.19946900655, -0.18900993719, 0.05083260116,
      0.13817733603]),
    (KLDivergence(), T, P, 1.23234240793,
     [-0.2, -0.41666666667, -0.83333333333, -1.6875, -9, -3.75e-07]),
    (Poisson(), T, P, 1.40282785892,
     [0.01666669383, -0.05555553406, -0.19444426505, -0.06249992969, -2.49999400001, 0.5]),
    (Hinge(), SIGNS, X, 1.29166672751, [0, -0.08333333, 0, 0, 0.5, 0.5]),
    (Hinge(), ONE_HOT, X, 1.54166674614, [0, -0.08333333, 0.08333333, 0, 0.5, 0.5]),
    (SquaredHinge(), SIGNS, X, 1.83333339356, [0, -0.08333333, 0, 0, 0.75, 1.75]),
    (CategoricalHinge(), ONE_HOT, X, 0.625, [0, -0.25, 0.25, 0, 0, 0]),
    # PyTorch
    (SumSquaredError(), T, X, 4.63, [-0.425, -0.125, 0.375, 3.15, -0.825, 1.125]),
    (RootMeanSquaredError(), T, X, 1.75689119375,
     [-0.080634855, -0.02371613382, 0.07114840147, 0.59764657239, -0.15652648324,
      0.2134452044]),
    (RootMeanSquaredError("sum"), T, X, 2.48461935381,
     [-0.11403490555, -0.0335396781, 0.10061903431, 0.84519988818, -0.22136187548,
      0.30185710292]),
    (Quantile(0.3), T, X, 1.2225, [-0.025, -0.025, 0.05833333333, 0.35, -0.15, 0.35]),
    (Contrastive(1.25), ONE_HOT, X, 6.40104166667,
     [-0.45833333333, 0.08333333333, 0, 3, -1.5, -0.5]),
]  # fmt: skip


@pytest.mark.parametrize("loss, y_true, y_pred, value, gradient", FIGURES)
def test_figures_of_keras_and_pytorch(loss, y_true, y_pred, value, gradient):
    # Keras divides by the number of outputs in float32, hence 1e-7 and not less.
    assert loss(y_true, y_pred, [0.5, 3]) == pytest.approx(value, rel=1e-7)
    found = loss.gradient(y_true, y_pred, [0.5, 3])
    np.testing.assert_allclose(found.ravel(), gradient, rtol=2e-7, atol=1e-8)


def test_triplets_of_pytorch():
    # Hardest triplets by torch.cdist, their gradient by autograd.
    x = [[0.0, 0.0], [1.0, 0.5], [0.5, 2.0], [3.0, 1.0], [-1.0, 0.25], [2.0, 2.0]]
    labels, weight = [0, 0, 1, 1, 0, 1], [1, 2, 0.5, 1, 1, 3]
    rows = [0, 1.18442560699, 1.86144357348, 1.38102959076, 0.460678322751, 0.447224362268]
    x = np.array(x)
    np.testing.assert_allclose(Triplet(0.75, "none")(labels, x), rows, rtol=1e-11)
    assert Triplet(0.75)(labels, x, weight) == pytest.approx(1.0804923335, rel=1e-9)
    np.testing.assert_allclose(
        Triplet(0.75).gradient(labels, x, weight),
        [[0, 0], [0.803417883987, 0.913749826157], [-0.708822832457, -0.428979805493],
         [0.0704287560304, -0.133270273261], [-0.387673709448, 0.0645253997663],
         [0.222649901887, -0.416025147169]],
        atol=1e-11,
    )  # fmt: skip


def test_rows_without_a_triplet():
    x = np.random.default_rng(0).normal(size=(4, 3))
    for labels in ([0, 0, 0, 0], [0, 1, 2, 3]):
        assert Triplet()(labels, x) == 0
        assert not Triplet().gradient(labels, x).any()
    # One row alone has no positive; the others have.
    assert (Triplet(100.0, "none")([0, 0, 0, 7], x) > 0).tolist() == [True, True, True, False]
    # Equal rows: the distance is 0 and has no gradient.
    same = np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 2.0]])
    loss = Triplet(5.0)
    assert loss([4, 4, 9], same) == pytest.approx((3 + 3 + 0) / 3)
    np.testing.assert_allclose(
        loss.gradient([4, 4, 9], same), np.array([[1, 0], [1, 0], [-2, 0]]) / 3, rtol=1e-15
    )


def test_root_mean_squared_error_of_nothing_wrong():
    for reduction in ("sum_over_batch_size", "sum", "none"):
        loss = RootMeanSquaredError(reduction)
        assert not np.any(loss([[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]]))
        assert not loss.gradient([[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]]).any()
    rows = RootMeanSquaredError("none")([[1, 1], [3, 4]], [[4.0, 5.0], [3.0, 4.0]], [2, 1])
    assert rows.tolist() == [2 * np.sqrt(12.5), 0]


def test_no_weight_at_all():
    loss = MeanSquaredError("mean_with_sample_weight")
    assert loss([[1.0]], [[3.0]], [0]) == 0
    assert loss.gradient([[1.0]], [[3.0]], [0]).tolist() == [[0]]


def test_where_a_formula_has_a_corner():
    z = np.zeros((1, 2))
    for loss in (MeanAbsoluteError(), MeanAbsolutePercentageError(), Quantile(0.2)):
        assert loss.gradient(z, z).tolist() == [[0, 0]]
    assert Hinge().gradient([[1, -1]], np.array([[1.0, -1.0]])).tolist() == [[0, 0]]
    # A prediction of no length has no direction.
    assert CosineSimilarity()([[1, 2]], z) == 0
    assert CosineSimilarity().gradient([[1, 2]], z).tolist() == [[0, 0]]
    # Clipped: as 1e-7, without a gradient.
    loss = MeanSquaredLogarithmicError()
    assert loss([[1]], np.array([[-3.0]])) == pytest.approx(np.log(2 / (1 + 1e-7)) ** 2)
    assert loss.gradient([[1]], np.array([[-3.0]])).tolist() == [[0]]
    loss = KLDivergence()
    assert loss([[0.5, 0.5]], np.array([[-3.0, 3.0]])) == pytest.approx(
        0.5 * np.log(0.5 / 1e-7) + 0.5 * np.log(0.5)
    )
    assert loss.gradient([[0.5, 0.5]], np.array([[-3.0, 3.0]])).tolist() == [[0, 0]]


def test_small_errors_are_not_lost():
    # log(cosh(e)) is e**2 / 2 for small e: no cancellation with log(2).
    for dtype in ("float32", "float64"):
        e = np.array([[1e-3], [1e-5], [0.5], [0.99], [1.01], [80.0]], dtype)
        wide = e.astype(np.longdouble)
        expected = np.log1p(2 * np.sinh(wide / 2) ** 2)
        found = LogCosh("none")(np.zeros((6, 1)), e)
        np.testing.assert_allclose(found, expected[:, 0], rtol=8 * np.finfo(dtype).eps)
    # The focal loss of what is right, far below the smallest step of a probability.
    x = np.array([[40.0]])
    p = 1 / (1 + np.exp(40.0))
    loss = BinaryFocalCrossentropy(from_logits=True)
    assert loss([[1]], x) == pytest.approx(p**3, rel=1e-12)
    assert loss.gradient([[1]], x)[0, 0] == pytest.approx(-3 * p**3, rel=1e-12)


def test_focal_without_a_focus_is_the_binary_crossentropy(rng):
    t, x = _uniform(rng), _logits(rng)
    for from_logits in (False, True):
        y_pred = x if from_logits else scipy.special.expit(x)
        plain = BinaryCrossentropy(from_logits).value_and_gradient(t, y_pred)
        focal = BinaryFocalCrossentropy(gamma=0, from_logits=from_logits)
        for a, b in zip(plain, focal.value_and_gradient(t, y_pred), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13)


def test_label_smoothing(rng):
    # As if the targets had been smooth.
    t, x = _one_hot(rng), _logits(rng)
    for make, classes in ((CategoricalCrossentropy, M), (BinaryCrossentropy, 2)):
        for from_logits, y_pred in ((True, x), (False, scipy.special.softmax(x, axis=1))):
            smooth = make(from_logits, 0.3).value_and_gradient(t, y_pred)
            plain = make(from_logits).value_and_gradient(0.7 * t + 0.3 / classes, y_pred)
            for a, b in zip(smooth, plain, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-13)


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
        (BinaryFocalCrossentropy, [[1, 0], [1, 0.5]]),
    ):
        loss = cls(from_logits=True, reduction="none")
        assert np.isfinite(loss(y_true, x)).all() and np.isfinite(loss.gradient(y_true, x)).all()
        # So is the mean of rows of which the sum is beyond the type.
        assert np.isfinite(cls(from_logits=True)([y_true[0]] * 2, x[[1, 1]]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [3, 5, 10, 23, 40])
def test_extreme_logits_stay_finite_and_infinite_ones_show(dtype, columns):
    most = np.finfo(dtype).max
    x = np.full((1, columns), most, dtype)
    for cls in (BinaryCrossentropy, BinaryFocalCrossentropy):
        # The shares of the mean are rounded each: their sum must not round beyond the type.
        loss = cls(from_logits=True)(np.zeros_like(x), x)
        assert np.isfinite(loss) and loss > most * (1 - 1e-6)
    x[:, 1::2] = -most
    categorical = CategoricalCrossentropy(from_logits=True, reduction="none")
    sparse = SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    assert categorical(np.ones_like(x), x) == most  # three or more times the distance
    # A class that is impossible by its logit: infinite if it is the one, nothing otherwise.
    x = np.zeros((2, columns), dtype)
    x[:, 1] = -np.inf
    labels = np.array([1, 0])
    expected = [np.inf, np.log(columns - 1)]
    np.testing.assert_allclose(sparse(labels, x), expected, rtol=1e-6)
    np.testing.assert_allclose(categorical(np.eye(columns)[labels], x), expected, rtol=1e-6)
    x[0, 1] = np.nan
    for loss, y_true in ((sparse, labels), (categorical, np.eye(columns)[labels])):
        assert np.isnan(loss(y_true, x)[0])


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
        (
            Poisson(),
            np.where(np.arange(40).reshape(4, 10) == 25, -0.5, 0.0),
            "y_true: expected finite numbers of at least 0.0, got -0.5 at row 2",
        ),
        (
            MeanSquaredLogarithmicError(),
            -np.ones((4, 10)),
            "y_true: expected finite numbers of at least 0.0, got -1.0 at row 0",
        ),
        (
            KLDivergence(),
            2 * np.ones((4, 10)),
            "y_true: expected numbers in [0.0, 1.0], got 2.0 at row 0",
        ),
        (
            Hinge(),
            np.where(np.arange(40).reshape(4, 10) == 31, 0.5, 1.0),
            "y_true: expected -1 and 1, or 0 and 1, got 0.5 at row 3",
        ),
        (
            SquaredHinge(),
            np.arange(40).reshape(4, 10) % 3 - 1,
            "y_true: expected -1 and 1, or 0 and 1, got -1.0 at row 0 beside 0 at row 0",
        ),
        (
            Hinge(),
            np.where(np.arange(40).reshape(4, 10) == 31, 0, -1),
            "y_true: expected -1 and 1, or 0 and 1, got -1.0 at row 0 beside 0 at row 3",
        ),
        (
            CategoricalHinge(),
            np.full((4, 10), -2),
            "y_true: expected numbers in [-1.0, 1.0], got -2.0 at row 0",
        ),
        (
            Contrastive(),
            np.full((4, 10), 3),
            "y_true: expected numbers in [0.0, 1.0], got 3.0 at row 0",
        ),
        (
            Triplet(),
            [0, 1, -1, 1],
            "y_true: expected labels in [0, 2**63), got -1 at row 2",
        ),
        (Triplet(), np.ones((4, 10)), "y_true: expected 4 labels, got shape (4, 10)"),
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
        "reduction: expected one of sum_over_batch_size, mean, mean_with_sample_weight, sum, none, "
        "got 'avg'"
    )
    with pytest.raises(TypeError) as error:
        BinaryCrossentropy(from_logits=1)
    assert str(error.value) == "from_logits: expected True or False, got 1"
    with pytest.raises(TypeError) as error:
        MeanSquaredError("sum", 3)
    assert str(error.value) == "name: expected a string, got 3"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Huber(0), "delta: expected a positive number, got 0"),
        (lambda: Quantile(1.0), "quantile: expected a number between 0 and 1, got 1.0"),
        (lambda: Quantile(0), "quantile: expected a number between 0 and 1, got 0"),
        (lambda: Contrastive(-1), "margin: expected a positive number, got -1"),
        (lambda: Triplet(0), "margin: expected a positive number, got 0"),
        (
            lambda: BinaryFocalCrossentropy(gamma=-1),
            "gamma: expected a non-negative number, got -1",
        ),
        (
            lambda: BinaryFocalCrossentropy(alpha=1.5),
            "alpha: expected a number in [0, 1], got 1.5",
        ),
        (
            lambda: BinaryCrossentropy(label_smoothing=2),
            "label_smoothing: expected a number in [0, 1], got 2",
        ),
        (
            lambda: CategoricalCrossentropy(axis=0),
            "axis: expected the last axis, -1 or 1, got 0",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


def test_get():
    names = {
        "bce": BinaryCrossentropy,
        "BCE": BinaryCrossentropy,
        "KLD": KLDivergence,
        "KLDivergence": KLDivergence,
        "mae": MeanAbsoluteError,
        "MAPE": MeanAbsolutePercentageError,
        "msle": MeanSquaredLogarithmicError,
        "rmse": RootMeanSquaredError,
        "logcosh": LogCosh,
        **{name: getattr(losses, name) for name in losses.__all__ if name[0].isupper()},
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
        "categorical_crossentropy": CategoricalCrossentropy,
        "binary_crossentropy": BinaryCrossentropy,
        "mse": MeanSquaredError,
        "mean_squared_error": MeanSquaredError,
        "MeanSquaredError": MeanSquaredError,
    }
    names.pop("Loss")
    for name, cls in names.items():
        assert type(losses.get(name)) is cls
        snake = losses.get(name).name
        assert type(losses.get(snake)) is cls
        assert losses.get(cls().identifier()).get_config() == cls().get_config()
    assert losses.get("mse").name == "mean_squared_error"
    loss = BinaryCrossentropy(from_logits=True, name="b")
    assert losses.get(loss) is loss
    again = losses.get(loss.identifier())
    assert again.get_config() == loss.get_config()
    assert repr(again) == (
        "BinaryCrossentropy(from_logits=True, label_smoothing=0.0, axis=-1, "
        "reduction='sum_over_batch_size', name='b')"
    )
    with pytest.raises(ValueError, match="did you mean 'mean_squared_error'"):
        losses.get("mean_square_error")
    with pytest.raises(TypeError) as error:
        losses.get(np.mean)
    assert str(error.value).startswith("loss: expected a name or an instance of Loss, got ")


# ---- functions -------------------------------------------------------------------------------

T, P = [[0.0, 1.0], [1.0, 0.0]], [[0.25, 0.75], [0.5, 0.5]]
LABELS, SIGNS = [1, 0], [[-1, 1], [1, -1]]
L = np.log

# What a loss of two rows is by hand, and the arguments that its function has beside the batch.
FUNCTIONS = {
    "binary_crossentropy": [
        (T, P, {}, [-L(0.75), L(2)]),
        (T, P, {"label_smoothing": 0.5}, [-0.75 * L(0.75) - 0.25 * L(0.25), L(2)]),
        (T, [[0.0, 0.0]] * 2, {"from_logits": True}, [L(2), L(2)]),
    ],
    "binary_focal_crossentropy": [
        (T, P, {}, [-(0.25**2) * L(0.75), 0.25 * L(2)]),
        (T, P, {"gamma": 1}, [-0.25 * L(0.75), 0.5 * L(2)]),
        (T, P, {"gamma": 0, "apply_class_balancing": True, "alpha": 0.5}, [-L(0.75) / 2, L(2) / 2]),
        (T, [[0.0, 0.0]] * 2, {"from_logits": True, "label_smoothing": 0.5}, [L(2) / 4] * 2),
    ],
    "categorical_crossentropy": [
        (T, P, {}, [-L(0.75), L(2)]),
        (T, P, {"label_smoothing": 0.5}, [-0.75 * L(0.75) - 0.25 * L(0.25), L(2)]),
        (T, [[0, L(3)], [L(3), 0]], {"from_logits": True}, [-L(0.75), -L(0.75)]),
    ],
    "categorical_hinge": [(T, P, {}, [0.5, 1.0])],
    "cosine_similarity": [
        (T, [[3.0, 4.0], [3.0, 4.0]], {}, [-0.8, -0.6]),
        (T, [[3.0, 4.0], [-2.0, 0.0]], {"axis": -1}, [-0.8, 1.0]),
    ],
    "hinge": [(SIGNS, P, {}, [0.75, 1.0])],
    "huber": [
        (T, [[0.0, 4.0], [1.5, 0.0]], {}, [1.25, 0.0625]),
        (T, [[0.0, 4.0], [1.5, 0.0]], {"delta": 2.0}, [2.0, 0.0625]),
    ],
    "kl_divergence": [(T, P, {}, [-L(0.75), L(2)])],
    "log_cosh": [(T, [[0, 1], [2, 0]], {}, [0.0, L(np.cosh(1)) / 2])],
    "mean_absolute_error": [(T, P, {}, [0.25, 0.5])],
    "mean_absolute_percentage_error": [([[1, 2], [4, 5]], [[2, 2], [2, 4]], {}, [50.0, 35.0])],
    "mean_squared_error": [(T, P, {}, [0.0625, 0.25])],
    "mean_squared_logarithmic_error": [(T, [[0, 3], [1, 1]], {}, [L(2) ** 2 / 2] * 2)],
    "poisson": [(T, [[1.0, 1.0], [0.5, 0.5]], {}, [1.0, 0.5 + L(2) / 2])],
    "sparse_categorical_crossentropy": [
        (LABELS, P, {}, [-L(0.75), L(2)]),
        (LABELS, [[0, L(3)], [L(3), 0]], {"from_logits": True, "axis": -1}, [-L(0.75)] * 2),
    ],
    "squared_hinge": [(SIGNS, P, {}, [0.8125, 1.25])],
}


@pytest.mark.parametrize("name", losses.FUNCTIONS)
def test_functions(name):
    function = getattr(losses, name)
    assert name in losses.__all__ and function.__name__ == name and "y_true" in function.__doc__
    arguments = set()
    for y_true, y_pred, given, values in FUNCTIONS[name]:
        found = function(y_true, np.array(y_pred, float), **given)
        # Probabilities are kept 1e-7 away from 0 and 1, rates and logarithms as far from 0.
        np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-6)
        arguments |= given.keys()
    signature = inspect.signature(function)
    assert list(signature.parameters)[:2] == ["y_true", "y_pred"]
    assert arguments | {"axis"} >= set(list(signature.parameters)[2:]) >= arguments
    cls = losses.get(function)
    assert type(cls) is type(losses.get(name)) and cls.reduction == "sum_over_batch_size"


def test_functions_by_place():
    logits = np.array([[0.5, -1.0]])
    one = losses.binary_crossentropy([[1, 0]], logits, True, 0.1)
    other = losses.binary_crossentropy(y_pred=logits, y_true=[[1, 0]], label_smoothing=0.1,
                                       from_logits=True)  # fmt: skip
    np.testing.assert_array_equal(one, other)
    assert pickle.loads(pickle.dumps(losses.huber)) is losses.huber
    for wrong, message in [
        (lambda: losses.huber([[1]], [[1]], 1, 2), "huber: too many positional arguments"),
        (lambda: losses.hinge([[1]], [[1]], delta=2), "hinge: got an unexpected keyword argument"),
        # Keras has `ignore_class` at this place.
        (
            lambda: losses.sparse_categorical_crossentropy([0], [[1]], False, -1),
            "sparse_categorical_crossentropy: too many positional arguments",
        ),
    ]:
        with pytest.raises(TypeError, match=message):
            wrong()
    with pytest.raises(ValueError, match="delta: expected a positive number, got 0"):
        losses.huber([[1]], [[1]], delta=0)


def test_functions_stand_for_a_loss_and_for_metrics(rng, tmp_path):
    x = rng.standard_normal((20, 3))
    y = x.sum(axis=1, keepdims=True)
    models = []
    for loss in (losses.mean_squared_error, "mse"):
        fn.set_random_seed(0)
        model = fn.Sequential([fn.layers.Input(3), fn.layers.Dense(1)])
        model.compile("sgd", loss, [losses.mean_absolute_error, losses.huber])
        assert type(model.loss) is MeanSquaredError and not model.obstacles()
        model.fit(x, y, epochs=2, validation_split=0.25)
        models.append(model)
    assert [w.tobytes() for w in models[0].weights] == [w.tobytes() for w in models[1].weights]
    found, error = model.evaluate(x, y), np.abs(model.predict(x) - y)
    assert list(found) == ["loss", "mean_absolute_error", "huber"]
    assert found["mean_absolute_error"] == pytest.approx(error.mean(), rel=1e-5)
    assert found["huber"] == pytest.approx(
        np.where(error <= 1, error**2 / 2, error - 0.5).mean(), rel=1e-5
    )
    model.fit(x, y, callbacks=fn.callbacks.EarlyStopping("huber"))  # knows that lower is better
    model.save(tmp_path / "model")
    again = fn.load_model(tmp_path / "model")
    assert again.evaluate(x, y) == model.evaluate(x, y)
    # Targets that a metric cannot take are told of before anything is trained.
    model = fn.Sequential([fn.layers.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy", [losses.mean_squared_error])
    with pytest.raises(ValueError, match="metrics: expected targets that mean_squared_error can"):
        model.fit(x, rng.integers(0, 3, 20))
    assert model.optimizer.iterations == 0


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
@pytest.mark.parametrize("name", [name for name in CASES if name != "own"])
def test_kernel_by_name(name, scale, dtype, rng):
    cls, config, targets, predictions, kind = CASES[name]
    y_true, x, weight = targets(rng), predictions(rng).astype(dtype), rng.uniform(size=N)
    t = y_true.astype(dtype) if y_true.ndim == 2 else y_true
    numbers, weight = cls(**config).numbers, weight.astype(dtype)
    got = kernels.loss(kind, x, t, weight, scale, numbers)
    t = t.astype("d") if t.ndim == 2 else t
    wanted = reference.loss(kind, x.astype("d"), t, weight.astype("d"), scale, numbers)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=300 * np.finfo(dtype).eps)


def test_numbers_of_kernels(rng):
    x, t = _logits(rng), _normal(rng)
    for a, b in zip(
        kernels.loss("huber", x, t), kernels.loss("huber", x, t, numbers=[1]), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="kind: expected one of sparse_softmax_crossentropy"):
        kernels.loss("hing", x, t)
    with pytest.raises(ValueError) as error:
        kernels.loss("huber", x, t, numbers=(1, 2))
    assert str(error.value) == "numbers: expected at most 1 for huber, got 2"
    with pytest.raises(ValueError) as error:
        kernels.loss("huber", x, t, numbers=(np.inf,))
    assert str(error.value) == "numbers[0]: expected a finite number, got inf"
