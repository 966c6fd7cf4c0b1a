"""Metrics: counted by hand, over batches and weights; by name, by loss, from plain functions."""

import numpy as np
import pytest
import sklearn.metrics

import fastnn as fn
from fastnn import losses, metrics
from fastnn.callbacks import LambdaCallback
from fastnn.layers import Dense
from fastnn.metrics import (
    AUC,
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    ConfusionMatrix,
    F1Score,
    FBetaScore,
    MeanAbsoluteError,
    MeanMetric,
    MeanSquaredError,
    Metric,
    OnLabels,
    OnOutputs,
    Precision,
    R2Score,
    Recall,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)


def evaluate(metric, *batches):
    result = evaluate_array(metric, *batches)
    assert type(result) is float
    return result


def evaluate_array(metric, *batches):
    metric.reset_state()
    for batch in batches:
        metric.update_state(*batch)
    return metric.result()


def test_by_hand():
    y_pred = [[0.1, 0.9, 0.0], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]
    assert evaluate(SparseCategoricalAccuracy(), ([1, 0, 2, 2], y_pred)) == 0.75
    assert evaluate(SparseCategoricalAccuracy(), ([[1], [0], [0], [2]], y_pred)) == 0.5
    one_hot = np.eye(3)[[1, 0, 2, 2]]
    assert evaluate(CategoricalAccuracy(), (one_hot, y_pred)) == 0.75
    assert evaluate(BinaryAccuracy(), ([1, 1, 0, 0], [0.98, 1, 0, 0.6])) == 0.75
    assert evaluate(BinaryAccuracy(threshold=0.7), ([1, 1, 0, 0], [0.98, 1, 0, 0.6])) == 1
    assert evaluate(BinaryAccuracy(threshold=0), ([1, 0], [[2.5], [-1.0]])) == 1
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


# ---- figures of Keras 3.15, computed in float32 ------------------------------------------------

BINARY = [0, 0, 1, 1, 1, 0, 1, 0, 0, 1]
SCORES = np.float32([0.1, 0.4, 0.35, 0.8, 0.5, 0.65, 0.92, 0.07, 0.5, 0.3])
WEIGHTS = [1, 2, 0.5, 1, 1, 3, 0.25, 1, 1, 2]
LABELS = [2, 1, 0, 1, 0]
ONE_HOT = np.eye(3)[LABELS]
SHARES = np.float32(
    [[0.1, 0.2, 0.7], [0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]]
)
Y_TRUE = [[1.0, 2], [0, -1], [3, 5], [-2, 0.5]]
Y_PRED = [[1.5, 2], [0.2, -2], [2.5, 4], [-1, 1]]
Y_WEIGHT = [1, 2, 0.5, 1]

