#include <cachekit/buf.h>
#include <cachekit/value.h>

#include "support/failing_alloc.h"
#include "support/test.h"

CKIT_TEST(buf, appending_keeps_what_was_there) {
    ckit_buf buf = CKIT_BUF_INIT;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t byte = (uint8_t)i;
        CHECK_OK(ckit_buf_append(&buf, ckit_slice_of(&byte, 1)));
    }
    CHECK_EQ_U(1000, buf.len);
    for (unsigned i = 0; i < 1000; i++) {
        CHECK_EQ_U((uint8_t)i, buf.ptr[i]);
    }
    ckit_buf_fini(&buf);
    CHECK_EQ_U(0, buf.cap);
}

CKIT_TEST(buf, room_that_cannot_exist_is_no_memory_and_changes_nothing) {
    ckit_buf buf = CKIT_BUF_INIT;
    CHECK_OK(ckit_buf_append(&buf, S("abc")));
    CHECK_STATUS(CKIT_E_NO_MEMORY, ckit_buf_reserve(&buf, SIZE_MAX));
    CHECK_STATUS(CKIT_E_NO_MEMORY, ckit_buf_reserve_exact(&buf, SIZE_MAX - 1));
    CHECK_TEXT("abc", ckit_buf_slice(&buf));
    ckit_buf_fini(&buf);
}

CKIT_TEST(buf, a_failed_allocation_leaves_it_as_it_was) {
    failing_alloc fa;
    failing_alloc_init(&fa, 1);
    ckit_buf buf;
    ckit_buf_init(&buf, &fa.alloc);
    CHECK_OK(ckit_buf_append(&buf, S("abc")));
    CHECK_STATUS(CKIT_E_NO_MEMORY, ckit_buf_reserve(&buf, 100000));
    CHECK_TEXT("abc", ckit_buf_slice(&buf));
    ckit_buf_fini(&buf);
    CHECK_EQ_I(0, fa.live_blocks);
}

CKIT_TEST(value, small_bytes_are_copied_into_it_and_large_ones_are_owned) {
    failing_alloc fa;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    uint8_t    bytes[1000] = {7};
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(ckit_value_copy(&value, ckit_slice_of(bytes, CKIT_VALUE_INLINE), &fa.alloc));
    CHECK_EQ_I(0, fa.live_blocks);
    CHECK_OK(ckit_value_copy(&value, ckit_slice_of(bytes, sizeof bytes), &fa.alloc));
    CHECK_EQ_I(1, fa.live_blocks);
    CHECK_BYTES(ckit_slice_of(bytes, sizeof bytes), value.data);
    ckit_value_fini(&value);
    ckit_value_fini(&value);
    CHECK_EQ_I(0, fa.live_blocks);
}

CKIT_TEST(value, what_one_holds_moves_to_another) {
    const size_t sizes[] = {0, 1, CKIT_VALUE_INLINE, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        failing_alloc fa;
        failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
        uint8_t    bytes[1000] = {7, 8};
        ckit_value one = CKIT_VALUE_INIT, other = CKIT_VALUE_INIT;
        CHECK_OK(ckit_value_copy(&one, ckit_slice_of(bytes, sizes[i]), &fa.alloc));
        one.life_ms = 5;
        ckit_value_move(&other, &one);
        CHECK_EQ_U(0, one.data.len);
        ckit_value_fini(&one);
        memset(&one, 1, sizeof one);
        CHECK_BYTES(ckit_slice_of(bytes, sizes[i]), other.data);
        CHECK_EQ_U(5, other.life_ms);
        ckit_value_fini(&other);
        CHECK_EQ_I(0, fa.live_blocks);
    }
}

CKIT_TEST(value, a_buffer_is_taken_without_copying) {
    ckit_buf buf = CKIT_BUF_INIT;
    CHECK_OK(ckit_buf_append(&buf, S("taken")));
    const uint8_t *bytes = buf.ptr;
    ckit_value     value = CKIT_VALUE_INIT;
    ckit_value_take(&value, &buf);
    CHECK_EQ_P(bytes, value.data.ptr);
    CHECK_EQ_P(NULL, buf.ptr);
    ckit_value_fini(&value);
}

CKIT_TEST(value, giving_back_nothing_is_allowed) {
    ckit_value value;
    ckit_value_init(&value);
    ckit_value_fini(&value);
    ckit_value_fini(NULL);
}
