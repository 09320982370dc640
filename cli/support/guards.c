#include "support/guards.h"

#include "support/json.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/buf.h>
#include <cachekit/guard.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GUARDS_MOST 256u

/* A notice with its texts. */
typedef struct guard_told {
    ckit_guard_notice notice;
    ckit_guard_stats  stats;
    char              program[64];
    char              store[32];
    uint64_t          age_ms;
} guard_told;

typedef struct all_told {
    guard_told items[GUARDS_MOST];
    size_t     count;
    size_t     unshown; /* there was no room for them */
    int64_t    now_ms;
} all_told;

static const char *status_dir(void) {
    const char *dir = getenv("CACHEKIT_STATUS_DIR");
    return dir != NULL && *dir != '\0' ? dir : NULL;
}

bool cli_guards_tell(void) { return status_dir() != NULL; }

/* ---- reading --------------------------------------------------------------------------------------------------- */

static void take(void *context, const ckit_guard_notice *notice) {
    all_told *all = context;
    if (all->count == GUARDS_MOST) {
        all->unshown++;
        return;
    }
    guard_told *one = &all->items[all->count++];
    one->notice = *notice;
    one->stats = *notice->stats;
    one->age_ms = notice->told_wall_ms < all->now_ms ? (uint64_t)(all->now_ms - notice->told_wall_ms) : 0;
    (void)snprintf(one->program, sizeof one->program, "%s", notice->program);
    (void)snprintf(one->store, sizeof one->store, "%s", notice->store);
}

static int by_process(const void *a, const void *b) {
    const guard_told *x = a;
    const guard_told *y = b;
    int               order = (x->notice.pid > y->notice.pid) - (x->notice.pid < y->notice.pid);
    return order != 0 ? order : strcmp(x->store, y->store);
}

/* A directory that is not there, or may not be read, tells nothing. */
static const all_told *read_all(void) {
    static all_told all;
    struct timespec now;
    ckit_error      err = CKIT_ERROR_INIT;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    all.count = all.unshown = 0;
    all.now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ckit_guard_notices(status_dir(), take, &all, &err) >= CKIT_E_FIRST) {
        cli_warn("CACHEKIT_STATUS_DIR: %s", err.text);
    }
    qsort(all.items, all.count, sizeof all.items[0], by_process);
    return &all;
}

