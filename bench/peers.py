"""fastnn beside its peers: verify equal results, then time training steps or predictions.

    python bench/peers.py --networks T,S,M --threads 1,2 --json peers.json --plot peers.png
    python bench/peers.py --predict

Every peer works in a process of its own, whose thread limits are in its environment before anything
is imported, and they are asked in turn, as in `fastnn bench`. A peer that is not installed is
skipped. What each side does, and how to read the table: bench/README.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import cycle, pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastnn as fn
from fastnn import reference
from fastnn.benchmark import FASTNN, FORMAT, Bench, Contestant, contestants, failed, measure
from fastnn.benchmark_rows import (
    _LEARNING_RATE,
    _MOMENTUM,
    Expected,
    Job,
    Row,
    _fastest,
    _network,
    _NumpyNetwork,
    _reference_step,
)

Array = np.ndarray


class Network(NamedTuple):
    """A network with ReLU in between, and its random data: `batches` of `batch` rows."""

    units: tuple[int, ...]
    batch: int
    batches: int
    part: int  # mini-batches that one epoch passes; the next call takes the next ones
    epochs: int  # in one call

    def __str__(self) -> str:
        return "-".join(map(str, self.units))


NETWORKS = {
    "T": Network((64, 32, 10), 32, batches=256, part=256, epochs=8),
    "S": Network((784, 128, 10), 32, batches=64, part=64, epochs=4),
    "M": Network((784, 256, 128, 10), 128, batches=64, part=64, epochs=1),
    "L": Network((784, 1024, 1024, 10), 256, batches=64, part=16, epochs=1),
    "X": Network((1024, 2048, 2048, 2048, 10), 512, batches=64, part=4, epochs=1),
}
PREDICTED = (1, 32, 1024)  # rows

_CHECKED_BATCHES, _CHECKED_EPOCHS = 4, 2  # what is trained before the losses are compared
_LOSS_TOLERANCE, _OUTPUT_TOLERANCE = 1e-6, 1e-5  # over the greatest expected value
_BF16_TOLERANCE = 1000  # times as much: it has 16 bits fewer
_SECONDS, _PATIENCE = 0.03, 90.0  # of a turn, at least; after which a row gets no further round

# ---- training: a side is a function that trains on some mini-batches ---------------------------

# train(first, count, epochs, shuffle) -> the losses of the steps, or their means by epoch
Train = Callable[[int, int, int, bool], Sequence[Any]]
TrainSide = Callable[[Network, Array, Array, list[Array]], Train]


def fit_side(library: str) -> TrainSide:
    """Return the side of fastnn, and of Keras: the script is the same."""

    def side(network: Network, x: Array, labels: Array, parameters: list[Array]) -> Train:
        lib = importlib.import_module(library)
        model = lib.Sequential([lib.layers.Input((network.units[0],))])
        for m in network.units[1:-1]:
            model.add(lib.layers.Dense(m, activation="relu"))
        model.add(lib.layers.Dense(network.units[-1]))
        model.compile(
            optimizer=lib.optimizers.SGD(learning_rate=_LEARNING_RATE, momentum=_MOMENTUM),
            loss=lib.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.set_weights(parameters)

        def train(first: int, count: int, epochs: int, shuffle: bool) -> Sequence[Any]:
            rows = slice(first * network.batch, (first + count) * network.batch)
            return model.fit(
                x[rows],
                labels[rows],
                batch_size=network.batch,
                epochs=epochs,
                shuffle=shuffle,
                verbose=0,
            ).history["loss"]

        return train

    return side


def numpy_side(network: Network, x: Array, labels: Array, parameters: list[Array]) -> Train:
    """NumPy, as in `fastnn bench`: no array is made in a step."""
    trained, generator = _NumpyNetwork(network.batch, parameters), np.random.default_rng(2)

    def train(first: int, count: int, epochs: int, shuffle: bool) -> Sequence[Any]:
        rows = np.arange(first * network.batch, (first + count) * network.batch)
        order = generator.permutation if shuffle else np.asarray
        return [trained.epoch(x, labels, order(rows)) for _ in range(epochs)]

    return train


def sklearn_side(network: Network, x: Array, labels: Array, parameters: list[Array]) -> Train:
    """scikit-learn's `fit`, from where the last one ended, its validation of the data included."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)  # after max_iter epochs, as told
    model = MLPClassifier(
        network.units[1:-1],
        solver="sgd",
        alpha=0,
        batch_size=network.batch,
        learning_rate_init=_LEARNING_RATE,
        momentum=_MOMENTUM,
        nesterovs_momentum=False,
        tol=0,
        n_iter_no_change=sys.maxsize,
        max_iter=1,
        warm_start=True,
    )
    model.fit(x[: _CHECKED_BATCHES * network.batch], labels[: _CHECKED_BATCHES * network.batch])
    model.coefs_, model.intercepts_ = parameters[::2], parameters[1::2]
    model.loss_curve_ = []

    def train(first: int, count: int, epochs: int, shuffle: bool) -> Sequence[Any]:
        rows = slice(first * network.batch, (first + count) * network.batch)
        model.set_params(max_iter=epochs, shuffle=shuffle).fit(x[rows], labels[rows])
        return model.loss_curve_[-epochs:]

    return train


