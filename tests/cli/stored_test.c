#include "support/scratch.h"
#include "support/stored.h"
#include "support/test.h"

#include "support/document_json.h"

#include <cachekit/buf.h>
#include <cachekit/open.h>
#include <cachekit/value.h>
#include <stdio.h>

/* What a program that caches the document finds in its store. */
static void stored_by_the_library(ckit_cache *cache, ckit_slice document, ckit_buf *out) {
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_value         value = CKIT_VALUE_INIT;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.encoding = CKIT_DOCUMENT;
    CHECK_OK_ERR(ckit_cache_set(cache, ckit_slice_str("key"), document, &options, &err), &err);
    options.encoding = CKIT_RAW;
    CHECK_OK_ERR(ckit_cache_get(cache, ckit_slice_str("key"), &options, &value, &err), &err);
    CHECK_OK(ckit_buf_append(out, value.data));
    ckit_value_fini(&value);
}

static void check_same(ckit_cache *cache, const char *json) {
    ckit_error err = CKIT_ERROR_INIT;
    ckit_buf   document = CKIT_BUF_INIT, ours = CKIT_BUF_INIT, theirs = CKIT_BUF_INIT;
    CHECK_OK_ERR(cli_document_from_json(ckit_slice_str(json), &document, &err), &err);
    CHECK_OK_ERR(cli_stored_seal(ckit_buf_slice(&document), &ours, &err), &err);
    stored_by_the_library(cache, ckit_buf_slice(&document), &theirs);
    CHECKF(ckit_slice_equal(ckit_buf_slice(&theirs), ckit_buf_slice(&ours)), "%.40s", json);
    ckit_buf_fini(&document);
    ckit_buf_fini(&ours);
    ckit_buf_fini(&theirs);
}

CKIT_TEST(stored, documents_are_sealed_byte_for_byte_as_the_library_stores_them) {
    char               dir[SCRATCH_PATH], url[SCRATCH_PATH + 8], text[20000] = "\"";
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_cache        *cache;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.l1 = CKIT_OFF;
    scratch_make(dir);
    (void)snprintf(url, sizeof url, "file://%s", dir);
    CHECK_OK_ERR(ckit_cache_open(url, &options, &cache, &err), &err);
    check_same(cache, "null");
    check_same(cache, "\"text\"");
    check_same(cache, "{\"user_id\": 123, \"name\": \"Alice\", \"tags\": [1, 2.5, true, {}]}");
    for (size_t i = 1; i + 2 < sizeof text; i++) { /* long and compressible, so that the level shows */
        text[i] = (char)('a' + i * i % 101 % 26);
    }
    text[sizeof text - 2] = '"';
    check_same(cache, text);
    ckit_cache_close(cache);
    scratch_remove(dir);
}

CKIT_TEST(stored, a_failure_leaves_the_output_as_it_was) {
    ckit_buf   out = CKIT_BUF_INIT;
    cli_stored stored = {.form = CLI_FORM_RAW};
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK(ckit_buf_append(&out, ckit_slice_str("before")));
    CHECK_STATUS_ERR(CKIT_E_MISUSE, cli_document_from_json(ckit_slice_str("[1, {\"a\": 2}, "), &out, &err), &err);
    CHECK_STATUS(CKIT_E_TRUNCATED, cli_document_to_json(ckit_slice_of("\x92\x01", 2), true, &out, NULL));
    CHECK_STATUS(CKIT_E_TRUNCATED, cli_stored_open(ckit_slice_str("CK\x03"), &stored, NULL));
    CHECK_EQ_I(CLI_FORM_RAW, stored.form);
    CHECK_STATUS(CKIT_E_VALUE_TYPE, cli_stored_to_json(&stored, false, &out, NULL));
    CHECK(ckit_slice_equal(ckit_slice_str("before"), ckit_buf_slice(&out)));
    cli_stored_fini(&stored);
    ckit_buf_fini(&out);
}
