#include "support/listing.h"
#include "support/output.h"
#include "support/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct ls_options {
    const char *namespace_name;
    const char *function;
    const char *sort;
    bool        reverse;
    bool        wide;
} ls_options;

typedef struct showing {
    bool      json;
    cli_table table;
    uint64_t  count;
    uint64_t  bytes;
} showing;

static bool show(void *context, const cli_listed *listed) {
    showing *s = context;
    s->count++;
    s->bytes += listed->entry.size;
    if (s->json) {
        cli_print_json(cli_listed_json(listed, s->table.now_ms));
    } else {
        cli_table_row(&s->table, listed);
    }
    return ferror(stdout) == 0; /* nobody reads further: the rest of the store need not be looked at */
}

static const char *const orders[] = {
    [CLI_BY_NAME] = "name", [CLI_BY_SIZE] = "size", [CLI_BY_AGE] = "age", [CLI_BY_LIFE] = "life", NULL};

static int show_sorted(const cli_store *store, const cli_selection *selection, const ls_options *options, showing *s) {
    cli_order   order = CLI_BY_NAME;
    cli_entries entries;
    while (strcmp(orders[order], options->sort) != 0) {
        order++;
    }
    int code = cli_collect(store, selection, &entries, NULL);
    cli_sort(&entries, order, options->reverse);
    for (size_t i = 0; i < entries.count && show(s, entries.items[i]); i++) {}
    cli_entries_fini(&entries);
    return code;
}

/* For a person who looks on; programs have the lines. */
static void tell_sum(const showing *s, bool quiet) {
    char count[CLI_COUNT_TEXT];
    char bytes[CLI_UNITS_TEXT];
    if (!quiet && isatty(2) == 1) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "%s, %s\n", cli_entries_text(s->count, count), cli_bytes_text(s->bytes, bytes));
    }
}

static int list(const cli_store *store, const cli_selection *selection, const cli_common *common,
                const ls_options *options) {
    showing s = {.json = common->json};
    int     code;
    if (store->ops->list == NULL) {
        return cli_store_cannot(store, "list its entries");
    }
    if (common->json) {
        s.table.now_ms = cli_wall_ms();
    } else {
        cli_table_begin(&s.table, options->wide);
    }
    if (options->sort != NULL) {
        code = show_sorted(store, selection, options, &s);
    } else {
        code = cli_each(store, selection, show, &s, NULL);
    }
    if (code == CLI_DONE && s.count == 0) {
        cli_hint_at_namespaces(store, selection, "");
    }
    if (!common->json) {
        tell_sum(&s, common->quiet);
    }
    return code;
}

static int run(const cli_common *common, const void *given, char **operands, int count) {
    const ls_options *options = given;
    cli_selection     selection;
    cli_store         store;
    (void)operands, (void)count;
    if (options->reverse && options->sort == NULL) {
        cli_error("--reverse needs an order: add --sort name, size, age or life");
        return CLI_USAGE;
    }
    int code = cli_select_in(&store, &selection, common, options->namespace_name, options->function);
    if (code == CLI_DONE) {
        code = list(&store, &selection, common, options);
    }
    cli_leave(&store, &selection);
    return code;
}

static const cli_option options[] = {
    {"namespace", 'n', CLI_TEXT, "NAME", "only the entries of one namespace", CLI_FIELD(ls_options, namespace_name),
     NULL},
    {"function", 'f', CLI_TEXT, "NAME",
     "only the results of one function, as the program names it; without --namespace those that belong to no namespace",
     CLI_FIELD(ls_options, function), NULL},
    {"sort", 0, CLI_CHOICE, "ORDER",
     "name: keys in the order of their bytes; size: largest first; age: oldest first; life: what ends soonest first "
     "[as the store shows them, at once]",
     CLI_FIELD(ls_options, sort), orders},
    {"reverse", 'r', CLI_FLAG, NULL, "the other way round; needs --sort", CLI_FIELD(ls_options, reverse), NULL},
    {"long", 'l', CLI_FLAG, NULL, "show also the function and the store's own name of each entry",
     CLI_FIELD(ls_options, wide), NULL},
};

static const cli_example examples[] = {
    {"cachekit ls", "shows every entry"},
    {"cachekit ls --sort size", "the largest first"},
    {"cachekit ls --function app.report --json", "the results of one function, for a program"},
    {NULL, NULL}};

const cli_command cli_ls_command = {
    .name = "ls",
    .summary = "list the entries of a store",
    .description =
        "Shows the live entries of the store, one a line: the bytes it takes there, its remaining life, its "
        "age (since it was written, or got a new lifetime), its namespace and its key. Without --sort the "
        "lines come as the store finds the entries, in no order, and need no memory.\n\n"
        "A key in brackets is the store's own name of an entry that another program wrote: its key, "
        "namespace and function are not known, so no --namespace, --function or --tenant shows it. On a "
        "terminal there is a head line, keys are cut to the width, and the sum follows on standard error. "
        "Control characters are shown as \\xNN, and so are backslashes and bytes that are not UTF-8.\n\n"
        "--json prints one object per line: key (null when not known; {\"base64\": ...} when it is not "
        "UTF-8), name, namespace, function (null: none or not known), size in bytes, life in seconds (null: "
        "no expiry; \"unknown\"), age in seconds and created in Unix seconds (null: not known).\n\n"
        "An empty store is listed with no line, and the exit code is 0. Where --function alone finds nothing, "
        "and namespaces hold entries of it, a warning says so. Exit code 3: the store cannot be read or cannot "
        "list its entries; what was printed until then is true.",
    CLI_OPTIONS(options, ls_options),
    .examples = examples,
    .run = run,
};
