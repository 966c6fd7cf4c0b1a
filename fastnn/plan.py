"""Lowers a network to the compiled plan: what is padded, where it lies, and in which order it runs.

A network of built-in parts becomes a list of kernels over preallocated arrays (`core.Plan`). The
backward pass is ordered so that one barrier a layer is enough: the input gradient of a layer is
computed before that layer's weights move, and beside the weight update of the layer above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import _dispatch, activations, layers, losses, metrics, optimizers

# Rows this many bytes apart (or a multiple) would share cache sets: they get one vector more.
ALIASED_ROWS = 2048

# Multiply-adds of one training step below which a second thread costs more than it brings: the
# barriers of a step take about half a microsecond each.
STEP_WORK_PER_THREAD = 400e3


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


class Parameters:
    """The weights of dense layers in one flat, padded buffer, and buffers of the same shape.

    Every layer's ``weights`` become views into the buffer.

    Parameters
    ----------
    dense : sequence of Dense
        Built, all of one dtype.
    """

    def __init__(self, dense: Sequence[layers.Dense]) -> None:
        self.dense = list(dense)
        self.memory = Memory(self.dense[0].dtype)
        self.size = 0
        self._places: dict[tuple[layers.Dense, str], tuple[int, tuple[int, ...], int]] = {}
        for layer in self.dense:
            for name, weight in layer.weights.items():
                length = self.memory.row_length(weight.shape[-1])
                self._places[layer, name] = self.size, weight.shape, length
                self.size += length * (weight.shape[0] if weight.ndim == 2 else 1)
        self.buffer = self.memory.flat(self.size)
        self._bound = {}
        for layer, name in self._places:
            view = self.view(self.buffer, layer, name)
            layer.bind(name, view)
            self._bound[layer, name] = view

    def bound(self) -> bool:
        """Whether the layers still use this buffer (a user may have bound one elsewhere)."""
        return all(layer.weights.get(name) is v for (layer, name), v in self._bound.items())

    def padded(self, buffer: np.ndarray, layer: layers.Dense, name: str) -> np.ndarray:
        """The place of a weight in a buffer of this shape, with its padding."""
        start, shape, length = self._places[layer, name]
        rows = shape[0] if len(shape) == 2 else 1
        whole = buffer[start : start + rows * length].reshape(rows, length)
        whole = whole[:, : self.memory.width(shape[-1])]
        return whole if len(shape) == 2 else whole[0]

    def view(self, buffer: np.ndarray, layer: layers.Dense, name: str) -> np.ndarray:
        """The same without the padding."""
        return self.padded(buffer, layer, name)[..., : self._places[layer, name][1][-1]]


@dataclass
class Stage:
    """One step of the forward pass: a dense layer with its fused activation, or an activation."""

    layer: layers.Layer
    dense: bool
    activation: str
    columns: int


def stages(network: Sequence[layers.Layer]) -> tuple[list[Stage], list[str]]:
    """The forward pass as stages, and what keeps the network from being lowered, if anything."""
    found: list[Stage] = []
    obstacles = []
    columns = 0
    for layer in network:
        kind = layer.kernel_name
        if kind not in ("input", "dense", "activation"):
            obstacles.append(f"layer {layer.name} ({type(layer).__name__})")
            continue
        if kind == "input":
            continue
        columns = layer.output_features(columns)
        activation = layer.activation  # type: ignore[attr-defined]
        name = activation.kernel_name if isinstance(activation, activations.Activation) else None
        if name is None:
            obstacles.append(f"activation {activation!r} of layer {layer.name}")
            continue
        elementwise = not name.endswith("softmax")
        if kind == "dense":
            found.append(Stage(layer, True, name if elementwise else "linear", columns))
            if not elementwise:
                found.append(Stage(layer, False, name, columns))
        elif elementwise and found and found[-1].dense and found[-1].activation == "linear":
            found[-1].activation = name
        else:
            found.append(Stage(layer, False, name, columns))
    if not obstacles and not any(stage.dense for stage in found):
        obstacles.append("no Dense layer")
    if len({layer.dtype for layer in network}) > 1:
        obstacles.append("layers of different dtype")
    return found, obstacles


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


def counted_by_kernel(metric: metrics.Metric, kernel: str, on_logits: bool) -> bool:
    """Whether the loss kernel's count of right rows is this metric."""
    if type(metric) is metrics.BinaryAccuracy:
        return kernel == "binary_crossentropy" and metric.threshold == (0 if on_logits else 0.5)
    pairs = {
        metrics.SparseCategoricalAccuracy: "sparse_softmax_crossentropy",
        metrics.CategoricalAccuracy: "softmax_crossentropy",
    }
    return pairs.get(type(metric)) == kernel


