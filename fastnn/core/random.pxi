# Random numbers by counter: Philox4x32-10 of J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw,
# Parallel random numbers: as easy as 1, 2, 3, SC11. Sixteen blocks are made side by side, in the lanes
# of vectors: 64 words, whose n-th one is word n // 16 of block n % 16.

cdef extern from *:
    """
    enum { DRAWN = 64 };

    /* words (64): blocks 16 * chunk ... + 15 of the counter (block, number), under the key `seed`. */
    static void philox(uint64_t seed, uint64_t number, uint64_t chunk, uint32_t *words) {
        uint32_t a[16], b[16], c[16], d[16];
        uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
        for (int l = 0; l < 16; l++) {
            uint64_t block = chunk * 16 + l;
            a[l] = (uint32_t)block;
            b[l] = (uint32_t)(block >> 32);
            c[l] = (uint32_t)number;
            d[l] = (uint32_t)(number >> 32);
        }
        for (int round = 0; round < 10; round++) {
            for (int l = 0; l < 16; l++) {
                uint64_t p = (uint64_t)0xD2511F53u * a[l], q = (uint64_t)0xCD9E8D57u * c[l];
                a[l] = (uint32_t)(q >> 32) ^ b[l] ^ key0;
                b[l] = (uint32_t)q;
                c[l] = (uint32_t)(p >> 32) ^ d[l] ^ key1;
                d[l] = (uint32_t)p;
            }
            key0 += 0x9E3779B9u;
            key1 += 0xBB67AE85u;
        }
        memcpy(words, a, sizeof a);
        memcpy(words + 16, b, sizeof b);
        memcpy(words + 32, c, sizeof c);
        memcpy(words + 48, d, sizeof d);
    }
    """
    enum: DRAWN
    void philox(uint64_t seed, uint64_t number, uint64_t chunk, uint32_t* words) noexcept nogil


cdef void shuffle(int64_t* order, Py_ssize_t n, uint64_t seed) noexcept nogil:
    """order = 0 ... n - 1 in random order, n < 2**32: R. A. Fisher and F. Yates, from the inside out,
    with numbers below a bound as D. Lemire, Fast random integer generation in an interval, 2019.

    Four times as fast as NumPy's, which asks its generator anew for each number.
    """
    cdef uint32_t words[DRAWN]
    cdef uint64_t product, bound
    cdef uint32_t low
    cdef Py_ssize_t i, j, drawn = 0
    for i in range(n):
        bound = i + 1
        while True:
            if drawn % DRAWN == 0:
                philox(seed, 0, drawn // DRAWN, words)
            product = words[drawn % DRAWN] * bound
            drawn += 1
            low = <uint32_t>product
            # The first 2**32 % bound of the lower halves would make some numbers likelier.
            if low >= bound or low >= (<uint64_t>1 << 32) % bound:
                break
        j = <Py_ssize_t>(product >> 32)
        order[i] = order[j]
        order[j] = i
