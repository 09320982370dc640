/* trace.h - keys of a recorded trace, from a file or a pipe, read once and never held as a whole. */
#ifndef CKIT_CLI_BENCH_TRACE_H
#define CKIT_CLI_BENCH_TRACE_H

#include <cachekit/types.h>
#include <stdatomic.h>

typedef enum cli_trace_format {
    CLI_TRACE_KEYS, /* one key a line: any bytes but the line end; empty lines do not count */
    CLI_TRACE_U32,  /* little-endian numbers; the key is the number in digits */
    CLI_TRACE_U64
} cli_trace_format;

#define CLI_TRACE_KEY_MAX 8000u
#define CLI_TRACE_BATCH 256u
#define CLI_TRACE_BATCH_BYTES 65536u

/* Keys that one thread works on next. */
typedef struct cli_trace_batch {
    size_t   count;
    uint32_t ends[CLI_TRACE_BATCH]; /* key i ends here in `bytes`, and begins where the one before it ends */
    uint8_t  bytes[CLI_TRACE_BATCH_BYTES];
} cli_trace_batch;

typedef struct cli_trace cli_trace;

/* "-" is standard input. At most `limit` keys are read. NULL after an error was printed. */
cli_trace *cli_trace_open(const char *path, cli_trace_format format, uint64_t limit);
void       cli_trace_close(cli_trace *trace);

/* The next keys in the order of the trace. From any thread. False at the end, after a failure, or once `*stop` is true
 * (a pipe that stays silent is left within a tenth of a second). */
bool cli_trace_take(cli_trace *trace, cli_trace_batch *batch, const atomic_bool *stop);

/* One line about what was wrong with it; NULL when nothing was. For when nobody takes any more. */
const char *cli_trace_failure(const cli_trace *trace);

#endif
