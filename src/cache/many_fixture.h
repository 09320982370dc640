/* cache/many_fixture.h - many calls as one: a loader for many that can be held up, and batches in threads of their
 * own. */
#ifndef CKITI_CACHE_MANY_FIXTURE_H
#define CKITI_CACHE_MANY_FIXTURE_H

#include "cache/cache_fixture.h"

#define MOST 8u

/* A loader for many: gives 10 times the argument. */
typedef struct many_loader {
    loader           gate; /* held up as a single one */
    _Atomic uint64_t runs;
    _Atomic uint64_t loaded[64]; /* how often each argument */
    uint64_t         sizes[8];   /* of the first runs */
    int64_t          refuses;    /* this argument fails; 0: none */
    ckit_status      fails;      /* the whole */
    void (*during)(void *context);
    void *context;
} many_loader;

/* A ckit_batch_loader; `context` is a many_loader. */
ckit_status load_many(void *context, ckit_batch_call *calls, size_t count, ckit_error *err);

/* A batch and its answers. */
typedef struct many {
    ckit_function *fn;
    many_loader   *loader; /* NULL: the function's own */
    size_t         count;
    int64_t        arguments[MOST];
    ckit_args      args[MOST];
    ckit_value     out[MOST];
    ckit_status    answers[MOST];
    ckit_status    status;
    ckit_error     err;
    pthread_t      thread;
} many;

void run_many(many *m);
/* In a thread of its own. */
void start_many(many *m);
void join_many(many *m);

/* Answer i is 10 times its argument, from there. */
void check_answer(const char *file, int line, many *m, size_t i, ckit_source source);
#define CHECK_ANSWER(source, m, i) check_answer(__FILE__, __LINE__, (m), (i), (source))
/* The batch has succeeded, and all its answers are from there. */
void check_answers(const char *file, int line, many *m, ckit_source source);
#define CHECK_ANSWERS(source, m) check_answers(__FILE__, __LINE__, (m), (source))
/* All are past their lives; does not free them. */
void check_all_stale(const char *file, int line, const many *m);
#define CHECK_ALL_STALE(m) check_all_stale(__FILE__, __LINE__, (m))

/* A thread that makes batches of MOST of the calls 1 to 60, one after the other: neighbours in the row or `step` apart,
 * in one direction or the other. */
typedef struct crowd {
    ckit_function *fn;
    many_loader   *loader;
    unsigned       rounds;
    unsigned       advance; /* from one batch to the next */
    unsigned       step;
    bool           backwards;
    pthread_t      thread;
} crowd;

#define CROWD_CALLS 60u

void crowd_start(crowd *c);
/* Every call was answered, and rightly. */
void crowd_join(crowd *c);

typedef struct scene {
    fixture        f;
    loader         l; /* of single calls: gives 1 */
    many_loader    m;
    ckit_function *fn;
} scene;

/* In two steps, as a fixture: options may be changed between. */
void scene_start(scene *s, bool store, fake_kind kind);
void scene_open(scene *s, fake_kind kind);
void scene_close(scene *s);

#endif
