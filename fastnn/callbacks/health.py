"""Whether a network is in good health while it learns: where NaN comes from, and how large
gradients and activations are, layer by layer.

Source: X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
networks, AISTATS 2010, section 4: gradients that shrink or grow from layer to layer.
"""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _random
from fastnn import _validate as check
from fastnn.callbacks.base import Callback, Logs
from fastnn.plan import before_probabilities


class TerminateOnNaN(Callback):
    """Ends the training when the loss or a weight is NaN or infinite, and says where it began.

    Parameters
    ----------
    raise_error : bool
        Whether to raise a RuntimeError in place of the warning.

    Attributes
    ----------
    stopped_epoch : int or None
        The epoch that went wrong, counted from 0.
    stopped_batch : int or None
        The mini-batch of it, counted from 0.
    cause : str or None
        What was not finite first, such as ``outputs of layer dense_1``.

    Raises
    ------
    TypeError
        If `raise_error` is not a bool.
    RuntimeError
        With `raise_error`, at the end of the epoch that goes wrong.

    Notes
    -----
    It looks once an epoch, and costs nothing per step. One step is enough to carry a NaN into every
    weight, so the layer it came from cannot be told afterwards: weights and the optimizer's state
    are therefore copied before each epoch, and an epoch that ends badly is run again from there,
    batch by batch, to find the first that goes wrong. A UserWarning names it, and **the model is
    left with the finite weights it had before that batch**. Should the second run go well, for a
    layer of your own that draws other numbers than before, the first layer with weights that are
    not finite is named, and the model is left as it is.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = check.flag(raise_error, "raise_error")
        self.stopped_epoch: int | None = None
        self.stopped_batch: int | None = None
        self.cause: str | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.stopped_epoch = self.stopped_batch = self.cause = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._before = _State(self.model)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        wrong = [layer.name for layer in self.model.layers if not _finite(*layer.weights.values())]
        if math.isfinite((logs or {}).get("loss", 0.0)) and not wrong:
            del self._before
            return
        self.model.stop_training = True
        self.stopped_epoch = epoch
        after = _State(self.model)
        self._before.restore()
        del self._before
        self.stopped_batch, self.cause = self._find()
        where = f"epoch {epoch + 1}"
        if self.stopped_batch is None:
            after.restore()
            self.cause = f"weights of layer {wrong[0]}" if wrong else "the loss"
        else:
            where += f", batch {self.stopped_batch + 1}"
        text = (
            f"training ended: {self.cause} not finite in {where}; a lower learning rate or smaller "
            f"inputs may help"
        )
        if self.raise_error:
            raise RuntimeError(text)
        warnings.warn(text, stacklevel=5)

    def _find(self) -> tuple[int | None, str | None]:
        """Run the epoch again; return the first batch that goes wrong, and what does in it."""
        model = self.model
        data, order, batch = model.running_epoch
        if getattr(model.optimizer, "full_batch", False):
            batch = len(data.x)
        for i, start in enumerate(range(0, len(data.x), batch)):
            rows = np.arange(start, min(start + batch, len(data.x)))
            part = data.part(rows if order is None else order[rows])
            before = _State(model)
            logs = model.train_on_batch(part.x, part.y, part.weight)
            if math.isfinite(logs["loss"]) and _finite(*model.weights):
                continue
            before.restore()
            return i, _first_not_finite(model, part)
        return None, None


class GradientMonitor(Callback):
    """Keeps the size of every layer's gradient and outputs at the end of each epoch.

    Gradients that vanish or explode on their way down, and layers that saturate or die, show in
    these figures long before they show in the loss.

    Parameters
    ----------
    x : array_like of shape (n, features)
        Examples that are looked at, the same at every epoch; or (n, a, b, …), where the model
        flattens it.
    y : array_like
        Their targets.
    rows : int
        Only the first so many examples are taken, at least 1.

    Attributes
    ----------
    history : dict of str to list of float
        By the name of each layer with weights, for each epoch: the Euclidean norm of the gradient
        of the loss by all of its weights together.
    activations : dict of str to list of float
        By the name of each layer, for each epoch: the root mean square over rows of the Euclidean
        norm of a row of its outputs.

    Raises
    ------
    TypeError, ValueError
        If `x` or `y` is empty, not of real numbers, or of another number of rows than the other.
        Where they do not fit the model, or two of its layers have one name, `fit` raises before
        anything is trained.

    Notes
    -----
    It computes on a copy of the layers, as in training, and puts the random state back: the model,
    its optimizer and what is drawn next are as they would be without it. A softmax or sigmoid that
    training takes into the loss is taken into it here too.
    """

    def __init__(self, x: ArrayLike, y: ArrayLike, rows: int = 256) -> None:
        rows = check.positive_int(rows, "rows")
        self.x = check.as_numbers(x, "x")[:rows]
        self.y = check.as_numbers(y, "y")
        check.expect_rows(self.y, "y", len(check.as_numbers(x, "x")))
        self.y = self.y[:rows]
        self.rows = rows
        self.history: dict[str, list[float]] = {}
        self.activations: dict[str, list[float]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        names = [layer.name for layer in self.model.layers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"layers: expected names that differ, got {twice} twice")
        # Data that do not fit are told of before anything is trained.
        gradients, activations = self.measure()
        self.history = {name: [] for name in gradients}
        self.activations = {name: [] for name in activations}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        found = self.measure()
        for kept, sizes in zip((self.history, self.activations), found, strict=True):
            for name, size in sizes.items():
                kept[name].append(size)

    def measure(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the sizes now, of gradients and of activations.

        Returns
        -------
        gradients, activations : dict of str to float
            By the layer's name, as in `history` and `activations`.
        """
        state = _random.generator().bit_generator.state
        try:
            layers = copy.deepcopy(self.model.layers)
            loss, layers, function = before_probabilities(self.model.loss, layers)
            y: Any = self.model.as_rows(self.x)
            gradients, activations = {}, {}
            for layer in layers:
                y = layer.forward(y, True)
                activations[layer.name] = _size(y)
            if function is not None:
                activations[layers[-1].name] = _size(function(y))
            gradient = loss.gradient(self.y, y)
            for layer in reversed(layers):
                gradient = layer.backward(gradient)
                if layer.weights:
                    # Not all weights have a gradient: moving averages have none.
                    mine = [g for name, g in layer.gradients.items() if name in layer.weights]
                    gradients[layer.name] = _norm(*mine)
        finally:
            _random.generator().bit_generator.state = state
        return {layer.name: gradients[layer.name] for layer in layers if layer.weights}, activations


