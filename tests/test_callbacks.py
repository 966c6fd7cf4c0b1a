"""Callbacks: what is called, in which order, and that what is not wanted costs nothing."""

import pytest

from fastnn.callbacks import Callback, CallbackList, History, LambdaCallback

HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


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
        ("on_epoch_end", 0, {"loss": 0.0, "val_loss": -1.0}),
        ("on_train_end", {"loss": 1.0}),
    ]


def test_history():
    history = History()
    run(CallbackList([history]))
    assert history.epoch == [0, 1]
    assert history.history == {"loss": [0.0, 1.0], "val_loss": [-1.0, -1.0]}
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
