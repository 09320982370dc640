#include "cache/queue.h"

#include "cache/call.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const char where[] = "poll";

/* ---- opening, closing, fork ----------------------------------------------------------------------------------- */

static ckit_poll *poll_of(ckiti_poll_hooks *hooks) { return (ckit_poll *)(void *)hooks; }

static void fork_prepare(ckiti_poll_hooks *hooks) { pthread_mutex_lock(&poll_of(hooks)->mu); }

static void fork_parent(ckiti_poll_hooks *hooks) { pthread_mutex_unlock(&poll_of(hooks)->mu); }

static void fork_child(ckiti_poll_hooks *hooks) {
    ckit_poll *poll = poll_of(hooks);
    pthread_mutex_init(&poll->mu, NULL);
    pthread_cond_init(&poll->returned, NULL);
    poll->abandoned = 0;
    poll->inherited = true;
}

static void add_to_cache(ckit_poll *poll) {
    ckit_cache *cache = poll->cache;
    poll->hooks =
        (ckiti_poll_hooks){.fork_prepare = fork_prepare, .fork_parent = fork_parent, .fork_child = fork_child};
    pthread_mutex_lock(&cache->mu);
    poll->hooks.next = cache->polls;
    if (cache->polls != NULL) {
        cache->polls->prev = &poll->hooks;
    }
    cache->polls = &poll->hooks;
    pthread_mutex_unlock(&cache->mu);
}

static void remove_from_cache(ckit_poll *poll) {
    ckit_cache *cache = poll->cache;
    pthread_mutex_lock(&cache->mu);
    if (poll->hooks.prev != NULL) {
        poll->hooks.prev->next = poll->hooks.next;
    } else {
        cache->polls = poll->hooks.next;
    }
    if (poll->hooks.next != NULL) {
        poll->hooks.next->prev = poll->hooks.prev;
    }
    pthread_mutex_unlock(&cache->mu);
}

ckit_status ckit_poll_new(ckit_cache *cache, ckit_poll **out, ckit_error *err) {
    if (cache == NULL || out == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, where, cache == NULL ? "there is no cache" : "no place for the queue");
    }
    *out = NULL;
    ckit_poll *poll = ckiti_alloc_zeroed(cache->alloc, 1, sizeof *poll);
    if (poll == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a completion queue");
    }
    poll->cache = cache;
    poll->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (poll->fd < 0) {
        int reason = errno;
        ckiti_free(cache->alloc, poll, sizeof *poll);
        return ckit_fail_errno(err, CKIT_E_IO, reason, where, "no descriptor for a completion queue");
    }
    pthread_mutex_init(&poll->mu, NULL);
    pthread_cond_init(&poll->returned, NULL);
    add_to_cache(poll);
    *out = poll;
    return CKIT_OK;
}

void ckit_poll_close(ckit_poll *poll) {
    if (poll == NULL) {
        return;
    }
    pthread_mutex_lock(&poll->mu);
    while (poll->abandoned > 0) { /* each ends with its present step, which the store's timeout bounds */
        pthread_cond_wait(&poll->returned, &poll->mu);
    }
    pthread_mutex_unlock(&poll->mu);
    remove_from_cache(poll);
    close(poll->fd);
    pthread_cond_destroy(&poll->returned);
    pthread_mutex_destroy(&poll->mu);
    ckiti_free(poll->cache->alloc, poll, sizeof *poll);
}

int ckit_poll_fd(const ckit_poll *poll) { return poll != NULL ? poll->fd : -1; }

/* ---- the queue ------------------------------------------------------------------------------------------------- */

static void make_readable(const ckit_poll *poll) {
    uint64_t one = 1;
    while (write(poll->fd, &one, sizeof one) < 0 && errno == EINTR) {}
}

/* With the lock held. */
static void link_ready(ckit_poll *poll, ckiti_queued *queued) {
    queued->place = CKITI_PLACE_READY;
    queued->next = NULL;
    queued->prev = poll->last;
    if (poll->last != NULL) {
        poll->last->next = queued;
    } else {
        poll->first = queued;
        make_readable(poll);
    }
    poll->last = queued;
    poll->ready++;
}

