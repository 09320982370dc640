/* batch.c [URL] - many entries at once: one pass over memory, one batched read of the store for the rest. */
#include <cachekit/cachekit.h>
#include <stdio.h>

enum { STORED = 40, ASKED = 50 };

static char       key_text[ASKED][16];
static ckit_slice keys[ASKED];

/* Stores the first 40 of 50 keys. */
static ckit_status store(ckit_cache *cache, ckit_error *err) {
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.ttl_ms = 60 * 1000;
    ckit_status st = CKIT_OK;
    for (int i = 0; i < ASKED; i++) {
        snprintf(key_text[i], sizeof key_text[i], "colour:%d", i);
        keys[i] = ckit_slice_str(key_text[i]);
    }
    for (int i = 0; i < STORED && st == CKIT_OK; i++) {
        char text[32];
        snprintf(text, sizeof text, "#%02x%02x%02x", (unsigned)i, (unsigned)(i * 5), (unsigned)(255 - i));
        st = ckit_cache_set(cache, keys[i], ckit_slice_str(text), &options, err);
    }
    return st;
}

/* Asks for all of them with one call. */
static ckit_status fetch(ckit_cache *cache, ckit_error *err) {
    ckit_value  values[ASKED];
    ckit_status answers[ASKED];
    int         found = 0;
    int         missing = 0;
    for (int i = 0; i < ASKED; i++) {
        ckit_value_init(&values[i]);
    }
    ckit_status st = ckit_cache_get_many(cache, keys, ASKED, NULL, values, answers, err);
    for (int i = 0; i < ASKED && st == CKIT_OK; i++) {
        found += answers[i] == CKIT_OK;
        missing += answers[i] == CKIT_MISS;
    }
    if (st == CKIT_OK && answers[7] == CKIT_OK) {
        printf("%d found, %d missing; %s is %.*s\n", found, missing, key_text[7], (int)values[7].data.len,
               (const char *)values[7].data.ptr);
    }
    for (int i = 0; i < ASKED; i++) {
        ckit_value_fini(&values[i]); /* also those that were not filled */
    }
    if (st == CKIT_OK && (found != STORED || missing != ASKED - STORED)) {
        st = ckit_fail(err, CKIT_E_MISUSE, "batch", "expected %d found, %d missing", STORED, ASKED - STORED);
    }
    return st;
}

int main(int argc, char **argv) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_cache *cache = NULL;
    ckit_status st = ckit_cache_open(argc > 1 ? argv[1] : "memory:", NULL, &cache, &err);
    if (st == CKIT_OK) {
        st = store(cache, &err);
    }
    if (st == CKIT_OK) {
        st = fetch(cache, &err);
    }
    if (st != CKIT_OK) {
        fprintf(stderr, "%s %s: %s\n", ckit_status_code(err.status), err.where, err.text);
    }
    ckit_cache_close(cache);
    return st == CKIT_OK ? 0 : 1;
}
