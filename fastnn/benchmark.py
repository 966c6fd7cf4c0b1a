"""`fastnn bench`: verify, then time, side by side.

Every contestant works in a process of its own, whose thread limit and BLAS kernel are set before
NumPy is imported, and answers questions over a pipe: is your result right, how long do so many
calls take. They are asked in turn, round after round, so that a change of the clock meets them all.
What is measured stands in `fastnn.benchmark_rows`.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from itertools import repeat
from types import TracebackType
from typing import IO, Any, Protocol, Self

import numpy as np

import fastnn as fn
from fastnn import _dispatch
from fastnn.benchmark_rows import Job, Row, rows

FORMAT = 1  # of the JSON report
GET_MATPLOTLIB = "python -m pip install matplotlib"

# Threads that have worked go on spinning, waiting for more, before they sleep: GCC's OpenMP for up
# to 10 ms, OpenBLAS for 100, which would slow down whoever is timed next. So OpenBLAS is given
# 2**22 clock ticks (1-2 ms, longer than any gap between two products here), and turns are apart.
_BLAS_SPIN = "22"
_PAUSE = 0.012

_PEAK_ROUNDS = 400_000  # of the FMA loop: some milliseconds


@dataclass(frozen=True)
class Contestant:
    """Who is timed: a side of the rows, in a certain environment."""

    label: str
    side: str  # a key of Row.sides
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    only_products: bool = False  # nothing differs elsewhere

    def runs(self, row: Row) -> bool:
        """Tell whether it has something to show on this row."""
        return self.side in row.sides and (row.products or not self.only_products)


FASTNN = Contestant("fastnn", "fastnn")
NUMPY = Contestant("NumPy", "numpy")
PLAIN = Contestant("plain step", "plain")


def contestants() -> list[Contestant]:
    """Return fastnn, NumPy as installed, and NumPy told to use its best OpenBLAS kernel; and fastnn
    without the part that a row is about.

    OpenBLAS falls back to an older kernel on a processor that it does not know.
    """
    arch = fn.show_config()["arch_available"]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    best = "SkylakeX" if "v4" in arch else "Haswell" if "v3" in arch else None
    if best is None or "openblas" not in blas:
        return [FASTNN, NUMPY, PLAIN]
    return [
        FASTNN,
        NUMPY,
        Contestant(f"NumPy {best}", "numpy", {"OPENBLAS_CORETYPE": best}, only_products=True),
        PLAIN,
    ]


def select(only: str = "", quick: bool = False, full: bool = False) -> list[Row]:
    """Return the rows whose name holds the text or shell pattern `only`."""
    return [
        row
        for row in rows()
        if fnmatchcase(row.name.lower(), f"*{only.lower()}*")
        and (row.quick or not quick)
        and (full or not row.full)
    ]


# ---- a contestant at work --------------------------------------------------------------------


class Worker(Protocol):
    """What a contestant is asked."""

    def describe(self) -> dict[str, str]: ...
    def verify(self, name: str) -> float: ...
    def calibrate(self, name: str, seconds: float) -> int: ...
    def time(self, name: str, loops: int) -> float: ...
    def peak(self, dtype: str, threads: int) -> float: ...


class Bench:
    """A contestant's side of the rows, in this process."""

    def __init__(self, side: str, threads: int) -> None:
        self._side = side
        self._rows = {row.name: row for row in rows()}
        self._current: tuple[str, Job] | None = None
        if side in ("fastnn", "plain"):
            fn.set_num_threads(threads)

    def describe(self) -> dict[str, str]:
        """Return the versions in use, and the BLAS kernel where it can be told."""
        found = {"numpy": np.__version__}
        with suppress(ImportError):
            for pool in import_module("threadpoolctl").threadpool_info():
                if pool["user_api"] == "blas":
                    kernel = pool.get("architecture", "")
                    found["blas"] = f"{pool['internal_api']} {pool['version']} {kernel}".strip()
        return found

    def verify(self, name: str) -> float:
        """Return the greatest error of the outputs over its tolerance: at most 1 is right."""
        self._current = None  # fresh inputs
        row = self._rows[name]
        outputs = self._job(name).check()
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        worst = 0.0
        for output, (value, tolerance) in zip(outputs, row.reference(), strict=True):
            if output.shape != value.shape:
                raise ValueError(f"expected an output of shape {value.shape}, got {output.shape}")
            with np.errstate(invalid="ignore", over="ignore"):
                difference = np.abs(output.astype(np.float64) - value)
                error = (difference / np.maximum(tolerance, np.finfo(np.float64).tiny)).max()
            worst = max(worst, float(error) if np.isfinite(error) else np.inf)
        return worst

    def calibrate(self, name: str, seconds: float) -> int:
        """Return how many calls take at least so many seconds."""
        call, loops = self._job(name).call, 1
        _elapsed(call, 1)  # a warm-up: an epoch, where the row is a network
        while (elapsed := _elapsed(call, loops)) < seconds:
            loops = max(loops + 1, min(10 * loops, int(1.2 * loops * seconds / max(elapsed, 1e-9))))
        return loops

    def time(self, name: str, loops: int) -> float:
        """Return the seconds of one call, or of one training step."""
        job = self._job(name)
        if job.steps == 1:  # else a call is long, and warms the caches itself
            _elapsed(job.call, 1 + loops // 8)
        return _elapsed(job.call, loops) / (loops * job.steps)

    def peak(self, dtype: str, threads: int) -> float:
        """Return the rate of a loop of FMA instructions in registers, in GFLOP/s."""
        burn = _dispatch.core(dtype).fma_burn
        best = 0.0
        for _ in range(3):
            start = time.perf_counter()
            flops = burn(_PEAK_ROUNDS, threads)
            best = max(best, flops / (time.perf_counter() - start))
        return best / 1e9

    def _job(self, name: str) -> Job:
        if self._current is None or self._current[0] != name:
            self._current = None  # free the last row's arrays first
            self._current = name, self._rows[name].job(self._side)
        return self._current[1]


def _elapsed(call: Callable[[], Any], loops: int) -> float:
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in repeat(None, loops):
            call()
        return time.perf_counter() - start
    finally:
        if collecting:
            gc.enable()


class Process:
    """A contestant at work in another process."""

    def __init__(self, contestant: Contestant, threads: int) -> None:
        limit = str(threads if contestant.side != "fastnn" else 1)
        environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
        environment |= {"OPENBLAS_THREAD_TIMEOUT": _BLAS_SPIN, "OPENBLAS_NUM_THREADS": limit}
        environment |= {"MKL_NUM_THREADS": limit, "VECLIB_MAXIMUM_THREADS": limit}
        self._label = contestant.label
        self._process = subprocess.Popen(
            # -P: not from the current folder, which may hold the source tree.
            [sys.executable, "-P", "-m", "fastnn.benchmark", contestant.side, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | dict(contestant.environment),
        )

    def describe(self) -> dict[str, str]:
        return self._ask("describe")

    def verify(self, name: str) -> float:
        return self._ask("verify", name)

    def calibrate(self, name: str, seconds: float) -> int:
        return self._ask("calibrate", name, seconds)

    def time(self, name: str, loops: int) -> float:
        return self._ask("time", name, loops)

    def peak(self, dtype: str, threads: int) -> float:
        return self._ask("peak", dtype, threads)

    def _ask(self, question: str, *arguments: object) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([question, *arguments]) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise ConnectionError(f"the process of {self._label} has ended")
        reply = json.loads(answer)
        if "failure" in reply:
            raise RuntimeError(reply["failure"])
        return reply["answer"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        if kind is not None:
            self._process.kill()  # it may be in the middle of something long
        with ExitStack() as stack:
            stack.callback(self._process.wait)
            stack.callback(self._process.stdout.close)
            with suppress(BrokenPipeError):
                self._process.stdin.close()  # the end of its questions


def _serve(bench: Worker, questions: IO[str], answers: IO[str]) -> None:
    """Answer each line ``[question, argument, ...]`` by a line, until there are no more."""
    for line in questions:
        question, *arguments = json.loads(line)
        reply: dict[str, Any]
        try:
            reply = {"answer": getattr(bench, question)(*arguments)}
        except Exception as error:
            reply = {"failure": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers, flush=True)


# ---- a race ----------------------------------------------------------------------------------


def run(
    selected: Sequence[Row],
    threads: Sequence[int],
    entered: Sequence[Contestant],
    rounds: int = 9,
    seconds: float = 0.003,
    patience: float = 20.0,
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Verify and time some rows.

    Parameters
    ----------
    selected : rows
    threads : thread limits to measure at
    entered : contestants, fastnn first
    rounds : int
        How often every contestant is timed on a row.
    seconds : float
        For how long at least.
    patience : float
        The seconds after which a row gets no further round.
    show : function of a str
        Takes the lines of the table as they come.

    Returns
    -------
    dict
        The report, as `fastnn bench --json` writes it: see bench/README.md.
    """
    results: list[dict[str, Any]] = []
    described: dict[str, Any] = {}
    names = [row.name for row in selected]
    entered = [c for c in entered if any(map(c.runs, selected))]
    for count in threads:
        with ExitStack() as stack:
            workers = [(c, stack.enter_context(Process(c, count))) for c in entered]
            for contestant, worker in workers:
                described[contestant.label] = worker.describe()
            show(f"\n{count} thread{'s' * (count > 1)}\n{header(names, entered)}")
            for row in selected:
                result = measure(row, count, workers, rounds, seconds, patience)
                results.append(result)
                show(line(result, names, entered))
    return {
        "format": FORMAT,
        "config": fn.show_config(),
        "settings": {"threads": list(threads), "rounds": rounds, "seconds": seconds},
        "contestants": described,
        "rows": results,
    }


def measure(
    row: Row,
    threads: int,
    workers: Sequence[tuple[Contestant, Worker]],
    rounds: int,
    seconds: float,
    patience: float,
) -> dict[str, Any]:
    """Verify and time one row; fastnn's worker comes first. Return its part of the report."""
    racing = [(contestant.label, worker) for contestant, worker in workers if contestant.runs(row)]
    result: dict[str, Any] = {
        "name": row.name,
        "group": row.group,
        "dtype": row.dtype,
        "threads": threads,
        "flops": row.flops,
        "verified": False,
        "failure": None,
        "peak_gflops": None,
        "contestants": {},
        "slower_than": [],
    }
    errors = {}
    for label, worker in racing:
        try:
            errors[label] = worker.verify(row.name)
        except ConnectionError:
            raise  # nobody is left to ask
        except Exception as problem:
            return result | {"failure": f"{label}: {problem}"}
        if errors[label] > 1:
            failure = f"{label}: an error of {errors[label]:.3g} times the tolerance"
            return result | {"failure": failure}
    result["verified"] = True

    loops = {label: worker.calibrate(row.name, seconds) for label, worker in racing}
    times: dict[str, list[float]] = {label: [] for label, _ in racing}
    peaks = []
    end = time.monotonic() + patience
    for i in range(rounds):
        if i and time.monotonic() > end:
            break
        first = i % len(racing)
        for label, worker in racing[first:] + racing[:first]:
            if threads > 1:
                time.sleep(_PAUSE)
            times[label].append(worker.time(row.name, loops[label]))
        if row.flops:
            peaks.append(workers[0][1].peak(row.dtype, threads))

    ours = float(np.median(times[racing[0][0]]))
    for label, measured in times.items():
        low, middle, high = np.quantile(measured, (0.25, 0.5, 0.75)).tolist()
        entry = {
            "error": errors[label],
            "loops": loops[label],
            "microseconds": 1e6 * middle,
            "quartiles": [1e6 * low, 1e6 * high],
            "rounds": [1e6 * t for t in measured],
            "ratio": middle / ours,
        }
        if peaks:
            result["peak_gflops"] = max(peaks)
            entry["gflops"] = row.flops / middle / 1e9
            entry["percent_of_peak"] = 100 * entry["gflops"] / max(peaks)
        if round(entry["ratio"], 2) < 1 and label != PLAIN.label:
            result["slower_than"].append(label)
        result["contestants"][label] = entry
    return result


def failed(report: Mapping[str, Any]) -> bool:
    """Tell whether a row of the report failed its verification."""
    return not all(row["verified"] for row in report["rows"])


# ---- what it shows ---------------------------------------------------------------------------


def header(names: Sequence[str], entered: Sequence[Contestant]) -> str:
    """Return the line of column titles."""
    peers = "".join(f"{f'{c.label} µs':>20}{'ratio':>7}" for c in entered[1:])
    return f"{'':{_width(names)}}{'fastnn µs':>11}{'±':>6}{'GFLOP/s':>9}{'% peak':>8}{peers}"


def line(result: Mapping[str, Any], names: Sequence[str], entered: Sequence[Contestant]) -> str:
    """Return a row of the table."""
    text = f"{result['name']:{_width(names)}}"
    if not result["verified"]:
        return f"{text}  FAILED  {result['failure']}"
    ours = result["contestants"][entered[0].label]
    low, high = ours["quartiles"]
    text += f"{_number(ours['microseconds'])}{50 * (high - low) / ours['microseconds']:5.0f}%"
    if "gflops" in ours:
        text += f"{ours['gflops']:9.1f}{ours['percent_of_peak']:8.1f}"
    else:
        text += " " * 17
    for contestant in entered[1:]:
        theirs = result["contestants"].get(contestant.label)
        if theirs is None:
            text += " " * 27
        else:
            text += f"{_number(theirs['microseconds'], 20)}{theirs['ratio']:7.2f}"
    if result["slower_than"]:
        text += f"  slower than {', '.join(result['slower_than'])}"
    return text.rstrip()


def _width(names: Sequence[str]) -> int:
    return max(map(len, names), default=0)


def _number(value: float, width: int = 11) -> str:
    return f"{value:{width}.{2 if value < 100 else 1 if value < 10_000 else 0}f}"


def closing(report: Mapping[str, Any]) -> str:
    """Return the sentence that sums the report up."""
    measured = [row for row in report["rows"] if row["verified"]]
    slower = sum(bool(row["slower_than"]) for row in measured)
    wrong = len(report["rows"]) - len(measured)
    return (
        f"{len(report['rows'])} rows: {len(measured) - slower} as fast as every peer or faster, "
        f"{slower} slower, {wrong} failed verification. "
        "ratio: the peer's time over fastnn's; ±: half the spread between the quartiles."
    )


def plot(report: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Save a picture: bars of per cent of the FMA peak, one panel for each number of threads."""
    from matplotlib.figure import Figure

    counts = report["settings"]["threads"]
    labels = list(report["contestants"])
    shown = {
        count: [r for r in report["rows"] if r["threads"] == count and r["peak_gflops"]]
        for count in counts
    }
    tallest = max(map(len, shown.values()), default=0)
    figure = Figure(figsize=(1 + 5 * len(counts), 1.5 + 0.4 * tallest), layout="constrained")
    panels = figure.subplots(1, len(counts), squeeze=False, sharey=True)[0]
    height = 0.8 / len(labels)
    for panel, count in zip(panels, counts, strict=True):
        measured = shown[count]
        for i, label in enumerate(labels):
            values = [r["contestants"].get(label, {}).get("percent_of_peak", 0) for r in measured]
            places = [y + i * height for y in range(len(measured))]
            panel.barh(places, values, height, align="edge", label=label)
        panel.set_yticks([y + 0.4 for y in range(len(measured))], [r["name"] for r in measured])
        panel.set_xlim(0, 100)  # the axis ends at what the machine can do
        panel.set_xlabel("% of the FMA peak")
        panel.set_title(f"{count} thread{'s' * (count > 1)}")
    panels[0].invert_yaxis()  # of all: they share it
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=4)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    replies, sys.stdout = sys.stdout, sys.stderr  # nothing else may reach the pipe
    _serve(Bench(sys.argv[1], int(sys.argv[2])), sys.stdin, replies)
