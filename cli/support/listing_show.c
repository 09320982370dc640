/* Entries as lines for people and as JSON. */
#include "support/listing.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/buf.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NAMESPACE_COLUMN 12u
#define FUNCTION_COLUMN 24u
#define NAME_COLUMN 32u
#define KEY_LEAST 16u /* columns that a key gets, however narrow the terminal is */

const char *cli_entries_text(uint64_t count, char text[CLI_COUNT_TEXT]) {
    (void)snprintf(text, CLI_COUNT_TEXT, "%" PRIu64 " %s", count, count == 1 ? "entry" : "entries");
    return text;
}

static size_t terminal_width(void) {
    struct winsize size;
    if (isatty(1) != 1) {
        return SIZE_MAX;
    }
    return ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void cli_table_begin(cli_table *table, bool wide) {
    *table = (cli_table){.wide = wide, .width = terminal_width(), .now_ms = cli_wall_ms()};
    if (table->width != SIZE_MAX) {
        cli_print("%8s  %9s  %9s  %-*s  ", "SIZE", "LIFE", "AGE", (int)NAMESPACE_COLUMN, "NAMESPACE");
        if (wide) {
            cli_print("%-*s  %-*s  ", (int)FUNCTION_COLUMN, "FUNCTION", (int)NAME_COLUMN, "NAME");
        }
        cli_print("KEY\n");
    }
}

/* Since it was written; stamps from the future count as now. CKIT_LIFE_UNKNOWN when the store does not know. */
static uint64_t age_of(const cli_listed *listed, int64_t now_ms) {
    int64_t created_ms = listed->entry.created_wall_ms;
    if (created_ms <= 0) {
        return CKIT_LIFE_UNKNOWN;
    }
    return created_ms < now_ms ? (uint64_t)(now_ms - created_ms) : 0;
}

/* A column of names, "-" for none; returns how many columns of the terminal it took. */
static size_t print_name(const cli_table *table, ckit_slice name, size_t column) {
    if (name.len == 0) {
        name = ckit_slice_str("-");
    }
    size_t used = cli_print_escaped_in(name, table->width == SIZE_MAX ? SIZE_MAX : column);
    cli_print("%*s", (int)(used < column ? column - used : 0) + 2, "");
    return (used < column ? column : used) + 2;
}

void cli_table_row(const cli_table *table, const cli_listed *listed) {
    char   size[CLI_UNITS_TEXT];
    char   life[CLI_UNITS_TEXT];
    char   age[CLI_UNITS_TEXT];
    size_t used = 8 + 2 + 9 + 2 + 9 + 2;
    cli_print("%8s  %9s  %9s  ", cli_size_text(listed->entry.size, size), cli_life_text(listed->entry.life_ms, life),
              cli_life_text(age_of(listed, table->now_ms), age));
    used += print_name(table, listed->entry.namespace_name, NAMESPACE_COLUMN);
    if (table->wide) {
        used += print_name(table, listed->entry.function, FUNCTION_COLUMN);
        used += print_name(table, listed->entry.name, NAME_COLUMN);
    }
    size_t left = table->width == SIZE_MAX          ? SIZE_MAX
                  : table->width > used + KEY_LEAST ? table->width - used
                                                    : KEY_LEAST;
    if (listed->key.len > 0) {
        (void)cli_print_escaped_in(listed->key, left);
    } else {
        cli_print("[");
        (void)cli_print_escaped_in(listed->entry.name, left == SIZE_MAX ? SIZE_MAX : left - 2);
        cli_print("]");
    }
    cli_print("\n");
}

static json_object *name_or_null(ckit_slice name) { return name.len == 0 ? NULL : cli_json_bytes(name); }

json_object *cli_listed_json(const cli_listed *listed, int64_t now_ms) {
    const ckit_listed *entry = &listed->entry;
    uint64_t           age_ms = age_of(listed, now_ms);
    bool               aged = age_ms != CKIT_LIFE_UNKNOWN;
    json_object       *object = cli_json_object();
    cli_json_add(object, "key", name_or_null(listed->key));
    cli_json_add(object, "name", name_or_null(entry->name));
    cli_json_add(object, "namespace", name_or_null(entry->namespace_name));
    cli_json_add(object, "function", name_or_null(entry->function));
    cli_json_add(object, "size", cli_json_uint(entry->size));
    cli_json_add(object, "life", cli_json_life(entry->life_ms));
    cli_json_add(object, "age", aged ? cli_json_life(age_ms) : NULL);
    cli_json_add(object, "created", aged ? cli_json_life((uint64_t)entry->created_wall_ms) : NULL);
    return object;
}
