"""Callbacks: what is called, in which order, that what is not wanted costs nothing; and each."""

import copy
import csv
import math

import numpy as np
import pytest

import fastnn as fn
from fastnn import losses, optimizers
from fastnn.callbacks import (
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    GradientMonitor,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from fastnn.layers import Activation, Dense, Flatten, Layer
from fastnn.metrics import ConfusionMatrix

HOOKS = [name for name in vars(Callback) if name.startswith("on_") and "on_batch" not in name]


class Recorder(Callback):
    """Writes down every call."""

    def __init__(self):
        self.calls = []


def _record(name):
    def hook(self, *arguments):
        self.calls.append((name, *arguments))

    return hook


for _name in HOOKS:
    setattr(Recorder, _name, _record(_name))


def run(callbacks, epochs=2, batches=2):
    """Call the hooks as a training does."""
    callbacks.on_train_begin()
    for epoch in range(epochs):
        callbacks.on_epoch_begin(epoch)
        for batch in range(batches):
            callbacks.on_train_batch_begin(batch)
            callbacks.on_train_batch_end(batch, {"loss": 10.0 * epoch + batch})
        callbacks.on_test_begin()
        callbacks.on_test_end({"loss": -1.0})
        callbacks.on_epoch_end(epoch, {"loss": float(epoch), "val_loss": -1.0})
    callbacks.on_train_end({"loss": 1.0})


def test_all_hooks_in_order():
    recorder, model = Recorder(), object()
    run(CallbackList([recorder], model), epochs=1, batches=1)
    assert recorder.model is model
    assert recorder.calls == [
        ("on_train_begin", None),
        ("on_epoch_begin", 0, None),
        ("on_train_batch_begin", 0, None),
        ("on_train_batch_end", 0, {"loss": 0.0}),
        ("on_test_begin", None),
        ("on_test_end", {"loss": -1.0}),
        ("on_epoch_end", 0, {"loss": 0.0, "val_loss": -1.0}),
        ("on_train_end", {"loss": 1.0}),
    ]


def test_history():
    history = History()
    run(CallbackList([history]))
    assert history.epoch == [0, 1]
    assert history.history == {"loss": [0.0, 1.0], "val_loss": [-1.0, -1.0]}
    assert history.epochs_of == {"loss": [0, 1], "val_loss": [0, 1]}
    run(CallbackList([history]), epochs=1)  # another training begins anew
    assert history.epoch == [0] and history.history == {"loss": [0.0], "val_loss": [-1.0]}


def test_lambda_callback():
    seen = []
    callback = LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss"])),
        on_train_end=lambda logs: seen.append("end"),
    )
    run(CallbackList([callback]))
    assert seen == [(0, 0.0), (1, 1.0), "end"]
    assert not callback.wants_batches
    with pytest.raises(TypeError) as error:
        LambdaCallback(on_epoch_end=3)
    assert str(error.value) == "on_epoch_end: expected a function, got 3"


@pytest.mark.parametrize("hook", HOOKS)
def test_lambda_callback_takes_every_hook(hook):
    seen = []
    run(CallbackList([LambdaCallback(**{hook: lambda *arguments: seen.append(arguments)})]))
    assert seen


def test_who_wants_batches():
    def nothing(batch, logs):
        pass

    assert not Callback().wants_batches and not History().wants_batches
    assert Recorder().wants_batches
    assert LambdaCallback(on_train_batch_begin=nothing).wants_batches
    assert not CallbackList([History(), Callback()]).wants_batches
    assert CallbackList([History(), LambdaCallback(on_train_batch_end=nothing)]).wants_batches
    assert not CallbackList([]).wants_batches


def test_batch_hooks_have_two_names():
    class Old(Callback):
        seen = 0

        def on_batch_end(self, batch, logs=None):
            self.seen += 1

    class Saver(ModelCheckpoint):
        seen = 0

        def on_batch_end(self, batch, logs=None):
            self.seen += 1

    old, saver = Old(), Saver("unused", save_freq=100)
    assert old.wants_batches and Saver("unused").wants_batches
    assert not ModelCheckpoint("unused").wants_batches
    saver.on_train_begin = saver.on_epoch_begin = saver.on_epoch_end = lambda *arguments: None
    run(CallbackList([old, saver]), epochs=2, batches=3)
    assert (old.seen, saver.seen) == (6, 6)