/* While open, until a try: as it was told, less the time since. */
static uint64_t recovery_in_ms(const guard_told *one) {
    return one->stats.recovery_in_ms > one->age_ms ? one->stats.recovery_in_ms - one->age_ms : 0;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static json_object *json_seconds(uint64_t ms) { return cli_json_decimals((double)ms / 1000, 3); }

static json_object *json_circuit(const guard_told *one) {
    const ckit_guard_stats *s = &one->stats;
    json_object            *circuit = cli_json_object();
    bool                    open = s->state == CKIT_BREAKER_OPEN;
    bool                    failed = s->last_failure_ms_ago != UINT64_MAX;
    cli_json_add(circuit, "state", cli_json_text(ckit_breaker_state_name(s->state)));
    cli_json_add(circuit, "recovery_in", open ? json_seconds(recovery_in_ms(one)) : NULL);
    cli_json_add(circuit, "failures_in_a_row", cli_json_uint(s->failures_in_a_row));
    cli_json_add(circuit, "failure_threshold", cli_json_uint(one->notice.failure_threshold));
    cli_json_add(circuit, "failures", cli_json_uint(s->failures));
    cli_json_add(circuit, "last_failure_ago", failed ? json_seconds(s->last_failure_ms_ago + one->age_ms) : NULL);
    cli_json_add(circuit, "refused", cli_json_uint(s->refused));
    cli_json_add(circuit, "opened", cli_json_uint(s->opened));
    cli_json_add(circuit, "half_opened", cli_json_uint(s->half_opened));
    cli_json_add(circuit, "closed", cli_json_uint(s->closed));
    return circuit;
}

static json_object *json_timing(const ckit_guard_timing *timing) {
    json_object *object = cli_json_object();
    cli_json_add(object, "timeout", json_seconds(timing->timeout_ms));
    cli_json_add(object, "average", cli_json_decimals(timing->average_ms / 1000, 6));
    cli_json_add(object, "percentile", cli_json_decimals(timing->percentile_ms / 1000, 6));
    cli_json_add(object, "operations", cli_json_uint(timing->operations));
    cli_json_add(object, "timed_out", cli_json_uint(timing->timed_out));
    return object;
}

static json_object *json_queue(const guard_told *one) {
    json_object *queue = cli_json_object();
    cli_json_add(queue, "in_flight", cli_json_uint(one->stats.in_flight));
    cli_json_add(queue, "max_concurrent", cli_json_uint(one->notice.max_concurrent));
    cli_json_add(queue, "waiting", cli_json_uint(one->stats.waiting));
    cli_json_add(queue, "queue_size", cli_json_uint(one->notice.queue_size));
    cli_json_add(queue, "waited", cli_json_uint(one->stats.waited));
    cli_json_add(queue, "rejected", cli_json_uint(one->stats.rejected));
    cli_json_add(queue, "accepting", cli_json_bool(one->stats.accepting));
    return queue;
}

static json_object *json_guard(const guard_told *one) {
    json_object *guard = cli_json_object();
    json_object *timeouts = cli_json_object();
    json_object *retries = cli_json_object();
    cli_json_add(timeouts, "data", json_timing(&one->stats.data));
    cli_json_add(timeouts, "locks", json_timing(&one->stats.locks));
    cli_json_add(retries, "attempts", cli_json_uint(one->stats.retries));
    cli_json_add(retries, "recovered", cli_json_uint(one->stats.recovered));
    cli_json_add(guard, "pid", cli_json_uint(one->notice.pid));
    cli_json_add(guard, "program", cli_json_bytes(ckit_slice_str(one->program)));
    cli_json_add(guard, "backend", cli_json_bytes(ckit_slice_str(one->store)));
    cli_json_add(guard, "age", json_seconds(one->age_ms));
    cli_json_add(guard, "circuit", json_circuit(one));
    cli_json_add(guard, "timeouts", timeouts);
    cli_json_add(guard, "backpressure", json_queue(one));
    cli_json_add(guard, "retries", retries);
    return guard;
}

json_object *cli_guards_json(void) {
    const all_told *all = read_all();
    json_object    *guards = cli_json_array();
    for (size_t i = 0; i < all->count; i++) {
        cli_json_append(guards, json_guard(&all->items[i]));
    }
    return guards;
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static void print_circuit(const guard_told *one, int width) {
    const ckit_guard_stats *s = &one->stats;
    char                    text[CLI_UNITS_TEXT];
    cli_print("%-*s%s", width, "  circuit", ckit_breaker_state_name(s->state));
    if (s->state == CKIT_BREAKER_OPEN) {
        cli_print(", tried again in %s", cli_duration_text(recovery_in_ms(one), text));
    } else {
        cli_print(", %u of %u failures in a row", s->failures_in_a_row, one->notice.failure_threshold);
    }
    cli_print("; opened %" PRIu64 ", refused %" PRIu64 "\n", s->opened, s->refused);
}

static void print_timing(const char *label, const ckit_guard_timing *timing, int width) {
    char text[CLI_UNITS_TEXT];
    cli_print("%-*s%s at most, %.3f ms on average; %" PRIu64 " of %" PRIu64 " timed out\n", width, label,
              cli_duration_text(timing->timeout_ms, text), timing->average_ms, timing->timed_out, timing->operations);
}

static void print_guard(const guard_told *one, int width) {
    const ckit_guard_stats *s = &one->stats;
    char                    text[CLI_UNITS_TEXT];
    cli_print("%-*s", width, "guard");
    cli_print_escaped(ckit_slice_str(one->store));
    cli_print(" in ");
    cli_print_escaped(ckit_slice_str(one->program));
    cli_print(" (process %" PRIu64 "), as of %s ago\n", one->notice.pid,
              one->age_ms < 1000 ? "0s" : cli_duration_text(one->age_ms / 1000 * 1000, text));
    print_circuit(one, width);
    print_timing("  reads, writes", &s->data, width);
    print_timing("  locks", &s->locks, width);
    cli_print("%-*s%u of %u with the store, %u of %u waiting; rejected %" PRIu64 "\n", width, "  queue", s->in_flight,
              one->notice.max_concurrent, s->waiting, one->notice.queue_size, s->rejected);
    cli_print("%-*s%" PRIu64 ", which saved %" PRIu64 " operations\n", width, "  retries", s->retries, s->recovered);
}

void cli_guards_print(int label_width) {
    const all_told *all = read_all();
    if (all->count == 0) {
        cli_print("%-*snone tells anything\n", label_width, "guards");
    }
    for (size_t i = 0; i < all->count; i++) {
        print_guard(&all->items[i], label_width);
    }
    if (all->unshown > 0) {
        cli_print("%-*s%zu more\n", label_width, "guards", all->unshown);
    }
}
