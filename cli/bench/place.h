/* place.h - the cache that is put under load, and leaving no trace of it. */
#ifndef CKIT_CLI_BENCH_PLACE_H
#define CKIT_CLI_BENCH_PLACE_H

#include <cachekit/cache.h>

typedef struct cli_bench_place {
    ckit_cache *cache;
    char       *directory; /* private; NULL with a store of the user's */
    int         lock;      /* an open lock of the directory: somebody lives there */
} cli_bench_place;

/* Opens `url`; NULL = files in a new directory beside the user's cache. CLI_DONE, or an exit code after an error was
 * printed. End it with cli_bench_place_close, also after a failure.
 *
 * Private directories that killed runs left behind are removed. */
int cli_bench_place_open(cli_bench_place *place, const char *url, const ckit_cache_options *options);
/* Removes what the run stored, unless `keep`. */
void cli_bench_place_close(cli_bench_place *place, bool keep);

#endif
