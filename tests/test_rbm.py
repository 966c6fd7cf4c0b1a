"""Restricted Boltzmann machine: against the sum over all states of a tiny one, and scikit-learn."""

import pickle

import numpy as np
import pytest

import fastnn as fn
from fastnn import BernoulliRBM, _random

HIDDEN, VISIBLE = 3, 4


def all_states(units):
    """Every row of so many bits."""
    return np.array(np.meshgrid(*units * [[0.0, 1.0]], indexing="ij")).reshape(units, -1).T


V, H = all_states(VISIBLE), all_states(HIDDEN)


def tiny(rng, dtype="float64", **settings):
    """A machine with parameters large enough for its units to depend on one another."""
    rbm = BernoulliRBM(HIDDEN, dtype=dtype, random_state=0, **settings)
    rbm.components_ = rng.normal(0, 2, (HIDDEN, VISIBLE))
    rbm.intercept_hidden_ = rng.normal(0, 1, HIDDEN)
    rbm.intercept_visible_ = rng.normal(0, 1, VISIBLE)
    return rbm


def joint(rbm):
    """P(v, h) of all pairs of states, by the definition of the energy."""
    energy = -(V @ rbm.intercept_visible_)[:, None] - H @ rbm.intercept_hidden_
    energy = energy - V @ rbm.components_.T @ H.T
    weight = np.exp(-energy)
    return weight / weight.sum()


def expectations(v_and_h):
    """The means of h v', h and v under P(v, h), in one vector."""
    parts = H.T @ v_and_h.T @ V, v_and_h.sum(0) @ H, v_and_h.sum(1) @ V
    return np.concatenate([part.ravel() for part in parts])


def flat(rbm):
    parts = rbm.components_, rbm.intercept_hidden_, rbm.intercept_visible_
    return np.concatenate([part.ravel() for part in parts])


# ---- the model's probabilities ---------------------------------------------------------------


def test_free_energy_is_log_probability(rng):
    rbm = tiny(rng)
    log_p = np.log(joint(rbm).sum(axis=1))
    difference = rbm.free_energy(V) - rbm.free_energy(V[:1])
    np.testing.assert_allclose(difference, log_p[0] - log_p, rtol=0, atol=1e-13)


def test_free_energy_of_strong_weights_is_finite():
    # exp(1000) overflows.
    rbm = BernoulliRBM(1)
    rbm.components_, rbm.intercept_hidden_, rbm.intercept_visible_ = [[1000.0]], [0.0], [0.0]
    np.testing.assert_array_equal(rbm.free_energy([[1.0]]), [-1000.0])


def test_transform_is_the_conditional_probability(rng):
    rbm = tiny(rng)
    p = joint(rbm)
    expected = p @ H / p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rbm.transform(V), expected, rtol=0, atol=1e-14)


def transition(rbm):
    """P(v' | v) of one step of Gibbs sampling, from the joint distribution alone."""
    p = joint(rbm)
    return (p / p.sum(axis=1, keepdims=True)) @ (p / p.sum(axis=0)).T


def test_gibbs_takes_one_step_of_the_chain(rng):
    rbm = tiny(rng)
    repeats = 20_000
    for v, expected in zip(V, transition(rbm), strict=True):
        drawn = rbm.gibbs(np.repeat(v[None], repeats, axis=0))
        counts = (drawn[:, None] == V).all(axis=2).sum(axis=0)
        assert counts.sum() == repeats  # each is a state
        error = np.sqrt(expected * (1 - expected) / repeats)
        assert (np.abs(counts / repeats - expected) < 5 * error).all()


# ---- what an update estimates ----------------------------------------------------------------

DATA = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [1, 1, 0, 1]], float)
REPEATS = 2_000


def noise(repeats=REPEATS):
    """Five standard errors, at most, of the difference of two means of numbers in [0, 1]."""
    return 5 * np.sqrt(2) / 2 / np.sqrt(len(DATA) * repeats)