def _torch_model(units: tuple[int, ...], parameters: list[Array]) -> Any:
    import torch

    model = torch.nn.Sequential()
    for i, (k, m) in enumerate(pairwise(units)):
        if i:
            model.append(torch.nn.ReLU())
        dense = torch.nn.Linear(k, m)
        with torch.no_grad():
            dense.weight.copy_(torch.from_numpy(parameters[2 * i].T))
            dense.bias.copy_(torch.from_numpy(parameters[2 * i + 1]))
        model.append(dense)
    return model


def torch_side(bf16: bool = False, compiled: bool = False) -> TrainSide:
    """Return PyTorch's side: mini-batches are views, made beforehand; nothing is shuffled."""

    def side(network: Network, x: Array, labels: Array, parameters: list[Array]) -> Train:
        import torch

        model = _torch_model(network.units, parameters)
        optimizer = torch.optim.SGD(  # fused: the fastest of its three ways
            model.parameters(), lr=_LEARNING_RATE, momentum=_MOMENTUM, fused=True
        )
        xs = torch.from_numpy(x).split(network.batch)
        ys = torch.from_numpy(labels).split(network.batch)

        def loss_of(x: Any, y: Any) -> Any:
            return torch.nn.functional.cross_entropy(model(x), y)

        def loss_of_bf16(x: Any, y: Any) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                return torch.nn.functional.cross_entropy(model(x), y)

        forward = loss_of_bf16 if bf16 else loss_of
        if compiled:
            forward = torch.compile(forward)

        def train(first: int, count: int, epochs: int, shuffle: bool) -> Sequence[Any]:
            losses = []
            for _ in range(epochs):
                for i in range(first, first + count):
                    optimizer.zero_grad()
                    loss = forward(xs[i], ys[i])
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.detach())
            return losses

        return train

    return side


def torch_step_side(network: Network, x: Array, labels: Array, parameters: list[Array]) -> Train:
    """PyTorch's whole step, update included, as one compiled function of tensors."""
    import torch

    weights = [torch.tensor(p) for p in parameters]
    velocities = [torch.zeros_like(w) for w in weights]
    xs = torch.from_numpy(x).split(network.batch)
    ys = torch.from_numpy(labels).split(network.batch)

    def loss_of(weights: list[Any], x: Any, y: Any) -> Any:
        for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            x = torch.relu(torch.addmm(bias, x, kernel))
        logits = torch.addmm(weights[-1], x, weights[-2])
        return torch.nn.functional.cross_entropy(logits, y)

    @torch.compile
    def step(x: Any, y: Any) -> Any:
        gradients, loss = torch.func.grad_and_value(loss_of)(weights, x, y)
        for w, v, g in zip(weights, velocities, gradients, strict=True):
            v.mul_(_MOMENTUM).sub_(g, alpha=_LEARNING_RATE)
            w.add_(v)
        return loss

    def train(first: int, count: int, epochs: int, shuffle: bool) -> Sequence[Any]:
        return [step(xs[i], ys[i]) for _ in range(epochs) for i in range(first, first + count)]

    return train