KERAS = [
    (AUC(), (BINARY, SCORES), 0.69999999),
    (AUC(7), (BINARY, SCORES, WEIGHTS), 0.50657892),
    (AUC(7, summation_method="minoring"), (BINARY, SCORES, WEIGHTS), 0.44736844),
    (AUC(7, summation_method="majoring"), (BINARY, SCORES, WEIGHTS), 0.56578946),
    (AUC(curve="PR"), (BINARY, SCORES), 0.75293201),
    (AUC(7, curve="PR"), (BINARY, SCORES, WEIGHTS), 0.52100402),
    (AUC(7, curve="PR", summation_method="minoring"), (BINARY, SCORES, WEIGHTS), 0.43573642),
    (AUC(7, curve="PR", summation_method="majoring"), (BINARY, SCORES, WEIGHTS), 0.54845250),
    (AUC(thresholds=[0.6, 0.2]), (BINARY, SCORES), 0.72),
    (AUC(multi_label=True), (ONE_HOT, SHARES), 0.80555552),
    (AUC(multi_label=True, curve="PR"), (ONE_HOT, SHARES, WEIGHTS[:5]), 0.67720783),
    (
        AUC(9, multi_label=True, num_labels=3, label_weights=[1, 2, 0.5]),
        (ONE_HOT, SHARES),
        0.83333331,
    ),
    (AUC(from_logits=True), (BINARY, np.log(SCORES / (1 - SCORES))), 0.7),
    (metrics.TruePositives(), (BINARY, SCORES), 2),
    (metrics.TrueNegatives(), (BINARY, SCORES, WEIGHTS), 5),
    (metrics.FalsePositives([0.7, 0.3]), (BINARY, SCORES, WEIGHTS), [0, 6]),
    (metrics.FalseNegatives(0.3), (BINARY, SCORES, WEIGHTS), 2),
    (Precision(), (BINARY, SCORES), 0.66666669),
    (Precision([0.7, 0.3, 0.5]), (BINARY, SCORES, WEIGHTS), [1, 0.31428573, 0.29411766]),
    (Recall(), (BINARY, SCORES), 0.4),
    (Recall([0.7, 0.3, 0.5]), (BINARY, SCORES, WEIGHTS), [0.26315790, 0.57894737, 0.26315790]),
    (Precision(top_k=2), (ONE_HOT, SHARES), 0.5),
    (Recall(top_k=1), (LABELS, SHARES), 0.6),
    (Precision(0.25, class_id=1), (ONE_HOT, SHARES), 0.5),
    (Recall(top_k=2, class_id=0), (ONE_HOT, SHARES), 1),
    (TopKCategoricalAccuracy(k=1), (ONE_HOT, SHARES), 0.6),
    (TopKCategoricalAccuracy(k=2), (ONE_HOT, SHARES), 1),  # a tie for the second place is in it
    (SparseTopKCategoricalAccuracy(k=1), (LABELS, SHARES), 0.6),
    (SparseTopKCategoricalAccuracy(), (LABELS, SHARES), 1),
    (F1Score(), (ONE_HOT, SHARES), [0.49999994, 0.66666657, 0.66666657]),
    (F1Score("micro"), (ONE_HOT, SHARES), 0.59999996),
    (F1Score("macro"), (ONE_HOT, SHARES), 0.61111104),
    (F1Score("weighted"), (LABELS, SHARES), 0.59999990),
    (F1Score("micro", threshold=0.3), (ONE_HOT, SHARES), 0.54545450),
    (F1Score("macro", threshold=0.3), (ONE_HOT, SHARES), 0.55555552),
    (FBetaScore(beta=2), (ONE_HOT, SHARES), [0.5, 0.55555558, 0.83333319]),
    (FBetaScore("weighted", beta=2), (ONE_HOT, SHARES), 0.58888888),
    (RootMeanSquaredError(), (Y_TRUE, Y_PRED), 0.68829501),
    (RootMeanSquaredError(), (Y_TRUE, Y_PRED, Y_WEIGHT), 0.68353653),
    (
        metrics.MeanAbsolutePercentageError(),
        ([Y_TRUE[i] for i in (0, 2, 3)], [Y_PRED[i] for i in (0, 2, 3)]),
        39.44444656,
    ),
    (metrics.MeanAbsolutePercentageError(), (Y_TRUE, Y_PRED), 25000040),
    (metrics.CosineSimilarity(), (Y_TRUE, Y_PRED, Y_WEIGHT), 0.96252316),
    (R2Score(), (Y_TRUE, Y_PRED), 0.88362634),
    (R2Score(), (Y_TRUE, Y_PRED, Y_WEIGHT), 0.84088105),
    (R2Score(None), (Y_TRUE, Y_PRED, Y_WEIGHT), [0.84594119, 0.83582091]),
    (R2Score("variance_weighted_average"), (Y_TRUE, Y_PRED, Y_WEIGHT), 0.83946979),
    (R2Score(num_regressors=1), ([1, 0, 3, -2], [1.5, 0.2, 2.5, -1]), 0.82230771),
    (metrics.BinaryCrossentropy(), (BINARY, SCORES[:, None]), 0.56851935),
    (
        metrics.BinaryCrossentropy(from_logits=True),
        (BINARY, 4 * SCORES[:, None] - 2, WEIGHTS),
        0.70904827,
    ),
    (metrics.BinaryCrossentropy(label_smoothing=0.2), (BINARY, SCORES[:, None]), 0.63784581),
    (metrics.CategoricalCrossentropy(), (ONE_HOT, SHARES), 0.87481177),
    (metrics.CategoricalCrossentropy(label_smoothing=0.3), (ONE_HOT, SHARES), 0.97153729),
    (metrics.SparseCategoricalCrossentropy(from_logits=True), (LABELS, SHARES), 1.00291085),
]


