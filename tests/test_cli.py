"""The command line: what it prints, what it writes, and its exit codes."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest

import fastnn as fn
from fastnn import benchmark, demo, kernels
from fastnn.cli import _parser, main


@pytest.fixture
def no_race(monkeypatch):
    """Leave the timing out of the demo; its bits are the same for any number of threads."""
    report = {"rows": [], "settings": {"threads": [1]}}
    monkeypatch.setattr(benchmark, "run", lambda *arguments, **settings: report)
    with fn.num_threads(1):
        yield


def exit_of(*arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def test_version(capsys):
    assert exit_of("--version") == 0
    assert capsys.readouterr().out == f"fastnn {fn.__version__}\n"


def test_python_m():
    done = subprocess.run(
        [sys.executable, "-m", "fastnn", "info"], capture_output=True, text=True, check=True
    )
    assert fn.__version__ in done.stdout
    assert done.stderr == ""


def test_info(capsys):
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    config = fn.show_config()
    assert len(lines) == len(config)
    for line, (key, value) in zip(lines, config.items(), strict=True):
        assert line.startswith(key.replace("_", " "))
        if isinstance(value, str):
            assert line.endswith(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: command"),
        (["train"], "invalid choice"),
        (["demo", "--epochs", "0"], "--epochs: expected a whole number of at least 1, got '0'"),
        (
            ["demo", "--epochs", "many"],
            "--epochs: expected a whole number of at least 1, got 'many",
        ),
        (["demo", "--seed", "-1"], "--seed: expected a whole number of at least 0, got '-1'"),
        (["demo", "--output", "a.xyz"], "--output: expected a name that ends in .png, got 'a.xyz'"),
        (["demo", "--output", "no/such/folder/a.png"], "--output: expected a file in an existing"),
        (["bench", "--threads", "1,0"], "--threads: expected a whole number from 1 to 1024, got"),
        (["bench", "--threads", "9999"], "--threads: expected a whole number from 1 to 1024, got"),
        (["bench", "--threads", ","], "--threads: expected a whole number from 1 to 1024, got ''"),
        (["bench", "--plot", "a"], "--plot: expected a name that ends in .png, got 'a'"),
        (["bench", "--json", "."], "--json: expected a file in an existing folder, got '.'"),
        (["bench", "--quick", "--full"], "not allowed with"),
        (["bench", "--only", "nothing"], "--only: no row's name holds 'nothing'"),
    ],
)
def test_bad_arguments(capsys, arguments, message):
    assert exit_of(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert exit_of("bench", "--json", str(tmp_path / "a.json")) == 2
    assert "--json: expected a file that can be written, got" in capsys.readouterr().err


def test_demo_learns_the_digits_and_saves_a_picture(tmp_path, capsys, no_race):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "demo.png"
    assert main(["demo", "--output", str(picture)]) == 0
    printed = capsys.readouterr().out
    accuracy = float(printed.partition("Test accuracy: ")[2].partition("%")[0])
    assert accuracy >= 97
    assert printed.count("%") >= 11  # and for each digit
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_demo_says_how_to_get_a_picture(tmp_path, capsys, monkeypatch, no_race):
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    picture = tmp_path / "demo.png"
    assert main(["demo", "--epochs", "1", "--output", str(picture)]) == 0
    assert "pip install matplotlib" in capsys.readouterr().out
    assert not picture.exists()


def test_demo_races_numpy(capsys, monkeypatch):
    monkeypatch.setattr(demo, "RACE", ("relu 1000",))
    assert main(["demo", "--epochs", "1", "--no-plot"]) == 0
    assert "relu 1000" in capsys.readouterr().out


def test_demo_fails_when_the_network_does_not_learn(capsys, monkeypatch, no_race):
    monkeypatch.setattr(demo, "TARGET", 1.01)
    assert main(["demo", "--no-plot"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_bench_writes_its_report_and_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    report, picture = tmp_path / "report.json", tmp_path / "bars.png"
    arguments = ["--quick", "--only", "matmul 32x64", "--threads", "1"]
    assert main(["bench", *arguments, "--json", str(report), "--plot", str(picture)]) == 0
    assert "1 rows" in capsys.readouterr().out
    (row,) = json.loads(report.read_text())["rows"]
    assert row["name"] == "matmul 32x64x32"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_terminal_without_all_letters():
    process = subprocess.run(
        [sys.executable, "-m", "fastnn", "bench", "--quick", "--only", "relu 1000"],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "FASTNN_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert "relu 1000" in process.stdout and "?" in process.stdout


def test_bench_fails_when_a_kernel_is_wrong(capsys, monkeypatch):
    def wrong(x, out=None):
        return np.abs(x, out)

    monkeypatch.setattr(kernels, "relu", wrong)
    monkeypatch.setattr(
        benchmark, "Process", lambda contestant, n: nullcontext(benchmark.Bench(contestant.side, n))
    )
    with fn.num_threads(fn.get_num_threads()):
        assert main(["bench", "--only", "relu 1000", "--threads", "1"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_bench_says_that_a_process_has_ended(capsys, monkeypatch):
    def ended(*arguments, **settings):
        raise ConnectionError("the process of NumPy has ended")

    monkeypatch.setattr(benchmark, "run", ended)
    assert main(["bench"]) == 1
    assert capsys.readouterr().err == "fastnn: the process of NumPy has ended\n"


def test_interrupt(capsys, monkeypatch):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "run", interrupted)
    assert main(["bench"]) == 130


@pytest.mark.parametrize(
    ("limit", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_threads_by_default(monkeypatch, limit, counts):
    asked = []

    def run(rows, threads, *arguments, **settings):
        asked.extend(threads)
        return {"rows": []}

    monkeypatch.setattr(benchmark, "run", run)
    with fn.num_threads(limit):
        main(["bench", "--only", "relu 1000"])
    assert asked == counts


def test_the_defaults_of_the_demo():
    options = _parser().parse_args(["demo"])
    assert (options.epochs, options.seed) == (demo.EPOCHS, demo.SEED)
