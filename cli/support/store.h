/* store.h - the store a command works on: which one, seen through which tenant. */
#ifndef CKIT_CLI_STORE_H
#define CKIT_CLI_STORE_H

#include "command.h"

#include <cachekit/ext/backend.h>

typedef struct cli_store {
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
    char                   *url;    /* what was opened, for people: without passwords */
    const char             *reason; /* why: "--store", "the environment", "the default" */
    ckit_buf                prefix; /* "t:NAME:" with --tenant, else empty; also where the store has it itself */
} cli_store;

/* --store, else the store that the environment selects, else files under $XDG_CACHE_HOME/cachekit. CLI_DONE, or an exit
 * code after an error was printed. End it with cli_store_close, also after a failure.
 *
 * A directory that --store names must be there: only cli_store_make makes it. */
int  cli_store_open(cli_store *store, const cli_common *common);
int  cli_store_make(cli_store *store, const cli_common *common);
void cli_store_close(cli_store *store);

/* cli_store_open without printing. */
ckit_status cli_store_look(cli_store *store, const cli_common *common, ckit_error *err);
/* cli_store_make without printing; `env` may be NULL, `err` may not. */
ckit_status cli_store_try(cli_store *store, const cli_common *common, const ckit_backend_env *env, ckit_error *err);

/* The same without looking at the environment's stores, and without printing: for `run`. */
ckit_status cli_store_open_own(cli_store *store, const cli_common *common, ckit_error *err);

/* The stored key of an operand: the tenant's prefix and the operand's bytes. False after an error was printed. */
bool cli_store_key(const cli_store *store, const char *operand, ckit_buf *key);
/* The other way: false for keys of others; `*key` is cut to what the user calls it. Keys that the store does not know
 * (empty) belong to nobody's tenant. */
bool cli_store_own_key(const cli_store *store, ckit_slice *key);
/* Prints the error and gives the exit code when the store lacks an optional operation. */
int cli_store_cannot(const cli_store *store, const char *what);

/* The files of the user: "$XDG_CACHE_HOME/cachekit", else "$HOME/.cache/cachekit". False when neither variable holds an
 * absolute path: whoever runs without a home does not want one found. */
bool cli_default_directory(char *path, size_t size);

#endif
