# Activations, element by element: the value, and the gradient from the activation's own output y.
# To add one: a code, a line in `activation`, one in `activation_slope`, its name in ACTIVATIONS of
# seam.pxi, its twin in reference.py.

cdef enum Activation:
    LINEAR
    SIGMOID
    TANH
    RELU
    EXP
    LOG
    ACTIVATION_COUNT


cdef inline forced activation(const int code, vec x, vec* y) noexcept nogil:
    if code == LINEAR:
        y[0] = x
    elif code == SIGMOID:
        vsigmoid(x, y)
    elif code == TANH:
        vtanh(x, y)
    elif code == RELU:
        y[0] = vmax(vset(0), x)  # keeps NaN
    elif code == EXP:
        vexp(x, y)
    elif code == LOG:
        vlog(x, y)


cdef inline forced activation_slope(const int code, vec y, vec dy, vec* dx) noexcept nogil:
    """dx = dy * f'(x), with y = f(x)."""
    if code == LINEAR:
        dx[0] = dy
    elif code == SIGMOID:
        dx[0] = dy * (y * (vset(1) - y))
    elif code == TANH:
        dx[0] = dy * vfma(-y, y, vset(1))
    elif code == RELU:
        # 0 where y <= 0; NaN in y shows in dx. The gradient at 0 is 0, as everywhere in the field.
        dx[0] = vif_gt(y, vset(0), dy, vif_gt(vset(1), y, vset(0), y))


cdef inline forced activate_rows(const int code, const real* x, Py_ssize_t ldx, real* y,
                                 Py_ssize_t ldy, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    cdef Py_ssize_t i, j, whole = cols - cols % VW
    cdef vec value
    for i in range(rows):
        j = 0
        while j < whole:
            activation(code, vload(x + j), &value)
            vstore(y + j, value)
            j += VW
        if j < cols:
            activation(code, vload_part(x + j, cols - j, 1), &value)
            vstore_part(y + j, value, cols - j)
        x += ldx
        y += ldy


cdef inline forced slope_rows(const int code, const real* y, Py_ssize_t ldy, const real* dy,
                              Py_ssize_t lddy, real* dx, Py_ssize_t lddx, Py_ssize_t rows,
                              Py_ssize_t cols) noexcept nogil:
    cdef Py_ssize_t i, j, whole = cols - cols % VW
    cdef vec value
    for i in range(rows):
        j = 0
        while j < whole:
            activation_slope(code, vload(y + j), vload(dy + j), &value)
            vstore(dx + j, value)
            j += VW
        if j < cols:
            activation_slope(code, vload_part(y + j, cols - j, 0),
                             vload_part(dy + j, cols - j, 0), &value)
            vstore_part(dx + j, value, cols - j)
        y += ldy
        dy += lddy
        dx += lddx


cdef void activate_block(int code, const real* x, Py_ssize_t ldx, real* y, Py_ssize_t ldy,
                         Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """y = f(x) on a block of rows; y may be x."""
    if code == LINEAR:
        activate_rows(LINEAR, x, ldx, y, ldy, rows, cols)
    elif code == SIGMOID:
        activate_rows(SIGMOID, x, ldx, y, ldy, rows, cols)
    elif code == TANH:
        activate_rows(TANH, x, ldx, y, ldy, rows, cols)
    elif code == RELU:
        activate_rows(RELU, x, ldx, y, ldy, rows, cols)
    elif code == EXP:
        activate_rows(EXP, x, ldx, y, ldy, rows, cols)
    elif code == LOG:
        activate_rows(LOG, x, ldx, y, ldy, rows, cols)


cdef void slope_block(int code, const real* y, Py_ssize_t ldy, const real* dy, Py_ssize_t lddy,
                      real* dx, Py_ssize_t lddx, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """dx = dy * f'(x) on a block of rows, y = f(x); dx may be dy."""
    if code == LINEAR:
        slope_rows(LINEAR, y, ldy, dy, lddy, dx, lddx, rows, cols)
    elif code == SIGMOID:
        slope_rows(SIGMOID, y, ldy, dy, lddy, dx, lddx, rows, cols)
    elif code == TANH:
        slope_rows(TANH, y, ldy, dy, lddy, dx, lddx, rows, cols)
    elif code == RELU:
        slope_rows(RELU, y, ldy, dy, lddy, dx, lddx, rows, cols)


# An elementwise kernel over rows (1 row: a flat array), shared by columns or by rows.
cdef struct Map:
    int code
    const real* x         # IN (rows, cols): x, or y for a gradient
    Py_ssize_t ldx
    const real* dy        # IN (rows, cols): only for a gradient
    Py_ssize_t lddy
    real* out             # OUT (rows, cols)
    Py_ssize_t ldout
    Py_ssize_t rows
    Py_ssize_t cols


cdef inline void map_share(Map* a, int tid, int nthreads, Py_ssize_t* i0, Py_ssize_t* i1,
                           Py_ssize_t* j0, Py_ssize_t* j1) noexcept nogil:
    i0[0] = j0[0] = 0
    i1[0] = a.rows
    j1[0] = a.cols
    if a.rows >= nthreads:
        share(a.rows, 1, tid, nthreads, i0, i1)
    else:
        share(a.cols, LANES, tid, nthreads, j0, j1)


cdef void activate_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Map* a = <Map*>args
    cdef Py_ssize_t i0, i1, j0, j1
    map_share(a, tid, nthreads, &i0, &i1, &j0, &j1)
    activate_block(a.code, a.x + i0 * a.ldx + j0, a.ldx, a.out + i0 * a.ldout + j0, a.ldout,
                   i1 - i0, j1 - j0)


cdef void activate_gradient_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef Map* a = <Map*>args
    cdef Py_ssize_t i0, i1, j0, j1
    map_share(a, tid, nthreads, &i0, &i1, &j0, &j1)
    slope_block(a.code, a.x + i0 * a.ldx + j0, a.ldx, a.dy + i0 * a.lddy + j0, a.lddy,
                a.out + i0 * a.ldout + j0, a.ldout, i1 - i0, j1 - j0)
