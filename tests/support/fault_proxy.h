/* support/fault_proxy.h - stands between clients and a Redis server and does to them what networks and servers do:
 * delays, silence, cut answers, errors, refused and lost connections. Answers are passed on as whole frames of RESP, so
 * an error can take the place of any of them, also of one whose command the server has carried out.
 *
 * Listens on a free port of the loopback interface; one thread; up to 512 connections. Everything may be changed at any
 * time. Uses no check macros, so that programs without them can use it. */
#ifndef CKIT_SUPPORT_FAULT_PROXY_H
#define CKIT_SUPPORT_FAULT_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FAULT_PROXY_CLIENTS 512

struct fault_link;
typedef struct fault_proxy {
    /* What it is to do; all zero: nothing. */
    _Atomic uint32_t delay_ms;      /* each answer comes later by this */
    _Atomic bool     stalls;        /* nothing passes in either direction; what was sent arrives afterwards */
    _Atomic bool     refuses;       /* connections are closed, and new ones at once */
    _Atomic uint64_t holds;         /* as `stalls`, but only for the first so many connections that it accepted */
    _Atomic uint32_t error_percent; /* of the answers are errors instead */
    _Atomic uint32_t cut_at;        /* each connection is closed after so many bytes of answers; 0: never */

    /* What it saw. */
    _Atomic uint64_t accepted;
    _Atomic uint64_t answers;
    _Atomic uint64_t errors; /* of them that were replaced */
    _Atomic uint64_t cut;

    uint16_t           port;
    uint16_t           target;
    int                listener;
    int                wake[2];
    uint64_t           drawn;
    pthread_t          thread;
    _Atomic uint64_t   turns; /* of it, ended so far */
    _Atomic bool       stopping;
    struct fault_link *links;
} fault_proxy;

/* To the server on this port. False when it cannot. */
bool fault_proxy_start(fault_proxy *proxy, uint16_t target);
void fault_proxy_stop(fault_proxy *proxy);
/* What is set is in force when this returns: connections that are to be refused are closed. */
void fault_proxy_apply(fault_proxy *proxy);
/* No fault any more. */
void fault_proxy_heal(fault_proxy *proxy);

#endif
