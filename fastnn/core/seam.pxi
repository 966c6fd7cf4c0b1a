# The kernels as Python functions on arrays. Each looks at the buffers of its arrays and works only if
# all are plain; else it returns None, with nothing changed, and kernels.py converts, or raises the
# error that says what is wrong. So a call with nothing to convert is a microsecond cheaper, and no
# caller is trusted. Only the codes and the numbers in `hyper` are.
#
# Plain: an ndarray itself (a subclass may mean something else by its numbers) of native, aligned
# `real`, of 1 to MOST_AXES axes, not empty, C-contiguous; the rows of a matrix may lie apart where the
# function says so. What is written must be writeable, of the exact shape, and apart in memory from
# what is read, or, where a kernel works in place, the very same array. `out` None: a new array.
# `threads` is an upper limit; the work decides.

# Least work a thread is worth waking for, in element-operations (about 4 microseconds each).
cdef double CHEAP_WORK_PER_THREAD = 60e3   # relu, updates: bound by memory
cdef double COSTLY_WORK_PER_THREAD = 12e3  # exp and friends, rows of softmax

# Activations over rows, beside the elementwise ones; for the functions here only.
cdef enum:
    SOFTMAX = ACTIVATION_COUNT
    LOG_SOFTMAX

level = LEVEL_NAME.decode()
precision = REAL_NAME.decode()
openmp = bool(TEAM_OPENMP)
compiler = COMPILER_NAME.decode()
lanes = LANES

# The elementwise ones. Several names may share a code and differ in their numbers (kernels.py).
ACTIVATIONS = {
    "linear": LINEAR, "sigmoid": SIGMOID, "tanh": TANH, "relu": RELU, "relu6": GENERAL_RELU,
    "leaky_relu": GENERAL_RELU, "elu": ELU, "selu": ELU, "celu": ELU, "gelu": GELU,
    "gelu_tanh": GELU_TANH, "silu": SILU, "mish": MISH, "softplus": SOFTPLUS, "softsign": SOFTSIGN,
    "exponential": EXP, "hard_sigmoid": HARD_SIGMOID, "hard_silu": HARD_SILU, "hard_tanh": HARD_TANH,
    "log_sigmoid": LOG_SIGMOID, "threshold": GENERAL_RELU, "step": STEP, "exp": EXP, "log": LOG}
# Those whose gradient is computed from the input x; of all others, from the output y.
FROM_INPUT = frozenset(("gelu", "gelu_tanh", "silu", "mish", "softsign", "hard_silu"))
ROW_ACTIVATIONS = {"softmax": SOFTMAX, "log_softmax": LOG_SOFTMAX}
LOSSES = {
    "sparse_softmax_crossentropy": SPARSE_SOFTMAX_CROSSENTROPY,
    "softmax_crossentropy": SOFTMAX_CROSSENTROPY,
    "sparse_crossentropy_of_probabilities": SPARSE_CROSSENTROPY_OF_PROBABILITIES,
    "crossentropy_of_probabilities": CROSSENTROPY_OF_PROBABILITIES,
    "binary_crossentropy": BINARY_CROSSENTROPY,
    "binary_crossentropy_of_probabilities": BINARY_CROSSENTROPY_OF_PROBABILITIES,
    "binary_focal_crossentropy": BINARY_FOCAL,
    "binary_focal_crossentropy_of_probabilities": BINARY_FOCAL_OF_PROBABILITIES,
    "mean_squared_error": MEAN_SQUARED_ERROR,
    "root_mean_squared_error": ROOT_MEAN_SQUARED_ERROR,
    "sum_squared_error": SUM_SQUARED_ERROR,
    "mean_absolute_error": MEAN_ABSOLUTE_ERROR,
    "mean_absolute_percentage_error": MEAN_ABSOLUTE_PERCENTAGE_ERROR,
    "mean_squared_logarithmic_error": MEAN_SQUARED_LOGARITHMIC_ERROR,
    "huber": HUBER,
    "log_cosh": LOG_COSH,
    "quantile": QUANTILE,
    "kl_divergence": KL_DIVERGENCE,
    "poisson": POISSON,
    "hinge": HINGE,
    "squared_hinge": SQUARED_HINGE,
    "categorical_hinge": CATEGORICAL_HINGE,
    "cosine_similarity": COSINE_SIMILARITY,
    "contrastive": CONTRASTIVE,
    "triplet": TRIPLET,
}
UPDATES = {"sgd": SGD, "momentum": MOMENTUM, "nesterov": NESTEROV, "adagrad": ADAGRAD, "rmsprop": RMSPROP,
           "rmsprop_momentum": RMSPROP_MOMENTUM, "rmsprop_centered": RMSPROP_CENTERED,
           "rmsprop_centered_momentum": RMSPROP_CENTERED_MOMENTUM, "adadelta": ADADELTA, "adam": ADAM,
           "amsgrad": AMSGRAD, "adamax": ADAMAX, "nadam": NADAM, "lion": LION}
