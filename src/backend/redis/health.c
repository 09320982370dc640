/* How the server is, and what it counts. */
#include "reply.h"

#include <cachekit/buf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- INFO -------------------------------------------------------------------------------------------------------- */

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

/* ---- health ------------------------------------------------------------------------------------------------------ */

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

/* The servers there are; each seat is to be left. In a cluster the masters, also those that are away. */
typedef struct servers {
    ckiti_redis_seat *seats[CKITI_REDIS_SEATS];
    uint32_t          count;
    bool              seated; /* in a cluster each has a seat, which is left in the end */
} servers;

static ckit_status find_servers(ckiti_redis_store *store, uint64_t deadline_ms, servers *out, ckit_error *err) {
    ckiti_redis_call call = {.err = NULL};
    out->count = 1;
    out->seated = store->cluster != NULL;
    if (!out->seated) {
        return CKIT_OK;
    }
    ckit_status st = ckiti_redis_limit(store, &call, deadline_ms, err);
    if (st == CKIT_OK) {
        st = ckiti_redis_cluster_refresh(store->cluster, call.until_ms, err);
    }
    out->count = st == CKIT_OK ? ckiti_redis_cluster_masters(store->cluster, out->seats) : 0;
    return st;
}

static ckiti_redis_node *server_at(ckiti_redis_store *store, const servers *all, uint32_t i) {
    return all->seated ? &all->seats[i]->node : &store->node;
}

static void leave_servers(const servers *all) {
    for (uint32_t i = 0; all->seated && i < all->count; i++) {
        ckiti_redis_cluster_leave(all->seats[i]);
    }
}

/* What is known of all servers together. */
typedef struct sum {
    uint32_t good, count;
    uint64_t bytes, limit, clients;
    bool     bytes_known, limit_known;
    double   latency_ms; /* of the slowest */
    char     policy[20]; /* maxmemory_policy, or "mixed" */
} sum;

static void add_info(sum *all, ckit_slice info) {
    uint64_t value = 0;
    all->bytes_known = info_number(info, "used_memory", &value) && all->bytes_known;
    all->bytes += value;
    value = 0;
    all->limit_known = info_number(info, "maxmemory", &value) && value > 0 && all->limit_known;
    all->limit += value;
    value = 0;
    (void)info_number(info, "connected_clients", &value);
    all->clients += value;
    ckit_slice policy = info_text(info, "maxmemory_policy");
    char       text[sizeof all->policy];
    snprintf(text, sizeof text, "%.*s", (int)(policy.len < 16 ? policy.len : 16), (const char *)policy.ptr);
    bool same = all->good == 1 || strcmp(text, all->policy) == 0;
    snprintf(all->policy, sizeof all->policy, "%s", same ? text : "mixed");
}

/* One server's state; what is wrong stands in `err`. With its INFO in the asker, unless the server forbids it. */
static ckit_status examine(ckiti_redis_asker *asker, ckiti_redis_node *node, uint64_t deadline_ms, sum *all) {
    static const char *const ping[] = {"PING"};
    static const char *const info[] = {"INFO"};
    asker->node = node;
    double      start = fine_ms();
    ckit_status st = ask_words(asker, ping, 1, deadline_ms);
    double      took = fine_ms() - start;
    all->count++;
    if (st != CKIT_OK) {
        return st;
    }
    all->good++;
    all->latency_ms = took > all->latency_ms ? took : all->latency_ms;
    if (ask_words(asker, info, 1, deadline_ms) != CKIT_OK) {
        (void)ckiti_redis_asker_begin(asker);
        asker->parts.len = asker->bytes.len = 0;
    }
    ckiti_redis_part part = ckiti_redis_part_at(asker, 0);
    add_info(all, ckiti_redis_part_text(asker, &part));
    return CKIT_OK;
}

static void describe_one(ckit_slice info, ckit_health *out) {
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
}

static void describe_cluster(ckiti_redis_store *store, const sum *s, ckit_error *why, ckit_health *out) {
    uint32_t holes;
    (void)ckiti_redis_cluster_version(store->cluster, &holes);
    out->healthy = out->healthy && holes == 0;
    int n = snprintf(out->detail, sizeof out->detail, "%u of %u masters answer", s->good, s->count);
    if (holes > 0) {
        n += snprintf(out->detail + n, sizeof out->detail - (size_t)n, ", %u slots have none", holes);
    }
    if (s->good < s->count) {
        snprintf(out->detail + n, sizeof out->detail - (size_t)n, ": %.90s", why->text);
    } else {
        snprintf(out->detail + n, sizeof out->detail - (size_t)n,
                 ", connected_clients %" PRIu64 ", maxmemory_policy %s; %u connections of ours, %u in use", s->clients,
                 s->policy, out->connections, out->connections_in_use);
    }
}

