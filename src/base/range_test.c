#include "base/range.h"

#include "support/test.h"

CKIT_TEST(range, its_bounds_belong_to_it) {
    const ckiti_range ranges[] = {{"low", 1, 1, 10}, {"high", 10, 1, 10}, {"all", UINT64_MAX, 0, UINT64_MAX}};
    CHECK_OK(ckiti_check_ranges("test", ranges, 3, NULL));
    CHECK_OK(ckiti_check_ranges("test", NULL, 0, NULL));
}

CKIT_TEST(range, the_first_option_outside_is_named_with_what_is_allowed) {
    const ckiti_range ranges[] = {{"right", 5, 1, 10}, {"small", 0, 1, 10}, {"large", 11, 1, 10}};
    ckit_error        err = CKIT_ERROR_INIT;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckiti_check_ranges("test", ranges, 3, &err));
    CHECK_STR("small is 0, allowed is 1 to 10", err.text);
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckiti_check_ranges("test", &ranges[2], 1, &err));
    CHECK_STR("large is 11, allowed is 1 to 10", err.text);
}
