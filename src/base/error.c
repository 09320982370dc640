#include <cachekit/error.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct status_row {
    ckit_status     status;
    ckit_error_kind kind;
    const char     *name;
    const char     *code;
    const char     *text;
} status_row;

static const status_row rows[] = {
#define STATUS_ROW(name, value, kind, code, text) {CKIT_##name, CKIT_KIND_##kind, #name, code, text},
    CKIT_STATUS_TABLE(STATUS_ROW)
#undef STATUS_ROW
};

static const status_row *find_row(ckit_status status) {
    static const status_row unknown = {CKIT_E_FIRST, CKIT_KIND_UNKNOWN, "E_UNKNOWN", "E999", "unknown status"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].status == status) {
            return &rows[i];
        }
    }
    return &unknown;
}

const char     *ckit_status_name(ckit_status status) { return find_row(status)->name; }
const char     *ckit_status_code(ckit_status status) { return find_row(status)->code; }
const char     *ckit_status_text(ckit_status status) { return find_row(status)->text; }
ckit_error_kind ckit_status_kind(ckit_status status) { return find_row(status)->kind; }

const char *ckit_error_kind_name(ckit_error_kind kind) {
    switch (kind) {
    case CKIT_KIND_NONE: return "NONE";
    case CKIT_KIND_TRANSIENT: return "TRANSIENT";
    case CKIT_KIND_TIMEOUT: return "TIMEOUT";
    case CKIT_KIND_UNKNOWN: return "UNKNOWN";
    case CKIT_KIND_PERMANENT: return "PERMANENT";
    case CKIT_KIND_AUTHENTICATION: return "AUTHENTICATION";
    case CKIT_KIND_MISUSE: return "MISUSE";
    case CKIT_KIND_CORRUPT: return "CORRUPT";
    }
    return "UNKNOWN";
}

CKIT_PRINTF(5, 0)
static void fill(ckit_error *err, ckit_status status, int sys_errno, const char *where, const char *format,
                 va_list args) {
    err->status = status;
    err->kind = ckit_status_kind(status);
    err->sys_errno = sys_errno;
    snprintf(err->where, sizeof err->where, "%s", where);
    vsnprintf(err->text, sizeof err->text, format, args);
    if (sys_errno != 0) {
        char        buffer[96];
        const char *reason = strerror_r(sys_errno, buffer, sizeof buffer); /* the GNU form: thread-safe */
        size_t      len = strlen(err->text);
        snprintf(err->text + len, sizeof err->text - len, ": %s", reason);
    }
}

ckit_status ckit_fail(ckit_error *err, ckit_status status, const char *where, const char *format, ...) {
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        fill(err, status, 0, where, format, args);
        va_end(args);
    }
    return status;
}

ckit_status ckit_fail_errno(ckit_error *err, ckit_status status, int sys_errno, const char *where, const char *format,
                            ...) {
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        fill(err, status, sys_errno, where, format, args);
        va_end(args);
    }
    return status;
}
