"""What training costs beside its arithmetic: overhead of `fit`, mapped data, growth, memory.

    python bench/limits.py                      # everything, some minutes
    python bench/limits.py --only growth --threads 2

Figures of one run; what they say, and what was found: bench/README.md.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from peers import NETWORKS

import fastnn as fn
from fastnn import layers, losses, optimizers, plan
from fastnn.benchmark import Bench

ROWS, ROUNDS = 12_800, 7


def network(units: tuple[int, ...], metrics: tuple[str, ...] = ()) -> fn.Sequential:
    stack = [layers.Dense(m, activation="relu") for m in units[1:-1]]
    model = fn.Sequential([layers.Input((units[0],)), *stack, layers.Dense(units[-1])])
    model.compile(
        optimizers.SGD(0.01, momentum=0.9),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=list(metrics),
    )
    return model


def data(rows: int, units: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((rows, units[0]), np.float32)
    return x, generator.integers(0, units[-1], rows)


def epoch(model: fn.Sequential, x: np.ndarray, y: np.ndarray, batch: int, epochs: int = 1) -> float:
    """Return the seconds of an epoch of `fit`."""
    begin = time.perf_counter()
    model.fit(x, y, batch, epochs, verbose=0)
    return (time.perf_counter() - begin) / epochs


def overhead(threads: int) -> None:
    """All of `fit` against the time within its compiled steps."""
    inside, run = [0.0], plan.CompiledPlan.run

    def timed(self, *arguments, **named):
        begin = time.perf_counter()
        try:
            return run(self, *arguments, **named)
        finally:
            inside[0] += time.perf_counter() - begin

    print(
        f"fit over its compiled steps, {ROWS} rows, shuffled, with accuracy; of 1 and of 10 epochs"
    )
    plan.CompiledPlan.run = timed
    try:
        for name in ("T", "S", "M"):
            units, batch, *_ = NETWORKS[name]
            model, (x, y) = network(units, ("accuracy",)), data(ROWS, units)
            model.fit(x, y, batch, verbose=0)
            found = []
            for epochs in (1, 10):
                ratios = []
                for _ in range(ROUNDS):
                    inside[0] = 0.0
                    ratios.append(epochs * epoch(model, x, y, batch, epochs) / inside[0])
                found.append(statistics.median(ratios))
            print(f"  {name}  {found[0]:.3f}  {found[1]:.3f}")
    finally:
        plan.CompiledPlan.run = run


def mapped(threads: int) -> None:
    """Training from a memory-mapped file, in the page cache, against the same array in memory."""
    print("speed from a memory-mapped file over that from memory")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("T", "S", "M"):
            units, batch, *_ = NETWORKS[name]
            x, y = data(ROWS, units)
            path = Path(folder, f"{name}.npy")
            np.save(path, x)
            sides = {"memory": x, "mapped": np.load(path, mmap_mode="r")}
            model, times = network(units), {side: [] for side in sides}
            for _ in range(ROUNDS + 1):
                for side, values in sides.items():
                    times[side].append(epoch(model, values, y, batch))
            memory, file = (statistics.median(times[side][1:]) for side in sides)
            print(f"  {name}  {memory / file:.2f}")


def growth(threads: int) -> None:
    """The share of the FMA peak as batch, width and depth grow: equal shares mean linear time."""
    bench, begin = Bench("fastnn", threads), (784, 256, 256, 10)
    cases = [("batch", begin, batch) for batch in (128, 256, 512, 1024)]
    cases += [("width", (784, m, m, 10), 128) for m in (256, 512, 1024, 2048)]
    cases += [("depth", (512, *[512] * depth, 10), 256) for depth in (1, 2, 4, 8)]
    print(f"growth, {threads} thread{'s' * (threads > 1)}")
    for what, units, batch in cases:
        x, y = data(16 * batch, units)
        model = network(units)
        model.fit(x, y, batch, verbose=0)
        peak, times = 0.0, []
        for _ in range(ROUNDS):
            times.append(epoch(model, x, y, batch) / 16)
            peak = max(peak, bench.peak("float32", threads))
        step = statistics.median(times)
        flops = sum(2 * batch * k * m * (3 if i else 2) for i, (k, m) in enumerate(pairwise(units)))
        shape = f"{units[0]}-{units[1]} x {len(units) - 2}-{units[-1]}, {batch}"
        print(
            f"  {what}  {shape:24} {1e6 * step:10.0f} us  {flops / step / 1e9:6.1f} GFLOP/s  "
            f"{100 * flops / step / 1e9 / peak:5.1f} % of peak"
        )


def peak_memory(threads: int) -> None:
    """Peak memory of a process that trains X, and of one that does so with PyTorch."""
    print("peak memory of a process that trains X")
    for side in ("fastnn", "torch"):
        command = [sys.executable, __file__, "--trains", side]
        found = subprocess.run(command, capture_output=True, text=True)
        print(f"  {side:7} {found.stdout.strip() or 'not installed'}")


def trains(side: str) -> None:
    units, batch, *_ = NETWORKS["X"]
    x, y = data(4 * batch, units)
    if side == "fastnn":
        network(units).fit(x, y, batch, verbose=0)
    else:
        import torch

        stack: list[torch.nn.Module] = []
        for k, m in pairwise(units):
            stack += [torch.nn.Linear(k, m), torch.nn.ReLU()]
        model = torch.nn.Sequential(*stack[:-1])
        optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, fused=True)
        for xs, ys in zip(torch.tensor(x).split(batch), torch.tensor(y).split(batch), strict=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(xs), ys).backward()
            optimizer.step()
    # Kilobytes, but bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit:.0f} MiB")


SECTIONS = {"overhead": overhead, "mapped": mapped, "growth": growth, "memory": peak_memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=SECTIONS, help="one section")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--trains", choices=("fastnn", "torch"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trains:
        trains(arguments.trains)
        return
    fn.set_num_threads(arguments.threads)
    for name, section in SECTIONS.items():
        if arguments.only in (None, name):
            section(arguments.threads)


if __name__ == "__main__":
    main()
