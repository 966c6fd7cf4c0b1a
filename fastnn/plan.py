"""Lowers a network to the compiled plan: what is padded, where it lies, and in which order it runs.

A network of built-in parts becomes a list of kernels over preallocated arrays (`core.Plan`). The
backward pass is ordered so that one barrier a layer is enough: the input gradient of a layer is
computed before that layer's weights move, and beside the weight update of the layer above it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn import _dispatch, activations, layers, losses, metrics
from fastnn import _validate as check

# Rows this many bytes apart (or a multiple) would share cache sets: they get one vector more.
ALIASED_ROWS = 2048

# Multiply-adds of one training step below which a second thread costs more than it brings: the
# barriers of a step take about half a microsecond each.
STEP_WORK_PER_THREAD = 400e3

# A call of compiled code returns after about this long, for Ctrl-C and the progress bar.
SECONDS_PER_CALL = 0.05


class Examples(NamedTuple):
    """Checked and converted data: inputs (n, features), targets, weights (n,) or None."""

    x: np.ndarray
    y: Any = None
    weight: np.ndarray | None = None

    def part(self, rows: Any) -> Examples:
        """The examples of a slice or an index."""
        y, weight = (None if a is None else a[rows] for a in (self.y, self.weight))
        return Examples(self.x[rows], y, weight)


class Memory:
    """Zeroed arrays, 64-byte aligned, whose rows are padded to whole vectors.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.lanes = 64 // self.dtype.itemsize

    def width(self, columns: int) -> int:
        """`columns`, rounded up to whole vectors."""
        return -(-columns // self.lanes) * self.lanes

    def row_length(self, columns: int) -> int:
        """The distance between rows of that many columns, in numbers."""
        width = self.width(columns)
        return width + self.lanes * (width * self.dtype.itemsize % ALIASED_ROWS == 0)

    def flat(self, size: int) -> np.ndarray:
        """(size,) zeros."""
        item = self.dtype.itemsize
        raw = np.zeros(size * item + 64, np.uint8)
        start = -raw.ctypes.data % 64
        return raw[start : start + size * item].view(self.dtype)

    def matrix(self, rows: int, columns: int) -> np.ndarray:
        """(rows, width(columns)) zeros."""
        length = self.row_length(columns)
        return self.flat(rows * length).reshape(rows, length)[:, : self.width(columns)]


Place = tuple[layers.Layer, str]  # which weight: its layer and its name there


class Parameters:
    """The weights of dense layers in one flat, padded buffer, and buffers of the same shape.

    Every layer's ``weights`` become views into the buffer.

    Parameters
    ----------
    dense : sequence of Layer
        Built Dense layers, all of one dtype.
    """

    def __init__(self, dense: Sequence[layers.Layer]) -> None:
        self.dense = list(dense)
        self.memory = Memory(self.dense[0].dtype)
        self.size = 0
        self._places: dict[Place, tuple[int, tuple[int, ...], int]] = {}
        for layer in self.dense:
            for name, weight in layer.weights.items():
                length = self.memory.row_length(weight.shape[-1])
                self._places[layer, name] = self.size, weight.shape, length
                self.size += length * (weight.shape[0] if weight.ndim == 2 else 1)
        self.buffer = self.memory.flat(self.size)
        self._slots: dict[str, tuple[np.ndarray, dict[Place, np.ndarray]]] = {}
        self._views = self._views_of(self.buffer)
        for (layer, name), view in self._views.items():
            layer.bind(name, view)

    def serve(self, dense: Sequence[layers.Layer]) -> bool:
        """Whether these layers are the ones, and still use this buffer."""
        return self.dense == dense and all(
            layer.weights.get(name) is view for (layer, name), view in self._views.items()
        )

    def slot(self, name: str, initial: float) -> dict[Place, np.ndarray]:
        """The views of an optimizer's slot, in a buffer of the same shape, made at first."""
        if name not in self._slots:
            buffer = self.memory.flat(self.size)
            # The padding too has a value that an update can go on with.
            buffer[:] = initial
            self._slots[name] = buffer, self._views_of(buffer)
        return self._slots[name][1]

    def padded(self, layer: layers.Layer, name: str, slot: str | None = None) -> np.ndarray | None:
        """A weight, or its slot, with its padding; None if the layer has no such weight."""
        if (layer, name) not in self._places:
            return None
        return self._padded(self.buffer if slot is None else self._slots[slot][0], (layer, name))

    def _padded(self, buffer: np.ndarray, place: Place) -> np.ndarray:
        start, shape, length = self._places[place]
        rows = shape[0] if len(shape) == 2 else 1
        whole = buffer[start : start + rows * length].reshape(rows, length)
        whole = whole[:, : self.memory.width(shape[-1])]
        return whole if len(shape) == 2 else whole[0]

    def _views_of(self, buffer: np.ndarray) -> dict[Place, np.ndarray]:
        return {
            place: self._padded(buffer, place)[..., : shape[-1]]
            for place, (_, shape, _) in self._places.items()
        }


class Stage(NamedTuple):
    """One step of the forward pass: a dense layer with its fused activation, or an activation."""

    layer: layers.Layer
    dense: bool
    activation: str
    columns: int


class Network:
    """A stack of layers as stages of the forward pass.

    Parameters
    ----------
    network : sequence of Layer

    Attributes
    ----------
    stages : list of Stage
    dense : list of Layer
        The layers with weights.
    obstacles : list of str
        What keeps the network from being lowered; without any, `stages` is all of it.
    """

    def __init__(self, network: Sequence[layers.Layer]) -> None:
        self.seen = _seen(network)
        self.stages: list[Stage] = []
        self.obstacles: list[str] = []
        self.dense = [layer for layer in network if isinstance(layer, layers.Dense)]
        columns = (network[0].features or 0) if network else 0
        for layer in network:
            columns = self._add(layer, columns)
        if not self.obstacles and not self.dense:
            self.obstacles.append("no Dense layer")
        if len({layer.dtype for layer in network if layer.dtype is not None}) > 1:
            self.obstacles.append("layers of different dtype")

    def stands_for(self, network: Sequence[layers.Layer]) -> bool:
        """Whether these are still the layers, and as they were."""
        return self.seen == _seen(network)

    def expect_weights(self) -> int:
        """Raise ValueError unless weights fit the columns below and beside; return the inputs."""
        features = first = self.stages[0].layer.features or 0
        for layer, dense, _, columns in self.stages:
            if dense:
                for name, shape in (("kernel", (features, columns)), ("bias", (columns,))):
                    if name in layer.weights:
                        check.expect_shape(layer.weights[name], f"{layer.name}: {name}", shape)
            features = columns
        return first

    def _add(self, layer: layers.Layer, columns: int) -> int:
        if layer.kernel_name == "input":
            return columns
        columns = layer.output_features(columns)
        if layer.kernel_name is None or not isinstance(layer, (layers.Dense, layers.Activation)):
            self.obstacles.append(f"layer {layer.name} ({type(layer).__name__})")
            return columns
        activation, found = layer.activation, self.stages
        name = activation.kernel_name if isinstance(activation, activations.Activation) else None
        if name is None:
            self.obstacles.append(f"activation {activation!r} of layer {layer.name}")
            return columns
        elementwise = not name.endswith("softmax")
        if isinstance(layer, layers.Dense):
            found.append(Stage(layer, True, name if elementwise else "linear", columns))
            if not elementwise:
                found.append(Stage(layer, False, name, columns))
        elif elementwise and found and found[-1].dense and found[-1].activation == "linear":
            found[-1] = found[-1]._replace(activation=name)
        else:
            found.append(Stage(layer, False, name, columns))
        return columns


def _seen(network: Sequence[layers.Layer]) -> list[tuple[Any, ...]]:
    """What the stages depend on."""
    return [
        (layer, layer.features, layer.dtype, own.get("activation"), own.get("units"))
        for layer, own in ((layer, vars(layer)) for layer in network)
    ]


# Loss on probabilities -> (activation before it, the kernel on logits that is the two in one).
_ON_PROBABILITIES = {
    losses.SparseCategoricalCrossentropy: ("softmax", "sparse_softmax_crossentropy"),
    losses.CategoricalCrossentropy: ("softmax", "softmax_crossentropy"),
    losses.BinaryCrossentropy: ("sigmoid", "binary_crossentropy"),
}


def loss_kernel(loss: losses.Loss, last: Stage) -> tuple[str | None, bool]:
    """The kernel of a loss, and whether it takes in the network's last activation too."""
    if loss.reduction != "sum_over_batch_size":
        return None, False
    pair = _ON_PROBABILITIES.get(type(loss))
    if pair is not None and not loss.from_logits:  # type: ignore[attr-defined]
        return (pair[1], True) if pair[0] == last.activation else (None, False)
    return loss.kernel_name, False


def counted_by_kernel(metric: metrics.Metric, kernel: str | None, fused: bool) -> bool:
    """Whether the loss kernel's count of right rows is this metric."""
    if type(metric) is metrics.BinaryAccuracy:
        return kernel == "binary_crossentropy" and metric.threshold == (0.5 if fused else 0)
    pairs: dict[type[metrics.Metric], str] = {
        metrics.SparseCategoricalAccuracy: "sparse_softmax_crossentropy",
        metrics.CategoricalAccuracy: "softmax_crossentropy",
    }
    return pairs.get(type(metric)) == kernel


class CompiledPlan:
    """A network lowered for mini-batches of up to `batch` rows.

    Parameters
    ----------
    network : Network
        Without an obstacle.
    parameters : Parameters
        Of its dense layers.
    mode : {"train", "test", "predict"}
    batch : int
    kernel : str, optional
        The loss (`loss_kernel`), unless the plan only predicts.
    fused : bool
        Whether the loss takes in the last activation.
    update : str, optional
        The optimizer's kernel, for training.
    slot : str, optional
        The optimizer's slot; it is in `parameters`.
    predictions : bool
        Whether training and testing give predictions too, for metrics in Python.

    Attributes
    ----------
    rows_per_call : int
        How many rows `run` does in about `SECONDS_PER_CALL`, by what it took so far.
    """

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        mode: str,
        batch: int,
        kernel: str | None = None,
        fused: bool = False,
        update: str | None = None,
        slot: str | None = None,
        predictions: bool = False,
    ) -> None:
        self.parameters, self.mode, self.batch = parameters, mode, batch
        self.kernel, self.fused, self.predictions = kernel, fused, predictions
        self.dtype = parameters.memory.dtype
        self.stages = list(network.stages)
        self.outputs = self.stages[-1].columns
        self.features = network.expect_weights()
        self.core = _dispatch.core(self.dtype)
        self._mode = getattr(self.core, mode.upper())
        self.plan = self.core.Plan(batch)
        self.key: Any = None  # by which the model finds it
        self.rows_per_call = batch
        # Multiply-adds for each row.
        self.work = sum(layer.weights["kernel"].size for layer in parameters.dense)
        self.work *= 3 if mode == "train" else 1
        head = len(self.stages) - fused  # stages that the loss sees the result of
        if fused and self.stages[-1].dense:
            # Its sigmoid is the loss's business; the probabilities are made only where asked for.
            last = self.stages.pop()
            self.stages += [last._replace(activation="linear"), last._replace(dense=False)]
            head += 1
        made = head if mode != "predict" and not predictions else len(self.stages)
        self._forward(made, head)
        if kernel is not None:
            self._loss(kernel, head)
        if update is not None:
            self._backward(head, update, slot)

    def run(
        self,
        data: Examples,
        order: np.ndarray | None,
        start: int,
        stop: int,
        hyper: np.ndarray | None = None,
        predictions: np.ndarray | None = None,
    ) -> tuple[float, float]:
        """Run mini-batches over the positions start..stop of `order`, or of the data as they lie.

        Parameters
        ----------
        hyper : ndarray of shape (steps, 8)
            Of the optimizer, for training.
        predictions : ndarray of shape (at least stop, outputs)
            Where to write the outputs, by position.

        Returns
        -------
        loss, hits : float
            The sums over the rows of the weighted losses, and of the rows predicted right.
        """
        rows = stop - start
        x, y, weight = data
        labels = y if y is not None and y.ndim == 1 else None
        targets = y if labels is None else None
        threads = self._threads(min(rows, self.batch))
        begun = time.perf_counter()
        sums = self.plan.run(
            self._mode, x, labels, targets, weight, order, start, stop, hyper, predictions, threads
        )
        if rows == self.rows_per_call:
            calls = SECONDS_PER_CALL / max(time.perf_counter() - begun, 1e-6)
            self.rows_per_call = max(1, int(calls * rows / self.batch)) * self.batch
        return sums

    def calls(self, rows: int) -> Iterator[tuple[int, int]]:
        """Positions (start, stop) of the calls of `run` that do all rows."""
        start = 0
        while start < rows:
            stop = min(start + self.rows_per_call, rows)
            yield start, stop
            start = stop

    def _threads(self, rows: int) -> int:
        """How many threads a step on so many rows is worth."""
        if not self.core.openmp:
            return 1
        wanted = int(self.work * rows / STEP_WORK_PER_THREAD)
        return max(1, min(_dispatch.get_num_threads(), wanted))

    def _forward(self, made: int, head: int) -> None:
        """Append the batch's way through the first `made` stages; the loss is at `head`."""
        core, memory = self.core, self.parameters.memory
        kernel, columns = self.kernel, self.stages[head - 1].columns
        x = memory.matrix(self.batch, self.features)[:, : self.features]
        self.labels = self.targets = self.weights = None
        if kernel is not None:
            self.weights = memory.flat(memory.width(self.batch))
            if kernel.startswith("sparse"):
                self.labels = np.zeros(self.batch, np.int64)
            else:
                self.targets = memory.matrix(self.batch, columns)[:, :columns]
        self.plan.gather(x, self.labels, self.targets, self.weights)
        self.inputs: list[np.ndarray] = []
        self.outputs_of: list[np.ndarray] = []
        features = self.features
        for stage in self.stages[:made]:
            y = memory.matrix(self.batch, stage.columns)
            self.inputs.append(x)
            self.outputs_of.append(y)
            if stage.dense:
                kernel_, bias = (
                    self.parameters.padded(stage.layer, name) for name in ("kernel", "bias")
                )
                code = core.ACTIVATIONS[stage.activation]
                self.plan.dense_forward(x, features, kernel_, bias, code, y)
            elif stage.activation.endswith("softmax"):
                log = stage.activation.startswith("log")
                self.plan.softmax(x, stage.columns, y, log, self._mode)
            else:
                self.plan.activate(core.ACTIVATIONS[stage.activation], x, y, self._mode)
            x, features = y, stage.columns
        self.plan.output(x, features)

    def _loss(self, kernel: str, head: int) -> None:
        memory, columns = self.parameters.memory, self.stages[head - 1].columns
        rows = memory.width(self.batch)
        self.dz = memory.matrix(self.batch, columns) if self.mode == "train" else None
        hits = None if kernel == "mean_squared_error" else memory.flat(rows)
        self.plan.loss(
            self.core.LOSSES[kernel],
            self.outputs_of[head - 1],
            columns,
            self.labels,
            self.targets,
            self.weights,
            memory.flat(rows),
            hits,
            self.dz,
        )

    def _backward(self, head: int, update: str, slot: str | None) -> None:
        """Gradients flow down the stages; the update of each dense layer waits until the gradient
        of its input is there (`pending`), and then needs no barrier of its own."""
        codes, memory, outputs = self.core.ACTIVATIONS, self.parameters.memory, self.outputs_of
        dz: Any = self.dz
        last = self.stages[head - 1]
        if last.dense and last.activation != "linear":
            self._slope(outputs[head - 1], last, dz, dz)
        lowest = min(
            i for i, stage in enumerate(self.stages[:head]) if stage.dense and stage.layer.trainable
        )
        pending: tuple[Stage, int, np.ndarray, np.ndarray] | None = None
        for i in range(head - 1, lowest - 1, -1):
            stage = self.stages[i]
            below = self.stages[i - 1] if i > lowest else None
            dx = None if below is None else memory.matrix(self.batch, below.columns)
            if stage.dense:
                features = self.stages[i - 1].columns if i else self.features
                self._update(pending, update, slot, sync=False)
                if below is not None:
                    fused = codes[below.activation] if below.dense else codes["linear"]
                    self.plan.dense_backward_input(
                        dz,
                        stage.columns,
                        self.parameters.padded(stage.layer, "kernel"),
                        features,
                        outputs[i - 1],
                        fused,
                        dx,
                    )
                moves = stage.layer.trainable
                pending = (stage, features, self.inputs[i], dz) if moves else None
            elif below is not None:
                self._slope(outputs[i], stage, dz, dx)
                if below.dense and below.activation != "linear":
                    self._slope(outputs[i - 1], below, dx, dx)
            dz = dz if dx is None else dx
        self._update(pending, update, slot, sync=True)

    def _slope(self, y: np.ndarray, stage: Stage, dy: Any, dx: Any) -> None:
        """Carry a gradient through an activation that no product takes in."""
        if stage.activation.endswith("softmax"):
            log = stage.activation.startswith("log")
            self.plan.softmax_gradient(y, dy, stage.columns, dx, log)
        else:
            code = self.core.ACTIVATIONS[stage.activation]
            self.plan.activate_gradient(code, y, dy, stage.columns, dx)

    def _update(
        self,
        pending: tuple[Stage, int, np.ndarray, np.ndarray] | None,
        update: str,
        slot: str | None,
        sync: bool,
    ) -> None:
        """Append the update of a dense layer's weights."""
        if pending is None:
            return
        (layer, *_), features, x, dz = pending
        kernel, bias = (self.parameters.padded(layer, name) for name in ("kernel", "bias"))
        state: list[tuple[Any, ...]] = [(), ()]
        if slot is not None:
            state = [(self.parameters.padded(layer, name, slot),) for name in ("kernel", "bias")]
        code = self.core.UPDATES[update]
        self.plan.dense_update(x, features, dz, kernel, state[0], bias, state[1], code, sync)
