# A team, not forks: a kernel is a function that does the share of one of `nthreads` threads, and one
# parallel region runs it on all of them. `run` is the only place that enters OpenMP.

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define TEAM_OPENMP 1
    #define team_size() omp_get_num_threads()
    #else
    #define TEAM_OPENMP 0
    #define team_size() 1
    #endif

    /* Where the threads of a team wait for each other. OpenMP's own barrier spins for milliseconds:
       where other programs want the processors too, a team then waits for a thread that waits for
       the processor it spins on, and a step took a hundred times as long. This one spins for up to
       0.2 ms, which is more than most phases of a step differ by, and then sleeps; having slept, it
       spins for half as long the next time, and for a little longer whenever that was enough. */
    typedef struct { int arrived; char apart[60]; unsigned round; int asleep; char end[56]; } gate;

    enum { GATE_SPINS = 10000 };
    #if !defined(_OPENMP)
    #define gate_wait(g, n, spins) ((void)(g), (void)(n), (void)(spins))
    #elif defined(__GNUC__) && !defined(_WIN32)
    #include <limits.h>
    #include <time.h>
    #if defined(__linux__)
    #include <linux/futex.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #define gate_sleep(g, seen) syscall(SYS_futex, &(g)->round, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0)
    #define gate_wake(g) syscall(SYS_futex, &(g)->round, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0)
    #else
    #define gate_sleep(g, seen) nanosleep(&(struct timespec){0, 50000}, NULL)
    #define gate_wake(g) ((void)0)
    #endif
    #if defined(__x86_64__)
    #define gate_pause() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define gate_pause() __asm__ volatile("yield")
    #else
    #define gate_pause() ((void)0)
    #endif
    static void gate_wait(gate *g, int n, int *spins) {
        unsigned round = __atomic_load_n(&g->round, __ATOMIC_ACQUIRE);
        if (__atomic_add_fetch(&g->arrived, 1, __ATOMIC_ACQ_REL) == n) {
            __atomic_store_n(&g->arrived, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&g->round, round + 1, __ATOMIC_SEQ_CST);
            if (__atomic_load_n(&g->asleep, __ATOMIC_SEQ_CST)) gate_wake(g);
            return;
        }
        for (int i = 0; i < *spins; i++) {
            if (__atomic_load_n(&g->round, __ATOMIC_ACQUIRE) != round) {
                *spins = *spins < GATE_SPINS ? *spins + 10 : GATE_SPINS;
                return;
            }
            gate_pause();
        }
        *spins = *spins > 200 ? *spins / 2 : 100;
        __atomic_add_fetch(&g->asleep, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&g->round, __ATOMIC_SEQ_CST) == round) gate_sleep(g, round);
        __atomic_sub_fetch(&g->asleep, 1, __ATOMIC_SEQ_CST);
    }
    #elif defined(_MSC_VER)
    static void gate_wait(gate *g, int n, int *spins) { __pragma(omp barrier) }
    #else
    static void gate_wait(gate *g, int n, int *spins) { _Pragma("omp barrier") }
    #endif
    """
    bint TEAM_OPENMP
    int team_size() noexcept nogil
    ctypedef struct gate:
        pass
    enum: GATE_SPINS
    # For n > 1 threads; a gate starts as zeros, and each thread's `spins` as GATE_SPINS.
    void gate_wait(gate* g, int n, int* spins) noexcept nogil


# What changes from one step of training to the next; each thread has its own copy.
cdef struct Step:
    const int64_t* order  # (rows,)  the rows of the data that make this mini-batch; NULL: as they lie
    Py_ssize_t first      # the position of the batch's first row within the run
    const real* hyper     # (HYPERS,)  the optimizer's numbers for this step
    const real* data      # (any, lddata)  the caller's rows, for a product that reads them in place
    Py_ssize_t lddata
    Py_ssize_t number     # of the step within the run
    real* batch           # (rows, .)  this thread's own copy of the mini-batch; NULL: one for all

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
