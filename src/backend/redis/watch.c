/* The thread of a watch and its link. */
#include "watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "failure.h"

#include <signal.h>
#include <string.h>

/* ---- the link ---------------------------------------------------------------------------------------------------- */

/* It can be interrupted from now on, or not any more. */
static void on_stream(void *self, ckiti_redis_stream *stream) {
    ckiti_redis_watch *w = self;
    pthread_mutex_lock(&w->lock);
    w->stream = stream;
    w->at.host[0] = '\0';
    if (stream != NULL && w->stop) {
        stream->ops->interrupt(stream);
    }
    pthread_mutex_unlock(&w->lock);
}

static void on_open(void *self, const ckiti_redis_connection *c, const ckiti_redis_endpoint *at) {
    ckiti_redis_watch *w = self;
    (void)c;
    pthread_mutex_lock(&w->lock);
    w->at = *at;
    pthread_mutex_unlock(&w->lock);
}

static bool same_place(const ckiti_redis_endpoint *a, const ckiti_redis_endpoint *b) {
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

void ckiti_redis_watch_reached(ckiti_redis_watch *w, const ckiti_redis_endpoint *at) {
    pthread_mutex_lock(&w->lock);
    if (w->stream == NULL) {
        w->hurry = true;
        pthread_cond_signal(&w->word);
    } else if (w->dial.masters_only && w->at.host[0] != '\0' && !same_place(&w->at, at)) {
        w->stream->ops->interrupt(w->stream); /* the master is another one now */
    }
    pthread_mutex_unlock(&w->lock);
}

/* Until when the server may be silent. */
static uint64_t patience(const ckiti_redis_watch *w) {
    uint64_t heard = w->connection.read_at_ms;
    uint32_t limit = w->dial.address->socket_timeout_ms;
    if (w->phase != CKITI_REDIS_WATCHING || w->asked) {
        return ckiti_time_after(w->asked_ms > heard ? w->asked_ms : heard, limit);
    }
    return ckiti_time_after(heard, CKITI_REDIS_WATCH_IDLE_MS);
}

/* Never CKIT_OK: why the link has ended. */
static ckit_status follow(ckiti_redis_watch *w, ckit_error *err) {
    w->asked = false;
    w->asked_ms = ckiti_system_monotonic_ms();
    ckit_status st = ckiti_redis_watch_ask(w, err);
    while (st == CKIT_OK) {
        st = ckiti_redis_connection_receive(&w->connection, patience(w), err);
        if (st == CKIT_OK) {
            w->asked = false;
            st = ckiti_redis_watch_take(w, err);
        } else if (st == CKIT_E_TIMEOUT && w->phase == CKITI_REDIS_WATCHING && !w->asked) {
            w->asked = true;
            w->asked_ms = ckiti_system_monotonic_ms();
            st = ckiti_redis_watch_ping(w, err);
        } else if (st == CKIT_E_TIMEOUT) {
            return ckiti_redis_late(err, "waiting for a sign of life");
        }
    }
    return st;
}

static void end_link(ckiti_redis_watch *w, bool stopping, const ckit_error *why) {
    uint64_t now = ckiti_system_monotonic_ms();
    bool     steady = w->guarded && now - w->guarded_ms >= CKITI_REDIS_WATCH_STEADY_MS;
    if (w->guarded && !stopping) {
        w->guarded = false;
        w->sink->lost(w->sink->self);
    }
    w->guarded = false;
    ckiti_redis_connection_close(&w->connection);
    if (steady) {
        ckiti_redis_backoff_succeeded(&w->backoff);
    } else {
        ckiti_redis_backoff_failed(&w->backoff, now, why);
    }
    if (!stopping && w->told != why->status) { /* once for each kind of failure */
        bool refused = why->status == CKIT_E_CREDENTIALS || why->status == CKIT_E_REJECTED;
        w->told = why->status;
        ckiti_log(w->log, refused ? CKIT_LOG_WARNING : CKIT_LOG_INFO, CKITI_REDIS_WHERE,
                  "nothing is heard of changes elsewhere, so memory keeps copies for a second only: %s", why->text);
    }
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static bool stopping(ckiti_redis_watch *w) {
    pthread_mutex_lock(&w->lock);
    bool stop = w->stop;
    pthread_mutex_unlock(&w->lock);
    return stop;
}

/* Waits until the next attempt is due; false at the end. */
static bool await_turn(ckiti_redis_watch *w) {
    uint64_t        next = w->backoff.next_ms;
    struct timespec until = {.tv_sec = (time_t)(next / 1000), .tv_nsec = (long)(next % 1000) * 1000000};
    pthread_mutex_lock(&w->lock);
    while (!w->stop && !w->hurry && ckiti_system_monotonic_ms() < next) {
        pthread_cond_timedwait(&w->word, &w->lock, &until);
    }
    w->hurry = false;
    bool go = !w->stop;
    pthread_mutex_unlock(&w->lock);
    return go;
}

static void *run(void *arg) {
    ckiti_redis_watch *w = arg;
    while (await_turn(w)) {
        ckit_error  why = CKIT_ERROR_INIT;
        uint64_t    until = ckiti_time_after(ckiti_system_monotonic_ms(), w->dial.address->connect_timeout_ms);
        ckit_status st = ckiti_redis_connection_open(&w->connection, until, &why);
        if (st == CKIT_OK) {
            (void)follow(w, &why);
        }
        end_link(w, stopping(w), &why);
    }
    return NULL;
}

/* The program's signals are not for this thread. */
void ckiti_redis_watch_start(ckiti_redis_watch *w) {
    sigset_t all, before;
    if (!atomic_exchange(&w->due, false)) {
        return;
    }
    sigfillset(&all);
    pthread_mutex_lock(&w->lock);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = w->running || w->stop ? 0 : pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->running = w->running || (code == 0 && !w->stop);
    pthread_mutex_unlock(&w->lock);
    if (code != 0) { /* memory keeps copies for a second until there is a thread */
        atomic_store(&w->due, true);
    }
}

/* ---- beginning and ending ---------------------------------------------------------------------------------------- */

ckit_status ckiti_redis_watch_init(ckiti_redis_watch *w, const ckiti_redis_dial *dial, const ckit_log *log,
                                   _Atomic int *publishing) {
    w->dial = *dial;
    w->dial.push = (ckiti_redis_push){NULL, NULL};
    w->dial.observer = (ckiti_redis_observer){.stream = on_stream, .opened = on_open, .self = w};
    w->prefix = ckit_slice_str(dial->address->key_prefix);
    w->log = log;
    w->publishing = publishing;
    pthread_mutex_init(&w->lock, NULL);
    ckiti_cond_init(&w->word);
    ckiti_redis_backoff_init(&w->backoff, dial->address->backoff_max_ms);
    ckit_buf_init(&w->long_text, dial->alloc);
    return ckiti_redis_connection_init(&w->connection, &w->dial);
}

void ckiti_redis_watch_begin(ckiti_redis_watch *w, const ckit_watch_sink *sink) {
    w->sink = sink;
    atomic_store(&w->due, true);
}

void ckiti_redis_watch_fini(ckiti_redis_watch *w) {
    if (w->dial.address == NULL) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    bool running = w->running;
    w->stop = true;
    pthread_cond_signal(&w->word);
    if (w->stream != NULL) {
        w->stream->ops->interrupt(w->stream);
    }
    pthread_mutex_unlock(&w->lock);
    if (running) {
        pthread_join(w->thread, NULL);
    }
    ckiti_redis_connection_fini(&w->connection);
    ckit_buf_fini(&w->long_text);
    ckiti_redis_backoff_fini(&w->backoff);
    pthread_cond_destroy(&w->word);
    pthread_mutex_destroy(&w->lock);
    w->dial.address = NULL;
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_redis_watch_before_fork(ckiti_redis_watch *w) {
    if (w->dial.address != NULL) {
        pthread_mutex_lock(&w->lock);
    }
}

void ckiti_redis_watch_after_fork(ckiti_redis_watch *w) {
    if (w->dial.address != NULL) {
        pthread_mutex_unlock(&w->lock);
    }
}

/* The thread stayed behind, wherever it was: what it alone uses is made anew, but for memory that it may hold. */
void ckiti_redis_watch_in_child(ckiti_redis_watch *w) {
    if (w->dial.address == NULL) {
        return;
    }
    if (w->stream != NULL) {
        w->stream->ops->forget(w->stream);
        w->stream = NULL;
    }
    w->connection.stream = NULL;
    ckiti_resp_reader_reset(&w->connection.reader);
    ckit_buf_init(&w->long_text, w->dial.alloc);
    ckiti_redis_backoff_init(&w->backoff, w->dial.address->backoff_max_ms);
    ckiti_cond_init(&w->word);
    w->at.host[0] = '\0';
    w->running = w->hurry = w->guarded = false;
    atomic_store(&w->due, w->sink != NULL && !w->stop);
    pthread_mutex_unlock(&w->lock);
}
