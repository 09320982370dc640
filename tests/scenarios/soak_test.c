/* Threads that call, invalidate, refresh, set and poll at once. Each value carries the version of the data it was made
 * of, and nobody ever sees a version older than the last invalidation that was completed before he asked.
 *
 * CKIT_SOAK in the environment makes the runs long. */
#include "cache/cache_fixture.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KEYS 12
#define FUNCTIONS 2
#define CALLERS 3
#define CHANGERS 2

/* What the functions read. `floor` is the version that the last completed invalidation was made for. */
typedef struct truth {
    pthread_mutex_t  changing; /* one who changes a key at a time */
    _Atomic uint64_t version;
    _Atomic uint64_t floor;
} truth;

typedef struct soak {
    ckit_cache      *cache;
    fake_store      *store;
    ckit_function   *functions[FUNCTIONS];
    truth            calls[FUNCTIONS][KEYS];
    truth            entries[KEYS];
    uint64_t         rounds;
    _Atomic uint64_t seen[CKIT_SOURCE_FLIGHT + 1];
    _Atomic uint64_t stale;
} soak;

typedef struct worker {
    soak     *soak;
    int       function; /* of a loader */
    uint64_t  random;
    pthread_t thread;
} worker;

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static bool is_soak(void) { return getenv("CKIT_SOAK") != NULL; }

/* ---- the functions ----------------------------------------------------------------------------------------------- */

/* The longer between reading and storing, the better. A yield would be as long as all others on a busy machine have to
 * run. */
static void linger(void) { (void)nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL); }

/* A large value every other time, so that both ways of lending are used. */
static void write_version(ckit_writer *w, uint64_t version) { write_number(w, version, version % 2 == 0 ? 300 : 0); }

static ckit_status load_version(void *context, ckit_load *load, ckit_error *err) {
    const worker *l = context;
    ckit_reader   r;
    ckit_args_positional(load->args, &r);
    int64_t  key = ckit_read_int(&r);
    uint64_t version = atomic_load(&l->soak->calls[l->function][key].version);
    linger();
    if (version % 17 == 3) {
        return ckit_fail(err, CKIT_E_FUNCTION, "soak", "does not like %llu", (unsigned long long)version);
    }
    write_version(load->result, version);
    return CKIT_OK;
}

static void check_version(soak *s, const truth *t, uint64_t floor, const ckit_value *value, uint64_t version) {
    CHECKF(version >= floor, "version %llu from %d, %llu had been invalidated", (unsigned long long)version,
           (int)value->source, (unsigned long long)floor);
    CHECK(version <= atomic_load(&t->version));
    atomic_fetch_add(&s->seen[value->source], 1);
    atomic_fetch_add(&s->stale, value->stale);
}

/* ---- who reads --------------------------------------------------------------------------------------------------- */

static void *call_calls(void *arg) {
    worker *w = arg;
    soak   *s = w->soak;
    for (uint64_t i = 0; i < s->rounds; i++) {
        uint64_t   dice = next_random(&w->random);
        int        function = (int)(dice % FUNCTIONS), key = (int)(dice / 8 % KEYS);
        truth     *t = &s->calls[function][key];
        uint64_t   floor = atomic_load(&t->floor);
        ckit_value value = CKIT_VALUE_INIT;
        ckit_args  args;
        ckit_args_init(&args);
        ckit_args_int(&args, key);
        ckit_status st = dice % 64 == 63 ? ckit_refresh(s->functions[function], &args, &value, NULL)
                                         : ckit_call(s->functions[function], &args, &value, NULL);
        CHECK(st == CKIT_OK || st == CKIT_E_FUNCTION);
        if (st == CKIT_OK) {
            check_version(s, t, floor, &value, read_number(&value));
        }
        ckit_value_fini(&value);
        ckit_args_fini(&args);
    }
    return NULL;
}

