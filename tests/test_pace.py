"""The number of threads follows what steps took, and changes no result."""

import numpy as np
import pytest

import fastnn as fn
from fastnn import _pace, layers, losses, optimizers, plan


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    now = [100.0]
    monkeypatch.setattr(_pace.time, "perf_counter", lambda: now[0])
    return now


def slow_together():
    pace = _pace.Pace(alone=1.0)
    for _ in range(2):
        assert pace.choose(2) == 2
        pace.note(2, 10, 15.0)
    return pace


def test_all_threads_while_they_are_fast(clock):
    pace = _pace.Pace(alone=1.0)
    for seconds in (5.0, 30.0, 6.0, 30.0, 7.0):  # one slow call in turn may be chance
        assert pace.choose(2) == 2
        pace.note(2, 10, seconds)
    assert pace.choose(2) == 2


def test_short_calls_do_not_count(clock):
    pace = _pace.Pace(alone=1.0)
    for _ in range(5):
        pace.note(2, _pace.STEPS - 1, 100.0)
    assert pace.choose(2) == 2


def test_one_thread_where_two_are_slower(clock):
    pace = slow_together()
    assert pace.choose(2) == 1
    pace.note(1, 10, 11.0)
    assert pace.choose(2) == 1
    # Two are tried again, more and more rarely.
    tried = []
    for step in range(1, 1000):
        clock[0] += 0.01
        threads = pace.choose(2)
        pace.note(threads, 10, 15.0 if threads == 2 else 11.0)
        if threads == 2:
            tried.append(step)
    assert tried == pytest.approx([5, 15, 35, 75, 155, 315, 515, 715, 915], abs=1)
    # They have become fast: they stay.
    while pace.choose(2) == 1:
        clock[0] += 0.01
    pace.note(2, 10, 6.0)
    assert pace.choose(2) == 2
    assert pace.choose(1) == 1


def test_two_threads_where_one_is_slower_still(clock):
    pace = slow_together()
    assert pace.choose(2) == 1
    pace.note(1, 10, 20.0)
    assert pace.choose(2) == 2


def test_multiply_adds_of_the_fastest_run(clock):
    class Core:
        """A core whose runs take 3, 1 and 2 milliseconds."""

        seconds = iter((3e-3, 1e-3, 2e-3))

        def fma_burn(self, n, threads):
            assert threads == 1
            clock[0] += next(self.seconds)
            return 4e6  # operations: two for each multiply-add

    assert _pace.multiply_adds(Core()) == pytest.approx(2e9, rel=1e-6)


def fitted(x, y, monkeypatch, rate):
    """Weights after epochs on two threads at most, and the numbers of threads that were used."""
    used, choose = set(), _pace.Pace.choose

    def watched(self, threads):
        threads = choose(self, threads)
        used.add(threads)
        return threads

    monkeypatch.setattr(plan, "multiply_adds", lambda core: rate)
    monkeypatch.setattr(_pace.Pace, "choose", watched)
    fn.set_random_seed(0)
    stack = [layers.Dense(256, "relu"), layers.Dense(128, "relu"), layers.Dense(10)]
    model = fn.Sequential(stack)
    model.compile(optimizers.Adam(), losses.SparseCategoricalCrossentropy(from_logits=True))
    with fn.num_threads(2):
        model.fit(x, y, batch_size=32, epochs=8, verbose=0)
    monkeypatch.undo()
    return model.get_weights(), used


@pytest.mark.skipif(not fn.show_config()["openmp"], reason="no OpenMP")
def test_a_changing_number_changes_nothing(rng, monkeypatch):
    x, y = rng.standard_normal((640, 64)).astype("f"), rng.integers(0, 10, 640)
    # A step is expected to take for ever, or no time at all.
    steady, used = fitted(x, y, monkeypatch, 1e-9)
    assert used == {2}
    changing, used = fitted(x, y, monkeypatch, 1e30)
    assert used == {1, 2}
    for one, other in zip(steady, changing, strict=True):
        np.testing.assert_array_equal(one, other)
