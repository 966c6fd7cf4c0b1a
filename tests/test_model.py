"""Sequential: what it learns, reports and refuses, on both roads.

That both roads give the same weights, whatever the network, is in test_plan.py.
"""

import copy
import functools
import os
import pickle
import re
import signal
import threading
import time

import numpy as np
import pytest

import fastnn as fn
from fastnn import losses, metrics, optimizers
from fastnn.callbacks import Callback, CSVLogger, EarlyStopping, LambdaCallback
from fastnn.layers import Activation, BatchNormalization, Dense, Flatten, Input, Layer, ReLU


class OwnSGD(optimizers.SGD):
    """Plain NumPy: what keeps a model from the plan."""

    def update_array(self, w, g, slots, iteration):
        w -= np.float32(self.learning_rate) * g


class Scale(Layer):
    def build(self, features):
        self.add_weight("scale", (features,), "ones")

    def forward(self, x, training=False):
        self.x = x
        return x * self.weights["scale"]

    def backward(self, dy):
        self.gradients["scale"] = (dy * self.x).sum(axis=0)
        return dy * self.weights["scale"]


class Absolute(losses.Loss):
    def call(self, y_true, y_pred):
        return np.abs(y_pred - y_true).mean(axis=1)

    def call_gradient(self, y_true, y_pred):
        return np.sign(y_pred - y_true) / y_pred.shape[1]


class Leaky:
    """y = max(x, x / 8)"""

    def __call__(self, x):
        return np.maximum(x, x / 8)

    def gradient(self, y, dy):
        return np.where(y > 0, dy, dy / 8)

    def __repr__(self):
        return "Leaky()"


ROADS = {"plan": optimizers.SGD, "eager": OwnSGD}
both_roads = pytest.mark.parametrize("road", ROADS)
SPARSE = losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def x(rng):
    return rng.normal(size=(50, 4)).astype(np.float32)


@pytest.fixture
def y(x):
    return (x[:, :2] > 0).sum(axis=1)  # 0, 1 or 2


def make(road="plan", loss=SPARSE, metrics=("accuracy",), layers=None, rate=0.1, seed=1):
    fn.set_random_seed(seed)
    model = fn.Sequential(layers or [Dense(8, "tanh"), Dense(3)])
    model.compile(ROADS[road](rate), loss, list(metrics))
    return model


def state(model):
    """Everything that an error must leave as it was."""
    return (
        [w.tobytes() for w in model.get_weights()],
        [layer.built for layer in model.layers],
        model.optimizer and model.optimizer.iterations,
        [s.tobytes() for slots in model.optimizer.slots for s in slots.values()],
        model.history,
        model.stop_training,
        fn._random.generator().bit_generator.state["state"]["counter"].tolist(),
    )


def raises(call, kind, message):
    """The error's text is one string, which starts so."""
    with pytest.raises(kind) as error:
        call()
    assert len(error.value.args) == 1
    assert str(error.value).startswith(message), str(error.value)


# ---- learning --------------------------------------------------------------------------------


@both_roads
def test_learns(road, x, y):
    model = make(road, rate=0.5)
    history = model.fit(x, y, epochs=60, batch_size=10)
    assert history.history["accuracy"][-1] > 0.9 > history.history["accuracy"][0]
    assert model.evaluate(x, y)["accuracy"] > 0.9
    assert (model.predict(x).argmax(axis=1) == y).mean() > 0.9
    assert model.history is history and history.model is model


@both_roads
def test_loss_is_the_mean_over_rows_of_weighted_losses(road, x, y):
    # With a rate of almost 0 the weights do not move, and the epoch's loss is that of all rows.
    model = make(road, rate=1e-30)
    weight = np.linspace(0, 3, 50)
    pred = model.predict(x)
    rows = fn.losses.SparseCategoricalCrossentropy(True, reduction="none")(y, pred)
    for sample_weight, expected in ((None, rows.mean()), (weight, (rows * weight).mean())):
        options = {"batch_size": 15, "sample_weight": sample_weight}
        logs = model.fit(x, y, **options).history
        assert logs["loss"] == [pytest.approx(expected, rel=1e-6)]
        # Metrics are not weighted, as in Keras.
        assert logs["accuracy"] == [pytest.approx((pred.argmax(axis=1) == y).mean())]
        assert model.evaluate(x, y, **options)["loss"] == pytest.approx(expected, rel=1e-6)
        assert model.test_on_batch(x, y, sample_weight)["loss"] == pytest.approx(expected, rel=1e-6)
        assert model.train_on_batch(x, y, sample_weight)["loss"] == pytest.approx(expected)


@pytest.mark.parametrize("reduction", ["sum", "none", "mean", "mean_with_sample_weight"])
@both_roads
def test_other_reductions(road, reduction, x, y):
    model = make(road, fn.losses.SparseCategoricalCrossentropy(True, reduction), rate=1e-30)
    rows = fn.losses.SparseCategoricalCrossentropy(True, "none")(y, model.predict(x))
    # The mean over mini-batches, weighted by their rows, of what the loss gives for each.
    batches = [rows[:20], rows[20:40], rows[40:]]
    means = [b.sum() if reduction == "sum" else b.mean() for b in batches]
    expected = np.average(means, weights=[20, 20, 10])
    assert model.fit(x, y, batch_size=20, shuffle=False).history["loss"][0] == pytest.approx(
        expected
    )
    assert model.evaluate(x, y, batch_size=20)["loss"] == pytest.approx(expected)
    obstacles = ["loss sparse_categorical_crossentropy"] * (reduction not in ("sum", "mean"))
    assert model.obstacles() == obstacles + ["optimizer own_sgd"] * (road == "eager")


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
@both_roads
def test_root_mean_squared_error_of_batches(road, reduction, x, y):
    loss = losses.RootMeanSquaredError(reduction)
    model = make(road, loss, layers=[Dense(2)], metrics=["mae"], rate=1e-30)
    target, weight = np.stack([y, 1 - y], axis=1), np.linspace(0, 2, len(y))
    squares = ((model.predict(x) - target) ** 2).mean(axis=1) * weight
    batches = squares[:20], squares[20:40], squares[40:]
    roots = [np.sqrt(b.sum() if reduction == "sum" else b.mean()) for b in batches]
    expected = pytest.approx(np.average(roots, weights=[20, 20, 10]), rel=1e-6)
    options = {"batch_size": 20, "sample_weight": weight}
    assert model.fit(x, target, shuffle=False, **options).history["loss"] == [expected]
    assert model.evaluate(x, target, **options)["loss"] == expected
    assert bool(model.obstacles()) == (road == "eager")


def test_a_loss_in_between_its_numbers(x, y):
    # A plan is made anew for the loss's new number.
    model = make(loss=losses.Huber(0.1), layers=[Dense(1)], metrics=[])
    first = model.evaluate(x, y)["loss"]
    model.loss.delta = 0.3
    assert model.evaluate(x, y)["loss"] == pytest.approx(losses.Huber(0.3)(y, model(x)))
    assert model.evaluate(x, y)["loss"] > first