static void *get_entries(void *arg) {
    worker *w = arg;
    soak   *s = w->soak;
    for (uint64_t i = 0; i < s->rounds; i++) {
        int                key = (int)(next_random(&w->random) % KEYS);
        truth             *t = &s->entries[key];
        uint64_t           floor = atomic_load(&t->floor), version;
        ckit_value         value = CKIT_VALUE_INIT;
        ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
        options.encoding = CKIT_RAW;
        ckit_status st = ckit_cache_get(s->cache, ckit_slice_of(&key, sizeof key), &options, &value, NULL);
        CHECK(st == CKIT_OK || st == CKIT_MISS);
        if (st == CKIT_OK) {
            memcpy(&version, value.data.ptr, sizeof version);
            check_version(s, t, floor, &value, version);
        }
        ckit_value_fini(&value);
    }
    return NULL;
}

/* ---- who changes ------------------------------------------------------------------------------------------------- */

static void forget_call(soak *s, int function, int key, uint64_t dice) {
    ckit_args  args;
    ckit_scope scope = {.kind = dice % 3 == 0 ? CKIT_SCOPE_ALL : CKIT_SCOPE_NAMESPACE};
    ckit_buf   text = CKIT_BUF_INIT;
    ckit_args_init(&args);
    ckit_args_int(&args, key);
    switch (dice % 16) {
    case 0: (void)ckit_cache_invalidate(s->cache, &scope, NULL, NULL); break;
    case 1:
    case 2: (void)ckit_function_invalidate(s->functions[function], NULL, NULL); break;
    case 3:
        CHECK_OK(ckit_function_key(s->functions[function], &args, &text, NULL));
        (void)ckit_cache_delete(s->cache, ckit_buf_slice(&text), NULL, NULL);
        ckit_buf_fini(&text);
        break;
    default: (void)ckit_invalidate(s->functions[function], &args, NULL); break;
    }
    ckit_args_fini(&args);
}

static void *change_calls(void *arg) {
    worker *w = arg;
    soak   *s = w->soak;
    for (uint64_t i = 0; i < s->rounds / 2; i++) {
        uint64_t dice = next_random(&w->random);
        int      function = (int)(dice % FUNCTIONS), key = (int)(dice / 8 % KEYS);
        truth   *t = &s->calls[function][key];
        pthread_mutex_lock(&t->changing);
        uint64_t version = atomic_fetch_add(&t->version, 1) + 1;
        forget_call(s, function, key, dice / 1024);
        atomic_store(&t->floor, version);
        pthread_mutex_unlock(&t->changing);
    }
    return NULL;
}

static void *change_entries(void *arg) {
    worker            *w = arg;
    soak              *s = w->soak;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.encoding = CKIT_RAW;
    for (uint64_t i = 0; i < s->rounds / 2; i++) {
        uint64_t   dice = next_random(&w->random);
        int        key = (int)(dice % KEYS);
        ckit_slice name = ckit_slice_of(&key, sizeof key);
        truth     *t = &s->entries[key];
        pthread_mutex_lock(&t->changing);
        uint64_t version = atomic_fetch_add(&t->version, 1) + 1;
        options.ttl_ms = dice % 3 == 0 ? 2 : 0;
        if (dice / 64 % 4 == 0) {
            (void)ckit_cache_delete(s->cache, name, NULL, NULL);
        } else {
            CHECK_OK(ckit_cache_set(s->cache, name, ckit_slice_of(&version, sizeof version), &options, NULL));
        }
        atomic_store(&t->floor, version);
        pthread_mutex_unlock(&t->changing);
    }
    return NULL;
}

/* ---- a loop ------------------------------------------------------------------------------------------------------ */

#define IN_FLIGHT 16

typedef struct operation {
    soak      *soak;
    truth     *truth;
    uint64_t   floor;
    bool       busy;
    ckit_op   *op;
    ckit_value value;
} operation;

static void end_operation(operation *o, ckit_op *op) {
    if (o->value.source != CKIT_SOURCE_NONE) {
        check_version(o->soak, o->truth, o->floor, &o->value, read_number(&o->value));
    }
    ckit_value_fini(&o->value);
    ckit_op_free(op);
    o->op = NULL;
    o->busy = false;
}

