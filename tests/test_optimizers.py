"""Optimizers: figures of Keras 3 and plain Python, slots, schedules, checks before any change."""

import math

import numpy as np
import pytest

import fastnn as fn
from fastnn import kernels, optimizers
from fastnn.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Momentum,
    Nadam,
    Nesterov,
    Optimizer,
    RMSprop,
)

# The figures of the next tests stand in the tests of Keras 3, rounded to four digits.


def test_published_single_steps():
    expected = {
        SGD(0.5): [0.5, -1.0, -0.5, 3.0],
        Adagrad(0.5): [0.5233, 1.5007, 2.5005, 3.5061],
    }
    for optimizer, values in expected.items():
        w = np.array([1.0, 2.0, 3.0, 4.0])
        optimizer.update([w], [np.array([1.0, 6.0, 7.0, 2.0])])
        np.testing.assert_allclose(w, values, atol=5e-5)


def _path(optimizer):
    """Return ten weights from 1, after a first gradient of 0.01 and each of four of 0.1 to 1."""
    w, path = np.ones(10), []
    for g in (np.full(10, 0.01), *[np.arange(1, 11) / 10] * 4):
        optimizer.update([w], [g])
        path.append(w.copy())
    return np.array(path)


def test_published_path_of_adagrad():
    path = _path(Adagrad(0.2, initial_accumulator_value=0.3, epsilon=1e-6))
    np.testing.assert_allclose(path[0], 0.9963, atol=5e-5)
    published = [
        [0.9604, 0.9278, 0.9003, 0.8784, 0.8615, 0.8487, 0.8388, 0.8313, 0.8255, 0.8209],
        [0.9251, 0.8629, 0.8137, 0.7768, 0.7497, 0.7298, 0.7151, 0.7040, 0.6956, 0.6891],
        [0.8903, 0.8012, 0.7342, 0.6862, 0.6521, 0.6277, 0.6099, 0.5967, 0.5867, 0.5790],
        [0.8560, 0.7422, 0.6604, 0.6037, 0.5644, 0.5367, 0.5168, 0.5021, 0.4910, 0.4825],
    ]
    np.testing.assert_allclose(path[1:], published, atol=6e-5)


def test_published_path_of_sgd():
    path = _path(SGD(nesterov=True))  # without momentum: plain steps of 0.01
    np.testing.assert_allclose(path[0], 0.9999, atol=5e-5)
    steps = np.arange(1, 5)[:, None] * np.arange(1, 11) / 1000
    np.testing.assert_allclose(path[1:], 0.9999 - steps, atol=5e-5)


# What Keras 3.15 makes in float64 of five steps along the gradients below: the weight W[0][1, 1]
# after each of the first four, and all weights after the fifth.

