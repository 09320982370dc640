/* report.h - what a run of the load generator tells. */
#ifndef CKIT_CLI_BENCH_REPORT_H
#define CKIT_CLI_BENCH_REPORT_H

#include "bench/load.h"

typedef struct cli_bench_facts {
    const char *backend;    /* "file", "memory" */
    const char *store;      /* its URL; NULL with a private one */
    bool        was_empty;  /* nothing was in it when the run began */
    bool        is_private; /* a store of its own, made for this run */
    const char *trace;      /* NULL = none */
    bool        interrupted;
} cli_bench_facts;

void cli_bench_report(const cli_load_plan *plan, const cli_load_result *result, const cli_bench_facts *facts);
void cli_bench_report_json(const cli_load_plan *plan, const cli_load_result *result, const cli_bench_facts *facts);

#endif
