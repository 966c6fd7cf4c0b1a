"""Every check of what a caller passes in, and every error text.

A check returns the value in the form the library works with, or raises before anything has been
changed: ``TypeError`` for the wrong kind of thing, ``ValueError`` for the wrong value. The text
is always one string, ``argument: expected this, got that``.

Array checks convert exactly or raise. Rounding float64 to float32 is the one loss they allow,
and only when the caller names float32; a number that would overflow, or an integer that the
target type cannot hold, is an error.
"""

from __future__ import annotations

import difflib
import math
import operator
import os
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)


# ---- arrays of numbers -----------------------------------------------------------------------


def as_numbers(x: Any, name: str) -> np.ndarray:
    """Return `x` as a non-empty array of bool, integer or floating type, copied only if needed."""
    if type(x) is not np.ndarray:
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{name}: expected a plain array, got a masked array (use .filled())")
        if hasattr(x, "toarray"):
            raise TypeError(f"{name}: expected a plain array, got a sparse one (use .toarray())")
        try:
            x = np.asarray(x)
        except ValueError:
            raise ValueError(f"{name}: expected an array, got rows of unequal length") from None
    if x.dtype.kind not in "buif" or x.dtype.itemsize > 8:
        raise TypeError(f"{name}: expected real numbers of at most 64 bits, got {x.dtype}")
    if x.size == 0:
        raise ValueError(f"{name}: expected at least one element, got none (shape {x.shape})")
    return x


def real_dtype(*arrays: np.ndarray) -> np.dtype:
    """Return the type in which `arrays` are computed together.

    float64 if any of them is float64; else float32, also for integers, bool and float16.
    """
    for x in arrays:
        if x.dtype.kind == "f" and x.dtype.itemsize == 8:  # in either byte order
            return FLOAT64
    return FLOAT32


def as_dtype(dtype: Any, name: str = "dtype") -> np.dtype:
    """Return `dtype` as ``np.dtype`` if it is float32 or float64."""
    try:
        found = np.dtype(dtype).name
    except TypeError:
        found = ""
    if dtype is None or found not in ("float32", "float64"):  # None is NumPy's float64
        raise ValueError(f"{name}: expected float32 or float64, got {dtype!r}")
    return np.dtype(found)


def as_real(x: Any, name: str, dtype: Any = None) -> np.ndarray:
    """Return `x`, of any shape, as an aligned array of native float32 or float64.

    The layout stays as it is. Without `dtype`, the type is that of `real_dtype`.
    """
    x = as_numbers(x, name)
    dtype = real_dtype(x) if dtype is None else np.dtype(dtype)
    if x.dtype == dtype and x.dtype.isnative:
        return x if x.flags.aligned else x.copy()
    try:
        with np.errstate(over="raise"):
            real = x.astype(dtype)
    except FloatingPointError:
        raise ValueError(
            f"{name}: expected numbers within {dtype} (at most {np.finfo(dtype).max:.4g}), "
            f"got {float(np.abs(x[np.isfinite(x)]).max()):.4g}"
        ) from None
    if x.dtype.kind in "iu" and x.dtype.itemsize > 2:
        exact = 1 << (np.finfo(dtype).nmant + 1)
        # Python integers: no comparison here can round.
        if int(x.max()) > exact or int(x.min()) < -exact:
            wrong = next((v for v in x.ravel().tolist() if int(dtype.type(v)) != v), None)
            if wrong is not None:
                raise ValueError(f"{name}: expected integers that {dtype} holds, got {wrong}")
    return real