@pytest.mark.parametrize("metric, batch, expected", KERAS, ids=lambda a: getattr(a, "name", ""))
def test_figures_of_keras(metric, batch, expected):
    # Ten roundings of float32 in each figure, and Keras's epsilon of 1e-7 in the F scores.
    found = evaluate_array(metric, batch)
    np.testing.assert_allclose(found, expected, rtol=1.5e-6)
    halves = [[part[:2] for part in batch], [part[2:] for part in batch]]
    np.testing.assert_allclose(evaluate_array(metric, *halves), found, rtol=1e-6)
    assert np.shape(found) == np.shape(expected)
    assert np.ndim(found) or type(found) is float
    again = type(metric).from_config(metric.get_config())
    np.testing.assert_array_equal(evaluate_array(again, batch), found)


# ---- against scikit-learn ----------------------------------------------------------------------


def in_batches(metric, *data):
    """The metric over batches of 1, 36 and 63 rows."""
    parts = [slice(0, 1), slice(1, 37), slice(37, 100)]
    return evaluate_array(metric, *([array[part] for array in data] for part in parts))


def test_areas_of_many_labels_against_scikit_learn(rng):
    true, pred = rng.random((100, 4)) > 0.6, np.round(rng.random((100, 4)), 2)
    weight, shares = rng.random(100), [1, 0, 2, 3]
    metric = AUC(10001, multi_label=True)
    for average, made in (
        ("macro", metric),
        (None, AUC(10001, multi_label=True, label_weights=shares)),
    ):
        expected = sklearn.metrics.roc_auc_score(true, pred, average=average, sample_weight=weight)
        expected = np.average(expected, weights=shares if average is None else None)
        assert in_batches(made, true, pred, weight) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="y_pred: expected 4 columns, got 3"):
        made.update_state(true[:, :3], pred[:, :3])
    with pytest.raises(ValueError, match=r"y_pred: expected shape \(100, 4\), got \(100, 3\)"):
        metric.update_state(true[:, :3], pred[:, :3])
    metric.reset_state()
    assert metric.result() == 0


def test_against_scikit_learn(rng):
    labels, weight = rng.integers(0, 2, 100), rng.uniform(size=100)
    scores = np.clip(labels + rng.normal(0, 0.8, 100), -1, 2).astype("f") / 3 + 1 / 3
    found = scores > 0.5
    for own, theirs in {
        Precision: sklearn.metrics.precision_score,
        Recall: sklearn.metrics.recall_score,
        lambda: FBetaScore(threshold=0.5): sklearn.metrics.f1_score,
    }.items():
        expected = theirs(labels, found, sample_weight=weight)
        assert in_batches(own(), labels, scores, weight) == pytest.approx(expected, rel=1e-12)
    exact = sklearn.metrics.roc_auc_score(labels, scores)
    # Many thresholds come near the exact area: what is left are scores between two of them.
    assert in_batches(AUC(5000), labels, scores) == pytest.approx(exact, abs=1e-3)
    true, pred = rng.normal(1e4, 1, (100, 3)), rng.normal(1e4, 1, (100, 3))
    expected = sklearn.metrics.r2_score(true, pred, sample_weight=weight)
    # float64 of 1e4: the differences have 12 digits.
    assert in_batches(R2Score(), true, pred, weight) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
