/* Who computes for others crashes, fails, is cancelled or never returns. */
#include "chaos.h"

#include <cachekit/poll.h>
#include <cachekit/redis.h>

#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define ARGUMENT 7
#define FOLLOWERS 50u
#define BEFORE_MS 400u                    /* so long the leader runs before it is killed */
#define NEXT_MS (50u + FUNCTION_MS + 20u) /* from the end of a lease: the next one begins, computes, and is done */
#define CROWD_MS 100u                     /* for fifty threads to wake, compute and store */

typedef struct follower {
    side     *side;
    pthread_t thread;
} follower;

static void *follow(void *arg) {
    (void)call_function(((follower *)arg)->side, ARGUMENT);
    return NULL;
}

static void followers_start(follower *all, unsigned count, side *s) {
    for (unsigned i = 0; i < count; i++) {
        all[i].side = s;
        pthread_create(&all[i].thread, NULL, follow, &all[i]);
    }
}

static void followers_join(follower *all, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        pthread_join(all[i].thread, NULL);
    }
}

#define GATHER_MS 2000u /* the longest until all of them wait */

static void await_waits(side *s, uint64_t waits) {
    for (unsigned i = 0; i < GATHER_MS; i++) {
        ckit_cache_stats stats = CKIT_CACHE_STATS_INIT;
        ckit_cache_get_stats(s->cache, &stats);
        if (stats.flight_waits >= waits) {
            return;
        }
        nap_ms(1);
    }
}

/* ---- a process that is killed ------------------------------------------------------------------------------------ */

static ckit_status hang(void *context, ckit_load *load, ckit_error *err) {
    (void)context;
    (void)load;
    (void)err;
    if (write(STDOUT_FILENO, "x", 1) != 1) {
        return CKIT_E_FUNCTION;
    }
    for (;;) {
        pause();
    }
}

int lead_for_ever(const char *url) {
    ckit_cache_options    options = CKIT_CACHE_OPTIONS_INIT;
    ckit_function_options of = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_cache           *cache;
    ckit_function        *function;
    ckit_args             args;
    ckit_value            value = CKIT_VALUE_INIT;
    options.lock_lease_ms = LEASE_MS;
    of.namespace_name = "chaos";
    if (ckit_cache_open(url, &options, &cache, NULL) != CKIT_OK ||
        ckit_function_new(cache, "chaos.load", hang, NULL, &of, &function, NULL) != CKIT_OK) {
        return 1;
    }
    ckit_args_init(&args);
    ckit_args_int(&args, ARGUMENT);
    (void)ckit_call(function, &args, &value, NULL);
    return 0;
}

/* Returns its number when its function runs, 0 when that cannot be. */
static pid_t start_leader(const world *w) {
    char                       self[64], lead[] = "--lead", url[64];
    char                      *arguments[] = {self, lead, url, NULL};
    int                        out[2];
    pid_t                      pid = 0;
    char                       x;
    posix_spawn_file_actions_t actions;
    if (pipe(out) != 0) {
        return 0;
    }
    snprintf(self, sizeof self, "%s", w->plan->self);
    snprintf(url, sizeof url, "%s", w->server.url);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, out[0]);
    posix_spawn_file_actions_addclose(&actions, out[1]);
    if (posix_spawn(&pid, w->plan->self, &actions, NULL, arguments, environ) != 0) {
        pid = 0;
    }
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    bool runs = pid != 0 && read(out[0], &x, 1) == 1;
    close(out[0]);
    return runs ? pid : 0;
}

static void row_crash(const plan *p, outcome *o) {
    const settings set = {.plain = true, .lock_wait_ms = 10 * LEASE_MS};
    world          w;
    if (world_open_redis(&w, p, &set, o)) {
        follower one;
        pid_t    leader = start_leader(&w);
        followers_start(&one, 1, &w.sides[0]);
        nap_ms(p->quick ? 20 : BEFORE_MS);
        uint64_t killed = now_ms();
        if (leader != 0) {
            kill(leader, SIGKILL);
            (void)waitpid(leader, NULL, 0);
        } else {
            broken(o, "no process to kill");
        }
        followers_join(&one, 1);
        uint64_t waited = now_ms() - killed;
        world_tell(&w, o);
        o->most_runs = 1;
        o->bound_ms = BEFORE_MS + LEASE_MS + NEXT_MS;
        snprintf(o->note, sizeof o->note, "%llu ms after it was killed, leases of %u ms", (unsigned long long)waited,
                 LEASE_MS);
        if (!p->quick && waited > LEASE_MS + NEXT_MS) {
            broken(o, "the next one was done %llu ms after the leader was killed", (unsigned long long)waited);
        }
        judge(p, o);
    }
    world_close(&w);
}