W_KERAS = [[[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]], [0.1, -0.2, 0.0]]
G_KERAS = [
    ([[0.964, 0.516, -0.688], [-0.883, 0.215, 0.999]], [0.229, 0.051, -0.151]),
    ([[1.213, -0.526, -1.494], [-0.273, 1.348, 0.994]], [-0.039, -0.221, -0.3]),
    ([[0.083, -1.903, -1.101], [1.314, 1.804, -0.349]], [-0.271, -0.29, -0.172]),
    ([[-1.892, -2.081, 0.779], [2.497, 0.557, -2.199]], [-0.254, -0.092, 0.113]),
    ([[-2.947, -0.249, 2.814], [1.755, -1.875, -2.758]], [-0.004, 0.19, 0.295]),
]
KERAS = [
    (SGD(0.1),
     [2.9785, 2.8437, 2.6633, 2.6076],
     [1.2579, -1.5757, 0.469, -0.191, 2.7951, -0.6687, 0.1339, -0.1638, 0.0215]),
    (SGD(0.1, momentum=0.9),
     [2.9785, 2.82435, 2.505215, 2.1622935],
     [0.81976866, -1.09441276, 1.16449048, -0.30054197, 2.04116415,
      -0.96274809, 0.14173531, -0.06781311, 0.16064801]),
    (SGD(0.1, momentum=0.8, nesterov=True),
     [2.9613, 2.7049, 2.2829, 1.98936],
     [1.204197728, -0.899197088, 0.884464704, -0.645525696, 2.136588,
      -0.566681312, 0.171320928, -0.070667968, 0.126658528]),
    (Adagrad(0.1),
     [2.9437752547, 2.8475712081, 2.7685952135, 2.7449048672],
     [0.9763950019, -1.8480633027, 0.6193086572, 0.1575422667, 2.8072539603,
      -0.9857569326, 0.155867904, -0.1166539026, 0.0702578898]),
    (RMSprop(0.01),
     [2.9683775654, 2.9371106984, 2.9114106401, 2.9033243875],
     [0.9922005831, -1.9525282344, 0.5400125054, 0.2205221472, 2.9245737638,
      -0.9951990161, 0.1187880559, -0.1826561323, 0.0446443193]),
    (RMSprop(0.01, momentum=0.5),
     [2.9683775654, 2.9212994812, 2.8720603807, 2.8393545778],
     [0.9519047284, -1.9279640647, 0.6024919682, 0.2251227364, 2.8442510528,
      -1.0250689926, 0.1225367015, -0.1620990329, 0.1056385616]),
    (RMSprop(0.01, centered=True),
     [2.9666670673, 2.9331869507, 2.9043322985, 2.8950085068],
     [0.9884581921, -1.9499072063, 0.5465665525, 0.2199057489, 2.916460977,
      -0.9975327378, 0.1182129636, -0.1805929526, 0.0508006957]),
    (RMSprop(0.01, 0.8, 0.5, 0.001, True),
     [2.9765359895, 2.9393018768, 2.8970727535, 2.8678120779],
     [0.9552751778, -1.9404885355, 0.5917042898, 0.2308635305, 2.869318861,
      -1.0245159181, 0.118332555, -0.1480437297, 0.0854123305]),
    (Adadelta(1.0),
     [2.998585817, 2.996609577, 2.9943606244, 2.9934844766],
     [1.0013012245, -1.9949082081, 0.5009862249, 0.2462256941, 2.9958079945,
      -0.9977642789, 0.1020158613, -0.1980374708, 0.0017195173]),
    (Adadelta(0.5, rho=0.8, epsilon=0.001),
     [2.9664144486, 2.9182035385, 2.8627789267, 2.8399385115],
     [1.0300261878, -1.8705032072, 0.5252306386, 0.1546346037, 2.8969798233,
      -0.9442289457, 0.1517279809, -0.1542317024, 0.0376280489]),
    (Adam(0.01),
     [2.9900001471, 2.9815967297, 2.9725833079, 2.9640242148],
     [0.9766304245, -1.9886600999, 0.532841243, 0.2548995038, 2.9618132548,
      -1.0185953779, 0.0957334611, -0.1856188172, 0.0357174641]),
    (Adam(0.1, 0.8, 0.95, 0.001),
     [2.9020376782, 2.8158804456, 2.722789113, 2.6369073512],
     [0.7956715687, -1.8642731416, 0.8074202897, 0.2681635044, 2.6258967219,
      -1.1545803923, 0.0877958036, -0.0478441734, 0.3303527189]),
    (Adam(0.01, amsgrad=True),
     [2.9900001471, 2.9815967297, 2.9725833079, 2.9640242148],
     [0.9766304245, -1.9886600999, 0.532841243, 0.2548995038, 2.9618132548,
      -1.0185953779, 0.095731574, -0.1856188172, 0.0357174641]),
    (Adam(0.1, 0.8, 0.5, 0.001, True),
     [2.9006534754, 2.824492985, 2.7444114949, 2.6769625442],
     [0.7938457269, -1.9114814387, 0.8007094347, 0.2911841974, 2.667368694,
      -1.1716954981, 0.0780686769, -0.0903911393, 0.3101022442]),
    (AdamW(0.1),
     [2.8988014708, 2.8136077764, 2.7223481149, 2.635668245],
     [0.764648819, -1.8825314626, 0.827040049, 0.298265647, 2.612504378,
      -1.1836364717, 0.057322391, -0.05578997, 0.3567991096]),
    (AdamW(0.1, 0.5, amsgrad=True),
     [2.7500014708, 2.5284672235, 2.3119096439, 2.1107232311],
     [0.5805874342, -1.4263120168, 0.6710337803, 0.2157492758, 1.9830774698,
      -0.922189342, 0.0563695064, -0.0119548167, 0.3126153514]),
    (Adamax(0.01),
     [2.9900000047, 2.983981342, 2.9774535157, 2.9719205179],
     [0.977760795, -1.9958595846, 0.5276806054, 0.2579031348, 2.9703429663,
      -1.0204797908, 0.0946741619, -0.1930136071, 0.0289235616]),
    (Adamax(0.1, 0.8, 0.5, 0.001),
     [2.900462963, 2.8378651539, 2.7692942443, 2.6577644745],
     [0.7407830464, -1.8940487826, 0.8210288167, 0.3473770735, 2.6497820588,
      -1.2276589892, 0.0761126418, -0.0647544974, 0.3788253262]),
    (Nadam(0.01),
     [2.9893721269, 2.9791692789, 2.9700623055, 2.9659921854],
     [0.9964687689, -1.9825838188, 0.5153369934, 0.2394737718, 2.9722440322,
      -0.9989581972, 0.1059825823, -0.1921642358, 0.0177974627]),
    (Nadam(0.1, 0.8, 0.95, 0.001),
     [2.889997769, 2.7793980274, 2.6758664408, 2.624738114],
     [0.9699230475, -1.7916579185, 0.6645072513, 0.1192007391, 2.6949849698,
      -0.9775513835, 0.1807334777, -0.0999986606, 0.1912354879]),
    (Lion(0.01),
     [2.99, 2.98, 2.97, 2.96],
     [0.99, -1.97, 0.51, 0.24, 2.97, -0.99, 0.13, -0.19, 0.01]),
    (Lion(0.1, 0.6, 0.7),
     [2.9, 2.8, 2.7, 2.6],
     [0.9, -1.7, 0.8, 0.15, 2.7, -1.1, 0.2, -0.1, 0.3]),
    (SGD(0.1, clipnorm=0.5),
     [2.9942479729, 2.9685140644, 2.9399091269, 2.9336657248],
     [0.9974656559, -1.9480218107, 0.5303290987, 0.2142168785, 2.9505397893,
      -0.9906997008, 0.1339, -0.1638, 0.0215]),
    (SGD(0.1, global_clipnorm=1.0),
     [2.9886220355, 2.9376728321, 2.8809937977, 2.8685338124],
     [0.9957911759, -1.8966124563, 0.5594941839, 0.1783805814, 2.902214826,
      -0.9807384026, 0.103623402, -0.186589623, 0.0169069319]),
    (SGD(0.1, clipvalue=0.4),
     [2.9785, 2.9385, 2.8985, 2.8585],
     [0.9917, -1.8951, 0.54, 0.1973, 2.8985, -0.9651, 0.1339, -0.1638, 0.0215]),
    (Adam(0.1, weight_decay=0.1, clipvalue=0.4),
     [2.8700014708, 2.7440382643, 2.6179553482, 2.4923225868],
     [0.6593115272, -1.8337705692, 0.8152238839, 0.3858095302, 2.4201683062,
      -1.1377702607, 0.0570536131, -0.0464563952, 0.347880445]),
    (Lion(0.1, weight_decay=0.2, clipnorm=0.5),
     [2.84, 2.6832, 2.529536, 2.37894528],
     [0.8195247808, -1.5119192096, 0.5363564144, 0.1182962152, 2.4313663744,
      -0.7962368128, 0.3863144637, -0.0848617754, 0.084396016]),
    (RMSprop(0.1, weight_decay=0.1, global_clipnorm=0.7),
     [2.6537971566, 2.3178991469, 2.0563463037, 1.9813694339],
     [0.7950686301, -1.5405517661, 0.9216824454, 0.0552730935, 2.1007669563,
      -0.9988734254, 0.1456012656, -0.0084187078, 0.4991956861]),
]  # fmt: skip

