"""The progress bar and the lines of `fit`."""

import re

import numpy as np
import pytest

import fastnn as fn
from fastnn.progress import Progress


def fit(epochs=2, **options):
    fn.set_random_seed(1)
    model = fn.Sequential([fn.layers.Dense(2)])
    model.compile("sgd", "mse", ["mae"])
    x = np.ones((20, 3))
    return model.fit(x, x[:, :2], batch_size=5, epochs=epochs, **options)


@pytest.mark.parametrize("verbose", [0, "auto"])
def test_quiet_without_a_terminal(capsys, verbose):
    fit(verbose=verbose)
    assert capsys.readouterr() == ("", "")


def test_a_line_for_each_epoch(capsys):
    history = fit(verbose=2, validation_split=0.5)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for epoch, line in enumerate(lines):
        logs = ", ".join(f"{key} {values[epoch]:.4g}" for key, values in history.history.items())
        assert line == f"epoch {epoch + 1}/2: {logs}"
    assert re.search("loss .*, mae .*, val_loss .*, val_mae", lines[0])


@pytest.mark.parametrize("verbose", [1, True])
def test_a_bar(capsys, verbose):
    fit(epochs=3, verbose=verbose)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 3/3: 100%" in err and "12.0/12.0" in err and "loss" in err and "mae" in err
    fit(epochs=5, initial_epoch=4, verbose=verbose)
    assert "epoch 5/5: 100%" in capsys.readouterr().err


def test_auto_is_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert Progress("auto", 1, 0, 1).verbose == 1


def test_the_bar_is_closed_after_an_error(capsys):
    progress = Progress(1, 4, 0, 1)
    with pytest.raises(KeyboardInterrupt), progress:
        progress.update(0, 2, {"loss": 0.5})
        raise KeyboardInterrupt
    assert progress.bar.disable  # as tqdm marks a closed bar
    assert "2.00/4.00" in capsys.readouterr().err


def test_no_steps(capsys):
    with Progress(1, 4, 3, 3):
        pass
    with Progress(2, 4, 0, 1) as progress:
        progress.update(0, 4, {})
        progress.end_epoch(0, {"loss": 1234.5678})
    assert capsys.readouterr().out == "epoch 1/1: loss 1235\n"
