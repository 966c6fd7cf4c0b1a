"""Fixtures that every test file may use."""

import numpy as np
import pytest

import fastnn as fn


@pytest.fixture
def rng():
    """Random numbers, the same in every run."""
    return np.random.default_rng(20240229)


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    """No test may leave another number of threads to the next."""
    before = fn.get_num_threads()
    yield
    assert fn.get_num_threads() == before