def assign(arrays: Sequence[np.ndarray], values: Any, name: str) -> None:
    """Set all `arrays` in place to these values, a list of arrays of the same shapes, or none."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{name}: expected a list of arrays, got {type(values).__name__}")
    if len(values) != len(arrays):
        raise ValueError(f"{name}: expected {plural(len(arrays), 'array')}, got {len(values)}")
    found = []
    for i, (new, old) in enumerate(zip(values, arrays, strict=True)):
        array = as_real(new, f"{name}[{i}]", old.dtype)
        expect_shape(array, f"{name}[{i}]", old.shape)
        found.append(np.array(array))  # the new ones may be views of the old
    for new, old in zip(found, arrays, strict=True):
        old[...] = new


def has_contiguous_rows(x: np.ndarray) -> bool:
    """Whether each row of the matrix `x` is contiguous and no two rows overlap."""
    rows, columns = x.shape
    step = x.dtype.itemsize
    return (columns == 1 or x.strides[1] == step) and (
        rows == 1 or (x.strides[0] >= columns * step and x.strides[0] % step == 0)
    )


def as_matrix(x: Any, name: str, dtype: Any = None, features: int | None = None) -> np.ndarray:
    """Return `x` as a real matrix whose rows are contiguous (they may lie apart).

    Raises ValueError unless `x` has two axes, the last one of length `features` if that is given.
    """
    x = as_numbers(x, name)
    if x.ndim != 2:
        raise ValueError(f"{name}: expected 2 axes (n, features), got {x.ndim} (shape {x.shape})")
    if features is not None and x.shape[1] != features:
        raise ValueError(
            f"{name}: expected {plural(features, 'feature')}, got {x.shape[1]} (shape {x.shape})"
        )
    x = as_real(x, name, dtype)
    return x if has_contiguous_rows(x) else np.ascontiguousarray(x)


def as_rows(x: Any, name: str) -> np.ndarray:
    """Return `x`, of at least 2 axes, as a matrix: each row is all that follows the first axis."""
    x = as_numbers(x, name)
    if x.ndim < 2:
        raise ValueError(f"{name}: expected at least 2 axes, got {x.ndim} (shape {x.shape})")
    return x if x.ndim == 2 else x.reshape(len(x), -1)


def as_vector(x: Any, name: str, dtype: Any = None, length: int | None = None) -> np.ndarray:
    """Return `x` as a contiguous real vector, of `length` if that is given."""
    x = as_numbers(x, name)
    if x.ndim != 1:
        raise ValueError(f"{name}: expected 1 axis, got {x.ndim} (shape {x.shape})")
    if length is not None:
        expect_shape(x, name, (length,))
    return np.ascontiguousarray(as_real(x, name, dtype))


def expect_shape(x: np.ndarray, name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `x` has exactly this shape."""
    if x.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {x.shape}")


def expect_rows(x: np.ndarray, name: str, n: int) -> None:
    """Raise ValueError unless `x` has `n` rows."""
    got = x.shape[0] if x.ndim else 0
    if got != n:
        raise ValueError(f"{name}: expected {plural(n, 'row')}, got {got} (shape {x.shape})")


# ---- targets and weights ---------------------------------------------------------------------


def as_labels(y: Any, name: str, n: int, classes: int | None = None) -> np.ndarray:
    """Return class labels as a contiguous int64 vector.

    Parameters
    ----------
    y : array_like of shape (n,) or (n, 1)
        Integers, bool, or floating numbers that are whole.
    n : int
        How many labels there must be.
    classes : int, optional
        Each lies in ``[0, classes)``; by default, labels are whole numbers of at least 0.

    Raises
    ------
    ValueError
        Naming the first row with a fraction, a NaN, or a label out of range.
    """
    y = as_numbers(y, name)
    if y.shape not in ((n,), (n, 1)):
        raise ValueError(f"{name}: expected {plural(n, 'label')}, got shape {y.shape}")
    y = y.reshape(n)
    end = 1 << 63 if classes is None else classes
    if n and y.dtype == np.int64 and y.view(np.uint64).max() < end:
        return np.ascontiguousarray(y)  # in one pass: as uint64, a negative label is a huge one
    # The comparison is False for NaN; uint64 and float64 are compared before any cast.
    good = (y >= 0) & (y < end)
    if y.dtype.kind == "f":
        good &= y == np.floor(y)
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(
            f"{name}: expected labels in [0, {'2**63' if classes is None else classes}), "
            f"got {y[row].item()} at row {row}"
        )
    return np.ascontiguousarray(y, dtype=np.int64)


def as_targets(y: Any, name: str, shape: tuple[int, int], dtype: Any = None) -> np.ndarray:
    """Return real targets as a matrix of `shape`; (n,) is accepted where that is (n, 1)."""
    y = as_numbers(y, name)
    if shape[1] == 1 and y.ndim == 1:
        y = y[:, None]
    expect_shape(y, name, tuple(shape))
    return as_matrix(y, name, dtype)


