/* usage.h - how full the directory is, and making room.
 *
 * The truth is the directory; a small shared record (`.ck-usage`) holds bytes and count so that a write need not look
 * at every file. Each process adds its changes in batches. Whoever finds the record missing, damaged or impossible, or
 * older than a few minutes, counts the directory again. Every eviction counts it too. */
#ifndef CKITI_FILE_USAGE_H
#define CKITI_FILE_USAGE_H

#include "store.h"

/* Something came or went. Never fails, does no I/O. */
void ckiti_file_usage_add(ckiti_file_store *store, int64_t bytes, int64_t count);
/* Before an entry is written: above 90 % of a limit it evicts down to 70 % of both. CKIT_E_NO_SPACE only when the
 * limits themselves would be exceeded and nothing can be evicted; an overwrite (count 0) is never refused for the
 * count. */
ckit_status ckiti_file_usage_make_room(ckiti_file_store *store, int64_t bytes, int64_t count, uint64_t deadline_ms,
                                       ckit_error *err);
/* The disk is full: evicts down to 70 % of what is there. True when something was removed. */
bool ckiti_file_usage_relieve(ckiti_file_store *store, uint64_t deadline_ms);
/* Adds what is pending to the record and reads the sums. False when they cannot be known. */
bool ckiti_file_usage_read(ckiti_file_store *store, uint64_t deadline_ms, uint64_t *bytes, uint64_t *count);
/* Adds what is pending, without waiting for a lock. */
void ckiti_file_usage_flush(ckiti_file_store *store);
/* In a forked child: what was pending is the parent's to add. */
void ckiti_file_usage_forget(ckiti_file_store *store);

#endif
