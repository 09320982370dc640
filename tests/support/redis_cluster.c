#include "support/redis_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 16384u
#define TRIES 1500 /* of 20 ms */

static void pause_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

static bool tell(redis_cluster *c, size_t node, const char *line) {
    char answer[256];
    return strcmp("+OK", redis_server_tell(&c->nodes[node], line, answer)) == 0;
}

static bool start_node(redis_cluster *c, size_t i, char *why, size_t size) {
    bool              encrypted = c->certificates[0] != '\0';
    const char *const arguments[] = {"--cluster-enabled",
                                     "yes",
                                     "--cluster-config-file",
                                     "nodes.conf",
                                     "--cluster-node-timeout",
                                     c->timeout,
                                     "--cluster-port",
                                     c->bus[i],
                                     "--repl-diskless-sync-delay",
                                     "0",
                                     encrypted ? "--tls-cluster" : NULL,
                                     "yes",
                                     NULL};
    memcpy(c->arguments[i], arguments, sizeof arguments);
    uint16_t bus;
    c->held[i] = redis_server_hold_port(&bus);
    snprintf(c->bus[i], sizeof c->bus[i], "%u", bus);
    bool started = encrypted ? redis_server_start_tls(&c->nodes[i], c->certificates, c->arguments[i], why, size)
                   : i == 0  ? redis_server_start(&c->nodes[i], c->arguments[i], why, size)
                             : redis_server_start_beside(&c->nodes[i], &c->nodes[0], c->arguments[i], why, size);
    c->count += started;
    if (started) {
        redis_server_ask(&c->nodes[i], "CLUSTER MYID", c->ids[i], sizeof c->ids[i]);
    }
    return started;
}

static bool is_up(redis_cluster *c, size_t node, size_t known) {
    char info[2048], line[48];
    redis_server_ask(&c->nodes[node], "CLUSTER INFO", info, sizeof info);
    snprintf(line, sizeof line, "cluster_known_nodes:%zu\r", known);
    return strstr(info, "cluster_state:ok") != NULL && strstr(info, line) != NULL;
}

static bool wait_until_up(redis_cluster *c) {
    for (int tries = 0; tries < TRIES; tries++) {
        size_t up = 0;
        for (size_t i = 0; i < c->count; i++) {
            up += is_up(c, i, c->count);
        }
        if (up == c->count) {
            return true;
        }
        pause_ms(20);
    }
    return false;
}

static unsigned port_of(const redis_cluster *c, size_t node) {
    return c->certificates[0] != '\0' ? c->nodes[node].tls_port : c->nodes[node].port;
}

static bool join(redis_cluster *c) {
    char line[128];
    bool good = true;
    for (size_t i = 0; i < REDIS_CLUSTER_MASTERS; i++) {
        snprintf(line, sizeof line, "CLUSTER ADDSLOTSRANGE %zu %zu", i * SLOTS / REDIS_CLUSTER_MASTERS,
                 (i + 1) * SLOTS / REDIS_CLUSTER_MASTERS - 1);
        good = good && tell(c, i, line);
    }
    for (size_t i = 0; i < c->count; i++) {
        snprintf(line, sizeof line, "CLUSTER SET-CONFIG-EPOCH %zu", i + 1);
        good = good && tell(c, i, line);
        snprintf(line, sizeof line, "CLUSTER MEET 127.0.0.1 %u %s", port_of(c, 0), c->bus[0]);
        good = good && (i == 0 || tell(c, i, line));
    }
    return good;
}

static bool follow(redis_cluster *c) {
    char line[128], info[4096];
    for (size_t i = REDIS_CLUSTER_MASTERS; i < c->count; i++) {
        snprintf(line, sizeof line, "CLUSTER REPLICATE %s", c->ids[0]);
        if (!tell(c, i, line)) {
            return false;
        }
        int tries = 0;
        do {
            pause_ms(20);
            redis_server_ask(&c->nodes[i], "INFO replication", info, sizeof info);
        } while (strstr(info, "master_link_status:up") == NULL && ++tries < TRIES);
    }
    return true;
}