@both_roads
def test_class_weight(road, x, y):
    weights = {0: 0.0, 2: 3.0}
    by_row = np.array([0.0, 1.0, 3.0])[y]
    found = []
    for options in (
        {"class_weight": weights},
        {"sample_weight": by_row},
        {"class_weight": weights, "sample_weight": np.ones((50, 1))},
    ):
        model = make(road)
        model.fit(x, y, **options)
        found.append([w.tobytes() for w in model.weights])
    assert found[0] == found[1] == found[2]
    one_hot = make(road, losses.CategoricalCrossentropy(from_logits=True))
    one_hot.fit(x, np.eye(3)[y], class_weight=weights)
    for a, b in zip(one_hot.weights, model.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@both_roads
def test_validation(road, x, y):
    split = make(road).fit(x, y, validation_split=0.3, epochs=2, batch_size=8).history
    model = make(road)
    options = {"epochs": 2, "batch_size": 8}
    data = model.fit(x[:35], y[:35], validation_data=(x[35:], y[35:]), **options).history
    assert split == data
    assert list(data) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(values) == 2 for values in data.values())
    found = model.evaluate(x[35:], y[35:])
    assert data["val_loss"][-1] == pytest.approx(found["loss"], rel=1e-12)
    assert data["val_accuracy"][-1] == found["accuracy"]
    weighted = make(road).fit(
        x[:35], y[:35], validation_data=[x[35:], y[35:], np.full(15, 2.0)], **options
    )
    assert weighted.history["val_loss"] == pytest.approx([2 * v for v in data["val_loss"]])
    # Both given: the data go first, and no row is kept back.
    both = make(road).fit(x[:35], y[:35], validation_data=(x[35:], y[35:]), validation_split=0.5,
                          **options)  # fmt: skip
    assert both.history == data
    # Weights of classes are the training rows' alone; those of rows go with the rows.
    options |= {"class_weight": {0: 5.0, 2: 0.5}}
    rows = np.linspace(0.5, 2, 50)
    split = make(road).fit(x, y, validation_split=0.3, sample_weight=rows, **options)
    data = make(road).fit(x[:35], y[:35], validation_data=(x[35:], y[35:], rows[35:]),
                          sample_weight=rows[:35], **options)  # fmt: skip
    assert split.history == data.history


@both_roads
def test_shuffle(road, x, y):
    def weights(seed, **options):
        model = make(road)
        model.build(4)
        fn.set_random_seed(seed)
        model.fit(x, y, epochs=2, **options)
        return [w.tobytes() for w in model.weights]

    assert weights(1) == weights(1) != weights(2)
    assert weights(1, shuffle=False) == weights(2, shuffle=False) != weights(1)


def test_epochs_are_counted_on(x, y):
    model = make()
    assert model.fit(x, y, epochs=5, initial_epoch=3).epoch == [3, 4]
    assert model.optimizer.iterations == 4
    assert model.fit(x, y, epochs=2, initial_epoch=2).epoch == []
    assert model.history.history == {}


@both_roads
def test_train_on_batch(road, x, y):
    steps = make(road)
    steps.build(4)
    epoch = make(road)
    for start in range(0, 50, 20):
        before = steps.test_on_batch(x[start : start + 20], y[start : start + 20])
        assert steps.train_on_batch(x[start : start + 20], y[start : start + 20]) == before
    epoch.fit(x, y, batch_size=20, shuffle=False)
    assert steps.optimizer.iterations == epoch.optimizer.iterations == 3
    for a, b in zip(steps.weights, epoch.weights, strict=True):
        assert np.array_equal(a, b)


@both_roads
def test_schedule(road, x, y):
    seen = []

    def schedule(iteration):
        seen.append(iteration)
        return 0.1 / (1 + iteration)

    model = make(road)
    model.compile(ROADS[road](schedule), SPARSE)
    model.fit(x, y, batch_size=10)
    assert sorted(set(seen)) == [0, 1, 2, 3, 4]
    model.optimizer.learning_rate = lambda iteration: -1.0
    before = state(model)[:4]
    raises(lambda: model.train_on_batch(x, y), ValueError, "learning_rate at iteration 5: expected")
    assert state(model)[:4] == before


# ---- metrics -----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["sparse", "one-hot", "smooth", "binary", "focal"])
@pytest.mark.parametrize("columns", [1, 3, 20])
def test_metrics_by_kernel_equal_those_in_python(loss, columns, x, rng):
    y = {
        "sparse": lambda: rng.integers(columns, size=50),
        "one-hot": lambda: np.eye(columns)[rng.integers(columns, size=50)],
        "smooth": lambda: np.eye(columns)[rng.integers(columns, size=50)],
        "binary": lambda: rng.integers(2, size=(50, columns)),
        "focal": lambda: rng.integers(2, size=(50, columns)),
    }[loss]()
    cls = {
        "sparse": losses.SparseCategoricalCrossentropy,
        "one-hot": losses.CategoricalCrossentropy,
        "smooth": functools.partial(losses.CategoricalCrossentropy, label_smoothing=0.9),
        "binary": losses.BinaryCrossentropy,
        "focal": losses.BinaryFocalCrossentropy,
    }[loss]

    class Python(type(metrics.get("accuracy", cls(from_logits=True)))):
        pass

    threshold = {"threshold": 0.0} if loss in ("binary", "focal") else {}
    names = ["accuracy", Python(**threshold), *["mse"] * (loss != "sparse")]
    model = make(layers=[Dense(columns)], loss=cls(from_logits=True), metrics=names)
    logs = model.fit(x, y, batch_size=8, epochs=2, validation_split=0.2).history
    assert not model.obstacles()
    assert list(logs)[:3] == ["loss", "accuracy", "python"]
    assert logs["accuracy"] == pytest.approx(logs["python"], rel=1e-6)
    assert logs["val_accuracy"] == pytest.approx(logs["val_python"], rel=1e-6)
    pred = model.predict(x)
    if loss != "sparse":
        assert model.evaluate(x, y)["mse"] == pytest.approx(((pred - y) ** 2).mean(), rel=1e-6)
    counted = metrics.get("accuracy", cls(from_logits=True))
    model.compile("sgd", cls(from_logits=True), [counted, counted])
    once = model.evaluate(x, y)
    assert once[counted.name] == counted.result() <= 1


def test_ties_count_as_in_python(x):
    model = make(layers=[Dense(4, kernel_initializer="zeros")], metrics=["accuracy"], rate=1e-30)
    assert model.evaluate(x, np.zeros(50))["accuracy"] == 1  # the first of equals
    assert model.evaluate(x, np.ones(50))["accuracy"] == 0


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("columns", [3, 16, 20])
def test_logits_that_are_not_numbers_count_as_in_python(columns, one_hot, x):
    # numpy.argmax takes the first NaN; and a sum of infinities is none to compare with.
    cls = losses.CategoricalCrossentropy if one_hot else losses.SparseCategoricalCrossentropy
    model = make(layers=[Dense(columns, dtype="float64")], loss=cls(from_logits=True))
    model.build(x.shape[1])
    for bias, best in (
        ({1: np.nan}, 1),
        ({0: np.nan, 2: np.nan}, 0),
        ({2: np.nan, 1: 100}, 2),
        ({1: np.inf}, 1),
        ({2: np.inf, 0: 100}, 2),
        ({0: -np.inf, 2: 100}, 2),
    ):
        model.layers[0].weights["bias"][...] = 0
        for j, value in bias.items():
            model.layers[0].weights["bias"][j] = value
        for label in range(3):
            y = np.full(50, label)
            y = np.eye(columns)[y] if one_hot else y
            assert not model.obstacles()
            assert model.evaluate(x, y)["accuracy"] == (label == best)


