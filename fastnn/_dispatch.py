"""Picks the build of the compiled core for this machine, once, and holds the limit of threads.

The environment variable FASTNN_ARCH (v2, v3, v4) chooses a lower instruction level than the
machine's; FASTNN_NUM_THREADS, or OMP_NUM_THREADS, sets the initial limit of threads.
"""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    from fastnn._cpu import x86_64_level
except ImportError as error:
    raise ImportError(
        "fastnn: the compiled core is missing, because this is the source tree and not an "
        "installed package; run `python -m pip install .` there (or `pip install -e .`), then "
        "import from another folder"
    ) from error


def _available() -> list[str]:
    """The builds of the core that are there and that this machine can run, lowest first."""
    levels = [f"v{n}" for n in range(2, x86_64_level() + 1)]
    return [name for name in ("portable", *levels) if find_spec(f"fastnn._core_{name}")]


def _choose(available: list[str]) -> str:
    """The best level, or the lower one that FASTNN_ARCH asks for."""
    wanted = os.environ.get("FASTNN_ARCH", "")
    if not available:
        raise ImportError(
            "fastnn: expected a processor of level x86-64-v2 or above (SSE4.2, POPCNT)"
        )
    if wanted and wanted not in available:
        raise ImportError(
            f"FASTNN_ARCH: expected one of {', '.join(available)} (what this machine can run), "
            f"got {wanted!r}"
        )
    return wanted or available[-1]


def _initial_threads() -> int:
    """FASTNN_NUM_THREADS, else OMP_NUM_THREADS, else the processors this process may use."""
    for name in ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()
        if text.isdecimal() and int(text) > 0:
            return min(int(text), MAX_THREADS)
        if text and name == "FASTNN_NUM_THREADS":
            raise ImportError(f"{name}: expected a positive whole number, got {text!r}")
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MAX_THREADS)
    return min(os.cpu_count() or 1, MAX_THREADS)


MAX_THREADS = 1024
ARCH_AVAILABLE = _available()
ARCH = _choose(ARCH_AVAILABLE)
_cores: dict[Any, ModuleType] = {}
_possible = MAX_THREADS  # as many as can work here
threads = _initial_threads()  # the limit, for kernels.py to read; set by set_num_threads


def core(dtype: Any) -> ModuleType:
    """The compiled core for float32 or float64."""
    module = _cores.get(dtype)
    if module is None:
        suffix = {"float32": "", "float64": "_float64"}[np.dtype(dtype).name]
        module = importlib.import_module(f"fastnn._core_{ARCH}{suffix}")
        _cores[dtype] = module
    return module


def get_num_threads() -> int:
    """The most threads that fastnn uses.

    Returns
    -------
    int
        1 where no others can be had: in a build without OpenMP, and in a child made by `os.fork`.
        Kernels and training steps too small to share use fewer than this.
    """
    return threads


def set_num_threads(n: int) -> None:
    """Set the most threads that fastnn uses, for the whole process.

    Results do not depend on it: they have the same bits for any number of threads.

    Parameters
    ----------
    n : int
        At least 1. More than the machine's processors is allowed and slow.

    Raises
    ------
    TypeError, ValueError
        If n is not a whole number from 1 to 1024.
    """
    global threads
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"n: expected a whole number of threads, got {n!r}")
    if not 1 <= n <= MAX_THREADS:
        raise ValueError(f"n: expected 1 to {MAX_THREADS} threads, got {n}")
    threads = min(int(n), _possible)


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use at most n threads inside a ``with`` block, then as many as before.

    Parameters
    ----------
    n : int
        As in `set_num_threads`.

    Returns
    -------
    context manager
        Its ``as`` gives None.

    Raises
    ------
    TypeError, ValueError
        As in `set_num_threads`.
    """
    before = threads
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def _work_alone() -> None:
    """From now on, one thread it is."""
    global threads, _possible
    threads = _possible = 1


if not core("float32").openmp:
    _work_alone()
if hasattr(os, "register_at_fork"):
    # A forked child has no OpenMP workers, and libgomp would wait for them for ever.
    os.register_at_fork(after_in_child=_work_alone)