def jax_side(scan: bool) -> TrainSide:
    """Return JAX's side: a jitted step with donated buffers, or a scan over those of an epoch.

    The mini-batches are on the device beforehand; nothing is shuffled.
    """

    def side(network: Network, x: Array, labels: Array, parameters: list[Array]) -> Train:
        import jax
        import jax.numpy as jnp

        # Copies: on a CPU JAX may use NumPy's memory, and a donated buffer is overwritten.
        weights = [jnp.array(p, copy=True) for p in parameters]
        state = (weights, [jnp.zeros_like(w) for w in weights])
        xs = jnp.asarray(x.reshape(network.batches, network.batch, -1))
        ys = jnp.asarray(labels.reshape(network.batches, network.batch).astype(np.int32))

        def loss_of(weights: Any, x: Any, y: Any) -> Any:
            for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
                x = jax.nn.relu(x @ kernel + bias)
            log_p = jax.nn.log_softmax(x @ weights[-2] + weights[-1])
            return -jnp.take_along_axis(log_p, y[:, None], 1).mean()

        def step(state: Any, batch: Any) -> Any:
            weights, velocities = state
            loss, gradients = jax.value_and_grad(loss_of)(weights, *batch)
            velocities = [
                _MOMENTUM * v - _LEARNING_RATE * g
                for v, g in zip(velocities, gradients, strict=True)
            ]
            return ([w + v for w, v in zip(weights, velocities, strict=True)], velocities), loss

        one = jax.jit(step, donate_argnums=0)
        many = jax.jit(lambda state, part: jax.lax.scan(step, state, part), donate_argnums=0)

        @cache
        def part(first: int, count: int) -> Any:
            rows = slice(first, first + count)
            return (xs[rows], ys[rows]) if scan else list(zip(xs[rows], ys[rows], strict=True))

        def train(first: int, count: int, epochs: int, shuffle: bool) -> Sequence[Any]:
            nonlocal state
            losses: list[Any] = []
            for _ in range(epochs):
                if scan:
                    state, epoch_losses = many(state, part(first, count))
                    losses.append(epoch_losses)
                else:
                    for batch in part(first, count):
                        state, loss = one(state, batch)
                        losses.append(loss)
            jax.block_until_ready(state)
            return losses

        for first in range(0, network.batches, network.part):
            part(first, network.part)
        return train

    return side


TRAINING: dict[str, TrainSide] = {
    "fastnn": fit_side("fastnn"),
    "torch": torch_side(),
    "torch-compile": torch_side(compiled=True),
    "torch-compile-step": torch_step_side,
    "torch-bf16": torch_side(bf16=True),
    "jax": jax_side(scan=False),
    "jax-scan": jax_side(scan=True),
    "sklearn": sklearn_side,
    "keras": fit_side("keras"),
    "numpy": numpy_side,
}


def training_row(letter: str) -> Row:
    """Return the row of a network's training step."""
    network = NETWORKS[letter]

    def job(side: TrainSide) -> Callable[..., Job]:
        def make(x: Array, labels: Array, *parameters: Array) -> Job:
            train = side(network, x, labels, list(parameters))
            firsts = cycle(range(0, network.batches, network.part))

            def check() -> Array:
                losses = train(0, _CHECKED_BATCHES, _CHECKED_EPOCHS, False)
                by_step = np.concatenate([np.ravel(loss) for loss in losses])
                return by_step.reshape(_CHECKED_EPOCHS, -1).mean(axis=1)

            def call() -> None:
                train(next(firsts), network.part, network.epochs, True)

            return Job(call, check, network.part * network.epochs)

        return make

    def expected(x: Array, labels: Array, *parameters: Array) -> list[Expected]:
        velocities = [np.zeros_like(p) for p in parameters]
        losses = [
            _reference_step(parameters, velocities, x[rows], labels[rows])
            for _ in range(_CHECKED_EPOCHS)
            for i in range(_CHECKED_BATCHES)
            for rows in [slice(i * network.batch, (i + 1) * network.batch)]
        ]
        means = np.reshape(losses, (_CHECKED_EPOCHS, -1)).mean(axis=1)
        return [Expected(means, _LOSS_TOLERANCE * means.max())]

    products = [2.0 * network.batch * k * m for k, m in pairwise(network.units)]
    return Row(
        f"step {letter} {network} batch {network.batch}",
        "step",
        lambda: _network(network.units, network.batch, network.batches),
        {name: job(side) for name, side in TRAINING.items()},
        expected,
        flops=3 * sum(products) - products[0],  # the first layer needs no gradient of its input
        products=True,
    )


