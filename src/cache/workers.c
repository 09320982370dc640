#include "cache/workers.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <signal.h>
#include <time.h>

/* The longest sleep without looking at the instance's clock, which need not be the system's. */
#define LONGEST_SLEEP_MS 1000u

/* How many threads there may be, with those for jobs that have stepped aside. */
static size_t most_threads(const ckiti_workers *workers) { return 2 * workers->max_threads; }

static void init_sync(ckiti_workers *workers) {
    pthread_mutex_init(&workers->mu, NULL);
    ckiti_cond_init(&workers->work);
    ckiti_cond_init(&workers->finished);
}

ckit_status ckiti_workers_init(ckiti_workers *workers, size_t max_threads, size_t max_jobs, const ckit_clock *clock,
                               const ckit_alloc *alloc) {
    *workers = (ckiti_workers){
        .clock = clock, .alloc = alloc, .max_jobs = max_jobs, .max_threads = max_threads, .stopping = true};
    init_sync(workers);
    workers->heap = ckiti_alloc_zeroed(alloc, max_jobs, sizeof workers->heap[0]);
    workers->threads = ckiti_alloc_zeroed(alloc, most_threads(workers), sizeof workers->threads[0]);
    workers->running = ckiti_alloc_zeroed(alloc, most_threads(workers), sizeof workers->running[0]);
    if (workers->heap == NULL || workers->threads == NULL || workers->running == NULL) {
        return CKIT_E_NO_MEMORY;
    }
    workers->stopping = false;
    return CKIT_OK;
}

/* ---- the heap ---------------------------------------------------------------------------------------------- */

static void place(ckiti_workers *workers, size_t at, ckiti_job *job) {
    workers->heap[at] = job;
    job->slot = at + 1;
}

static void sift_up(ckiti_workers *workers, size_t at, ckiti_job *job) {
    while (at > 0 && workers->heap[(at - 1) / 2]->due_ms > job->due_ms) {
        place(workers, at, workers->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(workers, at, job);
}

static void sift_down(ckiti_workers *workers, size_t at, ckiti_job *job) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < workers->count && workers->heap[child + 1]->due_ms < workers->heap[child]->due_ms) {
            child++;
        }
        if (child >= workers->count || workers->heap[child]->due_ms >= job->due_ms) {
            break;
        }
        place(workers, at, workers->heap[child]);
        at = child;
    }
    place(workers, at, job);
}

static void take_out(ckiti_workers *workers, ckiti_job *job) {
    size_t     at = job->slot - 1;
    ckiti_job *last = workers->heap[--workers->count];
    job->slot = 0;
    if (last != job) {
        if (at > 0 && workers->heap[(at - 1) / 2]->due_ms > last->due_ms) {
            sift_up(workers, at, last);
        } else {
            sift_down(workers, at, last);
        }
    }
}

/* ---- the threads ------------------------------------------------------------------------------------------- */

static void sleep_until(ckiti_workers *workers, uint64_t ms) {
    struct timespec until = ckiti_real_time_in(ms < LONGEST_SLEEP_MS ? ms : LONGEST_SLEEP_MS);
    pthread_cond_timedwait(&workers->work, &workers->mu, &until);
}

/* The earliest job when it is due; waits for one. NULL when the pool stops. */
static ckiti_job *next_job(ckiti_workers *workers) {
    while (!workers->stopping) {
        uint64_t now = ckiti_now_ms(workers->clock);
        if (workers->count > 0 && workers->heap[0]->due_ms <= now) {
            ckiti_job *job = workers->heap[0];
            take_out(workers, job);
            return job;
        }
        workers->idle++;
        if (workers->count > 0) {
            sleep_until(workers, workers->heap[0]->due_ms - now);
        } else {
            pthread_cond_wait(&workers->work, &workers->mu);
        }
        workers->idle--;
    }
    return NULL;
}

static void *work(void *arg) {
    ckiti_workers *workers = arg;
    pthread_mutex_lock(&workers->mu);
    size_t self = 0;
    while (!pthread_equal(workers->threads[self], pthread_self())) {
        self++;
    }
    for (ckiti_job *job; (job = next_job(workers)) != NULL;) {
        workers->running[self] = job;
        pthread_mutex_unlock(&workers->mu);
        job->run(job);
        pthread_mutex_lock(&workers->mu);
        workers->running[self] = NULL;
        pthread_cond_broadcast(&workers->finished);
    }
    pthread_mutex_unlock(&workers->mu);
    return NULL;
}

/* With the lock held, so that the new thread finds itself in the table. Signals stay with the program's threads. */
static bool start_thread(ckiti_workers *workers) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&workers->threads[workers->thread_count], NULL, work, workers) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
        workers->thread_count++;
    }
    return started;
}

/* One more may run, and a thread that is idle, or that can be started, is left for it. */
static bool has_thread(const ckiti_workers *workers) {
    size_t busy = workers->count;
    for (size_t i = 0; i < workers->thread_count; i++) {
        busy += workers->running[i] != NULL;
    }
    return busy < workers->max_threads + workers->aside &&
           (workers->idle > workers->count || workers->thread_count < most_threads(workers));
}