def data_distribution():
    return (DATA[:, None] == V).all(axis=2).mean(axis=0)


def given_data(rbm, distribution):
    """P(v, h) where v has this distribution and h follows the model."""
    p = joint(rbm)
    return distribution[:, None] * p / p.sum(axis=1, keepdims=True)


def log_likelihood_gradient(rbm):
    """By central differences of the mean log likelihood of the data."""
    start, step = flat(rbm), 1e-5
    shapes = (HIDDEN, VISIBLE), (HIDDEN,), (VISIBLE,)

    def likelihood(values):
        other = BernoulliRBM(HIDDEN)
        parts = np.split(values, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
        other.components_, other.intercept_hidden_, other.intercept_visible_ = (
            part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)
        )
        return data_distribution() @ np.log(joint(other).sum(axis=1))

    unit = step * np.eye(len(start))
    return [(likelihood(start + e) - likelihood(start - e)) / (2 * step) for e in unit]


def updates(rbm, count=1, repeats=REPEATS):
    """The last of `count` updates, so small that the parameters stay as they are."""
    x = np.repeat(DATA, repeats, axis=0)
    for _ in range(count):
        before = flat(rbm)
        rbm.partial_fit(x)
    return (flat(rbm) - before) / rbm.learning_rate


def test_enumeration_gives_the_gradient(rng):
    # What the tests below compare with: the two means of the formula are the gradient.
    rbm = tiny(rng)
    formula = expectations(given_data(rbm, data_distribution())) - expectations(joint(rbm))
    np.testing.assert_allclose(formula, log_likelihood_gradient(rbm), rtol=0, atol=1e-9)


@pytest.mark.parametrize("k, repeats", [(1, 20_000), (2, 20_000), (60, REPEATS)])
def test_contrastive_divergence(rng, k, repeats):
    rbm = tiny(rng, k=k, persistent=False, learning_rate=1e-6)
    after = data_distribution() @ np.linalg.matrix_power(transition(rbm), k)
    data = expectations(given_data(rbm, data_distribution()))
    expected = data - expectations(given_data(rbm, after))
    found = updates(rbm, repeats=repeats)
    np.testing.assert_allclose(found, expected, rtol=0, atol=noise(repeats))
    # Many steps approach the gradient of the likelihood; a few are clearly away from it.
    distance = np.abs(found - (data - expectations(joint(rbm)))).max()
    assert (distance < noise(repeats)) == (k == 60)


@pytest.mark.parametrize("k, count", [(1, 60), (3, 20)])
def test_persistent_chains_reach_the_model(rng, k, count):
    rbm = tiny(rng, k=k, learning_rate=1e-6, batch_size=len(DATA) * REPEATS)
    data = expectations(given_data(rbm, data_distribution()))
    expected = data - expectations(joint(rbm))
    np.testing.assert_allclose(updates(rbm, count), expected, rtol=0, atol=noise())


def test_batch_and_chains_of_different_sizes(rng):
    # Each mean is over its own rows.
    rbm = tiny(rng, learning_rate=1e-6, batch_size=2 * len(DATA) * REPEATS)
    expected = expectations(given_data(rbm, data_distribution())) - expectations(joint(rbm))
    np.testing.assert_allclose(updates(rbm, 60), expected, rtol=0, atol=noise())


