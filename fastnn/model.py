"""Sequential: a stack of layers that is compiled, fitted, evaluated and asked for predictions.

Two roads give the same numbers. The plan (plan.py) runs many mini-batches in one call of compiled
code; the eager road calls layers, loss and optimizer one by one, and takes parts written in Python.
`Sequential.summary` says which road a model takes, and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import _random, layers, losses, metrics, optimizers
from fastnn import _validate as check
from fastnn.callbacks import Callback, CallbackList, History
from fastnn.plan import CompiledPlan, Parameters, counted_by_kernel, loss_kernel, stages
from fastnn.progress import Progress

__all__ = ["Sequential"]

# Rows in a mini-batch of `predict` and `evaluate`, where the size changes no result.
INFERENCE_ROWS = 256
# A call of compiled code returns after about this long, for Ctrl-C and the progress bar.
SECONDS_PER_CALL = 0.05
PLANS_KEPT = 4


class Sequential:
    """A stack of layers, each fed by the one before.

    Parameters
    ----------
    layers : sequence of Layer, optional
    name : str, optional

    Attributes
    ----------
    layers : list of Layer
    history : History or None
        Of the last `fit`.
    stop_training : bool
        Set it in a callback to end `fit` after the batch or epoch.

    Examples
    --------
    >>> import fastnn as fn
    >>> model = fn.Sequential([fn.layers.Dense(32, activation="relu"), fn.layers.Dense(10)])
    >>> model.compile(optimizer="sgd", loss=fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    """

    def __init__(self, layers: Sequence[layers.Layer] | None = None, name: str | None = None) -> None:
        self.name = "sequential" if name is None else str(name)
        self.layers: list[Any] = []
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self.metrics: list[metrics.Metric] = []
        self.history: History | None = None
        self.stop_training = False
        self._parameters: Parameters | None = None
        self._slots: dict[str, np.ndarray] = {}
        self._plans: dict[Any, CompiledPlan] = {}
        for layer in layers or ():
            self.add(layer)

    # ---- building ----------------------------------------------------------------------------

    def add(self, layer: layers.Layer) -> None:
        """Put a layer on top.

        Raises
        ------
        TypeError
            If it is not a Layer.
        ValueError
            If it is in the model already, or is built for another number of inputs.
        """
        if not isinstance(layer, layers_module.Layer):
            raise TypeError(f"layer: expected a Layer, got {layer!r}")
        if any(layer is other for other in self.layers):
            raise ValueError(f"layer: expected a layer not yet in the model, got {layer.name} again")
        features = self._output_features() if self.built else None
        if layer.built and features is not None and layer.features != features:
            raise ValueError(
                f"layer: expected one of {check.plural(features, 'input')}, got {layer.name}, built "
                f"for {layer.features}"
            )
        if features is not None:
            layer.build(features)
        self.layers.append(layer)
        self._forget_plans()

    @property
    def built(self) -> bool:
        """Whether the number of inputs is known and all weights exist."""
        return bool(self.layers) and all(layer.built for layer in self.layers)

    def build(self, features: int) -> None:
        """Create all weights, for this number of inputs; the first `fit` or `predict` does it too."""
        if not self.layers:
            raise ValueError(f"{self.name}: expected at least one layer, got none")
        features = check.positive_int(features, "features")
        for layer in self.layers:
            layer.build(features)
            features = layer.output_features(features)

    def compile(
        self,
        optimizer: Any = "sgd",
        loss: Any = None,
        metrics: Sequence[Any] | None = None,
    ) -> None:
        """Say how the model learns. Starts the optimizer's state anew.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str or Loss
        metrics : sequence of str, Metric or function, optional
        """
        found_loss = None if loss is None else losses.get(loss)
        if isinstance(metrics, str):
            raise TypeError(f"metrics: expected a list, got {metrics!r}")
        found_metrics = [metrics_module.get(metric, found_loss) for metric in metrics or ()]
        self.optimizer = optimizers.get(optimizer)
        self.loss, self.metrics = found_loss, found_metrics
        self._slots = {}
        self._forget_plans()

    # ---- weights -----------------------------------------------------------------------------

    @property
    def weights(self) -> list[np.ndarray]:
        """All weights, layer by layer: kernel, bias, kernel, … Change them in place."""
        return [weight for layer in self.layers for weight in layer.weights.values()]

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """The weights that `fit` changes."""
        return [
            weight for layer in self.layers if layer.trainable for weight in layer.weights.values()
        ]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, in the order of `weights`."""
        return [np.array(weight) for weight in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all weights, in the order of `weights`.

        Raises
        ------
        ValueError
            If a count or shape differs; no weight is changed then.
        """
        self._need_built("set_weights")
        mine = self.weights
        if len(weights) != len(mine):
            raise ValueError(f"weights: expected {check.plural(len(mine), 'array')}, got {len(weights)}")
        found = []
        for i, (new, old) in enumerate(zip(weights, mine, strict=True)):
            array = check.as_real(new, f"weights[{i}]", old.dtype)
            check.expect_shape(array, f"weights[{i}]", old.shape)
            found.append(array)
        for new, old in zip(found, mine, strict=True):
            old[...] = new

    def count_params(self) -> int:
        """The number of weights."""
        self._need_built("count_params")
        return sum(layer.count_params() for layer in self.layers)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print the layers, their output shapes and weights, and which road training takes."""
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
            lines += [lines[1], f"{self.count_params():,} weights"]
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
        batch_size: int = 32,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[Callback] | Callback | None = None,
        validation_split: float = 0.0,
        validation_data: Sequence[ArrayLike] | None = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
    ) -> History:
        """Learn from examples.

        Parameters
        ----------
        x : array_like of shape (n, features)
        y : array_like
            Targets, as the loss wants them.
        batch_size : int
            Rows in a mini-batch; the last one of an epoch may be shorter.
        epochs : int
            The number of the last epoch, counted from 1; see `initial_epoch`.
        verbose : {"auto", 0, 1, 2}
            0 silent, 1 a progress bar, 2 a line for each epoch; "auto" is 1 on a terminal, else 0.
        callbacks : Callback or sequence of Callback, optional
        validation_split : float
            In [0, 1): this share of the rows, the last ones, is kept to validate.
        validation_data : (x, y) or (x, y, sample_weight), optional
            Evaluated after each epoch.
        shuffle : bool
            Whether to draw the rows in a new order for each epoch.
        class_weight : dict of int to float, optional
            Weight of each class's rows; 1 for a class that is not named.
        sample_weight : array_like of shape (n,), optional
        initial_epoch : int

        Returns
        -------
        History
            ``history.history`` holds, for each epoch, the loss and metrics over its batches (as they
            were while the weights moved) and over the validation data (``val_…``).

        Raises
        ------
        TypeError, ValueError
            Before anything is changed.
        """
        self._need_compiled("fit")
        batch_size = check.positive_int(batch_size, "batch_size")
        epochs = check.positive_int(epochs, "epochs")
        initial_epoch = check.non_negative_int(initial_epoch, "initial_epoch")
        shuffle = check.flag(shuffle, "shuffle")
        validation_split = check.fraction(validation_split, "validation_split")
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"verbose: expected 'auto', 0, 1 or 2, got {verbose!r}")
        history = History()
        mine = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        hooks = CallbackList([*mine, history], self)
        x, y, weight = self._examples(x, y, sample_weight, class_weight)
        validation = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
                raise ValueError("validation_data: expected (x, y) or (x, y, sample_weight), got "
                                 f"{type(validation_data).__name__}")  # fmt: skip
            validation = self._examples(*validation_data, name="validation_data: ")
        elif validation_split:
            kept = int(len(x) * (1 - validation_split))
            if not 0 < kept < len(x):
                raise ValueError(
                    f"validation_split: expected a share that leaves rows on both sides, got "
                    f"{validation_split} of {check.plural(len(x), 'row')}"
                )
            validation = x[kept:], y[kept:], None if weight is None else weight[kept:]
            x, y = x[:kept], y[:kept]
            weight = None if weight is None else weight[:kept]

        self.stop_training = False
        self.history = history
        hooks.on_train_begin()
        steps = -(-len(x) // batch_size)
        with Progress(verbose, steps, initial_epoch, epochs) as progress:
            for epoch in range(initial_epoch, epochs):
                hooks.on_epoch_begin(epoch)
                order = _random.generator().permutation(len(x)) if shuffle else None
                logs: dict[str, float] = {}
                for step, logs in self._epoch(x, y, weight, order, batch_size, hooks):  # noqa: B007
                    progress.update(epoch, step, logs)
                if validation is not None:
                    found = self._test(*validation)
                    logs |= {f"val_{name}": value for name, value in found.items()}
                progress.end_epoch(epoch, logs)
                hooks.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        hooks.on_train_end()
        return history

    def train_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        class_weight: dict[int, float] | None = None,
    ) -> dict[str, float]:
        """Take one step on one mini-batch.

        Returns
        -------
        dict
            Loss and metrics of the batch before the step.
        """
        self._need_compiled("train_on_batch")
        x, y, weight = self._examples(x, y, sample_weight, class_weight)
        logs: dict[str, float] = {}
        for _, logs in self._epoch(x, y, weight, None, len(x), CallbackList([])):  # noqa: B007
            pass
        return logs

    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, float]:
        """The loss and the metrics over examples.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`.
        batch_size, verbose
            Accepted for the sake of scripts; neither changes anything.

        Returns
        -------
        dict
            ``{"loss": …, "accuracy": …}``
        """
        self._need_compiled("evaluate")
        if batch_size is not None:
            check.positive_int(batch_size, "batch_size")
        return self._test(*self._examples(x, y, sample_weight))

    def test_on_batch(
        self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> dict[str, float]:
        """The loss and the metrics of one mini-batch."""
        return self.evaluate(x, y, sample_weight=sample_weight)

    # ---- predicting --------------------------------------------------------------------------

    def predict(
        self, x: ArrayLike, batch_size: int | None = None, verbose: str | int = "auto"
    ) -> np.ndarray:
        """The network's outputs.

        Parameters
        ----------
        x : array_like of shape (n, features)
        batch_size : int, optional
            Rows computed together: a matter of memory; the result has the same bits for any.
        verbose
            Accepted for the sake of scripts.

        Returns
        -------
        ndarray of shape (n, outputs)
        """
        rows = INFERENCE_ROWS if batch_size is None else check.positive_int(batch_size, "batch_size")
        return self._predict(self._inputs(x), rows, None)

    def predict_on_batch(self, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """The network's outputs for one mini-batch.

        Parameters
        ----------
        x : array_like of shape (n, features)
        out : ndarray of shape (n, outputs), optional
            Where to write them, in C order.
        """
        x = self._inputs(x)
        if out is not None:
            check.as_output(out, "out", (len(x), self._output_features()), self._dtype())
            check.expect_apart(out, "out", x, "x")
        return self._predict(x, len(x), out)

    def __call__(self, x: ArrayLike, training: bool = False) -> np.ndarray:
        """The outputs, layer by layer (the eager road), so that each layer can go `backward`."""
        y: Any = self._inputs(x)
        for layer in self.layers:
            y = layer.forward(y, training)
        return y  # type: ignore[no-any-return]

    def backward(self, dy: ArrayLike) -> np.ndarray:
        """Carry a gradient of the outputs back through the last call; fills each ``gradients``.

        Returns
        -------
        ndarray of shape (n, features)
            The gradient of the inputs.
        """
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy  # type: ignore[return-value]

    # ---- which road --------------------------------------------------------------------------

    def obstacles(self) -> list[str]:
        """The parts that keep the model from the compiled plan; empty if none does.

        A model that is not compiled is judged by its layers alone.
        """
        found, obstacles = stages(self.layers)
        if obstacles or self.loss is None:
            return obstacles
        if loss_kernel(self.loss, found[-1])[0] is None:
            obstacles.append(f"loss {self.loss.name}")
        if self.optimizer is not None and self.optimizer.kernel_name is None:
            obstacles.append(f"optimizer {self.optimizer.name}")
        if not self.trainable_weights:
            obstacles.append("no trainable weights")
        return obstacles

    def _plan(self, rows: int, train: bool, test: bool) -> CompiledPlan | None:
        """The plan for mini-batches of that many rows; None where the eager road must be taken."""
        if stages(self.layers)[1] or ((train or test) and self.obstacles()):
            return None
        if self._parameters is None or not self._parameters.bound():
            self._forget_plans()
            self._parameters = Parameters([layer for layer in self.layers if layer.kernel_name == "dense"])
        if train:
            self._share_slots()
        trainable = tuple(layer.trainable for layer in self.layers)
        key = rows, train, test, trainable
        plan = self._plans.pop(key, None)
        if plan is None:
            plan = CompiledPlan(
                self.layers, self._parameters, rows,
                self.loss if train or test else None,
                self.optimizer if train else None,
                self._slots,
                bool(self._metrics_in_python()) if train or test else False,
            )  # fmt: skip
        self._plans[key] = plan  # the latest stands last
        while len(self._plans) > PLANS_KEPT:
            del self._plans[next(iter(self._plans))]
        return plan

    def _share_slots(self) -> None:
        """Keep the optimizer's slots in buffers of the shape of the parameters'."""
        optimizer, parameters = self.optimizer, self._parameters
        assert optimizer is not None and parameters is not None
        name = optimizer.slot_name
        if not optimizer.slots:
            optimizer.build(self.trainable_weights)
        if name is None:
            return
        places = [
            (layer, weight)
            for layer in self.layers
            if layer.trainable
            for weight in layer.weights
        ]  # fmt: skip
        buffer = self._slots.get(name)
        if buffer is None:
            buffer = self._slots[name] = parameters.memory.flat(parameters.size)
            # Padding keeps the value it would have: 0 / sqrt(0) must not make a NaN there.
            buffer[:] = optimizer.slot_initial
            self._plans = {}
        for state, (layer, weight) in zip(optimizer.slots, places, strict=True):
            view = parameters.view(buffer, layer, weight)
            if state[name].base is not view.base or state[name].strides != view.strides:
                view[...] = state[name]
                state[name] = view

    def _forget_plans(self) -> None:
        self._plans = {}
        self._slots = {}
        self._parameters = None

    def _metrics_in_python(self) -> list[metrics.Metric]:
        """The metrics that the loss kernel does not count by itself."""
        assert self.loss is not None
        kernel, fused = loss_kernel(self.loss, stages(self.layers)[0][-1])
        return [
            metric for metric in self.metrics if not counted_by_kernel(metric, str(kernel), not fused)
        ]

    # ---- the work ----------------------------------------------------------------------------

    def _epoch(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray | None,
        order: np.ndarray | None,
        batch: int,
        hooks: CallbackList,
    ) -> Iterator[tuple[int, dict[str, float]]]:
        """Train on every mini-batch once; yields (batches done, logs) now and then."""
        batch = min(batch, len(x))
        totals = _Totals(self.metrics)
        plan = self._plan(batch, train=True, test=True)
        step = 0
        rows_per_call = batch
        start = 0
        while start < len(x):
            if hooks.wants_batches:
                hooks.on_train_batch_begin(step)
            stop = min(start + rows_per_call, len(x))
            begun = time.perf_counter()
            if plan is not None:
                self._run_plan(plan, plan.core.TRAIN, x, y, weight, order, start, stop, totals)
            else:
                rows = slice(start, stop) if order is None else order[start:stop]
                self._train_step(x[rows], y[rows], None if weight is None else weight[rows], totals)
            elapsed = time.perf_counter() - begun
            step += -(-(stop - start) // batch)
            logs = totals.logs()
            if hooks.wants_batches:
                hooks.on_train_batch_end(step - 1, logs)
            elif plan is not None:
                calls = SECONDS_PER_CALL / max(elapsed, 1e-6) * (stop - start)
                rows_per_call = max(1, int(calls / batch)) * batch
            start = stop
            yield step, logs
            if self.stop_training:
                return

    def _run_plan(
        self,
        plan: CompiledPlan,
        mode: int,
        x: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray | None,
        order: np.ndarray | None,
        start: int,
        stop: int,
        totals: _Totals,
    ) -> None:
        """Run the plan over positions start..stop and take its sums into the totals."""
        optimizer = self.optimizer
        hyper = None
        if mode == plan.core.TRAIN:
            assert optimizer is not None
            steps = -(-(stop - start) // plan.batch)
            first = optimizer.iterations
            hyper = optimizer.hyper(np.arange(first, first + steps))
            hyper = check.as_real(hyper, "learning_rate", plan.parameters.memory.dtype)
        in_python = self._metrics_in_python()
        rows = np.arange(start, stop) if order is None else order[start:stop]
        predictions = None
        if in_python:
            # The plan writes by position in the run; what lies before `start` is never touched.
            predictions = np.empty((stop, self._output_features()), x.dtype)
        loss, hits = plan.run(
            mode, x, start, stop, y=y, weights=weight, order=order, hyper=hyper, predictions=predictions
        )
        if mode == plan.core.TRAIN and optimizer is not None:
            optimizer.iterations += steps
        totals.add_loss(loss, stop - start)
        for metric in self.metrics:
            if metric not in in_python:
                totals.add_hits(metric, hits, stop - start)
            elif predictions is not None:
                metric.update_state(y[rows], predictions[start:])

    def _train_step(
        self, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None, totals: _Totals
    ) -> None:
        """One step on the eager road."""
        assert self.loss is not None and self.optimizer is not None
        pred = self(x, training=True)
        value, gradient = self.loss.value_and_gradient(y, pred, weight)
        self.backward(gradient)
        moving = [layer for layer in self.layers if layer.trainable]
        self.optimizer.update(
            [w for layer in moving for w in layer.weights.values()],
            [layer.gradients[name] for layer in moving for name in layer.weights],
        )
        totals.add_loss(float(np.mean(value)) * len(x), len(x))
        for metric in self.metrics:
            metric.update_state(y, pred)

    def _test(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> dict[str, float]:
        totals = _Totals(self.metrics)
        rows = min(INFERENCE_ROWS, len(x))
        plan = self._plan(rows, train=False, test=True)
        if plan is not None:
            self._run_plan(plan, plan.core.TEST, x, y, weight, None, 0, len(x), totals)
            return totals.logs()
        assert self.loss is not None
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            pred = self(x[part])
            value = self.loss(y[part], pred, None if weight is None else weight[part])
            totals.add_loss(float(np.mean(value)) * len(pred), len(pred))
            for metric in self.metrics:
                metric.update_state(y[part], pred)
        return totals.logs()

    def _predict(self, x: np.ndarray, rows: int, out: np.ndarray | None) -> np.ndarray:
        rows = min(rows, len(x))
        if out is None:
            out = np.empty((len(x), self._output_features()), self._dtype())
        plan = self._plan(rows, train=False, test=False)
        if plan is not None:
            plan.run(plan.core.PREDICT, x, 0, len(x), predictions=out)
        else:
            for start in range(0, len(x), rows):
                out[start : start + rows] = self(x[start : start + rows])
        return out

    # ---- what comes in -----------------------------------------------------------------------

    def _need_built(self, method: str) -> None:
        if not self.built:
            raise ValueError(f"{method}: expected a built model; call build(features), fit or predict")

    def _need_compiled(self, method: str) -> None:
        if self.loss is None or self.optimizer is None:
            raise ValueError(f"{method}: expected a model with optimizer and loss; call compile(...)")

    def _dtype(self) -> Any:
        return np.dtype(self.layers[-1].dtype)

    def _output_features(self) -> int:
        features = self.layers[0].features
        for layer in self.layers:
            features = layer.output_features(features)
        return int(features)

    def _inputs(self, x: Any, name: str = "x") -> np.ndarray:
        """x as a matrix of the model's type; builds the model if it is not built."""
        if not self.layers:
            raise ValueError(f"{self.name}: expected at least one layer, got none")
        first = self.layers[0]
        x = check.as_matrix(x, name, first.dtype, first.features)
        if not self.built:
            self.build(x.shape[1])
        return x

    def _examples(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        name: str = "",
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Inputs, targets and weights (or None), checked and converted."""
        x = self._inputs(x, f"{name}x")
        assert self.loss is not None
        y = self.loss.targets(y, (len(x), self._output_features()), self._dtype())
        weight = None
        if sample_weight is not None:
            weight = check.as_sample_weight(sample_weight, f"{name}sample_weight", len(x), x.dtype)
        if class_weight is not None:
            weight = self._class_weights(class_weight, y) * (1 if weight is None else weight)
            weight = np.ascontiguousarray(weight, x.dtype)
        return x, y, weight

    def _class_weights(self, class_weight: dict[int, float], y: np.ndarray) -> np.ndarray:
        """The weight of each row by its class."""
        classes = max(2, self._output_features())
        table = np.ones(classes)
        for label, value in dict(class_weight).items():
            if not 0 <= check.non_negative_int(label, "class_weight: class") < classes:
                raise ValueError(f"class_weight: expected classes in [0, {classes}), got {label}")
            table[label] = check.non_negative_rate(value, f"class_weight[{label}]")
        if y.ndim == 2 and y.shape[1] > 1:
            return table[y.argmax(axis=1)]
        return table[y.reshape(len(y)).astype(np.int64)]


class _Totals:
    """The running loss and metrics of an epoch or an evaluation."""

    def __init__(self, metrics: Sequence[metrics.Metric]) -> None:
        self.metrics = metrics
        self.loss = 0.0
        self.rows = 0
        self.hits: dict[int, float] = {}
        for metric in metrics:
            metric.reset_state()

    def add_loss(self, loss: float, rows: int) -> None:
        self.loss += loss
        self.rows += rows

    def add_hits(self, metric: metrics.Metric, hits: float, rows: int) -> None:
        self.hits[id(metric)] = self.hits.get(id(metric), 0.0) + hits

    def logs(self) -> dict[str, float]:
        found = {"loss": self.loss / self.rows}
        for metric in self.metrics:
            hits = self.hits.get(id(metric))
            found[metric.name] = metric.result() if hits is None else hits / self.rows
        return found


# `layers` and `metrics` are also names of arguments above, as in Keras.
layers_module, metrics_module = layers, metrics