def test_function_as_metric(x, y):
    def share_of_zeros(y_true, y_pred):
        return (y_true == 0).mean()

    logs = make(metrics=["acc", share_of_zeros]).fit(x, y, batch_size=15).history
    assert logs["share_of_zeros"] == [pytest.approx((y == 0).mean())]
    assert list(logs) == ["loss", "acc", "share_of_zeros"]


# ---- callbacks ---------------------------------------------------------------------------------


@both_roads
def test_callbacks(road, x, y):
    seen = []
    hooks = [name for name in vars(Callback) if name.startswith("on_")]

    class Recorder(Callback):
        pass

    for hook in hooks:
        setattr(Recorder, hook, lambda self, *args, hook=hook: seen.append((hook, *args)))
    model = make(road)
    model.fit(x, y, batch_size=20, epochs=2, callbacks=Recorder())
    batches = [(f"on_train_batch_{when}", b) for b in range(3) for when in ("begin", "end")]
    expected = [("on_train_begin",)]
    for epoch in range(2):
        expected += [("on_epoch_begin", epoch), *batches, ("on_epoch_end", epoch)]
    expected.append(("on_train_end",))
    assert [tuple(a for a in call if isinstance(a, (str, int))) for call in seen] == expected
    assert all(isinstance(call[-1], dict) for call in seen)  # as scripts expect
    assert seen[-1][1] == {k: v[-1] for k, v in model.history.history.items()}
    logs = [call[2] for call in seen if call[0] == "on_train_batch_end"]
    assert [set(log) for log in logs] == [{"loss", "accuracy"}] * 6
    # The last batch's means are those of the epoch.
    assert logs[2]["loss"] == model.history.history["loss"][0]
    # A run batch by batch is the run in one call.
    other = make(road)
    other.fit(x, y, batch_size=20, epochs=2)
    assert [w.tobytes() for w in other.weights] == [w.tobytes() for w in model.weights]
    for key, values in other.history.history.items():
        assert values == pytest.approx(model.history.history[key])


@both_roads
def test_stop_training(road, x, y):
    model = make(road)

    def stop(*_):
        model.stop_training = True

    model.fit(x, y, epochs=9, callbacks=[LambdaCallback(on_epoch_end=stop)])
    assert model.history.epoch == [0] and model.optimizer.iterations == 2
    model.fit(x, y, epochs=9, batch_size=5, callbacks=[LambdaCallback(on_train_batch_end=stop)])
    assert model.history.epoch == [0] and model.optimizer.iterations == 3
    model.fit(x, y, epochs=2)
    assert model.history.epoch == [0, 1]


@both_roads
@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_begin", "on_train_batch_end"])
def test_interrupted(road, hook, x, y):
    model = make(road)

    def interrupt(number, logs):
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=4, batch_size=10, callbacks=LambdaCallback(**{hook: interrupt}))
    assert (
        model.optimizer.iterations
        == {"b": 10, "n": 2, "d": 3}["b" if hook == "on_epoch_begin" else hook[-1]]
    )
    assert model.running_epoch is None  # nothing holds the data
    before = model.evaluate(x, y)["loss"]
    assert model.fit(x, y, epochs=30).epoch[-1] == 29
    assert model.evaluate(x, y)["loss"] < before


@pytest.mark.parametrize("method", ["fit", "predict"])
def test_ctrl_c_is_heard_in_time(method):
    x = np.zeros((200_000, 64), np.float32)
    model = make(layers=[Dense(512, "tanh"), Dense(256, "tanh"), Dense(1)], loss="mse", metrics=[])
    model.build(64)
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    # A job in the background may have been started with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            for _ in range(100):
                if method == "fit":
                    model.fit(x, x[:, 0], epochs=1000)
                else:
                    model.predict(x)
        assert time.monotonic() - begun < 5  # a run of either would be longer
    finally:
        signal.signal(signal.SIGINT, before)
    timer.join()
    assert np.isfinite(model.predict(x[:3])).all()


# ---- parts in plain NumPy ----------------------------------------------------------------------

OWN = {
    "layer": (
        lambda: {"layers": [Dense(5, "relu"), Scale(), Dense(1)]},
        r"layer scale\w* \(Scale\)",
    ),
    "activation": (lambda: {"layers": [Dense(5, Leaky()), Dense(1)]}, r"activation Leaky\(\) of"),
    "loss": (lambda: {"loss": Absolute()}, "loss absolute"),
    "optimizer": (lambda: {"road": "eager"}, "optimizer own_sgd"),
}


@pytest.mark.parametrize("part", OWN)
def test_own_parts_take_the_eager_road(part, x):
    options, reason = OWN[part]
    layers = [Dense(5, "relu"), Dense(1)]
    model = make(**{"layers": layers, "loss": "mse", "metrics": ["mae"], "rate": 0.05} | options())
    y = x[:, 0] - x[:, 1]
    logs = model.fit(x, y, epochs=40, batch_size=7, validation_split=0.1).history
    assert logs["loss"][-1] < logs["loss"][0] and list(logs)[-1] == "val_mae"
    lines = []
    model.summary(print_fn=lines.append)
    assert lines[-1].startswith("runs part by part, because of: ")
    assert len(model.obstacles()) == 1
    assert re.search(reason, lines[-1])


def test_gradients_through_the_model(x):
    # Central differences of the loss by every weight and input.
    layers = [Dense(3, Leaky()), Scale(), Activation("tanh"), Dense(2, "sigmoid")]
    for layer in layers:
        layer.dtype = "float64"
    model = make(layers=layers, loss="mse")
    x = x[:5].astype(np.float64)
    y = np.ones((5, 2))
    pred = model(x, training=True)
    dx = model.backward(model.loss.gradient(y, pred))
    gradients = [layer.gradients[name] for layer in layers for name in layer.weights]
    h = 1e-6
    for array, gradient in zip([x, *model.weights], [dx, *gradients], strict=True):
        for at in np.ndindex(array.shape):
            kept = array[at]
            array[at] = kept + h
            above = model.loss(y, model(x))
            array[at] = kept - h
            below = model.loss(y, model(x))
            array[at] = kept
            assert gradient[at] == pytest.approx((above - below) / (2 * h), abs=1e-8)


# ---- predicting and inputs ---------------------------------------------------------------------


