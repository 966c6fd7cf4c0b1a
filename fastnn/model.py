"""Sequential: a stack of layers that is compiled, fitted, evaluated and asked for predictions.

Two roads give the same numbers. The plan (plan.py) runs many mini-batches in one call of compiled
code; the eager road calls layers, loss and optimizer one by one, and takes parts written in Python.
`Sequential.summary` says which road a model takes, and why.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _dispatch, _random, losses, metrics, optimizers
from fastnn import _validate as check
from fastnn import layers as layer_classes
from fastnn._configuration import deserialize, serialize
from fastnn._layer import automatic_name
from fastnn.callbacks import Callback, CallbackList, History
from fastnn.layers import Dense, Input, Layer
from fastnn.memory import Parameters
from fastnn.metrics import expect_targets
from fastnn.metrics import get as get_metric
from fastnn.plan import (
    CompiledPlan,
    Examples,
    LossKernel,
    Network,
    before_probabilities,
    counted_by_kernel,
    loss_kernel,
)
from fastnn.progress import Progress

__all__ = ["Sequential"]

# Rows that a plan computes together in `predict` and `evaluate`, whole tiles of 14 or 6 rows:
# they change no result.
INFERENCE_ROWS = 252
PLANS_KEPT = 4


class Sequential:
    """A stack of layers, each fed by the one before.

    Parameters
    ----------
    layers : sequence of Layer, optional
        See `add`.
    name : str, optional
        By default ``sequential``.

    Attributes
    ----------
    layers : list of Layer
    history : History or None
        Of the last `fit`.
    stop_training : bool
        Set it in a callback to end `fit` after the batch or epoch.
    running_epoch : tuple or None
        While `fit` runs: the examples, the order in which the epoch takes them (None: as they lie),
        and the rows of a mini-batch.

    Raises
    ------
    TypeError
        If `layers` is not a list, or `name` not a string.
    TypeError, ValueError
        What `add` raises.

    Notes
    -----
    What the methods that take examples (`fit`, `train_on_batch`, `evaluate`, `test_on_batch`,
    `predict`, `predict_on_batch`) have in common: TypeError is raised for an argument of the wrong
    kind, such as an array of anything but real numbers of at most 64 bits; ValueError for a wrong
    value, such as an array that is empty, has another number of features or rows, or holds numbers
    that the model's type does not; ValueError too by a model without layers and, where a loss is
    needed, before `compile`. All of it comes before anything is changed.

    Threads may call `predict` on one model at the same time. Training changes the weights in place
    and without a lock, so that what another thread computes meanwhile is from weights of no
    particular step.

    Examples
    --------
    >>> import fastnn as fn
    >>> model = fn.Sequential([fn.layers.Dense(32, activation="relu"), fn.layers.Dense(10)])
    >>> loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile(optimizer="sgd", loss=loss, metrics=["accuracy"])
    """

    def __init__(self, layers: Sequence[Layer] | None = None, name: str | None = None) -> None:
        self.name = check.as_name(name, "sequential")
        self.layers: list[Layer] = []
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self.metrics: list[metrics.Metric] = []
        self.weighted_metrics: list[metrics.Metric] = []  # those of them that see weights of rows
        self.history: History | None = None
        self.stop_training = False
        self.running_epoch: tuple[Examples, np.ndarray | None, int] | None = None
        self._parameters: Parameters | None = None
        self._plans: dict[Any, CompiledPlan] = {}
        # A plan that `predict_on_batch` goes to first: it sees by itself whether it is up to date.
        self._swift: Any = None
        self._network = Network([])
        # Whose slots `_moved_by` holds, by layer and name, and the slots of what is frozen now.
        self._moved_by: optimizers.Optimizer | None = None
        self._moving: list[tuple[Layer, str]] = []
        self._resting: dict[tuple[Layer, str], dict[str, np.ndarray]] = {}
        if layers is not None and not isinstance(layers, Iterable):
            raise TypeError(f"layers: expected a list of layers, got {layers!r}")
        for layer in layers or ():
            self.add(layer)

    def __getstate__(self) -> dict[str, Any]:
        # A copy makes plans of its own, over its own weights.
        own: dict[str, Any] = {
            "_parameters": None,
            "_plans": {},
            "_swift": None,
            "_network": Network([]),
            "running_epoch": None,
        }
        return self.__dict__ | own

    # ---- building ----------------------------------------------------------------------------

    def add(self, layer: Layer) -> None:
        """Put a layer on top.

        Parameters
        ----------
        layer : Layer
            Built at once, if the model is.

        Raises
        ------
        TypeError
            If it is not a Layer.
        ValueError
            If it is in the model already, or was given a name that is; or is built for another
            number of inputs, or mixes the features of rows of several axes.
        """
        if not isinstance(layer, Layer):
            raise TypeError(f"layer: expected a Layer, got {layer!r}")
        if any(layer is other for other in self.layers):
            raise ValueError(
                f"layer: expected a layer not yet in the model, got {layer.name} again"
            )
        names = [other.name for other in self.layers]
        if layer._named and layer.name in names:
            raise ValueError(
                f"layer: expected a name not yet in the model, got {layer.name!r} again"
            )
        sides = self._row_shape()
        flat = any(below.flattens for below in [*self.layers, layer])
        if len(sides) > 1 and not flat and not layer.elementwise:
            raise ValueError(
                f"layer: expected a Flatten before {layer.name}, as rows have shape {sides}"
            )
        features = self.layers[0].features if self.built else None
        if features is not None:
            features = self._outputs(features)
            _expect_features(layer, features)
            layer.build(features)
        while layer.name in names:  # a copy, or a layer beside those of a file
            layer.name = automatic_name(type(layer))
        self.layers.append(layer)

    def pop(self) -> Layer:
        """Take the layer off the top.

        Returns
        -------
        Layer

        Raises
        ------
        ValueError
            If there is none.
        """
        self._need_layers()
        return self.layers.pop()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name, or by its place.

        Parameters
        ----------
        name : str, optional
            Of layers of one name the lowest is found.
        index : int, optional
            Counted from 0.

        Returns
        -------
        Layer

        Raises
        ------
        ValueError
            Unless exactly one of the two is given, or if there is no such layer; near matches are
            named.
        TypeError
            If `name` is not a string, or `index` not an integer.
        """
        if (name is None) == (index is None):
            raise ValueError(f"name, index: expected one of them, got {name!r} and {index!r}")
        if index is not None:
            if check.non_negative_int(index, "index") >= len(self.layers):
                raise ValueError(
                    f"index: expected one of {check.plural(len(self.layers), 'layer')}, counted "
                    f"from 0, got {index}"
                )
            return self.layers[index]
        named = {layer.name: layer for layer in reversed(self.layers)}
        return named[check.choice(name, "name", list(named)[::-1])]

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """``(None, features)``, or what the `Input` says; AttributeError before `build`."""
        self._need_shapes("input_shape")
        features = self.layers[0].features
        return (None, *(self._row_shape() or (features,)))

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """``(None, outputs)``; AttributeError before `build`."""
        self._need_shapes("output_shape")
        features = self.layers[0].features
        assert features is not None
        return (None, self._outputs(features))

    def reset_metrics(self) -> None:
        """Forget what the metrics have seen; `fit`, `evaluate` and the methods of batches start
        with it."""
        for metric in self.metrics:
            metric.reset_state()

    @property
    def metrics_names(self) -> list[str]:
        """The keys of the logs, in order: the loss and the metrics."""
        return ["loss", *(metric.name for metric in self.metrics)]

    @property
    def built(self) -> bool:
        """Whether the number of inputs is known and all weights exist."""
        return bool(self.layers) and all(layer.built for layer in self.layers)

    def build(self, features: int | Sequence[int | None]) -> None:
        """Create all weights for so many inputs; the first `fit` or `predict` does it too.

        Parameters
        ----------
        features : int or tuple
            Or the shape of a batch with None for its rows, such as ``(None, 64)``.

        Raises
        ------
        ValueError
            If there are no layers, or one is built for another number of inputs, or `features` is
            not at least 1 or such a shape.
        TypeError
            If `features` is not an integer or of integers.
        """
        self._need_layers()
        if isinstance(features, (tuple, list)):
            if len(features) < 2 or features[0] is not None:
                raise ValueError(
                    f"features: expected a number or a shape as (None, features), got {features!r}"
                )
            features = math.prod(check.positive_int(side, "features") for side in features[1:])
        features = check.positive_int(features, "features")
        self._outputs(features)
        for layer in self.layers:
            layer.build(features)
            features = layer.output_features(features)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Sequence[Any] | None = None,
        weighted_metrics: Sequence[Any] | None = None,
    ) -> None:
        """Say how the model learns. Starts the optimizer's state anew.

        Parameters
        ----------
        optimizer : str or Optimizer
            By default Keras's. See `fastnn.optimizers.get`.
        loss : str, Loss or function of `losses`
            See `fastnn.losses.get`. Without one the model predicts, but does not learn.
        metrics : sequence of str, Metric or function, optional
            See `fastnn.metrics.get`. Of metrics of one name the second gets ``_1`` behind it, the
            third ``_2``, and so on.
        weighted_metrics : sequence of str, Metric or function, optional
            Further ones, which `sample_weight` and `class_weight` weigh as they do the loss.

        Raises
        ------
        ValueError
            If a name is not known; near matches are named. The model is as it was.
        TypeError
            If a part is of another kind, or metrics come without a list. The model is as it was.
        """
        found_loss = None if loss is None else losses.get(loss)
        found: list[list[Any]] = []
        for given, argument in ((metrics, "metrics"), (weighted_metrics, "weighted_metrics")):
            if given is not None and not isinstance(given, (list, tuple)):
                raise TypeError(f"{argument}: expected a list, got {given!r}")
            found.append([get_metric(metric, found_loss) for metric in given or ()])
        # One that comes twice would count each row twice.
        found_metrics = list({id(metric): metric for metric in found[0] + found[1]}.values())
        names = _distinct_names(found_metrics)
        self.optimizer = optimizers.get(optimizer)
        self.optimizer.reset()
        for metric, metric_name in zip(found_metrics, names, strict=True):
            metric.name = metric_name
        self.loss, self.metrics, self.weighted_metrics = found_loss, found_metrics, found[1]

    def get_config(self) -> dict[str, Any]:
        """Return what makes a model of the same layers, as plain data that JSON can hold.

        Parts of a user's own are named by their classes.

        Returns
        -------
        dict

        Raises
        ------
        TypeError
            If a part of a user's own has no name, or has attributes and no ``get_config``.
        """
        layers = [
            serialize(layer, f"layers[{i}]") | {"trainable": layer.trainable}
            for i, layer in enumerate(self.layers)
        ]
        features = self.layers[0].features if self.built else None
        return {"name": self.name, "layers": layers, "features": features}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Make a model of what `get_config` returned, with initial weights of its own.

        Parameters
        ----------
        config : dict
        custom_objects : mapping of str to class or function, optional
            A user's own parts by name.

        Returns
        -------
        Sequential
            Built if that one was; not compiled.

        Raises
        ------
        ValueError
            If a part is not known (near matches are named), or its configuration not what it takes.
        KeyError
            If `config` has not all the keys of `get_config`.
        """
        model = cls(name=config["name"])
        for i, data in enumerate(config["layers"]):
            layer = deserialize(data, f"layers[{i}]", layer_classes, custom_objects)
            layer.trainable = data["trainable"]
            model.add(layer)
        if config["features"] is not None:
            model.build(config["features"])
        return model

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return the arguments of `compile` as plain data; None if it was not called.

        Returns
        -------
        dict or None

        Raises
        ------
        TypeError
            As by `get_config`.
        """
        if self.optimizer is None:
            return None
        plain = [metric for metric in self.metrics if metric not in self.weighted_metrics]
        return {
            "optimizer": serialize(self.optimizer, "optimizer"),
            "loss": serialize(self.loss, "loss"),
            "metrics": serialize(plain, "metrics"),
            "weighted_metrics": serialize(self.weighted_metrics, "weighted_metrics"),
        }

    def compile_from_config(
        self, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> None:
        """Call `compile` with what `get_compile_config` returned.

        Parameters
        ----------
        config, custom_objects
            As for `from_config`.

        Raises
        ------
        ValueError, KeyError
            As by `from_config`. The model is as it was.
        """
        loss = config["loss"]
        self.compile(
            deserialize(config["optimizer"], "optimizer", optimizers, custom_objects),
            None if loss is None else deserialize(loss, "loss", losses, custom_objects),
            *(
                [
                    deserialize(data, f"{key}[{i}]", metrics, custom_objects)
                    for i, data in enumerate(config.get(key, ()))
                ]
                for key in ("metrics", "weighted_metrics")
            ),
        )

    # ---- on disk -----------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file, with all that its training needs to go on.

        Parameters
        ----------
        path : str or PathLike
            By custom ``….safetensors``. An existing file is replaced at once and only by a whole
            one. `fastnn.load_model` reads it.

        Raises
        ------
        TypeError
            If `path` is none, or as by `get_config`.
        ValueError
            If a layer of a user's own has a weight with ``/`` in its name.
        OSError
            If the file cannot be written; an older one is as it was.
        """
        from fastnn import io

        io.save_model(self, path)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights alone to a file; `load_weights` reads it.

        Parameters
        ----------
        path : str or PathLike
            As for `save`.

        Raises
        ------
        ValueError
            If the model is not built.
        TypeError, OSError
            If `path` is none, or the file cannot be written; an older one is as it was.
        """
        self._need_built("save_weights")
        from fastnn import io

        io.save_weights(self, path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Set all weights from a file that `save_weights` or `save` wrote.

        The layers with weights must be the same in number and shape; layers without any do not
        count. Weights in float64 are rounded where this model's are float32.

        Parameters
        ----------
        path : str or PathLike

        Raises
        ------
        ValueError
            If the model is not built, the file is not a whole one of fastnn's, or its weights are
            not those of the model. No weight is changed then.
        TypeError, OSError
            If `path` is none, or the file cannot be read.
        """
        self._need_built("load_weights")
        from fastnn import io

        io.load_weights(self, path)

    # ---- weights -----------------------------------------------------------------------------

    @property
    def weights(self) -> list[np.ndarray]:
        """All weights, layer by layer: kernel, bias, kernel, … Change them in place."""
        return [weight for layer in self.layers for weight in layer.weights.values()]

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """The weights that `fit` changes."""
        return [weight for layer in self.layers for weight in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[np.ndarray]:
        """The weights that `fit` leaves to their layers: frozen ones, moving averages."""
        return [weight for layer in self.layers for weight in layer.non_trainable_weights]

    # The other names that Keras has for them.
    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether any layer is; setting it sets it for all layers."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = check.flag(value, "trainable")
        for layer in self.layers:
            layer.trainable = value

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights, in the order of `weights`.

        Returns
        -------
        list of ndarray
        """
        return [np.array(weight) for weight in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all weights, in the order of the attribute `weights`.

        Parameters
        ----------
        weights : list of array_like
            As many, and of the same shapes.

        Raises
        ------
        ValueError
            Before the model is built, or if a count or shape differs; no weight is changed then.
        TypeError
            If it is no list of real arrays.
        """
        self._need_built("set_weights")
        check.assign(self.weights, weights, "weights")

    def penalty(self) -> float:
        """Return what the weights, and the outputs of the last call, cost by their regularizers.

        Returns
        -------
        float
            In the units of the loss.
        """
        return sum(layer.penalty() + layer.activity_penalty() for layer in self.layers)

    def count_params(self) -> int:
        """Return the number of weights.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            Before the model is built.
        """
        self._need_built("count_params")
        return sum(layer.count_params() for layer in self.layers)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print the layers, their output shapes and weights, and which road training takes.

        Parameters
        ----------
        print_fn : callable ``(str)``
            Called with each line.
        """
        rows = [("layer", "output", "weights")]
        features = self.layers[0].features if self.layers else None
        for layer in self.layers:
            if features is not None:
                features = layer.output_features(features)
            kind = f"{layer.name} ({type(layer).__name__})"
            count = f"{layer.count_params():,}" if layer.built else "not built"
            rows.append((kind, f"(n, {'?' if features is None else features})", count))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        lines.insert(1, "-" * len(lines[0]))
        if self.built:
            total, moving = self.count_params(), sum(w.size for w in self.trainable_weights)
            frozen = f", {total - moving:,} of them not trainable" if moving < total else ""
            lines += [lines[1], f"{total:,} weights{frozen}"]
            obstacles = self.obstacles()
            if obstacles:
                lines.append("runs part by part, because of: " + "; ".join(obstacles))
            else:
                lines.append("runs as one compiled plan")
        for line in [f"{self.name}", *lines]:
            print_fn(line)

    # ---- learning ----------------------------------------------------------------------------

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        batch_size: int | None = 32,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[Callback] | Callback | None = None,
        validation_split: float = 0.0,
        validation_data: Sequence[ArrayLike] | None = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> History:
        """Learn from examples.

        Parameters
        ----------
        x : array_like of shape (n, features)
            Or (n, a, b, …), where a `Flatten` comes before any layer that mixes features.
        y : array_like
            Targets, as the loss wants them.
        batch_size : int, optional
            Rows in a mini-batch, for None 32; the last one of an epoch may be shorter. Of no effect
            with an optimizer that takes all rows at once (`optimizers.LBFGS`).
        epochs : int
            The number of the last epoch, counted from 1; see `initial_epoch`.
        verbose : {"auto", 0, 1, 2}
            0 silent, 1 a progress bar, 2 a line for each epoch; "auto" is 1 on a terminal, else 0.
        callbacks : Callback or sequence of Callback, optional
        validation_split : float
            In [0, 1): this share of the rows, the last ones, is kept to validate.
        validation_data : (x, y) or (x, y, sample_weight), optional
            Evaluated after each epoch; goes before `validation_split`.
        shuffle : bool
            Whether to draw the rows in a new order for each epoch.
        class_weight : dict of int to float, optional
            Weight of each class's rows; 1 for a class that is not named. Rows kept back by
            `validation_split` are not weighted by it, as in Keras.
        sample_weight : array_like of shape (n,), optional
            Of each row's loss; finite. Not of `metrics`, but of `weighted_metrics` (`compile`).
        initial_epoch : int
            The epoch to begin with, counted from 0: ``epochs - initial_epoch`` are run.
        validation_batch_size : int, optional
            As `batch_size` in `evaluate`; by default that of training.
        validation_freq : int or sequence of int
            Validate after every so many epochs, or after these, counted from 1.

        Returns
        -------
        History
            ``history.history`` holds, for each epoch, the loss and metrics over its batches (as
            they were while the weights moved; with `optimizers.LBFGS`, as they are after it) and
            over the validation data (``val_…``).

        Raises
        ------
        TypeError, ValueError
            Before anything is changed; see `Sequential`. A callback may raise what it likes.

        Warns
        -----
        UserWarning
            If the units of a hidden layer start with the same weights, or a callback has hooks that
            nothing calls.
        """
        self._need_compiled("fit")
        batch_size = _batch_size(batch_size)
        validation_batch_size = _batch_size(
            batch_size if validation_batch_size is None else validation_batch_size,
            "validation_batch_size",
        )
        validated = _epochs_to_validate(validation_freq)
        epochs = check.positive_int(epochs, "epochs")
        initial_epoch = check.non_negative_int(initial_epoch, "initial_epoch")
        shuffle = check.flag(shuffle, "shuffle")
        validation_split = check.fraction(validation_split, "validation_split")
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"verbose: expected 'auto', 0, 1 or 2, got {verbose!r}")
        unweighted = self._examples(x, y, sample_weight)
        data = self._weighted(unweighted, class_weight)
        validation = None
        if validation_data is not None:
            validation = self._validation_data(validation_data, data.x.shape[1])
        elif validation_split:
            n = len(data.x)
            kept = int(n * (1 - validation_split))
            if not 0 < kept < n:
                raise ValueError(
                    f"validation_split: expected a share that leaves rows on both sides, got "
                    f"{validation_split} of {check.plural(n, 'row')}"
                )
            validation = unweighted.part(slice(kept, n))
            data = data.part(slice(kept))
        history = History()
        hooks = CallbackList(_as_list(callbacks), self, history)

        self.build(data.x.shape[1])
        _warn_of_equal_units(self.layers)
        rows = len(data.x)
        assert self.optimizer is not None
        if self.optimizer.full_batch:
            batch_size, shuffle = rows, False
        steps = -(-rows // batch_size)
        params = {"verbose": verbose, "epochs": epochs, "steps": steps}
        hooks.set_params(params | {"do_validation": validation is not None})
        self.stop_training = False
        before, self.history = self.history, history
        try:
            hooks.on_train_begin({})
        except BaseException:
            self.history = before  # a callback refused: nothing was trained
            raise
        try:
            logs = self._epochs(
                *(data, validation, batch_size, validation_batch_size, validated, shuffle),
                *(range(initial_epoch, epochs), verbose, hooks),
            )
        finally:
            self.running_epoch = None
        hooks.on_train_end(logs)
        return history

    def _epochs(
        self,
        data: Examples,
        validation: Examples | None,
        batch_size: int,
        validation_batch_size: int,
        validated: Callable[[int], bool],
        shuffle: bool,
        epochs: range,
        verbose: str | int,
        hooks: CallbackList,
    ) -> dict[str, Any]:
        """Train for these epochs, or until a callback says stop; returns the logs of the last."""
        rows = len(data.x)
        logs: dict[str, Any] = {}
        steps = -(-rows // batch_size)
        with Progress(verbose, steps, epochs.start, epochs.stop) as progress:
            for epoch in epochs:
                hooks.on_epoch_begin(epoch, {})
                order = _random.permutation(rows) if shuffle else None
                self.running_epoch = data, order, batch_size
                for step, logs in self._epoch(data, order, batch_size, hooks):  # noqa: B007
                    progress.update(epoch, step, logs)
                if validation is not None and validated(epoch + 1):
                    hooks.on_test_begin({})
                    found = self._test(validation, validation_batch_size)
                    hooks.on_test_end(found)
                    logs |= {f"val_{name}": value for name, value in found.items()}
                progress.end_epoch(epoch, logs)
                hooks.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        return logs

    def train_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = True,
    ) -> Any:
        """Take one step on one mini-batch.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As for `fit`.
        return_dict : bool
            As for `evaluate`.

        Returns
        -------
        dict, list or float
            Loss and metrics of the batch before the step; see `evaluate`.

        Raises
        ------
        TypeError, ValueError
            Before anything is changed; see `Sequential`.
        """
        self._need_compiled("train_on_batch")
        return_dict = check.flag(return_dict, "return_dict")
        data = self._weighted(self._examples(x, y, sample_weight), class_weight)
        self.build(data.x.shape[1])
        logs = next(self._epoch(data, None, len(data.x), _NO_HOOKS))[1]
        return _answer(logs, return_dict)

    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike,
        batch_size: int | None = 32,
        verbose: str | int = "auto",
        sample_weight: ArrayLike | None = None,
        callbacks: Sequence[Callback] | Callback | None = None,
        return_dict: bool = True,
    ) -> Any:
        """Return the loss and the metrics over examples.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`.
        batch_size : int, optional
            For None 32. Of no effect on what is a mean over rows; a loss with ``reduction="sum"``
            is summed over as many rows, and then averaged, and so is the root mean squared error.
        verbose
            Accepted for the sake of scripts.
        callbacks : Callback or sequence of Callback, optional
            Their `on_test_begin` and `on_test_end` are called.
        return_dict : bool
            False for a list in the same order, or the loss alone where there is no metric: what
            Keras returns by default.

        Returns
        -------
        dict, list or float
            ``{"loss": …, "accuracy": …}``

        Raises
        ------
        TypeError, ValueError
            Before anything is changed; see `Sequential`.
        """
        self._need_compiled("evaluate")
        batch_size = _batch_size(batch_size)
        return_dict = check.flag(return_dict, "return_dict")
        data = self._examples(x, y, sample_weight)
        hooks = CallbackList(_as_list(callbacks), self)
        self.build(data.x.shape[1])
        hooks.on_test_begin({})
        logs = self._test(data, batch_size)
        hooks.on_test_end(logs)
        return _answer(logs, return_dict)

    def test_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        return_dict: bool = True,
    ) -> Any:
        """Return the loss and the metrics of one mini-batch.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`.
        return_dict : bool
            As for `evaluate`.

        Returns
        -------
        dict, list or float
            See `evaluate`.

        Raises
        ------
        TypeError, ValueError
            Before anything is changed; see `Sequential`.
        """
        self._need_compiled("test_on_batch")
        return_dict = check.flag(return_dict, "return_dict")
        data = self._examples(x, y, sample_weight)
        self.build(data.x.shape[1])
        return _answer(self._test(data, len(data.x)), return_dict)

    # ---- predicting --------------------------------------------------------------------------

    def predict(
        self, x: ArrayLike, batch_size: int | None = None, verbose: str | int = "auto"
    ) -> np.ndarray:
        """Return the network's outputs.

        Parameters
        ----------
        x : array_like of shape (n, features)
            Or (n, a, b, …), as for `fit`. A model that is not built is built for it.
        batch_size : int, optional
            Rows computed together: a matter of memory; the result has the same bits for any.
        verbose
            Accepted for the sake of scripts.

        Returns
        -------
        ndarray of shape (n, outputs)
            In the type of the last layer that has one.

        Raises
        ------
        TypeError, ValueError
            See `Sequential`.
        """
        rows = INFERENCE_ROWS
        if batch_size is not None:
            rows = check.positive_int(batch_size, "batch_size")
        return self._predict(x, rows, None)

    def predict_on_batch(self, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """Return the network's outputs for one mini-batch.

        Parameters
        ----------
        x : array_like of shape (n, features)
            As for `predict`.
        out : ndarray of shape (n, outputs), optional
            Where to write them: writeable, in C order, of the outputs' type and apart from `x`.

        Returns
        -------
        ndarray of shape (n, outputs)
            `out`, if that is given.

        Raises
        ------
        TypeError, ValueError
            See `Sequential`; also if `out` is not such an array.
        """
        if self._swift is not None:
            done = self._swift.predict(x, out, _dispatch.threads)
            if done is not None:
                return done
        return self._predict(x, None, out)

    def __call__(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """Return the outputs, layer by layer (the eager road), so that each can go `backward`.

        Parameters
        ----------
        x : array_like of shape (n, features)
            As for `predict`.
        training : bool
            See `Layer.forward`.

        Returns
        -------
        ndarray of shape (n, outputs)

        Raises
        ------
        TypeError, ValueError
            See `Sequential`.
        """
        y = self._inputs(x)
        self.build(y.shape[1])
        for layer in self.layers:
            y = layer.forward(y, training)
        return y

    def backward(self, dy: ArrayLike) -> np.ndarray:
        """Carry a gradient of the outputs back through the last call; fills each ``gradients``.

        Parameters
        ----------
        dy : array_like of shape (n, outputs)
            Gradient of the loss with respect to the outputs.

        Returns
        -------
        ndarray of shape (n, features)
            The gradient of the inputs.

        Raises
        ------
        ValueError
            If there are no layers, or `dy` is of another shape.
        TypeError
            If `dy` is not of real numbers.
        RuntimeError
            If the model was not called before.
        """
        self._need_layers()
        gradient: Any = dy
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient

    # ---- which road --------------------------------------------------------------------------

    def obstacles(self) -> list[str]:
        """Return the parts that keep the model from the compiled plan; empty if none does.

        A model that is not compiled is judged by its layers alone.

        Returns
        -------
        list of str
        """
        network = Network(self.layers)
        obstacles = list(network.obstacles)
        if obstacles or self.loss is None:
            return obstacles
        if loss_kernel(self.loss, network.last) is None:
            obstacles.append(f"loss {self.loss.name}")
        if self.optimizer is not None and self.optimizer.kernel_name is None:
            obstacles.append(f"optimizer {self.optimizer.name}")
        if not self.trainable_weights:
            obstacles.append("no trainable weights")
        return obstacles

    def _take_plan(self, mode: str, rows: int, batch: int) -> CompiledPlan | None:
        """The plan to run `rows` rows in mini-batches of `batch`; None for the eager road.

        It is taken out of the store, so that no two threads run one plan; put it back.
        """
        # Every call looks at the model anew, for a user may change any part of it between two.
        network = self._network
        if not network.stands_for(self.layers):
            network = self._network = Network(self.layers)
        if network.obstacles:
            return None
        kernel, update, predictions = None, None, False
        slots: tuple[str, ...] = ()
        clip: str | None = None
        frozen: tuple[bool, ...] = ()
        if mode != "predict":
            assert self.loss is not None
            kernel = loss_kernel(self.loss, network.last)
            if kernel is None:
                return None
            predictions = not all(self._counted(m, kernel) for m in self.metrics)
        if mode == "train":
            assert self.optimizer is not None
            update, slots = self.optimizer.kernel_name, tuple(self.optimizer.kernel_slots)
            if self.optimizer.needs_gradients:
                clip = "each" if self.optimizer.global_clipnorm is None else "together"
            frozen = tuple(not layer.trainable for layer in network.weighted)
            moves = any(layer.moving for layer in network.weighted)
            if update is None or not moves:
                return None
        parameters = self._parameters
        if parameters is None or not parameters.serve(network.weighted):
            self._plans = {}
            network.stages()  # raises if weights do not fit
            parameters = self._parameters = Parameters(network.weighted)
        if update is not None:
            self._share_slots(parameters)
        # A single mini-batch runs in a plan for a power of two, so that few plans serve any size;
        # predictions of any number of rows in one and the same.
        capacity = batch if rows > batch else 1 << (rows - 1).bit_length()
        if mode == "predict":
            capacity = INFERENCE_ROWS
        what = mode, capacity, kernel, update, slots, clip, predictions
        key = network, what, frozen
        plan = self._plans.pop(key, None)
        if plan is None or plan.parameters is not parameters:
            plan = CompiledPlan(network, parameters, *what)
            plan.key = key
        return plan

    def _counted(self, metric: metrics.Metric, kernel: LossKernel | None) -> bool:
        """Whether the loss kernel's count of right rows, which has no weights, is this metric."""
        return counted_by_kernel(metric, kernel) and metric not in self.weighted_metrics

    def _put_plan(self, plan: CompiledPlan) -> None:
        """Keep a plan for the next time, and the latest few others."""
        self._plans[plan.key] = plan
        for key in list(self._plans)[:-PLANS_KEPT]:
            self._plans.pop(key, None)

    def _settle_slots(self) -> list[tuple[Layer, str]]:
        """Give the optimizer a slot for each weight that moves; returns (layer, name) of each.

        A weight that was frozen for a while finds its slot as it left it.
        """
        optimizer = self.optimizer
        assert optimizer is not None
        moving = [(layer, name) for layer in self.layers for name in layer.moving]
        weights = [layer.weights[name] for layer, name in moving]
        if optimizer is not self._moved_by or len(optimizer.slots) != len(self._moving):
            # Another optimizer, or one that starts anew or was built elsewhere.
            self._moved_by, self._moving, self._resting = optimizer, moving, {}
            if not optimizer.slots:
                optimizer.build(weights)
        elif moving != self._moving:
            self._resting |= dict(zip(self._moving, optimizer.slots, strict=True))
            optimizer.build(weights)
            for place, slots in zip(moving, optimizer.slots, strict=True):
                slots.update(self._resting.pop(place, {}))
            self._moving = moving
        optimizer.expect_built_for(weights)
        return moving

    def optimizer_slots(self) -> dict[tuple[Layer, str], dict[str, np.ndarray]]:
        """Return the optimizer's slots of each weight (layer, name), of frozen ones too.

        Returns
        -------
        dict of (Layer, str) to dict of str to ndarray
            The arrays themselves; empty before the first step.
        """
        if self.optimizer is None or not self.optimizer.slots:
            return {}
        moving = self._settle_slots()
        return self._resting | dict(zip(moving, self.optimizer.slots, strict=True))

    def restore_optimizer_slots(
        self, slots: Mapping[tuple[Layer, str], Mapping[str, np.ndarray]]
    ) -> None:
        """Take over what `optimizer_slots` returned; a weight without any starts anew.

        Parameters
        ----------
        slots : mapping of (Layer, str) to mapping of str to ndarray
            For layers of this model; arrays as the optimizer makes them, in the weight's shape.

        Raises
        ------
        ValueError
            Before `compile`.
        """
        if self.optimizer is None:
            raise ValueError(
                "restore_optimizer_slots: expected a model with an optimizer; call compile(...)"
            )
        self.optimizer.slots = []
        resting = {place: dict(found) for place, found in slots.items()}
        for place, mine in zip(self._settle_slots(), self.optimizer.slots, strict=True):
            mine.update(resting.pop(place, {}))
        self._resting = resting

    def _share_slots(self, parameters: Parameters) -> None:
        """Move the optimizer's slots into a buffer of the shape of the parameters'."""
        optimizer = self.optimizer
        assert optimizer is not None
        moving = self._settle_slots()
        for name, initial in optimizer.kernel_slots.items():
            views = parameters.slot(name, initial)
            for place, slots in zip(moving, optimizer.slots, strict=True):
                view = views[place]
                if slots.get(name) is not view:
                    view[...] = slots.get(name, initial)
                    slots[name] = view

    # ---- the work ----------------------------------------------------------------------------

    def _epoch(
        self, data: Examples, order: np.ndarray | None, batch: int, hooks: CallbackList
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Train on every mini-batch once; yields (batches done, logs) now and then."""
        n = len(data.x)
        totals = _Totals(self.metrics, self.weighted_metrics)
        start = step = 0
        while start < n:
            if hooks.wants_batches:
                hooks.on_train_batch_begin(step, {})
            plan = self._take_plan("train", n, batch)
            stop = min(start + batch, n)
            if plan is None:
                self._train_step(data.part(_rows(order, start, stop)), totals)
            else:
                if not hooks.wants_batches:
                    stop = min(start + plan.rows_per_call, n)
                try:
                    self._run_plan(plan, data, order, start, stop, totals)
                finally:
                    self._put_plan(plan)
            step += -(-(stop - start) // batch)
            start = stop
            logs = totals.logs(running=start < n)
            if hooks.wants_batches:
                hooks.on_train_batch_end(step - 1, logs)
            if self.stop_training and start < n:
                logs = totals.logs()
            yield step, logs
            if self.stop_training:
                return

    def _run_plan(
        self,
        plan: CompiledPlan,
        data: Examples,
        order: np.ndarray | None,
        start: int,
        stop: int,
        totals: _Totals,
    ) -> None:
        """Train or test on the positions start..stop and take the sums into the totals."""
        optimizer = self.optimizer
        assert optimizer is not None
        steps = -(-(stop - start) // plan.batch)
        hyper = predictions = None
        if plan.mode == "train":
            hyper = optimizer.hyper(np.arange(optimizer.iterations, optimizer.iterations + steps))
            hyper = check.as_real(hyper, "learning_rate", plan.dtype)
        if plan.predictions:
            # The plan writes by position in the run; what lies before `start` is never touched.
            predictions = np.empty((stop, plan.outputs), plan.dtype)
        totals.loss, hits = plan.run(data, order, start, stop, hyper, predictions, totals.loss)
        if plan.mode == "train":
            optimizer.iterations += steps
        totals.rows += stop - start
        rows = _rows(order, start, stop)
        for metric in totals.metrics:
            if self._counted(metric, plan.kernel):
                metric.add(hits, stop - start)
            elif predictions is not None:
                weight = None if data.weight is None else data.weight[rows]
                totals.tell(metric, data.y[rows], predictions[start:], weight)

    def _train_step(self, data: Examples, totals: _Totals) -> None:
        """One step on the eager road."""
        assert self.loss is not None and self.optimizer is not None
        if self.optimizer.full_batch:
            return self._descend(data, totals)
        value, penalty, pred = self._pass(data)
        moving = self._settle_slots()
        if moving:
            self.optimizer.update(
                [layer.weights[name] for layer, name in moving],
                [layer.gradients[name] for layer, name in moving],
            )
        totals.add(value + penalty, data.y, pred, data.weight)

    def _descend(self, data: Examples, totals: _Totals) -> None:
        """One epoch of an optimizer that evaluates the whole data set at every step.

        The loss and metrics are those after it.
        """
        optimizer: Any = self.optimizer
        moving = self._settle_slots()
        # Layers that draw at random draw the same in every evaluation.
        lasting = [
            (layer, name, getattr(layer, name)) for layer in self.layers for name in layer.lasting
        ]

        def evaluate() -> tuple[float, list[np.ndarray]]:
            for layer, name, before in lasting:
                setattr(layer, name, before)
            value, penalty, _ = self._pass(data)
            return float(np.sum(value)) + penalty, [layer.gradients[name] for layer, name in moving]

        if moving:
            optimizer.descend([layer.weights[name] for layer, name in moving], evaluate)
            self.stop_training |= optimizer.converged
        loss, _, outputs, pred = self._forward(data.x)
        value = loss(data.y, outputs, data.weight) + self.penalty()
        totals.add(value, data.y, pred, data.weight)

    def _pass(self, data: Examples) -> tuple[float | np.ndarray, float, np.ndarray]:
        """Forward and backward on the eager road; returns loss, penalty and predictions."""
        loss, network, outputs, pred = self._forward(data.x, training=True)
        value, gradient = loss.value_and_gradient(data.y, outputs, data.weight)
        penalty = self.penalty()
        for layer in reversed(network):
            gradient = layer.backward(gradient)
        return value, penalty, pred

    def _forward(
        self, x: np.ndarray, training: bool = False
    ) -> tuple[losses.Loss, list[Layer], np.ndarray, np.ndarray]:
        """The loss, the layers whose outputs it takes, these outputs, and the predictions.

        All is the network's, but where the plan takes the last activation into the loss: there it
        is done here too, for the numbers are far apart once a probability rounds to 0 or 1.
        """
        assert self.loss is not None
        self.build(x.shape[1])
        loss, network, function = before_probabilities(self.loss, self.layers)
        y = x
        for layer in network:
            y = layer.forward(y, training)
        return loss, network, y, y if function is None else function(y)

    def _test(self, data: Examples, batch: int) -> dict[str, Any]:
        n = len(data.x)
        totals = _Totals(self.metrics, self.weighted_metrics)
        assert self.loss is not None
        plan = self._take_plan("test", n, INFERENCE_ROWS if self.loss.is_mean_of_rows else batch)
        if plan is not None:
            try:
                for start, stop in plan.calls(n):
                    self._run_plan(plan, data, None, start, stop, totals)
            finally:
                self._put_plan(plan)
            totals.add_loss(n * sum(layer.penalty() for layer in self.layers), 0)
            return totals.logs()
        for start in range(0, n, batch):
            part = data.part(slice(start, start + batch))
            loss, _, outputs, pred = self._forward(part.x)
            value = loss(part.y, outputs, part.weight) + self.penalty()
            totals.add(value, part.y, pred, part.weight)
        return totals.logs()

    def _predict(self, x: ArrayLike, batch: int | None, out: np.ndarray | None) -> np.ndarray:
        x = self._inputs(x)
        n, features = x.shape
        shape, dtype = (n, self._outputs(features)), self._dtypes()[1]
        if out is None:
            out = np.empty(shape, dtype)
        else:
            check.as_output(out, "out", shape, dtype)
            check.expect_apart(out, "out", x, "x")
        if not self.built:
            self.build(features)
        batch = n if batch is None else batch
        plan = self._take_plan("predict", n, INFERENCE_ROWS)
        if plan is not None:
            try:
                for start, stop in plan.calls(n):
                    plan.run(Examples(x), None, start, stop, None, out)
            finally:
                if self._swift is None or not self._swift.stands():
                    plan.watch(self)
                    self._swift = plan.plan
                else:
                    self._put_plan(plan)
            return out
        for start in range(0, n, batch):
            out[start : start + batch] = self(x[start : start + batch])
        return out

    # ---- what comes in -----------------------------------------------------------------------

    def _need_layers(self) -> None:
        if not self.layers:
            raise ValueError(f"{self.name}: expected at least one layer, got none")

    def _need_built(self, method: str) -> None:
        if not self.built:
            raise ValueError(
                f"{method}: expected a built model; call build(features), fit or predict"
            )

    def _need_shapes(self, name: str) -> None:
        if not self.built:  # of this kind, so that hasattr says no
            raise AttributeError(
                f"{name}: expected a built model; call build(features), fit or predict"
            )

    def _need_compiled(self, method: str) -> None:
        if self.loss is None or self.optimizer is None:
            raise ValueError(
                f"{method}: expected a model with optimizer and loss; call compile(...)"
            )

    def _dtypes(self) -> tuple[str, str]:
        """The types of inputs and outputs."""
        found = [layer.dtype for layer in self.layers if layer.dtype is not None] or ["float32"]
        return found[0], found[-1]

    def _outputs(self, features: int) -> int:
        """The number of outputs for so many inputs; raises if a layer is built for others."""
        for layer in self.layers:
            _expect_features(layer, features)
            features = layer.output_features(features)
        return features

    def as_rows(self, x: Any, name: str = "x") -> np.ndarray:
        """Return `x` as a layer takes it: rows of several axes as one, if the model flattens them.

        Parameters
        ----------
        x : array_like of shape (n, features) or (n, a, b, …)
        name : str
            What an error calls it.

        Returns
        -------
        ndarray of shape (n, features)
            In its own type. If no `Flatten` comes before the first layer that mixes features, in
            its own shape too.

        Raises
        ------
        TypeError
            If `x` is not of real numbers of at most 64 bits.
        ValueError
            If there are no layers, `x` is empty, or its rows are not of the shape that the `Input`
            of the model says.
        """
        self._need_layers()
        x = check.as_numbers(x, name)
        if x.ndim > 2:
            sides = self._row_shape()
            if len(sides) > 1 and x.shape[1:] != sides:
                raise ValueError(
                    f"{name}: expected rows of shape {sides}, got {x.shape[1:]} (shape {x.shape})"
                )
            if any(layer.flattens for layer in self._until_mixed()):
                x = check.as_rows(x, name)
        return x

    def _inputs(self, x: Any, name: str = "x", features: int | None = None) -> np.ndarray:
        """x as a matrix of the model's type; rows of several axes as one, up to a Flatten."""
        x = self.as_rows(x, name)
        return check.as_matrix(x, name, self._dtypes()[0], self.layers[0].features or features)

    def _row_shape(self) -> tuple[int, ...]:
        """What the input layer says, if there is one."""
        return self.layers[0].shape if self.layers and isinstance(self.layers[0], Input) else ()

    def _until_mixed(self) -> Iterator[Layer]:
        """The layers up to the first one that makes an output of several inputs."""
        for layer in self.layers:
            yield layer
            if not layer.elementwise:
                return

    def _examples(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        prefix: str = "",
        features: int | None = None,
    ) -> Examples:
        """Inputs, targets and weights (or None), checked and converted; the model is as it was."""
        assert self.loss is not None
        x = self._inputs(x, f"{prefix}x", features)
        n, outputs = len(x), self._outputs(x.shape[1])
        y = self.loss.targets(y, (n, outputs), self._dtypes()[1], f"{prefix}y")
        for metric in self.metrics:
            expect_targets(metric, y, outputs)
        weight = None
        if sample_weight is not None:
            weight = check.as_sample_weight(sample_weight, f"{prefix}sample_weight", n, x.dtype)
        return Examples(x, y, weight)

    def _weighted(self, data: Examples, class_weight: Mapping[int, float] | None) -> Examples:
        """The examples, each weighted by its class too."""
        if class_weight is None:
            return data
        x, y, weight = data.x, data.y, data.weight
        by_class = _class_weights(class_weight, y, self._outputs(x.shape[1]))
        weight = by_class if weight is None else by_class * weight
        return Examples(x, y, check.as_real(weight, "class_weight", x.dtype))

    def _validation_data(self, data: Any, features: int) -> Examples:
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            got = f"{len(data)} of them" if isinstance(data, (tuple, list)) else type(data).__name__
            raise ValueError(
                f"validation_data: expected (x, y) or (x, y, sample_weight), got {got}"
            )
        x, y, weight = data if len(data) == 3 else (*data, None)
        return self._examples(x, y, weight, prefix="validation_data: ", features=features)


class _Totals:
    """The running loss and metrics of an epoch or an evaluation."""

    def __init__(
        self, metrics: Sequence[metrics.Metric], weighted: Sequence[metrics.Metric] = ()
    ) -> None:
        self.metrics: Sequence[Any] = metrics
        self.weighted = weighted
        self.loss = 0.0
        self.rows = 0
        for metric in metrics:
            metric.reset_state()

    def add_loss(self, total: float, rows: int) -> None:
        """Take in the sum of the losses of so many rows."""
        self.loss += total
        self.rows += rows

    def add(
        self, loss: float | np.ndarray, y: np.ndarray, pred: np.ndarray, weight: np.ndarray | None
    ) -> None:
        """Take in a mini-batch: its loss, weighted by its rows, and its predictions."""
        self.add_loss(float(np.mean(loss)) * len(pred), len(pred))
        for metric in self.metrics:
            self.tell(metric, y, pred, weight)

    def tell(
        self, metric: metrics.Metric, y: np.ndarray, pred: np.ndarray, weight: np.ndarray | None
    ) -> None:
        """Let a metric take in rows, with their weights if it is for those."""
        if weight is not None and metric in self.weighted:
            metric.update_state(y, pred, weight)
        else:
            metric.update_state(y, pred)

    def logs(self, running: bool = False) -> dict[str, Any]:
        """The loss and the metrics; while an epoch is `running`, only the quick ones."""
        found = {m.name: m.result() for m in self.metrics if m.running or not running}
        return {"loss": self.loss / self.rows} | found


_NO_HOOKS = CallbackList([])


def _as_list(callbacks: Any) -> Any:
    """No callback, or a single one, as a list; anything else as it is."""
    if callbacks is None or isinstance(callbacks, Callback):
        return [] if callbacks is None else [callbacks]
    return callbacks


def _batch_size(value: Any, name: str = "batch_size") -> int:
    """A number of rows, for None 32, as in Keras."""
    return 32 if value is None else check.positive_int(value, name)


def _epochs_to_validate(value: Any) -> Callable[[int], bool]:
    """Whether an epoch, counted from 1, is to be followed by a validation."""
    if isinstance(value, (list, tuple, set, frozenset, range)):
        chosen = {check.positive_int(epoch, "validation_freq") for epoch in value}
        return chosen.__contains__
    every = check.positive_int(value, "validation_freq")
    return lambda epoch: epoch % every == 0


def _distinct_names(found: Sequence[metrics.Metric]) -> list[str]:
    """A name for each metric, its own unless that is taken: the logs have one place for each."""
    names = ["loss"]
    for metric in found:
        name, count = metric.name, 0
        while name in names:
            count += 1
            name = f"{metric.name}_{count}"
        names.append(name)
    return names[1:]


def _answer(logs: dict[str, Any], return_dict: bool) -> Any:
    """Logs as they are, or their values; a single one by itself."""
    if return_dict:
        return logs
    values = list(logs.values())
    return values if len(values) > 1 else values[0]


def _rows(order: np.ndarray | None, start: int, stop: int) -> Any:
    """What takes the rows at the positions start..stop out of the data."""
    return slice(start, stop) if order is None else order[start:stop]


def _expect_features(layer: Layer, features: int) -> None:
    if layer.features is not None and layer.features != features:
        raise ValueError(
            f"{layer.name}: expected a layer for {check.plural(features, 'input')}, got one built "
            f"for {layer.features}"
        )


def _warn_of_equal_units(layers: Sequence[Layer]) -> None:
    """Warn of hidden units that start with the same weights: they compute the same, and gradients
    tell them apart by the weights above alone, or not at all. An output layer may start so."""
    dense = [layer for layer in layers if isinstance(layer, Dense)]
    for layer in dense[:-1]:
        kernel, bias = layer.weights["kernel"], layer.weights.get("bias")
        if layer.units < 2 or (bias is not None and (bias != bias[0]).any()):
            continue
        # The first row decides nearly always; the whole kernel is looked at only if it is equal.
        if not (kernel[0] != kernel[0, 0]).any() and not (kernel != kernel[:, :1]).any():
            warnings.warn(
                f"{layer.name}: expected units that start with different weights, got "
                f"{layer.units} with the same; a random kernel_initializer breaks the symmetry",
                stacklevel=3,
            )


def _class_weights(class_weight: Any, y: np.ndarray, outputs: int) -> np.ndarray:
    """The weight of each row by its class."""
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight: expected a dict, got {type(class_weight).__name__}")
    classes = max(2, outputs)
    table = np.ones(classes)
    for label, value in class_weight.items():
        if check.non_negative_int(label, "class_weight: class") >= classes:
            raise ValueError(f"class_weight: expected classes in [0, {classes}), got {label}")
        table[label] = check.non_negative_rate(value, f"class_weight[{label}]")
    if y.ndim == 2 and y.shape[1] > 1:
        return table[y.argmax(axis=1)]
    return table[check.as_labels(y, "y", len(y), classes)]