static void compute(operation *o, ckit_op *op) {
    ckit_buf    document = CKIT_BUF_INIT;
    ckit_writer w;
    uint64_t    version = atomic_load(&o->truth->version);
    linger();
    ckit_writer_init(&w, &document);
    write_version(&w, version);
    CHECK_OK(ckit_writer_finish(&w, NULL));
    ckit_result result = {.struct_size = sizeof result,
                          .status = version % 17 == 3 ? CKIT_E_FUNCTION : CKIT_OK,
                          .document = ckit_buf_slice(&document)};
    ckit_value_fini(&o->value); /* a stale one has been looked at */
    if (ckit_finish(op, &result, &o->value, NULL) != CKIT_PENDING) {
        end_operation(o, op);
    }
    ckit_buf_fini(&document);
}

static void on_ready(void *context, ckit_op *op, ckit_status st) {
    operation *o = context;
    if (st == CKIT_COMPUTE) {
        compute(o, op);
        return;
    }
    CHECK(st == CKIT_OK || st == CKIT_STALE);
    ckit_op_take(op, &o->value);
    if (ckit_op_computes(op)) { /* the ticket to refresh it, too */
        check_version(o->soak, o->truth, o->floor, &o->value, read_number(&o->value));
        compute(o, op);
        return;
    }
    end_operation(o, op);
}

static void begin_operation(operation *o, soak *s, ckit_poll *poller, uint64_t dice) {
    int       function = (int)(dice % FUNCTIONS), key = (int)(dice / 8 % KEYS);
    ckit_args args;
    o->soak = s;
    o->truth = &s->calls[function][key];
    o->floor = atomic_load(&o->truth->floor);
    o->busy = true;
    ckit_args_init(&args);
    ckit_args_int(&args, key);
    ckit_start  start = {.struct_size = sizeof start,
                         .function = s->functions[function],
                         .args = &args,
                         .poll = poller,
                         .ready = on_ready,
                         .context = o};
    ckit_status st = ckit_begin(&start, &o->op, &o->value, NULL);
    ckit_args_fini(&args);
    if (st == CKIT_STALE && o->op != NULL) {
        check_version(s, o->truth, o->floor, &o->value, read_number(&o->value));
        compute(o, o->op);
    } else if (st == CKIT_COMPUTE) {
        compute(o, o->op);
    } else if (st != CKIT_PENDING) {
        CHECK(st == CKIT_OK || st == CKIT_STALE);
        end_operation(o, NULL);
    }
}

