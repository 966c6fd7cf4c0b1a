"""Metrics: counted by hand, over batches and weights; by name, by loss, from plain functions."""

import numpy as np
import pytest
import sklearn.metrics

from fastnn import losses, metrics
from fastnn.metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    MeanAbsoluteError,
    MeanMetric,
    MeanSquaredError,
    Metric,
    SparseCategoricalAccuracy,
)


def evaluate(metric, *batches):
    metric.reset_state()
    for batch in batches:
        metric.update_state(*batch)
    result = metric.result()
    assert type(result) is float
    return result


def test_by_hand():
    y_pred = [[0.1, 0.9, 0.0], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]
    assert evaluate(SparseCategoricalAccuracy(), ([1, 0, 2, 2], y_pred)) == 0.75
    assert evaluate(SparseCategoricalAccuracy(), ([[1], [0], [0], [2]], y_pred)) == 0.5
    one_hot = np.eye(3)[[1, 0, 2, 2]]
    assert evaluate(CategoricalAccuracy(), (one_hot, y_pred)) == 0.75
    assert evaluate(BinaryAccuracy(), ([1, 1, 0, 0], [0.98, 1, 0, 0.6])) == 0.75
    assert evaluate(BinaryAccuracy(0.7), ([1, 1, 0, 0], [0.98, 1, 0, 0.6])) == 1
    assert evaluate(BinaryAccuracy(0), ([1, 0], [[2.5], [-1.0]])) == 1
    assert evaluate(BinaryAccuracy(), ([[1, 0], [1, 1]], [[1, 1], [0.5, 0.6]])) == 0.5
    assert evaluate(Accuracy(), ([1, 2, 3, 4], [0, 2, 3, 4])) == 0.75
    assert evaluate(MeanSquaredError(), ([[0, 1], [0, 0]], [[1, 1], [0, 3]])) == 2.5
    assert evaluate(MeanAbsoluteError(), ([[0, 1], [0, 0]], [[1, 1], [0, 3]])) == 1
    assert evaluate(MeanAbsoluteError(), ([0, 1], [[1], [4]])) == 2


def test_weights():
    # Keras's published figures; the mean is over weights, not rows.
    y_pred = [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]
    weighted = ([2, 1], y_pred, [0.7, 0.3])
    assert evaluate(SparseCategoricalAccuracy(), weighted) == pytest.approx(0.3)
    weighted = ([1, 1, 0, 0], [0.98, 1, 0, 0.6], [1, 0, 0, 1])
    assert evaluate(BinaryAccuracy(), weighted) == 0.5
    weighted = ([[0, 1], [0, 0]], [[1, 1], [0, 0]], [[1], [0]])
    assert evaluate(MeanSquaredError(), weighted) == 0.5
    assert evaluate(Accuracy(), ([1, 2], [1, 2], [0, 0])) == 0


@pytest.mark.parametrize("cut", [1, 17, 50, 99])
def test_batches_of_unequal_size(cut, rng):
    labels, y_pred = rng.integers(0, 5, 100), rng.standard_normal((100, 5)).astype("f")
    weight = rng.uniform(size=100)
    one_hot = np.eye(5)[labels]
    expected = {
        SparseCategoricalAccuracy: sklearn.metrics.accuracy_score(
            labels, y_pred.argmax(axis=1), sample_weight=weight
        ),
        CategoricalAccuracy: np.average(labels == y_pred.argmax(axis=1), weights=weight),
        MeanSquaredError: sklearn.metrics.mean_squared_error(one_hot, y_pred, sample_weight=weight),
        MeanAbsoluteError: sklearn.metrics.mean_absolute_error(
            one_hot, y_pred, sample_weight=weight
        ),
    }
    for cls, wanted in expected.items():
        y_true = labels if cls is SparseCategoricalAccuracy else one_hot
        data = (y_true, y_pred, weight)
        batches = [[x[:cut] for x in data], [x[cut:] for x in data]]
        assert evaluate(cls(), *batches) == pytest.approx(wanted, rel=1e-12)


def test_state():
    metric = MeanSquaredError()
    assert metric.result() == 0
    metric.update_state([1.0], [3.0])
    assert metric.result() == 4
    metric.reset_state()
    assert metric.result() == 0


