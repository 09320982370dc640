#include "support/keys.h"

#include <limits.h>

static ckit_status erase(const cli_store *store, ckit_slice key, const void *options, ckit_error *err) {
    (void)options;
    return store->ops->remove(store->self, key, CKIT_NO_DEADLINE, err);
}

static int run(const cli_common *common, const void *options, char **operands, int count) {
    return cli_operands("delete", operands, count, 1, INT_MAX)
               ? cli_each_key(common, options, operands, "removed", erase)
               : CLI_USAGE;
}

static const cli_exit_row exits[] = {{"1", "at least one entry was not there; the others are removed"}, {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit set report draft && cachekit delete report", "removes one entry"},
    {"cachekit set a 1 && cachekit delete a b --json || true", "tells of every key whether there was an entry"},
    {NULL, NULL}};

const cli_command cli_delete_command = {
    .name = "delete",
    .operands = "KEY...",
    .summary = "remove entries",
    .description = "Removes the entry of every KEY. Exit code 0 when all of them were there, 1 when at least one was "
                   "not (the others are removed all the same). Prints nothing but with --json, which tells it of each "
                   "key in a line of its own.\n\n"
                   "When the store fails (exit code 3), keys behind the one that failed were not tried. Programs that "
                   "hold a value in their own memory may use it until its lifetime ends there.\n\n"
                   "A whole namespace or function is removed by `cachekit invalidate`.",
    .examples = examples,
    .exits = exits,
    .run = run,
};
