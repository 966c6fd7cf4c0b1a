"""The compiled kernels, one walk over all of them (kernel_walk.py), and what each promises."""

import array
import inspect
import re

import numpy as np
import pytest
from kernel_walk import CASES, cast, is_real

import fastnn as fn
from fastnn import _dispatch, kernels, reference

# Register tiles are 14 or 6 rows by 32, 16 or 8 columns: one less, the same, one more.
ROWS = [1, 5, 6, 7, 13, 14, 15, 29]
COLUMNS = [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65]
DEPTHS = [1, 2, 16, 37]
# Long enough that k and the rows are cut into blocks, and that rows fall on the same cache sets.
LARGE = [(457, 2070, 67), (66, 1024, 1030), (130, 129, 2048), (512, 37, 300), (3, 513, 512)]

every_case = pytest.mark.parametrize("key", CASES)
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def assert_within_bounds(case, arguments, dtype):
    exact = cast(arguments, np.float64)
    got, wanted = case(kernels, cast(arguments, dtype)), case(reference, cast(exact, np.float64))
    bounds = case.magnitude(*exact)
    assert len(got) == len(wanted) == len(bounds)
    for value, want, bound in zip(got, wanted, bounds, strict=True):
        assert value.dtype == dtype and value.shape == want.shape
        info = np.finfo(dtype)
        most = info.eps * np.broadcast_to(bound, want.shape) + info.smallest_normal  # underflow
        wrong = np.argwhere(~(np.abs(value - want) <= most))
        shapes = [np.shape(x) for x in arguments]
        assert not wrong.size, f"shapes {shapes}: {len(wrong)} wrong, first at {wrong[0]}"


def assert_same_bytes(got, wanted):
    assert [x.dtype for x in got] == [x.dtype for x in wanted]
    assert [x.shape for x in got] == [x.shape for x in wanted]
    assert [x.tobytes() for x in got] == [x.tobytes() for x in wanted]


def test_the_walk_visits_every_kernel():
    public = {name for name, f in vars(kernels).items() if inspect.isfunction(f) and name[0] != "_"}
    assert public == {case.name for case in CASES.values()}


@both_dtypes
@every_case
def test_against_the_twin_in_float64(key, dtype):
    case = CASES[key]
    depths = DEPTHS if case.name in ("matmul", "dense_forward", "dense_backward") else DEPTHS[:1]
    for n in ROWS:
        for m in COLUMNS:
            for k in depths:
                assert_within_bounds(case, case.arguments(n, k, m, dtype), dtype)


@both_dtypes
@every_case
def test_large_sizes(key, dtype):
    for n, k, m in LARGE:
        assert_within_bounds(CASES[key], CASES[key].arguments(n, k, m, dtype), dtype)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("m", [63, 64, 128, 200, 256])
@both_dtypes
def test_few_rows_have_the_bits_of_many(n, m, dtype, rng):
    # Few rows are multiplied in wider tiles.
    x, kernel, bias = rng.standard_normal((20, 70)), rng.standard_normal((70, m)), rng.random(m)
    x, kernel, bias = (a.astype(dtype) for a in (x, kernel, bias))
    whole = kernels.dense_forward(x, kernel, bias, "relu")
    assert kernels.dense_forward(x[:n], kernel, bias, "relu").tobytes() == whole[:n].tobytes()


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(
    "m, k, n",
    [
        (460, 600, 270),  # a transposed A large enough to be packed
        (300, 8200, 280),  # and in several blocks
        (60, 200, 2100),  # rows of B far apart
        (50, 512, 512),  # rows that fall on the same cache sets
        (470, 2100, 300),  # several depths
        (3, 90000, 260),  # rows of a transposed A shorter than a tile's
    ],
)
@both_dtypes
def test_the_same_bits_whatever_is_packed(m, k, n, transpose_a, transpose_b, dtype, rng):
    # Products with a few columns and rows of an operand copy nothing of what the whole one copies.
    a = rng.standard_normal((k, m) if transpose_a else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if transpose_b else (k, n)).astype(dtype)
    whole = kernels.matmul(a, b, transpose_a, transpose_b)
    for j in (0, 17, n - 20):
        part = b[j : j + 20] if transpose_b else b[:, j : j + 20]
        found = kernels.matmul(a, np.ascontiguousarray(part), transpose_a, transpose_b)
        assert found.tobytes() == whole[:, j : j + 20].tobytes()
    for i in (0, max(0, m - 7)):
        part = a[:, i : i + 7] if transpose_a else a[i : i + 7]
        found = kernels.matmul(np.ascontiguousarray(part), b, transpose_a, transpose_b)
        assert found.tobytes() == whole[i : i + 7].tobytes()


# ---- inputs of any layout and type -------------------------------------------------------------