def test_get():
    for name, cls in {
        "mse": MeanSquaredError,
        "mean_absolute_error": MeanAbsoluteError,
        "SparseCategoricalAccuracy": SparseCategoricalAccuracy,
    }.items():
        metric = metrics.get(name)
        assert type(metric) is cls and metric.name == name
    metric = BinaryAccuracy(0.25, name="b")
    assert metrics.get(metric) is metric
    assert metrics.get(metric.identifier()).get_config() == {"threshold": 0.25, "name": "b"}
    assert metrics.get(MeanSquaredError).name == "mean_squared_error"
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        metrics.get("acuracy")
    with pytest.raises(TypeError) as error:
        metrics.get(3)
    assert str(error.value) == "metric: expected a name or an instance of Metric, got int"
    with pytest.raises(TypeError):
        metrics.get(losses.MeanSquaredError())


def test_accuracy_fits_the_loss():
    fits = {
        losses.SparseCategoricalCrossentropy(): SparseCategoricalAccuracy,
        losses.CategoricalCrossentropy(from_logits=True): CategoricalAccuracy,
        losses.BinaryCrossentropy(): BinaryAccuracy,
        losses.BinaryCrossentropy(from_logits=True): BinaryAccuracy,
    }
    for loss, cls in fits.items():
        metric = metrics.get("accuracy", loss)
        assert type(metric) is cls and metric.name == "accuracy"
        if cls is BinaryAccuracy:
            assert metric.threshold == (0 if loss.from_logits else 0.5)
    assert metrics.get("acc", loss).name == "acc"


@pytest.mark.parametrize("loss", [None, losses.MeanSquaredError()])
def test_accuracy_fits_the_shapes(loss):
    y_pred = [[0.1, 0.9], [0.8, 0.2]]
    assert evaluate(metrics.get("accuracy", loss), ([1, 1], y_pred)) == 0.5
    assert evaluate(metrics.get("accuracy", loss), ([[0, 1], [1, 0]], y_pred)) == 1
    assert evaluate(metrics.get("accuracy", loss), ([1, 1, 0], [[0.6], [0.4], [0.1]])) == 2 / 3


def test_plain_functions():
    def median_error(y_true, y_pred):
        return float(np.median(np.abs(y_true - y_pred)))

    def row_maximum(y_true, y_pred):
        return np.abs(y_true - y_pred).max(axis=1)

    metric = metrics.get(median_error)
    assert metric.name == "median_error"
    # One number for each batch, weighted by the rows of the batch.
    batches = ([[0.0]], [[4.0]]), ([[0.0]] * 3, [[1.0], [2.0], [8.0]])
    assert evaluate(metric, *batches) == (4 + 3 * 2) / 4
    rows = ([[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [8.0, 4.0]])
    assert evaluate(metrics.get(row_maximum), rows) == 5
    assert evaluate(metrics.get(row_maximum), (*rows, [3, 1])) == 3.5
    assert evaluate(metrics.get(sklearn.metrics.r2_score), ([1.0, 2.0], [1.0, 2.0])) == 1


def test_own_metrics():
    class Within(MeanMetric):
        def values(self, y_true, y_pred):
            return np.abs(y_true - y_pred).max(axis=-1) < 0.5

    class Highest(Metric):
        def __init__(self):
            super().__init__("top")
            self.reset_state()

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.highest = max(self.highest, float(np.max(y_pred)))

        def result(self):
            return self.highest

        def reset_state(self):
            self.highest = -np.inf

    assert evaluate(Within(), ([[1.0], [2.0]], [[1.2], [3.0]])) == 0.5
    assert evaluate(metrics.get(Highest()), ([[0]], [[3.0]]), ([[0]], [[2.0]])) == 3
    assert Within().name == "within"
    with pytest.raises(NotImplementedError, match="Metric: a metric defines update_state"):
        Metric().update_state([1], [1])


@pytest.mark.parametrize(
    "metric, batch, message",
    [
        (
            SparseCategoricalAccuracy(),
            ([0, 3], [[1, 2, 3], [1, 2, 3]]),
            "y_true: expected labels in [0, 3), got 3 at row 1",
        ),
        (
            CategoricalAccuracy(),
            ([[1, 0], [1, 0]], [[1, 2, 3], [1, 2, 3]]),
            "y_true: expected shape (2, 3), got (2, 2)",
        ),
        (Accuracy(), ([1, 2, 3], [1, 2]), "y_true: expected 2 rows, got 3 (shape (3,))"),
        (Accuracy(), ([1, 2], [1, 2], [1]), "sample_weight: expected shape (2,), got (1,)"),
        (
            metrics.get(lambda y_true, y_pred: y_pred),
            ([[1], [2]], [[1], [2]]),
            "output of values: expected shape (2,), got (2, 1)",
        ),
    ],
)
def test_errors(metric, batch, message):
    with pytest.raises(ValueError) as error:
        metric.update_state(*batch)
    assert str(error.value) == message
    assert metric.result() == 0
