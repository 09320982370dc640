#include "suite.h"

#include <cachekit/file.h>

#define LARGEST ((size_t)4 * 1024 * 1024)

static ckit_status open_file(const suite_place *place, ckit_backend **out, ckit_error *err) {
    ckit_file_options options = CKIT_FILE_OPTIONS_INIT;
    options.directory = place->dir;
    options.max_value_bytes = LARGEST;
    options.sync = CKIT_FILE_SYNC_NONE;
    return ckit_file_open(&options, place->env, out, err);
}

CKIT_BACKEND_SUITE(file, open_file, .granularity_ms = 1000, .max_value_bytes = LARGEST, .outlives_process = true)
