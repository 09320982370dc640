/* evict.h - counting the directory and removing from it: expired entries first, then the least recently read. */
#ifndef CKITI_FILE_EVICT_H
#define CKITI_FILE_EVICT_H

#include "store.h"

typedef struct ckiti_file_census {
    uint64_t bytes;
    uint64_t count;
} ckiti_file_census;

/* Counts the entries (files of ours with an entry's name; nothing else counts) and sweeps leftovers. */
ckit_status ckiti_file_census_take(ckiti_file_store *store, ckiti_file_census *out, ckit_error *err);

/* Removes until both are at or below their target, or the deadline has passed. `found` is what was there before;
 * removals are reported through ckiti_file_usage_add. */
ckit_status ckiti_file_evict(ckiti_file_store *store, const ckiti_file_census *target, uint64_t deadline_ms,
                             ckiti_file_census *found, uint64_t *removed, ckit_error *err);

#endif