@both_roads
def test_predict_does_not_depend_on_the_split(road, x):
    model = make(
        road, layers=[Dense(17, "tanh"), Dense(5, "softmax")] + [Scale()] * (road == "eager")
    )
    whole = model.predict(x)
    assert whole.dtype == np.float32 and whole.shape == (50, 5)
    for rows in (1, 7, 50, 64):
        assert model.predict(x, batch_size=rows).tobytes() == whole.tobytes()
    parts = [model.predict_on_batch(x[i : i + 13]) for i in range(0, 50, 13)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert model(x).tobytes() == whole.tobytes()
    many = np.tile(x, (30, 1))
    assert model.predict(many).tobytes() == np.tile(whole, (30, 1)).tobytes()
    out = np.empty_like(whole)
    assert model.predict_on_batch(x, out) is out and out.tobytes() == whole.tobytes()


def variants(x, folder):
    """The same numbers, small integers, lying in memory in other ways."""
    file = np.memmap(folder / "x", x.dtype, "w+", shape=x.shape)
    file[:] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.zeros((2 * len(x), 3 * x.shape[1]), x.dtype)
    wide[::2, ::3] = x
    return {
        "memmap": file,
        "read-only": read_only,
        "strided": wide[::2, ::3],
        "rows apart": np.hstack([x, x])[:, : x.shape[1]],
        "backwards": np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
        "Fortran": np.asfortranarray(x),
        "big-endian": x.astype(x.dtype.newbyteorder(">")),
        "uint8": x.astype(np.uint8),
        "int64": x.astype(np.int64),
        "float16": x.astype(np.float16),
        "float64": x.astype(np.float64),
        "list": x.tolist(),
    }


@both_roads
def test_inputs_of_any_kind(road, rng, tmp_path):
    x = rng.integers(0, 9, (23, 4)).astype(np.float32)
    y = rng.integers(0, 3, (23, 3)).astype(np.float32)
    expected = None
    inputs = variants(x, tmp_path)
    (tmp_path / "y").mkdir()
    targets = variants(y, tmp_path / "y")
    for key in inputs:
        model = make(road, "mse", metrics=[], rate=0.01)
        model.fit(inputs[key], targets[key], batch_size=5, sample_weight=list(range(23)))
        found = [*model.weights, model.predict(inputs[key])]
        found = (
            [a.tobytes() for a in found],
            list(model.evaluate(inputs[key], targets[key]).values()),
        )
        expected = expected or found
        assert found == expected, key


def test_labels_of_any_kind(x, y):
    expected = None
    for labels in (y, y[:, None], y.astype(np.uint8), y.astype(float), y.tolist(), y[::-1][::-1]):
        model = make()
        model.fit(x, labels)
        expected = expected or model.get_weights()[0].tobytes()
        assert model.weights[0].tobytes() == expected


def test_float64(x, y):
    model = make(layers=[Input(4), Dense(3, dtype="float64")])
    exact = x.astype(np.float64) + 1e-12
    assert not model.obstacles()
    assert model.predict(exact).dtype == np.float64
    assert not np.array_equal(model.predict(exact), model.predict(x))
    assert model(exact).tobytes() == model.predict(exact).tobytes()
    mixed = make(layers=[Dense(3), Dense(3, dtype="float64")])
    mixed.fit(x, y)
    assert mixed.obstacles() == ["layers of different dtype"]
    assert mixed.predict(x).dtype == np.float64


# ---- weights and state -------------------------------------------------------------------------


@both_roads
def test_weights(road, x, y):
    model = make(road)
    model.fit(x, y)
    kept = model.get_weights()
    expected = model.predict(x)
    model.fit(x, y)
    assert model.predict(x).tobytes() != expected.tobytes()
    model.set_weights(kept)
    assert model.predict(x).tobytes() == expected.tobytes()
    assert model.count_params() == sum(w.size for w in kept) == 4 * 8 + 8 + 8 * 3 + 3
    model.set_weights([w.tolist() for w in kept])
    assert model.predict(x).tobytes() == expected.tobytes()
    model.weights[0][...] = 0  # views: this is how to change them in place
    assert model.predict(x).tobytes() != expected.tobytes()


def test_weights_that_move_and_those_that_do_not(x, y):
    model = make(layers=[Dense(8), BatchNormalization(), Dense(3)])
    model.build(4)
    assert [len(model.trainable_weights), len(model.non_trainable_weights)] == [6, 2]
    assert [w.shape for w in model.non_trainable_variables] == [(8,), (8,)]
    lines = []
    model.summary(lines.append)
    assert "99 weights, 16 of them not trainable" in lines
    model.trainable = False
    assert not model.trainable and not model.trainable_variables
    assert len(model.non_trainable_weights) == 8
    model.layers[-1].trainable = True
    assert model.trainable and len(model.trainable_weights) == 2
    before = model.get_weights()
    model.fit(x, y)
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.weights, strict=True)]
    assert moved == [False] * 6 + [True] * 2
    raises(lambda: setattr(model, "trainable", 1), TypeError, "trainable: expected True or False")


def test_layers_by_name_and_place(x):
    model = fn.Sequential([Input((2, 2)), Flatten(), Dense(3, name="out"), ReLU()])
    assert model.get_layer("out") is model.get_layer(index=2) is model.layers[2]
    assert (model.input_shape, model.output_shape) == ((None, 2, 2), (None, 3))
    top = model.layers[-1]
    assert model.pop() is top and model.layers[-1].name == "out"
    raises(lambda: model.get_layer("oud"), ValueError, "name: expected one of ")
    raises(lambda: model.get_layer(index=3), ValueError, "index: expected one of 3 layers, counted")
    raises(model.get_layer, ValueError, "name, index: expected one of them, got None and None")
    raises(fn.Sequential().pop, ValueError, "sequential: expected at least one layer, got none")
    assert not hasattr(fn.Sequential([Dense(3)]), "input_shape")
    assert not hasattr(fn.Sequential([Dense(3)]), "output_shape")


def test_build_by_the_shape_of_a_batch():
    for shape in ((None, 4), [None, 2, 2]):
        model = fn.Sequential([Flatten(), Dense(3)])
        model.build(shape)
        assert model.input_shape == (None, 4)
    for shape in ((4,), (None,), (5, 4), ()):
        raises(lambda s=shape: model.build(s), ValueError, "features: expected a number or a shape")
    raises(lambda: model.build((None, None)), TypeError, "features: expected a positive integer")


@both_roads
def test_results_as_a_list(road, x, y):
    model = make(road, metrics=["accuracy", "sparse_categorical_crossentropy"])
    found = model.evaluate(x, y)
    assert list(found) == model.metrics_names
    assert list(found) == ["loss", "accuracy", "sparse_categorical_crossentropy"]
    assert model.evaluate(x, y, return_dict=False) == list(found.values())
    assert model.test_on_batch(x, y, return_dict=False) == list(model.test_on_batch(x, y).values())
    model.compile(optimizers.SGD(0.1), SPARSE)
    loss = model.evaluate(x, y)["loss"]
    assert model.evaluate(x, y, return_dict=False) == loss
    assert model.train_on_batch(x, y, return_dict=False) == pytest.approx(loss)
    assert model.evaluate(x, y)["loss"] < loss  # the step was taken
    before = state(model)
    for method in (model.evaluate, model.test_on_batch, model.train_on_batch):
        raises(lambda m=method: m(x, y, return_dict=1), TypeError, "return_dict: expected True or")
    assert state(model) == before


