/* base/range.h - options that are numbers and lie in a range. */
#ifndef CKITI_BASE_RANGE_H
#define CKITI_BASE_RANGE_H

#include <cachekit/error.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ckiti_range {
    const char *name; /* of the option */
    uint64_t    value;
    uint64_t    low;
    uint64_t    high;
} ckiti_range;

/* CKIT_E_CONFIGURATION with a message about the first that lies outside; else CKIT_OK. */
ckit_status ckiti_check_ranges(const char *where, const ckiti_range *ranges, size_t count, ckit_error *err);

#endif
