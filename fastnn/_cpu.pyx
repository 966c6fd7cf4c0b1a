# cython: language_level=3
"""What this processor and operating system can run, asked once (CPUID and XGETBV, by the compiler's
own run-time support, which checks both)."""

cdef extern from *:
    """
    static int cpu_level(void) {
    #if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
        __builtin_cpu_init();
        if (!(__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))) return 1;
        if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
              && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))) return 2;
        if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
              && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
              && __builtin_cpu_supports("avx512vl"))) return 3;
        return 4;
    #else
        return 0;
    #endif
    }
    """
    int cpu_level()


def x86_64_level() -> int:
    """The x86-64 microarchitecture level, 1 to 4; 0 on other machines and compilers."""
    return cpu_level()