# ---- predicting ------------------------------------------------------------------------------


def predicting_row(letter: str, n: int) -> Row:
    """Return the row of a network's outputs for n rows."""
    units = NETWORKS[letter].units

    def inputs() -> list[Array]:
        # At least two rows, for the spread that the biases are made from.
        x, _, *parameters = _network(units, max(n, 2), 2)
        return [x[:n], *parameters]

    def fastnn_side(x: Array, *parameters: Array) -> Job:
        hidden = [fn.layers.Dense(m, activation="relu") for m in units[1:-1]]
        model = fn.Sequential([fn.layers.Input(units[:1]), *hidden, fn.layers.Dense(units[-1])])
        model.set_weights(list(parameters))
        out = np.empty((n, units[-1]), np.float32)
        return _fastest(lambda: model.predict_on_batch(x, out=out))

    def torch_side(x: Array, *parameters: Array) -> Job:
        import torch

        model, x_torch = _torch_model(units, list(parameters)), torch.from_numpy(x)
        predict = torch.inference_mode()(lambda: model(x_torch))
        return Job(predict, lambda: predict().numpy())

    def onnx_side(x: Array, *parameters: Array) -> Job:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            _onnx_model(n, units, list(parameters)), options, providers=["CPUExecutionProvider"]
        )
        out = np.empty((n, units[-1]), np.float32)
        binding = session.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_output("y", "cpu", 0, np.float32, out.shape, out.ctypes.data)

        def bound() -> Array:
            session.run_with_iobinding(binding)
            return out

        return _fastest(bound, lambda: session.run(None, {"x": x})[0])

    def expected(x: Array, *parameters: Array) -> list[Expected]:
        y = x
        for kernel, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            y = reference.dense_forward(y, kernel, bias, "relu")
        y = reference.dense_forward(y, parameters[-2], parameters[-1])
        return [Expected(y, _OUTPUT_TOLERANCE * np.abs(y).max())]

    return Row(
        f"predict {letter} {'-'.join(map(str, units))} batch {n}",
        "predict",
        inputs,
        {"fastnn": fastnn_side, "torch": torch_side, "onnxruntime": onnx_side},
        expected,
        flops=sum(2.0 * n * k * m for k, m in pairwise(units)),
        products=True,
    )


def _onnx_model(n: int, units: tuple[int, ...], parameters: list[Array]) -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, last = [], len(units) - 2
    for i in range(last + 1):
        x, z = f"h{i}" if i else "x", "y" if i == last else f"z{i}"
        nodes.append(helper.make_node("Gemm", [x, f"kernel{i}", f"bias{i}"], [z]))
        if i < last:
            nodes.append(helper.make_node("Relu", [z], [f"h{i + 1}"]))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (n, units[0]))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (n, units[-1]))],
        [
            numpy_helper.from_array(p, f"{('kernel', 'bias')[i % 2]}{i // 2}")
            for i, p in enumerate(parameters)
        ],
    )
    # Versions that every onnxruntime of the last years reads.
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    checker.check_model(model)
    return model.SerializeToString()


def rows(networks: Sequence[str], predict: bool) -> list[Row]:
    """Return the rows of some networks, by letter."""
    if predict:
        return [predicting_row(letter, n) for letter in networks for n in PREDICTED]
    return [training_row(letter) for letter in networks]


# ---- peers -----------------------------------------------------------------------------------


class Peer(NamedTuple):
    contestant: Contestant
    needs: tuple[str, ...] = ()  # modules
    float32: bool = True  # else it is shown, and does not count as the best peer


