#include "support/figures.h"

#include "support/listing.h"
#include "support/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const cli_figure *cli_figures_find(const cli_figures *figures, const char *name) {
    for (size_t i = 0; i < figures->count; i++) {
        if (strcmp(figures->items[i].name, name) == 0) {
            return &figures->items[i];
        }
    }
    return NULL;
}

static void add(cli_figures *figures, const char *name, bool counter, uint64_t value) {
    if (figures->count < CLI_FIGURES_MAX && cli_figures_find(figures, name) == NULL) {
        cli_figure *item = &figures->items[figures->count++];
        (void)snprintf(item->name, sizeof item->name, "%s", name);
        item->counter = counter;
        item->value = value;
    }
}

static ckit_status take_one(void *context, const ckit_stat *stat) {
    add(context, stat->name, stat->counter, stat->value);
    return CKIT_OK;
}

static void add_level(cli_figures *figures, const char *name, uint64_t value) {
    if (value != UINT64_MAX) {
        add(figures, name, false, value);
    }
}

static bool has_occupancy(const cli_figures *figures) {
    return cli_figures_find(figures, "entries") != NULL && cli_figures_find(figures, "bytes") != NULL &&
           cli_figures_find(figures, "limit_bytes") != NULL;
}

ckit_status cli_figures_take(const cli_store *store, uint64_t deadline_ms, cli_figures *out, ckit_error *err) {
    *out = (cli_figures){.counted = false};
    if (store->ops->stats != NULL) {
        out->counted = true;
        ckit_status st = store->ops->stats(store->self, deadline_ms, take_one, out, &out->since_wall_ms, err);
        if (st != CKIT_OK) {
            return st;
        }
    }
    if (has_occupancy(out)) {
        return CKIT_OK;
    }
    ckit_health health;
    store->ops->health(store->self, deadline_ms, &health);
    if (!health.healthy && !out->counted) {
        return ckit_fail(err, CKIT_E_IO, "stats", "the store is not healthy: %s", health.detail);
    }
    if (!health.healthy) {
        return CKIT_OK; /* what was told stays true */
    }
    add_level(out, "entries", health.entries);
    add_level(out, "bytes", health.bytes);
    add_level(out, "limit_bytes", health.limit_bytes);
    return CKIT_OK;
}

double cli_fullness(const uint64_t *used, const uint64_t *limit) {
    return used == NULL || limit == NULL || *limit == 0 ? -1 : (double)*used / (double)*limit;
}

static void number_text(uint64_t number, bool size, char text[CLI_UNITS_TEXT]) {
    if (size) {
        (void)cli_size_text(number, text);
    } else {
        (void)snprintf(text, CLI_UNITS_TEXT, "%" PRIu64, number);
    }
}

const char *cli_occupancy_text(const uint64_t *used, const uint64_t *limit, bool sizes, char text[CLI_OCCUPANCY_TEXT]) {
    char have[CLI_UNITS_TEXT] = "unknown";
    char most[CLI_UNITS_TEXT];
    if (used != NULL) {
        number_text(*used, sizes, have);
    }
    if (limit == NULL) {
        (void)snprintf(text, CLI_OCCUPANCY_TEXT, "%s", have);
        return text;
    }
    number_text(*limit, sizes, most);
    if (cli_fullness(used, limit) < 0) {
        (void)snprintf(text, CLI_OCCUPANCY_TEXT, "%s, at most %s", have, most);
    } else {
        (void)snprintf(text, CLI_OCCUPANCY_TEXT, "%s of %s (%.1f %%)", have, most, 100 * cli_fullness(used, limit));
    }
    return text;
}
