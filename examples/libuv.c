/* libuv.c [URL] - calls from a libuv loop, with a function that takes long: it runs in libuv's thread pool.
 *
 * Six requests for three numbers arrive at once. The loop's thread begins, finishes and frees every operation; the pool
 * only computes. */
#include <cachekit/cachekit.h>
#include <stdio.h>
#include <uv.h>

enum { REQUESTS = 6 };

typedef struct server {
    ckit_cache    *cache;
    ckit_function *sums;
    ckit_poll     *poll;
    uv_loop_t      loop;
    uv_poll_t      watcher;
    unsigned       open; /* requests without an answer */
    unsigned       computed;
    unsigned       failed;
} server;

typedef struct request {
    server     *server;
    uint64_t    number;
    uv_work_t   work;
    ckit_op    *op;       /* while this request computes */
    ckit_buf    document; /* what it computed */
    ckit_status status;
} request;

/* The slow function: 1 + 2 + ... + number, the long way. */
static uint64_t slow_sum(uint64_t number) {
    volatile uint64_t sum = 0;
    for (uint64_t i = 1; i <= number; i++) {
        sum = sum + i;
    }
    return sum;
}

static void end(request *r, const ckit_value *value, const ckit_error *failure) {
    server  *s = r->server;
    uint64_t sum = 0;
    if (value == NULL || ckit_document_uint(value->data, &sum, NULL) != CKIT_OK ||
        sum != r->number * (r->number + 1) / 2) {
        fprintf(stderr, "%llu: %s\n", (unsigned long long)r->number, failure != NULL ? failure->text : "wrong");
        s->failed++;
    } else {
        printf("the sum up to %llu is %llu\n", (unsigned long long)r->number, (unsigned long long)sum);
    }
    if (--s->open == 0) {
        uv_close((uv_handle_t *)&s->watcher, NULL); /* nothing left to watch: uv_run returns */
    }
}

/* In a thread of the pool: computes, and touches nothing of the cache. */
static void run(uv_work_t *work) {
    request    *r = work->data;
    ckit_writer w;
    ckit_writer_init(&w, &r->document);
    ckit_write_uint(&w, slow_sum(r->number));
    r->status = ckit_writer_finish(&w, NULL);
}

/* Back in the loop's thread: hands the result over. */
static void after_run(uv_work_t *work, int cancelled) {
    request    *r = work->data;
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_result result = {.struct_size = sizeof result,
                          .status = cancelled ? CKIT_E_CANCELLED : r->status,
                          .document = ckit_buf_slice(&r->document)};
    r->server->computed++;
    ckit_status st = ckit_finish(r->op, &result, &value, &err);
    if (st != CKIT_PENDING) { /* else on_ready is called when the store has it */
        end(r, st == CKIT_OK ? &value : NULL, &err);
        ckit_op_free(r->op);
    }
    ckit_value_fini(&value);
    ckit_buf_fini(&r->document);
}

static void compute(request *r, ckit_op *op) {
    r->op = op;
    r->work.data = r;
    if (uv_queue_work(&r->server->loop, &r->work, run, after_run) != 0) {
        end(r, NULL, NULL);
        ckit_op_free(op); /* somebody who waits for it takes over */
    }
}

static void on_ready(void *context, ckit_op *op, ckit_status answer) {
    request   *r = context;
    ckit_value value = CKIT_VALUE_INIT;
    if (answer == CKIT_COMPUTE) {
        compute(r, op);
        return;
    }
    if (answer == CKIT_OK) {
        ckit_op_take(op, &value);
        end(r, &value, NULL);
        ckit_value_fini(&value);
    } else {
        end(r, NULL, ckit_op_error(op));
    }
    ckit_op_free(op);
}

static void begin(request *r) {
    ckit_args  args;
    ckit_op   *op = NULL;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_args_init(&args);
    ckit_args_uint(&args, r->number);
    ckit_start  start = {.struct_size = sizeof start,
                         .function = r->server->sums,
                         .args = &args,
                         .poll = r->server->poll,
                         .ready = on_ready,
                         .context = r};
    ckit_status st = ckit_begin(&start, &op, &value, &err);
    if (st == CKIT_OK) {
        end(r, &value, NULL);
    } else if (st == CKIT_COMPUTE) {
        compute(r, op);
    } else if (st != CKIT_PENDING) {
        end(r, NULL, &err);
    }
    ckit_value_fini(&value);
    ckit_args_fini(&args);
}

static void on_readable(uv_poll_t *watcher, int status, int events) {
    server *s = watcher->data;
    (void)status;
    (void)events;
    ckit_poll_dispatch(s->poll);
}

static ckit_status open_server(server *s, const char *url, ckit_error *err) {
    ckit_status st = ckit_cache_open(url, NULL, &s->cache, err);
    if (st == CKIT_OK) {
        st = ckit_function_new(s->cache, "libuv.sum", NULL, NULL, NULL, &s->sums, err);
    }
    if (st == CKIT_OK) {
        st = ckit_poll_new(s->cache, &s->poll, err);
    }
    if (st == CKIT_OK && (uv_poll_init(&s->loop, &s->watcher, ckit_poll_fd(s->poll)) != 0 ||
                          uv_poll_start(&s->watcher, UV_READABLE, on_readable) != 0)) {
        st = ckit_fail(err, CKIT_E_IO, "libuv", "the descriptor cannot be watched");
    }
    s->watcher.data = s;
    return st;
}

int main(int argc, char **argv) {
    server     s = {.open = REQUESTS};
    request    requests[REQUESTS];
    ckit_error err = CKIT_ERROR_INIT;
    if (uv_loop_init(&s.loop) != 0) {
        return 1;
    }
    ckit_status st = open_server(&s, argc > 1 ? argv[1] : "memory:", &err);
    for (unsigned i = 0; i < REQUESTS && st == CKIT_OK; i++) {
        requests[i] = (request){.server = &s, .number = 1000000 * (1 + i % 3)};
        begin(&requests[i]);
    }
    if (st == CKIT_OK) {
        uv_run(&s.loop, UV_RUN_DEFAULT);
        printf("%d answers, %u computed\n", REQUESTS, s.computed);
    } else {
        fprintf(stderr, "%s %s: %s\n", ckit_status_code(err.status), err.where, err.text);
    }
    ckit_poll_close(s.poll);
    ckit_function_close(s.sums);
    ckit_cache_close(s.cache);
    uv_loop_close(&s.loop);
    return st == CKIT_OK && s.failed == 0 && s.computed <= 3 ? 0 : 1;
}
