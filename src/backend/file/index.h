/* index.h - which key, namespace and function an entry belongs to.
 *
 * Entries hold hashes of keys only. `.ck-index` is a log of records (index_record.h), one for each new entry; several
 * processes append under a lock. It is compacted when it has doubled since the last time. Deleting it loses names,
 * never values. */
#ifndef CKITI_FILE_INDEX_H
#define CKITI_FILE_INDEX_H

#include "store.h"

/* Makes sure that the entry is in the index. An overwrite of an entry that this process has already noted, with the
 * same owner, does no I/O; so where several processes store one key for different owners, the owner that was noted last
 * stays. A failure leaves the entry unlisted and is logged. */
void ckiti_file_index_note(ckiti_file_store *store, const ckiti_file_name *name, ckit_slice key,
                           const ckit_entry_info *info, bool replaces, uint64_t deadline_ms);
/* Before the store goes away. */
void ckiti_file_index_fini(ckiti_file_store *store);

ckit_status ckiti_file_list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each, void *context,
                            ckit_error *err);
ckit_status ckiti_file_delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                    ckit_error *err);

#endif
