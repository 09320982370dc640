/* cache/workers.h - a bounded pool of threads for what must not run in the caller's thread.
 *
 * Threads start when there is work and stay until the pool stops. A job may be due later, so the pool is the timer too.
 * Nothing is allocated to submit a job: it is part of what it works on. */
#ifndef CKITI_CACHE_WORKERS_H
#define CKITI_CACHE_WORKERS_H

#include <cachekit/error.h>
#include <cachekit/types.h>
#include <pthread.h>
#include <time.h>

typedef struct ckiti_job {
    void (*run)(struct ckiti_job *job); /* in a worker thread; the job may be submitted again, or freed, from inside */
    uint64_t due_ms;
    size_t   slot; /* its place in the heap + 1; 0 = not waiting */
    /* Instead of `run` in a forked child, for jobs that nobody else holds. May be NULL. */
    void (*dropped)(struct ckiti_job *job);
} ckiti_job;

typedef struct ckiti_workers {
    pthread_mutex_t   mu; /* guards everything below; a leaf, not held while a job runs */
    pthread_cond_t    work;
    pthread_cond_t    finished;
    const ckit_clock *clock;
    const ckit_alloc *alloc;
    ckiti_job       **heap; /* by due_ms, earliest first */
    size_t            count;
    size_t            max_jobs;
    pthread_t        *threads;
    ckiti_job       **running; /* per thread: what it runs */
    size_t            thread_count;
    size_t            max_threads; /* twice as many while others step aside */
    size_t            idle;
    size_t            aside;
    bool              stopping;
} ckiti_workers;

ckit_status ckiti_workers_init(ckiti_workers *workers, size_t max_threads, size_t max_jobs, const ckit_clock *clock,
                               const ckit_alloc *alloc);
/* Drops what waits, waits for what runs, ends the threads. After it submit refuses. */
void ckiti_workers_stop(ckiti_workers *workers);
void ckiti_workers_fini(ckiti_workers *workers);

/* CKIT_E_BUSY when the queue is full, CKIT_E_CLOSED when stopping, CKIT_E_NO_MEMORY when no thread can be started. The
 * job must not be waiting already. */
ckit_status ckiti_workers_submit(ckiti_workers *workers, ckiti_job *job, uint64_t due_ms);
/* For a job that must not wait: CKIT_E_BUSY when every thread has something to do. */
ckit_status ckiti_workers_submit_now(ckiti_workers *workers, ckiti_job *job);
/* The same, but waits for a thread that is free, until a point of CLOCK_MONOTONIC. */
ckit_status ckiti_workers_submit_by(ckiti_workers *workers, ckiti_job *job, struct timespec until);
/* The calling job waits for what may wait for a thread itself (submit_by): until step_back another one may run. */
void ckiti_workers_step_aside(ckiti_workers *workers);
void ckiti_workers_step_back(ckiti_workers *workers);
/* True when the job was waiting and is so no more. False when it runs or is over. */
bool ckiti_workers_cancel(ckiti_workers *workers, ckiti_job *job);
/* A job that waits is due now. Nothing happens to one that runs or is over. */
void ckiti_workers_hurry(ckiti_workers *workers, ckiti_job *job);
/* As cancel, and waits until a run that is under way in another thread is over. Only for jobs that are short. */
void ckiti_workers_cancel_wait(ckiti_workers *workers, ckiti_job *job);

void ckiti_workers_fork_prepare(ckiti_workers *workers);
void ckiti_workers_fork_parent(ckiti_workers *workers);
/* The threads stayed behind. */
void ckiti_workers_fork_child(ckiti_workers *workers);
/* Afterwards, when no lock is held any more: jobs that wait are the parent's to run, and are dropped here. */
void ckiti_workers_drop_jobs(ckiti_workers *workers);

#endif
