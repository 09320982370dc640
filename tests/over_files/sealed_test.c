/* What lies in the files of a cache that seals: whatever door a value came through, neither it nor a key is found
 * there. */
#include "over_files.h"
#include "support/hex.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#define MASTER "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define DEPLOYMENT "01234567-89ab-4def-8123-456789abcdef"
#define INTEROP_KEY "users:get:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153"

static const char secret[] = "what nobody may read";

/* ---- the search --------------------------------------------------------------------------------------------- */

static struct search {
    ckit_slice needle;
    unsigned   found, files;
} search;

static int look_into(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    size_t len;
    (void)status, (void)walk;
    if (kind == FTW_F) {
        uint8_t *bytes = scratch_read_file(path, &len);
        search.found += memmem(bytes, len, search.needle.ptr, search.needle.len) != NULL;
        search.files++;
        free(bytes);
    }
    return 0;
}

static unsigned files_with(const char *dir, ckit_slice needle) {
    search = (struct search){.needle = needle};
    CHECK_EQ_I(0, nftw(dir, look_into, 8, FTW_PHYS));
    return search.found;
}

/* ---- the doors ---------------------------------------------------------------------------------------------- */

static ckit_status load(void *context, ckit_load *load, ckit_error *err) {
    (void)context, (void)err;
    ckit_write_str(load->result, S(secret));
    return CKIT_OK;
}

static ckit_status load_all(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    (void)context, (void)err;
    for (size_t i = 0; i < count; i++) {
        ckit_write_str(calls[i].result, S(secret));
    }
    return CKIT_OK;
}

static void call_one_and_many(ckit_cache *cache) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_function        *function = NULL;
    ckit_args             args[3], *given[3];
    ckit_value            values[3] = {CKIT_VALUE_INIT, CKIT_VALUE_INIT, CKIT_VALUE_INIT};
    ckit_status           answers[3];
    options.ttl_ms = 60000;
    options.stale_ms = 60000; /* and so a second entry for each */
    options.fail_safe_ms = 60000;
    CHECK_OK(ckit_function_new(cache, "story.secret", load, NULL, &options, &function, NULL));
    for (int i = 0; i < 3; i++) {
        ckit_args_init(&args[i]);
        ckit_args_int(&args[i], i);
        given[i] = &args[i];
    }
    CHECK_OK(ckit_call(function, &args[0], &values[0], NULL));
    CHECK_OK(ckit_call_many(function, given, 3, load_all, NULL, values, answers, NULL));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(answers[i]);
        ckit_value_fini(&values[i]);
        ckit_args_fini(&args[i]);
    }
    ckit_function_close(function);
}

static void set_by_key(ckit_cache *cache) {
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    ckit_buf           document = CKIT_BUF_INIT;
    ckit_writer        w;
    ckit_writer_init(&w, &document);
    ckit_write_str(&w, S(secret));
    CHECK_OK(ckit_writer_finish(&w, NULL));
    CHECK_OK(ckit_cache_set(cache, S("bytes"), S(secret), NULL, NULL));
    options.encoding = CKIT_DOCUMENT;
    CHECK_OK(ckit_cache_set(cache, S("document"), ckit_buf_slice(&document), &options, NULL));
    options.encoding = CKIT_RAW;
    CHECK_OK(ckit_cache_set(cache, S("raw"), S(secret), &options, NULL));
    options.encoding = CKIT_INTEROP;
    CHECK_OK(ckit_cache_set(cache, S(INTEROP_KEY), ckit_buf_slice(&document), &options, NULL));
    ckit_buf_fini(&document);
}

/* How many files show the value when all doors have been used. */
static unsigned shown(ckit_switch encryption) {
    char                 dir[SCRATCH_PATH];
    ckit_keyring_options keys = CKIT_KEYRING_OPTIONS_INIT;
    ckit_cache_options   options = CKIT_CACHE_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    scratch_make(dir);
    keys.master_key_hex = MASTER;
    CHECK_OK(ckit_keyring_open(&keys, &ring, NULL));
    options.keyring = ring;
    options.encryption = encryption;
    options.deployment_id = DEPLOYMENT;
    ckit_cache *cache = files_open(dir, "", &options);
    call_one_and_many(cache);
    set_by_key(cache);
    ckit_cache_close(cache);
    ckit_keyring_close(ring);
    const unsigned found = files_with(dir, S(secret));
    CHECK(search.files >= 7); /* three calls and four entries, and what is stale later */
    CHECK_EQ_U(0, files_with(dir, hex_slice(MASTER)));
    CHECK_EQ_U(0, files_with(dir, S(MASTER)));
    scratch_remove(dir);
    return found;
}

CKIT_TEST(sealed_files, show_neither_values_nor_keys_whatever_door_a_value_came_through) {
    CHECK(shown(CKIT_OFF) >= 7); /* the search finds */
    CHECK_EQ_U(0, shown(CKIT_ON));
}
