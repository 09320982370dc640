/* Sweeping when asked: everything is looked at, now. */
#include "index_file.h"
#include "stats.h"

#include <errno.h>
#include <fcntl.h>

typedef struct sweeping {
    ckiti_file_store *store;
    uint64_t          deadline_ms;
    size_t            turn;
    ckit_status       status; /* anything but CKIT_OK ends the walk */
    ckit_status       failed; /* the first entry that could not be looked at or removed; the others get their turn */
    ckit_deleted     *out;
    ckit_error       *err;
} sweeping;

/* The record of the first failure stays. */
static ckit_error *err_of_entry(const sweeping *s) { return s->failed == CKIT_OK ? s->err : NULL; }

/* Not removed is no failure while somebody is giving it a longer life, or when it was replaced or is gone already. */
static ckit_status discard(sweeping *s, const char *name, const ckiti_file_opened *entry) {
    errno = 0;
    if (ckiti_file_entry_discard(s->store, name, entry)) {
        s->out->deleted++;
        return CKIT_OK;
    }
    return errno == 0 || errno == EWOULDBLOCK || errno == ENOENT
               ? CKIT_OK
               : ckiti_file_fail(err_of_entry(s), errno, "removing an expired entry");
}

static ckit_status sweep_entry(sweeping *s, const char *name) {
    ckiti_file_opened entry;
    uint64_t          life_ms;
    ckit_status       st = ckiti_file_entry_open(s->store, name, O_RDONLY, &entry, err_of_entry(s));
    if (st != CKIT_OK) {
        return st;
    }
    switch (ckiti_file_entry_peek(s->store, entry.fd, &life_ms)) {
    case CKITI_PEEK_LIVE:
    case CKITI_PEEK_NEWER: break;
    case CKITI_PEEK_EXPIRED:
    case CKITI_PEEK_CORRUPT: st = discard(s, name, &entry); break;
    case CKITI_PEEK_FAILED: st = ckiti_file_fail(err_of_entry(s), errno, "reading an entry"); break;
    }
    s->store->io->close(s->store->io->self, entry.fd);
    return st;
}

static bool sweep_each(void *context, const char *name) {
    sweeping *s = context;
    if (++s->turn % 64 == 0) {
        s->status = ckiti_file_check_deadline(s->store, s->deadline_ms, s->err);
    }
    if (s->status != CKIT_OK) {
        return false;
    }
    if (!ckiti_file_is_entry_name(name)) {
        ckiti_file_sweep_name(s->store, name);
        return true;
    }
    ckit_status st = sweep_entry(s, name);
    if (st >= CKIT_E_FIRST && s->failed == CKIT_OK) {
        s->failed = st;
    }
    return true;
}

ckit_status ckiti_file_sweep_now(void *self, uint64_t deadline_ms, ckit_deleted *out, ckit_error *err) {
    sweeping s = {.store = self, .deadline_ms = deadline_ms, .out = out, .err = err};
    *out = (ckit_deleted){0, 0};
    ckit_status st = ckiti_file_check_deadline(s.store, deadline_ms, err);
    if (st == CKIT_OK) {
        st = ckiti_file_dir_walk(s.store, sweep_each, &s, err);
    }
    if (out->deleted > 0) {
        (void)ckiti_index_compact(s.store, deadline_ms, NULL); /* names of what is gone should not stay on the disk */
    }
    if (st == CKIT_OK) {
        st = s.status != CKIT_OK ? s.status : s.failed;
    }
    ckiti_file_stats_tick(s.store);
    return st;
}
