#include "cache/poll_fixture.h"

#include <sys/epoll.h>
#include <unistd.h>

void loop_start(loop *lp, bool store, fake_kind kind) {
    if (store) {
        fixture_start(&lp->f, kind);
    } else {
        fixture_start_memory(&lp->f);
    }
    loader_init(&lp->l);
    lp->fn = function_of(lp->f.cache, "test.load", &lp->l, NULL);
    CHECK_OK(ckit_poll_new(lp->f.cache, &lp->poll, NULL));
    lp->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = lp->poll}};
    CHECK_EQ_I(0, epoll_ctl(lp->epoll, EPOLL_CTL_ADD, ckit_poll_fd(lp->poll), &event));
}

void loop_open(loop *lp, fake_kind kind) {
    fixture_prepare(&lp->f);
    loop_start(lp, true, kind);
}

void loop_close(loop *lp) {
    close(lp->epoll);
    ckit_poll_close(lp->poll);
    ckit_function_close(lp->fn);
    fixture_close(&lp->f);
}

/* Waits for the descriptor (30 s at most), then dispatches. */
size_t loop_turn(loop *lp) {
    struct epoll_event event;
    CHECK_EQ_I(1, epoll_wait(lp->epoll, &event, 1, 30000));
    return ckit_poll_dispatch(event.data.ptr);
}

bool is_readable(loop *lp) {
    struct epoll_event event;
    return epoll_wait(lp->epoll, &event, 1, 0) == 1;
}

static void end_with(pending *p, ckit_op *op, ckit_status came) {
    p->done = true;
    p->answer = came;
    p->op = NULL;
    ckit_op_free(op);
}

ckit_status finish(pending *p, ckit_op *op) {
    ckit_buf    document = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_writer_init(&w, &document);
    write_number(&w, p->number, p->size);
    CHECK_OK(ckit_writer_finish(&w, NULL));
    ckit_result result = {
        .struct_size = sizeof result, .status = p->failure, .document = ckit_buf_slice(&document), .ttl_ms = p->ttl_ms};
    p->computed = true;
    ckit_status st = ckit_finish(op, &result, &p->value, NULL);
    ckit_buf_fini(&document);
    if (st != CKIT_PENDING) {
        end_with(p, op, st);
    }
    return st;
}

void on_ready(void *context, ckit_op *op, ckit_status came) {
    pending *p = context;
    p->readies++;
    p->op = op;
    p->answer = came;
    if (came == CKIT_COMPUTE) {
        CHECK(ckit_op_error(op) == NULL);
        if (!p->holds) {
            (void)finish(p, op);
        }
        return;
    }
    if (came == CKIT_OK) {
        ckit_op_take(op, &p->value);
    }
    end_with(p, op, came);
}

/* Begins a call; computes at once when that is the answer. */
ckit_status begin_call(loop *lp, pending *p, int64_t argument) {
    ckit_args args;
    ckit_op  *op;
    ckit_args_init(&args);
    ckit_args_int(&args, argument);
    ckit_start  start = {.struct_size = sizeof start,
                         .function = lp->fn,
                         .args = &args,
                         .poll = lp->poll,
                         .ready = on_ready,
                         .context = p};
    ckit_status st = ckit_begin(&start, &op, &p->value, NULL);
    ckit_args_fini(&args);
    p->op = op;
    p->answer = st;
    if (st == CKIT_OK) {
        CHECK(op == NULL);
        p->done = true;
    } else if (st == CKIT_COMPUTE && !p->holds) {
        (void)finish(p, op);
    }
    return st;
}

void run(loop *lp, const pending *p) {
    while (!p->done) {
        (void)loop_turn(lp);
    }
}

/* Begins, and waits for the end. */
void run_call(loop *lp, pending *p, int64_t argument) {
    (void)begin_call(lp, p, argument);
    run(lp, p);
}

void check_pending(const char *file, int line, pending *p, ckit_source source, uint64_t number) {
    ckit_check_status(file, line, "the call", CKIT_OK, p->answer);
    ckit_check_u(file, line, "its source", source, p->value.source);
    ckit_check_u(file, line, "its number", number, read_number(&p->value));
    ckit_value_fini(&p->value);
}