def as_probabilities(
    x: Any, name: str, dtype: Any = None, features: int | None = None
) -> np.ndarray:
    """Return `x` as `as_matrix` does, if all its numbers are in [0, 1]."""
    x = as_matrix(x, name, dtype, features)
    good = (x >= 0) & (x <= 1)  # False for NaN
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise ValueError(
            f"{name}: expected numbers in [0, 1], got {x[row, column]} at row {row}, "
            f"column {column}"
        )
    return x


def as_sample_weight(weight: Any, name: str, n: int, dtype: Any = None) -> np.ndarray:
    """Return one finite weight for each of `n` rows; (n, 1) is accepted too."""
    weight = as_numbers(weight, name)
    if weight.shape == (n, 1):
        weight = weight[:, 0]
    weight = as_vector(weight, name, dtype, n)
    finite = np.isfinite(weight)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"{name}: expected finite weights, got {weight[row]} at row {row}")
    return weight


# ---- arrays that are written to --------------------------------------------------------------


def as_output(
    out: Any, name: str, shape: tuple[int, ...], dtype: Any, rows_apart: bool = False
) -> np.ndarray:
    """Return `out` if a kernel can write a result of this shape and type into it.

    It must be writeable and C-contiguous; with `rows_apart`, the rows of a matrix may lie apart.
    """
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name}: expected an array, got {type(out).__name__}")
    if out.dtype != dtype or not out.dtype.isnative:
        raise TypeError(f"{name}: expected {np.dtype(dtype)}, got {out.dtype}")
    expect_shape(out, name, shape)
    if not out.flags.writeable:
        raise ValueError(f"{name}: expected a writeable array, got a read-only one")
    contiguous = out.flags.c_contiguous or (rows_apart and has_contiguous_rows(out))
    if not contiguous or not out.flags.aligned:
        raise ValueError(
            f"{name}: expected an aligned array in C order, got strides {out.strides} "
            f"(shape {out.shape})"
        )
    return out


def expect_apart(out: np.ndarray, name: str, other: np.ndarray, other_name: str) -> None:
    """Raise ValueError if `out` shares memory with `other`."""
    if np.may_share_memory(out, other) and np.shares_memory(out, other):
        raise ValueError(f"{name}: expected memory apart from {other_name}, got an overlap")


def expect_same_or_apart(out: np.ndarray, name: str, other: np.ndarray, other_name: str) -> None:
    """Raise ValueError if `out` shares memory with `other` without being the same view."""
    if out is other or not np.may_share_memory(out, other):
        return
    if out.ctypes.data != other.ctypes.data or (out.shape, out.strides) != (
        other.shape,
        other.strides,
    ):
        expect_apart(out, name, other, other_name)


def expect_updatable(x: Any, name: str, like: np.ndarray | None = None) -> None:
    """Raise unless `x` is a writeable float32 or float64 array, of the shape and type of `like`."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name}: expected an array, got {type(x).__name__}")
    as_numbers(x, name)
    sizes = (4, 8) if like is None else (like.dtype.itemsize,)
    if x.dtype.kind != "f" or x.dtype.itemsize not in sizes:
        expected = " or ".join(f"float{8 * size}" for size in sizes)
        raise TypeError(f"{name}: expected {expected}, got {x.dtype}")
    if not x.flags.writeable:
        raise ValueError(f"{name}: expected a writeable array, got a read-only one")
    if like is not None:
        expect_shape(x, name, like.shape)


# ---- numbers and names -----------------------------------------------------------------------


def positive_int(value: Any, name: str) -> int:
    """Return `value` as an int of at least 1."""
    return _int(value, name, 1, "a positive integer")


def non_negative_int(value: Any, name: str) -> int:
    """Return `value` as an int of at least 0."""
    return _int(value, name, 0, "a non-negative integer")


def counter(value: Any, name: str) -> int:
    """Return `value` as an int that 64 bits hold: a seed, or the number of a draw."""
    found = non_negative_int(value, name)
    if found >= 1 << 64:
        raise ValueError(f"{name}: expected an integer below 2**64, got {value!r}")
    return found


def _int(value: Any, name: str, least: int, expected: str) -> int:
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        found = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected {expected}, got {value!r}") from None
    if found < least:
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return found


def number(value: Any, name: str, expected: str = "a finite number") -> float:
    """Return `value` as a finite float."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name}: expected {expected}, got {value!r}")
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected {expected}, got {value!r}") from None
    if not math.isfinite(found):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return found


