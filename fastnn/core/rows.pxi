# One vector of a row, whose end may fall within it.

cdef inline vec row_vector(const real* x, Py_ssize_t j, Py_ssize_t cols, bint beyond,
                           real fill) noexcept nogil:
    """x[j : j + VW], lanes from cols on replaced by fill; `beyond`: memory past the row is readable."""
    if j + VW <= cols:
        return vload(x + j)
    if j >= cols:
        return vset(fill)
    if beyond:
        return vif_gt(vset(<real>(cols - j)), vload(LANE_NUMBER), vload(x + j), vset(fill))
    return vload_part(x + j, cols - j, fill)


cdef inline void put_row_vector(real* y, Py_ssize_t j, Py_ssize_t cols, bint padded,
                                vec v) noexcept nogil:
    """y[j : j + VW] = v up to cols; `padded`: zeros beyond, to the end of the vector."""
    if j + VW <= cols:
        vstore(y + j, v)
    elif j < cols and padded:
        vstore(y + j, vif_gt(vset(<real>(cols - j)), vload(LANE_NUMBER), v, vset(0)))
    elif j < cols:
        vstore_part(y + j, v, cols - j)
