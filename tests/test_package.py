"""The package as a whole: its face, its import, its metadata and the choice of the core.

What depends on the environment or on a fresh interpreter runs in one of its own, outside the
source tree, with warnings as errors.
"""

import importlib
import importlib.metadata
import importlib.resources
import inspect
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import _dispatch

LEVELS = ("v2", "v3", "v4")
MODULES = sorted(
    f"fastnn.{module.name}"
    for module in pkgutil.iter_modules(fn.__path__)
    if not module.name.startswith("_")
)


def run(cwd, *arguments, arch=None, options=(), **environment):
    """Run Python with `arguments` in `cwd`; FASTNN_ARCH is what is asked for, or unset."""
    env = {name: value for name, value in os.environ.items() if name != "FASTNN_ARCH"}
    if arch is not None:
        env["FASTNN_ARCH"] = arch
    return subprocess.run(
        [sys.executable, "-W", "error", *options, *arguments],
        cwd=cwd,
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def last_line(process):
    """The error's own line, after the traceback."""
    return process.stderr.rstrip().splitlines()[-1]


def public_names(owner):
    """The names in `__all__`, or else the public functions and classes written in the module."""
    if hasattr(owner, "__all__"):
        return owner.__all__
    return [
        name
        for name, value in vars(owner).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == owner.__name__
    ]


def check_documented(owner):
    names = public_names(owner)
    assert len(set(names)) == len(names)
    for name in names:
        value = getattr(owner, name)
        if inspect.ismodule(value) or callable(value):
            assert value.__doc__ and value.__doc__.strip(), f"{owner.__name__}.{name}: no docstring"


def test_public_names():
    check_documented(fn)


@pytest.mark.parametrize("name", MODULES)
def test_public_modules(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name}: no docstring"
    check_documented(module)


def test_star_import():
    names = {}
    exec("from fastnn import *", names)
    assert set(fn.__all__) <= names.keys()


def test_import_is_light(tmp_path):
    # Only NumPy: everything else is imported by the functions that need it.
    process = run(tmp_path, "-c", "import sys, fastnn; print(*sys.modules)")
    assert process.returncode == 0, process.stderr
    roots = {name.partition(".")[0] for name in process.stdout.split()}
    assert {"fastnn", "numpy"} <= roots
    heavy = {"scipy", "matplotlib", "sklearn", "tqdm", "safetensors", "pandas", "torch", "jax"}
    assert not roots & heavy


def test_version():
    assert fn.__version__ == importlib.metadata.version("fastnn")


def test_package_files():
    files = importlib.resources.files("fastnn")
    for name in ("py.typed", "_core.pyi", "data/digits.npz", "data/README.md"):
        assert files.joinpath(name).is_file(), name


README = Path(__file__).parents[1] / "README.md"


def test_the_code_of_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    ten_lines, by_hand = blocks
    names = {}
    exec(ten_lines, names)
    printed = capsys.readouterr().out
    assert "'accuracy': 0.9" in printed
    # What it takes for granted.
    names |= {"x": np.ones((5, 3)), "dy": np.ones((5, 32)), "optimizer": fn.optimizers.Adam()}
    names |= {"a": np.ones((2, 3)), "b": np.ones((4, 3))}
    exec(by_hand, names)
    assert names["y"].shape == (5, 32) and names["dx"].shape == (5, 3)


def test_what_the_readme_names_exists():
    text = README.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (.*) \|$", text, re.MULTILINE))
    for name in rows["layers"].split(", "):
        assert hasattr(fn.layers, name), name
    for name in re.sub(r" \([^)]*\)", "", rows["activations"]).split(", "):
        fn.activations.get(name)
    named = set(re.findall(r"\w+", rows["layers"]))
    assert named == set(fn.layers.__all__) - {"Layer"}
    folder = README.parent
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (folder / link).exists(), link
    parts = text[text.index("## What's where") : text.index("## Settings")]
    files = re.findall(r"`([\w/]+\.(?:py|pyx))`", parts)
    for file in files:
        assert (folder / file).is_file() or (folder / "fastnn" / file).is_file(), file
    here = {path.name for path in (folder / "fastnn").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert here <= {Path(file).name for file in files}


def test_console_script():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="fastnn")
    assert callable(script.load())


def test_show_config():
    config = fn.show_config()
    assert config["version"] == fn.__version__
    assert config["arch"] in config["arch_available"]
    assert config["num_threads"] == fn.get_num_threads() >= 1
    assert isinstance(config["openmp"], bool)
    if not config["openmp"]:
        assert config["num_threads"] == 1
    for key in ("compiler", "numpy", "python", "platform"):
        assert isinstance(config[key], str) and config[key], key


def test_show_config_is_plain_data():
    json.dumps(fn.show_config())


def test_info(tmp_path):
    process = run(tmp_path, "-m", "fastnn", "info")
    assert process.returncode == 0, process.stderr
    for word in (fn.__version__, "arch", "openmp", "threads", "compiler", "numpy"):
        assert word in process.stdout.lower()


def show_arch(cwd, arch):
    return run(cwd, "-c", "import fastnn; print(fastnn.show_config()['arch'])", arch=arch)


@pytest.mark.parametrize("level", LEVELS)
def test_arch_goes_down(tmp_path, level):
    if level not in fn.show_config()["arch_available"]:
        pytest.skip(f"this machine has no {level}")
    process = show_arch(tmp_path, level)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == level


@pytest.mark.parametrize("level", LEVELS)
def test_arch_does_not_go_up(tmp_path, level):
    if level in fn.show_config()["arch_available"]:
        pytest.skip(f"this machine has {level}")
    check_arch_refused(show_arch(tmp_path, level), level)


def test_arch_does_not_go_up_on_a_lower_machine(monkeypatch):
    # The same, for those who test on a machine with every level.
    monkeypatch.setenv("FASTNN_ARCH", "v4")
    with pytest.raises(ImportError, match=r"^FASTNN_ARCH: expected one of v2, v3 .*got 'v4'$"):
        _dispatch._choose(["v2", "v3"])


@pytest.mark.parametrize("name", ["v5", "avx2", "V3", "v3 "])
def test_arch_unknown(tmp_path, name):
    check_arch_refused(show_arch(tmp_path, name), name)


def check_arch_refused(process, asked):
    assert process.returncode != 0
    message = last_line(process)
    assert message.startswith("ImportError: FASTNN_ARCH: expected one of ")
    assert message.endswith(f"got {asked!r}")
    for level in fn.show_config()["arch_available"]:
        assert level in message


def test_bare_source_tree(tmp_path):
    # The compiled parts are missing, as in a fresh clone. -S keeps an editable install's import
    # hook away, which would find them elsewhere.
    folder = tmp_path / "fastnn"
    folder.mkdir()
    for source in Path(fn.__file__).parent.glob("*.py"):
        shutil.copy(source, folder)
    process = run(
        tmp_path,
        "-c",
        "import fastnn",
        options=["-S"],
        PYTHONPATH=os.pathsep.join([str(tmp_path), *filter(None, sys.path)]),
    )
    assert process.returncode != 0
    message = last_line(process)
    assert message.startswith("ImportError: ")
    assert "pip install" in message
