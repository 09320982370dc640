#include "support/options.h"

#include "support/near.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/types.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option common_options[] = {
    {"store", 0, CLI_TEXT, "URL", "the store to work on, e.g. file:///var/cache/app", CLI_FIELD(cli_common, store),
     NULL},
    {"tenant", 0, CLI_TEXT, "NAME",
     "look at the entries of one tenant only: keys begin with t:NAME:", CLI_FIELD(cli_common, tenant), NULL},
    {"json", 0, CLI_FLAG, NULL, "answer in JSON, for programs", CLI_FIELD(cli_common, json), NULL},
    {"quiet", 'q', CLI_FLAG, NULL, "no warnings and no progress; errors are shown", CLI_FIELD(cli_common, quiet), NULL},
    {"help", 'h', CLI_FLAG, NULL, "show this help", CLI_FIELD(cli_common, help), NULL},
    {"version", 'V', CLI_FLAG, NULL, "tell the version, as the command version does", CLI_FIELD(cli_common, version),
     NULL},
};

static bool allowed(const cli_command *command, const cli_option *option) {
    unsigned traits = command == NULL ? 0 : command->traits;
    switch (option->offset) {
    case CLI_FIELD(cli_common, store): return (traits & CLI_NO_STORE) == 0;
    case CLI_FIELD(cli_common, tenant): return (traits & (CLI_NO_STORE | CLI_NO_TENANT)) == 0;
    case CLI_FIELD(cli_common, json): return (traits & CLI_NO_JSON) == 0;
    case CLI_FIELD(cli_common, version): return command == NULL;
    default: return true;
    }
}

size_t cli_common_options(const cli_command *command, const cli_option *out[CLI_COMMON_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < sizeof common_options / sizeof *common_options; i++) {
        if (allowed(command, &common_options[i])) {
            out[count++] = &common_options[i];
        }
    }
    return count;
}

/* ---- values ------------------------------------------------------------------------------------------------- */

static bool add_to_list(cli_list *list, const char *text) {
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (items == NULL) {
        return false;
    }
    items[list->count++] = text;
    list->items = items;
    return true;
}

static bool parse_lifetime(const char *text, uint64_t *ms) {
    if (strcmp(text, "none") == 0) {
        *ms = CKIT_TTL_NO_EXPIRY;
        return true;
    }
    if (!cli_duration_parse(text, ms)) {
        return false;
    }
    *ms = *ms == 0 ? CKIT_TTL_DO_NOT_STORE : *ms;
    return true;
}

static bool parse_number(const char *text, double *number) {
    char *end;
    *number = strtod(text, &end);
    return end != text && *end == '\0' && *number >= 0 && *number <= 1e18;
}

static bool parse_choice(const cli_option *option, const char *text, const char **choice) {
    for (size_t i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *choice = option->choices[i];
            return true;
        }
    }
    return false;
}

/* False when there is nothing to say about how much it is. */
static bool refuse_too_much(const cli_option *option, const char *text) {
    if ((option->kind == CLI_DURATION || option->kind == CLI_LIFETIME) && cli_duration_is_too_long(text)) {
        cli_error("--%s \"%s\" is too long: at most " CLI_DURATION_MOST "%s", option->name, text,
                  option->kind == CLI_LIFETIME ? ", or none (no expiry)" : "");
        return true;
    }
    if (option->kind == CLI_SIZE && cli_size_is_too_large(text)) {
        cli_error("--%s \"%s\" is too large: at most " CLI_SIZE_MOST, option->name, text);
        return true;
    }
    return false;
}

static bool refuse_value(const cli_option *option, const char *text) {
    if (refuse_too_much(option, text)) {
        return false;
    }
    switch (option->kind) {
    case CLI_DURATION:
        cli_error("--%s \"%s\" is no duration: write e.g. " CLI_DURATION_FORMS, option->name, text);
        break;
    case CLI_LIFETIME:
        cli_error("--%s \"%s\" is no duration: write e.g. " CLI_DURATION_FORMS ", none (no expiry) or 0 (do not store)",
                  option->name, text);
        break;
    case CLI_SIZE: cli_error("--%s \"%s\" is no size: write e.g. " CLI_SIZE_FORMS, option->name, text); break;
    case CLI_COUNT: cli_error("--%s \"%s\" is no whole number", option->name, text); break;
    case CLI_NUMBER: cli_error("--%s \"%s\" is no number from 0 on", option->name, text); break;
    case CLI_CHOICE: {
        char   words[160] = "";
        size_t used = 0;
        for (size_t i = 0; option->choices[i] != NULL && used + 40 < sizeof words; i++) {
            used += (size_t)snprintf(words + used, sizeof words - used, "%s%s", i == 0 ? "" : ", ", option->choices[i]);
        }
        cli_error("--%s \"%s\": it is one of %s", option->name, text, words);
        break;
    }
    default: cli_error("--%s: out of memory", option->name);
    }
    return false;
}