class CompiledPlan:
    """A network lowered for mini-batches of `batch` rows.

    Parameters
    ----------
    network : sequence of Layer
        Built; `stages` found no obstacle.
    parameters : Parameters
    batch : int
    loss : Loss, optional
        Without it the plan only predicts. It must have a kernel (`loss_kernel`).
    optimizer : Optimizer, optional
        Without it the plan does not train. It must have a kernel.
    slots : dict of str to ndarray
        The optimizer's state, buffers of the shape of ``parameters.buffer``.
    predictions : bool
        Whether training and testing give predictions too (for metrics in Python).
    """

    def __init__(
        self,
        network: Sequence[layers.Layer],
        parameters: Parameters,
        batch: int,
        loss: losses.Loss | None = None,
        optimizer: optimizers.Optimizer | None = None,
        slots: dict[str, np.ndarray] | None = None,
        predictions: bool = False,
    ) -> None:
        self.parameters = parameters
        self.batch = batch
        self.core = _dispatch.core(parameters.memory.dtype)
        self.plan = self.core.Plan(batch)
        self.stages = stages(network)[0]
        self.features = next(layer.features for layer in network if layer.features is not None)
        self.work = batch * sum(stage.columns * stage.layer.features for stage in self.stages
                                if stage.dense)  # fmt: skip
        kernel, fused = (None, False) if loss is None else loss_kernel(loss, self.stages[-1])
        head = len(self.stages) - fused  # stages that the loss sees the result of
        if fused and self.stages[-1].dense:
            # Its sigmoid is the loss's business; the probabilities are made only where asked for.
            last = self.stages[-1]
            self.stages[-1:] = [
                Stage(last.layer, True, "linear", last.columns),
                Stage(last.layer, False, last.activation, last.columns),
            ]
            head += 1
        self._forward(head, kernel, predictions)
        if kernel is not None:
            self._loss(kernel, head, optimizer is not None)
        if optimizer is not None:
            self._backward(head, optimizer, slots or {})

    def threads(self, mode: int) -> int:
        """How many threads a step is worth."""
        limit = _dispatch.get_num_threads()
        if not self.core.openmp:
            return 1
        work = self.work * (3 if mode == self.core.TRAIN else 1)
        return max(1, min(limit, int(work / STEP_WORK_PER_THREAD)))

    def run(self, mode: int, x: np.ndarray, start: int, stop: int, **data: Any) -> tuple[float, float]:
        """Run mini-batches over positions start..stop; see ``Plan.run`` of the core.

        data : y, weights, order, hyper, predictions; those that the mode needs.
        """
        y = data.get("y")
        labels = y if y is not None and y.ndim == 1 else None
        return self.plan.run(  # type: ignore[no-any-return]
            mode, x, labels, None if labels is not None else y, data.get("weights"),
            data.get("order"), start, stop, data.get("hyper"), data.get("predictions"),
            self.threads(mode),
        )  # fmt: skip

    def _padded(self, buffer: np.ndarray, layer: Any, name: str) -> np.ndarray | None:
        if name not in layer.weights:
            return None
        return self.parameters.padded(buffer, layer, name)

    def _forward(self, head: int, kernel: str | None, predictions: bool) -> None:
        core, memory, buffer = self.core, self.parameters.memory, self.parameters.buffer
        columns = self.stages[head - 1].columns
        everywhere = core.TRAIN | core.TEST | core.PREDICT
        x = memory.matrix(self.batch, self.features)[:, : self.features]
        self.labels = np.zeros(self.batch, np.int64) if kernel and kernel.startswith("sparse") else None
        self.targets = None
        if kernel and self.labels is None:
            self.targets = memory.matrix(self.batch, columns)[:, :columns]
        self.weights = memory.flat(memory.width(self.batch)) if kernel else None
        self.plan.gather(x, self.labels, self.targets, self.weights)
        self.inputs, self.outputs = [], []
        for i, stage in enumerate(self.stages):
            y = memory.matrix(self.batch, stage.columns)
            self.inputs.append(x)
            self.outputs.append(y)
            modes = everywhere if i < head or predictions else core.PREDICT
            if stage.dense:
                self.plan.dense_forward(
                    x, stage.layer.features,
                    self._padded(buffer, stage.layer, "kernel"),
                    self._padded(buffer, stage.layer, "bias"),
                    core.ACTIVATIONS[stage.activation], y,
                )  # fmt: skip
            elif stage.activation.endswith("softmax"):
                log = stage.activation.startswith("log")
                self.plan.softmax(x, stage.columns, y, log, modes)
            else:
                self.plan.activate(core.ACTIVATIONS[stage.activation], x, y, modes)
            x = y
        self.plan.output(x, self.stages[-1].columns)

    def _loss(self, kernel: str, head: int, train: bool) -> None:
        memory, columns = self.parameters.memory, self.stages[head - 1].columns
        rows = memory.width(self.batch)
        self.dz = memory.matrix(self.batch, columns) if train else None
        counts = kernel != "mean_squared_error"
        self.plan.loss(
            self.core.LOSSES[kernel], self.outputs[head - 1], columns, self.labels, self.targets,
            self.weights, memory.flat(rows), memory.flat(rows) if counts else None, self.dz,
        )  # fmt: skip

    def _backward(
        self, head: int, optimizer: optimizers.Optimizer, slots: dict[str, np.ndarray]
    ) -> None:
        """Gradients flow down the stages; the update of each dense layer waits until the gradient
        of its input is there (`pending`), and then needs no barrier of its own."""
        core, memory = self.core, self.parameters.memory
        buffer, dz = self.parameters.buffer, self.dz
        last = self.stages[head - 1]
        if last.dense and last.activation != "linear":
            self._slope(self.outputs[head - 1], last, dz, dz)
        lowest = min(
            i for i, stage in enumerate(self.stages[:head]) if stage.dense and stage.layer.trainable
        )
        pending: tuple[Any, ...] | None = None
        for i in range(head - 1, lowest - 1, -1):
            stage = self.stages[i]
            below = self.stages[i - 1] if i > lowest else None
            dx = None
            if below is not None:
                dx = memory.matrix(self.batch, below.columns)
            if stage.dense:
                self._update(pending, core, buffer, slots, optimizer, sync=False)
                if below is not None:
                    fused = below.activation if below.dense else "linear"
                    self.plan.dense_backward_input(
                        dz, stage.columns, self._padded(buffer, stage.layer, "kernel"),
                        stage.layer.features, self.outputs[i - 1], core.ACTIVATIONS[fused], dx,
                    )  # fmt: skip
                pending = (stage, self.inputs[i], dz) if stage.layer.trainable else None
            elif below is not None:
                self._slope(self.outputs[i], stage, dz, dx)
                if below.dense and below.activation != "linear":
                    self._slope(self.outputs[i - 1], below, dx, dx)
            dz = dx if dx is not None else dz
        self._update(pending, core, buffer, slots, optimizer, sync=True)

    def _slope(self, y: np.ndarray, stage: Stage, dy: np.ndarray, dx: np.ndarray) -> None:
        """Carry a gradient through an activation that no product takes in."""
        if stage.activation.endswith("softmax"):
            log = stage.activation.startswith("log")
            self.plan.softmax_gradient(y, dy, stage.columns, dx, log)
        else:
            code = self.core.ACTIVATIONS[stage.activation]
            self.plan.activate_gradient(code, y, dy, stage.columns, dx)

    def _update(
        self, pending: tuple[Any, ...] | None, core: Any, buffer: np.ndarray,
        slots: dict[str, np.ndarray], optimizer: optimizers.Optimizer, sync: bool,
    ) -> None:  # fmt: skip
        """Append the update of a dense layer's weights."""
        if pending is None:
            return
        stage, x, dz = pending
        state = [
            tuple(self._padded(slot, stage.layer, name) for slot in slots.values())
            if name in stage.layer.weights else ()
            for name in ("kernel", "bias")
        ]  # fmt: skip
        self.plan.dense_update(
            x, stage.layer.features, dz, self._padded(buffer, stage.layer, "kernel"), state[0],
            self._padded(buffer, stage.layer, "bias"), state[1],
            core.UPDATES[optimizer.kernel_name], sync,
        )  # fmt: skip