def test_hooks_around_evaluations(rng):
    seen = []
    callback = LambdaCallback(
        on_test_begin=lambda logs: seen.append("begin"),
        on_test_end=lambda logs: seen.append(sorted(logs)),
        on_epoch_end=lambda epoch, logs: seen.append(dict(callback.params)),
    )
    x, y = rng.random((10, 3)), rng.random((10, 1))
    model = fn.Sequential([Dense(1)])
    model.compile("sgd", "mse", ["mae"])
    model.fit(x, y, batch_size=4, callbacks=callback, validation_data=(x, y), verbose=0)
    params = {"verbose": 0, "epochs": 1, "steps": 3, "do_validation": True}
    assert seen == ["begin", ["loss", "mae"], params]
    model.evaluate(x, y, callbacks=[callback])
    assert seen[3:] == ["begin", ["loss", "mae"]]


def test_a_hook_that_nothing_calls_is_told_of():
    class Predicting(Callback):
        def on_predict_end(self, logs=None):
            pass

    with pytest.warns(UserWarning, match=r"callbacks\[1\]: .*got on_predict_end, which nothing"):
        CallbackList([Callback(), Predicting()])


def test_hooks_nobody_wants_are_not_called(monkeypatch):
    for hook in HOOKS:
        monkeypatch.setattr(Callback, hook, None)  # a call would raise
    run(CallbackList([History(), Callback()]))


def test_errors():
    with pytest.raises(TypeError) as error:
        CallbackList([History(), 5])
    assert str(error.value) == "callbacks[1]: expected a Callback, got 5"
    with pytest.raises(TypeError, match="callbacks: expected a list of callbacks, got History"):
        CallbackList(History())


# ---- what watches a key --------------------------------------------------------------------------

VALUES = [5, 4, 4.05, 3.99, 4.2, 3.9, 3.95, 3.97, 3.96, 3.5, 3.6, 3.7, 3.55, 3.52, 3.51, 3.45]


class Script:
    """Stands for a model: its weights are the number of epochs, its losses are written down."""

    def __init__(self, values=VALUES, key="val_loss"):
        self.values, self.key = values, key
        self.stop_training, self.metrics, self.weights = False, [], 0
        self.optimizer = optimizers.SGD(0.1)
        self.rates, self.paths = [], []

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights

    def save(self, path):
        self.paths.append(path)

    def run(self, callback):
        callback.set_model(self)
        callback.on_train_begin()
        for epoch, value in enumerate(self.values):
            callback.on_epoch_begin(epoch)
            self.weights = epoch + 1
            callback.on_epoch_end(epoch, {self.key: value})
            self.rates.append(self.optimizer.learning_rate)
            if self.stop_training:
                break
        callback.on_train_end()
        return epoch


# Arguments -> last epoch, stopped_epoch, best_epoch, weights: as Keras 3.15 does.
STOPPED = [
    ({}, 2, 2, 1, 3),
    ({"patience": 1}, 2, 2, 1, 3),
    ({"patience": 2}, 7, 7, 5, 8),
    ({"patience": 3}, 8, 8, 5, 9),
    ({"patience": 3, "min_delta": 0.1}, 4, 4, 1, 5),
    ({"patience": 2, "baseline": 3.95}, 2, 2, 1, 3),
    ({"patience": 4, "baseline": 3.95}, 4, 4, 3, 5),
    ({"patience": 2, "mode": "max", "min_delta": -0.05}, 3, 3, 1, 4),
    ({"patience": 2, "start_from_epoch": 5}, 7, 7, 5, 8),
    ({"patience": 3, "restore_best_weights": True}, 8, 8, 5, 6),
    ({"patience": 9, "restore_best_weights": True, "min_delta": 0.2}, 15, 0, 9, 10),
    ({"patience": 1, "baseline": 1.0, "restore_best_weights": True}, 2, 2, 1, 2),
]


@pytest.mark.parametrize("arguments, last, stopped, best, weights", STOPPED)
def test_early_stopping_as_keras(arguments, last, stopped, best, weights):
    sign = -1 if arguments.get("mode") == "max" else 1
    callback = EarlyStopping(**arguments)
    for _ in range(2):  # one that was used before begins anew
        script = Script([sign * value for value in VALUES])
        assert script.run(callback) == last
        assert (callback.stopped_epoch, callback.best_epoch) == (stopped, best)
        assert script.weights == weights
    assert not callback.wants_batches