static bool set_value(const cli_option *option, char *base, const char *text) {
    void *field = base + option->offset;
    bool  good = true;
    switch (option->kind) {
    case CLI_FLAG: *(bool *)field = true; break;
    case CLI_TEXT: *(const char **)field = text; break;
    case CLI_LIST: good = add_to_list(field, text); break;
    case CLI_DURATION: good = cli_duration_parse(text, field); break;
    case CLI_LIFETIME: good = parse_lifetime(text, field); break;
    case CLI_SIZE: good = cli_size_parse(text, field); break;
    case CLI_COUNT: good = cli_count_parse(text, field); break;
    case CLI_NUMBER: good = parse_number(text, field); break;
    case CLI_CHOICE: good = parse_choice(option, text, field); break;
    }
    return good || refuse_value(option, text);
}

/* ---- words -------------------------------------------------------------------------------------------------- */

typedef struct table {
    const cli_command *command; /* NULL: the common options alone */
    cli_common        *common;
    char              *options;
} table;

/* An option that was found, and the struct it fills. */
typedef struct found {
    const cli_option *option;
    char             *base;
} found;

static bool is_named(const cli_option *option, const char *name, size_t length, char letter) {
    return letter != 0 ? option->letter == letter
                       : strlen(option->name) == length && memcmp(option->name, name, length) == 0;
}

static found find(const table *t, const char *name, size_t length, char letter) {
    const cli_option *common[CLI_COMMON_MAX];
    size_t            common_count = cli_common_options(t->command, common);
    for (size_t i = 0; t->command != NULL && i < t->command->option_count; i++) {
        if (is_named(&t->command->options[i], name, length, letter)) {
            return (found){&t->command->options[i], t->options};
        }
    }
    for (size_t i = 0; i < common_count; i++) {
        if (is_named(common[i], name, length, letter)) {
            return (found){common[i], (char *)t->common};
        }
    }
    return (found){NULL, NULL};
}

/* The option that a misspelt name is nearest to; NULL = none is near. */
static const char *nearest_option(const table *t, const char *name, size_t length) {
    const cli_option *common[CLI_COMMON_MAX];
    size_t            own = t->command == NULL ? 0 : t->command->option_count;
    size_t            count = cli_common_options(t->command, common);
    const char       *best = NULL;
    unsigned          least = UINT_MAX;
    for (size_t i = 0; i < own + count; i++) {
        const char *candidate = i < own ? t->command->options[i].name : common[i - own]->name;
        unsigned    distance = cli_distance(name, length, candidate);
        if (distance < least) {
            least = distance;
            best = candidate;
        }
    }
    return best;
}

static const char *help_hint(const table *t, char text[80]) {
    (void)snprintf(text, 80, "cachekit %s%s--help", t->command == NULL ? "" : t->command->name,
                   t->command == NULL ? "" : " ");
    return text;
}

/* "--name", "--name=value", "--name value". Answers how many words it took, 0 after an error. */
static int take_long(const table *t, char **words, int count) {
    const char *name = words[0] + 2;
    const char *equals = strchr(name, '=');
    size_t      length = equals == NULL ? strlen(name) : (size_t)(equals - name);
    found       f = find(t, name, length, 0);
    char        hint[80];
    if (f.option == NULL) {
        const char *meant = nearest_option(t, name, length);
        cli_error("there is no option --%.*s%s%s%s: see %s", (int)length, name,
                  meant == NULL ? "" : " (did you mean --", meant == NULL ? "" : meant, meant == NULL ? "" : "?)",
                  help_hint(t, hint));
        return 0;
    }
    if (f.option->kind == CLI_FLAG) {
        if (equals != NULL) {
            cli_error("--%s takes no value", f.option->name);
            return 0;
        }
        return set_value(f.option, f.base, NULL) ? 1 : 0;
    }
    if (equals != NULL) {
        return set_value(f.option, f.base, equals + 1) ? 1 : 0;
    }
    if (count < 2) {
        cli_error("--%s needs a value: --%s %s", f.option->name, f.option->name, f.option->argument);
        return 0;
    }
    return set_value(f.option, f.base, words[1]) ? 2 : 0;
}