void ckiti_redis_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    ckiti_redis_store *store = self;
    ckit_error         err = CKIT_ERROR_INIT, why = CKIT_ERROR_INIT;
    sum                all = {.bytes_known = true, .limit_known = true};
    servers            found;
    ckiti_redis_asker  asker;
    ckiti_redis_asker_init(&asker, store, &err);
    asker.call.large = false; /* on the connection that everybody uses: its state is what matters */
    ckit_status st = find_servers(store, deadline_ms, &found, &why);
    for (uint32_t i = 0; st == CKIT_OK && i < found.count; i++) {
        if (examine(&asker, server_at(store, &found, i), deadline_ms, &all) != CKIT_OK) {
            why = err;
        }
    }
    bool healthy = st == CKIT_OK && all.good == all.count;
    *out = (ckit_health){.healthy = healthy,
                         .latency_ms = healthy ? all.latency_ms : -1,
                         .entries = UINT64_MAX,
                         .bytes = healthy && all.bytes_known ? all.bytes : UINT64_MAX,
                         .limit_bytes = healthy && all.limit_known ? all.limit : UINT64_MAX};
    snprintf(out->backend_type, sizeof out->backend_type, "redis");
    ckiti_redis_ways_count(store, &out->connections, &out->connections_in_use);
    out->connections_max = store->address.pool_size * (store->cluster != NULL && all.count > 0 ? all.count : 1);
    if (st != CKIT_OK || (!healthy && store->cluster == NULL)) {
        snprintf(out->detail, sizeof out->detail, "%.159s", why.text);
    } else if (store->cluster != NULL) {
        describe_cluster(store, &all, &why, out);
    } else if (ckiti_redis_part_count(&asker) > 0) { /* a server may forbid it */
        ckiti_redis_part part = ckiti_redis_part_at(&asker, 0);
        describe_one(ckiti_redis_part_text(&asker, &part), out);
    }
    if (st == CKIT_OK) {
        leave_servers(&found);
    }
    ckiti_redis_asker_fini(&asker);
}

/* ---- stats ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *field;
    const char *name;
    bool        counter;
} rows[] = {{"keyspace_hits", "keyspace_hits", true},
            {"keyspace_misses", "keyspace_misses", true},
            {"expired_keys", "expired_keys", true},
            {"evicted_keys", "evicted_keys", true},
            {"total_commands_processed", "commands", true},
            {"total_connections_received", "connections", true},
            {"rejected_connections", "refused", true},
            {"connected_clients", "clients", false},
            {"tracking_clients", "watching", false},
            {"used_memory", "used_memory", false},
            {"maxmemory", "limit_memory", false}};
#define ROWS (sizeof rows / sizeof rows[0])

typedef struct figures {
    uint64_t values[ROWS];
    bool     known[ROWS];
    uint64_t keys;
    uint64_t uptime; /* the longest of all; seconds */
    bool     uptime_known;
} figures;

static ckit_status add_figures(ckiti_redis_asker *asker, ckiti_redis_node *node, uint64_t deadline_ms, figures *f) {
    static const char *const words[] = {"INFO", "DBSIZE"};
    asker->node = node;
    ckit_status      st = ask_words(asker, words, 2, deadline_ms);
    ckiti_redis_part part = ckiti_redis_part_at(asker, 0);
    ckiti_redis_part keys = ckiti_redis_part_at(asker, 1);
    ckit_slice       info = ckiti_redis_part_text(asker, &part);
    uint64_t         value = 0;
    if (st != CKIT_OK) {
        return st;
    }
    for (size_t i = 0; i < ROWS; i++) {
        if (info_number(info, rows[i].field, &value)) {
            f->values[i] += value;
            f->known[i] = true;
        }
    }
    f->keys += (uint64_t)keys.integer;
    if (info_number(info, "uptime_in_seconds", &value)) {
        f->uptime = value > f->uptime ? value : f->uptime;
        f->uptime_known = true;
    }
    return CKIT_OK;
}

/* Of all nodes together; they began to count when the first of them did. */
ckit_status ckiti_redis_stats(void *self, uint64_t deadline_ms, ckit_stat_fn each, void *context,
                              int64_t *since_wall_ms, ckit_error *err) {
    ckiti_redis_store *store = self;
    ckiti_redis_asker  asker;
    servers            found;
    figures            f = {.keys = 0};
    ckiti_redis_asker_init(&asker, store, err);
    *since_wall_ms = 0;
    ckit_status st = find_servers(store, deadline_ms, &found, err);
    if (st == CKIT_OK) {
        for (uint32_t i = 0; st == CKIT_OK && i < found.count; i++) {
            st = add_figures(&asker, server_at(store, &found, i), deadline_ms, &f);
        }
        leave_servers(&found);
    }
    if (st == CKIT_OK && f.uptime_known) {
        int64_t since = ckiti_wall_ms(store->clock) - (int64_t)f.uptime * 1000;
        *since_wall_ms = since > 0 ? since : 0;
    }
    for (size_t i = 0; st == CKIT_OK && i < ROWS; i++) {
        if (f.known[i]) {
            ckit_stat stat = {rows[i].name, rows[i].counter, f.values[i]};
            st = each(context, &stat);
        }
    }
    if (st == CKIT_OK) {
        ckit_stat stat = {"keys", false, f.keys};
        st = each(context, &stat);
    }
    ckiti_redis_asker_fini(&asker);
    return st;
}
