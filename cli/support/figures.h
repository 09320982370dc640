/* figures.h - what a store tells about itself: its counters and levels, gathered from `stats` and `health`. */
#ifndef CKIT_CLI_FIGURES_H
#define CKIT_CLI_FIGURES_H

#include "support/clock.h"
#include "support/store.h"

#define CLI_FIGURES_MAX 64 /* more than a store tells */

typedef struct cli_figure {
    char     name[32];
    bool     counter;
    uint64_t value;
} cli_figure;

typedef struct cli_figures {
    bool       counted;       /* the store keeps counters */
    int64_t    since_wall_ms; /* when counting began, Unix time; 0 = unknown */
    cli_figure items[CLI_FIGURES_MAX];
    size_t     count;
} cli_figures;

/* `stats` where the store has it. Levels of occupancy that are missing then come from `health`, which tries the store
 * out. A store that tells nothing and is not healthy is a failure. */
ckit_status cli_figures_take(const cli_store *store, uint64_t deadline_ms, cli_figures *out, ckit_error *err);
/* NULL = not told. */
const cli_figure *cli_figures_find(const cli_figures *figures, const char *name);
/* "12 of 10000 (0.1 %)", "unknown"; `limit` NULL = not told. Sizes are shown as such. */
#define CLI_OCCUPANCY_TEXT 96
const char *cli_occupancy_text(const uint64_t *used, const uint64_t *limit, bool sizes, char text[CLI_OCCUPANCY_TEXT]);
/* The part that is used, 0 to 1 and beyond; negative = unknown. */
double cli_fullness(const uint64_t *used, const uint64_t *limit);

#endif
