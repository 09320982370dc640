#include "observe/counters.h"

_Static_assert(sizeof(ckiti_counters) == (size_t)CKITI_COUNTER_STRIPES * 192, "one stripe is three cache lines");