def strided(x):
    big = np.full([2 * size + 1 for size in x.shape], 7, x.dtype)
    view = big[tuple(slice(1, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def rows_apart(x):
    big = np.full([*x.shape[:-1], x.shape[-1] + 3], 7, x.dtype)
    big[..., 1:-2] = x
    return big[..., 1:-2]


def backwards(x):
    return x[::-1].copy()[::-1]


def misaligned(x):
    buffer = np.empty(x.nbytes + 1, np.uint8)
    view = buffer[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def one_element_on(x):
    view = np.empty(x.size + 1, x.dtype)[1:].reshape(x.shape)
    view[...] = x
    return view


def byte_swapped(x):
    return x.astype(x.dtype.newbyteorder())


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = [
    *(strided, rows_apart, backwards, misaligned, one_element_on, byte_swapped, read_only),
    np.asfortranarray,
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
@every_case
def test_any_layout_gives_the_same_bytes(key, layout):
    case = CASES[key]
    for n, k, m in [(1, 1, 1), (15, 7, 33)]:
        plain, wanted = case.arguments(n, k, m), case(kernels, case.arguments(n, k, m))
        for i, x in enumerate(plain):
            if is_real(x) and not (layout is read_only and i in case.written):
                arguments = case.arguments(n, k, m)
                arguments[i] = layout(x)
                got = [value.astype(np.float32) for value in case(kernels, arguments)]
                assert_same_bytes(got, wanted)


def test_memory_mapped(tmp_path, rng):
    x = rng.standard_normal((5, 7), np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    got = kernels.matmul(mapped, mapped, transpose_b=True)
    assert type(got) is np.ndarray
    assert_same_bytes([got], [kernels.matmul(x, x, transpose_b=True)])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16"])
@every_case
def test_other_types_are_converted_exactly(key, dtype):
    case = CASES[key]
    arguments, plain = case.arguments(15, 7, 33), case.arguments(15, 7, 33)
    for i, x in enumerate(plain):
        if is_real(x) and i not in case.written:
            arguments[i] = np.clip(np.rint(x), 0 if dtype == "uint16" else -9, 9).astype(dtype)
            plain[i] = arguments[i].astype(np.float32)
    got, wanted = case(kernels, arguments), case(kernels, plain)
    assert {value.dtype for value in got} == {np.dtype(np.float32)}
    assert_same_bytes(got, wanted)


@every_case
def test_one_float64_input_makes_float64(key):
    case = CASES[key]
    for i, x in enumerate(case.arguments(4, 3, 5)):
        if is_real(x) and not case.written:
            arguments = case.arguments(4, 3, 5)
            arguments[i] = x.astype(np.float64)
            wanted = case(kernels, cast(arguments, np.float64))
            assert_same_bytes(case(kernels, arguments), wanted)


def test_any_shape(rng):
    for shape in [(), (5,), (2, 3, 4)]:
        x = rng.standard_normal(shape, np.float32)
        y = kernels.tanh(x)
        assert y.shape == shape
        assert_same_bytes([y.reshape(-1)], [kernels.tanh(x.reshape(-1))])
        w = x.copy()
        kernels.sgd_update(w, x, 0.5)
        np.testing.assert_array_equal(w, x / 2)
    x = rng.standard_normal((2, 3, 4), np.float32)
    flat = kernels.softmax(x.reshape(6, 4))
    assert_same_bytes([kernels.softmax(x)], [flat.reshape(2, 3, 4)])
    assert_same_bytes([kernels.softmax(x[0, 0])], [flat[0]])


# ---- out ---------------------------------------------------------------------------------------

WITH_OUT = [
    key
    for key, case in CASES.items()
    if "out" in inspect.signature(getattr(kernels, case.name)).parameters
]
MATRIX_OUT = ("matmul", "dense_forward")


def with_out(case, arguments, out):
    result = getattr(kernels, case.name)(*arguments, out=out)
    assert result is out
    return out


@both_dtypes
@pytest.mark.parametrize("key", WITH_OUT)
def test_out_is_filled_and_nothing_around_it(key, dtype):
    case = CASES[key]
    for n, k, m in [(1, 1, 1), (7, 5, 9), (29, 40, 65)]:
        arguments = case.arguments(n, k, m, dtype)
        (wanted,) = case(kernels, arguments)
        frame = np.full((wanted.size + 2,), np.nan, dtype)  # what out held before must not matter
        frame[[0, -1]] = 7
        out = with_out(case, arguments, frame[1:-1].reshape(wanted.shape))
        assert_same_bytes([out], [wanted])
        assert (frame[[0, -1]] == 7).all()
        if case.name in MATRIX_OUT:
            frame = np.full((n + 2, m + 5), 7, dtype)
            out = with_out(case, arguments, frame[1:-1, 2:-3])
            assert_same_bytes([out.copy()], [wanted])
            out[...] = 7
            assert (frame == 7).all()


@pytest.mark.parametrize("key", WITH_OUT)
def test_out_in_place(key):
    case = CASES[key]
    for i, x in enumerate(case.arguments(7, 7, 7)):
        if is_real(x) and x.ndim == 2:
            arguments = case.arguments(7, 7, 7)
            if case.name in (*MATRIX_OUT, "column_sum"):
                out = arguments[i] if case.name in MATRIX_OUT else arguments[i][3]
                with pytest.raises(ValueError, match="^out: expected memory apart from .*, got an"):
                    with_out(case, arguments, out)
                np.testing.assert_array_equal(arguments[i], x)
            else:
                wanted = case(kernels, case.arguments(7, 7, 7))
                assert_same_bytes([with_out(case, arguments, arguments[i])], wanted)
                # A view that begins one row later overlaps, and is refused.
                big = np.vstack([x, x[:1]])
                arguments[i] = big[:-1]
                with pytest.raises(ValueError, match="^out: expected memory apart from"):
                    with_out(case, arguments, big[1:])
                np.testing.assert_array_equal(big[:-1], x)


@pytest.mark.parametrize("key", WITH_OUT)
def test_unfit_out(key):
    case = CASES[key]
    arguments = case.arguments(7, 5, 9)
    (fit,) = case(kernels, arguments)
    unfit = [
        (fit.tolist(), TypeError, "out: expected an array, got list"),
        (fit.astype("f8"), TypeError, "out: expected float32, got float64"),
        (byte_swapped(fit), TypeError, "out: expected float32, got >f4"),
        (fit[:-1].copy(), ValueError, "out: expected shape"),
        (read_only(fit), ValueError, "out: expected a writeable array, got a read-only one"),
        (strided(fit), ValueError, "out: expected an aligned array in C order, got strides"),
        (misaligned(fit), ValueError, "out: expected an aligned array in C order, got strides"),
    ]
    for out, error, text in unfit:
        with pytest.raises(error, match=re.escape(text)):
            with_out(case, arguments, out)


# ---- what the core takes as it is, and what it leaves to the checks ----------------------------

CORE = _dispatch.core("float32")
RELU = CORE.ACTIVATIONS["relu"]
X = np.linspace(-1, 1, 12, dtype="f").reshape(3, 4)

DECLINED = {
    **{f.__name__: f(X) for f in LAYOUTS if f not in (one_element_on, read_only)},
    **{kind: X.astype(kind) for kind in ["f8", "f2", "i4", "u4", "i8", "c8", "S4", "O"]},
    **{kind: X.astype(kind) for kind in ["M8[s]", "f4,i4"]},
    "subclass": X.view(np.memmap),
    "masked": np.ma.masked_array(X),
    "empty": X[:0],
    "no axes": np.array(1, "f"),
    "nine axes": np.ones([1] * 9, "f"),
    "broadcast": np.broadcast_to(X[0], X.shape),
    "list": X.tolist(),
    "bytes": X.tobytes(),
    "array": array.array("f", X.ravel()),
    "view": memoryview(X),
    "nothing": None,
}  # fmt: skip


@pytest.mark.parametrize("bad", DECLINED.values(), ids=DECLINED)
def test_the_core_declines(bad):
    fit, out, vector = X.copy(), np.full_like(X, 7), np.full(4, 7, "f")
    square, weights, three = np.full((3, 3), 7, "f"), X.copy(), np.ones(3, "f")
    calls = [
        CORE.activate(RELU, (), bad, out, 1),
        CORE.activate_gradient(RELU, (), bad, fit, out, 1),
        CORE.activate_gradient(RELU, (), fit, bad, out, 1),
        CORE.update(CORE.UPDATES["sgd"], (0.1,), bad, fit, (), 1),
        CORE.update(CORE.UPDATES["sgd"], (0.1,), weights, bad, (), 1),
        CORE.update(CORE.UPDATES["momentum"], (0.1, 0.9), weights, fit, (bad,), 1),
    ]
    calls += [
        CORE.affine(bad, vector, vector, vector, out, 1),
        CORE.affine(fit, bad, None, None, out, 1),
        CORE.prelu(bad, vector, out, 1),
        CORE.prelu(fit, bad, out, 1),
        CORE.prelu_gradient(fit, bad, fit, 1),
        CORE.batch_normalization_gradient(fit, bad, vector, None, fit, 0.1, False, 1),
        CORE.batch_normalization_gradient(fit, vector, bad, None, fit, 0.1, False, 1),
        CORE.layer_normalization_gradient(fit, bad, three, None, fit, 1),
        CORE.layer_normalization_gradient(fit, three, bad, None, fit, 1),
        CORE.multiply(bad, fit, out, 1),
        CORE.multiply(fit, bad, out, 1),
    ]
    if bad is not None:
        calls += [
            CORE.affine(fit, vector, bad, None, out, 1),
            CORE.affine(fit, vector, None, bad, out, 1),
            CORE.affine(fit, vector, None, None, bad, 1),
            CORE.prelu(fit, vector, bad, 1),
            CORE.batch_normalization(fit, bad, None, 0.1, 1),
            CORE.batch_normalization(fit, None, bad, 0.1, 1),
            CORE.batch_normalization_gradient(fit, vector, vector, bad, fit, 0.1, False, 1),
            CORE.layer_normalization(fit, bad, None, 0.1, 1),
            CORE.layer_normalization(fit, None, bad, 0.1, 1),
            CORE.layer_normalization_gradient(fit, three, three, bad, fit, 1),
            CORE.multiply(fit, fit, bad, 1),
            CORE.activate(RELU, (), fit, bad, 1),
            CORE.dense_forward(fit, X.T.copy(), bad, RELU, (), square, 1),
            CORE.loss(CORE.LOSSES["mean_squared_error"], (), fit, fit, bad, None, 1),
        ]
    if bad is not DECLINED["rows_apart"]:
        calls += [
            CORE.prelu_gradient(bad, vector, fit, 1),
            CORE.prelu_gradient(fit, vector, bad, 1),
            CORE.batch_normalization(bad, None, None, 0.1, 1),
            CORE.batch_normalization_gradient(bad, vector, vector, None, fit, 0.1, False, 1),
            CORE.batch_normalization_gradient(fit, vector, vector, None, bad, 0.1, False, 1),
            CORE.layer_normalization(bad, None, None, 0.1, 1),
            CORE.layer_normalization_gradient(bad, three, three, None, fit, 1),
            CORE.layer_normalization_gradient(fit, three, three, None, bad, 1),
            CORE.dropout(bad, 0.5, 0, 0, 1),
            CORE.gaussian_noise(bad, 0.5, 0, 0, 1),
            CORE.matmul(bad, fit, False, True, square, 1),
            CORE.matmul(fit, bad, False, True, square, 1),
            CORE.dense_forward(bad, X.T.copy(), None, RELU, (), square, 1),
            CORE.column_sum(bad, vector, 1),
            *(CORE.loss(code, (), fit, bad, None, None, 1) for code in CORE.LOSSES.values()),
        ]
    assert calls == [None] * len(calls)
    assert (out == 7).all() and (vector == 7).all() and (square == 7).all()
    np.testing.assert_array_equal(fit, X)
    np.testing.assert_array_equal(weights, X)


def test_the_core_declines_what_does_not_fit():
    fit, out, labels = X.copy(), X.copy(), np.array([0, 3, 1])
    sparse = CORE.LOSSES["sparse_softmax_crossentropy"]
    momentum = CORE.UPDATES["momentum"]
    assert [
        CORE.activate(RELU, (), fit, read_only(out), 1),
        CORE.activate(RELU, (), fit, out[:2], 1),
        CORE.activate(RELU, (), fit, out.reshape(4, 3), 1),
        CORE.activate(RELU, (), fit.ravel()[:-1], fit.ravel()[1:], 1),
        CORE.affine(fit, fit[0], None, None, fit, 1),
        CORE.affine(fit, out[0], None, None, read_only(out), 1),
        CORE.affine(fit, out[0], None, None, out[:2], 1),
        CORE.affine(fit, out[0, :3], None, None, None, 1),
        CORE.affine(fit[1:], X[0], None, None, fit[:-1], 1),
        CORE.prelu(fit, fit[0], fit, 1),
        CORE.prelu_gradient(fit, X[0], out[:2], 1),
        CORE.batch_normalization(fit, out[0, :3], None, 0.1, 1),
        CORE.layer_normalization_gradient(fit, X[0], X[0], None, out, 1),
        CORE.multiply(fit, out[:2], None, 1),
        CORE.matmul(fit, fit, False, False, None, 1),
        CORE.matmul(fit, fit, 0, True, None, 1),
        CORE.matmul(fit, fit[:, :3], True, False, fit, 1),
        CORE.dense_forward(fit, out.T.copy(), fit[0], RELU, (), None, 1),
        CORE.loss(sparse, (), fit, labels + 1, None, None, 1),
        CORE.loss(sparse, (), fit, labels - 1, None, None, 1),
        CORE.loss(sparse, (), fit, labels[:2], None, None, 1),
        CORE.update(momentum, (0.1, 0.9), fit, out, (), 1),
        CORE.update(momentum, (0.1, 0.9), fit, out, (fit,), 1),
        CORE.update(momentum, (0.1, 0.9), fit, out, (out,), 1),
        CORE.update(momentum, (0.1, 0.9), fit, fit, (out,), 1),
        CORE.update(momentum, (0.1, 0.9), read_only(fit), out, (X.copy(),), 1),
        CORE.update(momentum, (0.1, 0.9), fit, X, (read_only(out),), 1),
    ] == [None] * 27
    np.testing.assert_array_equal(fit, X)
    np.testing.assert_array_equal(out, X)


def test_the_core_takes_at_most_three_numbers():
    with pytest.raises(ValueError, match="numbers: expected at most 3, got 4"):
        CORE.activate(RELU, (0.0,) * 4, X, None, 1)


def test_arrays_of_a_subclass_are_written_to(tmp_path):
    path = tmp_path / "w"
    w, v = (np.memmap(path, "f4", "w+", 48 * i, (3, 4)) for i in range(2))
    plain_w, plain_v = np.zeros((2, 3, 4), "f")
    for arrays in ((w, v), (plain_w, plain_v)):
        kernels.momentum_update(arrays[0], X, arrays[1], 0.5)
        kernels.sgd_update(arrays[0], X, 0.5)
    assert_same_bytes([w, v], [plain_w, plain_v])
    assert kernels.relu(X, out=w) is w
    np.testing.assert_array_equal(w, kernels.relu(X))
    with pytest.raises(TypeError, match="x: expected a plain array, got a masked array"):
        kernels.relu(np.ma.masked_array(X))


def test_rows_of_the_result_between_rows_of_an_operand():
    big = np.zeros((4, 9), "f")
    x, out = big[:, :4], big[:, 4:8]
    x[...] = np.arange(16).reshape(4, 4)
    wanted = kernels.matmul(x.copy(), x.copy())
    assert kernels.matmul(x, x, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    assert (big[:, 8] == 0).all()


@pytest.mark.parametrize("rate", [1, np.float32(1), np.float64(1), np.int8(1)])
def test_any_number_is_a_rate(rate):
    for name, slots in (("sgd_update", 0), ("momentum_update", 1), ("adagrad_update", 1)):
        wanted, got = ([X.copy() + i for i in range(1 + slots)] for _ in range(2))
        getattr(kernels, name)(wanted[0], X, *wanted[1:], 1.0)
        getattr(kernels, name)(got[0], X, *got[1:], rate)
        assert_same_bytes(got, wanted)


# ---- NaN, infinity, subnormals -----------------------------------------------------------------


LOSSES = ("softmax_crossentropy", "mean_squared_error", "binary_crossentropy", "loss")


@every_case
def test_nan_and_infinity_propagate_in_every_lane(key):
    case, (n, k, m) = CASES[key], (3, 5, 39)
    real = [i for i, x in enumerate(case.arguments(n, k, m)) if is_real(x)]
    if case.name in LOSSES:  # a weight must be finite, an infinite target means nothing
        values = {real[0]: (np.nan, np.inf, -np.inf)}
        values |= {i: (np.nan,) for i in real[1:] if case.arguments(n, k, m)[i].ndim == 2}
    else:
        values = dict.fromkeys(real, (np.nan, np.inf, -np.inf))
    for i in values:
        for position in np.ndindex(case.arguments(n, k, m)[i].shape):
            for value in values[i]:
                arguments = case.arguments(n, k, m)
                arguments[i][position] = value
                with np.errstate(all="ignore"):
                    wanted = case(reference, cast(arguments, np.float64))
                for a, b in zip(case(kernels, arguments), wanted, strict=True):
                    where = f"{value} at {position} of argument {i}"
                    np.testing.assert_array_equal(np.isnan(a), np.isnan(b), where)
                    np.testing.assert_array_equal(a == np.inf, b == np.inf, where)
                    np.testing.assert_array_equal(a == -np.inf, b == -np.inf, where)


@both_dtypes
def test_subnormals_are_honoured(dtype):
    info = np.finfo(dtype)
    tiny = np.full((20, 37), info.smallest_subnormal * 3, dtype)
    x = np.log(info.smallest_normal).astype(dtype) - np.array([2, 5, 9], dtype)
    half = np.sqrt(info.smallest_normal / 4).astype(dtype)
    exact = [
        (kernels.matmul(np.full((20, 1), 2, dtype), tiny[:1]), 2 * tiny),
        (kernels.matmul(half[None, None], half[None, None]), half[None, None] ** 2),
        (kernels.dense_forward(tiny[:, :1], np.ones((1, 37), dtype), tiny[0]), 2 * tiny),
        (kernels.column_sum(tiny), 20 * tiny[0]),
        (kernels.linear(tiny), tiny),
        (kernels.relu(tiny), tiny),
        (kernels.tanh(tiny), tiny),
        (kernels.linear_gradient(tiny, tiny), tiny),
        (kernels.relu_gradient(tiny, tiny), tiny),
        (kernels.tanh_gradient(tiny, tiny), tiny),
        (kernels.sigmoid_gradient(np.full((1, 3), 0.5, dtype), 4 * tiny[:1, :3]), tiny[:1, :3]),
    ]
    for got, wanted in exact:
        assert (wanted != 0).all()
        np.testing.assert_array_equal(got, wanted)
    step = info.smallest_subnormal
    for got, wanted in [
        (kernels.exp(x), np.exp(x.astype(np.longdouble))),
        (kernels.sigmoid(x), np.exp(x.astype(np.longdouble))),
        (kernels.softmax(np.stack([0 * x, x], axis=1))[:, 1], np.exp(x.astype(np.longdouble))),
    ]:
        assert (wanted < info.smallest_normal).all() and (np.abs(got - wanted) <= 2 * step).all()
    np.testing.assert_allclose(kernels.log(tiny), np.log(tiny), rtol=4 * info.eps)
    w = 2 * tiny
    kernels.sgd_update(w, tiny, 1.0)
    np.testing.assert_array_equal(w, tiny)


# ---- accuracy of the elementary functions ------------------------------------------------------

# The builds without fused multiply-add are exempt from the contract; theirs are a little wider.
_FUSED = fn.show_config()["arch"] in ("v3", "v4")
ULP_BOUNDS = (
    {"exp": 1, "log": 1, "tanh": 2, "sigmoid": 2}
    if _FUSED
    else {"exp": 1.1, "log": 1.1, "tanh": 2.5, "sigmoid": 2.5}
)


def ulp_error(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return ``|got - exact|`` in units of the last place of float32 at `exact` (float64).

    Infinity counts as 2**128, the number that float32 would hold next. NaN where both are NaN
    counts as no error, where one of them is as infinite error.
    """
    most = 2.0**128
    exponent = np.frexp(np.clip(exact, -most / 2, most / 2))[1]
    exponent[exact == 0] = -200
    ulp = np.ldexp(1.0, np.maximum(exponent, -125) - 24)
    error = np.abs(np.clip(got.astype(np.float64), -most, most) - np.clip(exact, -most, most)) / ulp
    error[np.isnan(error)] = np.inf
    error[np.isnan(got) & np.isnan(exact)] = 0
    return error


def test_ulp_error_is_what_it_says():
    got = np.array([1, 1, np.inf, 0, 2e-45, np.nan, np.nan, 1], np.float32)
    exact = np.array(
        [1 + 2.0**-23, 1 - 2.0**-24, 2.0**128 - 2.0**104, 2.0**-149, 0, np.nan, 1, np.nan]
    )
    got[4] = 2.0**-149
    assert ulp_error(got, exact).tolist() == [1, 1, 1, 1, 1, 0, np.inf, np.inf]


def worst_ulp_error(name: str, x: np.ndarray) -> tuple[float, float]:
    """Return the worst error of a kernel over float32 inputs, and where it is."""
    with np.errstate(all="ignore"):
        exact = getattr(reference, name)(x.astype(np.float64))
    error = ulp_error(getattr(kernels, name)(x), exact)
    return error.max(), x[error.argmax()]


@pytest.mark.parametrize("name", ULP_BOUNDS)
def test_ulp_bound_on_a_sample(name, rng):
    # Every float32 exponent and sign alike, then the ranges where the function does its work.
    bits = rng.integers(0, 2**32, 1_000_000, np.uint32).view(np.float32)
    edges = np.float32([0, -0.0, np.inf, -np.inf, np.nan, 88.72283, 88.72284, -103.97, -103.98])
    for x in (bits, rng.uniform(-110, 95, 1_000_000), rng.uniform(-1, 3, 500_000), edges):
        x = np.asarray(x, np.float32)
        error, where = worst_ulp_error(name, x)
        assert error <= ULP_BOUNDS[name], f"{error} ULP at {where!r}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ULP_BOUNDS)
def test_ulp_bound_over_all_float32(name):
    chunk = 2**22
    for first in range(0, 2**32, chunk):
        x = np.arange(first, first + chunk, dtype=np.uint32).view(np.float32)
        error, where = worst_ulp_error(name, x)
        assert error <= ULP_BOUNDS[name], f"{error} ULP at {where!r}"


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid"])
def test_float64_elementary_functions(name, rng):
    if np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps:
        pytest.skip("long double is no wider than float64")
    x = np.concatenate([rng.uniform(-700, 700, 100_000), rng.uniform(-3, 3, 100_000)])
    wide = np.abs(x) if name == "log" else x
    exact = wide.astype(np.longdouble)
    exact = 1 / (1 + np.exp(-exact)) if name == "sigmoid" else getattr(np, name)(exact)
    error = np.abs(getattr(kernels, name)(wide) - exact) / np.spacing(np.abs(exact).astype(float))
    assert error.max() <= ULP_BOUNDS[name] + 0.01


def test_signs_of_zero():
    zeros = np.float32([0.0, -0.0])
    for name in ("tanh", "linear"):
        np.testing.assert_array_equal(np.signbit(getattr(kernels, name)(zeros)), [False, True])


# ---- losses ------------------------------------------------------------------------------------


@both_dtypes
def test_finite_logits_give_finite_losses(dtype, rng):
    info = np.finfo(dtype)
    corners = [info.max, -info.max, info.max / 2, -info.max / 2, 100, -100, 0, info.tiny, -1e-30]
    for m in (1, 2, 3, 16, 17, 40):
        logits = rng.choice(np.array(corners, dtype), (200, m))
        labels = rng.integers(0, m, 200)
        one_hot = np.eye(m, dtype=dtype)[labels]
        for losses, gradient in (
            kernels.softmax_crossentropy(logits, labels),
            kernels.softmax_crossentropy(logits, one_hot),
            kernels.binary_crossentropy(logits, one_hot),
            kernels.loss("softmax_crossentropy", logits, one_hot, numbers=(0.1,)),
            kernels.loss("binary_focal_crossentropy", logits, one_hot),
            kernels.loss("binary_focal_crossentropy", logits, one_hot, numbers=(0.1, 0.5)),
        ):
            assert np.isfinite(losses).all() and np.isfinite(gradient).all()
            assert (losses >= 0).all()
        np.testing.assert_allclose(kernels.softmax(logits).sum(axis=1), 1, rtol=(m + 8) * info.eps)


def test_masked_classes_have_no_probability():
    logits = np.float32([[0, -np.inf, 0, -np.inf]])
    np.testing.assert_array_equal(kernels.softmax(logits), [[0.5, 0, 0.5, 0]])
    losses, gradient = kernels.softmax_crossentropy(logits, [0])
    np.testing.assert_allclose(losses, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-0.5, 0, 0.5, 0]], rtol=1e-6)


def test_labels_and_one_hot_targets_agree(rng):
    logits, labels = rng.standard_normal((9, 17), np.float32), rng.integers(0, 17, 9)
    one_hot = np.eye(17, dtype=np.float32)[labels]
    for targets in (labels[:, None], labels.astype(float), labels.astype(np.uint8)):
        assert_same_bytes(
            kernels.softmax_crossentropy(logits, targets),
            kernels.softmax_crossentropy(logits, labels),
        )
    for a, b in zip(
        kernels.softmax_crossentropy(logits, labels),
        kernels.softmax_crossentropy(logits, one_hot),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


# ---- what is refused ---------------------------------------------------------------------------

A, B, V = np.ones((4, 3), "f"), np.ones((3, 5), "f"), np.ones(5, "f")
Y = np.ones((4, 5), "f")
NAMES = ", ".join(reference._ACTIVATIONS)

BAD = [
    (lambda: kernels.matmul(A, A), ValueError, "b: expected 3 rows, got 4 (shape (4, 3))"),
    (lambda: kernels.matmul(A, B, transpose_b=True), ValueError,
     "b: expected 3 columns, got 5 (shape (3, 5))"),
    (lambda: kernels.matmul(A, B, transpose_a=True), ValueError,
     "b: expected 4 rows, got 3 (shape (3, 5))"),
    (lambda: kernels.matmul(A, B, 1), TypeError, "transpose_a: expected True or False, got 1"),
    (lambda: kernels.matmul(A.astype("d"), A), ValueError,
     "b: expected 3 rows, got 4 (shape (4, 3))"),
    (lambda: kernels.matmul(V, B), ValueError,
     "a: expected 2 axes (n, features), got 1 (shape (5,))"),
    (lambda: kernels.matmul(A[:0], B), ValueError,
     "a: expected at least one element, got none (shape (0, 3))"),
    (lambda: kernels.matmul(A, B * 1j), TypeError,
     "b: expected real numbers of at most 64 bits, got complex64"),
    (lambda: kernels.dense_forward(A, Y), ValueError,
     "x: expected 4 features, got 3 (shape (4, 3), kernel (4, 5))"),
    (lambda: kernels.dense_forward(A, B, V[:4]), ValueError,
     "bias: expected shape (5,), got (4,)"),
    (lambda: kernels.dense_forward(A, B, V, "rleu"), ValueError,
     f"activation: expected one of {NAMES}, got 'rleu' (did you mean 'relu' or 'relu6'?)"),
    (lambda: kernels.dense_forward(A, B, V, ["relu"]), TypeError,
     f"activation: expected one of {NAMES}, got ['relu']"),
    (lambda: kernels.dense_forward(A, B, V, "exp"), ValueError,
     f"activation: expected one of {NAMES}, got 'exp'"),
    (lambda: kernels.dense_backward(A, B, Y, A), ValueError,
     "dy: expected shape (4, 5), got (4, 3)"),
    (lambda: kernels.dense_backward(A, B, A, Y), ValueError,
     "y: expected shape (4, 5), got (4, 3)"),
    (lambda: kernels.tanh("x"), TypeError, "x: expected real numbers of at most 64 bits, got <U1"),
    (lambda: kernels.tanh([]), ValueError,
     "x: expected at least one element, got none (shape (0,))"),
    (lambda: kernels.relu([2**24 + 1]), ValueError,
     "x: expected integers that float32 holds, got 16777217"),
    (lambda: kernels.tanh_gradient(A, B), ValueError, "dy: expected shape (4, 3), got (3, 5)"),
    (lambda: kernels.softmax(1.0), ValueError, "x: expected at least 1 axis, got 0 (shape ())"),
    (lambda: kernels.activate("log", A), ValueError,
     f"name: expected one of {NAMES}, got 'log'"),
    (lambda: kernels.gelu_gradient(A, B), ValueError, "dy: expected shape (4, 3), got (3, 5)"),
    (lambda: kernels.gelu_gradient([], B), ValueError,
     "x: expected at least one element, got none (shape (0,))"),
    (lambda: kernels.relu(A, -0.1), ValueError,
     "negative_slope: expected a non-negative number, got -0.1"),
    (lambda: kernels.relu(A, max_value=-1), ValueError,
     "max_value: expected a non-negative number, got -1"),
    (lambda: kernels.relu(A, threshold=np.nan), ValueError,
     "threshold: expected a non-negative number, got nan"),
    (lambda: kernels.leaky_relu_gradient(A, A, True), TypeError,
     "negative_slope: expected a non-negative number, got True"),
    (lambda: kernels.elu(A, -1), ValueError, "alpha: expected a non-negative number, got -1"),
    (lambda: kernels.celu(A, 0), ValueError, "alpha: expected a number from 1e-30 to 1e30, got 0"),
    (lambda: kernels.threshold(A, "1"), TypeError,
     "theta: expected a non-negative number, got '1'"),
    (lambda: kernels.column_sum(V), ValueError,
     "x: expected 2 axes (n, features), got 1 (shape (5,))"),
    (lambda: kernels.softmax_crossentropy(A, [0, 1, 2]), ValueError,
     "targets: expected 4 labels, got shape (3,)"),
    (lambda: kernels.softmax_crossentropy(A, [0, 1, 2, 3]), ValueError,
     "targets: expected labels in [0, 3), got 3 at row 3"),
    (lambda: kernels.mean_squared_error(A, B), ValueError,
     "y_true: expected shape (4, 3), got (3, 5)"),
    (lambda: kernels.mean_squared_error(A, A, [1, 2, np.nan, 0]), ValueError,
     "sample_weight: expected finite weights, got nan at row 2"),
    (lambda: kernels.binary_crossentropy(A, A, [1]), ValueError,
     "sample_weight: expected shape (4,), got (1,)"),
    (lambda: kernels.sgd_update([1.0], [1.0], 0.1), TypeError, "w: expected an array, got list"),
    (lambda: kernels.sgd_update(A, B, 0.1), ValueError, "g: expected shape (4, 3), got (3, 5)"),
    (lambda: kernels.sgd_update(A, A, -1), ValueError,
     "learning_rate: expected a non-negative number, got -1"),
    (lambda: kernels.sgd_update(A, A, True), TypeError,
     "learning_rate: expected a non-negative number, got True"),
    (lambda: kernels.sgd_update(A, Y[:, :3], np.inf), ValueError,
     "learning_rate: expected a non-negative number, got inf"),
    (lambda: kernels.momentum_update(A, Y[:, :3], A.copy(), 0.1, nesterov=1), TypeError,
     "nesterov: expected True or False, got 1"),
    (lambda: kernels.momentum_update(A, A, A, 0.1), ValueError,
     "velocity: expected memory apart from w, got an overlap"),
    (lambda: kernels.momentum_update(A, A, A.astype("d"), 0.1), TypeError,
     "velocity: expected float32, got float64"),
    (lambda: kernels.momentum_update(A, A, A.copy(), 0.1, 1.1), ValueError,
     "momentum: expected a number in [0, 1], got 1.1"),
    (lambda: kernels.adagrad_update(A, A, None, 0.1), TypeError,
     "accumulator: expected an array, got NoneType"),
    (lambda: kernels.adagrad_update(A, A, A.copy(), 0.1, np.nan), ValueError,
     "epsilon: expected a non-negative number, got nan"),
    (lambda: kernels.rmsprop_update(A, A, A.copy(), 0.1, 1.5), ValueError,
     "rho: expected a number in [0, 1], got 1.5"),
    (lambda: kernels.rmsprop_update(A, A, A.copy(), 0.1, increment=A), ValueError,
     "increment: expected memory apart from w, got an overlap"),
    (lambda: kernels.adadelta_update(A, A, C := A.copy(), C), ValueError,
     "accumulated_delta_var: expected memory apart from accumulated_grad, got an overlap"),
    (lambda: kernels.adam_update(A, A, A.copy(), A.copy(), 0), ValueError,
     "step: expected a positive integer, got 0"),
    (lambda: kernels.adam_update(A, A, A.copy(), A.copy(), 1, beta_2=1.0), ValueError,
     "beta_2: expected a number in [0, 1), got 1.0"),
    (lambda: kernels.adam_update(A, A, A.copy(), B, 1), ValueError,
     "velocity: expected shape (4, 3), got (3, 5)"),
    (lambda: kernels.adamax_update(A, A, A.copy(), None, 1), TypeError,
     "norm: expected an array, got NoneType"),
    (lambda: kernels.nadam_update(A, B, A.copy(), A.copy(), 1), ValueError,
     "g: expected shape (4, 3), got (3, 5)"),
    (lambda: kernels.lion_update(A, A, A.copy(), -1.0), ValueError,
     "learning_rate: expected a non-negative number, got -1.0"),
    (lambda: kernels.update("sgd", [0.1] * 13, A, A), ValueError,
     "hyper: expected at most 12 numbers, got 13"),
    (lambda: kernels.update("adam", [0.1], A, A, A.copy()), ValueError,
     "slots: expected 2 arrays for 'adam', got 1"),
    (lambda: kernels.update("momentum", [0.1], A, A, A), ValueError,
     "slots[0]: expected memory apart from w, got an overlap"),
    (lambda: kernels.update("sdg", [0.1], A, A), ValueError,
     f"kind: expected one of {', '.join(CORE.UPDATES)}, got 'sdg' (did you mean 'sgd'?)"),
    (lambda: kernels.add_penalty(A, B), ValueError, "w: expected shape (4, 3), got (3, 5)"),
    (lambda: kernels.add_penalty([1.0], A), TypeError, "g: expected an array, got list"),
    (lambda: kernels.add_penalty(A, A.copy(), l1=-1), ValueError,
     "l1: expected a non-negative number, got -1"),
    (lambda: kernels.sum_of_squares([]), ValueError,
     "x: expected at least one element, got none (shape (0,))"),
    (lambda: kernels.loss("mean_squared_error", A, A, scale=np.inf), ValueError,
     "scale: expected a finite number, got inf"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, text", BAD, ids=[text[:50] for _, _, text in BAD])
def test_bad_input(call, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        call()
    assert (A == 1).all() and (B == 1).all()


@every_case
def test_none_is_no_array(key):
    case = CASES[key]
    parameters = list(inspect.signature(getattr(kernels, case.name)).parameters.values())
    for i, argument in enumerate(given := case.arguments(3, 4, 5)):
        parameter = parameters[min(i, len(parameters) - 1)]  # the last may take several
        if not is_real(argument) or "None" in str(parameter.annotation):
            continue
        with pytest.raises(TypeError, match=r"^[\w\[\]]+: expected "):
            case(kernels, [*given[:i], None, *given[i + 1 :]])


def test_update_by_its_own_memory():
    w = np.arange(1, 40, dtype="f")
    kernels.sgd_update(w, w, 0.5)
    np.testing.assert_array_equal(w, np.arange(1, 40) / 2)
    kernels.sgd_update(w[1:], w[:-1], 1.0)  # the gradient is the old values, one element back
    np.testing.assert_array_equal(w, np.full(39, 0.5))


def test_threads_are_a_limit_of_the_calling_code(rng):
    a = rng.standard_normal((300, 200), np.float32)
    with fn.num_threads(1):
        one = kernels.matmul(a, a, transpose_b=True)
    assert_same_bytes([kernels.matmul(a, a, transpose_b=True)], [one])
