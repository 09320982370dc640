#include "node.h"

#include "base/clock.h"

ckit_status ckiti_redis_node_init(ckiti_redis_node *node, const ckiti_redis_dial *dial) {
    node->dial = *dial;
    uint32_t pool = dial->address->pool_size;
    ckiti_redis_backoff_init(&node->backoff, dial->address->backoff_max_ms);
    ckiti_redis_pool_init(&node->pool, &node->dial, &node->backoff, pool > 3 ? pool - 2 : 1);
    ckit_status channel = ckiti_redis_channel_init(&node->channel, &node->dial, &node->backoff);
    ckit_status pump = ckiti_redis_pump_init(&node->pump, &node->dial, &node->backoff);
    return channel == CKIT_OK ? pump : channel;
}

void ckiti_redis_node_fini(ckiti_redis_node *node) {
    if (node->dial.address == NULL) {
        return;
    }
    ckiti_redis_pump_fini(&node->pump);
    ckiti_redis_channel_fini(&node->channel);
    ckiti_redis_pool_fini(&node->pool);
    ckiti_redis_backoff_fini(&node->backoff);
    node->dial.address = NULL;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static void run_alone(ckiti_redis_node *node, ckiti_redis_call *call) {
    ckiti_redis_pooled *one;
    ckit_error          why;
    ckit_status         st = ckiti_redis_pool_take(&node->pool, call->until_ms, &one, &why);
    if (st != CKIT_OK) {
        ckiti_redis_call_fail(call, &why, false);
        return;
    }
    ckiti_redis_connection_run(&one->connection, call, &one->scratch);
    ckiti_redis_pool_give(&node->pool, one);
}

static bool again(const ckiti_redis_node *node, ckiti_redis_call *call) {
    const ckiti_redis_address *a = node->dial.address;
    return ckiti_redis_call_repeats(call) && call->attempts++ < a->retries &&
           (call->status != CKIT_E_TIMEOUT || a->retry_on_timeout);
}

ckit_status ckiti_redis_node_call(ckiti_redis_node *node, ckiti_redis_call *call) {
    call->attempts = 0;
    for (;;) {
        ckiti_redis_call_begin(call);
        if (call->large) {
            run_alone(node, call);
        } else {
            ckiti_redis_combine(&node->channel, call);
        }
        if (call->status < CKIT_E_FIRST || !again(node, call)) {
            return call->status;
        }
        uint64_t now = ckiti_system_monotonic_ms();
        if (call->patient) {
            call->until_ms = ckiti_time_after(now, node->dial.address->socket_timeout_ms);
        } else if (now >= call->until_ms) {
            return call->status;
        }
    }
}

ckit_status ckiti_redis_node_submit(ckiti_redis_node *node, ckiti_redis_call *call) {
    call->attempts = 0;
    ckiti_redis_call_begin(call);
    return ckiti_redis_pump_submit(&node->pump, call, call->err);
}

void ckiti_redis_node_hurry(ckiti_redis_node *node) {
    ckiti_redis_backoff_hurry(&node->backoff);
    ckiti_redis_channel_hurry(&node->channel);
    ckiti_redis_channel_hurry(&node->pump.channel);
}

static void count_channel(ckiti_redis_channel *ch, uint32_t *all, uint32_t *taken) {
    pthread_mutex_lock(&ch->lock);
    *all += ch->connection.stream != NULL;
    *taken += ch->connection.stream != NULL && !ckiti_redis_channel_empty(ch);
    pthread_mutex_unlock(&ch->lock);
}

void ckiti_redis_node_count(ckiti_redis_node *node, uint32_t *all, uint32_t *taken) {
    ckiti_redis_pool_count(&node->pool, all, taken);
    count_channel(&node->channel, all, taken);
    count_channel(&node->pump.channel, all, taken);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_redis_node_before_fork(ckiti_redis_node *node) {
    pthread_mutex_lock(&node->pool.lock);
    pthread_mutex_lock(&node->pump.channel.lock);
    pthread_mutex_lock(&node->channel.lock);
    pthread_mutex_lock(&node->backoff.lock);
}

void ckiti_redis_node_after_fork(ckiti_redis_node *node) {
    pthread_mutex_unlock(&node->backoff.lock);
    pthread_mutex_unlock(&node->channel.lock);
    pthread_mutex_unlock(&node->pump.channel.lock);
    pthread_mutex_unlock(&node->pool.lock);
}

void ckiti_redis_node_in_child(ckiti_redis_node *node) {
    pthread_mutex_unlock(&node->backoff.lock);
    ckiti_redis_channel_forget(&node->channel);
    ckiti_redis_pump_forget(&node->pump);
    ckiti_redis_pool_forget(&node->pool);
}
