/* lease.h - the locks of the backend contract: one small file per held lock, `.ck-lock-{entry name}`.
 *
 * The file says who holds the lock, until when, and the holder's fence. It is read and written under flock, which is
 * held for microseconds; the lock itself is the record, so it survives its holder and ends by itself. Its end is kept
 * twice: on the system's boot clock, which nobody can set, with the id of the boot; and on the wall clock for readers
 * after a reboot or with a clock of their own, who believe at most the length that was asked for.
 *
 * Which process took it stands there too (holder.h), so that nobody waits for one that was killed: when it is certainly
 * dead, `lock_try` takes the lock over at once. That is the process that called `lock_try`: a child forked afterwards
 * can use the lease, but it ends with the parent as soon as somebody else wants it. */
#ifndef CKITI_FILE_LEASE_H
#define CKITI_FILE_LEASE_H

#include "store.h"

bool ckiti_file_is_lock_name(const char *name);
/* Removes a lock file whose lease has ended. */
void ckiti_file_lease_sweep(ckiti_file_store *store, const char *name);

ckit_status ckiti_file_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                                ckit_error *err);
/* One after the other: each is a few system calls. */
ckit_status ckiti_file_lock_renew_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                       uint64_t lease_ms, uint64_t deadline_ms, ckit_status *answers, ckit_error *err);
ckit_status ckiti_file_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                                  uint64_t deadline_ms, ckit_error *err);
ckit_status ckiti_file_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                    ckit_error *err);
ckit_status ckiti_file_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                    const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err);

#endif