RATES = [
    ({"patience": 2, "factor": 0.5}, [0.1] * 7 + [0.05] * 4 + [0.025] * 2 + [0.0125] * 3),
    (
        {"patience": 2, "factor": 0.5, "cooldown": 2},
        [0.1] * 7 + [0.05] * 4 + [0.025] * 3 + [0.0125] * 2,
    ),
    (
        {"patience": 1, "factor": 0.5, "cooldown": 1, "min_delta": 0.1},
        [0.1] * 2 + [0.1 / 2**i for i in range(1, 8)] + [0.1 / 2**7 / 2**i for i in range(7)],
    ),
    ({"patience": 1, "factor": 0.2, "min_lr": 0.01}, [0.1] * 2 + [0.02] * 2 + [0.01] * 12),
]


@pytest.mark.parametrize("arguments, rates", RATES)
def test_reduce_lr_on_plateau_as_keras(arguments, rates):
    script = Script()
    script.run(ReduceLROnPlateau(**arguments))
    np.testing.assert_allclose(script.rates, rates, rtol=1e-12)


def test_nan_is_never_the_best():
    nan = math.nan
    assert Script([nan, 3, nan, nan]).run(EarlyStopping(patience=2)) == 3
    assert Script([nan] * 5).run(EarlyStopping(patience=2)) == 1
    # As in Keras, epoch 0 is never the last, and its weights are the best as long as none are.
    assert Script([nan, 3, 2]).run(EarlyStopping(patience=1)) == 2
    script = Script([nan] * 3)
    script.run(EarlyStopping(patience=1, restore_best_weights=True))
    assert script.weights == 1
    callback = EarlyStopping(patience=9, restore_best_weights=True)
    script = Script([nan, 3, 2, nan])
    script.run(callback)
    assert callback.best == 2 and script.weights == 3


def test_mode_auto_asks_the_metric(rng):
    x, y = data(rng)
    model = classifier(metrics=["accuracy", "mae_like", ConfusionMatrix()])
    for key, sign in {"accuracy": 1, "val_accuracy": 1, "loss": -1, "val_loss": -1}.items():
        callback = EarlyStopping(key, patience=1)
        model.fit(x, y, epochs=1, callbacks=callback, validation_split=0.2)
        assert callback.improves(1.0 + sign, 1.0) and not callback.improves(1.0 - sign, 1.0)
    # What cannot be known is asked for before anything is trained.
    before = model.get_weights()
    with pytest.raises(ValueError, match="mode: expected 'min' or 'max', for mae_like does not"):
        model.fit(x, y, callbacks=EarlyStopping("val_mae_like"))
    with pytest.raises(ValueError, match="monitor: expected one of loss.*did you mean 'val_accu"):
        model.fit(x, y, callbacks=EarlyStopping("val_acuracy"))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match="monitor: expected a key of single numbers, got 'conf"):
        model.fit(x, y, callbacks=EarlyStopping("confusion_matrix", mode="max"))


def test_a_key_that_the_logs_lack_warns(rng):
    x, y = data(rng)
    model = classifier(metrics=["accuracy"])
    message = "expected 'val_loss' in the logs, got loss, accuracy"
    for callback in (EarlyStopping(), ReduceLROnPlateau()):
        with pytest.warns(UserWarning, match=message) as caught:
            model.fit(x, y, epochs=3, callbacks=callback)
        assert caught[0].filename == __file__
        assert len(model.history.epoch) == 3


# ---- a small model and its data ------------------------------------------------------------------


def data(rng, dtype="f"):
    x = rng.standard_normal((60, 5)).astype(dtype)
    return x, (x.sum(axis=1) > 0).astype(int) + (x[:, 0] > 1)


def classifier(optimizer=None, metrics=(), layers=None):
    fn.set_random_seed(3)

    def mae_like(y_true, y_pred):
        return 1.0

    model = fn.Sequential(layers or [Dense(8, "tanh", name="hidden"), Dense(3, name="out")])
    model.compile(
        optimizer or optimizers.SGD(0.1, momentum=0.9),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        [mae_like if metric == "mae_like" else metric for metric in metrics],
    )
    return model


