/* histogram.h - how long things took, in buckets that grow with the time they stand for: any percentile to within
 * 1 %, the longest exactly. */
#ifndef CKIT_CLI_BENCH_HISTOGRAM_H
#define CKIT_CLI_BENCH_HISTOGRAM_H

#include <stdint.h>

#define CLI_HISTOGRAM_STEPS 64u /* buckets of one octave; below this every nanosecond has its own */
#define CLI_HISTOGRAM_OCTAVES 36u
#define CLI_HISTOGRAM_BUCKETS (CLI_HISTOGRAM_STEPS * (CLI_HISTOGRAM_OCTAVES + 1))

/* Begins all zero. Times above an hour count as the longest bucket's. One thread adds; others wait until it is done. */
typedef struct cli_histogram {
    uint64_t count, sum_ns, max_ns;
    uint64_t buckets[CLI_HISTOGRAM_BUCKETS];
} cli_histogram;

void cli_histogram_add(cli_histogram *histogram, uint64_t ns);
void cli_histogram_merge(cli_histogram *into, const cli_histogram *from);
/* The time that `share` (0 to 1) of all stayed at or below; 0 without any. */
uint64_t cli_histogram_at(const cli_histogram *histogram, double share);

#endif