def test_f_scores_against_scikit_learn(average, rng):
    labels, y_pred = rng.integers(0, 5, 100), rng.standard_normal((100, 5)).astype("f")
    labels[labels == 4] = 0  # a class that no row has
    for y_true in (labels, labels[:, None], np.eye(5)[labels]):
        found = in_batches(F1Score(average), y_true, y_pred)
        expected = sklearn.metrics.f1_score(labels, y_pred.argmax(axis=1), average=average)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_confusion_matrix(rng):
    labels, y_pred = rng.integers(0, 4, 100), rng.standard_normal((100, 4)).astype("f")
    expected = sklearn.metrics.confusion_matrix(labels, y_pred.argmax(axis=1))
    for y_true in (labels, np.eye(4)[labels]):
        found = in_batches(ConfusionMatrix(), y_true, y_pred)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, expected)
    weight = rng.uniform(size=100)
    np.testing.assert_allclose(
        in_batches(ConfusionMatrix(), labels, y_pred, weight),
        sklearn.metrics.confusion_matrix(labels, y_pred.argmax(axis=1), sample_weight=weight),
        rtol=1e-12,
    )
    binary = ConfusionMatrix()
    assert evaluate_array(binary, ([1, 0, 1], [0.7, 0.3, 0.2])).tolist() == [[1, 0], [1, 1]]
    binary.suit(losses.BinaryCrossentropy(from_logits=True))
    assert evaluate_array(binary, ([1, 0, 1], [0.7, 0.3, 0.2])).tolist() == [[0, 1], [0, 2]]


def test_counts_of_nan_and_ties():
    nan = np.nan
    # NaN is above no threshold and among no k highest.
    assert evaluate(Precision(), ([1, 0, 1], [0.6, nan, nan])) == 1
    assert evaluate(Recall(), ([1, 0, 1], [0.6, nan, nan])) == 0.5
    assert evaluate(SparseTopKCategoricalAccuracy(2), ([0, 2], [[nan, 1, 0], [nan, 1, 0]])) == 0
    # A float32 threshold: 0.1 is not above itself.
    assert evaluate(Recall(0.1), ([1.0], np.float32([0.1]))) == 0
    assert evaluate(SparseTopKCategoricalAccuracy(5), ([0, 2], [[nan, 1, 0], [2, 1, 0]])) == 0.5
    # A row of zeros predicts no class, rather than all.
    zeros = [0, 0, 0]
    assert evaluate(F1Score("micro"), ([0, 1, 2], [zeros, zeros, [0.2, 0.1, 0.7]])) == 0.5
    # Nothing predicted, nothing there: 0, not a division by zero.
    assert evaluate(Precision(), ([1], [0.2])) == evaluate(Recall(), ([0], [0.7])) == 0
    assert evaluate(AUC(), ([1, 1], [0.7, 0.2])) == 0
    assert evaluate(R2Score(), ([3, 3], [3, 3])) == 1 and evaluate(R2Score(), ([3, 3], [3, 4])) == 0


# ---- functions of a whole epoch ----------------------------------------------------------------


def test_on_labels(rng):
    labels, y_pred = rng.integers(0, 3, 100), rng.standard_normal((100, 3))
    for function, arguments in [
        (sklearn.metrics.f1_score, {"average": "macro"}),
        (sklearn.metrics.balanced_accuracy_score, {}),
        (sklearn.metrics.cohen_kappa_score, {"weights": "linear"}),
        (sklearn.metrics.matthews_corrcoef, {}),
    ]:
        expected = function(labels, y_pred.argmax(axis=1), **arguments)
        metric = OnLabels(function, **arguments)
        assert metric.name == function.__name__
        assert in_batches(metric, labels, y_pred) == expected
        assert in_batches(metric, np.eye(3)[labels], y_pred) == expected
        weight = rng.uniform(size=100)
        weighted = function(labels, y_pred.argmax(axis=1), **arguments, sample_weight=weight)
        assert in_batches(metric, labels, y_pred, weight) == pytest.approx(weighted, rel=1e-12)
        again = OnLabels.from_config(metric.get_config())
        assert in_batches(again, labels, y_pred) == expected
    matrix = in_batches(OnLabels(sklearn.metrics.confusion_matrix), labels, y_pred)
    np.testing.assert_array_equal(matrix, in_batches(ConfusionMatrix(), labels, y_pred))


