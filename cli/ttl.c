#include "support/keys.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/buf.h>
#include <inttypes.h>

typedef struct ttl_options {
    bool seconds;
} ttl_options;

/* Stores that cannot tell it alone tell it with the value. */
static ckit_status ask(const cli_store *store, ckit_slice key, uint64_t *life_ms, ckit_error *err) {
    if (store->ops->ttl != NULL) {
        return store->ops->ttl(store->self, key, CKIT_NO_DEADLINE, life_ms, err);
    }
    ckit_buf    value = CKIT_BUF_INIT;
    ckit_status st = store->ops->get(store->self, key, CKIT_NO_DEADLINE, &value, life_ms, err);
    ckit_buf_fini(&value);
    return st;
}

static void print_life(uint64_t life_ms, bool seconds) {
    char text[CLI_UNITS_TEXT];
    if (seconds && life_ms == CKIT_LIFE_NO_EXPIRY) {
        cli_print("none\n");
    } else if (seconds && life_ms != CKIT_LIFE_UNKNOWN) {
        cli_print("%" PRIu64 "\n", life_ms / 1000);
    } else {
        cli_print("%s\n", cli_life_text(life_ms, text));
    }
}

static void answer(const cli_common *common, const ttl_options *o, const char *operand, uint64_t life_ms) {
    if (common->json) {
        json_object *object = cli_json_of_key(operand);
        cli_json_add(object, "found", cli_json_bool(true));
        cli_json_add(object, "life", cli_json_life(life_ms));
        cli_print_json(object);
    } else {
        print_life(life_ms, o->seconds);
    }
}

static int run(const cli_common *common, const void *options, char **operands, int count) {
    cli_store store;
    ckit_buf  key = CKIT_BUF_INIT;
    if (!cli_operands("ttl", operands, count, 1, 1)) {
        return CLI_USAGE;
    }
    int code = cli_store_open(&store, common);
    if (code == CLI_DONE) {
        ckit_error err = CKIT_ERROR_INIT;
        uint64_t   life_ms = CKIT_LIFE_UNKNOWN;
        if (!cli_store_key(&store, operands[0], &key)) {
            code = CLI_USAGE;
        } else {
            ckit_status st = ask(&store, ckit_buf_slice(&key), &life_ms, &err);
            if (st == CKIT_OK) {
                answer(common, options, operands[0], life_ms);
            } else {
                code = st >= CKIT_E_FIRST ? cli_call_failed(st, &err)
                                          : cli_answer_key(common, operands[0], "found", false);
            }
        }
    }
    ckit_buf_fini(&key);
    cli_store_close(&store);
    return code;
}

static const cli_option options[] = {
    {"seconds", 0, CLI_FLAG, NULL, "print whole seconds, rounded down; none without expiry",
     CLI_FIELD(ttl_options, seconds), NULL},
};

static const cli_exit_row exits[] = {{"1", "a miss: no such entry"}, {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit set report ready --ttl 15m && cachekit ttl report", "prints e.g. 15m"},
    {"cachekit ttl --seconds report", "prints e.g. 900"},
    {NULL, NULL}};

const cli_command cli_ttl_command = {
    .name = "ttl",
    .operands = "KEY",
    .summary = "tell how long an entry still lives",
    .description = "Prints the remaining life of the entry of KEY: its two largest units (59m58s, 6d23h), \"no "
                   "expiry\" for one that is kept until it is removed, or \"unknown\" when the store cannot tell. With "
                   "--seconds it is one whole number instead, or \"none\" or \"unknown\". Exit "
                   "code 1, and nothing printed, when there is no such entry. With --json the life is a number of "
                   "seconds, null without expiry, or \"unknown\".",
    CLI_OPTIONS(options, ttl_options),
    .examples = examples,
    .exits = exits,
    .run = run,
};