def test_metrics_of_one_name(rng):
    x, y = rng.random((40, 3)), (rng.random(40) > 0.5).astype(float)
    model = fn.Sequential([Dense(1, "sigmoid")])
    areas = [metrics.AUC(), metrics.AUC(curve="PR"), metrics.AUC(num_thresholds=3)]
    model.compile("sgd", "binary_crossentropy", areas)
    found = model.fit(x, y, validation_data=(x, y), verbose=0).history
    names = ["auc", "auc_1", "auc_2"]
    assert list(found) == ["loss", *names, "val_loss", *(f"val_{name}" for name in names)]
    pred = model.predict(x)
    for metric, name in zip((metrics.AUC(), metrics.AUC(curve="PR")), names, strict=False):
        metric.update_state(y, pred)
        assert model.evaluate(x, y)[name] == metric.result()
    assert areas[0].result() > 0
    model.reset_metrics()
    assert areas[0].result() == 0
    model.compile("sgd", "binary_crossentropy", areas)  # keeps them
    assert [metric.name for metric in model.metrics] == names
    model.compile("sgd", "mse", [metrics.MeanAbsoluteError(name="loss")])
    assert list(model.evaluate(x, y)) == ["loss", "loss_1"]
    model.compile("sgd", "mse", [areas[0], areas[0]])
    assert model.metrics == areas[:1]


@both_roads
def test_weighted_metrics(road, x, y, rng, tmp_path):
    weight = rng.random(50)
    model = make(road, metrics=[])
    model.compile(ROADS[road](1e-30), SPARSE, ["accuracy"], ["accuracy"])
    assert [metric.name for metric in model.metrics] == ["accuracy", "accuracy_1"]
    found = model.evaluate(x, y, sample_weight=weight)
    right = model.predict(x).argmax(axis=1) == y
    assert found["accuracy"] == right.mean()
    assert found["accuracy_1"] == pytest.approx((right * weight).sum() / weight.sum(), rel=1e-6)
    assert model.evaluate(x, y)["accuracy_1"] == right.mean()
    arguments = {"sample_weight": weight, "validation_data": (x, y, weight), "batch_size": 16}
    history = model.fit(x, y, **arguments).history
    for key in ("accuracy", "accuracy_1"):
        assert history[f"val_{key}"] == history[key] == pytest.approx([found[key]], rel=1e-12)
    by_class = model.train_on_batch(x, y, class_weight={0: 0.0, 1: 0.0})
    assert by_class["accuracy_1"] == right[y == 2].mean()
    if road == "plan":
        model.save(tmp_path / "model")
        again = fn.load_model(tmp_path / "model")
        assert again.metrics[1:] == again.weighted_metrics and len(again.metrics) == 2
        assert again.evaluate(x, y, sample_weight=weight) == found
    raises(lambda: model.compile("sgd", SPARSE, weighted_metrics="accuracy"), TypeError,
           "weighted_metrics: expected a list, got 'accuracy'")  # fmt: skip


@both_roads
def test_batch_sizes_of_keras(road, x, y):
    """None is 32, and validation may have its own: seen in a loss that is summed over batches."""
    histories = []
    for arguments in ({"batch_size": None}, {"batch_size": 32, "validation_batch_size": 10}):
        loss = losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
        model = make(road, loss, metrics=(), rate=0.01)
        found = model.fit(x, y, validation_data=(x, y), shuffle=False, **arguments).history
        histories.append(found | {"rows": model.evaluate(x, y, batch_size=None)["loss"]})
    first, second = histories
    assert first["loss"] == second["loss"] and first["rows"] == second["rows"]
    assert first["val_loss"] == [pytest.approx(first["rows"])]
    # The mean over rows of sums: (32 * 32 + 18 * 18) / 50 rows against 10, of about one loss each.
    assert first["val_loss"][0] / second["val_loss"][0] == pytest.approx(26.96 / 10, rel=0.1)
    raises(lambda: model.fit(x, y, validation_batch_size=0), ValueError, "validation_batch_size: ")


@both_roads
@pytest.mark.parametrize(
    "freq, epochs",
    [(1, [1, 2, 3, 4, 5]), (2, [2, 4]), ([1, 4, 9], [1, 4]), (range(3, 9), [3, 4, 5])],
)
def test_validation_frequency(road, freq, epochs, x, y, tmp_path):
    model, seen = make(road), []
    callbacks = [
        LambdaCallback(
            on_epoch_end=lambda epoch, logs: "val_loss" in logs and seen.append(epoch + 1)
        ),
        CSVLogger(tmp_path / "log"),
    ]
    arguments = {"epochs": 5, "validation_data": (x, y), "callbacks": callbacks}
    history = model.fit(x, y, validation_freq=freq, **arguments).history
    assert seen == epochs and len(history["val_loss"]) == len(epochs)
    header, *rows = [line.split(",") for line in (tmp_path / "log").read_text().splitlines()]
    assert header == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert [row[4] != "NA" for row in rows] == [epoch in epochs for epoch in range(1, 6)]
    every = make(road).fit(x, y, epochs=5, validation_data=(x, y)).history
    assert history["loss"] == every["loss"]
    assert history["val_loss"] == [every["val_loss"][epoch - 1] for epoch in epochs]
    for bad, kind in ((0, ValueError), ([0], ValueError), (1.5, TypeError), ("a", TypeError)):
        raises(lambda b=bad: model.fit(x, y, validation_freq=b), kind, "validation_freq: expected")


def test_the_default_optimizer_is_that_of_keras():
    model = fn.Sequential([Dense(1)])
    model.compile(loss="mse")
    assert type(model.optimizer) is optimizers.RMSprop


def test_set_weights_takes_views_of_its_own():
    model = fn.Sequential([Dense(3, use_bias=False), Dense(3, use_bias=False)])
    model.predict(np.ones((1, 3)))
    first, second = model.get_weights()
    model.set_weights(model.weights[::-1])
    assert np.array_equal(model.weights[0], second) and np.array_equal(model.weights[1], first)


def test_set_weights_is_atomic():
    model = make()
    raises(lambda: model.set_weights([]), ValueError, "set_weights: expected a built model")
    model.build(4)
    before, good = state(model), [w + 1 for w in model.weights]
    for bad, kind, message in (
        (good[:3], ValueError, "weights: expected 4 arrays, got 3"),
        ([*good[:3], np.ones(4)], ValueError, "weights[3]: expected shape (3,), got (4,)"),
        ([*good[:3], ["a"] * 3], TypeError, "weights[3]: expected real numbers"),
        ([*good[:3], np.full(3, 1e300)], ValueError, "weights[3]: expected numbers within float32"),
        (5, TypeError, "weights: expected a list of arrays, got int"),
    ):
        raises(lambda bad=bad: model.set_weights(bad), kind, message)
        assert state(model) == before


@both_roads
def test_compile_again_starts_anew(road, x, y):
    fresh = make(road)
    optimizer = optimizers.Momentum(0.1)
    if road == "eager":
        optimizer.update = lambda params, grads: optimizers.Optimizer.update(
            optimizer, params, grads
        )
    model = make(road)
    model.compile(optimizer, SPARSE)
    start = (model.build(4), model.get_weights())[1]
    model.fit(x, y, shuffle=False)
    assert optimizer.iterations == 2 and optimizer.slots[0]["velocity"].any()
    model.compile(optimizer, SPARSE)
    assert optimizer.iterations == 0 and optimizer.slots == []
    model.set_weights(start)
    model.fit(x, y, shuffle=False)
    fresh.compile(optimizers.Momentum(0.1), SPARSE)
    fresh.build(4)
    fresh.set_weights(start)
    fresh.fit(x, y, shuffle=False)
    assert [w.tobytes() for w in fresh.weights] == [w.tobytes() for w in model.weights]


