# Optimizer updates: one vector of weights, gradient and slots at a time, in place. The numbers of a
# step (learning rate and so on, `hyper`) are made in Python, one row a step, by optimizers.py.
# To add one: a code, a branch in `update_vector`, a line in `update_block`, its name in UPDATES.

cdef enum:
    HYPERS = 8  # numbers in a row of hyper
    SLOTS = 3   # arrays of state that an optimizer may keep beside the weights

cdef enum Update:
    SGD
    MOMENTUM
    NESTEROV
    ADAGRAD
    UPDATE_COUNT


cdef inline forced update_vector(const int code, const real* hyper, vec* w, vec g,
                                 vec* s) noexcept nogil:
    """Formulas of Keras 3; each is written out in reference.py."""
    cdef vec step = vset(hyper[0]) * g
    if code == SGD:
        w[0] = w[0] - step
    elif code == MOMENTUM:
        s[0] = vfma(vset(hyper[1]), s[0], -step)
        w[0] = w[0] + s[0]
    elif code == NESTEROV:
        s[0] = vfma(vset(hyper[1]), s[0], -step)
        w[0] = w[0] + vfma(vset(hyper[1]), s[0], -step)
    elif code == ADAGRAD:
        s[0] = vfma(g, g, s[0])
        w[0] = w[0] - step / vsqrt(s[0] + vset(hyper[1]))


cdef inline int update_slots(int code) noexcept nogil:
    """How many slots the update keeps."""
    return 0 if code == SGD else 1


cdef inline forced update_rows(const int code, const int slots, const real* hyper, real* w, real** s,
                               Py_ssize_t ldw, const real* g, Py_ssize_t ldg, Py_ssize_t rows,
                               Py_ssize_t cols) noexcept nogil:
    cdef Py_ssize_t i, j, at, whole = cols - cols % VW
    cdef vec weight
    cdef vec state[SLOTS]
    cdef int k
    for i in range(rows):
        j = 0
        while j < whole:
            at = i * ldw + j
            weight = vload(w + at)
            for k in range(slots):
                state[k] = vload(s[k] + at)
            update_vector(code, hyper, &weight, vload(g + i * ldg + j), state)
            vstore(w + at, weight)
            for k in range(slots):
                vstore(s[k] + at, state[k])
            j += VW
        if j < cols:
            at = i * ldw + j
            weight = vload_part(w + at, cols - j, 0)
            for k in range(slots):
                state[k] = vload_part(s[k] + at, cols - j, 1)
            update_vector(code, hyper, &weight, vload_part(g + i * ldg + j, cols - j, 0), state)
            vstore_part(w + at, weight, cols - j)
            for k in range(slots):
                vstore_part(s[k] + at, state[k], cols - j)


cdef void update_block(int code, const real* hyper, real* w, real** s, Py_ssize_t ldw, const real* g,
                       Py_ssize_t ldg, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """One step on a block of weights w and their slots s (leading dimension ldw), gradient g."""
    if code == SGD:
        update_rows(SGD, 0, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == MOMENTUM:
        update_rows(MOMENTUM, 1, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == NESTEROV:
        update_rows(NESTEROV, 1, hyper, w, s, ldw, g, ldg, rows, cols)
    elif code == ADAGRAD:
        update_rows(ADAGRAD, 1, hyper, w, s, ldw, g, ldg, rows, cols)


cdef struct UpdateArgs:
    int code
    real* w               # INOUT (n,)
    real* slots[SLOTS]    # INOUT (n,) each
    const real* g         # IN (n,)
    Py_ssize_t n


cdef void update_kernel(void* args, const Step* step, int tid, int nthreads) noexcept nogil:
    cdef UpdateArgs* a = <UpdateArgs*>args
    cdef Py_ssize_t start, stop
    cdef real* slots[SLOTS]
    cdef int k
    share(a.n, LANES, tid, nthreads, &start, &stop)
    for k in range(SLOTS):
        slots[k] = a.slots[k] + start if a.slots[k] != NULL else NULL
    update_block(a.code, step.hyper, a.w + start, slots, 0, a.g + start, 0, 1, stop - start)
