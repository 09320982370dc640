#include "bench/histogram.h"

/* Times of one octave, 2^k * 64 .. 2^k * 128 - 1, share 64 buckets of 2^k nanoseconds; the first octave begins at 0. */
static unsigned bucket_of(uint64_t ns) {
    if (ns < UINT64_C(2) * CLI_HISTOGRAM_STEPS) {
        return (unsigned)ns;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 6u;
    unsigned bucket = shift * CLI_HISTOGRAM_STEPS + (unsigned)(ns >> shift);
    return bucket < CLI_HISTOGRAM_BUCKETS ? bucket : CLI_HISTOGRAM_BUCKETS - 1;
}

static uint64_t middle_of(unsigned bucket) {
    if (bucket < 2 * CLI_HISTOGRAM_STEPS) {
        return bucket;
    }
    unsigned shift = bucket / CLI_HISTOGRAM_STEPS - 1;
    uint64_t low = (uint64_t)(bucket - shift * CLI_HISTOGRAM_STEPS) << shift;
    return low + (UINT64_C(1) << shift) / 2;
}

void cli_histogram_add(cli_histogram *h, uint64_t ns) {
    h->count++;
    h->sum_ns += ns;
    h->max_ns = ns > h->max_ns ? ns : h->max_ns;
    h->buckets[bucket_of(ns)]++;
}

void cli_histogram_merge(cli_histogram *into, const cli_histogram *from) {
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    into->max_ns = from->max_ns > into->max_ns ? from->max_ns : into->max_ns;
    for (unsigned i = 0; i < CLI_HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t cli_histogram_at(const cli_histogram *h, double share) {
    double   exact = share * (double)h->count;
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact ? 1 : 0; /* rounded up */
    uint64_t seen = 0;
    for (unsigned i = 0; i < CLI_HISTOGRAM_BUCKETS && h->count > 0; i++) {
        seen += h->buckets[i];
        if (seen >= rank && seen > 0) {
            uint64_t middle = middle_of(i);
            return middle < h->max_ns ? middle : h->max_ns;
        }
    }
    return h->max_ns;
}