/* ---- in one process ---------------------------------------------------------------------------------------------- */

static void row_fails(const plan *p, outcome *o) {
    const settings set = {.plain = true};
    follower       all[FOLLOWERS];
    world          w;
    if (world_open_redis(&w, p, &set, o)) {
        w.fails = 1;
        followers_start(all, FOLLOWERS, &w.sides[0]);
        followers_join(all, FOLLOWERS);
        world_tell(&w, o);
        o->most_runs = 2;
        o->bound_ms = 2 * FUNCTION_MS + CROWD_MS;
        snprintf(o->note, sizeof o->note, "%llu saw the function's error", (unsigned long long)w.own_errors);
        if (w.own_errors != 1) {
            broken(o, "%llu callers saw the error of one run", (unsigned long long)w.own_errors);
        }
        judge(p, o);
    }
    world_close(&w);
}

static void on_ready(void *context, ckit_op *op, ckit_status answer) {
    (void)op;
    *(ckit_status *)context = answer;
}

static void row_cancelled(const plan *p, outcome *o) {
    const settings set = {.plain = true, .flight_wait_ms = 20000};
    follower       all[FOLLOWERS];
    world          w;
    if (world_open_redis(&w, p, &set, o)) {
        ckit_poll  *poll = NULL;
        ckit_op    *op = NULL;
        ckit_args   args;
        ckit_value  value = CKIT_VALUE_INIT;
        ckit_status answer = CKIT_PENDING;
        ckit_args_init(&args);
        ckit_args_int(&args, ARGUMENT);
        if (ckit_poll_new(w.sides[0].cache, &poll, NULL) == CKIT_OK) {
            ckit_start start = {.struct_size = sizeof start,
                                .function = w.sides[0].function,
                                .args = &args,
                                .poll = poll,
                                .ready = on_ready};
            start.context = &answer;
            answer = ckit_begin(&start, &op, &value, NULL);
            for (unsigned i = 0; i < 5000 && answer == CKIT_PENDING; i++, nap_ms(1)) {
                (void)ckit_poll_dispatch(poll);
            }
        }
        if (answer != CKIT_COMPUTE) {
            broken(o, "the leader was told %s", ckit_status_name(answer));
        }
        followers_start(all, FOLLOWERS, &w.sides[0]);
        await_waits(&w.sides[0], FOLLOWERS);
        ckit_op_free(op);
        followers_join(all, FOLLOWERS);
        ckit_poll_close(poll);
        ckit_args_fini(&args);
        world_tell(&w, o);
        o->most_runs = 1;
        o->bound_ms = GATHER_MS + CROWD_MS;
        judge(p, o);
    }
    world_close(&w);
}

/* The leader's answer never comes; others wait as long as they were told, and help themselves. */
static void row_never(const plan *p, outcome *o) {
    const settings set = {.plain = true, .flight_wait_ms = FLIGHT_MS, .no_lock = true};
    follower       all[FOLLOWERS];
    world          w;
    if (world_open_redis(&w, p, &set, o)) {
        ckit_op   *op = NULL;
        ckit_args  args;
        ckit_value value = CKIT_VALUE_INIT;
        ckit_args_init(&args);
        ckit_args_int(&args, ARGUMENT);
        ckit_start  start = {.struct_size = sizeof start, .function = w.sides[0].function, .args = &args};
        ckit_status answer = ckit_begin(&start, &op, &value, NULL);
        if (answer != CKIT_COMPUTE) {
            broken(o, "the leader was told %s", ckit_status_name(answer));
        }
        followers_start(all, FOLLOWERS, &w.sides[0]);
        followers_join(all, FOLLOWERS);
        ckit_op_free(op);
        ckit_args_fini(&args);
        world_tell(&w, o);
        o->most_runs = FOLLOWERS;
        o->bound_ms = FLIGHT_MS + CROWD_MS;
        judge(p, o);
    }
    world_close(&w);
}

const row rows_of_leaders[] = {
    {"leader killed", row_crash},
    {"leader fails", row_fails},
    {"leader cancelled", row_cancelled},
    {"leader never returns", row_never},
};
const size_t rows_of_leaders_count = sizeof rows_of_leaders / sizeof rows_of_leaders[0];
