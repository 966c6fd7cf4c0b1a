# The plan: a model lowered to a flat list of kernels over preallocated, padded arrays. `Plan.run` does
# many mini-batches in one call without the GIL and within one parallel region. Every thread walks the
# list and does its share of each kernel; an operation marked `sync` ends with a barrier.

cdef enum Mode:
    MODE_TRAIN = 1
    MODE_TEST = 2
    MODE_PREDICT = 4

# The modes an operation takes part in, for model.py.
TRAIN, TEST, PREDICT = MODE_TRAIN, MODE_TEST, MODE_PREDICT

cdef inline Py_ssize_t ld(const real[:, :] x) noexcept:
    return x.strides[0] // <Py_ssize_t>sizeof(real)


cdef inline real* numbers(real[::1] x) noexcept:
    """Where the numbers of a vector lie; NULL for None."""
    return NULL if x is None else &x[0]


cdef enum:
    # Two threads each gather a mini-batch of up to so many bytes for themselves: no barrier, and no
    # lines that the other core wrote. A step of S took 83 instead of 86 us, on cores that lie far apart
    # 127 instead of 145, of M 645 to 650 and 756 instead of 821; of L, with 800 KB, nothing or 2 per
    # cent more. Larger teams, which would read the same rows more often, were not measured.
    OWN_BYTES = 524288
    OWN_TEAM = 2

cdef struct Op:
    team_function function
    void* args
    Py_ssize_t* rows      # the field of args that counts the rows of the mini-batch, or NULL
    int modes
    int once              # the modes in which it runs once, before the steps
    bint sync

cdef struct Run:
    Op* ops
    Py_ssize_t count, steps, batch, first
    Py_ssize_t number     # of its first step
    const int64_t* order
    const real* hyper
    const real* data
    Py_ssize_t lddata
    real* batches[OWN_TEAM]  # each thread's copy of the mini-batch, or NULL
    int mode
    gate phases           # between two operations


cdef void run_steps(void* args, const Step* unused, int tid, int nthreads) noexcept nogil:
    cdef Run* r = <Run*>args
    cdef Step step
    cdef Py_ssize_t s, o
    cdef int spins = GATE_SPINS
    step.data, step.lddata = r.data, r.lddata
    step.batch = r.batches[tid] if nthreads == OWN_TEAM else NULL
    for s in range(r.steps):
        step.first = r.first + s * r.batch
        step.number = r.number + s
        step.order = r.order + step.first if r.order != NULL else NULL
        step.hyper = r.hyper + s * HYPERS if r.hyper != NULL else NULL
        for o in range(r.count):
            if r.ops[o].modes & r.mode:
                r.ops[o].function(r.ops[o].args, &step, tid, nthreads)
            if nthreads > 1 and r.ops[o].sync:
                gate_wait(&r.phases, nthreads, &spins)


cdef struct Gather:
    Py_ssize_t rows, cols, classes
    real* x               # OUT (rows, cols), or NULL: the rows are read where they lie
    Py_ssize_t ldx
    const int64_t* label_source  # IN (any,) or NULL
    int64_t* labels       # OUT (rows,)
    const real* y_source  # IN (any, classes) or NULL
    Py_ssize_t ldy_source
    real* y               # OUT (rows, classes)
    Py_ssize_t ldy
    const real* weight_source    # IN (any,) or NULL
    real* weights         # OUT (rows,)


cdef inline void copy_row(const real* x, Py_ssize_t cols, const real* later, real* out) noexcept nogil:
    """out = x (cols,), and the row that comes `later` is asked for: from memory, that takes half the
    time of memcpy."""
    cdef Py_ssize_t j = 0
    cdef int part
    while j + LANES <= cols:
        prefetch_far(later + j)
        for part in range(NL):
            vstore(out + j + part * VW, vload(x + j + part * VW))
        j += LANES
    memcpy(out + j, x + j, (cols - j) * sizeof(real))


cdef enum:
    ROWS_AHEAD = 2


cdef inline Py_ssize_t row_of(const Step* step, Py_ssize_t i) noexcept nogil:
    """Where the data have row i of the mini-batch."""
    return step.order[i] if step.order != NULL else step.first + i


cdef void gather_rows(Gather* a, const Step* step, Py_ssize_t i0, Py_ssize_t i1, real* x) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(i0, i1):
        copy_row(step.data + row_of(step, i) * step.lddata, a.cols,
                 step.data + row_of(step, min(i + ROWS_AHEAD, i1 - 1)) * step.lddata, x + i * a.ldx)


cdef void gather_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """The mini-batch's rows of the data, its targets and weights, copied side by side."""
    cdef Gather* a = <Gather*>args
    cdef Py_ssize_t i, i0, i1, at
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    if step.batch != NULL:
        gather_rows(a, step, 0, a.rows, step.batch)
    elif a.x != NULL:
        gather_rows(a, step, i0, i1, a.x)
    for i in range(i0, i1):
        at = row_of(step, i)
        if a.label_source != NULL:
            a.labels[i] = a.label_source[at]
        if a.y_source != NULL:
            memcpy(a.y + i * a.ldy, a.y_source + at * a.ldy_source, a.classes * sizeof(real))
        if a.weight_source != NULL:
            a.weights[i] = a.weight_source[at]


