"""Lowers a network to the compiled plan, and runs it over examples.

A network of built-in parts becomes a list of kernels over preallocated arrays (`core.Plan`): its
stages (stages.py) forward, the loss, and the stages backward. The way back is ordered so that one
barrier a layer is enough: the input gradient of a layer is computed before that layer's weights
move, and beside the weight update of the layer above it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn import _dispatch, activations, losses, metrics
from fastnn._pace import SHARE, Pace, multiply_adds
from fastnn.layers import Dense, Layer
from fastnn.memory import Parameters
from fastnn.stages import ActivationStage, DenseStage, Lowering, Stage, stages_of

# Multiply-adds of one training step below which a second thread costs more than it brings: the
# barriers of a step take about half a microsecond each.
STEP_WORK_PER_THREAD = 400e3
# The same for the part between two barriers: of a deep and narrow network that is little.
PHASE_WORK_PER_THREAD = 50e3

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


class Network:
    """A stack of layers, looked at for what a plan can be made of.

    Parameters
    ----------
    network : sequence of Layer

    Attributes
    ----------
    layers, weighted : list of Layer
        All, and those with weights.
    last : Stage or None
        The last stage of the forward pass.
    obstacles : list of str
        What keeps the network from being lowered.
    """

    def __init__(self, network: Sequence[Layer]) -> None:
        self.layers = list(network)
        self.seen = _seen(network)
        self.weighted = [layer for layer in network if layer.weights or isinstance(layer, Dense)]
        stages, self.obstacles = stages_of(network)
        self.last = stages[-1] if stages else None
        if not self.obstacles and not self.weighted:
            self.obstacles.append("no layer with weights")
        if len({layer.dtype for layer in network if layer.dtype is not None}) > 1:
            self.obstacles.append("layers of different dtype")

    def stands_for(self, network: Sequence[Layer]) -> bool:
        """Whether these are still the layers, and as they were."""
        return self.seen == _seen(network)

    def stages(self) -> list[Stage]:
        """New stages, whose weights fit; raises ValueError if they do not."""
        stages, _ = stages_of(self.layers)
        for stage in stages:
            stage.expect_weights()
        return stages


# What the stages of every kind of layer depend on; the rest is in its `lowered_by`.
_COMMON = "features", "dtype", "activity_regularizer"


def _seen(network: Sequence[Layer]) -> list[tuple[Any, ...]]:
    """What the stages depend on."""
    return [
        (
            layer,
            *(getattr(layer, name) for name in (*_COMMON, *layer.lowered_by)),
            *layer.regularizers.items(),
        )
        for layer in network
    ]


class LossKernel(NamedTuple):
    """How the plan computes a loss.

    `fused`: it takes in the network's last activation too. `summed`: the loss of a mini-batch is
    the sum over its rows, not their mean.
    """

    name: str
    numbers: tuple[float, ...] = ()
    fused: bool = False
    summed: bool = False


# Kernel on probabilities -> (activation before it, the kernel on logits that is the two in one).
_ON_PROBABILITIES = {
    "sparse_crossentropy_of_probabilities": ("softmax", "sparse_softmax_crossentropy"),
    "crossentropy_of_probabilities": ("softmax", "softmax_crossentropy"),
    "binary_crossentropy_of_probabilities": ("sigmoid", "binary_crossentropy"),
    "binary_focal_crossentropy_of_probabilities": ("sigmoid", "binary_focal_crossentropy"),
}


def loss_kernel(loss: losses.Loss, last: Stage | None) -> LossKernel | None:
    """The kernel of a loss after this stage; None if the plan cannot compute it."""
    name = loss.kernel_name
    reductions = ("sum_over_batch_size", "mean", "sum")
    if name is None or name == "triplet" or loss.reduction not in reductions:
        return None
    summed = loss.reduction == "sum"
    before, fused = _ON_PROBABILITIES.get(name, (None, ""))
    if last is not None and before == last.ends_in:
        return LossKernel(fused, loss.numbers, True, summed)
    return LossKernel(name, loss.numbers, False, summed)


def before_probabilities(
    loss: losses.Loss, network: Sequence[Layer]
) -> tuple[losses.Loss, list[Layer], activations.Activation | None]:
    """What the eager road takes for a loss on probabilities, to have the plan's numbers.

    Returns the same loss on logits, the layers with the last one without its activation (a copy
    that shares weights and gradients), and that activation. Where `loss_kernel` fuses nothing, loss
    and layers are as they were, and the activation is None.
    """
    layers = list(network)
    last = layers[-1]
    before, _ = _ON_PROBABILITIES.get(loss.kernel_name or "", (None, ""))
    function = getattr(last, "activation", None)
    if (
        before is None
        or last.kernel_name not in ("dense", "activation")
        or last.activity_regularizer is not None
        or not isinstance(function, activations.Activation)
        or function.kernel_name != before
    ):
        return loss, layers, None
    loss, layers[-1] = copy.copy(loss), copy.copy(last)
    vars(loss)["from_logits"] = True
    vars(layers[-1])["activation"] = activations.linear
    return loss, layers, function


def counted_by_kernel(metric: metrics.Metric, kernel: LossKernel | None) -> bool:
    """Whether the loss kernel's count of right rows is this metric."""
    if kernel is None:
        return False
    if type(metric) is metrics.BinaryAccuracy:
        return kernel.name in _COUNT_BINARY and metric.threshold == (0.5 if kernel.fused else 0)
    pairs: dict[type[metrics.Metric], str] = {
        metrics.SparseCategoricalAccuracy: "sparse_softmax_crossentropy",
        metrics.CategoricalAccuracy: "softmax_crossentropy",
    }
    return pairs.get(type(metric)) == kernel.name


