#include "support/figures.h"
#include "support/output.h"
#include "support/shown_url.h"

#include <cachekit/buf.h>
#include <stdio.h>

typedef struct health_options {
    uint64_t timeout_ms;
} health_options;

static const uint64_t *known(const uint64_t *figure) { return *figure == UINT64_MAX ? NULL : figure; }

static json_object *json_figure(uint64_t figure) { return figure == UINT64_MAX ? NULL : cli_json_uint(figure); }

/* `health` NULL: the store could not even be opened, and `detail` says why. `url` NULL: nobody knows which one. */
static void print_json(const ckit_health *health, const char *url, const char *detail) {
    json_object *answer = cli_json_object();
    bool         healthy = health != NULL && health->healthy;
    cli_json_add(answer, "healthy", cli_json_bool(healthy));
    cli_json_add(answer, "latency_ms",
                 health == NULL || health->latency_ms < 0 ? NULL : cli_json_decimals(health->latency_ms, 3));
    cli_json_add(answer, "backend", health == NULL ? NULL : cli_json_text(health->backend_type));
    cli_json_add(answer, "store", url == NULL ? NULL : cli_json_bytes(ckit_slice_str(url)));
    cli_json_add(answer, "entries", health == NULL ? NULL : json_figure(health->entries));
    cli_json_add(answer, "bytes", health == NULL ? NULL : json_figure(health->bytes));
    cli_json_add(answer, "limit_bytes", health == NULL ? NULL : json_figure(health->limit_bytes));
    cli_json_add(answer, "detail", detail[0] == '\0' ? NULL : cli_json_bytes(ckit_slice_str(detail)));
    cli_print_json(answer);
}

static void print_text(const ckit_health *health, const cli_store *store) {
    char text[CLI_OCCUPANCY_TEXT];
    char latency[32] = "unknown";
    if (health->latency_ms >= 0) {
        (void)snprintf(latency, sizeof latency, "%.2f ms", health->latency_ms);
    }
    cli_print("healthy   %s\nlatency   %s\nstore     %s (", health->healthy ? "yes" : "no", latency,
              health->backend_type);
    cli_print_escaped(ckit_slice_str(store->url));
    cli_print(", %s)\n", store->reason);
    cli_print("entries   %s\n", cli_occupancy_text(known(&health->entries), NULL, false, text));
    cli_print("bytes     %s\n", cli_occupancy_text(known(&health->bytes), known(&health->limit_bytes), true, text));
    if (health->healthy && health->detail[0] != '\0') {
        cli_print("detail    ");
        cli_print_escaped(ckit_slice_str(health->detail));
        cli_print("\n");
    }
}

static int ask(const cli_store *store, const cli_common *common, uint64_t timeout_ms) {
    ckit_health health;
    store->ops->health(store->self, cli_deadline_in(timeout_ms), &health);
    if (common->json) {
        print_json(&health, store->url, health.detail);
    } else {
        print_text(&health, store);
    }
    if (!health.healthy) {
        cli_error("the store is not healthy: %s", health.detail);
    }
    return health.healthy ? CLI_DONE : CLI_UNREACHABLE;
}

static int run(const cli_common *common, const void *options, char **operands, int count) {
    const health_options *o = options;
    cli_store             store;
    ckit_error            err = CKIT_ERROR_INIT;
    int                   code;
    (void)operands, (void)count;
    if (o->timeout_ms == 0) {
        cli_error("--timeout must be more than 0");
        return CLI_USAGE;
    }
    ckit_status st = cli_store_look(&store, common, &err);
    if (st == CKIT_OK) {
        code = ask(&store, common, o->timeout_ms);
    } else {
        if (common->json) {
            char shown[CLI_SHOWN_URL];
            print_json(NULL, cli_url_shown(common->store, shown),
                       err.text[0] == '\0' ? ckit_status_text(st) : err.text);
        }
        code = cli_call_failed(st, &err);
    }
    cli_store_close(&store);
    return code;
}

static void defaults(void *options) { ((health_options *)options)->timeout_ms = 5000; }

static const cli_option options[] = {
    {"timeout", 0, CLI_DURATION, "DURATION", "the longest wait for the store [5s]",
     CLI_FIELD(health_options, timeout_ms), NULL},
};

static const cli_exit_row exits[] = {
    {"0", "the store is healthy"}, {"3", "the store is not healthy, or not to be reached in time"}, {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit health", "tries out the store that the other commands use"},
    {"cachekit health --json --timeout 500ms", "the same for a program that watches"},
    {"cachekit health >/dev/null && echo usable", "only the exit code"},
    {NULL, NULL}};

const cli_command cli_health_command = {
    .name = "health",
    .summary = "try out the store",
    .description =
        "Writes, reads and removes something of its own in the store and tells how long that took and how full the "
        "store is. Nobody's entries are touched.\n\n"
        "latency is that of the trial, in milliseconds. entries and bytes are what the store holds now, with its limit "
        "where it has one; a figure that the store cannot tell is \"unknown\", null in JSON.\n\n"
        "Exit code 0: healthy. 3: not healthy, or not to be reached within --timeout; one line on standard error says "
        "why. 2: a setting is wrong. Where `health` says no, `cachekit doctor` looks for the reason.\n\n"
        "With --json one object, also when the store cannot be opened: healthy, latency_ms, backend (\"file\"), store "
        "(its URL), entries, bytes, "
        "limit_bytes, detail.",
    CLI_OPTIONS(options, health_options),
    .defaults = defaults,
    .examples = examples,
    .traits = CLI_NO_TENANT,
    .exits = exits,
    .run = run,
};
