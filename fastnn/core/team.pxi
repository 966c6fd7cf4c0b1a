# A team, not forks: a kernel is a function that does the share of one of `nthreads` threads, and one
# parallel region runs it on all of them. `run` is the only place that enters OpenMP.

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define TEAM_OPENMP 1
    #define team_size() omp_get_num_threads()
    #ifdef _MSC_VER
    #define team_barrier() __pragma(omp barrier)
    #else
    #define team_barrier() _Pragma("omp barrier")
    #endif
    #else
    #define TEAM_OPENMP 0
    #define team_size() 1
    #define team_barrier() ((void)0)
    #endif
    """
    bint TEAM_OPENMP
    int team_size() noexcept nogil
    void team_barrier() noexcept nogil


# What changes from one step of training to the next; each thread has its own copy.
cdef struct Step:
    const int64_t* order  # (rows,)  the rows of the data that make this mini-batch; NULL: as they lie
    Py_ssize_t first      # the position of the batch's first row within the run
    const real* hyper     # (HYPERS,)  the optimizer's numbers for this step
    const real* data      # (any, lddata)  the caller's rows, for a product that reads them in place
    Py_ssize_t lddata
    Py_ssize_t number     # of the step within the run

ctypedef void (*team_function)(void* args, const Step* step, int tid, int nthreads) noexcept nogil


cdef void run(team_function function, void* args, const Step* step, int nthreads) noexcept nogil:
    if nthreads <= 1:
        function(args, step, 0, 1)
    else:
        with parallel(num_threads=nthreads):
            function(args, step, threadid(), team_size())


cdef inline void share(Py_ssize_t n, Py_ssize_t unit, int tid, int nthreads,
                       Py_ssize_t* start, Py_ssize_t* stop) noexcept nogil:
    """The tid-th of nthreads nearly equal runs of n items, cut at multiples of unit."""
    cdef Py_ssize_t units = (n + unit - 1) // unit
    start[0] = min(units * tid // nthreads * unit, n)
    stop[0] = min(units * (tid + 1) // nthreads * unit, n)


cdef inline int useful_threads(double work, double work_per_thread, int limit) noexcept nogil:
    """As many threads as have at least work_per_thread to do, at least one."""
    cdef double wanted = work / work_per_thread
    if not TEAM_OPENMP or wanted < 2 or limit < 2:
        return 1
    return limit if wanted >= limit else <int>wanted
