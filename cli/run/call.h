/* call.h - one call of `cachekit run`: what was asked for, and the name under which its answer is kept. */
#ifndef CKIT_CLI_RUN_CALL_H
#define CKIT_CLI_RUN_CALL_H

#include "command.h"

#include <cachekit/error.h>
#include <cachekit/seal.h>
#include <cachekit/types.h>

typedef struct run_options {
    uint64_t    ttl_ms;   /* CKIT_TTL_* */
    uint64_t    stale_ms; /* 0 = none */
    const char *namespace_name;
    const char *scope;
    cli_list    env;
    bool        cwd;
    cli_list    modtime;
    cli_list    depends;
    bool        with_stdin;
    bool        force;
    bool        warm;
    uint64_t    failures_ms; /* 0 = failures are not stored */
    uint64_t    max_output;  /* bytes */
    bool        tty;
    bool        show_key;
    bool        plain; /* answers are stored in the clear */
} run_options;

#define RUN_FUNCTION "cachekit.run" /* whose results these are, for ls and invalidate */

typedef struct run_call {
    const run_options *options;
    char             **argv;
    int                stdin_fd; /* what the command reads: the kept standard input, or -1 for /dev/null */
    ckit_buf           key;      /* without a tenant's prefix */
    ckit_keyring      *ring;     /* what seals the answer; NULL: it is stored in the clear, or not at all */
    ckit_error         unsealed; /* why it cannot be sealed, and is not stored; CKIT_OK: it can */
} run_call;

/* Reads standard input, the named files and variables, and makes the key. CKIT_OK; CKIT_E_MISUSE for what the user has
 * to mend. End it with run_call_close in any case. */
ckit_status run_call_open(run_call *call, const run_options *options, char **argv, ckit_error *err);
void        run_call_close(run_call *call);

#endif
