/* How the server is, and what it counts. */
#include "reply.h"

#include <cachekit/buf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- INFO ------------------------------------------------------------------------------------------------------------------ */

/* The value of a line "name:value"; empty when it is not there. */
static ckit_slice info_text(ckit_slice info, const char *name) {
    size_t len = strlen(name);
    for (size_t at = 0; at < info.len;) {
        const uint8_t *end = memchr(info.ptr + at, '\n', info.len - at);
        size_t         line = end == NULL ? info.len - at : (size_t)(end - info.ptr) - at;
        if (line > len && memcmp(info.ptr + at, name, len) == 0 && info.ptr[at + len] == ':') {
            size_t text = line - len - 1;
            text -= text > 0 && info.ptr[at + line - 1] == '\r';
            return ckit_slice_of(info.ptr + at + len + 1, text);
        }
        at += line + 1;
    }
    return ckit_slice_of(NULL, 0);
}

static bool info_number(ckit_slice info, const char *name, uint64_t *out) {
    ckit_slice text = info_text(info, name);
    uint64_t   value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + text.ptr[i] - '0';
    }
    *out = value;
    return text.len > 0;
}

/* ---- health ---------------------------------------------------------------------------------------------------------------- */

static double fine_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static ckit_status ask_words(ckiti_redis_asker *asker, const char *const *words, uint32_t count, uint64_t deadline_ms) {
    ckiti_resp_writer w = ckiti_redis_asker_begin(asker);
    for (uint32_t i = 0; i < count; i++) {
        ckiti_resp_command(&w, 1);
        ckiti_resp_text(&w, words[i]);
    }
    return ckiti_redis_asker_run(asker, &w, count, deadline_ms);
}

static void describe(ckit_slice info, ckit_health *out) {
    ckit_slice version = info_text(info, "redis_version");
    ckit_slice used = info_text(info, "used_memory_human");
    ckit_slice clients = info_text(info, "connected_clients");
    ckit_slice policy = info_text(info, "maxmemory_policy");
    snprintf(out->detail, sizeof out->detail,
             "version %.*s, used_memory_human %.*s, connected_clients %.*s, maxmemory_policy %.*s; %u connections of "
             "ours, %u in use",
             (int)(version.len < 20 ? version.len : 20), (const char *)version.ptr,
             (int)(used.len < 20 ? used.len : 20), (const char *)used.ptr, (int)(clients.len < 20 ? clients.len : 20),
             (const char *)clients.ptr, (int)(policy.len < 16 ? policy.len : 16), (const char *)policy.ptr,
             out->connections, out->connections_in_use);
    if (!info_number(info, "used_memory", &out->bytes)) {
        out->bytes = UINT64_MAX;
    }
    if (!info_number(info, "maxmemory", &out->limit_bytes) || out->limit_bytes == 0) {
        out->limit_bytes = UINT64_MAX;
    }
}

void ckiti_redis_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    static const char *const ping[] = {"PING"};
    static const char *const info[] = {"INFO"};
    ckiti_redis_store       *store = self;
    ckit_error               err = CKIT_ERROR_INIT;
    ckiti_redis_asker        asker;
    ckiti_redis_asker_init(&asker, store, &err);
    asker.call.large = false; /* on the connection that everybody uses: its state is what matters */
    double      start = fine_ms();
    ckit_status st = ask_words(&asker, ping, 1, deadline_ms);
    *out = (ckit_health){.healthy = st == CKIT_OK,
                         .latency_ms = st == CKIT_OK ? fine_ms() - start : -1,
                         .entries = UINT64_MAX,
                         .bytes = UINT64_MAX,
                         .limit_bytes = UINT64_MAX};
    ckiti_redis_node_count(&store->node, &out->connections, &out->connections_in_use);
    out->connections_max = store->address.pool_size;
    snprintf(out->backend_type, sizeof out->backend_type, "redis");
    if (st != CKIT_OK) {
        snprintf(out->detail, sizeof out->detail, "%.159s", err.text);
    } else if (ask_words(&asker, info, 1, deadline_ms) == CKIT_OK) { /* a server may forbid it */
        ckiti_redis_part part = ckiti_redis_part_at(&asker, 0);
        describe(ckiti_redis_part_text(&asker, &part), out);
    }
    ckiti_redis_asker_fini(&asker);
}

/* ---- stats ------------------------------------------------------------------------------------------------------------------- */

ckit_status ckiti_redis_stats(void *self, uint64_t deadline_ms, ckit_stat_fn each, void *context,
                              int64_t *since_wall_ms, ckit_error *err) {
    static const struct {
        const char *field;
        const char *name;
        bool        counter;
    } rows[] = {{"keyspace_hits", "keyspace_hits", true},       {"keyspace_misses", "keyspace_misses", true},
                {"expired_keys", "expired_keys", true},         {"evicted_keys", "evicted_keys", true},
                {"total_commands_processed", "commands", true}, {"total_connections_received", "connections", true},
                {"rejected_connections", "refused", true},      {"connected_clients", "clients", false},
                {"used_memory", "used_memory", false},          {"maxmemory", "limit_memory", false}};
    static const char *const words[] = {"INFO", "DBSIZE"};
    ckiti_redis_store       *store = self;
    ckiti_redis_asker        asker;
    uint64_t                 value;
    ckiti_redis_asker_init(&asker, store, err);
    ckit_status      st = ask_words(&asker, words, 2, deadline_ms);
    ckiti_redis_part part = ckiti_redis_part_at(&asker, 0);
    ckiti_redis_part keys = ckiti_redis_part_at(&asker, 1);
    ckit_slice       info = ckiti_redis_part_text(&asker, &part);
    *since_wall_ms = 0;
    if (st == CKIT_OK && info_number(info, "uptime_in_seconds", &value)) {
        int64_t since = ckiti_wall_ms(store->clock) - (int64_t)value * 1000;
        *since_wall_ms = since > 0 ? since : 0;
    }
    for (size_t i = 0; st == CKIT_OK && i < sizeof rows / sizeof rows[0]; i++) {
        if (info_number(info, rows[i].field, &value)) {
            ckit_stat stat = {rows[i].name, rows[i].counter, value};
            st = each(context, &stat);
        }
    }
    if (st == CKIT_OK) {
        ckit_stat stat = {"keys", false, (uint64_t)keys.integer};
        st = each(context, &stat);
    }
    ckiti_redis_asker_fini(&asker);
    return st;
}
