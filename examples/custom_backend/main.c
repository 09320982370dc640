/* A cache over a store of one's own: the value is computed once, then found in memory, then found on the shelf. */
#include "shelf.h"

#include <cachekit/cachekit.h>
#include <stdio.h>

static ckit_status measure(ckit_cache *cache, ckit_error *err) {
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_slice  key = ckit_slice_str("greeting");
    ckit_slice  text = ckit_slice_str("good morning");
    ckit_status st = ckit_cache_set(cache, key, text, NULL, err);
    if (st == CKIT_OK) {
        st = ckit_cache_get(cache, key, NULL, &value, err);
    }
    if (st == CKIT_OK && !ckit_slice_equal(text, value.data)) {
        st = ckit_fail(err, CKIT_E_IO, "example", "another value came back");
    }
    ckit_value_fini(&value);
    return st;
}

static ckit_status look_at_the_store(ckit_cache *cache, ckit_error *err) {
    ckit_health health;
    ckit_cache_health(cache, &health);
    printf("%s: %s, %llu entries\n", health.backend_type, health.healthy ? "healthy" : health.detail,
           (unsigned long long)health.entries);
    return health.healthy && health.entries == 1 ? CKIT_OK
                                                 : ckit_fail(err, CKIT_E_IO, "example", "the shelf is not as expected");
}

int main(void) {
    ckit_error    err = CKIT_ERROR_INIT;
    ckit_backend *shelf = NULL;
    ckit_cache   *cache = NULL;

    ckit_status st = shelf_open(NULL, &shelf, &err);
    if (st == CKIT_OK) {
        st = ckit_cache_new(NULL, shelf, &cache, &err); /* the shelf is the cache's from now on */
    }
    if (st == CKIT_OK) {
        st = measure(cache, &err);
    }
    if (st == CKIT_OK) {
        st = look_at_the_store(cache, &err);
    }
    if (st != CKIT_OK) {
        fprintf(stderr, "%s %s: %s\n", ckit_status_code(err.status), err.where, err.text);
    }
    ckit_cache_close(cache);
    return st == CKIT_OK ? 0 : 1;
}
