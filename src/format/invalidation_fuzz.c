/* Messages about changes, from outside: what is accepted keeps to the limits, and is written again and read as the
 * same. */
#include "format/invalidation.h"
#include "support/fuzz_input.h"

static bool same(const ckiti_invalidation *a, const ckiti_invalidation *b) {
    return a->level == b->level && ckit_slice_equal(a->namespace_name, b->namespace_name) &&
           ckit_slice_equal(a->hash, b->hash) && ckit_slice_equal(a->key, b->key);
}

/* The bytes as a key that somebody has changed. */
static void check_key(ckit_slice key) {
    char               digits[CKITI_INVALIDATION_HASH];
    ckit_buf           buf = CKIT_BUF_INIT;
    ckiti_invalidation what = ckiti_invalidation_of_key(key, digits), again;
    check(ckiti_invalidation_write(&what, &buf, NULL) == CKIT_OK);
    check(ckiti_invalidation_read(ckit_buf_slice(&buf), &again, NULL) == CKIT_OK);
    check(same(&what, &again));
    ckit_buf_fini(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ckiti_invalidation what, again;
    ckit_buf           buf = CKIT_BUF_INIT;
    ckit_slice         message = ckit_slice_of(data, size);
    check_key(message);
    if (ckiti_invalidation_read(message, &what, NULL) == CKIT_OK) {
        check(size <= CKITI_INVALIDATION_MAX_BYTES);
        check(ckiti_invalidation_write(&what, &buf, NULL) == CKIT_OK);
        check(ckiti_invalidation_read(ckit_buf_slice(&buf), &again, NULL) == CKIT_OK);
        check(same(&what, &again));
    }
    ckit_buf_fini(&buf);
    return 0;
}
