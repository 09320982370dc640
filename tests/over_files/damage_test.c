/* Every prefix and every changed byte of a cache file, read through the whole cache: a wrong value is never given out.
 * Each byte takes ten other values, all 255 with CKIT_SOAK. */
#include "over_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER 50u /* repeats itself: really compressed */
#define FILE_HEADER 14u

typedef struct stage {
    char           dir[SCRATCH_PATH];
    char           path[SCRATCH_PATH + 300]; /* of the only entry's file */
    ckit_cache    *cache;
    ckit_function *function;
    uint8_t       *bytes; /* of that file, sound */
    size_t         len;
} stage;

static void find_entry(stage *s) {
    DIR   *dir = opendir(s->dir);
    size_t found = 0;
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            snprintf(s->path, sizeof s->path, "%s/%s", s->dir, entry->d_name);
            found++;
        }
    }
    closedir(dir);
    CHECK_EQ_U(1, found);
    s->bytes = scratch_read_file(s->path, &s->len);
}

/* Without memory, so that every read goes to the file. */
static void raise_curtain(stage *s, const char *parameters) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_log           silent = {.level = CKIT_LOG_OFF};
    options.l1 = CKIT_OFF;
    options.log = &silent;
    scratch_make(s->dir);
    s->cache = files_open(s->dir, parameters, &options);
    s->function = files_function(s->cache, "stage", NULL);
    s->bytes = NULL;
}

static void drop_curtain(stage *s) {
    free(s->bytes);
    ckit_function_close(s->function);
    ckit_cache_close(s->cache);
    scratch_remove(s->dir);
}

/* The function's value comes back, from the file or computed once more; who gave it. */
static ckit_source call_with(stage *s, ckit_slice planted) {
    scratch_write_file(s->path, planted);
    return files_call(s->function, NUMBER);
}

/* An entry by key is the value, a miss, or (a sound value of another kind) told to be one. */
static ckit_status get_with(stage *s, ckit_slice key, ckit_slice expected, ckit_slice planted) {
    ckit_value value = CKIT_VALUE_INIT;
    scratch_write_file(s->path, planted);
    ckit_status st = ckit_cache_get(s->cache, key, NULL, &value, NULL);
    if (st == CKIT_OK) {
        CHECK_BYTES(expected, value.data);
    } else {
        CHECKF(st == CKIT_MISS || st == CKIT_E_VALUE_TYPE, "%s", ckit_status_name(st));
    }
    ckit_value_fini(&value);
    return st;
}

/* Calls `try` with each variant of the file. */
static void with_each_change(stage *s, size_t from, void (*try)(stage *s, ckit_slice planted, size_t at)) {
    static const uint8_t some[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff, 0x55};
    size_t               changes = getenv("CKIT_SOAK") != NULL ? 255 : sizeof some;
    for (size_t at = from; at < s->len; at++) {
        for (size_t i = 0; i < changes; i++) {
            uint8_t change = changes == 255 ? (uint8_t)(i + 1) : some[i];
            s->bytes[at] ^= change;
            try(s, ckit_slice_of(s->bytes, s->len), at);
            s->bytes[at] ^= change;
        }
    }
}

static void call_changed(stage *s, ckit_slice planted, size_t at) {
    (void)at;
    (void)call_with(s, planted);
}

static const char value_text[] = "a value, a value, a value, a value, a value, a value";

static void get_changed(stage *s, ckit_slice planted, size_t at) {
    (void)at;
    (void)get_with(s, S("key"), S(value_text), planted);
}

CKIT_TEST(damage, no_prefix_of_a_file_changes_what_a_call_gives) {
    stage s;
    raise_curtain(&s, "");
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, files_call(s.function, NUMBER));
    find_entry(&s);
    CHECK_EQ_U(CKIT_SOURCE_STORE, call_with(&s, ckit_slice_of(s.bytes, s.len)));
    for (size_t len = 0; len < s.len; len++) {
        CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_with(&s, ckit_slice_of(s.bytes, len)));
    }
    CHECK_EQ_U(CKIT_SOURCE_STORE, files_call(s.function, NUMBER)); /* the last computation healed it */
    drop_curtain(&s);
}

CKIT_TEST(damage, no_changed_byte_of_a_file_changes_what_a_call_gives) {
    stage s;
    raise_curtain(&s, "");
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, files_call(s.function, NUMBER));
    find_entry(&s);
    with_each_change(&s, 0, call_changed);
    CHECK_EQ_U(CKIT_SOURCE_STORE, call_with(&s, ckit_slice_of(s.bytes, s.len)));
    drop_curtain(&s);
}

CKIT_TEST(damage, an_entry_by_key_is_whole_or_missing) {
    stage s;
    raise_curtain(&s, "");
    CHECK_OK(ckit_cache_set(s.cache, S("key"), S(value_text), NULL, NULL));
    find_entry(&s);
    CHECK_OK(get_with(&s, S("key"), S(value_text), ckit_slice_of(s.bytes, s.len)));
    for (size_t len = 0; len < s.len; len++) {
        CHECK_STATUS(CKIT_MISS, get_with(&s, S("key"), S(value_text), ckit_slice_of(s.bytes, len)));
    }
    with_each_change(&s, 0, get_changed);
    CHECK_OK(get_with(&s, S("key"), S(value_text), ckit_slice_of(s.bytes, s.len)));
    drop_curtain(&s);
}

/* Without checksum and compression nothing can be promised about the value, but nothing may crash. */
static void get_unchecked(stage *s, ckit_slice planted, size_t at) {
    ckit_value value = CKIT_VALUE_INIT;
    (void)at;
    scratch_write_file(s->path, planted);
    ckit_status st = ckit_cache_get(s->cache, S("key"), NULL, &value, NULL);
    CHECKF(st == CKIT_OK || st == CKIT_MISS || st == CKIT_E_VALUE_TYPE, "%s", ckit_status_name(st));
    ckit_value_fini(&value);
}

CKIT_TEST(damage, without_integrity_a_changed_file_is_survived) {
    stage s;
    raise_curtain(&s, "&enable_corruption_detection=false");
    CHECK_OK(ckit_cache_set(s.cache, S("key"), S(value_text), NULL, NULL));
    find_entry(&s);
    for (size_t len = 0; len < s.len; len++) {
        get_unchecked(&s, ckit_slice_of(s.bytes, len), len);
    }
    with_each_change(&s, FILE_HEADER, get_unchecked);
    drop_curtain(&s);
}