UPDATE_SLOTS = {name: update_slots(code) for name, code in UPDATES.items()}
# The row of hyper: its length, and the places of what all updates have in common.
hypers = HYPERS
hyper_places = {"decay": DECAY, "clipvalue": CLIPVALUE, "clipnorm": CLIPNORM}

# ---- plain arrays --------------------------------------------------------------------------------

cdef extern from "Python.h":
    int PyObject_GetBuffer(object x, Py_buffer* b, int flags) noexcept  # not 0: an exception is set

cdef object ndarray = numpy.ndarray
cdef object empty = numpy.empty
cdef object real_dtype = numpy.dtype(precision)

cdef enum:
    MOST_AXES = 8

# What the kernels need to know of a plain array: a matrix of its last axis by all the others.
cdef struct View:
    real* data
    Py_ssize_t rows, cols, ld
    int axes
    Py_ssize_t shape[MOST_AXES]
    bint writeable


cdef inline bint is_plain(Py_buffer* b, const char* formats, size_t itemsize, bint rows_apart) noexcept:
    cdef Py_ssize_t step = b.itemsize
    cdef int i
    if (not 1 <= b.ndim <= MOST_AXES or b.len == 0 or <size_t>b.itemsize != itemsize
            or <size_t>b.buf % itemsize):
        return False
    if b.format == NULL or b.format[0] == 0 or b.format[1] != 0 or strchr(formats, b.format[0]) == NULL:
        return False  # a byte order that is not the machine's shows as a second character
    for i in range(b.ndim - 1, -1, -1):
        if b.strides[i] != step and b.shape[i] != 1 and not (
                rows_apart and i == 0 and b.ndim == 2 and b.strides[0] > step
                and b.strides[0] % b.itemsize == 0):
            return False
        step *= b.shape[i]
    return True


cdef bint view(object x, View* v, bint rows_apart=False, const char* formats=b"fdg",
               size_t itemsize=sizeof(real)) noexcept:
    """Look at x; False if it is not plain. The numbers stay where they are while x is referred to, so
    the buffer is given back at once, and no error leaves it taken. (Where long double, g, is as long
    as double, NumPy takes the two for one type.)"""
    cdef Py_buffer b
    cdef bint plain
    if type(x) is not ndarray:
        return False
    if PyObject_GetBuffer(x, &b, PyBUF_STRIDES | PyBUF_FORMAT) != 0:
        PyErr_Clear()
        return False
    plain = is_plain(&b, formats, itemsize, rows_apart)
    if plain:
        v.data = <real*>b.buf
        v.axes = b.ndim
        memcpy(v.shape, b.shape, b.ndim * sizeof(Py_ssize_t))
        v.cols = b.shape[b.ndim - 1]
        v.rows = b.len // (b.itemsize * v.cols)
        v.ld = b.strides[0] // b.itemsize if b.ndim == 2 and v.rows > 1 else v.cols
        v.writeable = not b.readonly
    PyBuffer_Release(&b)
    return plain


cdef inline bint view_matrix(object x, View* v) noexcept:
    """A matrix whose rows may lie apart."""
    return view(x, v, True) and v.axes == 2


cdef inline bint is_vector(View* v, Py_ssize_t n) noexcept:
    return v.axes == 1 and v.cols == n


cdef inline bint same_shape(View* a, View* b) noexcept:
    return a.axes == b.axes and memcmp(a.shape, b.shape, a.axes * sizeof(Py_ssize_t)) == 0


cdef inline bint apart(View* a, View* b) noexcept:
    """Whether the one ends before the other begins."""
    return (a.data + (a.rows - 1) * a.ld + a.cols <= b.data
            or b.data + (b.rows - 1) * b.ld + b.cols <= a.data)