void ckiti_poll_unlink(ckiti_queued *queued) {
    ckit_poll *poll = queued->poll;
    if (queued->prev != NULL) {
        queued->prev->next = queued->next;
    } else {
        poll->first = queued->next;
    }
    if (queued->next != NULL) {
        queued->next->prev = queued->prev;
    } else {
        poll->last = queued->prev;
    }
    poll->ready--;
    queued->place = CKITI_PLACE_HELD;
}

bool ckiti_poll_enqueue(ckiti_queued *queued, ckit_status answer) {
    ckit_poll *poll = queued->poll;
    pthread_mutex_lock(&poll->mu);
    bool wanted = !queued->cancelled;
    if (wanted) {
        queued->answer = answer;
        link_ready(poll, queued);
    }
    pthread_mutex_unlock(&poll->mu);
    return wanted;
}

static ckiti_queued *next_ready(ckit_poll *poll) {
    pthread_mutex_lock(&poll->mu);
    ckiti_queued *queued = poll->first;
    if (queued != NULL) {
        ckiti_poll_unlink(queued);
    }
    pthread_mutex_unlock(&poll->mu);
    return queued;
}

size_t ckit_poll_dispatch(ckit_poll *poll) {
    uint64_t drained;
    size_t   count = 0;
    if (poll == NULL || poll->inherited) {
        return 0; /* the descriptor is shared with the parent */
    }
    while (read(poll->fd, &drained, sizeof drained) < 0 && errno == EINTR) {}
    pthread_mutex_lock(&poll->mu);
    size_t most = poll->ready; /* what arrives while we work is for the next round */
    pthread_mutex_unlock(&poll->mu);
    for (ckiti_queued *queued; count < most && (queued = next_ready(poll)) != NULL; count++) {
        queued->deliver(queued);
    }
    pthread_mutex_lock(&poll->mu);
    if (poll->first != NULL) { /* the descriptor was drained above */
        make_readable(poll);
    }
    pthread_mutex_unlock(&poll->mu);
    return count;
}

/* ---- what is freed while somebody has it ------------------------------------------------------------------------- */

bool ckiti_poll_is_abandoned(const ckiti_queued *queued) {
    pthread_mutex_lock(&queued->poll->mu);
    bool abandoned = queued->cancelled;
    pthread_mutex_unlock(&queued->poll->mu);
    return abandoned;
}

void ckiti_poll_leave(ckit_poll *poll, ckit_function *function) {
    ckiti_function_hold(function);
    pthread_mutex_lock(&poll->mu);
    poll->abandoned++;
    pthread_mutex_unlock(&poll->mu);
}

void ckiti_poll_returned(ckit_poll *poll, ckit_function *function) {
    ckiti_function_let_go(function);
    pthread_mutex_lock(&poll->mu);
    poll->abandoned--;
    pthread_cond_broadcast(&poll->returned);
    pthread_mutex_unlock(&poll->mu);
}

bool ckiti_poll_reclaim(ckiti_queued *queued, ckit_function *function, bool here, ckiti_job *job, bool goes_on) {
    ckit_poll *poll = queued->poll;
    ckiti_function_hold(function);
    pthread_mutex_lock(&poll->mu);
    if (queued->place == CKITI_PLACE_READY) {
        ckiti_poll_unlink(queued);
    }
    here = here || queued->place == CKITI_PLACE_HELD || (!goes_on && ckiti_workers_cancel(&poll->cache->workers, job));
    if (!here) {
        queued->cancelled = true;
        poll->abandoned++;
        ckiti_workers_hurry(&poll->cache->workers, job); /* if it goes on, then now */
    }
    pthread_mutex_unlock(&poll->mu);
    if (here) {
        ckiti_function_let_go(function);
    }
    return here;
}

void ckiti_poll_reclaim_inherited(ckiti_queued *queued) {
    pthread_mutex_lock(&queued->poll->mu);
    if (queued->place == CKITI_PLACE_READY) {
        ckiti_poll_unlink(queued);
    }
    pthread_mutex_unlock(&queued->poll->mu);
}
