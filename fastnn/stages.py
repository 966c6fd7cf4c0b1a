"""Stages: how each kind of layer becomes operations of the plan, forward, backward and update.

A stage is one step of the forward pass. It appends its operations to the plan that a `Lowering`
holds, and keeps the arrays that its way back needs. To lower a further kind of layer, write a
stage and name the layer's kernel in `_STAGES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import _validate as check
from fastnn import activations, regularizers
from fastnn._chance import Drawing
from fastnn._normalization import LEAST_DEVIATION
from fastnn.layers import (
    BatchNormalization,
    Dropout,
    GaussianNoise,
    Layer,
    LayerNormalization,
    Normalization,
    Rescaling,
)
from fastnn.memory import Parameters


class Lowering:
    """What the stages of one compiled plan have in common.

    Parameters
    ----------
    core : module
        The compiled core of the network's type.
    parameters : Parameters
        The weights of all its layers.
    mode : {"train", "test", "predict"}
    batch : int
        Rows of a mini-batch.
    update : str, optional
        The optimizer's kernel, for training.
    slots : tuple of str
        The optimizer's slots; they are in `parameters`.
    clip : {"each", "together"}, optional
        Whether it looks at the norm of each gradient, or of all together, before its step.
    """

    def __init__(
        self,
        core: Any,
        parameters: Parameters,
        mode: str,
        batch: int,
        update: str | None = None,
        slots: tuple[str, ...] = (),
        clip: str | None = None,
    ) -> None:
        self.core, self.parameters, self.mode, self.batch = core, parameters, mode, batch
        self.memory = parameters.memory
        self.plan = core.Plan(batch)
        self.modes = getattr(core, mode.upper())
        self.update, self.slots, self.clip = update, slots, clip
        # What waits for the norms: the layer, the weight's name, its gradient.
        self.gradients: list[tuple[Layer, str, np.ndarray]] = []
        # Where what weights and outputs cost is written to, and whether for rows of the batch.
        self.costs: list[tuple[np.ndarray, bool]] = []
        # The layers that draw at random, and where the plan does it.
        self.draws: list[tuple[Drawing, int]] = []

    def matrix(self, columns: int) -> np.ndarray:
        """A padded matrix of a row for each of the mini-batch."""
        return self.memory.matrix(self.batch, columns)

    def weight(self, layer: Layer, name: str) -> np.ndarray | None:
        """A weight with its padding; None if the layer has no such weight."""
        return self.parameters.padded(layer, name)

    def vector(self, values: Any) -> np.ndarray:
        """A padded vector of these numbers, or of so many zeros."""
        filled = np.zeros(values) if isinstance(values, int) else values
        padded = self.memory.flat(self.memory.width(len(filled)))
        padded[: len(filled)] = filled
        return padded

    def states(self, layer: Layer, name: str) -> tuple[Any, ...]:
        """The optimizer's slots of a weight, padded like it."""
        return tuple(self.parameters.padded(layer, name, slot) for slot in self.slots)

    def like(self, layer: Layer, name: str) -> np.ndarray:
        """A padded array of a weight's shape."""
        shape = layer.weights[name].shape
        return self.memory.matrix(*shape) if len(shape) == 2 else self.vector(shape[0])

    def step(self, layer: Layer, name: str, gradient: np.ndarray, sync: bool) -> None:
        """Append the optimizer's step on a weight, whose gradient stands in a padded array.

        Where the optimizer clips by norms, the step waits for `finish`.
        """
        if self.clip is not None:
            self.gradients.append((layer, name, gradient))
            return
        self._update(layer, name, gradient, None, penalty_of(layer, name), sync)

    def cost(self, x: np.ndarray, columns: int, l1: float, l2: float, of_rows: bool) -> None:
        """Append what weights, or with `of_rows` the outputs of a mini-batch, cost."""
        partial = np.zeros(len(x))
        self.plan.penalty(x, columns, l1, l2, partial, of_rows)
        self.costs.append((partial, of_rows))

    def cost_of_weights(self) -> None:
        """Append what all weights cost that training moves."""
        for layer in self.parameters.layers:
            for name, weight in layer.moving.items():
                l1, l2 = penalty_of(layer, name)
                if l1 or l2:
                    self.cost(self._matrix(layer, name), weight.shape[-1], l1, l2, False)

    def finish(self) -> None:
        """Append the steps that wait for norms; all gradients are there."""
        if not self.gradients:
            return
        # The norm of all is a sum in the order of the layers, as the eager road takes it.
        order = [(layer, name) for layer in self.parameters.layers for name in layer.weights]
        self.gradients.sort(key=lambda gradient: order.index(gradient[:2]))
        partials = []
        for layer, name, gradient in self.gradients:
            l1, l2 = penalty_of(layer, name)
            if l1 or l2:
                weight, columns = self._matrix(layer, name), layer.weights[name].shape[-1]
                self.plan.add_penalty(np.atleast_2d(gradient), weight, columns, l1, l2)
        for i, (layer, name, gradient) in enumerate(self.gradients, start=1):
            matrix, last = np.atleast_2d(gradient), i == len(self.gradients)
            partials.append(np.zeros(len(matrix)))
            columns = layer.weights[name].shape[-1]
            self.plan.square_sum(matrix, columns, partials[-1], sync=last)
        factors = self.memory.flat(len(partials))
        self.plan.clip_factor(tuple(partials), self.clip == "together", factors)
        for i, (layer, name, gradient) in enumerate(self.gradients):
            last = i == len(factors) - 1
            self._update(layer, name, gradient, factors[i : i + 1], (0.0, 0.0), last)

    def _update(
        self,
        layer: Layer,
        name: str,
        gradient: np.ndarray,
        factor: np.ndarray | None,
        penalty: tuple[float, float],
        sync: bool,
    ) -> None:
        states = tuple(np.atleast_2d(state) for state in self.states(layer, name))
        columns = layer.weights[name].shape[-1]
        code = self.core.UPDATES[self.update]
        self.plan.update(
            *(np.atleast_2d(gradient), columns, self._matrix(layer, name), states),
            *(code, factor, penalty, sync),
        )

    def _matrix(self, layer: Layer, name: str) -> np.ndarray:
        weight = self.weight(layer, name)
        assert weight is not None
        return np.atleast_2d(weight)


