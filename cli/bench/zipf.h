/* zipf.h - which item is asked for next, by Zipf's law: item i (from 0 on) with a probability in proportion to
 * 1 / (i + 1)^skew. The programs of bench/ draw with it too. No table: an item costs about an exp and a log, whatever
 * their number (rejection-inversion: W. Hörmann and G. Derflinger, ACM TOMACS 6(3), 1996).
 *
 * A cli_zipf does not change after cli_zipf_init, so threads share it; each has a random state of its own. */
#ifndef CKIT_CLI_BENCH_ZIPF_H
#define CKIT_CLI_BENCH_ZIPF_H

#include <stdint.h>

/* SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014): the same numbers for the same state everywhere. */
static inline uint64_t cli_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

typedef struct cli_zipf {
    double items, skew;
    double from, to; /* areas under the law, between which a draw falls */
    double sure;     /* a draw this close to its item needs no further look */
} cli_zipf;

#define CLI_ZIPF_ITEMS_MAX (UINT64_C(1) << 40)
#define CLI_ZIPF_SKEW_MAX 100.0

/* 1 to CLI_ZIPF_ITEMS_MAX items; skew 0 (all alike) to CLI_ZIPF_SKEW_MAX. */
void     cli_zipf_init(cli_zipf *zipf, uint64_t items, double skew);
uint64_t cli_zipf_next(const cli_zipf *zipf, uint64_t *state);

#endif
