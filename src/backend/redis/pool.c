#include "pool.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "failure.h"

#include <errno.h>

void ckiti_redis_pool_init(ckiti_redis_pool *pool, const ckiti_redis_dial *dial, ckiti_redis_backoff *backoff,
                           uint32_t limit) {
    *pool = (ckiti_redis_pool){.dial = dial, .backoff = backoff, .limit = limit};
    pthread_mutex_init(&pool->lock, NULL);
    ckiti_cond_init(&pool->given_back);
}

static void free_one(ckiti_redis_pool *pool, ckiti_redis_pooled *one) {
    ckiti_redis_connection_fini(&one->connection);
    ckit_buf_fini(&one->scratch);
    ckiti_free(pool->dial->alloc, one, sizeof *one);
}

void ckiti_redis_pool_fini(ckiti_redis_pool *pool) {
    if (pool->dial == NULL) {
        return;
    }
    while (pool->all != NULL) {
        ckiti_redis_pooled *one = pool->all;
        pool->all = one->next;
        free_one(pool, one);
    }
    pthread_cond_destroy(&pool->given_back);
    pthread_mutex_destroy(&pool->lock);
    pool->dial = NULL;
}

void ckiti_redis_pool_forget(ckiti_redis_pool *pool) {
    ckiti_redis_pooled *one = pool->all;
    pool->all = NULL;
    pool->count = 0;
    ckiti_cond_init(&pool->given_back);
    pthread_mutex_unlock(&pool->lock);
    while (one != NULL) {
        ckiti_redis_pooled *next = one->next;
        ckiti_redis_connection_forget(&one->connection);
        free_one(pool, one);
        one = next;
    }
}

/* ---- taking and giving ------------------------------------------------------------------------------------------- */

/* With the lock held. Those that have been idle for long are first in line to be closed, by whoever passes. */
static ckiti_redis_pooled *find_idle(ckiti_redis_pool *pool, uint64_t now_ms) {
    ckiti_redis_pooled *best = NULL;
    for (ckiti_redis_pooled *one = pool->all; one != NULL; one = one->next) {
        if (one->taken) {
            continue;
        }
        if (one->connection.stream != NULL && now_ms - one->idle_since_ms > CKITI_REDIS_IDLE_MS) {
            ckiti_redis_connection_close(&one->connection);
        }
        bool connected = one->connection.stream != NULL;
        if (best == NULL || (connected && best->connection.stream == NULL) ||
            (connected && one->idle_since_ms > best->idle_since_ms)) {
            best = one;
        }
    }
    return best;
}

static ckiti_redis_pooled *make_one(ckiti_redis_pool *pool) {
    ckiti_redis_pooled *one = ckiti_alloc_zeroed(pool->dial->alloc, 1, sizeof *one);
    if (one == NULL) {
        return NULL;
    }
    ckit_buf_init(&one->scratch, pool->dial->alloc);
    if (ckiti_redis_connection_init(&one->connection, pool->dial) != CKIT_OK) {
        free_one(pool, one);
        return NULL;
    }
    one->next = pool->all;
    pool->all = one;
    pool->count++;
    return one;
}

/* With the lock held, which it may release meanwhile. */
static ckit_status find_one(ckiti_redis_pool *pool, uint64_t until_ms, ckiti_redis_pooled **out, ckit_error *err) {
    for (;;) {
        uint64_t now = ckiti_system_monotonic_ms();
        *out = find_idle(pool, now);
        if (*out == NULL && pool->count < pool->limit) {
            *out = make_one(pool);
            if (*out == NULL) {
                return ckiti_redis_no_memory(err, "a connection");
            }
        }
        if (*out != NULL) {
            (*out)->taken = true;
            return CKIT_OK;
        }
        uint64_t left = ckiti_time_left(now, until_ms);
        if (left == 0) {
            return ckit_fail(err, CKIT_E_POOL_EXHAUSTED, CKITI_REDIS_WHERE, "all %u connections of the pool are in use",
                             pool->limit);
        }
        struct timespec end = ckiti_real_time_in(left);
        (void)pthread_cond_timedwait(&pool->given_back, &pool->lock, &end);
    }
}

ckit_status ckiti_redis_pool_take(ckiti_redis_pool *pool, uint64_t until_ms, ckiti_redis_pooled **out,
                                  ckit_error *err) {
    ckit_error why = CKIT_ERROR_INIT;
    pthread_mutex_lock(&pool->lock);
    ckit_status st = find_one(pool, until_ms, out, &why);
    pthread_mutex_unlock(&pool->lock);
    if (st == CKIT_OK && (*out)->connection.stream != NULL &&
        ckiti_redis_connection_check(&(*out)->connection, NULL) != CKIT_OK) {
        ckiti_redis_connection_close(&(*out)->connection);
    }
    if (st == CKIT_OK && (*out)->connection.stream == NULL) {
        uint64_t now = ckiti_system_monotonic_ms();
        uint64_t limit = ckiti_time_after(now, pool->dial->address->connect_timeout_ms);
        st = ckiti_redis_backoff_ask(pool->backoff, now, &why);
        if (st == CKIT_OK) {
            st = ckiti_redis_connection_open(&(*out)->connection, limit < until_ms ? limit : until_ms, &why);
            if (st == CKIT_OK) {
                ckiti_redis_backoff_succeeded(pool->backoff);
            } else if (limit <= until_ms || st != CKIT_E_TIMEOUT) {
                ckiti_redis_backoff_failed(pool->backoff, ckiti_system_monotonic_ms(), &why);
            }
        }
        if (st != CKIT_OK) {
            ckiti_redis_pool_give(pool, *out);
        }
    }
    if (st != CKIT_OK) {
        *out = NULL;
        if (err != NULL) {
            *err = why;
        }
    }
    return st;
}

void ckiti_redis_pool_give(ckiti_redis_pool *pool, ckiti_redis_pooled *one) {
    if (one->scratch.cap > (size_t)1024 * 1024) {
        ckit_buf_fini(&one->scratch);
    }
    pthread_mutex_lock(&pool->lock);
    one->taken = false;
    one->idle_since_ms = ckiti_system_monotonic_ms();
    pthread_cond_signal(&pool->given_back);
    pthread_mutex_unlock(&pool->lock);
}

void ckiti_redis_pool_count(ckiti_redis_pool *pool, uint32_t *all, uint32_t *taken) {
    *all = *taken = 0;
    pthread_mutex_lock(&pool->lock);
    for (const ckiti_redis_pooled *one = pool->all; one != NULL; one = one->next) {
        *all += one->connection.stream != NULL;
        *taken += one->taken;
    }
    pthread_mutex_unlock(&pool->lock);
}
