/* listing.h - entries of a store, for the commands that work on many of them: chosen, shown, collected, sorted. */
#ifndef CKIT_CLI_LISTING_H
#define CKIT_CLI_LISTING_H

#include "support/clock.h"
#include "support/store.h"

#include <json-c/json_object.h>

/* ---- which ones ---------------------------------------------------------------------------------------------- */

/* What --namespace and --function choose. */
typedef struct cli_selection {
    ckit_scope scope;
    ckit_buf   function; /* what scope.function looks at: the name as entries are filed under it */
} cli_selection;

/* NULL: any. A function alone means the entries of that function that belong to no namespace, as everywhere in the
 * library. CLI_DONE, or an exit code after an error was printed. End it with cli_selection_fini in any case. */
int  cli_select(cli_selection *selection, const char *namespace_name, const char *function);
void cli_selection_fini(cli_selection *selection);
/* The same with the store that they are in, which is opened. End both with cli_leave in any case. */
int  cli_select_in(cli_store *store, cli_selection *selection, const cli_common *common, const char *namespace_name,
                   const char *function);
void cli_leave(cli_store *store, cli_selection *selection);

/* ---- one after the other ------------------------------------------------------------------------------------- */

typedef struct cli_listed {
    ckit_listed entry; /* as the store shows it */
    ckit_slice  key;   /* what the user calls it; empty: the store does not know */
    /* When its life ends (cli_now_ms), as exactly as that can be told; both are CKIT_LIFE_NO_EXPIRY or
     * CKIT_LIFE_UNKNOWN where life_ms is that. */
    uint64_t ends_from_ms;
    uint64_t ends_to_ms;
} cli_listed;

/* False ends the listing. The slices live as long as the call. */
typedef bool (*cli_each_fn)(void *context, const cli_listed *listed);

/* Shows the live entries of `selection`, with a tenant only its own. `hidden` (or NULL) counts those that may belong to
 * the tenant or the selection, but the store does not know their keys; only with a tenant.
 *
 * CLI_DONE; CLI_FAILED when `each` ended it; 128 + the signal after an interrupt; or another exit code after an error
 * was printed: what was shown until then is true all the same. */
int cli_each(const cli_store *store, const cli_selection *selection, cli_each_fn each, void *context, uint64_t *hidden);

/* A function without a namespace is another one than the same function within one, which is easily forgotten. For a
 * selection of such a function that found nothing: a warning when there are entries of it in namespaces; `what` ends
 * its first clause (" and stayed", or empty). */
void cli_hint_at_namespaces(const cli_store *store, const cli_selection *selection, const char *what);

/* ---- all at once --------------------------------------------------------------------------------------------- */

typedef struct cli_entries {
    cli_listed **items;
    size_t       count;
    size_t       capacity;
    uint64_t     bytes; /* what they take together */
    bool         no_memory;
} cli_entries;

/* cli_each into memory; the same answers. End it with cli_entries_fini in any case. */
int  cli_collect(const cli_store *store, const cli_selection *selection, cli_entries *out, uint64_t *hidden);
void cli_entries_fini(cli_entries *entries);

typedef enum cli_order {
    CLI_BY_NAME, /* keys in the order of their bytes, then what has no known key */
    CLI_BY_SIZE, /* largest first */
    CLI_BY_AGE,  /* oldest first, unknown ages last */
    CLI_BY_LIFE  /* what ends soonest first, then what the store cannot tell, then what never ends */
} cli_order;
void cli_sort(cli_entries *entries, cli_order order, bool reverse);

/* ---- shown --------------------------------------------------------------------------------------------------- */

/* Lines for people: size, remaining life, age, namespace, key; with `wide` also the function and the store's own name.
 * On a terminal there is a head, and keys are cut to the width. */
typedef struct cli_table {
    bool    wide;
    size_t  width;  /* of the terminal; SIZE_MAX = none */
    int64_t now_ms; /* Unix time that ages are reckoned from */
} cli_table;
void         cli_table_begin(cli_table *table, bool wide);
void         cli_table_row(const cli_table *table, const cli_listed *listed);
json_object *cli_listed_json(const cli_listed *listed, int64_t now_ms);

/* "1 entry", "12 entries". Returns `text`. */
#define CLI_COUNT_TEXT 40
const char *cli_entries_text(uint64_t count, char text[CLI_COUNT_TEXT]);

/* ---- work of the store that takes long ----------------------------------------------------------------------- */

/* Whether a failure is about the store and not about one entry: then it makes no sense to go on with the next. */
bool cli_is_store_down(ckit_status st);

/* An operation that counts what it did, also when `deadline_ms` ends it. */
typedef ckit_status (*cli_part_fn)(const cli_store *store, const void *context, uint64_t deadline_ms, ckit_deleted *out,
                                   ckit_error *err);
/* Repeats it with short deadlines until it is done, so that an interrupt ends it with a count that is true. `doing` is
 * shown as progress: "removing". `total` counts in any case. CLI_DONE, 128 + the signal after an interrupt, or another
 * exit code after an error was printed. */
int cli_in_parts(const cli_store *store, cli_part_fn part, const void *context, const char *doing, ckit_deleted *total);

#endif