def test_early_stopping_of_a_model(rng):
    x, y = data(rng)
    weights = []

    model = classifier(optimizers.SGD(30.0))  # so that it soon gets worse
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()))
    stop = EarlyStopping("loss", patience=3, restore_best_weights=True)
    history = model.fit(x, y, epochs=200, callbacks=[keep, stop]).history["loss"]
    assert 3 < len(history) < 200 and stop.stopped_epoch == len(history) - 1
    assert stop.best_epoch == int(np.argmin(history)) and stop.best == min(history)
    for found, expected in zip(model.get_weights(), weights[stop.best_epoch], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_learning_rate_scheduler(rng, capsys):
    x, y = data(rng)
    model = classifier(optimizers.SGD(0.4))
    seen = []

    def halve(epoch, rate):
        seen.append((epoch, rate))
        return rate / 2

    history = model.fit(x, y, epochs=3, callbacks=LearningRateScheduler(halve, verbose=1)).history
    assert seen == [(0, 0.4), (1, 0.2), (2, 0.1)]
    assert history["learning_rate"] == [0.2, 0.1, 0.05]
    assert capsys.readouterr().out.startswith("epoch 1: learning rate 0.2\n")
    model.fit(x, y, callbacks=LearningRateScheduler(lambda epoch: 1e-3 * (epoch + 1)))
    assert model.optimizer.learning_rate == 1e-3
    for rate in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError) as error:
            model.fit(x, y, callbacks=LearningRateScheduler(lambda epoch, was, new=rate: new))
        assert str(error.value) == (
            f"schedule at epoch 0: expected a non-negative number, got {rate}"
        )
    with pytest.raises(TypeError, match="schedule: expected a function, got 3"):
        LearningRateScheduler(3)


def test_a_warm_up_from_a_rate_of_0(rng):
    x, y = data(rng)
    model = classifier(optimizers.SGD(0.4))
    model.build(x.shape[1])
    before, after = model.get_weights(), []
    model.fit(
        x,
        y,
        epochs=2,
        callbacks=[
            LearningRateScheduler(lambda epoch: 0.1 * epoch),
            LambdaCallback(on_epoch_end=lambda epoch, logs: after.append(model.get_weights())),
        ],
    )
    assert model.history.history["learning_rate"] == [0, 0.1]
    for old, first, second in zip(before, *after, strict=True):
        assert old.tobytes() == first.tobytes()
        assert (old != second).any()


def test_reduce_lr_to_0(rng):
    x, y = data(rng)
    model = classifier(optimizers.SGD(0.4))
    callback = ReduceLROnPlateau("loss", factor=0, patience=1, min_delta=100)
    history = model.fit(x, y, epochs=4, callbacks=callback).history
    assert history["learning_rate"] == [0.4, 0.4, 0, 0]


def test_learning_rates_are_those_of_a_schedule(rng):
    # 60 rows in batches of 20: the same rates by epoch and by step give the same weights.
    x, y = data(rng)
    found = []
    for schedule, callbacks in [
        (lambda step: 0.1 / (1 + step // 3), None),
        (0.1, LearningRateScheduler(lambda epoch, rate: 0.1 / (1 + epoch))),
    ]:
        model = classifier(optimizers.SGD(schedule))
        model.fit(x, y, batch_size=20, epochs=4, callbacks=callbacks)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_reduce_lr_is_in_the_history(rng):
    x, y = data(rng)
    model = classifier(optimizers.SGD(0.4))
    callback = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=100)
    history = model.fit(x, y, epochs=4, callbacks=callback).history
    assert history["learning_rate"] == [0.4, 0.4, 0.2, 0.1]  # of the epoch, before the change


@pytest.mark.parametrize(
    "callback", [ReduceLROnPlateau("loss"), LearningRateScheduler(lambda epoch: 0.1)]
)
def test_an_optimizer_with_a_schedule_is_refused(rng, callback):
    x, y = data(rng)
    model = classifier(optimizers.SGD(lambda step: 0.1))
    message = f"learning_rate: expected a number that {type(callback).__name__} can change"
    with pytest.raises(TypeError, match=message):
        model.fit(x, y, callbacks=callback)
    assert model.optimizer.iterations == 0


def test_model_checkpoint(tmp_path):
    script = Script()
    script.run(ModelCheckpoint(tmp_path / "a" / "{epoch:02d}-{val_loss:.2f}", "val_loss"))
    assert script.paths == [
        str(tmp_path / "a" / f"{epoch:02d}-{value:.2f}") for epoch, value in enumerate(VALUES, 1)
    ]
    assert (tmp_path / "a").is_dir()
    script = Script()
    script.run(ModelCheckpoint("{epoch}", save_best_only=True))
    assert script.paths == ["1", "2", "4", "6", "10", "16"]
    script = Script()
    script.run(ModelCheckpoint("{epoch}", save_best_only=True, initial_value_threshold=3.6))
    assert script.paths == ["10", "16"]
    script = Script()
    script.run(ModelCheckpoint("{epoch}", save_best_only=True, mode="max"))
    assert script.paths == ["1"]
    with pytest.raises(ValueError, match="filepath: expected fields among val_loss, epoch, got"):
        Script().run(ModelCheckpoint("{val_accuracy}"))


@pytest.mark.parametrize(
    "name, message",
    [
        ("{val_los}", "filepath: expected fields among loss, epoch, got 'val_los' in '"),
        ("{0}", "filepath: expected fields among loss, epoch, got "),
        ("{loss:d}", "filepath: expected formats of numbers, got '"),
    ],
)
def test_model_checkpoint_of_a_name_that_cannot_be_made(name, message, tmp_path, rng):
    x, y = data(rng)
    with pytest.raises(ValueError) as error:
        classifier().fit(x, y, callbacks=ModelCheckpoint(tmp_path / name))
    assert str(error.value).startswith(message)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="filepath: expected fields in braces, got 'model-{epoch'"):
        ModelCheckpoint("model-{epoch")
    with pytest.raises(TypeError, match="filepath: expected a str or PathLike, got 3"):
        ModelCheckpoint(3)


