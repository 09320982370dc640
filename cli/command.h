/* command.h - what a command of the tool is: a table from which parsing, --help, the man pages and the completion of
 * shells are made, and a function that does the work.
 *
 * A command lives in one file, or in the directory of its name, and ends with its table:
 *
 *     typedef struct ttl_options { bool seconds; } ttl_options;
 *     static const cli_option options[] = {
 *         {"seconds", 's', CLI_FLAG, NULL, "print whole seconds", CLI_FIELD(ttl_options, seconds)},
 *     };
 *     const cli_command cli_ttl_command = {.name = "ttl", ..., CLI_OPTIONS(options, ttl_options), .run = run};
 *
 * and is named once in commands.c. Everything stands on the public headers of the library. */
#ifndef CKIT_CLI_COMMAND_H
#define CKIT_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the tool ends. These numbers are documented and stay. */
typedef enum cli_exit {
    CLI_DONE = 0,
    CLI_ABSENT = 1,      /* a miss: no such entry */
    CLI_USAGE = 2,       /* wrong usage or a wrong setting; nothing was done */
    CLI_UNREACHABLE = 3, /* the store cannot be reached, or fails */
    CLI_FAILED = 4,      /* anything else: a damaged value, output that cannot be written, no memory */
    CLI_RUN_FAILED = 125 /* what `run` answers for its own failures and for wrong usage, whatever the reason */
} cli_exit;

/* ---- options ------------------------------------------------------------------------------------------------ */

typedef enum cli_option_kind {
    CLI_FLAG,     /* bool */
    CLI_TEXT,     /* const char *; NULL = not given */
    CLI_LIST,     /* cli_list: may be given several times */
    CLI_DURATION, /* uint64_t, milliseconds: 90s, 15m, 1h30m, 7d */
    CLI_LIFETIME, /* uint64_t, milliseconds as CKIT_TTL_*: a duration, "none" (no expiry) or 0 (do not store) */
    CLI_SIZE,     /* uint64_t, bytes: 512, 64K, 20M, 1G */
    CLI_COUNT,    /* uint64_t: digits */
    CLI_NUMBER,   /* double: not negative */
    CLI_CHOICE    /* const char *: one of `choices` */
} cli_option_kind;

typedef struct cli_list {
    const char **items;
    size_t       count;
} cli_list;

typedef struct cli_option {
    const char        *name;   /* without "--" */
    char               letter; /* 0 = none */
    cli_option_kind    kind;
    const char        *argument; /* "DURATION"; NULL for flags */
    const char        *help;     /* one sentence without its full stop; defaults in brackets */
    size_t             offset;   /* of the field in the command's options */
    const char *const *choices;  /* CLI_CHOICE: ends with NULL */
} cli_option;

#define CLI_FIELD(type, field) offsetof(type, field)
#define CLI_OPTIONS(table, type)                                                                                       \
    .options = (table), .option_count = sizeof(table) / sizeof *(table), .options_size = sizeof(type)

/* What every command understands; see options.c. */
typedef struct cli_common {
    const char *store;  /* --store; NULL = the environment's or the files of the user */
    const char *tenant; /* --tenant; NULL = none */
    bool        json;
    bool        quiet;
    bool        help;
    bool        version; /* in front of a command only */
} cli_common;

/* ---- commands ----------------------------------------------------------------------------------------------- */

/* Shown in --help and in the man page, and run by the tests as a line of a shell. */
typedef struct cli_example {
    const char *line; /* "cachekit run --ttl 1h -- date" */
    const char *help; /* what it does, one clause */
} cli_example;

/* What an exit code means. */
typedef struct cli_exit_row {
    const char *code; /* "3", "128+N" */
    const char *text; /* one clause */
} cli_exit_row;

enum cli_traits {
    CLI_NO_STORE = 1,      /* has no --store and no --tenant */
    CLI_NO_TENANT = 2,     /* has no --tenant */
    CLI_NO_JSON = 4,       /* has no --json */
    CLI_STOPS_EARLY = 8,   /* the first operand ends the options: what follows belongs to another program */
    CLI_NEEDS_DASHES = 16, /* operands come after "--" only */
    CLI_COLOURS = 32       /* shows colours on a terminal */
};

typedef struct cli_command {
    const char        *name;
    const char        *operands;    /* "KEY", "-- COMMAND [ARG]..."; NULL = none */
    const char        *summary;     /* one line, begins with a verb */
    const char        *description; /* paragraphs, separated by empty lines; lines are filled by whoever shows them, but
                                       for those that begin with a space */
    const cli_option  *options;
    size_t             option_count;
    size_t             options_size; /* of the struct that is handed to `run` */
    const cli_example *examples;     /* ends with a NULL line; NULL = none */
    unsigned           traits;
    const char        *store_default; /* which store without --store; NULL = the environment's, else the user's files */
    const cli_exit_row *exits;      /* in place of the general rows of the same codes, and behind them; ends with a NULL
                                          code; NULL = the general ones */
    int                 usage_exit; /* 0 = CLI_USAGE */
    /* Sets what is not zero by default; NULL = all zero. */
    void (*defaults)(void *options);
    /* Operands end with NULL. The answer is the tool's exit code. */
    int (*run)(const cli_common *common, const void *options, char **operands, int count);
} cli_command;

/* All commands in the order of the documentation; ends with NULL. */
extern const cli_command *const cli_commands[];
const cli_command              *cli_command_named(const char *name);

/* The common options as a table, for help and completion. `command` NULL = all of them. Returns how many of `out`
 * were filled. */
#define CLI_COMMON_MAX 8
size_t cli_common_options(const cli_command *command, const cli_option *out[CLI_COMMON_MAX]);

#endif
