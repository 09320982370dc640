#include "observe/counters.h"

_Static_assert(sizeof(ckiti_counters) == CKITI_COUNTER_STRIPES * 128, "one stripe is two cache lines");