def test_model_checkpoint_by_batches(rng, monkeypatch):
    x, y = data(rng)
    saved = []
    monkeypatch.setattr(
        fn.Sequential, "save_weights", lambda model, path: saved.append(path), raising=False
    )
    model = classifier()
    callback = ModelCheckpoint("{epoch}-{batch}", save_freq=4, save_weights_only=True)
    assert callback.wants_batches and not ModelCheckpoint("x").wants_batches
    model.fit(x, y, batch_size=10, epochs=2, callbacks=callback)  # six batches an epoch
    assert saved == ["1-4", "2-2", "2-6"]
    with pytest.warns(UserWarning, match="expected 'val_loss' in the logs, got loss"):
        model.fit(
            x,
            y,
            callbacks=ModelCheckpoint("{epoch}", save_best_only=True, save_weights_only=True),
        )
    assert saved[3:] == ["1"]  # rather saved than not


def test_csv_logger(tmp_path, rng):
    x, y = data(rng)
    model = classifier(metrics=["accuracy", ConfusionMatrix()])
    path = tmp_path / "log.csv"
    path.write_text("of before")
    history = model.fit(x, y, epochs=2, callbacks=CSVLogger(path, ";")).history
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert list(rows[0]) == ["epoch", "accuracy", "confusion_matrix", "loss"]
    assert [float(row["loss"]) for row in rows] == history["loss"]
    assert rows[1]["confusion_matrix"] == str(history["confusion_matrix"][1].tolist())
    model.fit(x, y, epochs=3, initial_epoch=2, callbacks=CSVLogger(path, ";", append=True))
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, callbacks=CSVLogger(path, ";", append=True))
    with open(path, newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    assert [row[0] for row in rows] == ["epoch", "0", "1", "2", "0"]
    assert len(rows[3]) == 4 and rows[4] == ["0", str(model.history.history["loss"][0])]
    # A key that later epochs lack is NA.
    logger = CSVLogger(tmp_path / "na.csv")
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 1.0, "b": 2})
    logger.on_epoch_end(1, {"loss": 0.5})
    assert (tmp_path / "na.csv").read_text().split() == ["epoch,b,loss", "0,2,1.0", "1,NA,0.5"]
    with pytest.raises(FileNotFoundError):
        model.fit(x, y, callbacks=CSVLogger(tmp_path / "no" / "log.csv"))
    with pytest.raises(ValueError, match="separator: expected one character, got ';;'"):
        CSVLogger(path, ";;")
    with pytest.raises(TypeError, match="filename: expected a str or PathLike, got 3"):
        CSVLogger(3)
    with pytest.raises(TypeError, match="append: expected True or False, got 'a'"):
        CSVLogger(path, append="a")


# ---- health --------------------------------------------------------------------------------------


class Own(Layer):
    """A layer in Python, so that the model takes the eager road."""

    def forward(self, x, training=False):
        return x

    def backward(self, dy):
        return dy


def stack(road):
    layers = [Dense(8, "relu", name="low"), Dense(7, name="middle"), Dense(3, name="top")]
    return [Own(), *layers] if road == "eager" else layers