static bool start_all(redis_cluster *c, size_t replicas, uint64_t timeout_ms, char *why, size_t size) {
    snprintf(c->timeout, sizeof c->timeout, "%llu", (unsigned long long)timeout_ms);
    for (size_t i = 0; i < REDIS_CLUSTER_MASTERS + replicas; i++) {
        if (!start_node(c, i, why, size)) {
            redis_cluster_stop(c);
            return false;
        }
    }
    if (!join(c) || !wait_until_up(c) || !follow(c) || !wait_until_up(c)) {
        snprintf(why, size, "the servers make no cluster");
        redis_cluster_stop(c);
        return false;
    }
    snprintf(c->url, sizeof c->url, "redis%s+cluster://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u",
             c->certificates[0] != '\0' ? "s" : "", port_of(c, 0), port_of(c, 1), port_of(c, 2));
    return true;
}

bool redis_cluster_start(redis_cluster *c, size_t replicas, uint64_t timeout_ms, char *why, size_t size) {
    memset(c, 0, sizeof *c);
    return start_all(c, replicas, timeout_ms, why, size);
}

bool redis_cluster_start_tls(redis_cluster *c, const char *certificates, uint64_t timeout_ms, char *why, size_t size) {
    memset(c, 0, sizeof *c);
    snprintf(c->certificates, sizeof c->certificates, "%s", certificates);
    return start_all(c, 0, timeout_ms, why, size);
}

void redis_cluster_stop(redis_cluster *c) {
    for (size_t i = c->count; i > 0; i--) { /* the first one has the clock of all */
        redis_server_stop(&c->nodes[i - 1]);
    }
    for (size_t i = 0; i < REDIS_CLUSTER_NODES; i++) {
        if (c->held[i] > 0) {
            close(c->held[i]);
            c->held[i] = 0;
        }
    }
    c->count = 0;
}

redis_server *redis_cluster_owner(redis_cluster *c, size_t asked, unsigned slot) {
    static char text[65536];
    redis_server_ask(&c->nodes[asked], "CLUSTER NODES", text, sizeof text);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char id[48] = "";
        memcpy(id, line, strlen(line) < 40 ? strlen(line) : 40);
        char *range = line;
        for (int word = 0; word < 8 && range != NULL; word++) {
            range = strchr(range, ' ');
            range = range == NULL ? NULL : range + 1;
        }
        for (; range != NULL && *range != '['; range = strchr(range, ' '), range = range == NULL ? NULL : range + 1) {
            unsigned long first = strtoul(range, &range, 10);
            unsigned long last = *range == '-' ? strtoul(range + 1, &range, 10) : first;
            for (size_t i = 0; i < c->count && slot >= first && slot <= last; i++) {
                if (strcmp(c->ids[i], id) == 0) {
                    return &c->nodes[i];
                }
            }
        }
    }
    return NULL;
}

void redis_cluster_begin_move(redis_cluster *c, unsigned slot, size_t from, size_t to) {
    char line[128];
    snprintf(line, sizeof line, "CLUSTER SETSLOT %u IMPORTING %s", slot, c->ids[from]);
    (void)tell(c, to, line);
    snprintf(line, sizeof line, "CLUSTER SETSLOT %u MIGRATING %s", slot, c->ids[to]);
    (void)tell(c, from, line);
}

void redis_cluster_move_keys(redis_cluster *c, unsigned slot, size_t from, size_t to) {
    char line[256], answer[256];
    for (;;) {
        snprintf(line, sizeof line, "CLUSTER COUNTKEYSINSLOT %u", slot);
        if (strcmp(":0", redis_server_tell(&c->nodes[from], line, answer)) == 0) {
            return;
        }
        char key[160] = "";
        /* "*1", "$LEN" and the key: asked as a script, whose answer is one text */
        snprintf(line, sizeof line, "EVAL \"return redis.call('CLUSTER','GETKEYSINSLOT','%u','1')[1]\" 0", slot);
        redis_server_ask(&c->nodes[from], line, key, sizeof key);
        if (key[0] == '\0') {
            return;
        }
        snprintf(line, sizeof line, "MIGRATE 127.0.0.1 %u %s 0 5000", c->nodes[to].port, key);
        (void)tell(c, from, line);
    }
}

void redis_cluster_end_move(redis_cluster *c, unsigned slot, size_t from, size_t to) {
    char line[128];
    snprintf(line, sizeof line, "CLUSTER SETSLOT %u NODE %s", slot, c->ids[to]);
    (void)tell(c, to, line);
    (void)tell(c, from, line);
    for (size_t i = 0; i < REDIS_CLUSTER_MASTERS; i++) {
        (void)tell(c, i, line);
    }
}