cdef inline bint same_or_apart(View* a, View* b) noexcept:
    """For contiguous arrays of one shape."""
    return a.data == b.data or apart(a, b)


cdef object output(object out, View* like, View* v, bint rows_apart=False):
    """Return `out`, or a new array, of the shape of `like`, seen as v; None if it is not fit for that."""
    cdef int i
    if out is None:
        shape = (like.shape[0],) if like.axes == 1 else tuple([like.shape[i] for i in range(like.axes)])
        out = empty(shape, real_dtype)
    return out if view(out, v, rows_apart) and v.writeable and same_shape(v, like) else None


cdef object output_matrix(object out, Py_ssize_t rows, Py_ssize_t cols, View* v):
    """The same for a matrix, whose rows may lie apart."""
    cdef View like
    like.axes, like.shape[0], like.shape[1] = 2, rows, cols
    return output(out, &like, v, True)


# ---- kernels -------------------------------------------------------------------------------------

cdef inline int threads_for_rows(Py_ssize_t rows, Py_ssize_t cols, int limit) noexcept nogil:
    return useful_threads(<double>rows * max(cols, 32), COSTLY_WORK_PER_THREAD, limit)


cdef char* aligned(char* p) noexcept nogil:
    return <char*>((<size_t>p + 63) // 64 * 64)


cdef int run_gemm(Gemm* g, const Step* step, int threads) except -1:
    cdef char* block
    gemm_prepare(g)
    threads = useful_threads(<double>g.m * g.n * g.k, GEMM_WORK_PER_THREAD, threads)
    block = <char*>malloc(g.scratch_bytes * threads + 64)
    if block == NULL:
        raise MemoryError(f"a product of {g.m}x{g.k} and {g.k}x{g.n} needs "
                          f"{g.scratch_bytes * threads} bytes of scratch")
    g.scratch = aligned(block)
    with nogil:
        run(gemm_kernel, g, step, threads)
        free(block)
    return 0


cdef void run_softmax(int code, View* x, View* out, int threads) noexcept:
    cdef Softmax a
    memset(&a, 0, sizeof(a))
    a.rows, a.cols, a.log = x.rows, x.cols, code == LOG_SOFTMAX
    a.x, a.ldx, a.out, a.ldout = x.data, x.ld, out.data, out.ld
    threads = threads_for_rows(a.rows, a.cols, threads)
    with nogil:
        run(softmax_kernel, &a, NULL, threads)


cdef int take_numbers(int* code, tuple numbers, real* into) except -1:
    """The numbers of an activation; `into` has room for NUMBERS. A relu with any is the general one."""
    cdef int k = 0
    if len(numbers) > NUMBERS:
        raise ValueError(f"numbers: expected at most {NUMBERS}, got {len(numbers)}")
    if code[0] == RELU and numbers:
        code[0] = GENERAL_RELU
    for number in numbers:
        into[k] = <real><double>number
        k += 1
    return 0


def matmul(a, b, transpose_a, transpose_b, out, int threads):
    """a @ b; rows may be apart. `out` apart from both."""
    cdef View x, y, z
    cdef Gemm g
    if not (type(transpose_a) is bool and type(transpose_b) is bool
            and view_matrix(a, &x) and view_matrix(b, &y)):
        return None
    memset(&g, 0, sizeof(g))
    g.trans_a, g.trans_b = transpose_a is True, transpose_b is True
    g.m, g.k = (x.cols, x.rows) if g.trans_a else (x.rows, x.cols)
    g.n = y.rows if g.trans_b else y.cols
    if g.k != (y.cols if g.trans_b else y.rows):
        return None
    out = output_matrix(out, g.m, g.n, &z)
    if out is None or not apart(&z, &x) or not apart(&z, &y):
        return None
    g.a, g.lda, g.b, g.ldb, g.c, g.ldc = x.data, x.ld, y.data, y.ld, z.data, z.ld
    run_gemm(&g, NULL, threads)
    return out


def dense_forward(x, kernel, bias, int activation, tuple numbers, out, int threads):
    """activation(x @ kernel + bias), bias or None; rows may be apart. `out` apart from all."""
    cdef View a, w, b, y
    cdef Gemm g
    if not (view_matrix(x, &a) and view_matrix(kernel, &w) and a.cols == w.rows):
        return None
    if bias is not None and not (view(bias, &b) and is_vector(&b, w.cols)):
        return None
    out = output_matrix(out, a.rows, w.cols, &y)
    if out is None or not apart(&y, &a) or not apart(&y, &w):
        return None
    memset(&g, 0, sizeof(g))
    if bias is not None:
        if not apart(&y, &b):
            return None
        g.bias = b.data
    g.m, g.n, g.k = a.rows, w.cols, a.cols
    g.a, g.lda, g.b, g.ldb, g.c, g.ldc = a.data, a.ld, w.data, w.ld, y.data, y.ld
    if LINEAR < activation < ACTIVATION_COUNT:
        take_numbers(&activation, numbers, g.numbers)
        g.finish, g.code = FINISH_ACTIVATE, activation
    run_gemm(&g, NULL, threads)
    if activation >= ACTIVATION_COUNT:
        run_softmax(activation, &y, &y, threads)
    return out


def activate(int code, tuple numbers, x, out, int threads):
    """The activation of this code with its numbers; any shape. `out` may be x."""
    cdef View v, y
    cdef Map a
    if not view(x, &v):
        return None
    out = output(out, &v, &y)
    if out is None or not same_or_apart(&y, &v):
        return None
    if code >= ACTIVATION_COUNT:
        run_softmax(code, &v, &y, threads)
        return out
    memset(&a, 0, sizeof(a))
    take_numbers(&code, numbers, a.numbers)
    a.code, a.rows, a.cols, a.x, a.out = code, 1, v.rows * v.cols, v.data, y.data
    threads = useful_threads(a.cols, CHEAP_WORK_PER_THREAD if activation_is_cheap(code) else
                             COSTLY_WORK_PER_THREAD, threads)
    with nogil:
        run(activate_kernel, &a, NULL, threads)
    return out


def activate_gradient(int code, tuple numbers, saved, dy, out, int threads):
    """dy * f'(x) (not for log), saved = f(x), or x for those FROM_INPUT; any shape. `out` may be either."""
    cdef View v, d, o
    cdef Map a
    cdef Softmax s
    if not (view(saved, &v) and view(dy, &d) and same_shape(&v, &d)):
        return None
    out = output(out, &v, &o)
    if out is None or not same_or_apart(&o, &v) or not same_or_apart(&o, &d):
        return None
    if code >= ACTIVATION_COUNT:
        memset(&s, 0, sizeof(s))
        s.rows, s.cols, s.log = v.rows, v.cols, code == LOG_SOFTMAX
        s.x, s.ldx, s.dy, s.lddy, s.out, s.ldout = v.data, v.ld, d.data, d.ld, o.data, o.ld
        threads = threads_for_rows(s.rows, s.cols, threads)
        with nogil:
            run(softmax_gradient_kernel, &s, NULL, threads)
        return out
    memset(&a, 0, sizeof(a))
    take_numbers(&code, numbers, a.numbers)
    a.code, a.rows, a.cols, a.x, a.dy, a.out = code, 1, v.rows * v.cols, v.data, d.data, o.data
    threads = useful_threads(a.cols, CHEAP_WORK_PER_THREAD if slope_is_cheap(code) else
                             COSTLY_WORK_PER_THREAD, threads)
    with nogil:
        run(activate_gradient_kernel, &a, NULL, threads)
    return out


def column_sum(x, out, int threads):
    """out[j] = sum_i x[i, j], ascending i; rows of x may be apart. `out` apart from x."""
    cdef View v, o, like
    cdef ColumnSum a
    if not view_matrix(x, &v):
        return None
    like.axes, like.shape[0] = 1, v.cols
    out = output(out, &like, &o)
    if out is None or not apart(&o, &v):
        return None
    memset(&a, 0, sizeof(a))
    a.rows, a.cols, a.x, a.ldx, a.out = v.rows, v.cols, v.data, v.ld, o.data
    threads = useful_threads(<double>a.rows * a.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(column_sum_kernel, &a, NULL, threads)
    return out


def loss(int code, tuple numbers, y_pred, y_true, weights, scale, int threads):
    """Return (the loss of each row, the gradient of scale * sum_i weights_i * loss_i by y_pred).

    numbers: at most LOSS_NUMBERS floats. y_true: int64 labels for the codes that take them, else like
    y_pred. weights, or None; scale, or None for one by the number of rows. Rows may be apart.
    ROOT_MEAN_SQUARED_ERROR: the gradient of the root of that sum.
    """
    cdef View pred, true, weight, value, slope, like
    cdef Loss a
    cdef Root root
    cdef int k
    if len(numbers) > LOSS_NUMBERS or not view_matrix(y_pred, &pred):
        return None
    memset(&a, 0, sizeof(a))
    for k in range(len(numbers)):
        a.numbers[k] = <double>numbers[k]
    a.code, a.rows, a.cols = code, pred.rows, pred.cols
    a.scale = <real>(1.0 / a.rows if scale is None else <double>scale)
    a.y_pred, a.ldpred = pred.data, pred.ld
    if takes_labels(code):
        if not (view(y_true, &true, False, b"lq", sizeof(int64_t)) and is_vector(&true, a.rows)):
            return None
        a.labels = <const int64_t*>true.data
        if code != TRIPLET and not labels_within(a.labels, a.rows, a.cols):
            return None
    else:
        if not (view_matrix(y_true, &true) and same_shape(&true, &pred)):
            return None
        a.y_true, a.ldtrue = true.data, true.ld
    if weights is not None:
        if not (view(weights, &weight) and is_vector(&weight, a.rows)):
            return None
        a.weights = weight.data
    like.axes, like.shape[0] = 1, a.rows
    values, gradient = output(None, &like, &value), output(None, &pred, &slope)
    a.values, a.gradient, a.ldgradient = value.data, slope.data, slope.ld
    if code == TRIPLET:
        run_triplet(&a, threads)
        return values, gradient
    threads = threads_for_rows(a.rows, a.cols, threads)
    with nogil:
        run(loss_kernel, &a, NULL, threads)
        if code == ROOT_MEAN_SQUARED_ERROR:
            root.loss = &a
            run(root_kernel, &root, NULL, threads)
    return values, gradient


cdef int run_triplet(Loss* a, int threads) except -1:
    cdef Triplet b
    cdef char* block = <char*>malloc(a.rows * 2 * (sizeof(Py_ssize_t) + sizeof(real)))
    if block == NULL:
        raise MemoryError(f"loss: no memory for the triplets of {a.rows} rows")
    b.loss = a
    b.positive = <Py_ssize_t*>block
    b.negative = b.positive + a.rows
    b.far = <real*>(b.negative + a.rows)
    b.near = b.far + a.rows
    threads = useful_threads(<double>a.rows * a.rows * max(a.cols, 32), CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(triplet_search_kernel, &b, NULL, threads)
        run(triplet_gradient_kernel, &b, NULL, threads)
        free(block)
    return 0


cdef bint labels_within(const int64_t* labels, Py_ssize_t n, Py_ssize_t classes) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not 0 <= labels[i] < classes:
            return False
    return True


def update(int code, tuple hyper, w, g, tuple slots, int threads):
    """One step in place on w and its slots; hyper: at most HYPERS floats. All apart. Returns w."""
    cdef View weight, gradient
    cdef View state[SLOTS]
    cdef UpdateArgs a
    cdef Step step
    cdef real row[HYPERS]
    cdef int k = 0, j
    if not (view(w, &weight) and weight.writeable and view(g, &gradient)
            and same_shape(&gradient, &weight) and apart(&gradient, &weight)
            and len(slots) == update_slots(code) and len(hyper) <= HYPERS):
        return None
    memset(&a, 0, sizeof(a))
    memset(&step, 0, sizeof(step))
    memset(row, 0, sizeof(row))
    memset(&a, 0, sizeof(a))
    a.code, a.rows, a.cols, a.w, a.g = code, 1, weight.rows * weight.cols, weight.data, gradient.data
    for slot in slots:
        if not (view(slot, &state[k]) and state[k].writeable and same_shape(&state[k], &weight)
                and apart(&state[k], &weight) and apart(&state[k], &gradient)):
            return None
        for j in range(k):
            if not apart(&state[k], &state[j]):
                return None
        a.slots[k] = state[k].data
        k += 1
    for k in range(len(hyper)):
        row[k] = <double>hyper[k]
    step.hyper = row
    threads = useful_threads(a.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(update_kernel, &a, &step, threads)
    return w


def add_penalty(g, w, real l1, real l2, int threads):
    """g += l1 sign(w) + 2 l2 w in place, see `with_penalty`; any shape. g apart from w. Returns g."""
    cdef View gradient, weight
    cdef PenaltyArgs a
    if not (view(g, &gradient) and gradient.writeable and view(w, &weight)
            and same_shape(&gradient, &weight) and apart(&gradient, &weight)):
        return None
    memset(&a, 0, sizeof(a))
    a.rows, a.cols, a.l1, a.l2 = 1, gradient.rows * gradient.cols, l1, l2
    a.g, a.w = gradient.data, weight.data
    threads = useful_threads(a.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(add_penalty_kernel, &a, NULL, threads)
    return g


def sum_of_squares(x, int threads):
    """The sum over the rows of x (its last axis), ascending, of their sums of squares; any shape."""
    cdef View v
    cdef SquareSum a
    cdef double total
    if not view(x, &v, True):
        return None
    memset(&a, 0, sizeof(a))
    a.rows, a.cols, a.x, a.ldx = v.rows, v.cols, v.data, v.ld
    a.partial = <double*>malloc(sizeof(double) * a.rows)
    if a.partial == NULL:
        raise MemoryError(f"sum_of_squares: no memory for the sums of {a.rows} rows")
    threads = useful_threads(<double>a.rows * a.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(square_sum_kernel, &a, NULL, threads)
        total = ascending_sum(a.partial, a.rows)
        free(a.partial)
    return total


# ---- by columns and by rows ----------------------------------------------------------------------
cdef object new_vector(Py_ssize_t n, View* v):
    cdef View like
    like.axes, like.shape[0] = 1, n
    return output(None, &like, v)


cdef inline bint view_vector(object x, View* v, Py_ssize_t n) noexcept:
    """A vector of n numbers, or None, whose data is then NULL."""
    if x is None:
        v.data = NULL
        return True
    return view(x, v) and is_vector(v, n)


cdef inline bint apart_if_any(View* out, View* v) noexcept:
    return v.data == NULL or apart(out, v)


def affine(x, scale, shift, center, out, int threads):
    """(x - center) * scale + shift by columns; center and shift may be None. `out` may be x."""
    cdef View v, s, t, c, y
    cdef Columns a
    if not (view(x, &v) and v.axes == 2 and view(scale, &s) and is_vector(&s, v.cols)
            and view_vector(shift, &t, v.cols) and view_vector(center, &c, v.cols)):
        return None
    out = output(out, &v, &y)
    if (out is None or not same_or_apart(&y, &v) or not apart(&y, &s) or not apart_if_any(&y, &t)
            or not apart_if_any(&y, &c)):
        return None
    memset(&a, 0, sizeof(a))
    a.map.rows, a.map.cols, a.map.x, a.map.ldx = v.rows, v.cols, v.data, v.ld
    a.map.out, a.map.ldout = y.data, y.ld
    a.center, a.scale, a.shift = c.data, s.data, t.data
    threads = useful_threads(<double>v.rows * v.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(affine_kernel, &a, NULL, threads)
    return out


def prelu(x, alpha, out, int threads):
    """x where x > 0, else alpha * x, alpha by columns. `out` may be x."""
    cdef View v, s, y
    cdef Columns a
    if not (view(x, &v) and v.axes == 2 and view(alpha, &s) and is_vector(&s, v.cols)):
        return None
    out = output(out, &v, &y)
    if out is None or not same_or_apart(&y, &v) or not apart(&y, &s):
        return None
    memset(&a, 0, sizeof(a))
    a.map.rows, a.map.cols, a.map.x, a.map.ldx = v.rows, v.cols, v.data, v.ld
    a.map.out, a.map.ldout, a.scale = y.data, y.ld, s.data
    threads = useful_threads(<double>v.rows * v.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(prelu_kernel, &a, NULL, threads)
    return out


def prelu_gradient(x, alpha, dy, int threads):
    """Return (dx, dalpha); rows may be apart."""
    cdef View v, s, g, o, w
    cdef Columns a
    if not (view_matrix(x, &v) and view(alpha, &s) and is_vector(&s, v.cols) and view_matrix(dy, &g)
            and same_shape(&g, &v)):
        return None
    dx, dalpha = output(None, &v, &o), new_vector(v.cols, &w)
    memset(&a, 0, sizeof(a))
    a.map.rows, a.map.cols, a.map.x, a.map.ldx = v.rows, v.cols, v.data, v.ld
    a.map.dy, a.map.lddy, a.map.out, a.map.ldout = g.data, g.ld, o.data, o.ld
    a.scale, a.dscale = s.data, w.data
    threads = useful_threads(<double>v.rows * v.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(prelu_gradient_kernel, &a, NULL, threads)
    return dx, dalpha


def batch_normalization(x, gamma, beta, double epsilon, int threads):
    """Return (y, mean, variance) of the columns; gamma, beta or None; rows of x may be apart."""
    cdef View v, s, t, y, m, q
    cdef BatchNorm a
    if not (view_matrix(x, &v) and view_vector(gamma, &s, v.cols) and view_vector(beta, &t, v.cols)):
        return None
    memset(&a, 0, sizeof(a))
    out, mean, variance = output(None, &v, &y), new_vector(v.cols, &m), new_vector(v.cols, &q)
    a.rows, a.cols, a.x, a.ldx, a.gamma, a.beta = v.rows, v.cols, v.data, v.ld, s.data, t.data
    a.epsilon, a.mean, a.variance, a.out, a.ldout = <real>epsilon, m.data, q.data, y.data, y.ld
    threads = useful_threads(<double>v.rows * v.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(batch_norm_kernel, &a, NULL, threads)
    return out, mean, variance


def batch_normalization_gradient(x, mean, variance, gamma, dy, double epsilon, bint constant,
                                 int threads):
    """Return (dx, dgamma, dbeta); gamma or None; rows of x and dy may be apart."""
    cdef View v, m, q, s, g, o, u, w
    cdef BatchNorm a
    if not (view_matrix(x, &v) and view(mean, &m) and is_vector(&m, v.cols) and view(variance, &q)
            and is_vector(&q, v.cols) and view_vector(gamma, &s, v.cols) and view_matrix(dy, &g)
            and same_shape(&g, &v)):
        return None
    memset(&a, 0, sizeof(a))
    dx, dgamma, dbeta = output(None, &v, &o), new_vector(v.cols, &u), new_vector(v.cols, &w)
    a.rows, a.cols, a.x, a.ldx, a.gamma = v.rows, v.cols, v.data, v.ld, s.data
    a.epsilon, a.mean, a.variance, a.constant = <real>epsilon, m.data, q.data, constant
    a.dy, a.lddy, a.out, a.ldout, a.dgamma, a.dbeta = g.data, g.ld, o.data, o.ld, u.data, w.data
    threads = useful_threads(<double>v.rows * v.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(batch_norm_gradient_kernel, &a, NULL, threads)
    return dx, dgamma, dbeta


def layer_normalization(x, gamma, beta, double epsilon, int threads):
    """Return (y, mean, 1 / deviation) of the rows; gamma, beta or None; rows of x may be apart."""
    cdef View v, s, t, y, m, q
    cdef LayerNorm a
    if not (view_matrix(x, &v) and view_vector(gamma, &s, v.cols) and view_vector(beta, &t, v.cols)):
        return None
    memset(&a, 0, sizeof(a))
    out, mean, inverse = output(None, &v, &y), new_vector(v.rows, &m), new_vector(v.rows, &q)
    a.rows, a.cols, a.x, a.ldx, a.gamma, a.beta = v.rows, v.cols, v.data, v.ld, s.data, t.data
    a.epsilon, a.mean, a.inverse, a.out, a.ldout = <real>epsilon, m.data, q.data, y.data, y.ld
    threads = useful_threads(<double>v.rows * v.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(layer_norm_kernel, &a, NULL, threads)
    return out, mean, inverse


def layer_normalization_gradient(x, mean, inverse, gamma, dy, int threads):
    """Return (dx, dgamma, dbeta); gamma or None; rows of x and dy may be apart."""
    cdef View v, m, q, s, g, o, u, w
    cdef LayerNorm a
    if not (view_matrix(x, &v) and view(mean, &m) and is_vector(&m, v.rows) and view(inverse, &q)
            and is_vector(&q, v.rows) and view_vector(gamma, &s, v.cols) and view_matrix(dy, &g)
            and same_shape(&g, &v)):
        return None
    memset(&a, 0, sizeof(a))
    dx, dgamma, dbeta = output(None, &v, &o), new_vector(v.cols, &u), new_vector(v.cols, &w)
    a.rows, a.cols, a.x, a.ldx, a.gamma = v.rows, v.cols, v.data, v.ld, s.data
    a.mean, a.inverse, a.dy, a.lddy = m.data, q.data, g.data, g.ld
    a.out, a.ldout, a.dgamma, a.dbeta = o.data, o.ld, u.data, w.data
    threads = useful_threads(<double>v.rows * v.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(layer_norm_gradient_kernel, &a, NULL, threads)
        run(layer_norm_weights_kernel, &a, NULL, threads)
    return dx, dgamma, dbeta


# ---- by chance -----------------------------------------------------------------------------------
cdef void take_rate(Noise* a, double rate) noexcept:
    a.least = <uint32_t>min(rate * 4294967296.0, 4294967295.0)
    a.factor = <real>(1 / (1 - rate)) if rate < 1 else 0


def dropout(x, double rate, uint64_t seed, uint64_t number, int threads):
    """Return (x * mask, mask); rows of x may be apart."""
    cdef View v, y, m
    cdef Noise a
    if not view_matrix(x, &v):
        return None
    memset(&a, 0, sizeof(a))
    out, mask = output(None, &v, &y), output(None, &v, &m)
    a.rows, a.cols, a.x, a.ldx, a.y, a.ldy = v.rows, v.cols, v.data, v.ld, y.data, y.ld
    a.mask, a.ldmask, a.seed, a.number = m.data, m.ld, seed, number
    take_rate(&a, rate)
    threads = useful_threads(<double>v.rows * v.cols, COSTLY_WORK_PER_THREAD, threads)
    with nogil:
        run(dropout_kernel, &a, NULL, threads)
    return out, mask


def gaussian_noise(x, double stddev, uint64_t seed, uint64_t number, int threads):
    """Return x + stddev * z, z of the normal distribution; rows of x may be apart."""
    cdef View v, y
    cdef Noise a
    if not view_matrix(x, &v):
        return None
    memset(&a, 0, sizeof(a))
    out = output(None, &v, &y)
    a.rows, a.cols, a.x, a.ldx, a.y, a.ldy = v.rows, v.cols, v.data, v.ld, y.data, y.ld
    a.seed, a.number, a.factor = seed, number, <real>stddev
    threads = useful_threads(<double>v.rows * v.cols, COSTLY_WORK_PER_THREAD, threads)
    with nogil:
        run(gaussian_noise_kernel, &a, NULL, threads)
    return out


def permutation(Py_ssize_t n, uint64_t seed):
    """Return 0 ... n - 1 in an order that the seed decides; n < 2**32."""
    cdef int64_t[::1] order
    if n >> 32:
        raise ValueError(f"permutation: expected fewer than 2**32 rows, got {n}")
    order = numpy.empty(n, numpy.int64)
    if n:
        shuffle(&order[0], n, seed)
    return order.base


def multiply(x, y, out, int threads):
    """x * y; any shape. `out` may be x or y."""
    cdef View v, d, o
    cdef Map a
    if not (view(x, &v) and view(y, &d) and same_shape(&v, &d)):
        return None
    out = output(out, &v, &o)
    if out is None or not same_or_apart(&o, &v) or not same_or_apart(&o, &d):
        return None
    memset(&a, 0, sizeof(a))
    a.rows, a.cols, a.x, a.dy, a.out = 1, v.rows * v.cols, v.data, d.data, o.data
    threads = useful_threads(a.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(multiply_kernel, &a, NULL, threads)
    return out


cdef struct Burn:
    long n
    real* out


cdef void burn(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """Twelve independent chains of fused multiply-adds that never leave the registers."""
    cdef Burn* a = <Burn*>args
    cdef vec acc[12]
    cdef vec x = vset(0.999), y = vset(0.001)
    cdef long r
    cdef int i
    for i in range(12):
        acc[i] = vset(i)
    for r in range(a.n):
        for i in range(12):
            acc[i] = vfma(acc[i], x, y)
    for i in range(1, 12):
        acc[0] = acc[0] + acc[i]
    vstore(a.out + tid * LANES, acc[0])


def fma_burn(long n, int threads):
    """Run n rounds of fused multiply-adds on each thread; returns the operations done in all."""
    cdef Burn a
    a.n = n
    a.out = <real*>malloc(sizeof(real) * LANES * threads)
    if a.out == NULL:
        raise MemoryError("fma_burn: no memory")
    with nogil:
        run(burn, &a, NULL, threads)
        free(a.out)
    return 2.0 * 12 * VW * n * threads
