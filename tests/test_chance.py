"""The random numbers of dropout and noise: by counter, the same everywhere, of the right law."""

import numpy as np
import pytest
import scipy.stats

import fastnn as fn
from fastnn import kernels, layers, reference

# Counter, key and result of Philox4x32-10, from the known-answer tests of the Random123 library.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000 00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


@pytest.mark.parametrize("given, expected", KNOWN_ANSWERS)
def test_philox_known_answers(given, expected):
    words = [int(word, 16) for word in given.split()]
    found = reference._philox(words[:4], words[4:])
    assert [f"{int(word):08x}" for word in found] == expected.split()


def test_the_kernel_draws_the_words_of_the_twin():
    # The mask tells a word's bits by where it changes with the rate.
    seed, number, x = 0x299F31D0A4093822, 0x0370734413198A2E, np.ones((7, 31), "f")
    words = reference._words(x.size, seed, number).reshape(x.shape)
    for word in words.ravel()[::19]:
        for rate in (word / 2**32, (word + 1) / 2**32):
            _, mask = kernels.dropout(x, rate, seed, number)
            assert np.array_equal(mask != 0, words >= int(rate * 2**32))


@pytest.mark.parametrize("rate", [0, 0.1, 0.5, 0.9, 1])
def test_dropout_keeps_the_share_and_the_mean(rate):
    n = 1000
    y, mask = kernels.dropout(np.full((n, n), 3.0), rate, seed=1)
    kept = (mask != 0).mean()
    # Five standard deviations of a binomial share.
    assert abs(kept - (1 - rate)) <= 5 * np.sqrt(rate * (1 - rate)) / n
    assert np.array_equal(y, 3 * mask)
    if rate < 1:
        assert set(np.unique(mask)) <= {0, 1 / (1 - rate)}
    # No pattern along rows, columns or the diagonal.
    for moved in (mask[1:, :-1], mask[:-1, 1:], mask[1:, 1:]):
        both = ((moved != 0) & (mask[:-1, :-1] != 0)).mean()
        assert abs(both - (1 - rate) ** 2) <= 5 / n


def test_the_same_draw_for_any_threads_and_precision():
    x = np.ones((401, 333))
    masks, noises = [], []
    for threads in (1, 2, 3):
        with fn.num_threads(threads):
            masks += [kernels.dropout(x.astype(kind), 0.4, 9, 2)[1] != 0 for kind in "fd"]
            noises += [kernels.gaussian_noise(x, 0.4, 9, 2)]
            single = kernels.gaussian_noise(x.astype("f"), 0.4, 9, 2)
            np.testing.assert_allclose(single, noises[0], rtol=0, atol=8 * np.finfo("f").eps)
    assert all(np.array_equal(mask, masks[0]) for mask in masks)
    assert all(np.array_equal(noise, noises[0]) for noise in noises)


def test_another_number_or_seed_is_another_draw():
    x = np.ones((20, 30))
    draws = [
        kernels.dropout(x, 0.5, seed, number)[1].tobytes()
        for seed in (0, 1, 2**32, 2**64 - 1)
        for number in (0, 1, 2**32, 2**64 - 1)
    ]
    assert len(set(draws)) == len(draws)


def test_noise_is_normal():
    z = kernels.gaussian_noise(np.zeros((500, 500)), 1, seed=4).ravel()
    assert scipy.stats.kstest(z, "norm").pvalue > 1e-3
    # Sine and cosine of one angle lie 16 elements apart: neither they nor neighbours go together.
    for lag in (1, 2, 16, 32, 64):
        assert abs(np.corrcoef(z[:-lag], z[lag:])[0, 1]) < 5 / np.sqrt(z.size)
    half = kernels.gaussian_noise(np.full((500, 500), 2.0), 0.5, seed=4).ravel()
    np.testing.assert_allclose(half, 2 + z / 2, rtol=0, atol=1e-14)
    quiet = np.ones((2, 3))
    assert np.array_equal(kernels.gaussian_noise(quiet, 0, seed=4), quiet)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: kernels.dropout(x, 1.5, 0), "rate: expected a number in [0, 1], got 1.5"),
        (lambda x: kernels.dropout(x, 0.5, -1), "seed: expected a non-negative integer, got -1"),
        (lambda x: kernels.dropout(x, 0.5, 0, 2**64), "number: expected an integer below 2**64"),
        (lambda x: kernels.gaussian_noise(x, -1, 0), "stddev: expected a non-negative number"),
        (lambda x: kernels.gaussian_noise(x[0], 1, 0), "x: expected 2 axes (n, features), got 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError) as error:
        call(np.ones((2, 3)))
    assert str(error.value).startswith(message)


# ---- the layers ----------------------------------------------------------------------------------


def drawing_layers():
    return [layers.Dropout(0.4, seed=3), layers.GaussianNoise(0.5, seed=3)]


def test_layers_draw_only_while_training(rng):
    x = rng.standard_normal((5, 7)).astype("f")
    for layer in drawing_layers():
        assert np.array_equal(layer(x), x)
        assert np.array_equal(layer.backward(x), x)
        assert (layer(x, training=True) != x).any()
        assert layer.draws == 1
    for still in (layers.Dropout(0), layers.GaussianNoise(0)):
        assert np.array_equal(still(x, training=True), x)
    assert (layers.Dropout(1)(x, training=True) == 0).all()


def test_layers_go_back_as_they_came(rng):
    x, dy = rng.standard_normal((2, 5, 7)).astype("f")
    dropout, noise = drawing_layers()
    y = dropout(x, training=True)
    assert np.array_equal(dropout.backward(dy), np.where(y == 0, 0, dy * np.float32(1 / 0.6)))
    noise(x, training=True)
    assert np.array_equal(noise.backward(dy), dy)


def test_each_forward_is_a_draw_of_its_own(rng):
    x = rng.standard_normal((50, 60)).astype("f")
    for first, second in zip(drawing_layers(), drawing_layers(), strict=True):
        draws = [first(x, training=True) for _ in range(3)]
        assert (draws[0] != draws[1]).any() and (draws[1] != draws[2]).any()
        for draw in draws:
            assert np.array_equal(second(x, training=True), draw)


def test_without_a_seed_the_shared_generator_gives_one():
    x = np.ones((50, 60), "f")
    draws = []
    for seed in (1, 1, 2):
        fn.set_random_seed(seed)
        pair = layers.Dropout(0.5), layers.Dropout(0.5)
        assert pair[0].seed is None and pair[0].get_config()["seed"] is None
        draws.append([layer(x, training=True) for layer in pair])
        assert (draws[-1][0] != draws[-1][1]).any()
    assert np.array_equal(draws[0], draws[1]) and (draws[0][0] != draws[2][0]).any()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: layers.Dropout(-0.1), "rate: expected a number in [0, 1], got -0.1"),
        (lambda: layers.Dropout(0.5, seed=-1), "seed: expected a non-negative integer, got -1"),
        (lambda: layers.GaussianNoise(-1), "stddev: expected a non-negative number, got -1"),
    ],
)
def test_construction_errors(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
