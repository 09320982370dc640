#include "suite.h"

#include "shelf.h"

static ckit_status open_shelf(const suite_place *place, ckit_backend **out, ckit_error *err) {
    return shelf_open(place->env, out, err);
}

CKIT_BACKEND_SUITE(shelf, open_shelf, .max_value_bytes = SHELF_MAX_VALUE_BYTES)
