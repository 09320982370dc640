#include "support/test.h"

#include <cachekit/cachekit.h>
#include <stdio.h>

CKIT_TEST(version, of_the_library_is_the_one_of_the_header) {
    char numbers[32];
    (void)snprintf(numbers, sizeof numbers, "%d.%d.%d", CKIT_VERSION_MAJOR, CKIT_VERSION_MINOR, CKIT_VERSION_PATCH);
    CHECK_STR(CKIT_VERSION, ckit_version());
    CHECK_STR(CKIT_VERSION, numbers);
}