def peers() -> dict[str, Peer]:
    """Return all peers by the name that ``--peers`` takes, fastnn first."""
    everyone = {
        "fastnn": Peer(FASTNN),
        "torch": Peer(Contestant("PyTorch eager", "torch"), ("torch",)),
        "torch-compile": Peer(Contestant("PyTorch compile", "torch-compile"), ("torch",)),
        "torch-compile-step": Peer(
            Contestant("PyTorch compile step", "torch-compile-step"), ("torch",)
        ),
        "torch-bf16": Peer(Contestant("PyTorch bf16", "torch-bf16"), ("torch",), float32=False),
        "jax": Peer(Contestant("JAX jit", "jax"), ("jax",)),
        "jax-scan": Peer(Contestant("JAX scan", "jax-scan"), ("jax",)),
        "sklearn": Peer(Contestant("scikit-learn", "sklearn"), ("sklearn",)),
        "keras": Peer(
            Contestant("Keras (jax)", "keras", {"KERAS_BACKEND": "jax"}), ("keras", "jax")
        ),
        "onnxruntime": Peer(Contestant("ONNX Runtime", "onnxruntime"), ("onnxruntime", "onnx")),
    }
    for contestant in contestants()[1:]:  # NumPy, and NumPy with its best OpenBLAS kernel
        everyone["numpy-best" if contestant.environment else "numpy"] = Peer(contestant)
    return everyone


_DISTRIBUTIONS = {"sklearn": "scikit-learn"}


class PeerBench(Bench):
    """A peer's side of the rows, in its own process."""

    def __init__(self, side: str, threads: int) -> None:
        super().__init__(side, threads)
        selected = rows(list(NETWORKS), predict=False) + rows(list(NETWORKS), predict=True)
        self._rows = {row.name: row for row in selected}
        if side.startswith("torch"):
            importlib.import_module("torch").set_num_threads(threads)

    def versions(self, modules: Sequence[str]) -> dict[str, str]:
        """Return the versions in use."""
        used = {name: version(_DISTRIBUTIONS.get(name, name)) for name in modules}
        return super().describe() | used

    def check(self, name: str) -> Array:
        """Return what the row's check gives, on fresh inputs."""
        self._current = None
        return self._job(name).check()

    def calibrate(self, name: str, seconds: float) -> int:
        """Return how many calls take at least so many seconds."""
        loops = super().calibrate(name, seconds)
        _rest()
        return loops

    def time(self, name: str, loops: int) -> float:
        """Return the seconds of one call, or of one training step."""
        seconds = super().time(name, loops)
        _rest()
        return seconds

    def peak(self, dtype: str, threads: int) -> float:
        """Return the rate of a loop of FMA instructions in registers, in GFLOP/s."""
        gflops = super().peak(dtype, threads)
        _rest()
        return gflops


def _rest() -> None:
    """Wait until the threads of this process sleep, for half a second at most.

    Those of OpenMP, OpenBLAS and others spin for a while after their work, and would slow down
    whoever is timed next. `time.process_time` counts all threads.
    """
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.005)
        if time.process_time() - before < 0.0005:
            return


def serve(connection: Connection, side: str, threads: int) -> None:
    """Answer questions, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    bench: PeerBench | None = None
    with suppress(EOFError):
        while True:
            question, arguments = connection.recv()
            try:
                bench = bench or PeerBench(side, threads)
                connection.send((getattr(bench, question)(*arguments), None))
            except Exception as error:
                text = str(error).strip().partition("\n")[0]
                connection.send((None, f"{type(error).__name__}: {text}"))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes that start inside a ``with`` block."""
    saved = dict(os.environ)
    os.environ.pop("OPENBLAS_CORETYPE", None)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