def test_first_update_by_hand():
    # New chains hold 0, so that v is drawn from the visible intercepts alone: of +-40, certain.
    rbm = BernoulliRBM(2, learning_rate=0.5, batch_size=1, dtype="float64", random_state=0)
    rbm.components_ = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 0.5]])
    rbm.intercept_hidden_ = np.array([0.25, -0.25])
    rbm.intercept_visible_ = np.array([40.0, -40.0, 40.0])
    w, b = rbm.components_.copy(), rbm.intercept_hidden_.copy()
    data, fantasy = np.array([0.0, 1.0, 0.5]), np.array([1.0, 0.0, 1.0])
    p_data, p_fantasy = (1 / (1 + np.exp(-(w @ v + b))) for v in (data, fantasy))
    rbm.partial_fit(data[None])
    np.testing.assert_allclose(
        rbm.components_, w + 0.5 * (np.outer(p_data, data) - np.outer(p_fantasy, fantasy)), 1e-14
    )
    np.testing.assert_allclose(rbm.intercept_hidden_, b + 0.5 * (p_data - p_fantasy), 1e-14)
    np.testing.assert_array_equal(rbm.intercept_visible_, [39.5, -39.5, 39.75])
    assert set(rbm.h_samples_.ravel()) <= {0.0, 1.0}


# ---- training --------------------------------------------------------------------------------


def digits():
    (x, _), _ = fn.datasets.load_digits()
    return (x > 0.5).astype(np.float32)


@pytest.mark.parametrize("persistent", [True, False])
def test_pseudo_likelihood_rises(persistent):
    x = digits()
    scores = [
        BernoulliRBM(
            64, learning_rate=0.05, n_iter=n, persistent=persistent, random_state=0
        ).fit(x).score(x)
        for n in (0, 1, 10)
    ]  # fmt: skip
    # Units of no meaning: 64 log(1/2).
    assert scores[0] == pytest.approx(-64 * np.log(2), abs=1)
    assert scores[1] > scores[0] + 15
    assert scores[2] > scores[1] + 3


def test_every_pass_takes_each_row_once():
    class Recorder(BernoulliRBM):
        def _learn(self, X, rows, scratch):
            batches.append(rows.tolist())
            super()._learn(X, rows, scratch)

    batches = []
    Recorder(2, batch_size=3, n_iter=2, random_state=0).fit(np.eye(7, 9))
    assert [len(rows) for rows in batches] == 2 * [3, 2, 2]
    first, second = sum(batches[:3], []), sum(batches[3:], [])
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


def test_same_seed_same_bits():
    x = digits()[:200]

    def learnt(threads, seed):
        with fn.num_threads(threads):
            return BernoulliRBM(40, n_iter=2, k=2, random_state=seed).fit(x)

    first = learnt(1, 5)
    for threads in (1, 2, 3):
        np.testing.assert_array_equal(flat(learnt(threads, 5)), flat(first))
    assert (flat(learnt(1, 6)) != flat(first)).any()


def test_without_seed_the_library_s_is_used():
    x = digits()[:50]
    fn.set_random_seed(3)
    first, second = (BernoulliRBM(5, n_iter=1).fit(x) for _ in range(2))
    fn.set_random_seed(3)
    again = BernoulliRBM(5, n_iter=1).fit(x)
    np.testing.assert_array_equal(flat(again), flat(first))
    assert (flat(second) != flat(first)).any()


def test_copy_goes_on_alike():
    x = digits()[:50]
    rbm = BernoulliRBM(5, n_iter=1, random_state=0).fit(x)
    copy = pickle.loads(pickle.dumps(rbm))
    np.testing.assert_array_equal(flat(copy.partial_fit(x)), flat(rbm.partial_fit(x)))


def test_settings_changed_between_updates():
    x = np.eye(6)
    rbm, same = (BernoulliRBM(3, batch_size=4, n_iter=1, random_state=0).fit(x) for _ in range(2))
    rbm.batch_size = 9
    np.testing.assert_array_equal(flat(rbm.partial_fit(x)), flat(same.partial_fit(x)))
    rbm.k, rbm.dtype = 2, "float64"
    rbm.partial_fit(x)
    assert rbm.components_.dtype == rbm.h_samples_.dtype == np.float64
    assert rbm.h_samples_.shape == (4, 3) and np.isin(rbm.h_samples_, (0, 1)).all()
    rbm.h_samples_ = np.zeros((4, 2))
    with pytest.raises(ValueError, match="^h_samples_: expected 3 features, got 2"):
        rbm.partial_fit(x)


