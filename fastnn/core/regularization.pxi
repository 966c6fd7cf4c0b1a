# What weights and activities cost: l1 sum |x| + l2 sum x**2. The gradient of it is `with_penalty`
# (updates.pxi), which the update of a weight takes in; here are the cost itself, for what is
# reported, and the gradient by the outputs of a layer.

cdef struct Penalty:
    Py_ssize_t rows, cols
    const real* x         # IN (rows, cols)
    Py_ssize_t ldx
    double l1, l2
    double* partial       # OUT (rows,)


cdef void penalty_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """The cost of each row, in float64 and in a fixed order, as in square_sum_kernel."""
    cdef Penalty* a = <Penalty*>args
    cdef Py_ssize_t i, i0, i1, j
    cdef int k, half
    cdef const real* x
    cdef double sizes[SQUARE_LANES]
    cdef double squares[SQUARE_LANES]
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        x = a.x + i * a.ldx
        for k in range(SQUARE_LANES):
            sizes[k] = squares[k] = 0
        j = 0
        while j + SQUARE_LANES <= a.cols:
            for k in range(SQUARE_LANES):
                sizes[k] += fabs(<double>x[j + k])
                squares[k] += <double>x[j + k] * <double>x[j + k]
            j += SQUARE_LANES
        for k in range(<int>(a.cols - j)):
            sizes[k] += fabs(<double>x[j + k])
            squares[k] += <double>x[j + k] * <double>x[j + k]
        half = SQUARE_LANES // 2
        while half:
            for k in range(half):
                sizes[k] += sizes[k + half]
                squares[k] += squares[k + half]
            half //= 2
        a.partial[i] = a.l1 * sizes[0] + a.l2 * squares[0]


cdef struct PenaltyTotal:
    Py_ssize_t rows       # of the mini-batch
    Py_ssize_t count
    bint of_rows          # partial is for the rows of the mini-batch, not of a weight
    const double* partial  # IN (rows,) or (count,)
    double* total         # INOUT: running sum over rows, as the losses' is


cdef void penalty_total_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef PenaltyTotal* a = <PenaltyTotal*>args
    if tid != 0:
        return
    if a.of_rows:
        a.total[0] += ascending_sum(a.partial, a.rows)
    else:
        a.total[0] += a.rows * ascending_sum(a.partial, a.count)


cdef struct ActivityGradient:
    Py_ssize_t rows, cols
    double l1, l2
    const real* y         # IN (rows, cols)
    Py_ssize_t ldy
    const real* dy        # IN (rows, cols)
    Py_ssize_t lddy
    real* dx              # OUT (rows, cols)
    Py_ssize_t lddx


cdef void activity_gradient_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    """dx = dy and the gradient of the cost of y, divided by the rows of the mini-batch."""
    cdef ActivityGradient* a = <ActivityGradient*>args
    cdef Py_ssize_t i, i0, i1, j, count
    cdef real l1 = <real>(a.l1 / a.rows), l2 = <real>(a.l2 / a.rows)
    cdef const real* y
    cdef const real* dy
    share(a.rows, 1, tid, nthreads, &i0, &i1)
    for i in range(i0, i1):
        y = a.y + i * a.ldy
        dy = a.dy + i * a.lddy
        j = 0
        while j + VW <= a.cols:
            vstore(a.dx + i * a.lddx + j, with_penalty(vload(dy + j), vload(y + j), l1, l2))
            j += VW
        count = a.cols - j
        if count > 0:
            vstore_part(a.dx + i * a.lddx + j, with_penalty(vload_part(dy + j, count, 0),
                                                            vload_part(y + j, count, 0), l1, l2), count)
