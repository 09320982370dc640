#include "observe/counters.h"

_Static_assert(sizeof(ckiti_counters) == CKITI_COUNTER_STRIPES * 192, "one stripe is three cache lines");