def penalty_of(layer: Layer, name: str) -> tuple[float, float]:
    """The (l1, l2) of a weight's regularizer."""
    return regularizers.numbers(layer.regularizers.get(name)) or (0.0, 0.0)


class Stage:
    """One step of the forward pass.

    Parameters
    ----------
    layer : Layer
    features : int
        Its inputs.

    Attributes
    ----------
    columns : int
        Its outputs.
    y : ndarray
        Their array, from `forward` on.
    z : ndarray or None
        The array of what the activation was applied to, where its gradient needs that.
    activation : Activation
        What it applies to each of its outputs last.
    """

    # Whether an elementwise activation that comes next can become this stage's own, and whether
    # `backward` carries the gradient through the activation of the stage below by itself.
    takes_activation = False
    takes_slope = False

    y: np.ndarray
    z: np.ndarray | None = None

    def __init__(self, layer: Layer, features: int) -> None:
        self.layer, self.features = layer, features
        self.columns = layer.output_features(features)
        self.activation: activations.Activation = activations.linear

    @property
    def saved(self) -> np.ndarray:
        """What the slope of the activation is computed from."""
        return self.y if self.z is None else self.z

    @property
    def ends_in(self) -> str:
        """The name of the activation that makes the outputs."""
        return self.activation.name

    @property
    def moves(self) -> bool:
        """Whether training changes weights of this stage."""
        return False

    def expect_weights(self) -> None:
        """Raise ValueError unless the weights fit the inputs and outputs."""

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        """Append what computes the outputs from `x`, padded like them; return their array."""
        raise NotImplementedError

    def backward(self, to: Lowering, dy: np.ndarray, dx: np.ndarray, below: Stage) -> None:
        """Append what computes the gradient of the inputs, `dx`, from that of the outputs.

        `dy` has gone through this stage's activation already, as `slope` does it. No weight that
        this reads may be moved before.
        """
        raise NotImplementedError

    def slope(self, to: Lowering, dy: np.ndarray) -> None:
        """Append what carries the gradient of the outputs through the activation, in place."""
        if self.activation is not activations.linear:
            code, numbers = to.core.ACTIVATIONS[self.activation.name], self.activation.numbers
            to.plan.activate_gradient(code, numbers, self.saved, dy, self.columns, dy)

    def move(self, to: Lowering, dy: np.ndarray, sync: bool) -> None:
        """Append the optimizer's step on the weights, `dy` being as in `backward`."""
        raise NotImplementedError


