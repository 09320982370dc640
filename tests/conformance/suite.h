/* conformance/suite.h - the examination that every store faces.
 *
 * A store joins with one line in a file of its own:
 *
 *     static ckit_status open_shelf(const suite_place *place, ckit_backend **out, ckit_error *err) {
 *         return shelf_open(place->env, out, err);
 *     }
 *     CKIT_BACKEND_SUITE(shelf, open_shelf)
 *
 * and with one in CMakeLists.txt: ckit_conformance(shelf shelf_suite.c). Operations that the store does not have are
 * skipped. What a store may do differently stands in suite_subject, given behind the function:
 *
 *     CKIT_BACKEND_SUITE(file, open_file, .granularity_ms = 1000, .outlives_process = true) */
#ifndef CKIT_CONFORMANCE_SUITE_H
#define CKIT_CONFORMANCE_SUITE_H

#include <cachekit/buf.h>
#include <cachekit/ext/backend.h>

#include "support/failing_alloc.h"
#include "support/fake_clock.h"
#include "support/scratch.h"
#include "support/test.h"

/* What a store is opened with. */
typedef struct suite_place {
    const char             *dir; /* a fresh directory, for stores that need one */
    const ckit_backend_env *env; /* a clock that the tests move, an allocator that counts */
} suite_place;

typedef ckit_status (*suite_open_fn)(const suite_place *place, ckit_backend **out, ckit_error *err);

typedef struct suite_subject {
    const char   *name;
    suite_open_fn open;
    uint64_t      granularity_ms;   /* how much longer than asked an entry may live; 0 = exact */
    size_t        max_value_bytes;  /* the largest value; 0 = not tried */
    bool          outlives_process; /* what a forked child stores is seen by its parent */
} suite_subject;

extern const suite_subject suite_the_subject;
#define CKIT_BACKEND_SUITE(name_, open_, ...)                                                                          \
    const suite_subject suite_the_subject = {.name = #name_, .open = (open_), __VA_ARGS__};

/* A store opened for one test. */
typedef struct suite {
    char                    dir[SCRATCH_PATH];
    fake_clock              time;
    failing_alloc           memory;
    ckit_backend_env        env;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
} suite;

void suite_begin(suite *s);
/* The same with the n-th request for memory failing; the status of opening, `s->backend` NULL when it failed. */
ckit_status suite_begin_failing(suite *s, uint64_t fail_at);
/* Closes and checks that all memory was given back. */
void suite_end(suite *s);
/* Ends the test as skipped when the store has no such operation. */
#define SUITE_NEEDS(s, operation)                                                                                      \
    do {                                                                                                               \
        if ((s)->ops->operation == NULL) {                                                                             \
            suite_end(s);                                                                                              \
            SKIP("%s has no %s", suite_the_subject.name, #operation);                                                  \
        }                                                                                                              \
    } while (0)

/* Operations without a deadline and with their failure printed. */
ckit_status suite_set(suite *s, ckit_slice key, ckit_slice value, uint64_t ttl_ms);
ckit_status suite_set_owned(suite *s, const char *key, const char *namespace_name, const char *function);
ckit_status suite_get(suite *s, ckit_slice key, ckit_buf *out, uint64_t *life_ms);
ckit_status suite_remove(suite *s, ckit_slice key);
ckit_status suite_exists(suite *s, ckit_slice key);
/* `key` has exactly this value. */
void suite_expect(suite *s, ckit_slice key, ckit_slice value);
void suite_expect_miss(suite *s, ckit_slice key);
/* Moves the clock to just past the end of a lifetime of `ttl_ms` that began now. */
void suite_outlive(suite *s, uint64_t ttl_ms);

#endif
