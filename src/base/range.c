#include "base/range.h"

ckit_status ckiti_check_ranges(const char *where, const ckiti_range *ranges, size_t count, ckit_error *err) {
    for (size_t i = 0; i < count; i++) {
        const ckiti_range *r = &ranges[i];
        if (r->value < r->low || r->value > r->high) {
            return ckit_fail(err, CKIT_E_CONFIGURATION, where, "%s is %llu, allowed is %llu to %llu", r->name,
                             (unsigned long long)r->value, (unsigned long long)r->low, (unsigned long long)r->high);
        }
    }
    return CKIT_OK;
}
