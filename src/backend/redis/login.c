/* Connecting and logging in. */
#include "connection.h"

#include "base/clock.h"
#include "failure.h"

#include <sodium.h>
#include <string.h>

#define LOGIN_BYTES 2048u /* more than the longest login: the password is never copied to a larger buffer */
#define NONE UINT32_MAX

typedef struct login {
    ckiti_redis_call           call;
    const ckiti_redis_address *address;
    bool                       modern;  /* by HELLO */
    bool                       unknown; /* HELLO is refused, and not for the credentials */
    uint32_t                   naming;  /* number of the reply to CLIENT SETNAME, which may fail */
} login;

static void write_hello(const ckiti_redis_address *a, ckiti_resp_writer *w) {
    bool secret = a->password[0] != '\0';
    bool named = a->client_name[0] != '\0';
    ckiti_resp_command(w, 2u + (secret ? 3u : 0u) + (named ? 2u : 0u));
    ckiti_resp_text(w, "HELLO");
    ckiti_resp_text(w, "3");
    if (secret) {
        ckiti_resp_text(w, "AUTH");
        ckiti_resp_text(w, a->username[0] != '\0' ? a->username : "default");
        ckiti_resp_text(w, a->password);
    }
    if (named) {
        ckiti_resp_text(w, "SETNAME");
        ckiti_resp_text(w, a->client_name);
    }
}

static void write_auth(const ckiti_redis_address *a, ckiti_resp_writer *w) {
    ckiti_resp_command(w, a->username[0] != '\0' ? 3 : 2);
    ckiti_resp_text(w, "AUTH");
    if (a->username[0] != '\0') {
        ckiti_resp_text(w, a->username);
    }
    ckiti_resp_text(w, a->password);
}

static void write_login(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const login               *l = (const login *)call;
    const ckiti_redis_address *a = l->address;
    if (l->modern) {
        write_hello(a, w);
    } else if (a->password[0] != '\0') {
        write_auth(a, w);
    }
    if (l->naming != NONE) {
        ckiti_resp_command(w, 3);
        ckiti_resp_text(w, "CLIENT");
        ckiti_resp_text(w, "SETNAME");
        ckiti_resp_text(w, a->client_name);
    }
    if (a->database != 0) {
        ckiti_resp_command(w, 2);
        ckiti_resp_text(w, "SELECT");
        ckiti_resp_number(w, a->database);
    }
    if (!l->modern) { /* so that there is an answer in any case */
        ckiti_resp_command(w, 1);
        ckiti_resp_text(w, "PING");
    }
}

static void take_login(ckiti_redis_call *call, const ckiti_resp_item *item) {
    login *l = (login *)call;
    if (item->type != CKITI_RESP_ERROR || item->depth > 0 || call->got == l->naming || l->unknown) {
        return;
    }
    (void)ckiti_redis_call_refused(call, item);
    if (l->modern && call->got == 0 && call->status == CKIT_E_REJECTED) {
        l->unknown = true; /* an older server, or one that forbids HELLO: the old way tells more */
    }
}

static login make_login(const ckiti_redis_address *a, bool modern, uint64_t until_ms, ckit_error *err) {
    login    l = {.call = {.write = write_login, .take = take_login, .err = err, .until_ms = until_ms},
                  .address = a,
                  .modern = modern,
                  .naming = NONE};
    uint32_t count = modern || a->password[0] != '\0';
    if (!modern && a->client_name[0] != '\0') {
        l.naming = count++;
    }
    l.call.replies = count + (a->database != 0) + !modern;
    return l;
}

static ckit_status log_in(ckiti_redis_connection *c, bool modern, uint64_t until_ms, bool *unknown, ckit_error *err) {
    ckit_buf scratch;
    login    l = make_login(c->dial->address, modern, until_ms, err);
    ckit_buf_init(&scratch, c->dial->alloc);
    if (ckit_buf_reserve(&scratch, LOGIN_BYTES) != CKIT_OK) {
        return ckiti_redis_no_memory(err, "a login");
    }
    ckiti_redis_call_begin(&l.call);
    ckiti_redis_connection_run(c, &l.call, &scratch);
    sodium_memzero(scratch.ptr, scratch.cap);
    ckit_buf_fini(&scratch);
    *unknown = l.unknown;
    return l.call.status;
}

