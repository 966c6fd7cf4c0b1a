# The kernels as Python functions on arrays. They fill an argument block, choose the threads by the
# work, and run; kernels.py has checked shapes, types, overlap. `threads` is an upper limit.

# Least work a thread is worth waking for, in element-operations (about 4 microseconds each).
cdef double CHEAP_WORK_PER_THREAD = 60e3   # relu, updates: bound by memory
cdef double COSTLY_WORK_PER_THREAD = 12e3  # exp and friends, rows of softmax

level = LEVEL_NAME.decode()
precision = REAL_NAME.decode()
openmp = bool(TEAM_OPENMP)
compiler = COMPILER_NAME.decode()
lanes = LANES

ACTIVATIONS = {"linear": LINEAR, "sigmoid": SIGMOID, "tanh": TANH, "relu": RELU, "exp": EXP, "log": LOG}
LOSSES = {"sparse_softmax_crossentropy": SPARSE_SOFTMAX_CROSSENTROPY,
          "softmax_crossentropy": SOFTMAX_CROSSENTROPY, "mean_squared_error": MEAN_SQUARED_ERROR,
          "binary_crossentropy": BINARY_CROSSENTROPY}
UPDATES = {"sgd": SGD, "momentum": MOMENTUM, "nesterov": NESTEROV, "adagrad": ADAGRAD}

cdef inline Py_ssize_t ld(const real[:, :] x) noexcept:
    return x.strides[0] // <Py_ssize_t>sizeof(real)


cdef inline bint costly(int code) noexcept nogil:
    return code != LINEAR and code != RELU


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


def matmul(const real[:, :] a, const real[:, :] b, bint transpose_a, bint transpose_b,
           real[:, :] out, int threads):
    cdef Gemm g
    memset(&g, 0, sizeof(g))
    g.m, g.n = out.shape[0], out.shape[1]
    g.k = a.shape[0] if transpose_a else a.shape[1]
    g.a, g.lda, g.trans_a = &a[0, 0], ld(a), transpose_a
    g.b, g.ldb, g.trans_b = &b[0, 0], ld(b), transpose_b
    g.c, g.ldc = &out[0, 0], ld(out)
    run_gemm(&g, NULL, threads)


def dense_forward(const real[:, :] x, const real[:, :] kernel, const real[::1] bias, int activation,
                  real[:, :] out, int threads):
    cdef Gemm g
    memset(&g, 0, sizeof(g))
    g.m, g.n, g.k = x.shape[0], kernel.shape[1], x.shape[1]
    g.a, g.lda = &x[0, 0], ld(x)
    g.b, g.ldb = &kernel[0, 0], ld(kernel)
    g.c, g.ldc = &out[0, 0], ld(out)
    if bias is not None:
        g.bias = &bias[0]
    if activation != LINEAR:
        g.finish, g.code = FINISH_ACTIVATE, activation
    run_gemm(&g, NULL, threads)


def activate(int code, const real[::1] x, real[::1] out, int threads):
    cdef Map a
    memset(&a, 0, sizeof(a))
    a.code, a.rows, a.cols = code, 1, x.shape[0]
    a.x, a.out = &x[0], &out[0]
    threads = useful_threads(a.cols, COSTLY_WORK_PER_THREAD if costly(code) else CHEAP_WORK_PER_THREAD,
                             threads)
    with nogil:
        run(activate_kernel, &a, NULL, threads)


def activate_gradient(int code, const real[::1] y, const real[::1] dy, real[::1] out, int threads):
    cdef Map a
    memset(&a, 0, sizeof(a))
    a.code, a.rows, a.cols = code, 1, y.shape[0]
    a.x, a.dy, a.out = &y[0], &dy[0], &out[0]
    threads = useful_threads(a.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(activate_gradient_kernel, &a, NULL, threads)


def softmax(const real[:, :] x, real[:, :] out, bint log, int threads):
    cdef Softmax a
    memset(&a, 0, sizeof(a))
    a.rows, a.cols, a.log = x.shape[0], x.shape[1], log
    a.x, a.ldx, a.out, a.ldout = &x[0, 0], ld(x), &out[0, 0], ld(out)
    threads = useful_threads(<double>a.rows * max(a.cols, 32), COSTLY_WORK_PER_THREAD, threads)
    with nogil:
        run(softmax_kernel, &a, NULL, threads)


def softmax_gradient(const real[:, :] y, const real[:, :] dy, real[:, :] out, bint log, int threads):
    cdef Softmax a
    memset(&a, 0, sizeof(a))
    a.rows, a.cols, a.log = y.shape[0], y.shape[1], log
    a.x, a.ldx, a.dy, a.lddy = &y[0, 0], ld(y), &dy[0, 0], ld(dy)
    a.out, a.ldout = &out[0, 0], ld(out)
    threads = useful_threads(<double>a.rows * max(a.cols, 32), COSTLY_WORK_PER_THREAD, threads)
    with nogil:
        run(softmax_gradient_kernel, &a, NULL, threads)


def column_sum(const real[:, :] x, real[::1] out, int threads):
    cdef ColumnSum a
    memset(&a, 0, sizeof(a))
    a.rows, a.cols = x.shape[0], x.shape[1]
    a.x, a.ldx, a.out = &x[0, 0], ld(x), &out[0]
    threads = useful_threads(<double>a.rows * a.cols, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(column_sum_kernel, &a, NULL, threads)


def loss(int code, const real[:, :] y_pred, y_true, const real[::1] weights, double scale,
         real[::1] values, real[:, :] gradient, int threads):
    cdef Loss a
    cdef const int64_t[::1] labels
    cdef const real[:, :] target
    memset(&a, 0, sizeof(a))
    a.code, a.rows, a.cols, a.scale = code, y_pred.shape[0], y_pred.shape[1], <real>scale
    a.y_pred, a.ldpred = &y_pred[0, 0], ld(y_pred)
    if code == SPARSE_SOFTMAX_CROSSENTROPY:
        labels = y_true
        a.labels = &labels[0]
    else:
        target = y_true
        a.y_true, a.ldtrue = &target[0, 0], ld(target)
    if weights is not None:
        a.weights = &weights[0]
    a.values = &values[0]
    if gradient is not None:
        a.gradient, a.ldgradient = &gradient[0, 0], ld(gradient)
    threads = useful_threads(<double>a.rows * max(a.cols, 32), COSTLY_WORK_PER_THREAD, threads)
    with nogil:
        run(loss_kernel, &a, NULL, threads)


def update(int code, const real[::1] hyper, real[::1] w, const real[::1] g, slots, int threads):
    cdef UpdateArgs a
    cdef Step step
    cdef real[::1] slot
    cdef int k = 0
    memset(&a, 0, sizeof(a))
    memset(&step, 0, sizeof(step))
    a.code, a.n, a.w, a.g = code, w.shape[0], &w[0], &g[0]
    if slots is not None:
        for array in slots if isinstance(slots, tuple) else (slots,):
            slot = array
            a.slots[k] = &slot[0]
            k += 1
    step.hyper = &hyper[0]
    threads = useful_threads(a.n, CHEAP_WORK_PER_THREAD, threads)
    with nogil:
        run(update_kernel, &a, &step, threads)


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
