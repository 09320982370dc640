/* support/redis_cluster.h - a real cluster for tests: three masters and replicas of the first of them, each a
 * redis_server.
 *
 *     redis_cluster cluster;
 *     if (!redis_cluster_start(&cluster, 1, 500, why, sizeof why)) SKIP("%s", why);
 *     ... cluster.url ...
 *     redis_cluster_stop(&cluster); */
#ifndef CKIT_SUPPORT_REDIS_CLUSTER_H
#define CKIT_SUPPORT_REDIS_CLUSTER_H

#include "support/redis_server.h"

#define REDIS_CLUSTER_MASTERS 3
#define REDIS_CLUSTER_NODES 5

typedef struct redis_cluster {
    redis_server nodes[REDIS_CLUSTER_NODES]; /* the masters, then the replicas; all with the clock of the first */
    size_t       count;
    char         url[128]; /* redis+cluster://, with all masters */
    char         ids[REDIS_CLUSTER_NODES][48];
    char         bus[REDIS_CLUSTER_NODES][8];
    int          held[REDIS_CLUSTER_NODES]; /* sockets that keep others from these ports */
    char         timeout[24];
    char         certificates[512]; /* "": nothing is encrypted */
    const char  *arguments[REDIS_CLUSTER_NODES][14];
} redis_cluster;

/* Starts it and waits until all nodes say that it works. `timeout_ms`: how long a node may be silent before it is given
 * up. False with a reason when that cannot be. */
bool redis_cluster_start(redis_cluster *c, size_t replicas, uint64_t timeout_ms, char *why, size_t size);
/* The same without replicas, encrypted (redis_server_start_tls): the URL is rediss+cluster://, and nodes talk to each
 * other so too. Each has the machine's clock. */
bool redis_cluster_start_tls(redis_cluster *c, const char *certificates, uint64_t timeout_ms, char *why, size_t size);
void redis_cluster_stop(redis_cluster *c);

/* The node that has a slot now, as far as node `asked` knows. NULL: nobody. */
redis_server *redis_cluster_owner(redis_cluster *c, size_t asked, unsigned slot);
/* Gives the slot from one master to another, as resharding does, up to the point where its keys are moved; `end`
 * completes it. All keys must have been moved by then, with redis_cluster_move_keys. */
void redis_cluster_begin_move(redis_cluster *c, unsigned slot, size_t from, size_t to);
void redis_cluster_move_keys(redis_cluster *c, unsigned slot, size_t from, size_t to);
void redis_cluster_end_move(redis_cluster *c, unsigned slot, size_t from, size_t to);

#endif
