/* epoll.c [URL] - calls from an event loop: nothing here waits for the store or for another call.
 *
 * Six requests for three numbers arrive at once, and each number is computed once at most: who comes second finds the
 * result, or waits for it without a thread. The function is short here, so it runs in the loop; libuv.c shows a long
 * one. */
#include <cachekit/cachekit.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { REQUESTS = 6 };

typedef struct server {
    ckit_cache    *cache;
    ckit_function *squares;
    ckit_poll     *poll;
    int            epoll;
    unsigned       open; /* requests without an answer */
    unsigned       computed;
    unsigned       failed;
} server;

typedef struct request {
    server *server;
    int64_t number;
} request;

/* ---- the end of a request ---------------------------------------------------------------------------------- */

static void reply(request *r, const ckit_value *value) {
    int64_t    square = 0;
    ckit_error err = CKIT_ERROR_INIT;
    if (ckit_document_int(value->data, &square, &err) != CKIT_OK || square != r->number * r->number) {
        r->server->failed++;
    }
    printf("%lld squared is %lld\n", (long long)r->number, (long long)square);
    r->server->open--;
}

static void reply_failure(request *r, const ckit_error *err) {
    fprintf(stderr, "%lld: %s\n", (long long)r->number, err != NULL ? err->text : "failed");
    r->server->failed++;
    r->server->open--;
}

/* ---- the way there ----------------------------------------------------------------------------------------- */

/* This request is the one that computes. Whoever else wants the same number gets the result too. */
static void compute(request *r, ckit_op *op) {
    ckit_buf    buf = CKIT_BUF_INIT;
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_writer w;
    ckit_writer_init(&w, &buf);
    ckit_write_int(&w, r->number * r->number);
    ckit_status st = ckit_writer_finish(&w, &err);
    ckit_result result = {.struct_size = sizeof result, .status = st, .document = ckit_buf_slice(&buf)};
    st = ckit_finish(op, &result, &value, &err);
    ckit_buf_fini(&buf); /* the document was copied */
    r->server->computed++;

    if (st != CKIT_PENDING) { /* else on_ready is called when the store has it */
        if (st == CKIT_OK) {
            reply(r, &value);
        } else {
            reply_failure(r, &err);
        }
        ckit_op_free(op);
    }
    ckit_value_fini(&value);
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
        reply(r, &value);
        ckit_value_fini(&value);
    } else {
        reply_failure(r, ckit_op_error(op));
    }
    ckit_op_free(op);
}

static void begin(request *r) {
    ckit_args  args;
    ckit_op   *op = NULL;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_args_init(&args);
    ckit_args_int(&args, r->number);
    ckit_start  start = {.struct_size = sizeof start,
                         .function = r->server->squares,
                         .args = &args,
                         .poll = r->server->poll,
                         .ready = on_ready,
                         .context = r};
    ckit_status st = ckit_begin(&start, &op, &value, &err);
    if (st == CKIT_OK || st == CKIT_STALE) { /* STALE only with a stale window, which this function has not */
        reply(r, &value);
        ckit_op_free(op);
    } else if (st == CKIT_COMPUTE) {
        compute(r, op);
    } else if (st != CKIT_PENDING) {
        reply_failure(r, &err);
    }
    ckit_value_fini(&value);
    ckit_args_fini(&args);
}

/* ---- the loop ---------------------------------------------------------------------------------------------- */

static ckit_status open_server(server *s, const char *url, ckit_error *err) {
    struct epoll_event readable = {.events = EPOLLIN};
    ckit_status        st = ckit_cache_open(url, NULL, &s->cache, err);
    if (st == CKIT_OK) { /* no loader: this program computes by itself */
        st = ckit_function_new(s->cache, "epoll.square", NULL, NULL, NULL, &s->squares, err);
    }
    if (st == CKIT_OK) {
        st = ckit_poll_new(s->cache, &s->poll, err);
    }
    if (st == CKIT_OK && ((s->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
                          epoll_ctl(s->epoll, EPOLL_CTL_ADD, ckit_poll_fd(s->poll), &readable) != 0)) {
        st = ckit_fail(err, CKIT_E_IO, "epoll", "no epoll descriptor");
    }
    return st;
}

static void close_server(server *s) {
    if (s->epoll >= 0) {
        close(s->epoll);
    }
    ckit_poll_close(s->poll);
    ckit_function_close(s->squares);
    ckit_cache_close(s->cache);
}

int main(int argc, char **argv) {
    server      s = {.epoll = -1, .open = REQUESTS};
    request     requests[REQUESTS];
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = open_server(&s, argc > 1 ? argv[1] : "memory:", &err);
    for (int i = 0; i < REQUESTS && st == CKIT_OK; i++) {
        requests[i] = (request){.server = &s, .number = i % 3};
        begin(&requests[i]);
    }
    while (st == CKIT_OK && s.open > 0) {
        struct epoll_event event;
        if (epoll_wait(s.epoll, &event, 1, -1) == 1) {
            ckit_poll_dispatch(s.poll);
        }
    }
    if (st != CKIT_OK) {
        fprintf(stderr, "%s %s: %s\n", ckit_status_code(err.status), err.where, err.text);
    } else {
        printf("%d answers, %u computed\n", REQUESTS, s.computed);
    }
    close_server(&s);
    return st == CKIT_OK && s.failed == 0 && s.computed <= 3 ? 0 : 1;
}