def positive_rate(value: Any, name: str) -> float:
    """Return `value` as a finite float above 0."""
    found = number(value, name, "a positive number")
    if found <= 0:
        raise ValueError(f"{name}: expected a positive number, got {value!r}")
    return found


def non_negative_rate(value: Any, name: str) -> float:
    """Return `value` as a finite float of at least 0."""
    found = number(value, name, "a non-negative number")
    if found < 0:
        raise ValueError(f"{name}: expected a non-negative number, got {value!r}")
    return found


def fraction(value: Any, name: str, closed: bool = False) -> float:
    """Return `value` as a float in [0, 1), or in [0, 1] if `closed`."""
    expected = "a number in [0, 1]" if closed else "a number in [0, 1)"
    found = number(value, name, expected)
    if not 0 <= found <= 1 or (found == 1 and not closed):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return found


def interval(value: Any, name: str) -> tuple[float, float]:
    """Return `value` as two finite floats, the lower one first."""
    expected = "two numbers (low, high) with low < high"
    if not isinstance(value, (tuple, list, np.ndarray)) or len(value) != 2:
        raise TypeError(f"{name}: expected {expected}, got {value!r}")
    low, high = (number(side, name, expected) for side in value)
    if not low < high:
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return low, high


def proper_fraction(value: Any, name: str) -> float:
    """Return `value` as a float between 0 and 1, neither of them."""
    found = number(value, name, "a number between 0 and 1")
    if not 0 < found < 1:
        raise ValueError(f"{name}: expected a number between 0 and 1, got {value!r}")
    return found


def last_axis(value: Any, name: str) -> int:
    """Return `value` if it is the last axis of a matrix, -1 or 1."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value not in (-1, 1):
        raise ValueError(f"{name}: expected the last axis, -1 or 1, got {value!r}")
    return int(value)


def flag(value: Any, name: str) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def expect_instance(value: Any, name: str, kind: type) -> None:
    """Raise TypeError unless `value` is an instance of `kind`."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a {kind.__name__}, got {type(value).__name__}")


def choice(value: Any, name: str, choices: Collection[str]) -> str:
    """Return `value` if it is one of `choices`; the error lists them, near matches first."""
    if isinstance(value, str) and value in choices:
        return value
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    near = difflib.get_close_matches(value.lower(), choices)
    hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}{hint}")


def as_name(value: Any, default: str) -> str:
    """Return `value` if it is a string, for None `default`."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"name: expected a string, got {value!r}")
    return default if value is None else value


def as_path(value: Any, name: str) -> str:
    """Return `value` as a path if it is a str or PathLike."""
    try:
        path = os.fspath(value)
    except TypeError:
        path = None
    if not isinstance(path, str):
        raise TypeError(f"{name}: expected a str or PathLike, got {value!r}")
    return path


def plural(count: int, noun: str) -> str:
    """Return ``1 row``, ``2 rows`` and so on, for an error text."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def expect_within(x: np.ndarray, name: str, low: float = -np.inf, high: float = np.inf) -> None:
    """Raise ValueError unless all numbers of the matrix `x` are finite and in [low, high]."""
    least, most = x.min(), x.max()
    if np.isfinite(least) and np.isfinite(most) and low <= least and most <= high:
        return
    good = np.isfinite(x) & (x >= low) & (x <= high)
    row, column = np.unravel_index(np.argmin(good), x.shape)
    expected = f"numbers in [{low}, {high}]"
    if np.isinf(high):
        expected = "finite numbers" + ("" if np.isinf(low) else f" of at least {low}")
    raise ValueError(f"{name}: expected {expected}, got {x[row, column]!s} at row {row}")


def expect_signs(x: np.ndarray, name: str) -> None:
    """Raise ValueError unless the matrix `x` holds only -1 and 1, or only 0 and 1."""
    good = (x == 1) | (x == (0 if (x == 0).any() else -1))
    if not good.all():
        row, column = np.unravel_index(np.argmin(good), x.shape)
        got = f"{x[row, column]!s} at row {row}"
        if x[row, column] == -1:  # good in itself
            got += f" beside 0 at row {np.argmax((x == 0).any(axis=1))}"
        raise ValueError(f"{name}: expected -1 and 1, or 0 and 1, got {got}")