def test_changes_between_fits_leave_no_stale_plan(x, y):
    def bind(model):
        model.layers[0].bind("kernel", np.empty((4, 8), np.float32))

    def swap(model):
        model.optimizer = ROADS[model.road](0.3)

    def rate(model):
        model.optimizer.learning_rate = 0.7

    def loss(model):
        model.loss = losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")

    def metric(model):
        model.metrics = [metrics.SparseCategoricalAccuracy("a"), lambda_metric]

    def activation(model):
        model.layers[0].activation = fn.activations.relu

    def freeze(model):
        model.layers[0].trainable = not model.layers[0].trainable

    def more(model):
        model.add(Dense(3))

    def fewer(model):
        model.layers.pop()

    def replace(model):
        model.layers[0].weights["bias"] = np.linspace(0, 1, 8, dtype=np.float32)

    lambda_metric = metrics.get(lambda y_true, y_pred: 0.5)
    models = []
    for road in ROADS:
        model = make(road)
        model.road = road
        model.build(4)
        models.append(model)
    for change in (
        bind,
        swap,
        rate,
        metric,
        activation,
        freeze,
        replace,
        freeze,
        more,
        fewer,
        loss,
    ):
        logs = []
        for model in models:
            fn.set_random_seed(8)
            change(model)
            logs.append(model.fit(x, y, batch_size=16, epochs=2).history)
            logs[-1]["predicted"] = model.predict(x).tobytes()
            logs[-1]["weights"] = [w.tobytes() for w in model.weights]
        assert logs[0].pop("weights") == logs[1].pop("weights"), change.__name__
        assert logs[0].pop("predicted") == logs[1].pop("predicted"), change.__name__
        assert {k: pytest.approx(v, rel=1e-5) for k, v in logs[0].items()} == logs[1]


def test_a_thawed_layer_finds_its_velocity(x, y):
    found = []
    for own in (False, True):
        model = make(layers=[Dense(8, "tanh"), Dense(5, "relu"), Dense(3)])
        optimizer = optimizers.Momentum(0.1)
        if own:
            model.add(Scale())
            model.layers[-1].trainable = False
        model.compile(optimizer, SPARSE)
        model.fit(x, y, shuffle=False)
        kernel, velocity = model.layers[1].weights["kernel"].copy(), optimizer.slots[2]["velocity"]
        expected = 0.9 * velocity
        model.layers[1].trainable = False
        model.fit(x, y, shuffle=False)
        assert np.array_equal(kernel, model.layers[1].weights["kernel"])
        assert len(optimizer.slots) == 4
        model.layers[1].trainable = True
        optimizer.learning_rate = 1e-30  # one step in which the velocity only decays
        model.train_on_batch(x, y)
        np.testing.assert_allclose(optimizer.slots[2]["velocity"], expected, rtol=1e-6)
        assert expected.any()
        assert len(optimizer.slots) == 6
        found.append([w.tobytes() for w in model.weights[:6]])
        found[-1] += [slots["velocity"].tobytes() for slots in optimizer.slots]
        assert bool(model.obstacles()) == own
    assert found[0] == found[1]


def test_nothing_to_train(x, y):
    model = make(layers=[Dense(3)])
    model.layers[0].trainable = False
    before = (model.build(4), model.get_weights())[1]
    model.fit(x, y)
    assert np.array_equal(before[0], model.weights[0])
    assert model.obstacles() == ["no trainable weights"]


def test_optimizer_of_two_models(x, y):
    optimizer = optimizers.Momentum(0.1)
    first, second, other = make(), make(), make(layers=[Dense(3)])
    for model in (first, second, other):
        model.compile(optimizer, SPARSE)
    first.fit(x, y)
    second.fit(x, y)
    first.fit(x, y)
    before = state(other)
    raises(lambda: other.fit(x, y), ValueError, "params: expected 4 arrays as before, got 2")
    assert state(other)[2:4] == before[2:4]
    other.compile(optimizer, SPARSE)
    other.fit(x, y)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@both_roads
def test_copies(road, copier, x, y):
    model = make(road)
    if road == "plan":
        model.compile(optimizers.Momentum(0.1), SPARSE)
    model.fit(x, y)
    twin = copier(model)
    for m in (model, twin):
        m.fit(x, y, shuffle=False)
    assert [w.tobytes() for w in model.weights] == [w.tobytes() for w in twin.weights]
    assert not np.shares_memory(model.weights[0], twin.weights[0])


def test_summary():
    model = fn.Sequential(name="net")
    lines = []
    model.summary(lines.append)
    model.add(Dense(8, "relu", name="hidden"))
    model.summary(lines.append)
    assert "not built" in lines[-1] and "(n, ?)" in lines[-1]
    model.add(ReLU())
    model.build(1000)
    lines.clear()
    model.summary(lines.append)
    text = "\n".join(lines)
    assert lines[0] == "net" and "hidden (Dense)" in text and "(n, 8)" in text
    assert "8,008 weights" in text and lines[-1] == "runs as one compiled plan"


def test_building():
    model = fn.Sequential([Dense(3)])
    assert not model.built
    model.add(Dense(2))
    model.build(5)
    model.add(Dense(4))  # is built at once
    assert [w.shape for w in model.weights] == [(5, 3), (3,), (3, 2), (2,), (2, 4), (4,)]
    assert fn.Sequential([Input(3), Dense(2)]).built
    built = Dense(2)
    built.build(9)
    raises(lambda: model.add(built), ValueError, f"{built.name}: expected a layer for 4 inputs")
    raises(lambda: model.add(model.layers[0]), ValueError, "layer: expected a layer not yet in the")
    raises(lambda: fn.Sequential(name=3), TypeError, "name: expected a string, got 3")
    raises(lambda: model.add(3), TypeError, "layer: expected a Layer, got 3")
    raises(lambda: fn.Sequential(3), TypeError, "layers: expected a list of layers, got 3")
    half = fn.Sequential([Dense(3), built])
    raises(lambda: half.build(5), ValueError, f"{built.name}: expected a layer for 3 inputs, got")
    raises(lambda: half.predict(np.ones((2, 5))), ValueError, f"{built.name}: expected a layer")
    assert not half.layers[0].built
    raises(lambda: model.build(6), ValueError, f"{model.layers[0].name}: expected a layer for 6")
    raises(lambda: fn.Sequential().predict([[1]]), ValueError, "sequential: expected at least one")
    raises(lambda: fn.Sequential().build(2), ValueError, "sequential: expected at least one layer")


def test_names_of_layers_differ():
    message = "layer: expected a name not yet in the model, got 'a' again"
    layer = Dense(2, name="a")
    with pytest.raises(ValueError) as error:
        fn.Sequential([Input(3), Dense(2, name="a"), layer])
    assert str(error.value) == message and not layer.built
    # Names that layers have by themselves give way: to one of a file, or of what it is a copy of.
    own = Dense(2)
    model = fn.Sequential([Dense(2, name=own.name), own, copy.copy(own), own.__class__(2)])
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == 4 and all(name.startswith("dense") for name in names)
    again = fn.Sequential.from_config(model.get_config())
    assert [layer.name for layer in again.layers] == names


# ---- errors ------------------------------------------------------------------------------------