@pytest.mark.parametrize("road", ["plan", "eager"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_terminate_on_nan_names_the_layer(rng, road, momentum):
    x, y = data(rng)
    # In epoch 2 the middle layer overflows: one weight is set so large that its outputs do.
    model = classifier(optimizers.SGD(1e-3, momentum=momentum), layers=stack(road))
    callback = TerminateOnNaN()
    states = []

    def spoil(epoch, logs):
        if epoch == 1:
            model.layers[-2].weights["kernel"][:] = 3e38
        states.append(model.get_weights())

    with pytest.warns(UserWarning) as caught:
        history = model.fit(
            x,
            y,
            batch_size=20,
            epochs=5,
            callbacks=[LambdaCallback(on_epoch_begin=spoil), callback],
        )
    (warning,) = caught
    assert str(warning.message).startswith(
        "training ended: outputs of layer middle not finite in epoch 2, batch 1; "
    )
    assert warning.filename == __file__
    assert callback.cause == "outputs of layer middle"
    assert (callback.stopped_epoch, callback.stopped_batch) == (1, 0)
    assert history.epoch == [0, 1] and not math.isfinite(history.history["loss"][1])
    # The model has the finite weights of before that batch.
    for found, expected in zip(model.get_weights(), states[1], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert model.optimizer.iterations == 3


@pytest.mark.parametrize("road", ["plan", "eager"])
def test_terminate_on_nan_finds_the_batch(rng, road):
    x, y = data(rng)
    x[37, 2] = np.nan
    model = classifier(optimizers.SGD(1e-2, momentum=0.9), layers=stack(road))
    callback = TerminateOnNaN()
    with pytest.warns(UserWarning, match="training ended: inputs not finite in epoch 1, batch"):
        model.fit(x, y, batch_size=10, epochs=5, callbacks=callback)
    assert callback.cause == "inputs" and callback.stopped_epoch == 0
    # What it is left with is what the batches before the bad one make: the same bits.
    fn.set_random_seed(3)
    twin = classifier(optimizers.SGD(1e-2, momentum=0.9), layers=stack(road))
    twin.build(5)
    order = fn._random.permutation(60)
    assert callback.stopped_batch == int(np.argmax(order == 37)) // 10
    for start in range(0, 10 * callback.stopped_batch, 10):
        twin.train_on_batch(x[order[start : start + 10]], y[order[start : start + 10]])
    for found, expected in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert model.optimizer.iterations == twin.optimizer.iterations
    # It trains on as if nothing had been.
    for one in (model, twin):
        one.train_on_batch(x[:10], y[:10])
    for found, expected in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("road", ["plan", "eager"])
def test_terminate_on_nan_of_a_diverging_run(rng, road):
    x, y = data(rng)
    model = classifier(optimizers.SGD(1e30), layers=stack(road))
    callback = TerminateOnNaN()
    with pytest.warns(UserWarning, match="training ended: "), np.errstate(all="ignore"):
        model.fit(x, y, epochs=50, callbacks=callback)
    assert callback.stopped_batch is not None
    assert any(callback.cause.startswith(what) for what in ("outputs", "gradients", "weights"))
    assert all(np.isfinite(weight).all() for weight in model.weights)


def test_terminate_on_nan_that_raises(rng):
    x, y = data(rng)
    x[3, 1] = np.inf
    model = classifier(layers=[Dense(8, "relu", name="low"), Dense(3)])
    callback = TerminateOnNaN(raise_error=True)
    with pytest.raises(RuntimeError, match="training ended: inputs not finite in epoch 1, batch"):
        model.fit(x, y, epochs=3, callbacks=callback)
    assert all(np.isfinite(weight).all() for weight in model.weights)
    assert callback.stopped_epoch == 0 and model.running_epoch is None


def test_terminate_on_nan_leaves_a_good_run_alone(rng):
    x, y = data(rng)
    found = []
    for callbacks in (None, TerminateOnNaN()):
        model = classifier()
        model.fit(x, y, epochs=4, callbacks=callbacks)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert callbacks.cause is None and not callbacks.wants_batches
    assert model.running_epoch is None


def test_a_copy_of_a_model_in_training_holds_no_data(rng):
    x, y = data(rng)
    model, copies = classifier(), []

    def keep(epoch, logs):
        copies.append((model.running_epoch, copy.copy(model)))

    model.fit(x, y, batch_size=7, callbacks=LambdaCallback(on_epoch_end=keep))
    ((running, other),) = copies
    np.testing.assert_array_equal(running[0].x, x)
    assert sorted(running[1]) == list(range(60)) and running[2] == 7
    assert other.running_epoch is None


def test_terminate_on_nan_that_does_not_come_again(rng):
    # A layer that draws a NaN only once: the second run cannot find it, and says what is left.
    class Once(Own):
        calls = 0

        def forward(self, x, training=False):
            self.calls += 1
            return x * np.float32(np.nan) if self.calls == 2 else x

    x, y = data(rng)
    model = classifier(layers=[Once(), Dense(3, name="top")])
    callback = TerminateOnNaN()
    with pytest.warns(UserWarning, match="weights of layer top not finite in epoch 1;"):
        model.fit(x, y, epochs=3, callbacks=callback)
    assert callback.stopped_batch is None and model.history.epoch == [0]
    assert np.isnan(model.weights[0]).all()


def test_terminate_on_nan_with_layers_that_draw(rng):
    # What such a layer does depends on how often it drew; the second run draws the same.
    class Drawing(Own):
        draws = 0

        def forward(self, x, training=False):
            self.draws += training
            return x * np.float32(np.inf) if self.draws == 9 else x

    x, y = data(rng)
    model = classifier(layers=[Drawing(name="drawing"), Dense(3, name="top")])
    callback = TerminateOnNaN()
    with pytest.warns(UserWarning, match="outputs of layer drawing not finite in epoch 3, batch 3"):
        model.fit(x, y, batch_size=20, epochs=5, callbacks=callback)
    assert (callback.stopped_epoch, callback.stopped_batch) == (2, 2)
    assert model.optimizer.iterations == 8


def test_gradient_monitor_against_central_differences(rng):
    x, y = data(rng, "d")
    layers = [
        Dense(4, "tanh", name="low", dtype="float64"),
        Activation("sigmoid", name="gate", dtype="float64"),
        Dense(3, name="top", dtype="float64"),
    ]
    model = classifier(layers=layers)
    monitor = GradientMonitor(x, y, rows=20)
    model.fit(x, y, epochs=3, callbacks=monitor)
    assert list(monitor.history) == ["low", "top"]
    assert list(monitor.activations) == ["low", "gate", "top"]
    kept = [*monitor.history.values(), *monitor.activations.values()]
    assert {len(sizes) for sizes in kept} == {3}
    low = np.tanh(x[:20] @ model.weights[0] + model.weights[1])
    expected = np.sqrt(np.square(low).sum(axis=1).mean())
    assert monitor.activations["low"][-1] == pytest.approx(expected, rel=1e-12)

    def value():
        return model.loss(y[:20], model(x[:20]))

    for layer in (layers[0], layers[2]):
        square, step = 0.0, 1e-5
        for weight in layer.weights.values():
            for index in np.ndindex(weight.shape):
                old = weight[index]
                weight[index] = old + step
                above = value()
                weight[index] = old - step
                square += ((above - value()) / (2 * step)) ** 2
                weight[index] = old
        # The error of a central difference: step squared, and eps / step.
        found = monitor.history[layer.name][-1]
        assert found == pytest.approx(math.sqrt(square), abs=1e-8)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("last, loss, y", [
    ("softmax", losses.SparseCategoricalCrossentropy, [0]),
    ("softmax", losses.CategoricalCrossentropy, [[1, 0]]),
    ("sigmoid", losses.BinaryCrossentropy, [[1, 0]]),
])  # fmt: skip
def test_gradient_monitor_of_certain_and_wrong_probabilities(last, loss, y, apart):
    # Logits -40 and 40: the gradient of the loss by the logits is -1 and 1, or half of that for a
    # mean of two, and so is the step; by the probabilities, which round to 0 and 1, it is 0.
    layers = [Dense(2, None if apart else last, use_bias=False, name="top")]
    model = fn.Sequential(layers + [Activation(last, name="last")] * apart)
    model.compile(optimizers.SGD(1.0), loss())
    model.build(1)
    model.set_weights([[[-40, 40]]])
    monitor = GradientMonitor([[1]], y)
    monitor.set_model(model)
    gradients, activations = monitor.measure()
    step = 0.5 if last == "sigmoid" else 1
    assert gradients == {"top": pytest.approx(step * math.sqrt(2))}
    assert activations["last" if apart else "top"] == pytest.approx(1)
    if apart:
        assert activations["top"] == pytest.approx(40 * math.sqrt(2))
    model.fit([[1]], y)
    np.testing.assert_allclose(model.get_weights(), [[[step - 40, 40 - step]]], rtol=1e-6)


@pytest.mark.parametrize("road", ["plan", "eager"])
def test_terminate_on_nan_of_certain_and_wrong_probabilities(road):
    # The gradient by the logits is -1 and 1 in each row: times inputs of 3e38, beyond float32.
    x, y = np.full((2, 1), 3e38, "f"), [0, 0]
    top = Dense(2, "softmax", use_bias=False, name="top")
    loss = losses.SparseCategoricalCrossentropy(reduction="sum")
    model = fn.Sequential([Own(), top] if road == "eager" else [top])
    model.compile(optimizers.SGD(1.0), loss)
    model.build(1)
    model.set_weights([[[-1e-37, 1e-37]]])
    callback = TerminateOnNaN()
    with pytest.warns(UserWarning, match="training ended: gradients of layer top not finite"):
        model.fit(x, y, callbacks=callback)
    np.testing.assert_array_equal(model.weights[0], np.array([[-1e-37, 1e-37]], "f"))


def test_gradient_monitor_changes_nothing(rng):
    x, y = data(rng)

    class Noise(Own):
        passes = 0

        def forward(self, x, training=False):
            self.passes += 1
            if training:
                x = x + fn._random.generator().standard_normal(x.shape).astype(x.dtype)
            return x

    found = []
    for monitored in (False, True):
        model = classifier(layers=[Noise(), Dense(8, "relu", name="low"), Dense(3, name="top")])
        model.layers[1].gradients["mine"] = "kept"
        callbacks = GradientMonitor(x, y) if monitored else None
        history = model.fit(x, y, epochs=3, batch_size=20, callbacks=callbacks)
        assert model.layers[1].gradients["mine"] == "kept"
        found.append([*model.get_weights(), np.array(history.history["loss"])])
        found[-1].append(fn._random.generator().random(3))
        found[-1].append([model.optimizer.iterations, model.layers[0].passes])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not callbacks.wants_batches
    model = classifier()  # on the plan, which fills no gradients
    model.fit(x, y, callbacks=GradientMonitor(x, y))
    assert not model.layers[0].gradients


def test_gradient_monitor_of_pictures(rng):
    x, y = rng.random((20, 2, 3)), rng.integers(0, 3, 20)
    layers = [fn.Input((2, 3)), Flatten(), Dense(4, "relu", name="low"), Dense(3, name="top")]
    model = classifier(layers=layers)
    pictures, rows = GradientMonitor(x, y), GradientMonitor(x.reshape(20, 6), y)
    model.fit(x, y, epochs=2, callbacks=[pictures, rows])
    assert pictures.history == rows.history and list(rows.history) == ["low", "top"]


def test_gradient_monitor_shows_vanishing_gradients(rng):
    x, y = data(rng)
    deep = [Dense(8, "sigmoid", name=f"layer{i}") for i in range(8)]
    model = classifier(layers=[*deep, Dense(3, name="out")])
    monitor = GradientMonitor(x, y)
    model.fit(x, y, callbacks=monitor)
    sizes = [norms[0] for norms in monitor.history.values()]
    assert sizes[0] < 1e-3 * sizes[-1] and sizes[:-1] == sorted(sizes[:-1])


def test_gradient_monitor_of_data_that_do_not_fit(rng):
    x, y = data(rng)
    model = classifier()
    for monitor, message in [
        (GradientMonitor(x[:, :4], y), "x: expected 5 features, got 4"),
        (GradientMonitor(x, y + 3), r"y_true: expected labels in \[0, 3\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, callbacks=monitor)
    assert model.optimizer.iterations == 0
    with pytest.raises(ValueError, match="y: expected 60 rows, got 59"):
        GradientMonitor(x, y[1:])
    twice = classifier(layers=[Dense(3, name="a"), Dense(3, name="b")])
    twice.layers[1].name = "a"
    with pytest.raises(ValueError, match="layers: expected names that differ, got a twice"):
        twice.fit(x, y, callbacks=GradientMonitor(x, y))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: EarlyStopping(patience=-1), "patience: expected a non-negative integer, got -1"),
        (lambda: EarlyStopping(mode="mix"), "mode: expected one of auto, min, max, got 'mix'"),
        (lambda: EarlyStopping(min_delta=math.nan), "min_delta: expected a finite number"),
        (lambda: ReduceLROnPlateau(factor=1.0), "factor: expected a number in [0, 1), got 1.0"),
        (lambda: ModelCheckpoint("x", save_freq=0), "save_freq: expected a positive integer"),
        (lambda: GradientMonitor([[1]], [1], rows=0), "rows: expected a positive integer, got 0"),
    ],
)
def test_errors_of_arguments(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(message)
