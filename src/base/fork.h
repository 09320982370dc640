/* base/fork.h - who must be told when the process forks.
 *
 * The only process-wide state of the library. Before fork the registered owners take their locks, newest owner first,
 * so that none is held by a thread that the child does not have; afterwards parent and child release them, and the
 * child also forgets threads, waiters and connections that stayed behind. An owner registers after everything it is
 * built on, which makes the order of taking locks the order of calls: from the top down. */
#ifndef CKITI_BASE_FORK_H
#define CKITI_BASE_FORK_H

typedef struct ckiti_fork_hooks {
    void (*prepare)(void *self); /* take every lock */
    void (*parent)(void *self);  /* release them */
    void (*child)(void *self);   /* release or re-make them; forget other threads */
    void                    *self;
    struct ckiti_fork_hooks *older; /* private */
    struct ckiti_fork_hooks *newer; /* private */
} ckiti_fork_hooks;

/* `hooks` stays where it is until it is unregistered. Never fails. */
void ckiti_fork_register(ckiti_fork_hooks *hooks);
/* Accepts hooks that were never registered (zeroed). */
void ckiti_fork_unregister(ckiti_fork_hooks *hooks);

#endif