_COUNT_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
_COUNT = (*_COUNT_BINARY, "sparse_softmax_crossentropy", "softmax_crossentropy")


class CompiledPlan:
    """A network lowered for mini-batches of up to `batch` rows.

    Parameters
    ----------
    network : Network
        Without an obstacle.
    parameters : Parameters
        Of its layers with weights.
    mode : {"train", "test", "predict"}
    batch : int
    kernel : LossKernel, optional
        The loss, unless the plan only predicts.
    update : str, optional
        The optimizer's kernel, for training.
    slots : tuple of str
        The optimizer's slots, in the kernel's order; they are in `parameters`.
    clip : {"each", "together"}, optional
        Of which gradients the optimizer wants the norm before its step.
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
        kernel: LossKernel | None = None,
        update: str | None = None,
        slots: tuple[str, ...] = (),
        clip: str | None = None,
        predictions: bool = False,
    ) -> None:
        self.parameters, self.mode, self.batch = parameters, mode, batch
        self.kernel, self.predictions = kernel, predictions
        self.dtype = parameters.memory.dtype
        self.core = _dispatch.core(self.dtype)
        self.key: Any = None  # by which the model finds it
        self.rows_per_call = batch
        stages = network.stages()
        self.features, self.outputs = stages[0].features, stages[-1].columns
        # Multiply-adds for each row.
        self.work = sum(w.size for layer in parameters.layers for w in layer.weights.values())
        self.work *= 3 if mode == "train" else 1
        phases = len(stages) * (3 if mode == "train" else 1)
        self.work_per_thread = max(STEP_WORK_PER_THREAD, phases * PHASE_WORK_PER_THREAD)
        # Of the first layer nobody asks for the gradient of the inputs.
        first = stages[0]
        unasked = first.features * first.columns if isinstance(first, DenseStage) else 0
        self._products = self.work - unasked
        self._pace: Pace | None = None
        fused = kernel is not None and kernel.fused
        head = len(stages) - fused  # stages that the loss sees the result of
        last = stages[-1]
        if fused and not isinstance(last, ActivationStage):
            # Its sigmoid is the loss's business; the probabilities are made only where asked for.
            stages.append(ActivationStage(last.layer, last.columns, last.activation))
            last.activation = activations.linear
            head += 1
        made = head if mode != "predict" and not predictions else len(stages)
        to = Lowering(self.core, parameters, mode, batch, update, slots, clip)
        self.plan, self._mode, self._draws = to.plan, to.modes, to.draws
        logits = self._forward(to, stages[:made], head)
        if kernel is not None:
            dz = self._loss(to, kernel, logits, stages[head - 1].columns)
            if update is not None:
                _backward(to, stages[:head], dz)

    def run(
        self,
        data: Examples,
        order: np.ndarray | None,
        start: int,
        stop: int,
        hyper: np.ndarray | None = None,
        predictions: np.ndarray | None = None,
        loss: float = 0.0,
    ) -> tuple[float, float]:
        """Run mini-batches over the positions start..stop of `order`, or of the data as they lie.

        Parameters
        ----------
        hyper : ndarray of shape (steps, 12)
            Of the optimizer, for training.
        predictions : ndarray of shape (at least stop, outputs)
            Where to write the outputs, by position.
        loss : float
            What the losses are added to: of the runs before, so that the sum is the same however
            the rows are cut.

        Returns
        -------
        loss, hits : float
            `loss` and the sum over the mini-batches of their losses times their rows, and the rows
            predicted right.
        """
        rows = stop - start
        x, y, weight = data
        labels = y if y is not None and y.ndim == 1 else None
        targets = y if labels is None else None
        threads = self._threads(min(rows, self.batch))
        if threads > 1 and self.mode == "train":
            if self._pace is None:
                self._pace = Pace(self._products * self.batch / (SHARE * multiply_adds(self.core)))
            threads = self._pace.choose(threads)
        for layer, place in self._draws:
            self.plan.start_draws(place, layer.draws)
        begun = time.perf_counter()
        sums = self.plan.run(
            *(self._mode, x, labels, targets, weight, order, start, stop),
            *(hyper, predictions, threads, loss),
        )
        took = time.perf_counter() - begun
        if self._pace is not None:
            self._pace.note(threads, rows // self.batch, took)
        for layer, _ in self._draws:
            layer.draws += -(-rows // self.batch)
        if rows == self.rows_per_call:
            calls = SECONDS_PER_CALL / max(took, 1e-6)
            self.rows_per_call = max(1, int(calls * rows / self.batch)) * self.batch
        return sums

    def watch(self, model: Any) -> None:
        """Make ready for `core.Plan.predict`: say what it must find unchanged in the model."""
        watched = [(vars(model), "layers", model.layers)]
        for layer in model.layers:
            own = vars(layer)
            watched += [
                (own, name, own.get(name)) for name in (*_COMMON, *layer.lowered_by, "weights")
            ]
            watched += [(layer.weights, name, weight) for name, weight in layer.weights.items()]
        network = model.layers, tuple(model.layers)
        self.plan.stand_for(self.features, self.work, self.work_per_thread, network, tuple(watched))

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
        wanted = int(self.work * rows / self.work_per_thread)
        return max(1, min(_dispatch.get_num_threads(), wanted))

    def _forward(self, to: Lowering, stages: Sequence[Stage], head: int) -> np.ndarray:
        """Append the batch's way through the stages; return what comes out of the first `head`."""
        columns = stages[head - 1].columns
        x: Any = None
        if self.mode == "train" or not isinstance(stages[0], DenseStage):
            x = to.matrix(self.features)[:, : self.features]
        self.labels = self.targets = self.weights = None
        if self.kernel is not None:
            self.weights = to.memory.flat(to.memory.width(self.batch))
            if self.kernel.name.startswith("sparse"):
                self.labels = np.zeros(self.batch, np.int64)
            else:
                self.targets = to.matrix(columns)[:, :columns]
        only_products = isinstance(stages[0], DenseStage)
        self.plan.gather(x, self.labels, self.targets, self.weights, only_products)
        logits = x
        for i, stage in enumerate(stages, start=1):
            x = stage.forward(to, x)
            if i == head:
                logits = x
        self.plan.output(x, stages[-1].columns)
        return logits

    def _loss(self, to: Lowering, kernel: LossKernel, pred: np.ndarray, columns: int) -> Any:
        """Append the loss of `pred`; return its gradient, if this plan trains."""
        rows = to.memory.width(self.batch)
        gradient = to.matrix(columns) if self.mode == "train" else None
        if self.mode == "train":
            to.cost_of_weights()
        hits = to.memory.flat(rows) if kernel.name in _COUNT else None
        self.plan.loss(
            self.core.LOSSES[kernel.name],
            kernel.numbers,
            kernel.summed,
            pred,
            columns,
            self.labels,
            self.targets,
            self.weights,
            to.memory.flat(rows),
            hits,
            gradient,
        )
        for partial, of_rows in to.costs:
            self.plan.penalty_total(partial, of_rows)
        return gradient


def _backward(to: Lowering, stages: Sequence[Stage], dy: np.ndarray) -> None:
    """Append the gradient's way down the stages, and the steps of all that moves.

    The step of a stage waits until the gradient of its inputs is there, for that reads the weights;
    it then runs beside the next stage's work, and needs no barrier of its own.
    """
    stages[-1].slope(to, dy)
    lowest = min(i for i, stage in enumerate(stages) if stage.moves)
    waiting: tuple[Stage, np.ndarray] | None = None
    for i in range(len(stages) - 1, lowest - 1, -1):
        stage, dx = stages[i], dy
        if waiting is not None:
            waiting[0].move(to, waiting[1], sync=False)
        if i > lowest:
            below = stages[i - 1]
            dx = to.matrix(below.columns)
            stage.backward(to, dy, dx, below)
            if not stage.takes_slope:
                below.slope(to, dx)
        waiting = (stage, dy) if stage.moves else None
        dy = dx
    if waiting is not None:
        waiting[0].move(to, waiting[1], sync=True)
    to.finish()