cdef enum Total:
    TOTAL_OF_ROWS   # the sum of the rows' losses: the batch's loss is their mean
    TOTAL_OF_SUM    # the batch's loss is their sum, and counts for each of its rows
    TOTAL_OF_ROOT   # it is the root of their mean
    TOTAL_OF_ROOT_OF_SUM

cdef struct Tally:
    int total
    Py_ssize_t rows
    const real* values    # IN (rows,)
    const real* hits      # IN (rows,) or NULL
    const real* weights   # IN (rows,) or NULL
    double loss, right    # INOUT: running sums


cdef void tally_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Tally* a = <Tally*>args
    cdef Py_ssize_t i
    cdef double loss_sum, right = 0
    if tid != 0:
        return
    loss_sum = weighted_sum(a.values, a.weights, a.rows)
    if a.total == TOTAL_OF_SUM:
        loss_sum *= a.rows
    elif a.total == TOTAL_OF_ROOT:
        loss_sum = sqrt(loss_sum / a.rows) * a.rows
    elif a.total == TOTAL_OF_ROOT_OF_SUM:
        loss_sum = sqrt(loss_sum) * a.rows
    if a.hits != NULL:
        for i in range(a.rows):
            right += a.hits[i]
    a.loss += loss_sum
    a.right += right


cdef struct CopyOut:
    Py_ssize_t rows, cols
    const real* y         # IN (rows, cols)
    Py_ssize_t ldy
    real* out             # OUT (all rows of the run, cols) or NULL
    Py_ssize_t ldout


cdef void copy_out_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef CopyOut* a = <CopyOut*>args
    cdef Py_ssize_t i, i0, i1
    if a.out == NULL:
        return
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        memcpy(a.out + (step.first + i) * a.ldout, a.y + i * a.ldy, a.cols * sizeof(real))