def test_on_labels_of_one_output_and_of_many_labels(rng):
    labels, score = rng.integers(0, 2, 100), rng.standard_normal(100)
    metric = OnLabels(sklearn.metrics.f1_score)
    assert in_batches(metric, labels, score) == sklearn.metrics.f1_score(labels, score > 0.5)
    metric.suit(losses.BinaryCrossentropy(from_logits=True))
    assert in_batches(metric, labels, score) == sklearn.metrics.f1_score(labels, score > 0)
    metric = OnLabels(sklearn.metrics.f1_score, threshold=-1)
    metric.suit(losses.BinaryCrossentropy(from_logits=True))
    assert in_batches(metric, labels, score) == sklearn.metrics.f1_score(labels, score > -1)
    many, scores = rng.integers(0, 2, (100, 3)), rng.standard_normal((100, 3))
    metric = OnLabels(sklearn.metrics.f1_score, threshold=0, average="samples", zero_division=0)
    expected = sklearn.metrics.f1_score(many, scores > 0, average="samples", zero_division=0)
    assert in_batches(metric, many, scores) == expected


def test_on_outputs(rng):
    labels, score = rng.integers(0, 2, 100), rng.standard_normal((100, 1))
    # Batches of one row have no area of their own: it is computed once, of all rows.
    expected = sklearn.metrics.roc_auc_score(labels, score)
    assert in_batches(OnOutputs(sklearn.metrics.roc_auc_score), labels, score) == expected

    def median_error(y_true, y_pred, power=1):
        return np.median(np.abs(y_true - y_pred) ** power)

    found = in_batches(OnOutputs(median_error, "median", power=2), score[:, 0], score + 1)
    assert found == pytest.approx(1, rel=1e-12)
    assert OnOutputs(median_error).result() == 0
    # A caller may use its arrays again for the next batch.
    metric, y_true, y_pred = OnOutputs(median_error), np.zeros(3), np.zeros(3)
    for value in (1.0, 1.0, 5.0):
        y_pred[:] = value
        metric.update_state(y_true, y_pred)
    assert metric.result() == 1
    with pytest.raises(TypeError, match="function: expected a function, got 3"):
        OnOutputs(3)


def test_once_an_epoch_in_a_model(rng):
    calls = []

    def score(y_true, y_pred):
        calls.append(len(y_true))
        return sklearn.metrics.f1_score(y_true, y_pred, average="macro")

    x, y = rng.standard_normal((90, 4)).astype("f"), rng.integers(0, 3, 90)
    model = fn.Sequential([Dense(3)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, [OnLabels(score), ConfusionMatrix(), F1Score(), "accuracy"])
    seen = []
    spy = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(sorted(logs)))
    history = model.fit(
        x, y, batch_size=10, epochs=2, callbacks=spy, validation_data=(x[:40], y[:40])
    )
    # Only once each epoch and validation, however often the logs are asked for.
    assert calls == [90, 40] * 2
    assert seen[0] == ["accuracy", "confusion_matrix", "f1_score", "loss"]
    assert seen[8] == ["accuracy", "confusion_matrix", "f1_score", "loss", "score"]
    found = model.evaluate(x, y)
    predicted = model.predict(x).argmax(axis=1)
    assert found["score"] == sklearn.metrics.f1_score(y, predicted, average="macro")
    np.testing.assert_array_equal(
        found["confusion_matrix"], sklearn.metrics.confusion_matrix(y, predicted)
    )
    np.testing.assert_allclose(
        found["f1_score"], sklearn.metrics.f1_score(y, predicted, average=None), rtol=1e-12
    )
    # The history keeps an array for each epoch, of that epoch's rows.
    assert [matrix.sum() for matrix in history.history["confusion_matrix"]] == [90, 90]
    assert [matrix.sum() for matrix in history.history["val_confusion_matrix"]] == [40, 40]


