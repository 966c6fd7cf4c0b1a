"""The benchmark verifies every row, reports those that are wrong, and keeps those that lose.

Nothing here depends on a time.
"""

import json
import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import benchmark, kernels
from fastnn.benchmark import FASTNN, NUMPY, Bench, Contestant, Process
from fastnn.benchmark_rows import Job, Row, rows

ROWS = {row.name: row for row in rows()}


@pytest.fixture(autouse=True)
def threads():
    """Restore the limit of threads, which a Bench sets for its process."""
    with fn.num_threads(fn.get_num_threads()):
        yield


@pytest.fixture
def in_this_process(monkeypatch):
    """Let all contestants work in this process, where a test can reach their kernels."""
    monkeypatch.setattr(
        benchmark, "Process", lambda contestant, n: nullcontext(Bench(contestant.side, n))
    )


class Stopwatch:
    """A worker with given answers."""

    def __init__(self, seconds, error=0.0):
        self.seconds, self.error = seconds, error

    def verify(self, name):
        return self.error

    def calibrate(self, name, seconds):
        return 7

    def time(self, name, loops):
        assert loops == 7
        return self.seconds.pop(0)

    def peak(self, dtype, threads):
        return 100.0


def measure(row, *workers, rounds=3):
    return benchmark.measure(row, 1, workers, rounds, seconds=1e-3, patience=60)


# ---- the rows --------------------------------------------------------------------------------


def test_every_row_has_its_own_name():
    assert len(ROWS) == len(rows())


@pytest.mark.parametrize("name", [row.name for row in rows() if not row.full])
def test_both_sides_of_every_row_are_right(name):
    for side in ROWS[name].sides:
        assert Bench(side, threads=2).verify(name) <= 1, side


@pytest.mark.parametrize("name", ["matmul 32x64x32", "softmax 100x10", "adagrad 1000"])
def test_inputs_are_the_same_whenever_they_are_made(name):
    first, second = ROWS[name].inputs(), ROWS[name].inputs()
    for a, b in zip(first, second, strict=True):
        assert a is not b
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [row.name for row in rows() if row.quick])
def test_a_small_error_in_any_output_is_seen(name):
    row = ROWS[name]
    for wrong in range(len(row.reference())):
        outputs = [expected.value.copy() for expected in row.reference()]
        outputs[wrong].flat[-1] += 1e-3 * np.abs(outputs[wrong]).max()
        bench = bench_of(row, outputs)
        assert bench.verify(name) > 1


def bench_of(row, outputs):
    """Return a bench whose only row gives these outputs."""
    job = Job(lambda: None, lambda: tuple(outputs))
    bench = Bench("fake", threads=1)
    bench._rows = {
        row.name: Row(
            row.name, row.group, row.inputs, {"fake": lambda *_: job}, row.expected, row.dtype
        )
    }
    return bench


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_output_that_is_not_finite_is_wrong(value):
    row = ROWS["relu 1000"]
    output = row.reference()[0].value
    output[500] = value
    assert bench_of(row, [output]).verify(row.name) == np.inf


def test_an_output_of_another_shape_is_wrong():
    row = ROWS["relu 1000"]
    with pytest.raises(ValueError, match=r"expected an output of shape \(1000,\), got \(999,\)"):
        bench_of(row, [np.zeros(999)]).verify(row.name)


def test_select():
    names = [row.name for row in benchmark.select("MATMUL 256")]
    assert names
    assert all(name.startswith("matmul 256") for name in names)
    assert [row.name for row in benchmark.select("relu*000", quick=True)] == ["relu 100000"]
    assert not [row for row in benchmark.select() if row.full]
    assert [row for row in benchmark.select(full=True) if row.full]
    assert benchmark.select("no such row") == []


# ---- a wrong kernel --------------------------------------------------------------------------


def leaky(x, out=None):
    return np.maximum(x, np.float32(0.01) * x, out=out)


def raising(x, out=None):
    raise ZeroDivisionError("a defect")


@pytest.mark.parametrize(
    ("kernel", "failure"),
    [(leaky, "fastnn: an error of .* times the tolerance"), (raising, "fastnn: a defect")],
)
def test_a_broken_kernel_fails_its_row_and_no_other(monkeypatch, in_this_process, kernel, failure):
    monkeypatch.setattr(kernels, "relu", kernel)
    lines = []
    selected = [ROWS["relu 1000"], ROWS["sgd 1000"]]
    report = benchmark.run(selected, [1], [FASTNN, NUMPY], 1, 1e-5, show=lines.append)

    broken, sound = report["rows"]
    assert not broken["verified"]
    assert benchmark.failed(report)
    assert re.search(failure, broken["failure"])
    assert broken["contestants"] == {}  # never timed
    assert "FAILED" in lines[1]
    assert sound["verified"]
    assert "FAILED" not in lines[2]
    assert "1 failed" in benchmark.closing(report)


def test_a_peer_that_is_wrong_fails_the_row_too():
    row = ROWS["relu 1000"]
    result = measure(row, (FASTNN, Stopwatch([])), (NUMPY, Stopwatch([], error=1.5)))
    assert not result["verified"]
    assert result["failure"] == "NumPy: an error of 1.5 times the tolerance"


# ---- times -----------------------------------------------------------------------------------


def test_medians_quartiles_and_ratios():
    row = ROWS["matmul 32x64x32"]
    result = measure(
        row, (FASTNN, Stopwatch([1e-6, 3e-6, 2e-6])), (NUMPY, Stopwatch([5e-6, 1e-6, 4e-6]))
    )
    ours, theirs = result["contestants"]["fastnn"], result["contestants"]["NumPy"]
    assert ours["microseconds"] == pytest.approx(2)
    assert ours["quartiles"] == pytest.approx([1.5, 2.5])
    assert ours["rounds"] == pytest.approx([1, 3, 2])
    assert ours["gflops"] == ours["percent_of_peak"] == pytest.approx(2 * 32 * 64 * 32 / 2e-6 / 1e9)
    assert ours["ratio"] == 1
    assert theirs["ratio"] == pytest.approx(2)
    assert result["peak_gflops"] == 100
    assert result["slower_than"] == []