class DenseStage(Stage):
    """A dense layer with the activation after it."""

    takes_activation = True
    takes_slope = True

    @property
    def moves(self) -> bool:
        return self.layer.trainable

    def expect_weights(self) -> None:
        for name, shape in (("kernel", (self.features, self.columns)), ("bias", (self.columns,))):
            if name in self.layer.weights:
                check.expect_shape(self.layer.weights[name], f"{self.layer.name}: {name}", shape)

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        self.x, self.y = x, to.matrix(self.columns)
        kernel, bias = (to.weight(self.layer, name) for name in ("kernel", "bias"))
        code, numbers = to.core.ACTIVATIONS[self.activation.name], self.activation.numbers
        if to.mode == "train" and self.activation.from_input:
            self.z = to.matrix(self.columns)
        to.plan.dense_forward(x, self.features, kernel, bias, code, numbers, self.y, self.z)
        return self.y

    def backward(self, to: Lowering, dy: np.ndarray, dx: np.ndarray, below: Stage) -> None:
        code, numbers = to.core.ACTIVATIONS[below.activation.name], below.activation.numbers
        kernel = to.weight(self.layer, "kernel")
        to.plan.dense_backward_input(
            dy, self.columns, kernel, self.features, below.saved, code, numbers, dx
        )

    def move(self, to: Lowering, dy: np.ndarray, sync: bool) -> None:
        layer, names = (
            self.layer,
            [name for name in ("kernel", "bias") if name in self.layer.weights],
        )
        if to.clip is not None:
            kernel, bias = (to.like(layer, name) for name in ("kernel", "bias"))
            to.plan.dense_gradient(self.x, self.features, dy, kernel, bias, sync)
            for name in names:
                to.step(layer, name, kernel if name == "kernel" else bias, sync)
            return
        kernel, bias = (to.weight(layer, name) for name in ("kernel", "bias"))
        states = [to.states(layer, name) for name in ("kernel", "bias")]
        penalties = [penalty_of(layer, name) for name in ("kernel", "bias")]
        code = to.core.UPDATES[to.update]
        to.plan.dense_update(
            *(self.x, self.features, dy, kernel, states[0], bias, states[1]),
            *(code, *penalties, sync),
        )


class ActivationStage(Stage):
    """An elementwise activation that no other stage takes in."""

    def __init__(self, layer: Layer, features: int, function: activations.Activation) -> None:
        super().__init__(layer, features)
        self.columns = features
        self.function = function

    @property
    def ends_in(self) -> str:
        return self.function.name

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        self.x, self.y = x, to.matrix(self.columns)
        code, numbers = to.core.ACTIVATIONS[self.function.name], self.function.numbers
        to.plan.activate(code, numbers, x, self.y, to.modes)
        return self.y

    def backward(self, to: Lowering, dy: np.ndarray, dx: np.ndarray, below: Stage) -> None:
        code, numbers = to.core.ACTIVATIONS[self.function.name], self.function.numbers
        saved = self.x if self.function.from_input else self.y
        to.plan.activate_gradient(code, numbers, saved, dy, self.columns, dx)