def test_labels_of_a_model_on_logits(rng):
    x, y = rng.standard_normal((90, 4)), rng.integers(0, 2, 90)
    model = fn.Sequential([Dense(1)])
    both = [OnLabels(sklearn.metrics.f1_score), ConfusionMatrix(), "precision"]
    for from_logits, threshold in [(True, 0), (False, 0.5)]:
        model.compile("sgd", losses.BinaryCrossentropy(from_logits=from_logits), both)
        found, positive = model.evaluate(x, y), model.predict(x)[:, 0] > threshold
        np.testing.assert_array_equal(
            found["confusion_matrix"], sklearn.metrics.confusion_matrix(y, positive)
        )
        assert found["f1_score"] == sklearn.metrics.f1_score(y, positive)
        assert found["precision"] == sklearn.metrics.precision_score(y, positive)


def test_an_epoch_that_a_callback_ends(rng):
    x, y = rng.standard_normal((90, 4)), rng.integers(0, 3, 90)
    model = fn.Sequential([Dense(3)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, [OnLabels(sklearn.metrics.accuracy_score), "accuracy"])

    def stop(batch, logs):
        model.stop_training = batch == 3

    history = model.fit(x, y, 10, callbacks=LambdaCallback(on_train_batch_end=stop)).history
    assert history["accuracy_score"] == pytest.approx(history["accuracy"])


def test_arrays_stay_out_of_the_progress(capsys, rng):
    x, y = rng.standard_normal((20, 4)), rng.integers(0, 3, 20)
    model = fn.Sequential([Dense(3)])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), ["f1_score"])
    model.fit(x, y, verbose=2)
    assert capsys.readouterr().out.startswith("epoch 1/1: loss ")
    model.fit(x, y, verbose=1)
    model.compile("sgd", "mse", ["mae", "f1_score"])
    model.fit(x, np.eye(3)[y], verbose=2)
    assert "f1_score" not in "".join(capsys.readouterr())


# ---- the rest ----------------------------------------------------------------------------------


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
    metric = BinaryAccuracy("b", 0.25)
    assert metrics.get(metric) is metric
    assert metrics.get(metric.identifier()).get_config() == {"name": "b", "threshold": 0.25}
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


def test_names_fit_a_loss_on_logits():
    loss = losses.BinaryCrossentropy(from_logits=True)
    y_true, logits = [1, 0, 1, 1], [0.2, -0.2, -3.0, 4.0]
    for name in (
        "precision",
        "recall",
        "true_positives",
        "false_negatives",
        "auc",
        "binary_accuracy",
        "binary_crossentropy",
    ):
        on_logits = evaluate(metrics.get(name, loss), (y_true, np.reshape(logits, (4, 1))))
        share = 1 / (1 + np.exp(-np.reshape(logits, (4, 1))))
        on_shares = evaluate(metrics.get(name, losses.BinaryCrossentropy()), (y_true, share))
        assert on_logits == pytest.approx(on_shares, rel=1e-6)
        assert metrics.get(name, loss).name == name
    assert metrics.get("precision", loss).thresholds == 0
    # One that is passed in stays as it was made.
    assert metrics.get(Precision(), loss).thresholds is None


def test_every_name_is_its_metric():
    for name, cls in metrics._METRICS.items():
        if name not in ("acc", "accuracy", "mae", "mse", "mape", "rmse"):
            assert metrics.get(cls).name == name
            assert cls.__name__ in metrics.__all__
        lower = any(part in cls().name for part in ("error", "crossentropy", "false"))
        expected = None if cls is ConfusionMatrix else "down" if lower else "up"
        assert cls.direction == expected


