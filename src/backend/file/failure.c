/* Which status a system error becomes. */
#include "store.h"

#include <errno.h>

static ckit_status status_of(int sys_errno) {
    switch (sys_errno) {
    case ENOSPC:
    case EDQUOT: return CKIT_E_NO_SPACE;
    case EFBIG: return CKIT_E_TOO_LARGE;
    case EACCES:
    case EPERM: return CKIT_E_PERMISSION;
    case EROFS: return CKIT_E_READ_ONLY;
    case ELOOP: return CKIT_E_UNSAFE_STORE;
    case ETIMEDOUT: return CKIT_E_TIMEOUT;
    case ENOMEM: return CKIT_E_NO_MEMORY;
    default: return CKIT_E_IO;
    }
}

ckit_status ckiti_file_fail(ckit_error *err, int sys_errno, const char *what) {
    return ckit_fail_errno(err, status_of(sys_errno), sys_errno, CKITI_FILE_WHERE, "%s", what);
}

ckit_status ckiti_file_fail_at(ckit_error *err, int sys_errno, const char *what, const char *path) {
    return ckit_fail_errno(err, status_of(sys_errno), sys_errno, CKITI_FILE_WHERE, "%s %s", what, path);
}

ckit_status ckiti_file_check_deadline(const ckiti_file_store *store, uint64_t deadline_ms, ckit_error *err) {
    if (deadline_ms == CKIT_NO_DEADLINE || ckiti_now_ms(store->clock) < deadline_ms) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_TIMEOUT, CKITI_FILE_WHERE, "the deadline has passed");
}

ckit_status ckiti_file_begin(const ckiti_file_store *store, ckit_slice key, uint64_t deadline_ms, ckiti_file_name *name,
                             ckit_error *err) {
    if (key.len == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, CKITI_FILE_WHERE, "an empty key");
    }
    if (key.len > CKITI_FILE_MAX_KEY_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, CKITI_FILE_WHERE, "key of %zu bytes, limit %u", key.len,
                         CKITI_FILE_MAX_KEY_BYTES);
    }
    ckiti_file_name_of_key(name, key);
    return ckiti_file_check_deadline(store, deadline_ms, err);
}