X, Y = np.zeros((6, 4)), np.zeros(6, int)
nan = np.array([0, 1, np.nan, 0, 0, 0])
BAD = [
    ({"x": X[:, :3]}, ValueError, "x: expected 4 features, got 3 (shape (6, 3))"),
    ({"x": X[0]}, ValueError, "x: expected 2 axes (n, features), got 1 (shape (4,))"),
    ({"x": X[:0]}, ValueError, "x: expected at least one element, got none (shape (0, 4))"),
    ({"x": X + 1j}, TypeError, "x: expected real numbers of at most 64 bits, got complex128"),
    ({"x": [["a"] * 4] * 6}, TypeError, "x: expected real numbers"),
    ({"x": [[1], [1, 2]]}, ValueError, "x: expected an array, got rows of unequal length"),
    ({"x": X + 1e300}, ValueError, "x: expected numbers within float32"),
    ({"y": Y[:5]}, ValueError, "y: expected 6 labels, got shape (5,)"),
    ({"y": np.zeros((6, 3))}, ValueError, "y: expected 6 labels, got shape (6, 3)"),
    ({"y": Y[:0]}, ValueError, "y: expected at least one element, got none"),
    ({"y": Y + [0, 0, 0, 3, 0, 0]}, ValueError, "y: expected labels in [0, 3), got 3 at row 3"),
    ({"y": Y - 1}, ValueError, "y: expected labels in [0, 3), got -1 at row 0"),
    ({"y": nan}, ValueError, "y: expected labels in [0, 3), got nan at row 2"),
    ({"y": Y + 0.5}, ValueError, "y: expected labels in [0, 3), got 0.5 at row 0"),
    ({"y": ["a"] * 6}, TypeError, "y: expected real numbers"),
    ({"sample_weight": nan}, ValueError, "sample_weight: expected finite weights, got nan at row"),
    ({"sample_weight": [1.0]}, ValueError, "sample_weight: expected shape (6,), got (1,)"),
    ({"class_weight": {3: 1.0}}, ValueError, "class_weight: expected classes in [0, 3), got 3"),
    ({"class_weight": {-1: 1.0}}, ValueError, "class_weight: class: expected a non-negative int"),
    ({"class_weight": {0: -1.0}}, ValueError, "class_weight[0]: expected a non-negative number"),
    ({"class_weight": [1.0]}, TypeError, "class_weight: expected a dict, got list"),
]  # fmt: skip
BAD_FIT = [
    ({"batch_size": 0}, ValueError, "batch_size: expected a positive integer, got 0"),
    ({"batch_size": 2.0}, TypeError, "batch_size: expected a positive integer, got 2.0"),
    ({"epochs": -1}, ValueError, "epochs: expected a positive integer, got -1"),
    ({"initial_epoch": -1}, ValueError, "initial_epoch: expected a non-negative integer, got -1"),
    ({"shuffle": "batch"}, TypeError, "shuffle: expected True or False, got 'batch'"),
    ({"verbose": "on"}, ValueError, "verbose: expected 'auto', 0, 1 or 2, got 'on'"),
    ({"validation_split": 1}, ValueError, "validation_split: expected a number in [0, 1), got 1"),
    ({"validation_split": -0.1}, ValueError, "validation_split: expected a number in [0, 1)"),
    ({"validation_split": 0.9}, ValueError, "validation_split: expected a share that leaves rows"),
    ({"validation_data": X}, ValueError, "validation_data: expected (x, y) or"),
    ({"validation_data": (X,)}, ValueError, "validation_data: expected (x, y) or"),
    ({"validation_data": (X[:, 1:], Y)}, ValueError, "validation_data: x: expected 4 features"),
    ({"validation_data": (X, Y + 3)}, ValueError, "validation_data: y: expected labels in [0, 3)"),
    ({"validation_data": (X, Y, nan)}, ValueError, "validation_data: sample_weight: expected fin"),
    ({"callbacks": [print]}, TypeError, "callbacks[0]: expected a Callback, got"),
    ({"callbacks": 3}, TypeError, "callbacks: expected a list of callbacks, got int"),
]  # fmt: skip


@pytest.mark.parametrize("built", [True, False], ids=["built", "new"])
@pytest.mark.parametrize(
    "arguments, kind, message",
    [*BAD, *BAD_FIT],
    ids=lambda v: next(iter(v)) if type(v) is dict else "",
)
def test_bad_input_changes_nothing(arguments, kind, message, built):
    model = make("plan", layers=None if built else [Dense(3)])
    model.compile(optimizers.Momentum(0.1), SPARSE, ["accuracy"])
    if built:
        model.fit(X, Y)
    else:
        model.layers.insert(0, Input(4))
    before = state(model)
    methods = ["fit"]
    if arguments.keys() <= {"x", "y", "sample_weight", "class_weight"}:
        methods.append("train_on_batch")
        if "class_weight" not in arguments:
            methods += ["evaluate", "test_on_batch"]
    for method in methods:
        raises(lambda m=method: getattr(model, m)(**{"x": X, "y": Y} | arguments), kind, message)
        assert state(model) == before
    if "x" in arguments:
        raises(lambda: model.predict(arguments["x"]), kind, message)
        assert state(model) == before


@pytest.mark.parametrize("loss, y, message", [
    ("mse", np.full((6, 3), np.nan), "y: expected finite numbers, got nan at row 0"),
    ("mse", np.zeros((6, 2)), "y: expected shape (6, 3), got (6, 2)"),
    ("mse", np.zeros(6), "y: expected shape (6, 3), got (6,)"),
    ("binary_crossentropy", np.full((6, 3), 2), "y: expected numbers in [0.0, 1.0], got 2.0"),
    ("categorical_crossentropy", np.full((6, 3), -1), "y: expected numbers in [0.0, 1.0], got -1"),
])  # fmt: skip
def test_bad_targets(loss, y, message):
    model = make(loss=loss)
    for method in ("fit", "train_on_batch", "evaluate"):
        raises(lambda m=method: getattr(model, m)(X, y), ValueError, message)
        assert not any(layer.built for layer in model.layers)


@both_roads
def test_metrics_that_do_not_fit_are_refused_before_training(road, x, y):
    model = make(road, metrics=[metrics.CategoricalAccuracy()])
    model.build(4)
    before = state(model)
    raises(lambda: model.fit(x, y), ValueError, "metrics: expected targets that categ")
    assert state(model) == before


def test_class_weight_needs_classes(x):
    model = make(loss="mse", layers=[Dense(1)], metrics=[])
    for y in (x[:, 0], np.full(50, 7.0), np.full(50, -1)):
        raises(lambda y=y: model.fit(x, y, class_weight={0: 2.0}), ValueError,
               "y: expected labels in [0, 2), got")  # fmt: skip


@pytest.mark.parametrize("arguments, kind, message", [
    ({"optimizer": "adm"}, ValueError, "optimizer: expected one of"),
    ({"optimizer": 3}, TypeError, "optimizer: expected a name or an instance of Optimizer"),
    ({"loss": "msee"}, ValueError, "loss: expected one of"),
    ({"metrics": ["acuracy"]}, ValueError, "metric: expected one of"),
    ({"metrics": "accuracy"}, TypeError, "metrics: expected a list, got 'accuracy'"),
    ({"metrics": metrics.Accuracy()}, TypeError, "metrics: expected a list, got"),
])  # fmt: skip
def test_bad_compile_changes_nothing(arguments, kind, message):
    model = make()
    before = vars(model).copy()
    raises(lambda: model.compile(**{"optimizer": "sgd", "loss": "mse"} | arguments), kind, message)
    assert vars(model) == before