def test_targets_that_do_not_fit_are_told_of_before_training(rng):
    x, y = rng.standard_normal((20, 4)), rng.integers(0, 3, 20)
    model = fn.Sequential([Dense(3)])
    for metric in (
        TopKCategoricalAccuracy(),
        R2Score(),
        Precision(class_id=3),
        "cosine_similarity",
    ):
        model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), [metric])
        before = model.get_weights() if model.built else None
        with pytest.raises(ValueError, match="metrics: expected targets that .* can be computed"):
            model.fit(x, y)
        assert before is None and not model.built
    # What a metric had counted, it still has.
    metric = Precision()
    metric.update_state([1], [0.7])
    metrics.expect_targets(metric, y[:, None] > 0, 1)
    assert metric.result() == 1 and metric.true_positives.tolist() == [1]


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
        (Recall(), ([1], [[[1]]]), "y_pred: expected shape (n, m) or (n,), got (1, 1, 1)"),
        (SparseCategoricalAccuracy(), (1, 1), "y_pred: expected shape (n, m) or (n,), got ()"),
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


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TopKCategoricalAccuracy(0), "k: expected a positive integer, got 0"),
        (lambda: metrics.TruePositives([]), "thresholds: expected at least one number, got none"),
        (
            lambda: metrics.BinaryCrossentropy(label_smoothing=2),
            "label_smoothing: expected a number in [0, 1], got 2",
        ),
        (lambda: Precision([]), "thresholds: expected at least one number, got none"),
        (lambda: Precision(class_id=-1), "class_id: expected a non-negative integer, got -1"),
        (lambda: AUC(num_labels=3), "multi_label: expected True with num_labels or label_weights"),
        (
            lambda: AUC(multi_label=True, num_labels=2, label_weights=[1]),
            "label_weights: expected shape (2,), got (1,)",
        ),
        (
            lambda: AUC(multi_label=True, label_weights=[1, -1]),
            "label_weights: expected finite numbers of at least 0, got -1.0 at row 1",
        ),
        (lambda: AUC(multi_label=True, label_weights=3), "label_weights: expected 1 axis, got 0"),
        (lambda: AUC(1), "num_thresholds: expected a number in [2, 1000000], got 1"),
        (lambda: AUC(10**9), "num_thresholds: expected a number in [2, 1000000], got 1000000000"),
        (lambda: AUC(curve="RO"), "curve: expected one of ROC, PR, got 'RO'"),
        (lambda: AUC(thresholds=[2]), "thresholds: expected a number in [0, 1], got 2"),
        (lambda: F1Score("mean"), "average: expected one of micro, macro, weighted, got 'mean'"),
        (lambda: F1Score(threshold=0.0), "threshold: expected a positive number, got 0.0"),
        (lambda: FBetaScore(beta=0), "beta: expected a positive number, got 0"),
        (lambda: R2Score("mean"), "class_aggregation: expected one of uniform_average"),
    ],
)
def test_errors_of_arguments(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("kind", [F1Score, R2Score, ConfusionMatrix])
@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_as_many_outputs_as_before(kind, outputs):
    metric = kind()
    metric.update_state(np.eye(3), np.eye(3))
    before = metric.result()
    with pytest.raises(ValueError, match=r"^y_pred: expected 3 columns as before, got \d$"):
        metric.update_state(np.eye(outputs), np.eye(outputs))
    np.testing.assert_array_equal(metric.result(), before)


def test_a_call_takes_in_a_batch():
    metric = MeanAbsoluteError()
    assert metric([1, 2], [1, 4]) == 1
    assert metric([0, 0], [3, 9], sample_weight=[2, 0]) == 2  # (0 + 2 + 2 * 3) / 4


def test_thresholds_may_be_an_array():
    found = [Recall(kind([0.2, 0.6]))([0, 1, 1], [0.3, 0.5, 0.9]) for kind in (list, np.array)]
    np.testing.assert_array_equal(found, [[1, 0.5]] * 2)
    for make in (lambda: AUC(thresholds=0.5), lambda: Recall([[0.5]]), lambda: Recall("a")):
        with pytest.raises(TypeError, match="^thresholds: expected a "):
            make()


def test_a_name_is_a_string():
    for make in (lambda: BinaryAccuracy(0.5), lambda: AUC(name=3)):
        with pytest.raises(TypeError, match="name: expected a string, got "):
            make()
