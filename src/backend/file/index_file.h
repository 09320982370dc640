/* index_file.h - the index on disk: read into a table, appended to, compacted. */
#ifndef CKITI_FILE_INDEX_FILE_H
#define CKITI_FILE_INDEX_FILE_H

#include "index_record.h"
#include "store.h"

#define CKITI_INDEX_NAME ".ck-index"

/* The index as it was read: the latest record of each name. */
typedef struct ckiti_index_table {
    const ckit_alloc *alloc;
    uint64_t          salt;
    bool              cut; /* too large to be read whole */
    uint8_t          *bytes;
    size_t            len;
    size_t            capacity;
    size_t           *slots; /* where a record begins, or 0; open addressing, a power of two */
    size_t            slot_count;
    size_t            used;
} ckiti_index_table;

/* A missing or unreadable index is an empty table. Only memory and I/O can fail. `fd` < 0: by its name. */
ckit_status ckiti_index_load(ckiti_file_store *store, int fd, ckiti_index_table *out, ckit_error *err);
void        ckiti_index_table_fini(ckiti_index_table *table);
bool        ckiti_index_find(const ckiti_index_table *table, const uint8_t hash[CKITI_FILE_HASH_BYTES],
                             ckiti_index_record *out);

/* Appends one record, making or repairing the file, and compacts it when it has grown enough. `identity`: of the index
 * it went to. */
ckit_status ckiti_index_append(ckiti_file_store *store, const ckiti_index_record *record, uint64_t deadline_ms,
                               uint64_t *identity, ckit_error *err);
/* Drops the records of entries that are gone. */
ckit_status ckiti_index_compact(ckiti_file_store *store, uint64_t deadline_ms, ckit_error *err);
/* What tells one index from the next: its salt, 0 when there is none. */
uint64_t ckiti_index_identity(ckiti_file_store *store);

#endif