# The last weights by PyTorch 2.13, where its formulas agree: it adds epsilon to the root, and to
# Adam's after the correction, so that epsilon has to be negligible.
TORCH = [
    (SGD(0.1, momentum=0.9),
     [0.81976866, -1.09441276, 1.16449048, -0.30054197, 2.04116415,
      -0.96274809, 0.14173531, -0.06781311, 0.16064801]),
    (Nesterov(0.1, 0.8),
     [1.204197728, -0.899197088, 0.884464704, -0.645525696, 2.136588,
      -0.566681312, 0.171320928, -0.070667968, 0.126658528]),
    (Adagrad(0.1, epsilon=1e-30),
     [0.9763949966, -1.8480633077, 0.6193086667, 0.1575422713, 2.807253938,
      -0.9857569372, 0.1558679086, -0.1166538815, 0.070257918]),
    (RMSprop(0.01, epsilon=1e-30),
     [0.9922005634, -1.9525282661, 0.540012544, 0.2205221658, 2.9245734113,
      -0.9951990328, 0.1187879768, -0.1826618296, 0.0446451109]),
    (RMSprop(0.01, 0.8, 0.5, 1e-30, True),
     [0.9550521049, -1.9408360036, 0.592112853, 0.2310773211, 2.8662145323,
      -1.024710567, 0.1174189161, -0.1667409861, 0.0928582899]),
    (Adadelta(0.5, rho=0.8, epsilon=0.001),
     [1.0300261878, -1.8705032072, 0.5252306386, 0.1546346037, 2.8969798233,
      -0.9442289457, 0.1517279809, -0.1542317024, 0.0376280489]),
    (Adam(0.1, 0.8, 0.95, 1e-30),
     [0.7947847066, -1.8646654721, 0.8086128535, 0.2688151648, 2.6232034049,
      -1.155381973, 0.0864195963, -0.0524959298, 0.3361887289]),
    (AdamW(0.1, 0.5, epsilon=1e-30),
     [0.5805868837, -1.4263122534, 0.6710345115, 0.2157496769, 1.9830758573,
      -0.9221898418, 0.056387428, -0.0119577321, 0.3126190483]),
    (Adamax(0.1, 0.8, 0.5, 1e-30),
     [0.7404356325, -1.894080671, 0.8213895314, 0.3477007592, 2.6491067433,
      -1.2280152101, 0.075918041, -0.0654273279, 0.381195166]),
]  # fmt: skip


def _five_steps(optimizer, dtype):
    w = [np.array(x, dtype) for x in W_KERAS]
    path = []
    for g in G_KERAS:
        path.append(w[0][1, 1])
        optimizer.update(w, [np.array(x, dtype) for x in g])
    return path[1:], np.concatenate([x.ravel() for x in w])


