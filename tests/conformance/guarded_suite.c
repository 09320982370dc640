/* A store behind its guard is examined like any other: nobody is to notice the difference. */
#include "suite.h"

#include <cachekit/guard.h>
#include <cachekit/memory.h>

static ckit_status open_guarded(const suite_place *place, ckit_backend **out, ckit_error *err) {
    ckit_memory_options options = CKIT_MEMORY_OPTIONS_INIT;
    ckit_status         st = ckit_memory_open(&options, place->env, out, err);
    return st == CKIT_OK ? ckit_backend_guard(*out, NULL, place->env, out, err) : st;
}

CKIT_BACKEND_SUITE(guarded, open_guarded, .granularity_ms = 0)