class _State:
    """A copy of a model's weights, of its optimizer's state, and of how often layers drew."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.weights = model.get_weights()
        self.iterations = model.optimizer.iterations
        self.slots = copy.deepcopy(model.optimizer.slots)
        self.draws = [getattr(layer, "draws", None) for layer in model.layers]

    def restore(self) -> None:
        """Give the model back what it was."""
        optimizer = self.model.optimizer
        self.model.set_weights(self.weights)
        if not self.slots:
            optimizer.reset()
        optimizer.iterations = self.iterations
        for mine, old in zip(optimizer.slots, self.slots, strict=True):
            mine.clear()
            mine.update(copy.deepcopy(old))
        for layer, draws in zip(self.model.layers, self.draws, strict=True):
            if draws is not None:
                layer.draws = draws


def _first_not_finite(model: Any, part: Any) -> str:
    """Return what is not finite first in a step on these examples."""
    with np.errstate(all="ignore"):
        if not _finite(part.x):
            return "inputs"
        loss, layers, _ = before_probabilities(model.loss, model.layers)
        y = part.x
        for layer in layers:
            y = layer.forward(y, True)
            if not _finite(y):
                return f"outputs of layer {layer.name}"
        value, gradient = loss.value_and_gradient(part.y, y, part.weight)
        if not _finite(np.asarray(value)):
            return f"loss {loss.name}"
        for layer in reversed(layers):
            gradient = layer.backward(gradient)
            if not _finite(*layer.gradients.values()):
                return f"gradients of layer {layer.name}"
    return f"weights after the step of optimizer {model.optimizer.name}"


def _finite(*arrays: np.ndarray) -> bool:
    return all(np.isfinite(array).all() for array in arrays)


def _size(y: np.ndarray) -> float:
    """Return the root mean square over rows of the Euclidean norm of a row."""
    return _norm(y) / math.sqrt(len(y))


def _norm(*arrays: np.ndarray) -> float:
    """Return the Euclidean norm of all numbers together."""
    return math.sqrt(sum(float(np.square(a, dtype=np.float64).sum()) for a in arrays))
