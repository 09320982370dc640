/* load.h - threads that read and write a cache as fast as it answers, and what they saw. */
#ifndef CKIT_CLI_BENCH_LOAD_H
#define CKIT_CLI_BENCH_LOAD_H

#include "bench/histogram.h"
#include "bench/trace.h"
#include "bench/zipf.h"

#include <cachekit/cache.h>

#define CLI_LOAD_PREFIX "cachekit-bench:"
#define CLI_LOAD_NAMESPACE "cachekit-bench"
#define CLI_LOAD_UNBOUNDED UINT64_MAX

typedef struct cli_load_plan {
    ckit_cache *cache;
    unsigned    threads;
    uint64_t    operations;  /* of all threads; CLI_LOAD_UNBOUNDED = no bound */
    uint64_t    duration_ms; /* CLI_LOAD_UNBOUNDED = no bound */
    double      get_share;   /* 0 to 1 */
    cli_zipf    keys;
    uint64_t    value_min, value_max; /* bytes; a key's value always has the same size */
    uint64_t    seed;
    cli_trace  *trace; /* brings the keys, all of them read; NULL = keys by Zipf's law */
} cli_load_plan;

/* An operation is a get or a set that was chosen. A fill is the set that follows a miss; it comes on top, and is
 * counted among the sets. */
typedef struct cli_load_result {
    cli_histogram get_times, set_times;
    uint64_t      operations, fills;
    uint64_t      memory_hits, store_hits, misses;
    uint64_t      read_bytes, written_bytes; /* of values */
    uint64_t      get_errors, set_errors, wrong_values;
    ckit_error    first_error;
    uint64_t      elapsed_ns, user_ns, system_ns;
    double        clock_ns;     /* one reading of the clock; every time holds about one */
    double        generator_ns; /* what an operation costs without the cache; 0 = unknown (traces) */
} cli_load_result;

/* Runs to the end of the plan or until cli_interrupted. CLI_DONE with a result, also of an interrupted run and of one
 * with errors; or an exit code after an error was printed. */
int cli_load_run(const cli_load_plan *plan, cli_load_result *result);

#endif
