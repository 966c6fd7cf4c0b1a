"""The same bits for any threads, any build with FMA and any split of the rows; the mode is kept."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import kernel_walk
import numpy as np
import pytest
from kernel_walk import CASES

import fastnn as fn
from fastnn import kernels

digests = functools.cache(kernel_walk.digests)
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.mark.parametrize("threads", [2, 3, 4])
@both_dtypes
def test_same_bits_for_any_number_of_threads(dtype, threads):
    if not fn.show_config()["openmp"]:
        pytest.skip("built without OpenMP")
    assert digests(dtype, threads) == digests(dtype, 1)


def test_same_bits_for_builds_with_fma():
    available = fn.show_config()["arch_available"]
    if fn.show_config()["arch"] != "v4" or "v3" not in available:
        pytest.skip("needs a machine and an installation with the v3 and v4 builds")
    lower = subprocess.run(
        [sys.executable, kernel_walk.__file__],
        env={**os.environ, "FASTNN_ARCH": "v3", "PYTHONPATH": str(Path(fn.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(lower.stdout)
    assert found.pop("arch") == "v3"
    assert found == {dtype: digests(dtype, 1) for dtype in ("float32", "float64")}


@pytest.mark.parametrize("key", [key for key, case in CASES.items() if case.same_for_rows()])
@both_dtypes
def test_same_bits_for_any_split_of_the_rows(key, dtype):
    case = CASES[key]
    n = 61
    x, *others = case.arguments(n, 70, 65, dtype)
    (whole,) = case(kernels, [x, *others])
    for size in (1, 6, 13, 14, 15, 32):
        parts = [case(kernels, [x[i : i + size], *others])[0] for i in range(0, n, size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


# ---- the floating-point mode -------------------------------------------------------------------


# One and minus one, moved by one quarter and three quarters of the last place.
QUARTERS = [(1, 1), (1, 3), (-1, -1), (-1, -3)]


def floating_point_mode() -> list[float]:
    """Return numbers that tell flush-to-zero, denormals-are-zero and every rounding direction."""
    return [
        np.float32(2**-126) * np.float32(0.5),
        np.float32(2**-149) * np.float32(2**30),
        np.float64(2**-1022) * np.float64(0.5),
        *(np.float32(sign) + np.float32(part * 2**-25) for sign, part in QUARTERS),
        *(np.float64(sign) + np.float64(part * 2**-54) for sign, part in QUARTERS),
    ]


def test_the_mode_is_the_same_after_every_call():
    step32, step64 = 2.0**-23, 2.0**-52
    default = [2**-127, 2**-119, 2.0**-1023]
    default += [1, 1 + step32, -1, -1 - step32, 1, 1 + step64, -1, -1 - step64]
    assert floating_point_mode() == default
    for key, case in CASES.items():
        for size in ((5, 3, 2), (400, 100, 257)):
            case(kernels, case.arguments(*size))
            assert floating_point_mode() == default, key
