"""The order in which rows are taken: every order as likely as another, the same everywhere."""

import numpy as np
import pytest
import scipy.stats

import fastnn as fn
from fastnn import _dispatch, _random, reference


def by_the_book(n, seed):
    """Fisher and Yates from the inside out, with Lemire's numbers below a bound."""
    order, words = [], iter(reference._words(3 * n + 64, seed, 0).tolist())
    for i in range(n):
        product = next(words) * (i + 1)
        while product % 2**32 < 2**32 % (i + 1):
            product = next(words) * (i + 1)
        j = product >> 32
        order.append(i)
        order[i], order[j] = order[j], i
    return order


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 2, 63, 64, 65, 1000, 70001])
def test_permutation_is_that_of_the_book(dtype, n):
    for seed in (0, 2**64 - 1):
        found = _dispatch.core(dtype).permutation(n, seed)
        assert found.dtype == np.int64 and found.shape == (n,)
        assert found.tolist() == by_the_book(n, seed)


def test_too_many_rows_are_refused():
    # Beyond, numbers below a bound would be drawn for ever.
    with pytest.raises(
        ValueError, match=r"permutation: expected fewer than 2\*\*32 rows, got 4294967296"
    ):
        _random.permutation(2**32)


def test_every_order_is_as_likely():
    fn.set_random_seed(0)
    places = 5 ** np.arange(5)
    found = [int(_random.permutation(5) @ places) for _ in range(24_000)]
    _, counts = np.unique(found, return_counts=True)
    assert len(counts) == 120
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_the_seed_decides():
    orders = []
    for seed in (3, 3, 4):
        fn.set_random_seed(seed)
        orders.append((_random.permutation(50).tolist(), _random.permutation(50).tolist()))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][0] != orders[0][1]
