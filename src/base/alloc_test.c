/* Memory through the instance's allocator: sizes that overflow, and sizes of nothing. */
#include "base/alloc.h"

#include "support/failing_alloc.h"
#include "support/test.h"

#include <cachekit/buf.h>

CKIT_TEST(alloc, a_size_that_overflows_is_no_memory_and_is_not_asked_for) {
    failing_alloc fa;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    CHECK_EQ_P(NULL, ckiti_alloc_zeroed(&fa.alloc, SIZE_MAX / 8 + 1, 8));
    CHECK_EQ_P(NULL, ckiti_alloc_zeroed(NULL, SIZE_MAX / 8 + 1, 8));
    CHECK_EQ_U(0, fa.requests);
}

CKIT_TEST(alloc, nothing_is_asked_for_and_given_back_as_one_byte) {
    failing_alloc fa;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    void *block = ckiti_alloc(&fa.alloc, 0);
    CHECK(block != NULL);
    CHECK_EQ_I(1, fa.live_bytes);
    block = ckiti_resize(&fa.alloc, block, 0, 10);
    CHECK_EQ_I(10, fa.live_bytes);
    block = ckiti_resize(&fa.alloc, block, 10, 0);
    CHECK(block != NULL);
    ckiti_free(&fa.alloc, block, 0);
    ckiti_free(&fa.alloc, NULL, 7);
    failing_alloc_check_empty(&fa);
}

CKIT_TEST(alloc, what_is_zeroed_is_zeroed_whoever_gives_it) {
    failing_alloc fa;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    const ckit_alloc *givers[] = {&fa.alloc, NULL};
    for (size_t g = 0; g < 2; g++) {
        uint8_t *bytes = ckiti_alloc_zeroed(givers[g], 25, 4);
        CHECK(bytes != NULL);
        for (size_t i = 0; i < 100; i++) {
            CHECK_EQ_U(0, bytes[i]);
        }
        ckiti_free(givers[g], bytes, 100);
    }
    failing_alloc_check_empty(&fa);
}

CKIT_TEST(alloc, a_copy_of_a_text_ends_with_a_zero_and_may_fail) {
    failing_alloc fa;
    failing_alloc_init(&fa, 2);
    char *text = ckiti_strdup_slice(&fa.alloc, ckit_slice_of("hello there", 5));
    char *empty = ckiti_strdup_slice(&fa.alloc, ckit_slice_of(NULL, 0));
    CHECK_STR("hello", text);
    CHECK_STR("", empty);
    CHECK_EQ_P(NULL, ckiti_strdup_slice(&fa.alloc, S("no more")));
    ckiti_free(&fa.alloc, text, 6);
    ckiti_free(&fa.alloc, empty, 1);
    failing_alloc_check_empty(&fa);
}
