/* A guard without a store: what stands in front of it asks and tells by itself. */
#include "base/misuse.h"
#include "guard/visit.h"

#include <string.h>

_Static_assert(sizeof(ckiti_visit) <= sizeof(ckit_guard_pass), "a pass must hold a visit");

ckit_status ckit_guard_enter(ckit_guard *guard, ckit_guard_pass *pass, uint32_t *timeout_ms, ckit_error *err) {
    ckiti_visit visit;
    if (guard == NULL || pass == NULL) {
        return ckiti_there_is_no(err, "guard", guard == NULL ? "guard" : "place for the pass");
    }
    uint64_t    now_us = ckiti_guard_now_us(guard);
    ckit_status st = ckiti_guard_enter(guard, NULL, CKITI_TRAIT_PLACE, now_us, CKIT_NO_DEADLINE, 0, &visit, err);
    memset(pass, 0, sizeof *pass);
    if (st == CKIT_OK) {
        memcpy(pass, &visit, sizeof visit);
    }
    if (timeout_ms != NULL) {
        *timeout_ms = ckiti_timeout_ms(&guard->data);
    }
    return st;
}

/* A failure of the kind, as stores tell it. */
static ckit_status status_of(ckit_error_kind kind) {
    switch (kind) {
    case CKIT_KIND_TRANSIENT: return CKIT_E_UNREACHABLE;
    case CKIT_KIND_TIMEOUT: return CKIT_E_TIMEOUT;
    case CKIT_KIND_AUTHENTICATION: return CKIT_E_CREDENTIALS;
    case CKIT_KIND_PERMANENT: return CKIT_E_REJECTED;
    default: return CKIT_E_IO;
    }
}

void ckit_guard_leave(ckit_guard *guard, const ckit_guard_pass *pass, ckit_error_kind kind) {
    ckiti_visit visit;
    if (guard == NULL || pass == NULL) {
        return;
    }
    uint64_t now_us = ckiti_guard_now_us(guard);
    memcpy(&visit, pass, sizeof visit);
    if (visit.timing == NULL) { /* it was not let in */
        return;
    }
    if (kind == CKIT_KIND_NONE) {
        ckiti_guard_leave_well(guard, &visit, now_us);
    } else {
        ckiti_guard_leave_failed(guard, &visit, now_us, status_of(kind), kind, false, NULL);
    }
}

void ckit_guard_record(ckit_guard *guard, bool locks, uint64_t took_us) {
    if (guard != NULL) {
        ckiti_timeout_record(locks ? &guard->locks : &guard->data, took_us, ckiti_guard_now_us(guard));
    }
}
