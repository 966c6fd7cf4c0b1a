"""Every check accepts what it should, exactly converted, and words its error as promised."""

import re

import numpy as np
import pytest

from fastnn import _validate as check

X = np.arange(6.0).reshape(2, 3)
READ_ONLY = np.zeros(3)
READ_ONLY.flags.writeable = False

# call, type of error, exact text
ERRORS = [
    (lambda: check.as_numbers(["a"], "x"), TypeError,
     "x: expected real numbers of at most 64 bits, got <U1"),
    (lambda: check.as_numbers([1j], "x"), TypeError,
     "x: expected real numbers of at most 64 bits, got complex128"),
    (lambda: check.as_numbers([None], "x"), TypeError,
     "x: expected real numbers of at most 64 bits, got object"),
    (lambda: check.as_numbers([[1], [1, 2]], "x"), ValueError,
     "x: expected an array, got rows of unequal length"),
    (lambda: check.as_numbers(np.ma.masked_equal([1, 2], 1), "x"), TypeError,
     "x: expected a plain array, got a masked array (use .filled())"),
    (lambda: check.as_numbers(np.zeros((0, 3)), "x"), ValueError,
     "x: expected at least one element, got none (shape (0, 3))"),
    (lambda: check.as_dtype("float16"), ValueError,
     "dtype: expected float32 or float64, got 'float16'"),
    (lambda: check.as_dtype(None), ValueError, "dtype: expected float32 or float64, got None"),
    (lambda: check.as_dtype("no such"), ValueError,
     "dtype: expected float32 or float64, got 'no such'"),
    (lambda: check.as_real([1e39, np.inf], "x", "float32"), ValueError,
     "x: expected numbers within float32 (at most 3.403e+38), got 1e+39"),
    (lambda: check.as_real([1, 2**24 + 1], "x"), ValueError,
     "x: expected integers that float32 holds, got 16777217"),
    (lambda: check.as_real(np.uint64([2**64 - 1]), "x", "float64"), ValueError,
     "x: expected integers that float64 holds, got 18446744073709551615"),
    (lambda: check.as_matrix(X[0], "x"), ValueError,
     "x: expected 2 axes (n, features), got 1 (shape (3,))"),
    (lambda: check.as_matrix(X, "x", features=4), ValueError,
     "x: expected 4 features, got 3 (shape (2, 3))"),
    (lambda: check.as_vector(X, "bias"), ValueError,
     "bias: expected 1 axis, got 2 (shape (2, 3))"),
    (lambda: check.as_vector(X[0], "bias", length=2), ValueError,
     "bias: expected shape (2,), got (3,)"),
    (lambda: check.expect_rows(X, "y", 1), ValueError,
     "y: expected 1 row, got 2 (shape (2, 3))"),
    (lambda: check.as_probabilities([[0, 1], [0.5, 1.5]], "v"), ValueError,
     "v: expected numbers in [0, 1], got 1.5 at row 1, column 1"),
    (lambda: check.as_probabilities([[0.5, np.nan]], "v"), ValueError,
     "v: expected numbers in [0, 1], got nan at row 0, column 1"),
    (lambda: check.as_probabilities(X, "v", features=4), ValueError,
     "v: expected 4 features, got 3 (shape (2, 3))"),
    (lambda: check.as_labels([0, 1], "y", 3, 4), ValueError,
     "y: expected 3 labels, got shape (2,)"),
    (lambda: check.as_labels([0, 1, 2, 10], "y_true", 4, 10), ValueError,
     "y_true: expected labels in [0, 10), got 10 at row 3"),
    (lambda: check.as_labels([0, -1], "y", 2, 10), ValueError,
     "y: expected labels in [0, 10), got -1 at row 1"),
    (lambda: check.as_labels([0, 0.5], "y", 2, 10), ValueError,
     "y: expected labels in [0, 10), got 0.5 at row 1"),
    (lambda: check.as_labels([np.nan, 0], "y", 2, 10), ValueError,
     "y: expected labels in [0, 10), got nan at row 0"),
    (lambda: check.as_labels(np.uint64([2**63]), "y", 1, 10), ValueError,
     "y: expected labels in [0, 10), got 9223372036854775808 at row 0"),
    (lambda: check.as_labels(np.uint8([255]), "y", 1, 255), ValueError,
     "y: expected labels in [0, 255), got 255 at row 0"),
    (lambda: check.as_targets(X, "y", (2, 4)), ValueError,
     "y: expected shape (2, 4), got (2, 3)"),
    (lambda: check.as_sample_weight([1, np.inf], "w", 2), ValueError,
     "w: expected finite weights, got inf at row 1"),
    (lambda: check.as_sample_weight([1, 2], "w", 3), ValueError,
     "w: expected shape (3,), got (2,)"),
    (lambda: check.as_output([0.0], "out", (1,), "float64"), TypeError,
     "out: expected an array, got list"),
    (lambda: check.as_output(X, "out", (2, 3), "float32"), TypeError,
     "out: expected float32, got float64"),
    (lambda: check.as_output(X, "out", (3, 2), "float64"), ValueError,
     "out: expected shape (3, 2), got (2, 3)"),
    (lambda: check.as_output(READ_ONLY, "out", (3,), "float64"), ValueError,
     "out: expected a writeable array, got a read-only one"),
    (lambda: check.as_output(X.T, "out", (3, 2), "float64"), ValueError,
     "out: expected an aligned array in C order, got strides (8, 24) (shape (3, 2))"),
    (lambda: check.as_output(X[:, :2], "out", (2, 2), "float64"), ValueError,
     "out: expected an aligned array in C order, got strides (24, 8) (shape (2, 2))"),
    (lambda: check.expect_apart(X[:, 1:], "out", X, "a"), ValueError,
     "out: expected memory apart from a, got an overlap"),
    (lambda: check.expect_same_or_apart(X[0, 1:], "out", X[0, :2], "x"), ValueError,
     "out: expected memory apart from x, got an overlap"),
    (lambda: check.expect_updatable([1.0], "w"), TypeError, "w: expected an array, got list"),
    (lambda: check.expect_updatable(np.arange(3), "w"), TypeError,
     "w: expected float32 or float64, got int64"),
    (lambda: check.expect_updatable(READ_ONLY, "w"), ValueError,
     "w: expected a writeable array, got a read-only one"),
    (lambda: check.expect_updatable(np.zeros(3, "f"), "v", X), TypeError,
     "v: expected float64, got float32"),
    (lambda: check.expect_updatable(np.zeros(3), "v", X), ValueError,
     "v: expected shape (2, 3), got (3,)"),
    (lambda: check.positive_int(0, "units"), ValueError,
     "units: expected a positive integer, got 0"),
    (lambda: check.positive_int(2.0, "units"), TypeError,
     "units: expected a positive integer, got 2.0"),
    (lambda: check.positive_int(True, "units"), TypeError,
     "units: expected a positive integer, got True"),
    (lambda: check.non_negative_int(-1, "seed"), ValueError,
     "seed: expected a non-negative integer, got -1"),
    (lambda: check.number("1", "gain"), TypeError, "gain: expected a finite number, got '1'"),
    (lambda: check.number(np.nan, "gain"), ValueError, "gain: expected a finite number, got nan"),
    (lambda: check.positive_rate(0, "rate"), ValueError,
     "rate: expected a positive number, got 0"),
    (lambda: check.positive_rate(None, "rate"), TypeError,
     "rate: expected a positive number, got None"),
    (lambda: check.non_negative_rate(-0.1, "rate"), ValueError,
     "rate: expected a non-negative number, got -0.1"),
    (lambda: check.fraction(1, "rate"), ValueError,
     "rate: expected a number in [0, 1), got 1"),
    (lambda: check.fraction(1.5, "momentum", closed=True), ValueError,
     "momentum: expected a number in [0, 1], got 1.5"),
    (lambda: check.flag(1, "nesterov"), TypeError, "nesterov: expected True or False, got 1"),
    (lambda: check.choice("rleu", "activation", ["relu", "tanh"]), ValueError,
     "activation: expected one of relu, tanh, got 'rleu' (did you mean 'relu'?)"),
    (lambda: check.choice("xyz", "loss", ["mse"]), ValueError,
     "loss: expected one of mse, got 'xyz'"),
    (lambda: check.expect_instance("m", "table", dict), TypeError,
     "table: expected a dict, got str"),
    (lambda: check.choice(3, "loss", ["mse"]), TypeError, "loss: expected one of mse, got 3"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, text", ERRORS, ids=[text[:50] for _, _, text in ERRORS])
def test_error_text(call, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        call()


@pytest.mark.parametrize(
    "dtypes, expected",
    [
        (["float32", "int64"], "float32"),
        (["float16", "bool"], "float32"),
        (["int64"], "float32"),
        (["float32", "float64"], "float64"),
        (["float32", ">f8"], "float64"),
        ([">f4"], "float32"),
    ],
)
def test_real_dtype(dtypes, expected):
    assert check.real_dtype(*(np.zeros(1, dtype) for dtype in dtypes)) == expected


@pytest.mark.parametrize("dtype", ["bool", "i1", "u2", ">i4", "i8", "u8", "f2", ">f4", "f8", ">f8"])
def test_as_real_converts_exactly(dtype):
    values = np.array([0, 1, 1], dtype)
    if values.dtype.kind == "i":
        values[0] = -1
    real = check.as_real(values, "x")
    assert real.dtype == ("float64" if dtype.endswith("f8") else "float32")
    assert real.dtype.isnative
    np.testing.assert_array_equal(real, values)


def test_as_real_holds_the_largest_exact_integers():
    exact = [2**24, -(2**24), 2**24 + 2, 2**62]
    assert check.as_real(exact, "x").tolist() == exact


def test_as_real_rounds_float64_when_float32_is_asked_for():
    assert check.as_real(0.1, "x", "float32") == np.float32(0.1)
    np.testing.assert_array_equal(check.as_real([np.inf, np.nan], "x", "f4"), [np.inf, np.nan])


def test_as_matrix_keeps_rows_that_lie_apart_and_copies_the_rest():
    base = np.arange(24, dtype="f").reshape(4, 6)
    for kept in (base, base[:, 1:4], base[::2], base[:1], base[:, 2:3]):
        assert np.shares_memory(check.as_matrix(kept, "x"), base)
    for other in (base.T, base[:, ::2], base[::-1], np.broadcast_to(base[0], (4, 6))):
        copy = check.as_matrix(other, "x")
        assert copy.flags.c_contiguous and not np.shares_memory(copy, base)
        np.testing.assert_array_equal(copy, other)


def test_as_real_copies_a_misaligned_array():
    x = np.frombuffer(bytearray(9), np.float32, 2, offset=1)
    assert not x.flags.aligned and check.as_real(x, "x").flags.aligned


@pytest.mark.parametrize("y", [[2, 0, 1], [[2], [0], [1]], [2.0, 0.0, 1.0], np.uint8([2, 0, 1])])
def test_as_labels(y):
    labels = check.as_labels(y, "y", 3, 3)
    assert labels.dtype == np.int64 and labels.flags.c_contiguous and labels.tolist() == [2, 0, 1]


def test_as_labels_accepts_bool():
    assert check.as_labels([True, False], "y", 2, 2).tolist() == [1, 0]


def test_targets_and_weights_may_be_columns():
    assert check.as_targets([1, 2], "y", (2, 1)).tolist() == [[1], [2]]
    assert check.as_sample_weight([[1], [-2]], "w", 2).tolist() == [1, -2]


def test_outputs_that_are_fine():
    assert check.as_output(X, "out", (2, 3), "float64") is X
    part = X[:, :2]
    assert check.as_output(part, "out", (2, 2), "float64", rows_apart=True) is part
    check.expect_apart(X[:, :1], "out", X[:, 1:], "a")  # columns side by side
    check.expect_same_or_apart(X[:], "out", X, "x")
    check.expect_updatable(np.zeros((2, 3), ">f8").T, "w", X.T)


def test_numbers_and_names_that_are_fine():
    assert check.positive_int(np.int8(3), "n") == 3 and check.non_negative_int(0, "n") == 0
    assert check.positive_rate(np.float32(0.5), "r") == 0.5 and check.non_negative_rate(0, "r") == 0
    assert check.fraction(0, "f") == 0 and check.fraction(1, "f", closed=True) == 1
    assert check.flag(np.True_, "b") is True and check.choice("mse", "loss", ["mse"]) == "mse"
    assert check.as_dtype(float) == np.float64
    check.expect_instance(True, "n", int)  # a subclass's instance is one
