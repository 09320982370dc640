#include "support/keys.h"

#include "support/output.h"

#include <cachekit/types.h>
#include <limits.h>

typedef struct touch_options {
    uint64_t ttl_ms;
} touch_options;

static void defaults(void *options) { ((touch_options *)options)->ttl_ms = 3600000; }

static ckit_status lengthen(const cli_store *store, ckit_slice key, const void *options, ckit_error *err) {
    const touch_options *o = options;
    if (store->ops->touch == NULL) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, "store", "a %s store cannot give entries a new lifetime",
                         store->ops->name);
    }
    return store->ops->touch(store->self, key, o->ttl_ms, CKIT_NO_DEADLINE, err);
}

static int run(const cli_common *common, const void *options, char **operands, int count) {
    const touch_options *o = options;
    if (!cli_operands("touch", operands, count, 1, INT_MAX)) {
        return CLI_USAGE;
    }
    if (o->ttl_ms == CKIT_TTL_DO_NOT_STORE) {
        cli_error("--ttl 0 would leave nothing to keep: remove entries with cachekit delete");
        return CLI_USAGE;
    }
    return cli_each_key(common, options, operands, "touched", lengthen);
}

static const cli_option options[] = {
    {"ttl", 't', CLI_LIFETIME, "DURATION", "the lifetime from now on, e.g. 90s, 1h30m, 7d, or none for no expiry [1h]",
     CLI_FIELD(touch_options, ttl_ms), NULL},
};

static const cli_exit_row exits[] = {{"1", "at least one entry was not there; the others have the new lifetime"},
                                     {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit set session open --ttl 60s && cachekit touch session --ttl 1h", "keeps an entry for an hour from now"},
    {"cachekit touch session --ttl none", "keeps it until it is removed"},
    {NULL, NULL}};

const cli_command cli_touch_command = {
    .name = "touch",
    .operands = "KEY...",
    .summary = "give entries a new lifetime",
    .description =
        "Gives the entry of every KEY a new lifetime, counted from now: longer or shorter than the one it had. Values "
        "stay as they are. Without --ttl it is one hour. The longest lifetime is ten years (3650d).\n\n"
        "Exit code 0 when all of them were there, 1 when at least one was not: an absent entry is not made. Prints "
        "nothing but with --json, which tells it of each key in a line of its own. The file store keeps whole seconds, "
        "rounded up.",
    CLI_OPTIONS(options, touch_options),
    .examples = examples,
    .defaults = defaults,
    .exits = exits,
    .run = run,
};