class PeerProcess:
    """A peer at work in another process, as `measure` asks it."""

    def __init__(self, peer: Peer, threads: int) -> None:
        self.peer = peer
        self._error = np.inf
        limit = str(threads)
        variables = {"OMP_NUM_THREADS": limit, "OPENBLAS_NUM_THREADS": limit}
        variables |= {"MKL_NUM_THREADS": limit, "NPROC": limit}  # the last one is read by XLA
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        with _environment(variables | dict(peer.contestant.environment)):
            self._process = context.Process(
                target=serve, args=(theirs, peer.contestant.side, threads), daemon=True
            )
            self._process.start()
        theirs.close()

    def enter(self, name: str, expected: Expected) -> None:
        """Do the check of a row; raise what goes wrong there."""
        output = self._ask("check", name)
        if output.shape != expected.value.shape:
            raise ValueError(f"expected shape {expected.value.shape}, got {output.shape}")
        tolerance = expected.tolerance * (1 if self.peer.float32 else _BF16_TOLERANCE)
        error = float(np.max(np.abs(output - expected.value) / tolerance))
        self._error = error if np.isfinite(error) else np.inf

    def describe(self) -> dict[str, str]:
        return self._ask("versions", self.peer.needs)

    def verify(self, name: str) -> float:
        return self._error

    def calibrate(self, name: str, seconds: float) -> int:
        return self._ask("calibrate", name, seconds)

    def time(self, name: str, loops: int) -> float:
        return self._ask("time", name, loops)

    def peak(self, dtype: str, threads: int) -> float:
        return self._ask("peak", dtype, threads)

    def close(self) -> None:
        self._connection.close()  # the end of its questions
        self._process.join(2)
        self._process.kill()  # it may be in the middle of something long

    def _ask(self, question: str, *arguments: object) -> Any:
        try:
            self._connection.send((question, arguments))
            answer, failure = self._connection.recv()
        except (EOFError, OSError):
            raise ConnectionError("its process has ended") from None
        if failure is not None:
            raise RuntimeError(failure)
        return answer


# ---- a race ----------------------------------------------------------------------------------


def run(
    selected: Sequence[Row], threads: Sequence[int], entered: Sequence[Peer], rounds: int
) -> dict[str, Any]:
    """Verify and time some rows; return the report. fastnn is the first of `entered`."""
    results: list[dict[str, Any]] = []
    described: dict[str, Any] = {}
    references = {row.name: row.reference()[0] for row in selected}
    for count in threads:
        with ExitStack() as stack:
            working = []
            for peer in entered:
                process = PeerProcess(peer, count)
                stack.callback(process.close)
                label = peer.contestant.label
                try:
                    described[label] = process.describe()
                except (ConnectionError, RuntimeError) as error:
                    print(f"{label}: skipped ({error})")
                else:
                    working.append(process)
            for row in selected:
                results.append(_race(row, references[row.name], count, working, rounds))
                print(table(results[-1]), flush=True)
    return {
        "format": FORMAT,
        "config": fn.show_config(),
        "settings": {"threads": list(threads), "rounds": rounds, "seconds": _SECONDS},
        "contestants": described,
        "rows": results,
    }


def _race(
    row: Row, expected: Expected, threads: int, working: list[PeerProcess], rounds: int
) -> dict[str, Any]:
    racing = []
    for process in [p for p in working if p.peer.contestant.runs(row)]:
        try:
            process.enter(row.name, expected)
        except (ConnectionError, RuntimeError) as error:
            if process.peer.contestant is FASTNN:
                raise
            print(f"{process.peer.contestant.label}: skipped in {row.name} ({error})")
            if isinstance(error, ConnectionError):
                working.remove(process)
        else:
            racing.append(process)
    workers = [(process.peer.contestant, process) for process in racing]
    result = measure(row, threads, workers, rounds, _SECONDS, _PATIENCE)
    entries = result["contestants"]
    counted = [p.peer.contestant.label for p in racing[1:] if p.peer.float32]
    best = min(counted, key=lambda label: entries[label]["ratio"]) if entries and counted else None
    for entry in entries.values() if best else ():
        entry["ratio_to_best_peer"] = entry["microseconds"] / entries[best]["microseconds"]
    return result | {"best_peer": best}