/* `now`: for a thread that is free, waiting for one until `until` if that is not NULL. */
static ckit_status submit(ckiti_workers *workers, ckiti_job *job, uint64_t due_ms, bool now,
                          const struct timespec *until) {
    ckit_status st = CKIT_OK;
    int         waited = 0;
    pthread_mutex_lock(&workers->mu);
    while (until != NULL && waited == 0 && !workers->stopping && !has_thread(workers)) {
        waited = pthread_cond_timedwait(&workers->finished, &workers->mu, until);
    }
    if (workers->stopping) {
        st = CKIT_E_CLOSED;
    } else if (workers->count == workers->max_jobs || (now && !has_thread(workers))) {
        st = CKIT_E_BUSY;
    } else {
        size_t most = now ? most_threads(workers) : workers->max_threads;
        if (workers->idle <= workers->count && workers->thread_count < most && !start_thread(workers) &&
            (now || workers->thread_count == 0)) {
            st = CKIT_E_NO_MEMORY;
        }
        if (st == CKIT_OK) {
            job->due_ms = due_ms;
            sift_up(workers, workers->count++, job);
            pthread_cond_signal(&workers->work);
        }
    }
    pthread_mutex_unlock(&workers->mu);
    return st;
}

ckit_status ckiti_workers_submit(ckiti_workers *workers, ckiti_job *job, uint64_t due_ms) {
    return submit(workers, job, due_ms, false, NULL);
}

ckit_status ckiti_workers_submit_now(ckiti_workers *workers, ckiti_job *job) {
    return submit(workers, job, 0, true, NULL);
}

ckit_status ckiti_workers_submit_by(ckiti_workers *workers, ckiti_job *job, struct timespec until) {
    return submit(workers, job, 0, true, &until);
}

void ckiti_workers_step_aside(ckiti_workers *workers) {
    pthread_mutex_lock(&workers->mu);
    workers->aside++;
    pthread_cond_broadcast(&workers->finished);
    pthread_mutex_unlock(&workers->mu);
}

void ckiti_workers_step_back(ckiti_workers *workers) {
    pthread_mutex_lock(&workers->mu);
    workers->aside -= workers->aside > 0; /* a forked child has forgotten it */
    pthread_mutex_unlock(&workers->mu);
}

bool ckiti_workers_cancel(ckiti_workers *workers, ckiti_job *job) {
    pthread_mutex_lock(&workers->mu);
    bool waiting = job->slot != 0;
    if (waiting) {
        take_out(workers, job);
    }
    pthread_mutex_unlock(&workers->mu);
    return waiting;
}

void ckiti_workers_hurry(ckiti_workers *workers, ckiti_job *job) {
    pthread_mutex_lock(&workers->mu);
    if (job->slot != 0) {
        take_out(workers, job);
        job->due_ms = 0;
        sift_up(workers, workers->count++, job);
        pthread_cond_signal(&workers->work);
    }
    pthread_mutex_unlock(&workers->mu);
}

/* In another thread. */
static bool is_running(const ckiti_workers *workers, const ckiti_job *job) {
    for (size_t i = 0; i < workers->thread_count; i++) {
        if (workers->running[i] == job && !pthread_equal(workers->threads[i], pthread_self())) {
            return true;
        }
    }
    return false;
}

void ckiti_workers_cancel_wait(ckiti_workers *workers, ckiti_job *job) {
    pthread_mutex_lock(&workers->mu);
    if (job->slot != 0) {
        take_out(workers, job);
    }
    while (is_running(workers, job)) {
        pthread_cond_wait(&workers->finished, &workers->mu);
    }
    pthread_mutex_unlock(&workers->mu);
}

void ckiti_workers_stop(ckiti_workers *workers) {
    pthread_mutex_lock(&workers->mu);
    workers->stopping = true;
    while (workers->count > 0) {
        take_out(workers, workers->heap[0]);
    }
    pthread_cond_broadcast(&workers->work);
    size_t count = workers->thread_count;
    pthread_mutex_unlock(&workers->mu);
    for (size_t i = 0; i < count; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    workers->thread_count = 0;
}

void ckiti_workers_fini(ckiti_workers *workers) {
    ckiti_free(workers->alloc, workers->heap, workers->max_jobs * sizeof workers->heap[0]);
    ckiti_free(workers->alloc, workers->threads, most_threads(workers) * sizeof workers->threads[0]);
    ckiti_free(workers->alloc, workers->running, most_threads(workers) * sizeof workers->running[0]);
    pthread_cond_destroy(&workers->work);
    pthread_cond_destroy(&workers->finished);
    pthread_mutex_destroy(&workers->mu);
}

void ckiti_workers_fork_prepare(ckiti_workers *workers) { pthread_mutex_lock(&workers->mu); }
void ckiti_workers_fork_parent(ckiti_workers *workers) { pthread_mutex_unlock(&workers->mu); }

void ckiti_workers_fork_child(ckiti_workers *workers) {
    init_sync(workers);
    for (size_t i = 0; i < workers->thread_count; i++) {
        workers->running[i] = NULL;
    }
    workers->thread_count = 0;
    workers->idle = workers->aside = 0;
}

void ckiti_workers_drop_jobs(ckiti_workers *workers) {
    pthread_mutex_lock(&workers->mu);
    while (workers->count > 0) {
        ckiti_job *job = workers->heap[0];
        take_out(workers, job);
        if (job->dropped != NULL) {
            pthread_mutex_unlock(&workers->mu);
            job->dropped(job);
            pthread_mutex_lock(&workers->mu);
        }
    }
    pthread_mutex_unlock(&workers->mu);
}