def test_partial_fit_starts_as_fit_does():
    x = digits()[:10]
    rbm = BernoulliRBM(5, n_iter=0, random_state=0)
    start = flat(rbm.fit(x))
    np.testing.assert_array_equal(start[5 * 64 :], 0)
    # 320 draws of deviation 0.01
    assert start[: 5 * 64].std() == pytest.approx(0.01, rel=4 / np.sqrt(2 * 320))
    np.testing.assert_array_equal(
        flat(BernoulliRBM(5, random_state=0).partial_fit(x)), flat(rbm.partial_fit(x))
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_types(dtype):
    x = digits()[:30].astype(bool)
    rbm = BernoulliRBM(5, n_iter=1, random_state=0, dtype=dtype).fit(x)
    results = flat(rbm), rbm.transform(x), rbm.gibbs(x), rbm.free_energy(x), rbm.score_samples(x)
    assert {result.dtype for result in results} == {np.dtype(dtype)}
    assert isinstance(rbm.score(x), float)
    assert rbm.n_features_in_ == 64 and rbm.h_samples_.shape == (10, 5)


# ---- scikit-learn ----------------------------------------------------------------------------


@pytest.fixture
def pair():
    """A trained machine, and scikit-learn's with the same parameters."""
    neural_network = pytest.importorskip("sklearn.neural_network")
    ours = BernoulliRBM(20, n_iter=2, random_state=0, dtype="float64").fit(digits())
    theirs = neural_network.BernoulliRBM(20, n_iter=0).fit(digits().astype(np.float64))
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        assert getattr(ours, name).shape == getattr(theirs, name).shape
        setattr(theirs, name, getattr(ours, name))
    return ours, theirs


def test_transform_is_scikit_learn_s(pair):
    ours, theirs = pair
    x = digits().astype(np.float64)
    # A sum of 64 products, in a sigmoid of slope at most 1/4.
    np.testing.assert_allclose(ours.transform(x), theirs.transform(x), rtol=0, atol=1e-13)


def test_scores_are_scikit_learn_s(pair):
    ours, theirs = pair
    x = digits().astype(np.float64)

    class SameUnits(np.random.RandomState):
        def randint(self, low, high, size):
            return _random.seeded(0).integers(low, high, size)

    theirs.random_state = SameUnits()
    expected = theirs.score_samples(x)
    np.testing.assert_allclose(ours.score_samples(x), expected, rtol=0, atol=1e-10)
    assert ours.score(x) == pytest.approx(expected.mean(), abs=1e-10)


def test_serves_in_a_pipeline():
    pytest.importorskip("sklearn")
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline

    (x, y), (x_test, _) = fn.datasets.load_digits()
    rbm = BernoulliRBM(20, n_iter=2, random_state=0)
    found = make_pipeline(rbm, GaussianNB()).fit(x, y).predict(x_test)
    by_hand = GaussianNB().fit(rbm.transform(x), y).predict(rbm.transform(x_test))
    np.testing.assert_array_equal(found, by_hand)


def test_defaults_are_scikit_learn_s():
    theirs = pytest.importorskip("sklearn.neural_network").BernoulliRBM()
    ours = BernoulliRBM()
    for name in ("n_components", "learning_rate", "batch_size", "n_iter", "random_state"):
        assert getattr(ours, name) == getattr(theirs, name), name


def test_learns_as_well_as_scikit_learn():
    neural_network = pytest.importorskip("sklearn.neural_network")
    settings = {"n_components": 64, "learning_rate": 0.05, "n_iter": 5, "random_state": 0}
    x = digits().astype(np.float64)
    theirs = neural_network.BernoulliRBM(**settings).fit(x).score_samples(x)
    ours = BernoulliRBM(**settings, dtype="float64").fit(x).score_samples(x)
    error = np.sqrt((ours.var() + theirs.var()) / len(x))
    assert ours.mean() > theirs.mean() - 4 * error


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"n_components": 0}, ValueError, "n_components: expected a positive integer, got 0"),
        ({"n_components": 2.5}, TypeError, "n_components: expected a positive integer, got 2.5"),
        ({"learning_rate": 0}, ValueError, "learning_rate: expected a positive number, got 0"),
        ({"batch_size": 0}, ValueError, "batch_size: expected a positive integer, got 0"),
        ({"n_iter": -1}, ValueError, "n_iter: expected a non-negative integer, got -1"),
        ({"k": 0}, ValueError, "k: expected a positive integer, got 0"),
        ({"persistent": 1}, TypeError, "persistent: expected True or False, got 1"),
        (
            {"random_state": -1},
            ValueError,
            "random_state: expected a non-negative integer, got -1",
        ),
        ({"dtype": "int8"}, ValueError, "dtype: expected float32 or float64, got 'int8'"),
    ],
)
def test_wrong_settings(settings, error, message):
    with pytest.raises(error) as caught:
        BernoulliRBM(**settings)
    assert str(caught.value) == message