def _config(case):
    return repr(case[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", KERAS, ids=_config)
def test_figures_of_keras(case, dtype):
    make, path, final = case
    optimizer = type(make).from_config(make.get_config())
    found, weights = _five_steps(optimizer, dtype)
    # Ten decimals are given; in float32, steps of at most 1 round a few times, divided by a root
    # of at least 0.01 (centered RMSprop).
    atol = 1e-10 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(found, path, rtol=0, atol=atol)
    np.testing.assert_allclose(weights, final, rtol=0, atol=atol)


@pytest.mark.parametrize("case", TORCH, ids=_config)
def test_figures_of_pytorch(case):
    make, final = case
    weights = _five_steps(type(make).from_config(make.get_config()), "float64")[1]
    np.testing.assert_allclose(weights, final, rtol=0, atol=1e-10)


# Formulas in plain Python, number by number.


def _sgd(w, g, state, rate):
    return w - rate * g


def _momentum(w, g, state, rate, momentum):
    state["v"] = momentum * state.get("v", 0.0) - rate * g
    return w + state["v"]


def _nesterov(w, g, state, rate, momentum):
    state["v"] = momentum * state.get("v", 0.0) - rate * g
    return w + momentum * state["v"] - rate * g


def _adagrad(w, g, state, rate, initial, epsilon):
    state["a"] = state.get("a", initial) + g * g
    return w - rate * g / math.sqrt(state["a"] + epsilon)


FORMULAS = {
    "sgd": (lambda: SGD(0.3), _sgd, (0.3,)),
    "sgd-default": (SGD, _sgd, (0.01,)),
    "momentum": (lambda: SGD(0.3, momentum=0.8), _momentum, (0.3, 0.8)),
    "nesterov": (lambda: SGD(0.3, 0.8, nesterov=True), _nesterov, (0.3, 0.8)),
    "Momentum": (Momentum, _momentum, (0.01, 0.9)),
    "Momentum-nesterov": (lambda: Momentum(nesterov=True), _nesterov, (0.01, 0.9)),
    "adagrad": (lambda: Adagrad(0.3, 0.2, 1e-3), _adagrad, (0.3, 0.2, 1e-3)),
    "adagrad-default": (Adagrad, _adagrad, (0.001, 0.1, 1e-7)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name, dtype, rng):
    make, formula, numbers = FORMULAS[name]
    optimizer = make()
    w = [rng.standard_normal((3, 4)).astype(dtype), rng.standard_normal(5).astype(dtype)]
    expected = [x.astype("d").ravel().tolist() for x in w]
    states = [[{} for _ in x] for x in expected]
    for step in range(4):
        g = [rng.standard_normal(x.shape).astype(dtype) for x in w]
        optimizer.update(w, g)
        assert optimizer.iterations == step + 1
        for x, state, gradient in zip(expected, states, g, strict=True):
            for i, value in enumerate(gradient.astype("d").ravel().tolist()):
                x[i] = formula(x[i], value, state[i], *numbers)
    for got, wanted in zip(w, expected, strict=True):
        # Weights and steps stay below 10; each of four steps rounds a few times.
        np.testing.assert_allclose(got.ravel(), wanted, rtol=0, atol=200 * np.finfo(dtype).eps)


def test_quadratic_is_minimized():
    # f(w) = 1/2 sum_i c_i w_i**2, of gradient c * w, from steps that converge in theory.
    c = np.array([1.0, 10.0])
    for optimizer in (SGD(0.1), Momentum(0.02), Momentum(0.02, nesterov=True), Adagrad(1.0)):
        w = np.array([3.0, -2.0])
        for _ in range(500):
            optimizer.update([w], [c * w])
        assert np.abs(w).max() < 1e-3


# ---- the row of numbers that a plan and `update` share -----------------------------------------


def test_hyper():
    rows = Momentum(0.5, 0.75).hyper(np.arange(3))
    assert rows.dtype == np.float64 and rows.shape == (3, 12)
    assert rows.tolist() == [[0.5, 0.75] + [0] * 10] * 3
    assert SGD(0.5).hyper(np.arange(2)).tolist() == [[0.5] + [0] * 11] * 2
    assert Adagrad(0.5, epsilon=0.25).hyper(np.arange(1))[0, :2].tolist() == [0.5, 0.25]
    decayed = Lion(lambda i: 0.5 / (1 + i), weight_decay=0.25, clipvalue=3).hyper(np.arange(2))
    assert decayed[:, 8:].tolist() == [[0.125, 3, 0, 0], [0.0625, 3, 0, 0]]
    for clip in ("clipnorm", "global_clipnorm"):
        assert SGD(0.5, **{clip: 4}).hyper(np.arange(1))[0, 8:].tolist() == [0, 0, 4, 0]


def test_hyper_of_many_steps_is_that_of_each():
    for make in (Adam, Adamax, Nadam):
        optimizer = make(lambda i: 1 / (1 + i))
        at = np.array([0, 1, 9, 998, 999, 1000, 1001, 10**7])
        together = optimizer.hyper(at)
        np.testing.assert_array_equal(together, [optimizer.hyper(np.array([i]))[0] for i in at])
        assert np.isfinite(together).all() and (together[:, 0] > 0).all()


def test_nadam_after_many_steps(rng):
    # The product of all momenta by its closed form, and step by step.
    for steps in (1, 2, 10, 1000, 1500):
        u = [0.999 * (1 - 0.5 * 0.96**i) for i in range(1, steps + 2)]
        here, ahead = math.prod(u[:-1]), math.prod(u)
        root = math.sqrt(1 - 0.9995**steps)
        row = Nadam(0.5, 0.999, 0.9995).hyper(np.array([steps - 1]))[0]
        assert row[0] == pytest.approx(0.5 * root * u[-1] / (1 - ahead), rel=1e-12)
        assert row[4] == pytest.approx(0.5 * root * (1 - u[-2]) / (1 - here), rel=1e-12)


def test_kernels_and_slots():
    running = {"momentum": 0, "velocity": 0}
    assert [
        (x.kernel_name, x.kernel_slots)
        for x in (SGD(), SGD(momentum=0.5), SGD(0.1, 0.5, True), Momentum(), Nesterov(), Adagrad())
    ] == [
        ("sgd", {}),
        ("momentum", {"velocity": 0}),
        ("nesterov", {"velocity": 0}),
        ("momentum", {"velocity": 0}),
        ("nesterov", {"velocity": 0}),
        ("adagrad", {"accumulator": 0.1}),
    ]
    assert [
        (x.kernel_name, x.kernel_slots)
        for x in (Adam(), AdamW(), Adam(amsgrad=True), Adamax(), Nadam(), Lion(), Adadelta())
    ] == [
        ("adam", running),
        ("adam", running),
        ("amsgrad", running | {"velocity_hat": 0}),
        ("adamax", {"momentum": 0, "norm": 0}),
        ("nadam", running),
        ("lion", {"momentum": 0}),
        ("adadelta", {"accumulated_grad": 0, "accumulated_delta_var": 0}),
    ]
    assert [
        (x.kernel_name, list(x.kernel_slots))
        for x in (
            RMSprop(),
            RMSprop(momentum=0.5),
            RMSprop(centered=True),
            RMSprop(momentum=0.5, centered=True),
        )
    ] == [
        ("rmsprop", ["velocity"]),
        ("rmsprop_momentum", ["velocity", "momentum"]),
        ("rmsprop_centered", ["velocity", "average_gradient"]),
        ("rmsprop_centered_momentum", ["velocity", "average_gradient", "momentum"]),
    ]
    w = [np.ones((2, 3), "f"), np.ones(3)]
    optimizer = Adagrad(initial_accumulator_value=0.25)
    optimizer.build(w)
    for x, slots in zip(w, optimizer.slots, strict=True):
        assert slots.keys() == {"accumulator"} and (slots["accumulator"] == 0.25).all()
        assert slots["accumulator"].shape == x.shape and slots["accumulator"].dtype == x.dtype
    # The slots may live in memory of the caller's.
    mine = np.full((2, 3), 0.25, "f")
    optimizer.slots[0]["accumulator"] = mine
    optimizer.update(w, [np.ones((2, 3)), np.ones(3)])
    assert (mine == 1.25).all()


EVERY = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "rmsprop, centered": lambda **rest: RMSprop(momentum=0.5, centered=True, **rest),
    "adadelta": Adadelta,
    "adam": Adam,
    "amsgrad": lambda **rest: Adam(amsgrad=True, **rest),
    "adamw": AdamW,
    "adamax": Adamax,
    "nadam": Nadam,
    "lion": Lion,
}
every_optimizer = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_optimizer
def test_same_bits_for_a_flat_buffer_and_its_parts(make, dtype, rng):
    flat, g = rng.standard_normal((2, 1000)).astype(dtype)
    parts = [flat[:600].reshape(20, 30).copy(), flat[600:].copy()]
    whole, split = make(), make()
    for _ in range(3):
        whole.update([flat], [g])
        split.update(parts, [g[:600].reshape(20, 30), g[600:]])
    np.testing.assert_array_equal(np.concatenate([x.ravel() for x in parts]), flat)


def test_all_zero_gradients_leave_the_weights(rng):
    # No update divides zero by zero; of the initial slots only momentum could move a weight.
    for make in EVERY.values():
        w = rng.standard_normal((3, 17)).astype("f")
        before, optimizer = w.copy(), make()
        optimizer.weight_decay = None
        for _ in range(3):
            optimizer.update([w], [np.zeros((3, 17))])
        np.testing.assert_array_equal(w, before)


def test_a_constant_gradient_has_no_variance():
    # Rounding makes it negative within a few dozen steps; the root of that would be NaN.
    w, optimizer = np.zeros(1000, "f"), RMSprop(centered=True)
    g = np.linspace(-100, 100, 1000, dtype="f")
    for _ in range(400):
        optimizer.update([w], [g])
    assert np.isfinite(w).all()


# ---- arrays of every kind ----------------------------------------------------------------------


@every_optimizer
def test_layouts(make, rng):
    start, g = rng.standard_normal((2, 6, 8))
    expected = start.copy()
    optimizer = make()
    for _ in range(2):
        optimizer.update([expected], [g])
    buffer = np.zeros((6, 16))
    buffer[:, 1::2] = start
    for w in (
        np.asfortranarray(start),
        start[::-1, ::-1].copy()[::-1, ::-1],
        buffer[:, 1::2],
        start.astype(">f8"),
    ):
        optimizer = make()
        for gradient in (np.asfortranarray(g), g.tolist()):
            optimizer.update((w,), (gradient,))
        np.testing.assert_array_equal(w, expected)
    assert (buffer[:, ::2] == 0).all()


def test_integer_gradients_and_scalars():
    w = np.array(1.0)
    SGD(0.5).update([w], [1])
    assert w == 0.5
    w = np.ones(2, "f")
    SGD(0.5).update([w], [np.array([1, -1], "int8")])
    assert w.tolist() == [0.5, 1.5]


# ---- learning rates ----------------------------------------------------------------------------


def test_learning_rate_is_settable():
    optimizer, w = SGD(0.5), np.ones(1)
    optimizer.update([w], [np.ones(1)])
    optimizer.learning_rate = 0.25
    optimizer.update([w], [np.ones(1)])
    assert w == 0.25 and optimizer.learning_rate == 0.25


def test_schedule():
    seen = []

    def schedule(iteration):
        seen.append(iteration)
        return 1 / (1 + iteration)

    optimizer, w = SGD(schedule), np.zeros(1)
    assert optimizer.learning_rate == 1
    for _ in range(3):
        optimizer.update([w], [np.ones(1)])
    assert w == pytest.approx(-(1 + 1 / 2 + 1 / 3)) and set(seen) == {0, 1, 2}
    assert all(type(i) is int for i in seen)
    assert optimizer.learning_rate == 0.25
    assert optimizer.hyper(np.array([1, 3]))[:, 0].tolist() == [0.5, 0.25]
    assert optimizer.get_config()["learning_rate"] is schedule


def test_momentum_from_now_on():
    optimizer, w = SGD(0.5), np.zeros(1)
    optimizer.update([w], [np.ones(1)])
    optimizer.momentum = 0.5
    optimizer.update([w], [np.ones(1)])
    optimizer.update([w], [np.ones(1)])
    assert w.tolist() == [-0.5 - 0.5 - 0.75]


# ---- weight decay and clips --------------------------------------------------------------------


def test_decay_goes_by_the_rate_not_the_gradient(rng):
    start, g = rng.standard_normal((2, 6, 5))
    for make in (SGD, Adam, Lion):
        decayed, plain = start.copy(), start * (1 - 0.25 * 0.125)
        make(learning_rate=0.25, weight_decay=0.125).update([decayed], [g])
        make(learning_rate=0.25).update([plain], [g])
        np.testing.assert_allclose(decayed, plain, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clips_leave_short_gradients_as_they_are(dtype, rng):
    start, g = rng.uniform(-1, 1, (2, 6, 5)).astype(dtype)
    expected = start.copy()
    SGD(0.5).update([expected], [g])
    for clip in ({"clipnorm": 6.0}, {"clipvalue": 1.0}, {"global_clipnorm": 6.0}):
        w = start.copy()
        SGD(0.5, **clip).update([w], [g])
        np.testing.assert_array_equal(w, expected)


def test_clips_by_hand():
    grads = [np.array([3.0, 4.0]), np.array([[12.0]])]
    for clip, steps in {
        "clipnorm": [[3 / 5, 4 / 5], [1]],
        "clipvalue": [[1, 1], [1]],
        "global_clipnorm": [[3 / 13, 4 / 13], [12 / 13]],
    }.items():
        w = [np.zeros(2), np.zeros((1, 1))]
        SGD(1.0, **{clip: 1.0}).update(w, [-g for g in grads])
        for x, step in zip(w, steps, strict=True):
            np.testing.assert_allclose(x.ravel(), step, rtol=1e-15)
    np.testing.assert_array_equal(grads[0], [3, 4])  # the caller's stay


def test_norms_that_are_not_finite():
    def clipped(value, **clip):
        w = [np.zeros(2), np.zeros(1)]
        SGD(1.0, **clip).update(w, [np.array([1.0, value]), np.array([0.5])])
        return [*w[0], *w[1]]

    nan, inf = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        for value in (inf, -inf):
            np.testing.assert_array_equal(clipped(value, clipnorm=1), [0, nan, -0.5])
            np.testing.assert_array_equal(clipped(value, global_clipnorm=1), [nan, nan, nan])
            np.testing.assert_array_equal(clipped(value, clipvalue=1), [-1, -np.sign(value), -0.5])
        np.testing.assert_array_equal(clipped(nan, clipnorm=1), [nan, nan, -0.5])
        np.testing.assert_array_equal(clipped(nan, global_clipnorm=1), [nan, nan, nan])
        np.testing.assert_array_equal(clipped(nan, clipvalue=1), [-1, nan, -0.5])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_penalty_is_what_numpy_computes(dtype, rng):
    real = np.dtype(dtype).type
    g, w = rng.standard_normal((2, 19, 23)).astype(dtype)
    w[0, :3] = 0, -0.0, np.nan
    expected = (g + real(0.01) * np.sign(w)) + real(2 * 0.3) * w
    kernels.add_penalty(g, w, 0.01, 0.3)
    assert g.tobytes() == expected.tobytes()


def test_sum_of_squares_is_one_sum_for_all(rng):
    x = rng.standard_normal((301, 307)).astype("f")
    found = kernels.sum_of_squares(x)
    assert found == pytest.approx(math.fsum((x.astype("d") ** 2).ravel()), rel=1e-13)
    for threads in (1, 2, 3):
        with fn.num_threads(threads):
            assert kernels.sum_of_squares(x) == found
    padded = np.full((301, 320), np.nan, "f")
    padded[:, :307] = x
    assert kernels.sum_of_squares(padded[:, :307]) == found
    padded[:, 307:] = 0
    assert kernels.sum_of_squares(padded) == found
    assert kernels.sum_of_squares(x.astype("d")) == found  # squares of float32 are exact
    assert kernels.sum_of_squares(np.full(100, 1e30, "f")) == pytest.approx(1e62, rel=1e-6)


# ---- refused before anything is changed --------------------------------------------------------


def _read_only():
    w = np.ones(3)
    w.setflags(write=False)
    return w


W, G = [np.ones(3), np.ones((2, 2))], [np.ones(3), np.ones((2, 2))]


@pytest.mark.parametrize(
    "params, grads, kind, message",
    [
        (W, G[:1], ValueError, "grads: expected 2 arrays, got 1"),
        ([], [], ValueError, "params: expected at least one array, got none"),
        (W[0], G[0], TypeError, "params: expected a list of arrays, got one array"),
        (W, G[1], TypeError, "grads: expected a list of arrays, got one array"),
        (W, [G[0], np.ones(4)], ValueError, "grads[1]: expected shape (2, 2), got (4,)"),
        (W, [G[0], 1j * G[1]], TypeError, "grads[1]: expected real numbers of at most 64 bits"),
        (W, [G[0], None], TypeError, "grads[1]: expected real numbers of at most 64 bits"),
        ([W[0], [1.0]], G, TypeError, "params[1]: expected an array, got list"),
        ([W[0], np.ones((2, 2), int)], G, TypeError, "params[1]: expected float32 or float64"),
        ([W[0], np.ones((2, 2), "e")], G, TypeError, "params[1]: expected float32 or float64"),
        ([W[1], _read_only()], G[::-1], ValueError, "params[1]: expected a writeable array"),
    ],
)
def test_bad_arrays(params, grads, kind, message):
    optimizer = Momentum()
    with pytest.raises(kind) as error:
        optimizer.update(params, grads)
    assert str(error.value).startswith(message)
    assert all((w == 1).all() for w in W) and optimizer.iterations == 0
    optimizer.update([np.ones(7)], [np.ones(7)])  # nothing remains of the other shapes


def test_other_arrays_than_before():
    optimizer = SGD()
    optimizer.update([np.ones(3), np.ones(4)], [np.ones(3), np.ones(4)])
    w = np.ones(3)
    with pytest.raises(ValueError) as error:
        optimizer.update([w], [w.copy()])
    assert str(error.value) == "params: expected 2 arrays as before, got 1"
    with pytest.raises(ValueError) as error:
        optimizer.update([w, np.ones(5)], [np.ones(3), np.ones(5)])
    assert str(error.value) == "params[1]: expected shape (4,), got (5,)"
    assert (w == 1).all() and optimizer.iterations == 1


@pytest.mark.parametrize("rate", [math.nan, math.inf, -1.0])
def test_bad_schedule(rate):
    optimizer, w = SGD(lambda iteration: rate), np.ones(3)
    with pytest.raises(ValueError) as error:
        optimizer.update([w], [np.ones(3)])
    assert str(error.value) == (
        f"learning_rate at iteration 0: expected a non-negative number, got {rate}"
    )
    assert (w == 1).all() and optimizer.iterations == 0


@pytest.mark.parametrize(
    "make", [SGD, Momentum, Nesterov, Adadelta, Adagrad, Adam, AdamW, Adamax, Lion, Nadam, RMSprop]
)
def test_a_rate_of_0_moves_nothing(make, rng):
    w = rng.standard_normal(40).astype("f")
    before = w.copy()
    optimizer = make(0)
    for _ in range(3):
        optimizer.update([w], [rng.standard_normal(40)])
    assert w.tobytes() == before.tobytes() and optimizer.iterations == 3
    optimizer.learning_rate = 0.5
    optimizer.update([w], [np.ones(40)])
    assert (w != before).all()


def test_a_rate_beyond_float32():
    optimizer, w = SGD(1e39), np.ones(3, "f")
    with pytest.raises(ValueError, match="learning_rate: expected numbers within float32"):
        optimizer.update([np.ones(3), w], [np.ones(3), np.ones(3)])
    assert (w == 1).all()


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda: SGD(-1), ValueError, "learning_rate: expected a non-negative number, got -1"),
        (
            lambda: SGD(math.nan),
            ValueError,
            "learning_rate: expected a non-negative number, got nan",
        ),
        (lambda: SGD(1e999), ValueError, "learning_rate: expected a non-negative number, got inf"),
        (lambda: SGD("1"), TypeError, "learning_rate: expected a non-negative number, got '1'"),
        (lambda: SGD(momentum=1.5), ValueError, "momentum: expected a number in [0, 1], got 1.5"),
        (lambda: SGD(nesterov=1), TypeError, "nesterov: expected True or False, got 1"),
        (lambda: Adam(beta_1=1), ValueError, "beta_1: expected a number in [0, 1), got 1"),
        (lambda: Adam(beta_2=-0.1), ValueError, "beta_2: expected a number in [0, 1), got -0.1"),
        (lambda: Adam(amsgrad=0), TypeError, "amsgrad: expected True or False, got 0"),
        (lambda: Adamax(epsilon=0.0), ValueError, "epsilon: expected a positive number, got 0.0"),
        (lambda: Nadam(beta_1="0.9"), TypeError, "beta_1: expected a number in [0, 1), got '0.9'"),
        (lambda: RMSprop(rho=1.0), ValueError, "rho: expected a number in [0, 1), got 1.0"),
        (lambda: RMSprop(momentum=2), ValueError, "momentum: expected a number in [0, 1], got 2"),
        (lambda: Adadelta(rho=-1), ValueError, "rho: expected a number in [0, 1), got -1"),
        (lambda: Lion(beta_1=0.0), ValueError, "beta_1: expected a positive number, got 0.0"),
        (lambda: Lion(beta_2=1), ValueError, "beta_2: expected a number in [0, 1), got 1"),
        (
            lambda: AdamW(weight_decay=None),
            TypeError,
            "weight_decay: expected a non-negative number, got None",
        ),
        (
            lambda: SGD(weight_decay=-1),
            ValueError,
            "weight_decay: expected a non-negative number, got -1",
        ),
        (lambda: SGD(clipnorm=0), ValueError, "clipnorm: expected a positive number, got 0"),
        (lambda: SGD(name=3), TypeError, "name: expected a string, got 3"),
        (lambda: SGD(clipvalue=-1), ValueError, "clipvalue: expected a positive number, got -1"),
        (
            lambda: SGD(global_clipnorm="1"),
            TypeError,
            "global_clipnorm: expected a positive number, got '1'",
        ),
        (
            lambda: Adam(clipvalue=1, global_clipnorm=1),
            ValueError,
            "clipvalue: expected at most one of clipnorm, clipvalue and global_clipnorm, "
            "got clipvalue and global_clipnorm",
        ),
        (lambda: Adagrad(epsilon=0), ValueError, "epsilon: expected a positive number, got 0"),
        (
            lambda: Adagrad(initial_accumulator_value=-1),
            ValueError,
            "initial_accumulator_value: expected a non-negative number, got -1",
        ),
    ],
)
def test_construction_errors(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message


def test_get():
    names = {"SGD": SGD, "AdaGrad": Adagrad, "rmsprop": RMSprop, "RMSprop": RMSprop, "AdamW": AdamW}
    for cls in (SGD, Momentum, Nesterov, Adagrad, Adadelta, Adam, Adamax, AdamW, Nadam, Lion):
        names[cls.__name__.lower()] = cls
    for name, cls in names.items():
        assert type(optimizers.get(name)) is cls
    assert optimizers.AdaGrad is Adagrad and type(optimizers.get(Adagrad)) is Adagrad
    optimizer = SGD(0.1, momentum=0.9, nesterov=True)
    assert optimizers.get(optimizer) is optimizer
    assert optimizers.get(optimizer.identifier()).get_config() == {
        "learning_rate": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "name": "sgd",
    }
    assert repr(Momentum()) == (
        "Momentum(learning_rate=0.01, momentum=0.9, nesterov=False, name='momentum')"
    )
    with pytest.raises(ValueError) as error:
        optimizers.get("rmsprob")
    assert str(error.value) == (
        "optimizer: expected one of adadelta, adagrad, adam, adamax, adamw, lbfgs, lion, momentum, "
        "nadam, nesterov, rmsprop, sgd, got 'rmsprob' (did you mean 'rmsprop'?)"
    )


@every_optimizer
def test_config_makes_the_same_again(make):
    one = make(learning_rate=0.25, weight_decay=0.5, clipnorm=2.0, name="mine")
    config = one.get_config()
    assert config["name"] == "mine" and config["weight_decay"] == 0.5 and config["clipnorm"] == 2
    assert "clipvalue" not in config
    two = optimizers.get(one.identifier())
    assert type(two) is type(one) and two.get_config() == config and repr(two) == repr(one)
    np.testing.assert_array_equal(two.hyper(np.arange(3)), one.hyper(np.arange(3)))


def test_config_of_a_class_with_arguments_of_its_own():
    class Slow(Momentum):
        def __init__(self, factor=10.0):
            super().__init__(0.1 / factor, clipnorm=1.0)
            self.factor = factor

    assert Slow.from_config({"factor": 5.0}).factor == 5
    assert Slow(2.0).get_config() == {"factor": 2.0, "learning_rate": 0.05}


# ---- optimizers of one's own -------------------------------------------------------------------


class SignMomentum(Optimizer):
    """An optimizer as a user writes it: steps along the sign of a running mean."""

    def update_array(self, w, g, slots, iteration):
        mean = slots.setdefault("mean", np.zeros_like(w))
        mean += 0.5 * (g - mean)
        w -= self.learning_rate / (iteration + 1) * np.sign(mean)


def test_own_optimizer():
    optimizer = SignMomentum(learning_rate=1.0)
    assert optimizer.kernel_name is None and optimizer.name == "sign_momentum"
    a, b = np.zeros(2), np.zeros((1, 1), "f")
    optimizer.update([a, b], [np.array([2.0, -2.0]), np.ones((1, 1))])
    optimizer.update([a, b], [np.array([-1.0, -2.0]), np.ones((1, 1))])
    assert a.tolist() == [-1.0, 1.5] and b.tolist() == [[-1.5]]
    assert optimizer.slots[0]["mean"].tolist() == [0, -1.5]


def test_own_optimizer_on_a_built_in_one():
    class Halved(Momentum):
        def update_array(self, w, g, slots, iteration):
            super().update_array(w, g / 2, slots, iteration)

    class Renamed(Momentum):
        """Changes no formula, so the kernel stays."""

    assert Halved().kernel_name is None and Renamed().kernel_name == "momentum"
    a, b = np.ones(3), np.ones(3)
    for _ in range(3):
        half, plain = Halved(), Momentum()
        half.update([a], [np.full(3, 4.0)])
        plain.update([b], [np.full(3, 2.0)])
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rest", [
    {"weight_decay": 0.3},
    {"clipvalue": 0.5},
    {"weight_decay": 0.3, "clipnorm": 0.5},
    {"weight_decay": 0.3, "clipvalue": 0.5},
    {"global_clipnorm": 0.5},
], ids=repr)  # fmt: skip
def test_decay_and_clips_of_own_optimizers(rest, dtype, rng):
    class Own(Adam):
        """A formula that calls the built-in one: what comes before it must be done once."""

        def update_array(self, w, g, slots, iteration):
            super().update_array(w, g, slots, iteration)

    start, g = rng.standard_normal((2, 7, 19)).astype(dtype)
    found = []
    for make in (Adam, Own):
        w, optimizer = start.copy(), make(0.1, **rest)
        for _ in range(3):
            optimizer.update([w], [g])
        found.append(w.tobytes())
    assert found[0] == found[1] and np.isfinite(w).all()


def test_an_unfinished_optimizer():
    with pytest.raises(NotImplementedError, match="Optimizer: an optimizer defines update_array"):
        Optimizer().update([np.ones(1)], [np.ones(1)])