/* ---- whose role -------------------------------------------------------------------------------------------------- */

typedef struct role {
    ckiti_redis_call call;
    bool             master;
    unsigned         items;
} role;

static void write_role(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    (void)call;
    ckiti_resp_command(w, 1);
    ckiti_resp_text(w, "ROLE");
}

static void take_role(ckiti_redis_call *call, const ckiti_resp_item *item) {
    role *r = (role *)call;
    if (!ckiti_redis_call_refused(call, item) && r->items++ == 1) { /* the first one in the array */
        r->master = item->type == CKITI_RESP_BULK && item->text.len == 6 && memcmp(item->text.ptr, "master", 6) == 0;
    }
}

static ckit_status check_role(ckiti_redis_connection *c, uint64_t until_ms, ckit_error *err) {
    role     r = {.call = {.write = write_role, .take = take_role, .replies = 1, .err = err, .until_ms = until_ms}};
    ckit_buf scratch;
    ckit_buf_init(&scratch, c->dial->alloc);
    ckiti_redis_call_begin(&r.call);
    ckiti_redis_connection_run(c, &r.call, &scratch);
    ckit_buf_fini(&scratch);
    if (r.call.status == CKIT_OK && !r.master) {
        return ckit_fail(err, CKIT_E_SERVER, CKITI_REDIS_WHERE, "the server that should be the master is a replica");
    }
    return r.call.status;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static ckit_status open_at(ckiti_redis_connection *c, const ckiti_redis_endpoint *to, uint64_t until_ms,
                           ckit_error *err) {
    const ckiti_redis_dial *dial = c->dial;
    bool                    unknown = true;
    c->label = ckiti_redis_label_of(to);
    ckit_status st = dial->streams->open(dial->address, to, dial->alloc, until_ms, &c->stream, err);
    if (st == CKIT_OK) {
        if (dial->observer.stream != NULL) {
            dial->observer.stream(dial->observer.self, c->stream);
        }
        ckiti_resp_reader_reset(&c->reader);
        c->demoted = false;
        c->protocol = dial->address->protocol;
        st = c->protocol == 3 ? log_in(c, true, until_ms, &unknown, err) : CKIT_OK;
        if (unknown) {
            c->protocol = 2;
            st = log_in(c, false, until_ms, &unknown, err);
        }
    }
    if (st == CKIT_OK && dial->masters_only) {
        st = check_role(c, until_ms, err);
    }
    if (st != CKIT_OK) {
        ckiti_redis_connection_close(c);
        ckiti_redis_name_server(err, &c->label);
    }
    return st;
}

/* Only where another suggestion may lead to another server; one that does not answer leaves half of the time to it. */
static uint64_t share_of(const ckiti_redis_dial *dial, uint64_t until_ms) {
    uint64_t now = ckiti_system_monotonic_ms();
    return dial->resolver.good == NULL ? until_ms : ckiti_time_after(now, ckiti_time_left(now, until_ms) / 2);
}

ckit_status ckiti_redis_connection_open(ckiti_redis_connection *c, uint64_t until_ms, ckit_error *err) {
    const ckiti_redis_resolver *resolver = &c->dial->resolver;
    ckiti_redis_endpoint        to, last = {.port = 0};
    ckit_error                  why = CKIT_ERROR_INIT;
    ckit_status                 st = CKIT_OK;
    for (unsigned attempt = 0;; attempt++) {
        ckit_status more = resolver->resolve(resolver->self, &attempt, until_ms, &to, st == CKIT_OK ? &why : NULL);
        if (more != CKIT_OK) {
            st = st == CKIT_OK ? more : st;
            break;
        }
        if (to.port == last.port && strcmp(to.host, last.host) == 0) {
            continue;
        }
        st = open_at(c, &to, share_of(c->dial, until_ms), &why);
        if (st == CKIT_OK) {
            if (resolver->good != NULL) {
                resolver->good(resolver->self, attempt, &to);
            }
            if (c->dial->observer.opened != NULL) {
                c->dial->observer.opened(c->dial->observer.self, c, &to);
            }
            return CKIT_OK;
        }
        last = to;
    }
    if (err != NULL) {
        *err = why;
    }
    return st;
}