BAD_DATA = [
    ([[0.5, 2.0]], "expected numbers in [0, 1], got 2.0 at row 0, column 1"),
    ([[0.5, 0.0], [-1.0, 0.0]], "expected numbers in [0, 1], got -1.0 at row 1, column 0"),
    ([[np.nan, 0.0]], "expected numbers in [0, 1], got nan at row 0, column 0"),
    ([[1.0, 0.0, 1.0]], "expected 2 features, got 3 (shape (1, 3))"),
    ([1.0, 0.0], "expected 2 axes (n, features), got 1 (shape (2,))"),
]


@pytest.mark.parametrize("x, message", BAD_DATA)
@pytest.mark.parametrize(
    "method", ["partial_fit", "transform", "gibbs", "free_energy", "score_samples", "score"]
)
def test_wrong_data(method, x, message):
    rbm = BernoulliRBM(3, n_iter=1, random_state=0).fit([[0.0, 1.0], [1.0, 1.0]])
    before = flat(rbm)
    with pytest.raises(ValueError) as caught:
        getattr(rbm, method)(x)
    name = "v" if method in ("gibbs", "free_energy") else "X"
    assert str(caught.value) == f"{name}: {message}"
    np.testing.assert_array_equal(flat(rbm), before)


def test_sparse_data_are_named():
    sparse = pytest.importorskip("scipy.sparse")
    for x in (sparse.csr_matrix(np.eye(3)), sparse.coo_array(np.eye(3))):
        with pytest.raises(TypeError) as caught:
            BernoulliRBM(2).fit(x)
        message = "X: expected a plain array, got a sparse one (use .toarray())"
        assert caught.value.args == (message,)


@pytest.mark.parametrize("x, message", [bad for bad in BAD_DATA if "features, got" not in bad[1]])
def test_wrong_data_to_fit_changes_nothing(x, message):
    rbm = BernoulliRBM(3, n_iter=1, random_state=0).fit([[0.0, 1.0], [1.0, 1.0]])
    before = flat(rbm)
    with pytest.raises(ValueError) as caught:
        rbm.fit(x)
    assert str(caught.value) == f"X: {message}"
    np.testing.assert_array_equal(flat(rbm), before)


def test_nothing_learnt_yet():
    for method in ("transform", "gibbs", "free_energy", "score_samples"):
        with pytest.raises(ValueError) as caught:
            getattr(BernoulliRBM(), method)([[1.0]])
        assert str(caught.value) == f"{method}: expected a trained machine; call fit(X) first"


def test_wrong_parameters():
    rbm = BernoulliRBM(3, n_iter=0, random_state=0).fit([[0.0, 1.0]])
    rbm.intercept_visible_ = np.zeros(3)
    with pytest.raises(ValueError) as caught:
        rbm.transform([[0.0, 1.0]])
    assert str(caught.value) == "intercept_visible_: expected shape (2,), got (3,)"