def test_a_row_that_loses_is_kept_and_marked():
    row = ROWS["exp 1000"]
    workers = [(FASTNN, Stopwatch([2e-6])), (NUMPY, Stopwatch([1e-6]))]
    result = measure(row, *workers, rounds=1)
    assert result["verified"]
    assert result["slower_than"] == ["NumPy"]
    assert "slower than NumPy" in benchmark.line(result, [row.name], [FASTNN, NUMPY])


def test_a_contestant_without_this_side_is_left_out():
    peer, best = Contestant("peer", "peer"), Contestant("best", "numpy", only_products=True)
    workers = [(FASTNN, Stopwatch([1e-6])), (peer, Stopwatch([])), (best, Stopwatch([]))]
    result = measure(ROWS["exp 1000"], *workers, rounds=1)
    assert list(result["contestants"]) == ["fastnn"]
    assert benchmark.line(result, ["exp 1000"], [FASTNN, peer, best])


def test_a_part_costs_something_and_loses_to_nobody():
    row = ROWS["step M with dropout"]
    workers = [(FASTNN, Stopwatch([3e-3])), (benchmark.PLAIN, Stopwatch([2e-3]))]
    result = measure(row, *workers, rounds=1)
    assert result["contestants"]["plain step"]["ratio"] == pytest.approx(2 / 3)
    assert result["slower_than"] == []


def test_the_columns_stand_under_their_titles():
    row = ROWS["matmul 32x64x32"]
    result = measure(row, (FASTNN, Stopwatch([1e-3])), (NUMPY, Stopwatch([2e-3])), rounds=1)
    line = benchmark.line(result, [row.name], [FASTNN, NUMPY])
    header = benchmark.header([row.name], [FASTNN, NUMPY])
    assert len(line) == len(header)
    assert line.split()[2:] == ["1000.0", "0%", "0.1", "0.1", "2000.0", "2.00"]


# ---- other processes -------------------------------------------------------------------------


def test_the_report_is_json_of_the_documented_form():
    selected = [ROWS["matmul 32x64x32"], ROWS["relu 1000"]]
    entered = [c for c in benchmark.contestants() if c is not benchmark.PLAIN]
    report = benchmark.run(selected, [1, 2], entered, 2, 1e-5, show=lambda line: None)
    report = json.loads(json.dumps(report, allow_nan=False))

    assert set(report) == {"format", "config", "settings", "contestants", "rows"}
    assert report["format"] == 1
    assert report["settings"] == {"threads": [1, 2], "rounds": 2, "seconds": 1e-5}
    assert report["config"]["version"] == fn.__version__
    assert list(report["contestants"]) == [contestant.label for contestant in entered]
    assert [(row["name"], row["threads"]) for row in report["rows"]] == [
        (row.name, count) for count in (1, 2) for row in selected
    ]
    for row in report["rows"]:
        assert row["verified"] and row["failure"] is None
        product = row["group"] == "product"
        labels = [c.label for c in entered if product or not c.only_products]
        assert list(row["contestants"]) == labels
        assert (row["peak_gflops"] is not None) == product
        for entry in row["contestants"].values():
            keys = {"error", "loops", "microseconds", "quartiles", "rounds", "ratio"}
            assert set(entry) == keys | ({"gflops", "percent_of_peak"} if product else set())
            assert entry["error"] <= 1
            assert len(entry["rounds"]) == 2
    assert not benchmark.failed(report)


def test_a_process_tells_what_went_wrong_and_goes_on():
    with Process(NUMPY, 1) as process:
        with pytest.raises(RuntimeError, match="KeyError: 'no such row'"):
            process.verify("no such row")
        assert process.verify("exp 1000") <= 1


def test_a_process_that_has_ended_is_named():
    with Process(NUMPY, 1) as process:
        process._process.terminate()
        process._process.wait()
        with pytest.raises(ConnectionError, match="the process of NumPy has ended"):
            process.describe()


def test_a_process_does_not_run_the_source_tree_it_is_started_in(tmp_path, monkeypatch):
    # `fastnn demo` is run from the clone, whose fastnn/ has no compiled core.
    (tmp_path / "fastnn").mkdir()
    (tmp_path / "fastnn" / "__init__.py").write_text("raise ImportError('the source tree')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(fn.__file__).parents[1]))
    with Process(NUMPY, 1) as process:
        assert process.describe()["numpy"] == np.__version__


def test_the_environment_reaches_the_process():
    pytest.importorskip("threadpoolctl")
    with Process(NUMPY, 1) as process:
        installed = process.describe().get("blas", "")
    if "openblas" not in installed or "v3" not in fn.show_config()["arch_available"]:
        pytest.skip("no OpenBLAS with an AVX2 kernel")
    with Process(Contestant("Haswell", "numpy", {"OPENBLAS_CORETYPE": "Haswell"}), 1) as process:
        assert process.describe()["blas"].endswith("Haswell")


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    row = ROWS["matmul 32x64x32"]
    result = measure(row, (FASTNN, Stopwatch([1e-6])), (NUMPY, Stopwatch([2e-6])), rounds=1)
    labels = {"fastnn": {}, "NumPy": {}, "not in this row": {}}
    report = {"settings": {"threads": [1]}, "contestants": labels, "rows": [result]}
    benchmark.plot(report, tmp_path / "bars.png")
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")