def table(result: Mapping[str, Any]) -> str:
    """Return the lines of a row, the fastest first."""
    count = result["threads"]
    title = f"\n{result['name']}, {count} thread{'s' * (count > 1)}"
    if not result["verified"]:
        return f"{title}: FAILED  {result['failure']}"
    lines = [
        f"{title}, peak {result['peak_gflops']:.0f} GFLOP/s",
        f"{'':21}{'µs':>10}{'quartiles':>23}{'% peak':>8}{'÷ fastnn':>10}{'÷ best peer':>13}",
    ]
    for label, entry in sorted(result["contestants"].items(), key=lambda item: item[1]["ratio"]):
        low, high = entry["quartiles"]
        best = f"{entry['ratio_to_best_peer']:13.2f}" if "ratio_to_best_peer" in entry else ""
        lines.append(
            f"{label:21}{entry['microseconds']:10.2f}{f'{low:.2f} - {high:.2f}':>23}"
            f"{entry['percent_of_peak']:8.1f}{entry['ratio']:10.2f}{best}"
        )
    return "\n".join(lines)


def plot(report: Mapping[str, Any], path: Path) -> None:
    """Save a picture: per cent of the FMA peak, a panel for each row and number of threads."""
    from matplotlib.figure import Figure

    measured = [row for row in report["rows"] if row["verified"]]
    labels = list(report["contestants"])
    counts = report["settings"]["threads"]
    names = list(dict.fromkeys(row["name"] for row in measured))
    figure = Figure(
        figsize=(6 * len(counts), 0.5 + len(names) * (0.8 + 0.2 * len(labels))),
        layout="constrained",
    )
    panels = figure.subplots(len(names), len(counts), squeeze=False, sharex=True)
    for row in measured:
        panel = panels[names.index(row["name"]), counts.index(row["threads"])]
        entries = sorted(row["contestants"].items(), key=lambda item: item[1]["ratio"])
        shown = [entry["percent_of_peak"] for _, entry in entries]
        colors = [f"C{labels.index(label) % 10}" for label, _ in entries]
        bars = panel.barh([label for label, _ in entries], shown, color=colors)
        times = [f"{entry['microseconds']:,.1f} µs" for _, entry in entries]
        panel.bar_label(bars, times, padding=3, fontsize="small")
        panel.invert_yaxis()
        panel.set_xlim(0, 100)  # the axis ends at what the machine can do
        panel.set_title(f"{row['name']}, {row['threads']} thread{'s' * (row['threads'] > 1)}")
    for panel in panels[-1]:
        panel.set_xlabel("% of the FMA peak")
    figure.savefig(path, dpi=120)


def main() -> int:
    """Run the benchmark; return 1 if a result was wrong."""
    everyone = peers()
    parser = argparse.ArgumentParser(description="fastnn beside its peers: see bench/README.md")
    parser.add_argument("--networks", default="T,S,M", help="of T,S,M,L,X (%(default)s)")
    parser.add_argument("--threads", default="1,2", help="thread limits (%(default)s)")
    parser.add_argument("--peers", help=f"of {','.join(list(everyone)[1:])}")
    parser.add_argument("--compile", action="store_true", help="torch.compile too: needs C++")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each (%(default)s)")
    parser.add_argument("--predict", action="store_true", help="time predictions, not training")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw it")
    options = parser.parse_args()
    networks = options.networks.split(",")
    chosen = options.peers.split(",") if options.peers else list(everyone)
    if unknown := [name for name in networks if name not in NETWORKS]:
        parser.error(f"--networks: expected some of {','.join(NETWORKS)}, got {unknown[0]}")
    if unknown := [name for name in chosen if name not in everyone]:
        parser.error(f"--peers: expected some of {','.join(everyone)}, got {unknown[0]}")

    selected = rows(networks, options.predict)
    entered = []
    for name, peer in everyone.items():
        slow_start = name.startswith("torch-compile")
        wanted = name in chosen and (not slow_start or options.compile or options.peers)
        if name != "fastnn" and not wanted:
            continue
        if not any(map(peer.contestant.runs, selected)):
            continue
        if missing := [module for module in peer.needs if find_spec(module) is None]:
            print(f"{peer.contestant.label}: skipped ({' and '.join(missing)} not installed)")
            continue
        entered.append(peer)
    threads = [int(count) for count in options.threads.split(",")]
    report = run(selected, threads, entered, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(report, options.plot)
    return int(failed(report))


if __name__ == "__main__":
    sys.exit(main())
