/* base/misuse.h - who hands over NULL where something belongs is told so. */
#ifndef CKITI_BASE_MISUSE_H
#define CKITI_BASE_MISUSE_H

#include <cachekit/error.h>

/* CKIT_E_MISUSE. `what`: "cache", "place for the value". */
static inline ckit_status ckiti_there_is_no(ckit_error *err, const char *where, const char *what) {
    return ckit_fail(err, CKIT_E_MISUSE, where, "there is no %s", what);
}

#endif
