/* over_files.h - what the stories share: a cache over files as programs open it, and a function whose every result can
 * be recomputed by whoever reads it, so that a wrong one is always noticed. */
#ifndef CKITI_OVER_FILES_H
#define CKITI_OVER_FILES_H

#include "support/scratch.h"
#include "support/test.h"

#include <cachekit/cachekit.h>
#include <sys/types.h>

/* A directory of files as the store; `parameters` continue the URL ("&max_size_mb=1") or are empty. Writes are not
 * synced: no story cuts the power. */
ckit_cache *files_open(const char *dir, const char *parameters, const ckit_cache_options *options);

/* The value of `number`: one byte string, some short, some of tens of kilobytes, some that compress and some that do
 * not. */
void files_write(ckit_writer *w, uint64_t number);
/* The document holds exactly that. */
bool files_is(ckit_slice document, uint64_t number);

/* A loader that gives the value of its only argument. `context` may be NULL, else a counter of runs that is shared by
 * whoever runs it. */
ckit_status    files_load(void *context, ckit_load *load, ckit_error *err);
ckit_function *files_function(ckit_cache *cache, const char *namespace_name, _Atomic uint64_t *runs);
/* Calls it, checks the answer, returns who gave it. */
ckit_source files_call(ckit_function *function, uint64_t number);

ckit_cache_stats files_stats(ckit_cache *cache);

/* Zeroed memory that forked children share with their parent; given back when the program ends. */
void *files_shared(size_t size);
/* Waits for the child and checks that it ended well. */
void files_join(pid_t child);

#endif
