/* support/partition.h - a relay between clients and a server that loses what it is given: a process of its own, steered
 * through memory that both share.
 *
 *     partition relay;
 *     partition_start(&relay, 2, server.port);
 *     ... clients connect to relay.links[0].port and relay.links[1].port ...
 *     partition_set(&relay, 0, PARTITION_SILENT);    neither way anything passes; connections stay open
 *     partition_set(&relay, 0, PARTITION_NONE);      what waited goes on its way
 *     partition_cut(&relay, 0);                      its connections end, what they held is lost
 *     partition_stop(&relay);
 *
 * Uses no check macros. It ends with the process that started it. */
#ifndef CKIT_SUPPORT_PARTITION_H
#define CKIT_SUPPORT_PARTITION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PARTITION_LINKS 8u

typedef enum partition_kind {
    PARTITION_NONE,
    PARTITION_SILENT,  /* neither way */
    PARTITION_NO_ASKS, /* what the client sends does not arrive; answers do */
    PARTITION_NO_ANSWERS
} partition_kind;

typedef struct partition_link {
    uint16_t         port;
    int              listener; /* the relay's own */
    _Atomic int      kind;
    _Atomic uint32_t cuts;
} partition_link;

typedef struct partition {
    pid_t           pid;
    unsigned        count;
    partition_link *links; /* shared */
} partition;

/* False when it cannot. */
bool partition_start(partition *p, unsigned links, uint16_t server_port);
void partition_set(partition *p, unsigned link, partition_kind kind);
void partition_cut(partition *p, unsigned link);
/* Accepts zeroed memory. */
void partition_stop(partition *p);

#endif
