#include "suite.h"

#include <cachekit/memory.h>

static ckit_status open_memory(const suite_place *place, ckit_backend **out, ckit_error *err) {
    ckit_memory_options options = CKIT_MEMORY_OPTIONS_INIT;
    return ckit_memory_open(&options, place->env, out, err);
}

CKIT_BACKEND_SUITE(memory, open_memory, .granularity_ms = 0)