def test_a_callback_that_refuses_leaves_the_history(x, y):
    model = make()
    model.fit(x, y)
    before = state(model)
    stop = EarlyStopping("val_accurcy")
    raises(lambda: model.fit(x, y, callbacks=stop), ValueError, "monitor: expected one of loss, ")
    assert state(model) == before


def test_not_compiled(x, y):
    model = fn.Sequential([Dense(3)])
    for method in ("fit", "evaluate", "train_on_batch", "test_on_batch"):
        raises(lambda m=method: getattr(model, m)(x, y), ValueError,
               f"{method}: expected a model with optimizer and loss; call compile")  # fmt: skip
    raises(model.count_params, ValueError, "count_params: expected a built model")
    raises(lambda: model.restore_optimizer_slots({}), ValueError,
           "restore_optimizer_slots: expected a model with an optimizer; call compile")  # fmt: skip
    assert not model.built


def test_bad_output(x):
    model = make()
    for out, kind, message in (
        (np.empty((50, 2), np.float32), ValueError, "out: expected shape (50, 3), got (50, 2)"),
        (np.empty((50, 3)), TypeError, "out: expected float32, got float64"),
        ([0], TypeError, "out: expected an array, got list"),
        (np.empty((3, 50), np.float32).T, ValueError, "out: expected an aligned array in C order"),
    ):
        raises(lambda out=out: model.predict_on_batch(x, out), kind, message)
    square = make(layers=[Dense(4)])
    raises(lambda: square.predict_on_batch(x, x), ValueError, "out: expected memory apart from x")


# ---- threads and processes -----------------------------------------------------------------------


def in_threads(*calls):
    """Run all at once; return what was raised."""
    errors = []
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        try:
            call()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return errors


def test_predictions_in_several_threads(rng):
    model = make(layers=[Dense(64, "relu"), Dense(32, "tanh"), Dense(3)])
    x = rng.normal(size=(500, 20)).astype(np.float32)
    expected = model.predict(x).tobytes()
    found = []

    def predict():
        for _ in range(20):
            found.append(model.predict(x).tobytes())
            found.append(model.predict_on_batch(x).tobytes())

    assert in_threads(*[predict] * 4) == []
    assert len(found) == 160 and set(found) == {expected}


def test_predict_on_batch_sees_every_change(rng):
    # Its short way holds a plan made before.
    model = make(layers=[Dense(17, "relu"), Dense(9, "tanh"), Dense(3)])
    x = rng.normal(size=(5, 20)).astype(np.float32)

    def expect_current():
        for n in (1, 5):
            found = model.predict_on_batch(x[:n])
            assert found.tobytes() == model(x[:n]).tobytes()
            assert model.predict_on_batch(x[:n]).tobytes() == found.tobytes()  # the short way
        return found.tobytes()

    def to_weight():
        model.layers[0].weights["kernel"][...] *= 2

    def to_memory():
        model.layers[0].weights["kernel"] = 3 * model.layers[0].weights["kernel"]

    def to_activation():
        model.layers[1].activation = fn.activations.sigmoid

    def to_layers():
        model.layers = [*model.layers]
        model.layers[1] = Dense(9, "relu")
        model.layers[1].build(17)

    def to_length():
        model.add(fn.layers.Softmax())

    results = [expect_current()]
    for change in (to_weight, to_memory, to_activation, to_layers, to_length):
        change()
        results.append(expect_current())
    assert len(set(results)) == len(results)
    with pytest.raises(ValueError, match="x: expected 20 features, got 19"):
        model.predict_on_batch(np.ones((1, 19), np.float32))
    assert model.predict_on_batch(x.astype(np.float64)).tobytes() == results[-1]
    assert model.predict_on_batch(x[:, ::-1][:, ::-1]).tobytes() == results[-1]


@both_roads
def test_training_in_two_threads_does_not_crash(road, x, y):
    model = make(road)

    def fit():
        model.fit(x, y, epochs=20, batch_size=7)

    def predict():
        for _ in range(100):
            model.predict(x[:23])

    errors = in_threads(fit, fit, predict)
    if road == "plan":
        assert errors == []
    assert all(np.isfinite(w).all() for w in model.weights)
    assert model.fit(x, y).history["loss"][0] < 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_after_use_does_not_hang(rng):
    x = rng.normal(size=(256, 100)).astype(np.float32)
    y = rng.integers(3, size=256)
    model = make(layers=[Dense(300, "relu"), Dense(200, "relu"), Dense(3)])
    with fn.num_threads(2):
        model.fit(x, y, batch_size=64)
        expected = model.predict(x).tobytes()
        child = os.fork()
        if child == 0:
            good = False
            try:
                fn.set_num_threads(2)
                good = model.predict(x).tobytes() == expected and fn.get_num_threads() == 1
                model.fit(x, y, batch_size=64)
            finally:
                os._exit(0 if good else 1)
        limit = time.monotonic() + 20
        while (found := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > limit:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                pytest.fail("the child hangs")
            time.sleep(0.01)
        assert os.waitstatus_to_exitcode(found[1]) == 0
        assert model.predict(x).tobytes() == expected


# ---- rows of several axes ------------------------------------------------------------------------


def test_images_are_flattened(rng):
    images, y = rng.integers(0, 256, (30, 4, 5), np.uint8), rng.integers(0, 3, 30)
    results = []
    for x in (images, images.reshape(30, 20)):
        fn.set_random_seed(0)
        model = fn.Sequential(
            [
                fn.Input((4, 5)),
                fn.layers.Rescaling(1 / 255),
                fn.layers.Flatten(),
                fn.layers.Dense(3, "softmax"),
            ]
        )
        model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
        history = model.fit(x, y, epochs=2, validation_split=0.2).history
        results.append([model.predict(x), model(x), list(history.values()), model.get_weights()])
        assert model.evaluate(x, y)["accuracy"] >= 0
    for first, second in zip(*results, strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)


def test_images_that_nothing_flattens():
    x = np.ones((2, 4, 5))
    Dense, Flatten, ReLU = fn.layers.Dense, fn.layers.Flatten, fn.layers.ReLU
    for stack in ([Dense(3)], [Dense(3), Flatten()], [ReLU()], [fn.layers.Softmax(), Flatten()]):
        with pytest.raises(ValueError) as error:
            fn.Sequential(stack).predict(x)
        text = "x: expected 2 axes (n, features), got 3 (shape (2, 4, 5))"
        assert str(error.value).startswith(text)
    with pytest.raises(ValueError) as error:
        fn.Sequential([fn.Input((4, 5)), Flatten()]).predict(x.transpose(0, 2, 1))
    text = "x: expected rows of shape (4, 5), got (5, 4) (shape (2, 5, 4))"
    assert str(error.value) == text
    with pytest.raises(ValueError) as error:
        fn.Sequential([fn.Input((4, 5)), ReLU(), Dense(3, name="d")])
    assert str(error.value) == "layer: expected a Flatten before d, as rows have shape (4, 5)"
