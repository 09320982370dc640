#include "base/random.h"

#include "support/test.h"

/* That a byte stays 0 by chance in all rounds happens once in 2 to the 512th. */
CKIT_TEST(random, fills_every_byte_and_none_beyond) {
    uint8_t bytes[40] = {0}, seen[40] = {0};
    for (int round = 0; round < 64; round++) {
        ckiti_random_bytes(bytes + 1, 38);
        for (size_t i = 0; i < sizeof bytes; i++) {
            seen[i] |= bytes[i];
        }
    }
    for (size_t i = 1; i < 39; i++) {
        CHECK(seen[i] != 0);
    }
    CHECK_EQ_U(0, seen[0] | seen[39]);
    CHECK(ckiti_random_u64() != ckiti_random_u64());
}
