"""Which inputs a prediction hangs on: saliency and its kin, for every model and every output.

All of these ask about the *score* of one output for each row. By default that is the logit, what
comes before a softmax or sigmoid at the end of the model, for a probability saturates: its gradient
vanishes where the network is sure, and rises also where the other classes fall (K. Simonyan et al.,
Deep inside convolutional networks, 2014, section 2). ``logits=False`` asks about the output as it
is.

The model runs layer by layer, in inference, as a copy that shares its weights; nothing of it
changes. Layers and activations of one's own need no more than they do for training.

>>> import fastnn as fn
>>> model = fn.Sequential([fn.Input(4), fn.layers.Dense(3, "relu"), fn.layers.Dense(2, "softmax")])
>>> fn.explain.saliency(model, [[1, 2, 3, 4]], output=1).shape
(1, 4)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _validate as check
from fastnn import activations
from fastnn._twin import twin_of
from fastnn.layers import Layer
from fastnn.model import Sequential

__all__ = [
    "gradient",
    "gradient_times_input",
    "guided_backpropagation",
    "integrated_gradients",
    "saliency",
    "score",
]

# What turns logits into probabilities, and what guided back-propagation guides.
_SQUASHING = ("softmax", "log_softmax", "sigmoid")
_RECTIFYING = ("relu", "relu6")


def score(
    model: Sequential, x: ArrayLike, output: ArrayLike | None = None, logits: bool = True
) -> np.ndarray:
    """The score of one output for each row: what the other functions explain.

    Parameters
    ----------
    model : Sequential
        Built; nothing of it changes.
    x : array_like of shape (n, features)
        Or (n, a, b, …), where the model flattens it; what is explained is then of that shape too.
    output : int or array_like of n ints, optional
        The output to explain, for all rows or for each; by default the greatest one of each row,
        the class it is predicted to be.
    logits : bool
        Whether the score is what comes before a softmax, log_softmax or sigmoid, if the last layer
        ends in one, or the output as it is.

    Returns
    -------
    ndarray of shape (n,)
        In the type of the model's outputs.

    Raises
    ------
    TypeError
        If `model` is not a Sequential, `x` or `output` not of numbers, or `logits` not a bool.
    ValueError
        If the model is not built, `x` does not fit it, or an output is not in [0, m), m being the
        number of the model's outputs.
    """
    return _Question(model, x, output, logits).scores()


def gradient(
    model: Sequential, x: ArrayLike, output: ArrayLike | None = None, logits: bool = True
) -> np.ndarray:
    """The gradient of the score with respect to the inputs.

    Parameters
    ----------
    model, x, output, logits
        As in `score`.

    Returns
    -------
    ndarray of the shape of `x`
        In the type of the first layer that has one.

    Raises
    ------
    TypeError, ValueError
        As by `score`.
    """
    return _Question(model, x, output, logits).gradient()


def saliency(
    model: Sequential, x: ArrayLike, output: ArrayLike | None = None, logits: bool = True
) -> np.ndarray:
    """The magnitude of the gradient, ``|d score / d x|``: which inputs need least change.

    K. Simonyan et al., Deep inside convolutional networks, 2014, section 3.1.

    Parameters
    ----------
    model, x, output, logits
        As in `score`.

    Returns
    -------
    ndarray of the shape of `x`
        As from `gradient`.

    Raises
    ------
    TypeError, ValueError
        As by `score`.
    """
    return np.abs(gradient(model, x, output, logits))


def gradient_times_input(
    model: Sequential, x: ArrayLike, output: ArrayLike | None = None, logits: bool = True
) -> np.ndarray:
    """``x * d score / d x``: what each input adds to the score, were the network linear.

    A. Shrikumar et al., Not just a black box, 2016.

    Parameters
    ----------
    model, x, output, logits
        As in `score`.

    Returns
    -------
    ndarray of the shape of `x`
        As from `gradient`.

    Raises
    ------
    TypeError, ValueError
        As by `score`.
    """
    question = _Question(model, x, output, logits)
    slopes = question.gradient()
    return question.x.reshape(question.shape).astype(slopes.dtype) * slopes


def guided_backpropagation(
    model: Sequential, x: ArrayLike, output: ArrayLike | None = None, logits: bool = True
) -> np.ndarray:
    """The gradient of the score, where every relu passes only positive gradients back.

    ``dx = dy`` where both ``x > 0`` and ``dy > 0``, else 0: J. T. Springenberg et al., Striving for
    simplicity, 2015, section 3.4. It is no gradient of any function; it shows what excites the
    units that are excited. Built-in relu and relu6 are guided, in layers within layers too, and
    other activations pass gradients as ever.

    Parameters
    ----------
    model, x, output, logits
        As in `score`.

    Returns
    -------
    ndarray of the shape of `x`
        As from `gradient`.

    Raises
    ------
    TypeError, ValueError
        As by `score`.
    """
    return _Question(model, x, output, logits, guided=True).gradient()


def integrated_gradients(
    model: Sequential,
    x: ArrayLike,
    output: ArrayLike | None = None,
    baseline: ArrayLike = 0.0,
    steps: int = 50,
    logits: bool = True,
) -> np.ndarray:
    """The score's rise from a baseline to `x`, divided among the inputs.

    ``(x - baseline) * mean of d score / d x`` over the straight line from `baseline` to `x`:
    M. Sundararajan et al., Axiomatic attribution for deep networks, 2017, equation 1.

    Parameters
    ----------
    model, x, output, logits
        As in `score`. By default each row's output is the one predicted at `x`.
    baseline : array_like that broadcasts to `x`
        An input that says nothing, such as a black image.
    steps : int
        Points on the line, those of Gauss and Legendre, at least 1.

    Returns
    -------
    ndarray of the shape of `x`
        In the type of the first layer that has one.

    Raises
    ------
    TypeError, ValueError
        As by `score`; also if `baseline` is not of numbers or does not broadcast to `x`, or `steps`
        is no integer of at least 1.

    Notes
    -----
    Completeness: the attributions of a row sum to the score at `x` less that at `baseline`. To see
    whether there were enough steps, compare ``integrated_gradients(model, x, c).sum(axis=1)`` with
    ``score(model, x, c) - score(model, baseline, c)``, the baseline in the shape of `x`.
    """
    steps = check.positive_int(steps, "steps")
    baseline = check.as_real(baseline, "baseline", np.float64)
    question = _Question(model, x, output, logits)
    try:
        start = np.broadcast_to(baseline, question.shape)
    except ValueError:
        raise ValueError(
            f"baseline: expected a number, a row or as many rows as x (shape {question.shape}), "
            f"got shape {baseline.shape}"
        ) from None
    end = question.x.astype(np.float64).reshape(question.shape)
    points, shares = np.polynomial.legendre.leggauss(steps)  # on [-1, 1]
    mean = np.zeros_like(end)
    dtype = question.gradient().dtype
    for point, share in zip((points + 1) / 2, shares / 2, strict=True):
        question.move((start + point * (end - start)).reshape(question.x.shape))
        mean += share * question.gradient()
    return ((end - start) * mean).astype(dtype)


class _Guided:
    """An activation that passes only positive gradients back."""

    def __init__(self, activation: activations.Activation) -> None:
        self.activation = activation

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.activation(x)

    def gradient(self, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
        return self.activation.gradient(y, np.maximum(dy, 0))


class _Question:
    """One output of each row, asked about: a copy of the model, made ready, that has seen `x`."""

    def __init__(
        self,
        model: Sequential,
        x: ArrayLike,
        output: ArrayLike | None,
        logits: bool,
        guided: bool = False,
    ) -> None:
        check.expect_instance(model, "model", Sequential)
        logits = check.flag(logits, "logits")
        if not model.built:
            raise ValueError("model: expected a built model; call build(features), fit or predict")
        self.shape = np.shape(x)
        self.x = check.as_matrix(model.as_rows(x), "x")
        self._twin, layers = twin_of(model)
        if logits and _kernel_of(self._twin.layers[-1]) in _SQUASHING:
            _replace(self._twin.layers[-1], activations.linear)
        if guided:
            for layer in layers:
                if _kernel_of(layer) in _RECTIFYING:
                    _replace(layer, _Guided(vars(layer)["activation"]))
        self.outputs = self._twin(self.x)
        if output is None:
            output = self.outputs.argmax(axis=1)
        elif np.ndim(output) == 0:
            output = np.full(len(self.x), output)
        self.output = check.as_labels(output, "output", *self.outputs.shape)

    def move(self, x: np.ndarray) -> None:
        """Ask about other inputs, as many rows."""
        self.outputs = self._twin(x)

    def scores(self) -> np.ndarray:
        return self.outputs[np.arange(len(self.outputs)), self.output]

    def gradient(self) -> np.ndarray:
        """Of the scores with respect to the inputs, which no two rows share."""
        seed = np.zeros_like(self.outputs)
        seed[np.arange(len(seed)), self.output] = 1
        return self._twin.backward(seed).reshape(self.shape)


def _kernel_of(layer: Layer) -> str | None:
    """The name of the built-in activation of a layer, if it has one."""
    activation = vars(layer).get("activation")
    return activation.kernel_name if isinstance(activation, activations.Activation) else None


def _replace(layer: Layer, activation: activations.Differentiable) -> None:
    vars(layer)["activation"] = activation