static void *poll_calls(void *arg) {
    worker    *w = arg;
    soak      *s = w->soak;
    operation  operations[IN_FLIGHT];
    ckit_poll *poller;
    memset(operations, 0, sizeof operations);
    CHECK_OK(ckit_poll_new(s->cache, &poller, NULL));
    uint64_t begun = 0;
    bool     busy = true;
    while (busy) {
        struct pollfd watched = {.fd = ckit_poll_fd(poller), .events = POLLIN};
        busy = false;
        for (int i = 0; i < IN_FLIGHT; i++) {
            uint64_t dice = next_random(&w->random);
            if (!operations[i].busy && begun < s->rounds) {
                begun++;
                begin_operation(&operations[i], s, poller, dice);
            } else if (operations[i].busy && operations[i].op != NULL && dice / 128 % 64 == 0) {
                ckit_op_free(operations[i].op); /* cancelled */
                ckit_value_fini(&operations[i].value);
                operations[i] = (operation){.busy = false};
            }
            busy |= operations[i].busy;
        }
        busy |= begun < s->rounds;
        (void)poll(&watched, 1, 1);
        (void)ckit_poll_dispatch(poller);
    }
    ckit_poll_close(poller);
    return NULL;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static void init_truth(truth *t) {
    pthread_mutex_init(&t->changing, NULL);
    atomic_init(&t->version, 1);
    atomic_init(&t->floor, 0);
}

static void open_soak(soak *s, fake_kind kind, bool store, const ckit_cache_options *options) {
    memset(s, 0, sizeof *s);
    s->rounds = is_soak() ? 400000 : 4000;
    if (store) {
        s->store = fake_store_open(NULL);
        fake_dawdle(s->store, true);
    }
    CHECK_OK(ckit_cache_new(options, store ? fake_connect(s->store, kind) : NULL, &s->cache, NULL));
    for (int k = 0; k < KEYS; k++) {
        init_truth(&s->entries[k]);
        for (int f = 0; f < FUNCTIONS; f++) {
            init_truth(&s->calls[f][k]);
        }
    }
}

static void print_seen(soak *s) {
    (void)printf("   answers: memory %llu, store %llu, function %llu, flight %llu; stale %llu\n",
                 (unsigned long long)s->seen[CKIT_SOURCE_MEMORY], (unsigned long long)s->seen[CKIT_SOURCE_STORE],
                 (unsigned long long)s->seen[CKIT_SOURCE_FUNCTION], (unsigned long long)s->seen[CKIT_SOURCE_FLIGHT],
                 (unsigned long long)s->stale);
}

static void run_soak(fake_kind kind, bool store, ckit_switch memory) {
    static const struct {
        void *(*run)(void *);
        int count;
    } jobs[] = {
        {call_calls, CALLERS}, {get_entries, 1}, {change_calls, CHANGERS}, {change_entries, 1}, {poll_calls, 2}};
    static soak        s;
    worker             loaders[FUNCTIONS], workers[16];
    int                count = 0;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_log           quiet = {.level = CKIT_LOG_OFF};
    options.l1 = memory;
    options.log = &quiet;
    options.lock_wait_ms = 50;
    options.sweep_interval_ms = 10;
    open_soak(&s, kind, store, &options);
    for (int f = 0; f < FUNCTIONS; f++) {
        ckit_function_options o = CKIT_FUNCTION_OPTIONS_INIT;
        o.ttl_ms = f == 0 ? 0 : 2; /* the second one's values are stale most of the time */
        o.stale_ms = f == 0 ? 0 : 1000;
        loaders[f] = (worker){.soak = &s, .function = f};
        CHECK_OK(ckit_function_new(s.cache, f == 0 ? "soak.fresh" : "soak.stale", load_version, &loaders[f], &o,
                                   &s.functions[f], NULL));
    }
    for (size_t j = 0; j < sizeof jobs / sizeof jobs[0]; j++) {
        for (int i = 0; i < jobs[j].count; i++, count++) {
            workers[count] = (worker){.soak = &s, .random = 0x9e3779b97f4a7c15u * (uint64_t)(count + 1)};
            CHECK_EQ_I(0, pthread_create(&workers[count].thread, NULL, jobs[j].run, &workers[count]));
        }
    }
    for (int i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    print_seen(&s);
    for (int f = 0; f < FUNCTIONS; f++) {
        ckit_function_close(s.functions[f]);
    }
    ckit_cache_close(s.cache);
    if (store) {
        CHECK(!fake_is_locked(s.store));
        fake_store_close(s.store);
    }
}

CKIT_TEST(soak, nobody_sees_what_was_invalidated_through_memory_and_a_store) { run_soak(FAKE_FULL, true, CKIT_ON); }
CKIT_TEST(soak, nor_with_locks) { run_soak(FAKE_LOCKING, true, CKIT_ON); }
CKIT_TEST(soak, nor_through_a_store_that_takes_requests) { run_soak(FAKE_SUBMITTING, true, CKIT_ON); }
CKIT_TEST(soak, nor_through_a_store_alone) { run_soak(FAKE_FULL, true, CKIT_OFF); }
CKIT_TEST(soak, nor_through_memory_alone) { run_soak(FAKE_FULL, false, CKIT_ON); }
