"""The choice of the core and the limit of threads. (FASTNN_ARCH: see test_package.py.)"""

import ast
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import _dispatch


def run(tmp_path, code, **environment):
    names = ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS")
    env = {name: value for name, value in os.environ.items() if name not in names}
    env["PYTHONPATH"] = str(Path(fn.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32, np.dtype(np.float64)])
def test_core(dtype):
    core = _dispatch.core(dtype)
    assert core.level == _dispatch.ARCH and core.precision == np.dtype(dtype).name
    assert _dispatch.core(dtype) is core


def test_every_level_available_is_built():
    assert _dispatch.ARCH in _dispatch.ARCH_AVAILABLE
    for level in _dispatch.ARCH_AVAILABLE:
        assert importlib.util.find_spec(f"fastnn._core_{level}") is not None


def test_best_level_is_the_default(monkeypatch):
    monkeypatch.delenv("FASTNN_ARCH", raising=False)
    assert _dispatch._choose(["v2", "v3"]) == "v3"
    assert _dispatch._choose(["portable"]) == "portable"
    with pytest.raises(ImportError, match="expected a processor of level x86-64-v2 or above"):
        _dispatch._choose([])


STUB = Path(_dispatch.__file__).with_name("_core.pyi")


# ---- threads -----------------------------------------------------------------------------------

openmp = pytest.mark.skipif(not fn.show_config()["openmp"], reason="built without OpenMP")


@openmp
def test_num_threads():
    before = fn.get_num_threads()
    with fn.num_threads(3):
        assert fn.get_num_threads() == 3
        with fn.num_threads(np.int64(1)):
            assert fn.get_num_threads() == 1
        assert fn.get_num_threads() == 3
    with pytest.raises(KeyError), fn.num_threads(2):
        raise KeyError
    assert fn.get_num_threads() == before


@pytest.mark.parametrize("n, kind", [(0, ValueError), (-1, ValueError), (1025, ValueError),
                                     (2.0, TypeError), ("2", TypeError), (True, TypeError),
                                     (None, TypeError)])  # fmt: skip
def test_bad_number_of_threads(n, kind):
    before = fn.get_num_threads()
    for call in (fn.set_num_threads, lambda n: fn.num_threads(n).__enter__()):
        with pytest.raises(kind, match="^n: expected "):
            call(n)
    assert fn.get_num_threads() == before


@openmp
@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, str(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None),
        ({"OMP_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "3,2"}, "3"),
        ({"OMP_NUM_THREADS": "3", "FASTNN_NUM_THREADS": "5"}, "5"),
        ({"OMP_NUM_THREADS": "many", "FASTNN_NUM_THREADS": "5"}, "5"),
        ({"FASTNN_NUM_THREADS": "99999"}, "1024"),
    ],
)
def test_initial_number_of_threads(tmp_path, environment, expected):
    process = run(tmp_path, "import fastnn; print(fastnn.get_num_threads())", **environment)
    assert expected is None or process.stdout.strip() == expected, process.stderr


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_bad_initial_number_of_threads(tmp_path, text):
    process = run(tmp_path, "import fastnn", FASTNN_NUM_THREADS=text)
    message = f"FASTNN_NUM_THREADS: expected a positive whole number, got {text!r}"
    assert process.returncode != 0 and process.stderr.rstrip().endswith(message)


def test_more_threads_than_work():
    a = np.ones((300, 300), np.float32)
    with fn.num_threads(64):
        assert (fn.kernels.matmul(a, a) == 300).all()


def test_kernels_in_several_threads(rng):
    a = rng.normal(size=(200, 200)).astype(np.float32)
    expected, found = fn.kernels.matmul(a, a).tobytes(), []
    threads = [
        threading.Thread(target=lambda: found.append(fn.kernels.matmul(a, a).tobytes()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [expected] * 8


# ---- the typed seam ----------------------------------------------------------------------------


def definitions(tree):
    """{name: names of its arguments} of the functions and methods of a stub."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name != "__init__":
            names = [argument.arg for argument in node.args.args]
            found.setdefault(node.name, []).append([name for name in names if name != "self"])
    return found


def sources(folder):
    """The same of the files of the core."""
    found = {}
    for path in sorted(folder.glob("*.pxi")):
        for name, arguments in re.findall(
            r"^ *def (\w+)\((.*?)\):$", path.read_text(), re.M | re.S
        ):
            if not name.startswith("_"):
                without_brackets = re.sub(r"\[.*?\]|\(.*?\)", "", arguments)
                names = [a.split("=")[0].split()[-1] for a in without_brackets.split(",")]
                found.setdefault(name, []).append([name for name in names if name != "self"])
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_stub_is_the_seam(dtype):
    core = _dispatch.core(dtype)
    tree = ast.parse(STUB.read_text())
    found = {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    found |= {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    public = {name for name, value in vars(core).items() if not name.startswith("_")}
    assert public - {name for name in public if inspect.ismodule(getattr(core, name))} == found
    (plan,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    methods = definitions(plan).keys()
    assert {name for name in vars(core.Plan) if not name.startswith("_")} == methods


def test_the_stub_names_the_arguments_of_the_sources():
    if not STUB.with_name("core").is_dir():
        pytest.skip("needs the sources")
    in_stub, in_sources = definitions(ast.parse(STUB.read_text())), sources(STUB.with_name("core"))
    assert in_stub.keys() == in_sources.keys()
    for name, arguments in in_stub.items():
        assert sorted(arguments) == sorted(in_sources[name]), name
