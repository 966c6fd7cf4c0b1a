# cython: binding=False
"""The compiled core of fastnn: kernels and the training plan.

This one source is built once for each instruction level (x86-64-v2, -v3, -v4, or one portable build)
and each precision (`real` is float or double); _dispatch.py picks. The functions of seam.pxi refuse what
they cannot take as it is, and kernels.py converts it; the plan trusts model.py. Nothing here is public.

Axes:  N batch   K inputs of a layer   M its outputs   ld* leading dimension (numbers between rows)
       X (N, K)   W (K, M)   Y = f(X W + b) (N, M)   dY, dX, dW: gradients of the loss by Y, X, W

A. A kernel is `cdef void name(void* args, const Step* step, int tid, int nthreads) noexcept nogil`:
   it does the tid-th share of its output. `run` (team.pxi) runs it on one thread or on a team; the
   plan (plan.pxi) runs a list of them within one parallel region, with barriers between.
B. The numeric contract: the same bits for any number of threads and any level with fused multiply-add.
   So no share depends on another's result, an element of a product is one chain over k, a sum over a
   row is LANES lanes folded by one tree (or, in rows of up to LANES columns, ascending), and every
   product-and-sum is written as vfma or as two operations (nothing is left to the compiler).
C. What is done to a product (activation, derivative, optimizer step) is done tile by tile in L1, by
   the very functions that serve flat arrays (`activate_block`, `slope_block`, `update_block`), so that
   the eager road and the plan agree to the last bit.
D. IN, OUT, INOUT mark the arrays of an argument block. Arrays of the plan are padded: rows go on to a
   whole 64-byte vector, with zeros that stay zeros; arrays that come from outside are not.
"""
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release
from cpython.exc cimport PyErr_Clear
from cython.parallel cimport parallel, threadid
from libc.math cimport fabs, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset, strchr

import numpy

include "core/simd.pxi"
include "core/team.pxi"
include "core/elementary.pxi"
include "core/activations.pxi"
include "core/updates.pxi"
include "core/regularization.pxi"
include "core/rows.pxi"
include "core/columns.pxi"
include "core/gemm.pxi"
include "core/updating.pxi"
include "core/softmax.pxi"
include "core/normalization.pxi"
include "core/random.pxi"
include "core/dropout.pxi"
include "core/losses.pxi"
include "core/seam.pxi"
include "core/plan.pxi"
