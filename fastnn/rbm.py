"""Restricted Boltzmann machine, by the names of scikit-learn's `BernoulliRBM`.

A layer of visible and one of hidden units, all 0 or 1, with the energy
``E(v, h) = -a.v - b.h - h.W.v`` and the probability ``exp(-E) / Z`` [1]. Given one layer, the units
of the other are independent: ``P(h = 1 | v) = sigmoid(W v + b)``, ``P(v = 1 | h) = sigmoid(W' h +
a)``. The gradient of the log likelihood is the mean of ``h v'`` over the data less its mean over
the model [1, eq. 2], and the latter is what the chains of Gibbs sampling estimate.

Sources
-------
[1] G. Hinton, Training products of experts by minimizing contrastive divergence, Neural
    Computation 14, 2002.
[2] T. Tieleman, Training restricted Boltzmann machines using approximations to the likelihood
    gradient, ICML 2008: chains that persist from one batch to the next.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnn import _random, kernels
from fastnn import _validate as check
from fastnn._parts import Part

__all__ = ["BernoulliRBM"]


class BernoulliRBM(Part):
    """A restricted Boltzmann machine of binary units.

    Parameters
    ----------
    n_components : int
        Number of hidden units, H, at least 1.
    learning_rate : float
        Positive.
    batch_size : int
        Rows of a mini-batch, at most; also the number of persistent chains. At least 1.
    n_iter : int
        Passes of `fit` over the data, each in a random order; at least 0.
    k : int
        Steps of Gibbs sampling before each update, at least 1.
    persistent : bool
        Whether the chains go on from where the last batch left them [2], as scikit-learn's do. If
        not, they start at the batch: contrastive divergence [1].
    random_state : int, optional
        With a seed, training is the same every time, to the last bit and for any number of threads.
        Without, numbers come from the sequence that `fastnn.set_random_seed` starts.
    dtype : {"float32", "float64"}
        Type of the parameters and of what is computed.

    Attributes
    ----------
    components_ : ndarray of shape (H, F)
        The weights W, between H hidden units and F visible ones. All three are updated in place.
    intercept_hidden_ : ndarray of shape (H,)
    intercept_visible_ : ndarray of shape (F,)
    h_samples_ : ndarray of shape (batch_size, H)
        Hidden units of the persistent chains. They stay as many as `fit` or the first `partial_fit`
        made them.
    n_features_in_ : int
        F.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, or out of its range.

    Examples
    --------
    >>> import fastnn as fn
    >>> (x, _), _ = fn.datasets.load_digits()
    >>> rbm = fn.BernoulliRBM(n_components=100, learning_rate=0.06, random_state=0).fit(x)
    >>> rbm.transform(x).shape
    (1437, 100)
    """

    def __init__(
        self,
        n_components: int = 256,
        *,
        learning_rate: float = 0.1,
        batch_size: int = 10,
        n_iter: int = 10,
        k: int = 1,
        persistent: bool = True,
        random_state: int | None = None,
        dtype: DTypeLike = "float32",
    ) -> None:
        self.n_components = check.positive_int(n_components, "n_components")
        self.learning_rate = check.positive_rate(learning_rate, "learning_rate")
        self.batch_size = check.positive_int(batch_size, "batch_size")
        self.n_iter = check.non_negative_int(n_iter, "n_iter")
        self.k = check.positive_int(k, "k")
        self.persistent = check.flag(persistent, "persistent")
        self.random_state = (
            None if random_state is None else check.non_negative_int(random_state, "random_state")
        )
        self.dtype = check.as_dtype(dtype).name

    h_samples_: np.ndarray

    # ---- training ----------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn from all rows, `n_iter` times, from new parameters.

        Parameters
        ----------
        X : array_like of shape (n, F)
            Numbers in [0, 1]: states, or probabilities of a 1. Of any type and layout, but dense.
        y
            Not used.

        Returns
        -------
        BernoulliRBM
            This one.

        Raises
        ------
        TypeError, ValueError
            If `X` is no such matrix; the parameters are as they were.
        """
        X = check.as_probabilities(X, "X", self.dtype)
        self._start(X.shape[1])
        batches = -(-len(X) // self.batch_size)
        scratch = _Scratch(self, min(len(X), self.batch_size))
        for _ in range(self.n_iter):
            # Of even sizes: a short last batch would move the weights as much, with more noise.
            for rows in np.array_split(self.random_state_.permutation(len(X)), batches):
                self._learn(X, rows, scratch)
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Make one update from all rows as one batch; new parameters only if there are none yet.

        Parameters
        ----------
        X : array_like of shape (n, F)
            As in `fit`.
        y
            Not used.

        Returns
        -------
        BernoulliRBM
            This one.

        Raises
        ------
        TypeError, ValueError
            If `X` is no such matrix, or of other than F features; nothing has changed then.
        """
        if hasattr(self, "components_"):
            kernel, hidden, visible = self._parameters("partial_fit")
            X = check.as_probabilities(X, "X", self.dtype, len(kernel))
            # Others may have been set, of any layout and type.
            self.components_, self.intercept_hidden_ = kernel.T, hidden
            self.intercept_visible_ = visible
            if not hasattr(self, "h_samples_"):
                self._start_chains()
            self.h_samples_ = check.as_matrix(
                self.h_samples_, "h_samples_", self.dtype, len(hidden)
            )
        else:
            X = check.as_probabilities(X, "X", self.dtype)
            self._start(X.shape[1])
        self._learn(X, np.arange(len(X)), _Scratch(self, len(X)))
        return self

    def _start(self, features: int) -> None:
        """Make new parameters: small random weights, as scikit-learn's, and no intercepts."""
        self._start_chains()
        kernel = 0.01 * self.random_state_.standard_normal((features, self.n_components))
        self.components_ = kernel.astype(self.dtype).T
        self.intercept_hidden_ = np.zeros(self.n_components, self.dtype)
        self.intercept_visible_ = np.zeros(features, self.dtype)
        self.n_features_in_ = features

    def _start_chains(self) -> None:
        self.random_state_ = self._generator()
        self.h_samples_ = np.zeros((self.batch_size, self.n_components), self.dtype)

    def _learn(self, X: np.ndarray, rows: np.ndarray, scratch: _Scratch) -> None:
        """Make one update from these rows of X."""
        n = len(rows)
        chains = len(self.h_samples_) if self.persistent else n
        # Data above, chains below: one product serves both wherever they meet the same weights.
        visible, hidden = scratch.visible[: n + chains], scratch.hidden[: n + chains]
        np.take(X, rows, axis=0, out=visible[:n], mode="clip")
        if self.persistent:
            states = self.h_samples_
        else:
            states = self._mean_hidden(visible[:n], hidden[n:])
            self._sample(states, scratch)
        for step in range(self.k):
            if step:
                self._sample(self._mean_hidden(visible[n:], states), scratch)
            self._sample(self._mean_visible(states, visible[n:]), scratch)
        self._mean_hidden(visible, hidden)
        if self.persistent:
            states[...] = hidden[n:]
            self._sample(states, scratch)

        rates = scratch.rates[: n + chains]
        rates[:n], rates[n:] = self.learning_rate / n, -self.learning_rate / chains
        hidden *= rates
        kernel = self.components_.T
        kernel += kernels.matmul(visible, hidden, transpose_a=True, out=scratch.kernel)
        self.intercept_hidden_ += kernels.column_sum(hidden)
        self.intercept_visible_ += kernels.matmul(rates, visible, transpose_a=True)[0]

    def _mean_hidden(self, visible: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """P(h = 1 | v)."""
        return kernels.dense_forward(
            visible, self.components_.T, self.intercept_hidden_, "sigmoid", out
        )

    def _mean_visible(self, hidden: np.ndarray, out: np.ndarray) -> np.ndarray:
        """P(v = 1 | h)."""
        kernels.matmul(hidden, self.components_.T, transpose_b=True, out=out)
        out += self.intercept_visible_
        return kernels.sigmoid(out, out)

    def _sample(self, mean: np.ndarray, scratch: _Scratch) -> None:
        """Put 1 in place of each probability with that probability, else 0."""
        uniform = scratch.uniform[: mean.size].reshape(mean.shape)
        self.random_state_.random(out=uniform, dtype=uniform.dtype)
        np.less(uniform, mean, out=mean)

    def _generator(self) -> np.random.Generator:
        if self.random_state is None:
            return _random.generator()
        return _random.seeded(self.random_state)

    # ---- what was learnt ---------------------------------------------------------------------

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the probabilities of the hidden units, ``P(h = 1 | v)``.

        Parameters
        ----------
        X : array_like of shape (n, F)
            Numbers in [0, 1].

        Returns
        -------
        ndarray of shape (n, H)
            Of `dtype`.

        Raises
        ------
        TypeError, ValueError
            If `X` is no such matrix, or nothing was learnt yet.
        """
        X, kernel, hidden, _ = self._visible(X, "X", "transform")
        return kernels.dense_forward(X, kernel, hidden, "sigmoid")

    def fit_transform(self, X: ArrayLike, y: Any = None) -> np.ndarray:
        """Learn from `X` and return its `transform`.

        Parameters
        ----------
        X : array_like of shape (n, F)
            As in `fit`.
        y
            Not used.

        Returns
        -------
        ndarray of shape (n, H)

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        """
        return self.fit(X).transform(X)

    def gibbs(self, v: ArrayLike) -> np.ndarray:
        """Take one step of Gibbs sampling: hidden units given `v`, then visible ones given those.

        Parameters
        ----------
        v : array_like of shape (n, F)
            Numbers in [0, 1].

        Returns
        -------
        ndarray of shape (n, F)
            0 or 1 everywhere.

        Raises
        ------
        TypeError, ValueError
            As `transform`.
        """
        v, kernel, hidden, visible = self._visible(v, "v", "gibbs")
        if not hasattr(self, "random_state_"):
            self.random_state_ = self._generator()
        draw = self.random_state_.random
        h = kernels.dense_forward(v, kernel, hidden, "sigmoid")
        h = np.less(draw(h.shape, h.dtype), h, out=h)
        mean = kernels.sigmoid(kernels.matmul(h, kernel, transpose_b=True) + visible)
        return np.less(draw(mean.shape, mean.dtype), mean, out=mean)

    def free_energy(self, v: ArrayLike) -> np.ndarray:
        """Return ``F(v) = -log(sum_h exp(-E(v, h)))``, so that ``P(v) = exp(-F(v)) / Z``.

        ``F(v) = -a.v - sum_j log(1 + exp(b_j + W_j.v))``.

        Parameters
        ----------
        v : array_like of shape (n, F)
            Numbers in [0, 1].

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        TypeError, ValueError
            As `transform`.
        """
        v, kernel, hidden, visible = self._visible(v, "v", "free_energy")
        softplus = np.logaddexp(0, kernels.dense_forward(v, kernel, hidden))
        return -kernels.matmul(v, visible[:, None])[:, 0] - softplus.sum(axis=1)

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Return an estimate of each row's pseudo-likelihood, ``sum_i log P(v_i | the others)``.

        One unit of each row, drawn at random, stands for all F of them, as in scikit-learn:
        ``F log sigmoid(F(v with v_i flipped) - F(v))``. With a `random_state` the same units are
        drawn at every call.

        Parameters
        ----------
        X : array_like of shape (n, F)
            States, 0 or 1; numbers between are flipped to ``1 - v_i``, as in scikit-learn.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        TypeError, ValueError
            As `transform`.
        """
        X, *_ = self._visible(X, "X", "score_samples")
        n, features = X.shape
        rows, units = np.arange(n), self._generator().integers(0, features, n)
        flipped = X.copy()
        flipped[rows, units] = 1 - flipped[rows, units]
        # log(sigmoid(x)) = -log(1 + exp(-x))
        return -features * np.logaddexp(0, self.free_energy(X) - self.free_energy(flipped))

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the mean of `score_samples`.

        Parameters
        ----------
        X : array_like of shape (n, F)
            As there.
        y
            Not used.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            As `transform`.
        """
        return float(self.score_samples(X).mean())

    def _visible(
        self, v: Any, name: str, method: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return `v`, checked, and the parameters."""
        kernel, hidden, visible = self._parameters(method)
        return check.as_probabilities(v, name, self.dtype, len(kernel)), kernel, hidden, visible

    def _parameters(self, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the kernel, F by H, and both intercepts: copies only if someone set others."""
        if not hasattr(self, "components_"):
            raise ValueError(f"{method}: expected a trained machine; call fit(X) first")
        kernel = check.as_matrix(np.transpose(self.components_), "components_", self.dtype)
        features, units = kernel.shape
        return (
            kernel,
            check.as_vector(self.intercept_hidden_, "intercept_hidden_", self.dtype, units),
            check.as_vector(self.intercept_visible_, "intercept_visible_", self.dtype, features),
        )


class _Scratch:
    """What an update writes to, made once for many."""

    def __init__(self, rbm: BernoulliRBM, rows: int) -> None:
        units, features = rbm.components_.shape
        chains = len(rbm.h_samples_) if rbm.persistent else rows
        total = rows + chains
        self.visible = np.empty((total, features), rbm.dtype)
        self.hidden = np.empty((total, units), rbm.dtype)
        self.rates = np.empty((total, 1), rbm.dtype)
        self.uniform = np.empty(max(rows, chains) * max(units, features), rbm.dtype)
        self.kernel = np.empty((features, units), rbm.dtype)