/* "-5" is rather meant as an operand. */
static void refuse_letter(const table *t, const char *word, char letter) {
    char hint[80];
    bool operand = letter >= '0' && letter <= '9' && t->command != NULL && t->command->operands != NULL;
    cli_error("there is no option -%c: %s%.40s%s%s", letter,
              operand ? "an operand that begins with - stands behind --: -- " : "", operand ? word : "",
              operand ? "; or see " : "see ", help_hint(t, hint));
}

/* "-q", "-qv", "-n 3", "-n3". */
static int take_letters(const table *t, char **words, int count) {
    for (const char *letter = words[0] + 1; *letter != '\0'; letter++) {
        found f = find(t, NULL, 0, *letter);
        if (f.option == NULL) {
            refuse_letter(t, words[0], *letter);
            return 0;
        }
        if (f.option->kind != CLI_FLAG) {
            if (letter[1] == '\0' && count < 2) {
                cli_error("-%c needs a value: -%c %s", *letter, *letter, f.option->argument);
                return 0;
            }
            const char *value = letter[1] != '\0' ? letter + 1 : words[1];
            return !set_value(f.option, f.base, value) ? 0 : letter[1] != '\0' ? 1 : 2;
        }
        if (!set_value(f.option, f.base, NULL)) {
            return 0;
        }
    }
    return 1;
}

static bool is_option(const char *word) { return word[0] == '-' && word[1] != '\0'; }

static int take_option(const table *t, char **words, int count) {
    return words[0][1] == '-' ? take_long(t, words, count) : take_letters(t, words, count);
}

bool cli_parse_leading(char **words, int count, cli_common *common, int *used) {
    table t = {.common = common};
    *used = 0;
    while (*used < count && is_option(words[*used]) && strcmp(words[*used], "--") != 0) {
        int taken = take_option(&t, words + *used, count - *used);
        if (taken == 0) {
            return false;
        }
        *used += taken;
    }
    return true;
}

/* What was given in front of the command must be something that it understands. */
static bool check_leading(const cli_command *command, const cli_common *common) {
    const char *name = NULL;
    if (common->store != NULL && (command->traits & CLI_NO_STORE) != 0) {
        name = "store";
    } else if (common->tenant != NULL && (command->traits & (CLI_NO_STORE | CLI_NO_TENANT)) != 0) {
        name = "tenant";
    } else if (common->json && (command->traits & CLI_NO_JSON) != 0) {
        name = "json";
    }
    if (name != NULL) {
        cli_error("%s has no --%s", command->name, name);
    }
    return name == NULL;
}

bool cli_parse(const cli_command *command, char **words, int count, cli_parsed *out) {
    out->options = calloc(1, command->options_size + 1);
    out->operands = calloc((size_t)count + 1, sizeof *out->operands);
    if (out->options == NULL || out->operands == NULL) {
        cli_error("out of memory");
        return false;
    }
    if (command->defaults != NULL) {
        command->defaults(out->options);
    }
    table t = {command, &out->common, out->options};
    bool  ended = false;
    for (int at = 0; at < count;) {
        bool operand = ended || !is_option(words[at]);
        if (!operand && strcmp(words[at], "--") == 0) {
            ended = out->dashes = true;
            at++;
        } else if (operand) {
            ended = ended || (command->traits & CLI_STOPS_EARLY) != 0;
            out->operands[out->operand_count++] = words[at++];
        } else {
            int taken = take_option(&t, words + at, count - at);
            if (taken == 0) {
                return false;
            }
            at += taken;
        }
    }
    return out->common.help || check_leading(command, &out->common);
}

void cli_parsed_free(const cli_command *command, cli_parsed *parsed) {
    for (size_t i = 0; parsed->options != NULL && i < command->option_count; i++) {
        if (command->options[i].kind == CLI_LIST) {
            free(((cli_list *)(void *)((char *)parsed->options + command->options[i].offset))->items);
        }
    }
    free(parsed->options);
    free(parsed->operands);
}