class SoftmaxStage(ActivationStage):
    """Softmax, or its logarithm."""

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        self.y = to.matrix(self.columns)
        log = self.function.name == "log_softmax"
        to.plan.softmax(x, self.columns, self.y, log, to.modes)
        return self.y

    def backward(self, to: Lowering, dy: np.ndarray, dx: np.ndarray, below: Stage) -> None:
        log = self.function.name == "log_softmax"
        to.plan.softmax_gradient(self.y, dy, self.columns, dx, log)


class VectorStage(Stage):
    """A layer whose weights are vectors, moved by gradients that are written out."""

    def __init__(self, layer: Layer, features: int) -> None:
        super().__init__(layer, features)
        self.gradients: dict[str, np.ndarray] = {}

    @property
    def moves(self) -> bool:
        return bool(self.layer.moving)

    def expect_weights(self) -> None:
        for name, weight in self.layer.weights.items():
            check.expect_shape(weight, f"{self.layer.name}: {name}", (self.columns,))

    def differentiate(self, to: Lowering, dy: np.ndarray, dx: np.ndarray | None) -> None:
        """Append what computes `dx`, if there is one, and the gradients of the weights."""
        raise NotImplementedError

    def backward(self, to: Lowering, dy: np.ndarray, dx: np.ndarray, below: Stage) -> None:
        self.gradients = {name: to.vector(self.columns) for name in self.layer.moving}
        self.differentiate(to, dy, dx)

    def move(self, to: Lowering, dy: np.ndarray, sync: bool) -> None:
        if not self.gradients:  # the lowest stage that moves: nothing asked for its dx
            self.gradients = {name: to.vector(self.columns) for name in self.layer.moving}
            self.differentiate(to, dy, None)
        for i, (name, gradient) in enumerate(self.gradients.items(), start=1):
            to.step(self.layer, name, gradient, sync and i == len(self.gradients))


