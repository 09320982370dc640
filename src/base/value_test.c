/* Values of callers: whose bytes they are, and when these are given back. */
#include <cachekit/value.h>

#include "support/failing_alloc.h"
#include "support/test.h"

#include <cachekit/buf.h>

static int released;

static void count_release(ckit_value *value) {
    (void)value;
    released++;
}

CKIT_TEST(value, is_given_back_once) {
    ckit_value value = CKIT_VALUE_INIT;
    released = 0;
    value.release = count_release;
    ckit_value_fini(&value);
    ckit_value_fini(&value);
    ckit_value_fini(NULL);
    CHECK_EQ_I(1, released);
    CHECK_EQ_P(NULL, value.data.ptr);
}

CKIT_TEST(value, that_moves_takes_the_bytes_inside_it_along) {
    static const char large[CKIT_VALUE_INLINE + 1] = "large";
    failing_alloc     fa;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    for (size_t len = 0; len <= sizeof large; len += sizeof large / 3) {
        ckit_value from = CKIT_VALUE_INIT, to = CKIT_VALUE_INIT;
        CHECK_OK(ckit_value_copy(&from, ckit_slice_of(large, len), &fa.alloc));
        ckit_value_move(&to, &from);
        memset(from.inline_bytes, 'x', sizeof from.inline_bytes);
        ckit_value_fini(&from);
        CHECK_BYTES(ckit_slice_of(large, len), to.data);
        CHECK_EQ_I(len > CKIT_VALUE_INLINE, fa.live_blocks);
        ckit_value_fini(&to);
        failing_alloc_check_empty(&fa);
    }
}

CKIT_TEST(value, that_takes_a_buffer_leaves_it_empty_and_gives_back_what_it_had) {
    failing_alloc fa;
    ckit_buf      buf;
    ckit_value    value = CKIT_VALUE_INIT;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    ckit_buf_init(&buf, &fa.alloc);
    released = 0;
    value.release = count_release;
    CHECK_OK(ckit_buf_append(&buf, S("bytes")));
    ckit_value_take(&value, &buf);
    CHECK_EQ_I(1, released);
    CHECK_TEXT("bytes", value.data);
    CHECK_EQ_U(0, buf.len);
    ckit_buf_fini(&buf);
    ckit_value_fini(&value);
    failing_alloc_check_empty(&fa);
}

CKIT_TEST(value, that_cannot_be_copied_for_want_of_memory_is_empty) {
    static const char large[CKIT_VALUE_INLINE + 1];
    failing_alloc     fa;
    ckit_value        value = CKIT_VALUE_INIT;
    failing_alloc_init(&fa, 0);
    CHECK_STATUS(CKIT_E_NO_MEMORY, ckit_value_copy(&value, ckit_slice_of(large, sizeof large), &fa.alloc));
    CHECK(value.data.len == 0 && value.release == NULL);
}

CKIT_TEST(value, tells_where_it_is_from) {
    CHECK_STR("memory", ckit_source_name(CKIT_SOURCE_MEMORY));
    CHECK_STR("store", ckit_source_name(CKIT_SOURCE_STORE));
    CHECK_STR("function", ckit_source_name(CKIT_SOURCE_FUNCTION));
    CHECK_STR("flight", ckit_source_name(CKIT_SOURCE_FLIGHT));
    CHECK_STR("none", ckit_source_name(CKIT_SOURCE_NONE));
}
