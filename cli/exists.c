#include "support/keys.h"

#include <limits.h>

static ckit_status look(const cli_store *store, ckit_slice key, const void *options, ckit_error *err) {
    (void)options;
    return store->ops->exists(store->self, key, CKIT_NO_DEADLINE, err);
}

static int run(const cli_common *common, const void *options, char **operands, int count) {
    return cli_operands("exists", operands, count, 1, INT_MAX) ? cli_each_key(common, options, operands, "exists", look)
                                                               : CLI_USAGE;
}

static const cli_exit_row exits[] = {
    {"0", "every entry is there"}, {"1", "at least one entry is not there"}, {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit set report ready && cachekit exists report && echo there", "does something only when there is an entry"},
    {"cachekit exists report draft --json || true", "tells it of every key: one JSON object per line"},
    {NULL, NULL}};

const cli_command cli_exists_command = {
    .name = "exists",
    .operands = "KEY...",
    .summary = "tell whether entries are there",
    .description = "Answers with the exit code: 0 when every KEY has a live entry, 1 when one has none (3: the store "
                   "fails). Prints nothing but with --json, which tells it of each key in a line of its own.\n\n"
                   "An entry whose lifetime has passed is not there, also when its bytes are still in the store. "
                   "Values are not looked at: a damaged one is there.",
    .examples = examples,
    .exits = exits,
    .run = run,
};