class BatchNormalizationStage(VectorStage):
    """Batch normalization with the activation after it.

    While the layer does not train it is an affine map of each column, which a product that comes
    just before does to its tiles.
    """

    takes_activation = True
    layer: BatchNormalization

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        layer = self.layer
        code, numbers = to.core.ACTIVATIONS[self.activation.name], self.activation.numbers
        gamma, beta, mean, variance = (
            to.weight(layer, name) for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        epsilon, self.x = layer.epsilon, x
        if to.mode == "train" and layer.trainable:
            self.mean, self.variance = to.vector(self.columns), to.vector(self.columns)
            self.y = to.matrix(self.columns)
            apart = self.activation.from_input  # what it is applied to is kept
            self.z = to.matrix(self.columns) if apart else None
            first = (to.core.ACTIVATIONS["linear"], ()) if apart else (code, numbers)
            to.plan.batch_norm(
                *(x, self.columns, gamma, beta, epsilon, self.mean, self.variance),
                *(mean, variance, layer.momentum, *first, self.saved),
            )
            if apart:
                to.plan.activate(code, numbers, self.saved, self.y, to.modes)
            return self.y
        assert mean is not None and variance is not None
        self.mean, self.variance = mean, variance
        scale = to.vector(self.columns)
        self.y = x
        if to.mode == "train" or not to.plan.finish_affine(x, scale, beta, mean, code, numbers):
            self.y = to.matrix(self.columns)
            if to.mode == "train" and self.activation.from_input:
                self.z = to.matrix(self.columns)
            to.plan.affine(x, self.columns, scale, beta, mean, self.saved, to.modes)
            if code != to.core.ACTIVATIONS["linear"]:
                to.plan.activate(code, numbers, self.saved, self.y, to.modes)
        to.plan.column_scale(gamma, variance, self.columns, epsilon, False, scale, to.modes)
        return self.y

    def differentiate(self, to: Lowering, dy: np.ndarray, dx: np.ndarray | None) -> None:
        layer, gamma = self.layer, to.weight(self.layer, "gamma")
        dgamma, dbeta = self.gradients.get("gamma"), self.gradients.get("beta")
        to.plan.batch_norm_gradient(
            *(self.x, self.columns, self.mean, self.variance, gamma, layer.epsilon),
            *(not layer.trainable, dy, dx, dgamma, dbeta),
        )


class LayerNormalizationStage(VectorStage):
    """Layer normalization."""

    layer: LayerNormalization

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        layer, self.x, self.y = self.layer, x, to.matrix(self.columns)
        self.mean, self.inverse = to.vector(to.batch), to.vector(to.batch)
        gamma, beta = to.weight(layer, "gamma"), to.weight(layer, "beta")
        to.plan.layer_norm(
            *(x, self.columns, gamma, beta, layer.epsilon),
            *(self.mean, self.inverse, self.y, to.modes),
        )
        return self.y

    def differentiate(self, to: Lowering, dy: np.ndarray, dx: np.ndarray | None) -> None:
        gamma = to.weight(self.layer, "gamma")
        dgamma, dbeta = self.gradients.get("gamma"), self.gradients.get("beta")
        to.plan.layer_norm_gradient(
            *(self.x, self.columns, self.mean, self.inverse, gamma, dy, dx, dgamma, dbeta),
        )


class PReLUStage(VectorStage):
    """PReLU."""

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        self.x, self.y = x, to.matrix(self.columns)
        self.alpha = to.weight(self.layer, "alpha")
        to.plan.prelu(x, self.columns, self.alpha, self.y, to.modes)
        return self.y

    def differentiate(self, to: Lowering, dy: np.ndarray, dx: np.ndarray | None) -> None:
        dalpha = self.gradients.get("alpha")
        to.plan.prelu_gradient(self.x, self.columns, self.alpha, dy, dx, dalpha)


class ActivityStage(Stage):
    """What the outputs of a layer cost; they pass as they are."""

    def __init__(self, layer: Layer, features: int, l1: float, l2: float) -> None:
        super().__init__(layer, features)
        self.columns, self.l1, self.l2 = features, l1, l2

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        self.y = x
        if to.mode != "predict":
            to.cost(x, self.columns, self.l1, self.l2, True)
        return x

    def backward(self, to: Lowering, dy: np.ndarray, dx: np.ndarray, below: Stage) -> None:
        to.plan.activity_gradient(self.y, dy, self.columns, self.l1, self.l2, dx)


class RescalingStage(Stage):
    """One affine map for all columns."""

    layer: Rescaling

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        self.y = to.matrix(self.columns)
        self.scale = to.vector(np.full(self.columns, self.layer.scale))
        shift = to.vector(np.full(self.columns, self.layer.offset))
        to.plan.affine(x, self.columns, self.scale, shift, None, self.y, to.modes)
        return self.y

    def backward(self, to: Lowering, dy: np.ndarray, dx: np.ndarray, below: Stage) -> None:
        to.plan.affine(dy, self.columns, self.scale, None, None, dx, to.modes)


class NormalizationStage(Stage):
    """An affine map of each column by the mean and the variance of the data."""

    layer: Normalization

    def expect_weights(self) -> None:
        for name, weight in self.layer.weights.items():
            check.expect_shape(weight, f"{self.layer.name}: {name}", (self.columns,))

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        mean, variance = (to.weight(self.layer, name) for name in ("mean", "variance"))
        if mean is None:
            mean, variance = map(to.vector, self.layer.statistics())
        self.y, self.scale = to.matrix(self.columns), to.vector(self.columns)
        to.plan.column_scale(
            None, variance, self.columns, LEAST_DEVIATION, True, self.scale, to.modes
        )
        to.plan.affine(x, self.columns, self.scale, None, mean, self.y, to.modes)
        return self.y

    def backward(self, to: Lowering, dy: np.ndarray, dx: np.ndarray, below: Stage) -> None:
        to.plan.affine(dy, self.columns, self.scale, None, None, dx, to.modes)


class DrawingStage(Stage):
    """A layer that draws while training, and passes its inputs on otherwise."""

    layer: Drawing

    def draw(self, to: Lowering, x: np.ndarray) -> int:
        """Append what computes `y`; return the draw's place in the plan."""
        raise NotImplementedError

    def forward(self, to: Lowering, x: np.ndarray) -> np.ndarray:
        self.y = x
        if to.mode == "train":
            self.y = to.matrix(self.columns)
            to.draws.append((self.layer, self.draw(to, x)))
        return self.y


class DropoutStage(DrawingStage):
    """Dropout."""

    layer: Dropout

    def draw(self, to: Lowering, x: np.ndarray) -> int:
        layer, self.mask = self.layer, to.matrix(self.columns)
        return to.plan.dropout(x, self.columns, layer.rate, layer.key, self.mask, self.y)

    def backward(self, to: Lowering, dy: np.ndarray, dx: np.ndarray, below: Stage) -> None:
        to.plan.multiply(self.mask, dy, self.columns, dx)


class GaussianNoiseStage(DrawingStage):
    """Gaussian noise."""

    layer: GaussianNoise

    def draw(self, to: Lowering, x: np.ndarray) -> int:
        layer = self.layer
        return to.plan.gaussian_noise(x, self.columns, layer.stddev, layer.key, self.y)

    def backward(self, to: Lowering, dy: np.ndarray, dx: np.ndarray, below: Stage) -> None:
        to.plan.activate_gradient(to.core.ACTIVATIONS["linear"], (), self.y, dy, self.columns, dx)


# By the layer's kernel; "input" and "flatten" make no stage, and "activation" is told apart by its
# function.
_STAGES: dict[str, type[Stage]] = {
    "dense": DenseStage,
    "batch_normalization": BatchNormalizationStage,
    "layer_normalization": LayerNormalizationStage,
    "prelu": PReLUStage,
    "rescaling": RescalingStage,
    "normalization": NormalizationStage,
    "dropout": DropoutStage,
    "gaussian_noise": GaussianNoiseStage,
}


def stages_of(network: Sequence[Layer]) -> tuple[list[Stage], list[str]]:
    """Return the stages of a stack of layers, and what keeps it from being lowered.

    Without any such obstacle, the stages are all of the network.
    """
    stages: list[Stage] = []
    obstacles: list[str] = []
    features = (network[0].features or 0) if network else 0
    for layer in network:
        kind = layer.kernel_name
        if kind in _STAGES:
            stages.append(_STAGES[kind](layer, features))
        elif kind not in ("input", "flatten", "activation"):
            obstacles.append(f"layer {layer.name} ({type(layer).__name__})")
        features = layer.output_features(features)
        function = getattr(layer, "activation", activations.linear)
        if kind is not None and function is not activations.linear:
            if not isinstance(function, activations.Activation) or function.kernel_name is None:
                obstacles.append(f"activation {function!r} of layer {layer.name}")
            else:
                _apply(function, layer, features, stages)
        for name, penalty in layer.regularizers.items():
            if regularizers.numbers(penalty) is None:
                obstacles.append(f"regularizer of {name} of layer {layer.name}")
        costs = regularizers.numbers(layer.activity_regularizer)
        if costs is None:
            obstacles.append(f"activity_regularizer of layer {layer.name}")
        elif any(costs):
            stages.append(ActivityStage(layer, features, *costs))
    return stages, obstacles


def _apply(
    function: activations.Activation, layer: Layer, features: int, stages: list[Stage]
) -> None:
    """Let the last stage apply the function, or put a stage of its own on top."""
    last = stages[-1] if stages else None
    if function.name.endswith("softmax"):
        stages.append(SoftmaxStage(layer, features, function))
    elif last is not None and last.takes_activation and last.activation is activations.linear:
        last.activation = function
    else:
        stages.append(ActivationStage(layer, features, function))
