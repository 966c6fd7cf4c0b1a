"""What this fastnn is: its version, its build, the machine's levels, its threads."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from fastnn import _dispatch

__version__ = "0.1.0"


def show_config() -> dict[str, Any]:
    """Tell how fastnn was built and what it runs on.

    Returns
    -------
    dict
        version; arch, the instruction level in use; arch_available, those of this machine; openmp,
        whether kernels can share work among threads; num_threads, their limit; compiler; numpy,
        python, platform.
    """
    core = _dispatch.core("float32")
    return {
        "version": __version__,
        "arch": _dispatch.ARCH,
        "arch_available": list(_dispatch.ARCH_AVAILABLE),
        "openmp": core.openmp,
        "num_threads": _dispatch.get_num_threads(),
        "compiler": core.compiler,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
