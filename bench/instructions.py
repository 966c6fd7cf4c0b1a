"""Count the instructions of one training step of network T (64-32-10, batch 32), exactly.

    python bench/instructions.py

Needs valgrind. A step's time drowns in a machine's noise, its count does not: it shows overhead
that creeps in. Two runs of the compiled plan differ in nothing but their number of steps; the
difference of their counts, by the difference of their steps, is one step: gathering its rows,
forward, loss, backward, update, all but the shuffling. Counted for the AVX2 build, for few
valgrinds know AVX-512.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

STEPS = 100, 600
OPTIMIZERS = ("sgd", "momentum", "adam")
# No hashes by chance, and none of NumPy's threads that wait in a loop.
QUIET = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}

CHILD = """
import sys
import numpy as np
import fastnn as fn
from fastnn.plan import Examples
optimizer, steps = sys.argv[1], int(sys.argv[2])
fn.set_num_threads(1)
fn.set_random_seed(0)
model = fn.Sequential([fn.layers.Dense(32, activation="relu"), fn.layers.Dense(10)])
loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer, loss, ["accuracy"])
model.build(64)
generator = np.random.default_rng(0)
x = generator.normal(size=(320, 64)).astype(np.float32)
data = Examples(x, generator.integers(0, 10, size=320))
order = generator.integers(0, 320, size=32 * steps)
hyper = model.optimizer.hyper(np.arange(steps)).astype(np.float32)
plan = model._take_plan("train", 32 * steps, 32)
plan.run(data, order, 0, 32 * steps, hyper)
"""


def instructions(optimizer: str, steps: int) -> int:
    """Instructions of a whole run, start-up included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={Path(folder, 'callgrind.out')}",
            *(sys.executable, "-c", CHILD, optimizer, str(steps)),
        ]
        environment = {**os.environ, "FASTNN_ARCH": "v3", **QUIET}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        sys.exit(f"valgrind: {done.stderr[-1000:]}")
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("optimizers", nargs="*", default=OPTIMIZERS)
    if shutil.which("valgrind") is None:
        sys.exit("valgrind: expected on the path, found none")
    fewer, more = STEPS
    for optimizer in parser.parse_args().optimizers:
        count = instructions(optimizer, more) - instructions(optimizer, fewer)
        print(f"{optimizer:10} {count / (more - fewer):10,.0f} instructions a step", flush=True)


if __name__ == "__main__":
    main()