cdef class Plan:
    """A list of kernels over arrays of `batch` rows. Arrays are padded (see note D of _core.pyx) and
    kept alive by the plan; `sync` tells whether the next operation needs all of this one's result."""

    cdef Op* ops
    cdef Py_ssize_t count, capacity, batch
    cdef list arrays
    cdef Gather* source
    cdef Py_ssize_t source_op
    cdef Loss* loss_args
    cdef bint summed      # the loss is the sum over a mini-batch, not the mean
    cdef Tally* tally_args
    cdef CopyOut* output_args
    cdef bint running
    cdef Py_ssize_t features
    cdef double work, work_per_thread
    cdef tuple network, watched
    cdef list gemms       # addresses of the argument blocks of products: they share one scratch
    cdef size_t scratch_bytes
    cdef char* scratch
    cdef int scratch_threads
    cdef char* copy       # of the mini-batch, for the second thread of two; NULL: they share one
    cdef bint may_copy

    def __cinit__(self, Py_ssize_t batch):
        self.batch = batch
        self.arrays = []
        self.gemms = []

    def __dealloc__(self):
        cdef Py_ssize_t o
        for o in range(self.count):
            free(self.ops[o].args)
        free(self.ops)
        free(self.scratch)
        free(self.copy)

    cdef void* add(self, team_function function, size_t size, int modes, bint sync) except NULL:
        """Append an operation; returns its argument block, zeroed."""
        cdef Op* grown
        cdef void* args
        if self.count == self.capacity:
            grown = <Op*>realloc(self.ops, (self.capacity * 2 + 8) * sizeof(Op))
            if grown == NULL:
                raise MemoryError("plan: no memory for its operations")
            self.ops = grown
            self.capacity = self.capacity * 2 + 8
        args = malloc(size)
        if args == NULL:
            raise MemoryError("plan: no memory for its operations")
        memset(args, 0, size)
        memset(&self.ops[self.count], 0, sizeof(Op))
        self.ops[self.count].function = function
        self.ops[self.count].args = args
        self.ops[self.count].modes = modes
        self.ops[self.count].sync = sync
        self.count += 1
        return args

    cdef void* add_once(self, team_function function, size_t size, int modes) except NULL:
        """The same for what is computed once a run, before its steps, on one thread."""
        cdef void* args = self.add(function, size, 0, False)
        self.ops[self.count - 1].once = modes
        return args

    cdef int count_rows(self, Py_ssize_t* rows) except -1:
        """The operation added last keeps the number of rows of the mini-batch there."""
        self.ops[self.count - 1].rows = rows
        rows[0] = self.batch
        return 0

    cdef int keep_gemm(self, Gemm* g) except -1:
        gemm_prepare(g)
        self.gemms.append(<size_t>g)
        self.scratch_bytes = max(self.scratch_bytes, g.scratch_bytes)
        return 0

    cdef int take_slots(self, real** slots, tuple arrays, bint matrix) except -1:
        cdef real[:, :] two
        cdef real[::1] one
        cdef int k = 0
        for array in arrays:
            if matrix:
                two = array
                slots[k] = &two[0, 0]
            else:
                one = array
                slots[k] = &one[0]
            k += 1
        return 0

    def gather(self, real[:, :] x, int64_t[::1] labels, real[:, :] y, real[::1] weights,
               bint only_products=False):
        """Copy a mini-batch of the run's data into x and its targets into labels or y (or neither). Where x
        is None, the first product reads the data itself. `only_products`: nothing else reads x."""
        cdef Gather* a = <Gather*>self.add(gather_kernel, sizeof(Gather), TRAIN | TEST | PREDICT, True)
        self.count_rows(&a.rows)
        if x is not None:
            a.cols, a.x, a.ldx = x.shape[1], &x[0, 0], ld(x)
            self.may_copy = only_products and self.batch * a.ldx * <Py_ssize_t>sizeof(real) <= OWN_BYTES
        if labels is not None:
            a.labels = &labels[0]
        if y is not None:
            a.classes, a.y, a.ldy = y.shape[1], &y[0, 0], ld(y)
        if weights is not None:
            a.weights = &weights[0]
        self.source, self.source_op = a, self.count - 1
        self.arrays.append((x, labels, y, weights))

    cdef int take_batch(self, Gemm* g, real[:, :] x) except -1:
        g.a, g.lda = &x[0, 0], ld(x)
        g.gathered = self.source != NULL and g.a == self.source.x
        return 0

    def dense_forward(self, real[:, :] x, Py_ssize_t k, real[:, :] kernel, real[::1] bias,
                      int activation, tuple numbers, real[:, :] y, real[:, :] z, bint sync=True):
        """y = activation(x[:, :k] kernel + bias); kernel, bias and y with their padding.
        x None: the run's data. z: where the argument of the activation is kept, or None."""
        cdef Gemm* g = <Gemm*>self.add(gemm_kernel, sizeof(Gemm), TRAIN | TEST | PREDICT, sync)
        self.count_rows(&g.m)
        g.n, g.k, g.padded = y.shape[1], k, True
        if x is not None:
            self.take_batch(g, x)
        g.b, g.ldb = &kernel[0, 0], ld(kernel)
        if bias is not None:
            g.bias = &bias[0]
        g.c, g.ldc = &y[0, 0], ld(y)
        if z is not None:
            g.activated, g.ldactivated = g.c, g.ldc
            g.c, g.ldc = &z[0, 0], ld(z)
        if activation != LINEAR or z is not None:
            take_numbers(&activation, numbers, g.numbers)
            g.finish, g.code = FINISH_ACTIVATE, activation
        self.keep_gemm(g)
        self.arrays.append((x, kernel, bias, y, z))

    def dense_backward_input(self, real[:, :] dz, Py_ssize_t m, real[:, :] kernel, Py_ssize_t k,
                             real[:, :] saved, int activation, tuple numbers, real[:, :] dx,
                             bint sync=True):
        """dx[:, :k] = (dz[:, :m] kernel[:k, :m]^T) * activation'(.), computed from `saved`, its output
        or input (FROM_INPUT); zeros beyond k."""
        cdef Gemm* g = <Gemm*>self.add(gemm_kernel, sizeof(Gemm), TRAIN, sync)
        self.count_rows(&g.m)
        g.n, g.k, g.padded, g.trans_b = k, m, True, True
        g.a, g.lda = &dz[0, 0], ld(dz)
        g.b, g.ldb = &kernel[0, 0], ld(kernel)
        g.c, g.ldc = &dx[0, 0], ld(dx)
        if activation != LINEAR:
            take_numbers(&activation, numbers, g.numbers)
            g.finish, g.code = FINISH_SLOPE, activation
            g.saved, g.ldsaved = &saved[0, 0], ld(saved)
        self.keep_gemm(g)
        self.arrays.append((dz, kernel, saved, dx))

    def dense_update(self, real[:, :] x, Py_ssize_t k, real[:, :] dz, real[:, :] kernel,
                     tuple kernel_slots, real[::1] bias, tuple bias_slots, int optimizer,
                     tuple kernel_penalty=(0., 0.), tuple bias_penalty=(0., 0.), bint sync=True):
        """One optimizer step on kernel by x^T dz and on bias by dz's column sums; neither is stored.
        Penalties are (l1, l2), see `with_penalty`."""
        cdef Gemm* g = self.add_gradient(x, k, dz, kernel, bias, sync)
        g.finish, g.code = FINISH_UPDATE, optimizer
        g.extras.l1, g.extras.l2 = kernel_penalty
        self.take_slots(g.slots, kernel_slots, True)
        g.sums.update, g.sums.code = True, optimizer
        g.sums.extras.l1, g.sums.extras.l2 = bias_penalty
        self.take_slots(g.sums.slots, bias_slots, False)
        self.keep_gemm(g)
        self.arrays.append((kernel_slots, bias_slots))

    def dense_gradient(self, real[:, :] x, Py_ssize_t k, real[:, :] dz, real[:, :] kernel,
                       real[::1] bias, bint sync=True):
        """kernel = x^T dz and bias = dz's column sums: gradients, stored."""
        self.keep_gemm(self.add_gradient(x, k, dz, kernel, bias, sync))

    cdef Gemm* add_gradient(self, real[:, :] x, Py_ssize_t k, real[:, :] dz, real[:, :] kernel,
                            real[::1] bias, bint sync) except NULL:
        cdef Gemm* g = <Gemm*>self.add(gemm_kernel, sizeof(Gemm), TRAIN, sync)
        self.count_rows(&g.k)
        g.m, g.n, g.padded, g.trans_a = k, kernel.shape[1], True, True
        self.take_batch(g, x)
        g.b, g.ldb = &dz[0, 0], ld(dz)
        g.c, g.ldc = &kernel[0, 0], ld(kernel)
        if bias is not None:
            g.sums.x, g.sums.ldx, g.sums.padded = g.b, g.ldb, True
            g.sums.out, g.sums.cols = &bias[0], bias.shape[0]
        self.arrays.append((x, dz, kernel, bias))
        return g

    # Clipping by norm, on stored gradients: add_penalty, square_sum and a barrier, clip_factor and a
    # barrier, update. A bias is a matrix of one row here. `cols`: without padding, which may hold NaN.

    def add_penalty(self, real[:, :] g, real[:, :] w, Py_ssize_t cols, real l1, real l2, bint sync=True):
        """g += l1 sign(w) + 2 l2 w."""
        cdef PenaltyArgs* a = <PenaltyArgs*>self.add(add_penalty_kernel, sizeof(PenaltyArgs), TRAIN, sync)
        a.rows, a.cols, a.l1, a.l2 = g.shape[0], cols, l1, l2
        a.g, a.ldg, a.w, a.ldw = &g[0, 0], ld(g), &w[0, 0], ld(w)
        self.arrays.append((g, w))

    def square_sum(self, real[:, :] x, Py_ssize_t cols, double[::1] partial, bint sync=True):
        """partial[i] = sum_j x[i, j]**2 over the first cols columns."""
        cdef SquareSum* a = <SquareSum*>self.add(square_sum_kernel, sizeof(SquareSum), TRAIN, sync)
        a.rows, a.cols, a.x, a.ldx, a.partial = x.shape[0], cols, &x[0, 0], ld(x), &partial[0]
        self.arrays.append((x, partial))

    def clip_factor(self, tuple partials, bint together, real[::1] factors, bint sync=True):
        """factors[i] = clip / max(norm of array i, clip), or by the norm of all `together`."""
        cdef ClipFactor* a = <ClipFactor*>self.add(clip_factor_kernel, sizeof(ClipFactor), TRAIN, sync)
        cdef double[::1] partial
        cdef Py_ssize_t i
        places = numpy.array([part.ctypes.data for part in partials], numpy.uintp)
        rows = numpy.array([len(part) for part in partials], numpy.intp)
        cdef size_t[::1] place = places
        cdef Py_ssize_t[::1] count = rows
        for i in range(len(partials)):
            partial = partials[i]  # of the right type, or an error
        a.arrays, a.together, a.factors = len(partials), together, &factors[0]
        a.partial, a.rows = <const double**>&place[0], &count[0]
        self.arrays.append((partials, places, rows, factors))

    def update(self, real[:, :] g, Py_ssize_t cols, real[:, :] w, tuple slots, int optimizer,
               real[::1] factor, tuple penalty, bint sync=True):
        """One optimizer step on w by factor[0] * g, the gradient that stands in g, and a penalty."""
        cdef UpdateArgs* a = <UpdateArgs*>self.add(update_kernel, sizeof(UpdateArgs), TRAIN, sync)
        a.code, a.rows, a.cols = optimizer, w.shape[0], cols
        a.w, a.ldw, a.g, a.ldg = &w[0, 0], ld(w), &g[0, 0], ld(g)
        a.extras.l1, a.extras.l2 = penalty
        if factor is not None:
            a.extras.factor = &factor[0]
        self.take_slots(a.slots, slots, True)
        self.arrays.append((g, w, slots, factor))

    def penalty(self, const real[:, :] x, Py_ssize_t cols, double l1, double l2, double[::1] partial,
                bint counts_rows):
        """partial[i] = l1 sum_j |x[i, j]| + l2 sum_j x[i, j]**2, for `penalty_total`; `counts_rows`: the
        rows are the mini-batch's."""
        cdef Penalty* a = <Penalty*>self.add(penalty_kernel, sizeof(Penalty), TRAIN | TEST, False)
        a.rows, a.cols, a.l1, a.l2 = x.shape[0], cols, l1, l2
        a.x, a.ldx, a.partial = &x[0, 0], ld(x), &partial[0]
        if counts_rows:
            self.count_rows(&a.rows)
        self.arrays.append((x, partial))

    def penalty_total(self, double[::1] partial, bint of_rows):
        """Add what `penalty` left to the sum of the losses, after `loss`."""
        cdef PenaltyTotal* a = <PenaltyTotal*>self.add(penalty_total_kernel, sizeof(PenaltyTotal),
                                                       TRAIN | TEST, False)
        self.count_rows(&a.rows)
        a.count, a.of_rows, a.partial = partial.shape[0], of_rows, &partial[0]
        a.total = &self.tally_args.loss
        self.arrays.append(partial)

    def activity_gradient(self, real[:, :] y, real[:, :] dy, Py_ssize_t cols, double l1, double l2,
                          real[:, :] dx, bint sync=True):
        """dx = dy + the gradient of what the outputs y cost, by the rows of the mini-batch; on the first
        cols columns."""
        cdef ActivityGradient* a = <ActivityGradient*>self.add(activity_gradient_kernel,
                                                               sizeof(ActivityGradient), TRAIN, sync)
        self.count_rows(&a.rows)
        a.cols, a.l1, a.l2 = cols, l1, l2
        a.y, a.ldy, a.dy, a.lddy, a.dx, a.lddx = &y[0, 0], ld(y), &dy[0, 0], ld(dy), &dx[0, 0], ld(dx)
        self.arrays.append((y, dy, dx))

    def activate(self, int code, tuple numbers, real[:, :] x, real[:, :] y, int modes, bint sync=True):
        """y = f(x), element by element."""
        cdef Map* a = <Map*>self.add(activate_kernel, sizeof(Map), modes, sync)
        self.count_rows(&a.rows)
        take_numbers(&code, numbers, a.numbers)
        a.code, a.cols = code, y.shape[1]
        a.x, a.ldx, a.out, a.ldout = &x[0, 0], ld(x), &y[0, 0], ld(y)
        self.arrays.append((x, y))

    def activate_gradient(self, int code, tuple numbers, real[:, :] saved, real[:, :] dy,
                          Py_ssize_t cols, real[:, :] dx, bint sync=True):
        """dx = dy * f'(x) on the first cols columns; saved = f(x), or x (FROM_INPUT)."""
        cdef Map* a = <Map*>self.add(activate_gradient_kernel, sizeof(Map), TRAIN, sync)
        self.count_rows(&a.rows)
        take_numbers(&code, numbers, a.numbers)
        a.code, a.cols = code, cols
        a.x, a.ldx, a.dy, a.lddy = &saved[0, 0], ld(saved), &dy[0, 0], ld(dy)
        a.out, a.ldout = &dx[0, 0], ld(dx)
        self.arrays.append((saved, dy, dx))

    def softmax(self, real[:, :] x, Py_ssize_t cols, real[:, :] y, bint log, int modes, bint sync=True):
        """y = softmax or log-softmax of the first cols columns of x."""
        cdef Softmax* a = <Softmax*>self.add(softmax_kernel, sizeof(Softmax), modes, sync)
        self.count_rows(&a.rows)
        a.cols, a.log, a.padded = cols, log, True
        a.x, a.ldx, a.out, a.ldout = &x[0, 0], ld(x), &y[0, 0], ld(y)
        self.arrays.append((x, y))

    def softmax_gradient(self, real[:, :] y, real[:, :] dy, Py_ssize_t cols, real[:, :] dx,
                         bint log, bint sync=True):
        """dx from dy through softmax or log-softmax, whose output is y."""
        cdef Softmax* a = <Softmax*>self.add(softmax_gradient_kernel, sizeof(Softmax), TRAIN, sync)
        self.count_rows(&a.rows)
        a.cols, a.log, a.padded = cols, log, True
        a.x, a.ldx, a.dy, a.lddy = &y[0, 0], ld(y), &dy[0, 0], ld(dy)
        a.out, a.ldout = &dx[0, 0], ld(dx)
        self.arrays.append((y, dy, dx))

    def column_scale(self, real[::1] gamma, real[::1] variance, Py_ssize_t cols, double epsilon,
                     bint at_least, real[::1] scale, int modes):
        """Once a run: scale = gamma / sqrt(variance + epsilon), gamma or None; `at_least`: instead
        1 / max(sqrt(variance), epsilon)."""
        cdef ColumnScale* a = <ColumnScale*>self.add_once(column_scale_kernel, sizeof(ColumnScale), modes)
        a.cols, a.epsilon, a.at_least = cols, <real>epsilon, at_least
        a.gamma, a.variance, a.scale = numbers(gamma), &variance[0], &scale[0]
        self.arrays.append((gamma, variance, scale))

    def affine(self, real[:, :] x, Py_ssize_t cols, real[::1] scale, real[::1] shift, real[::1] center,
               real[:, :] y, int modes, bint sync=True):
        """y = (x - center) * scale + shift by columns; center and shift or None."""
        cdef Columns* a = <Columns*>self.add(affine_kernel, sizeof(Columns), modes, sync)
        self.count_rows(&a.map.rows)
        a.map.cols, a.padded = cols, True
        a.map.x, a.map.ldx, a.map.out, a.map.ldout = &x[0, 0], ld(x), &y[0, 0], ld(y)
        a.center, a.scale, a.shift = numbers(center), &scale[0], numbers(shift)
        self.arrays.append((x, scale, shift, center, y))

    def finish_affine(self, real[:, :] y, real[::1] scale, real[::1] shift, real[::1] center,
                      int activation, tuple activation_numbers):
        """Let the product that makes y end in y = activation((y - center) * scale + shift), if it was
        added last and nothing is done to y yet. Returns whether it was."""
        cdef Gemm* g
        if self.count == 0 or self.ops[self.count - 1].function != gemm_kernel:
            return False
        g = <Gemm*>self.ops[self.count - 1].args
        if g.finish != FINISH_NOTHING or g.c != &y[0, 0]:
            return False
        take_numbers(&activation, activation_numbers, g.numbers)
        g.finish, g.code = FINISH_ACTIVATE, activation
        g.center, g.scale, g.shift = numbers(center), &scale[0], numbers(shift)
        self.arrays.append((scale, shift, center))
        return True

    def prelu(self, real[:, :] x, Py_ssize_t cols, real[::1] alpha, real[:, :] y, int modes,
              bint sync=True):
        """y = x where x > 0, else alpha * x, by columns."""
        cdef Columns* a = <Columns*>self.add(prelu_kernel, sizeof(Columns), modes, sync)
        self.count_rows(&a.map.rows)
        a.map.cols, a.padded, a.scale = cols, True, &alpha[0]
        a.map.x, a.map.ldx, a.map.out, a.map.ldout = &x[0, 0], ld(x), &y[0, 0], ld(y)
        self.arrays.append((x, alpha, y))

    def prelu_gradient(self, real[:, :] x, Py_ssize_t cols, real[::1] alpha, real[:, :] dy,
                       real[:, :] dx, real[::1] dalpha, bint sync=True):
        """dx and dalpha, or one of them and None."""
        cdef Columns* a = <Columns*>self.add(prelu_gradient_kernel, sizeof(Columns), TRAIN, sync)
        self.count_rows(&a.map.rows)
        a.map.cols, a.padded, a.scale, a.dscale = cols, True, &alpha[0], numbers(dalpha)
        a.map.x, a.map.ldx, a.map.dy, a.map.lddy = &x[0, 0], ld(x), &dy[0, 0], ld(dy)
        if dx is not None:
            a.map.out, a.map.ldout = &dx[0, 0], ld(dx)
        self.arrays.append((x, alpha, dy, dx, dalpha))

    def batch_norm(self, real[:, :] x, Py_ssize_t cols, real[::1] gamma, real[::1] beta, double epsilon,
                   real[::1] mean, real[::1] variance, real[::1] moving_mean,
                   real[::1] moving_variance, double momentum, int activation,
                   tuple activation_numbers, real[:, :] y, bint sync=True):
        """y = activation(batch normalization of x); mean and variance of the mini-batch are written,
        and the moving ones follow them. gamma and beta, or None."""
        cdef BatchNorm* a = <BatchNorm*>self.add(batch_norm_kernel, sizeof(BatchNorm), TRAIN, sync)
        self.count_rows(&a.rows)
        take_numbers(&activation, activation_numbers, a.numbers)
        a.cols, a.padded, a.epsilon, a.activation = cols, True, <real>epsilon, activation
        a.x, a.ldx, a.out, a.ldout = &x[0, 0], ld(x), &y[0, 0], ld(y)
        a.gamma, a.beta, a.mean, a.variance = numbers(gamma), numbers(beta), &mean[0], &variance[0]
        a.moving_mean, a.moving_variance = &moving_mean[0], &moving_variance[0]
        a.momentum, a.rest = <real>momentum, <real>(1 - momentum)
        self.arrays.append((x, gamma, beta, mean, variance, moving_mean, moving_variance, y))

    def batch_norm_gradient(self, real[:, :] x, Py_ssize_t cols, real[::1] mean, real[::1] variance,
                            real[::1] gamma, double epsilon, bint constant, real[:, :] dy,
                            real[:, :] dx, real[::1] dgamma, real[::1] dbeta, bint sync=True):
        """dx, dgamma, dbeta, or None for what is not asked for; `constant`: mean and variance are."""
        cdef BatchNorm* a = <BatchNorm*>self.add(batch_norm_gradient_kernel, sizeof(BatchNorm), TRAIN, sync)
        self.count_rows(&a.rows)
        a.cols, a.padded, a.epsilon, a.constant = cols, True, <real>epsilon, constant
        a.x, a.ldx, a.dy, a.lddy = &x[0, 0], ld(x), &dy[0, 0], ld(dy)
        a.gamma, a.mean, a.variance = numbers(gamma), &mean[0], &variance[0]
        a.dgamma, a.dbeta = numbers(dgamma), numbers(dbeta)
        if dx is not None:
            a.out, a.ldout = &dx[0, 0], ld(dx)
        self.arrays.append((x, mean, variance, gamma, dy, dx, dgamma, dbeta))

    def layer_norm(self, real[:, :] x, Py_ssize_t cols, real[::1] gamma, real[::1] beta, double epsilon,
                   real[::1] mean, real[::1] inverse, real[:, :] y, int modes, bint sync=True):
        """y = layer normalization of x; mean and inverse of each row are written."""
        cdef LayerNorm* a = <LayerNorm*>self.add(layer_norm_kernel, sizeof(LayerNorm), modes, sync)
        self.count_rows(&a.rows)
        a.cols, a.padded, a.epsilon = cols, True, <real>epsilon
        a.x, a.ldx, a.out, a.ldout = &x[0, 0], ld(x), &y[0, 0], ld(y)
        a.gamma, a.beta, a.mean, a.inverse = numbers(gamma), numbers(beta), &mean[0], &inverse[0]
        self.arrays.append((x, gamma, beta, mean, inverse, y))

    def layer_norm_gradient(self, real[:, :] x, Py_ssize_t cols, real[::1] mean, real[::1] inverse,
                            real[::1] gamma, real[:, :] dy, real[:, :] dx, real[::1] dgamma,
                            real[::1] dbeta, bint sync=True):
        """dx, and dgamma and dbeta, or None for what is not asked for."""
        cdef LayerNorm* a
        cdef LayerNorm shared
        memset(&shared, 0, sizeof(shared))
        shared.rows, shared.cols, shared.padded = self.batch, cols, True
        shared.x, shared.ldx, shared.dy, shared.lddy = &x[0, 0], ld(x), &dy[0, 0], ld(dy)
        shared.gamma, shared.mean, shared.inverse = numbers(gamma), &mean[0], &inverse[0]
        shared.dgamma, shared.dbeta = numbers(dgamma), numbers(dbeta)
        if dx is not None:
            shared.out, shared.ldout = &dx[0, 0], ld(dx)
            a = <LayerNorm*>self.add(layer_norm_gradient_kernel, sizeof(LayerNorm), TRAIN, sync)
            a[0] = shared
            self.count_rows(&a.rows)
        if dgamma is not None or dbeta is not None:
            a = <LayerNorm*>self.add(layer_norm_weights_kernel, sizeof(LayerNorm), TRAIN, sync)
            a[0] = shared
            self.count_rows(&a.rows)
        self.arrays.append((x, mean, inverse, gamma, dy, dx, dgamma, dbeta))

    def dropout(self, real[:, :] x, Py_ssize_t cols, double rate, uint64_t seed, real[:, :] mask,
                real[:, :] y, bint sync=True):
        """y = x * mask, mask drawn anew at every step. Returns the draw's place, for `start_draws`."""
        cdef Noise* a = <Noise*>self.add(dropout_kernel, sizeof(Noise), TRAIN, sync)
        self.count_rows(&a.rows)
        a.cols, a.seed, a.x, a.ldx, a.y, a.ldy = cols, seed, &x[0, 0], ld(x), &y[0, 0], ld(y)
        a.mask, a.ldmask = &mask[0, 0], ld(mask)
        take_rate(a, rate)
        self.arrays.append((x, mask, y))
        return self.count - 1

    def gaussian_noise(self, real[:, :] x, Py_ssize_t cols, double stddev, uint64_t seed,
                       real[:, :] y, bint sync=True):
        """y = x + stddev * z, z drawn anew at every step. Returns the draw's place as `dropout` does."""
        cdef Noise* a = <Noise*>self.add(gaussian_noise_kernel, sizeof(Noise), TRAIN, sync)
        self.count_rows(&a.rows)
        a.cols, a.seed, a.x, a.ldx, a.y, a.ldy = cols, seed, &x[0, 0], ld(x), &y[0, 0], ld(y)
        a.factor = <real>stddev
        self.arrays.append((x, y))
        return self.count - 1

    def start_draws(self, Py_ssize_t place, uint64_t number):
        """The number of the next run's first draw."""
        (<Noise*>self.ops[place].args).number = number

    def multiply(self, real[:, :] x, real[:, :] y, Py_ssize_t cols, real[:, :] out, bint sync=True):
        """out = x * y."""
        cdef Map* a = <Map*>self.add(multiply_kernel, sizeof(Map), TRAIN, sync)
        self.count_rows(&a.rows)
        a.cols, a.x, a.ldx, a.dy, a.lddy = cols, &x[0, 0], ld(x), &y[0, 0], ld(y)
        a.out, a.ldout = &out[0, 0], ld(out)
        self.arrays.append((x, y, out))

    def output(self, real[:, :] y, Py_ssize_t cols, bint sync=False):
        """Copy y to the run's predictions, where a run asks for them."""
        cdef CopyOut* a = <CopyOut*>self.add(copy_out_kernel, sizeof(CopyOut), TRAIN | TEST | PREDICT, sync)
        self.count_rows(&a.rows)
        a.cols, a.y, a.ldy = cols, &y[0, 0], ld(y)
        self.output_args = a
        self.arrays.append(y)

    def loss(self, int code, tuple numbers, bint summed, real[:, :] y_pred, Py_ssize_t cols,
             int64_t[::1] labels, real[:, :] y_true, real[::1] weights, real[::1] values,
             real[::1] hits, real[:, :] gradient):
        """The loss of each row, the gradient of their mean, or sum (train), and the running sums."""
        cdef Loss* a = <Loss*>self.add(loss_kernel, sizeof(Loss), TRAIN | TEST, True)
        cdef Tally* t
        cdef int k
        self.count_rows(&a.rows)
        a.code, a.cols, a.padded = code, cols, True
        for k in range(len(numbers)):
            a.numbers[k] = <double>numbers[k]
        self.summed = summed
        a.y_pred, a.ldpred = &y_pred[0, 0], ld(y_pred)
        if labels is not None:
            a.labels = &labels[0]
        if y_true is not None:
            a.y_true, a.ldtrue = &y_true[0, 0], ld(y_true)
        a.values = &values[0]
        if hits is not None:
            a.hits = &hits[0]
        if gradient is not None:
            a.gradient, a.ldgradient = &gradient[0, 0], ld(gradient)
        if code == ROOT_MEAN_SQUARED_ERROR and gradient is not None:
            (<Root*>self.add(root_kernel, sizeof(Root), TRAIN, True)).loss = a
        t = <Tally*>self.add(tally_kernel, sizeof(Tally), TRAIN | TEST, False)
        self.count_rows(&t.rows)
        t.values, t.hits = a.values, a.hits
        t.total = TOTAL_OF_SUM if summed else TOTAL_OF_ROWS
        if code == ROOT_MEAN_SQUARED_ERROR:
            t.total = TOTAL_OF_ROOT_OF_SUM if summed else TOTAL_OF_ROOT
        self.loss_args, self.tally_args = a, t
        self.arrays.append((y_pred, labels, y_true, weights, values, hits, gradient))

    def run(self, int mode, const real[:, :] x, const int64_t[::1] labels, const real[:, :] y,
            const real[::1] weights, const int64_t[::1] order, Py_ssize_t start, Py_ssize_t stop,
            const real[:, :] hyper, real[:, :] predictions, int threads, double loss=0):
        """Run mini-batches over the positions start..stop of `order` (or of the data itself).

        The last mini-batch may be short. hyper has a row for each; predictions, if given, a row for
        each position of the run's data. Returns (`loss` and the sum of weighted losses, sum of hits) over
        the rows: added in one chain, the sum does not depend on how rows are cut into runs.
        """
        cdef Run r
        if self.running:
            raise RuntimeError("plan: this model is already running in another thread")
        memset(&r, 0, sizeof(r))
        r.mode, r.first = mode, start
        r.data, r.lddata = &x[0, 0], ld(x)
        self.source.label_source = NULL if labels is None else &labels[0]
        self.source.y_source = NULL
        if y is not None:
            self.source.y_source, self.source.ldy_source = &y[0, 0], ld(y)
        self.source.weight_source = NULL if weights is None else &weights[0]
        if self.loss_args != NULL:
            self.loss_args.weights = NULL if weights is None else self.source.weights
            self.tally_args.weights = self.loss_args.weights
            self.tally_args.loss, self.tally_args.right = loss, 0
        self.output_args.out = NULL
        if predictions is not None:
            self.output_args.out, self.output_args.ldout = &predictions[0, 0], ld(predictions)
        if order is not None:
            r.order = &order[0]
        if hyper is not None:
            r.hyper = &hyper[0, 0]
        self.execute(&r, stop - start, threads)
        if self.loss_args == NULL:
            return loss, 0.0
        return self.tally_args.loss, self.tally_args.right

    cdef int execute(self, Run* r, Py_ssize_t rows, int threads) except -1:
        """All whole mini-batches of so many rows, then the short one that is left."""
        cdef Py_ssize_t o, left = rows % self.batch
        self.reserve_scratch(threads)
        self.share_batch(r, threads)
        self.running = True
        for o in range(self.count):
            if self.ops[o].once & r.mode:
                self.ops[o].function(self.ops[o].args, NULL, 0, 1)
        r.ops, r.count, r.batch, r.steps = self.ops, self.count, self.batch, rows // self.batch
        if r.steps:
            self.set_rows(self.batch)
            with nogil:
                run(run_steps, r, NULL, threads)
        if left:
            self.set_rows(left)
            r.first += r.steps * self.batch
            r.number = r.steps
            if r.hyper != NULL:
                r.hyper += r.steps * HYPERS
            r.steps = 1
            with nogil:
                run(run_steps, r, NULL, threads)
        self.running = False
        return 0

    def stand_for(self, Py_ssize_t features, double work, double work_per_thread, tuple network,
                  tuple watched):
        """Say what `predict` looks at: the inputs and the work of a row, (list, its items) of the
        layers, and (dict, key, value) of everything that the plan was made from."""
        self.features, self.work, self.work_per_thread = features, work, work_per_thread
        self.network, self.watched = network, watched

    def stands(self):
        """Whether all that `stand_for` named is as it was."""
        cdef list now = self.network[0]
        cdef tuple items = self.network[1], entry
        cdef Py_ssize_t i, n = len(items)
        if len(now) != n:
            return False
        for i in range(n):
            if now[i] is not items[i]:
                return False
        for entry in self.watched:
            if (<dict>entry[0]).get(entry[1]) is not entry[2]:
                return False
        return True

    def predict(self, x, out, int limit):
        """The outputs for plain x, in plain out or a new array; None, with nothing done, if they are
        not plain, or if the plan is running or stands for its model no more."""
        cdef View v, y
        cdef Run r
        cdef int threads
        if (self.running or not view_matrix(x, &v) or v.cols != self.features or not self.stands()):
            return None
        out = output_matrix(out, v.rows, self.output_args.cols, &y)
        if out is None or not apart(&y, &v):
            return None
        memset(&r, 0, sizeof(r))
        r.mode, r.data, r.lddata = MODE_PREDICT, v.data, v.ld
        self.output_args.out, self.output_args.ldout = y.data, y.ld
        threads = useful_threads(self.work * min(v.rows, self.batch), self.work_per_thread, limit)
        self.execute(&r, v.rows, threads)
        return out

    cdef int set_rows(self, Py_ssize_t rows) except -1:
        cdef Py_ssize_t o
        for o in range(self.count):
            if self.ops[o].rows != NULL:
                self.ops[o].rows[0] = rows
        if self.loss_args != NULL:
            self.loss_args.scale = <real>(1.0 if self.summed else 1.0 / rows)
        return 0

    cdef int share_batch(self, Run* r, int threads) except -1:
        """Give each thread of a small team a mini-batch of its own, if there is one to copy."""
        cdef bint own = self.may_copy and threads == OWN_TEAM
        cdef size_t size
        self.ops[self.source_op].sync = not own
        if own and self.copy == NULL:
            size = self.batch * self.source.ldx * sizeof(real) + 64
            self.copy = <char*>malloc(size)
            if self.copy == NULL:
                raise MemoryError("plan: no memory for a copy of the mini-batch")
            memset(self.copy, 0, size)
        r.batches[0] = self.source.x if own else NULL
        r.batches[1] = <real*>aligned(self.copy) if own else NULL
        return 0

    cdef int reserve_scratch(self, int threads) except -1:
        cdef char* block
        cdef Gemm* g
        if threads <= self.scratch_threads:
            return 0
        block = <char*>malloc(self.scratch_bytes * threads + 64)
        if block == NULL:
            raise MemoryError(f"plan: no memory for {self.scratch_bytes * threads} bytes of scratch")
        free(self.scratch)
        self.scratch = block
        self.scratch_threads = threads
        for address in self.gemms:
            g = <Gemm*><size_t>address
            g.scratch, g.scratch_bytes = aligned(block), self.scratch_bytes
        return 0
