#include "page.h"

#include "completion/completion.h"
#include "roff.h"
#include "support/help.h"

#include <cachekit/cachekit.h>
#include <cachekit/settings.h>
#include <string.h>

static bool is_run(const cli_command *command) { return command->usage_exit == CLI_RUN_FAILED; }
static bool has_store(const cli_command *command) { return (command->traits & CLI_NO_STORE) == 0; }

static void line(FILE *out, const char *text) { roff_line(out, text, strlen(text)); }
static void words(FILE *out, const char *text) { roff_words(out, text, strlen(text)); }
static void section(FILE *out, const char *name) { (void)fprintf(out, ".SH %s\n", name); }

/* The texts of the tables are clauses: here they are sentences. */
static void clause(FILE *out, const char *words, char end, bool begins) {
    char text[1024];
    (void)snprintf(text, sizeof text, "%s%c", words, end);
    if (begins && text[0] >= 'a' && text[0] <= 'z') {
        text[0] = (char)(text[0] - 'a' + 'A');
    }
    line(out, text);
}

static void sentence(FILE *out, const char *words, char end) { clause(out, words, end, true); }

/* Without a date: the same source makes the same page. */
static void title(FILE *out, const char *between, const char *name, const char *summary) {
    (void)fputs(".\\\" Made from the tables of the commands.\n.TH \"CACHEKIT", out);
    (void)fputs(between, out);
    for (const char *at = name; *at != '\0'; at++) {
        (void)fputc(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at, out);
    }
    (void)fprintf(out, "\" \"1\" \"\" \"cachekit %s\" \"CacheKit\"\n.nh\n.ad l\n", ckit_version());
    section(out, "NAME");
    (void)fputs("cachekit", out);
    words(out, between);
    words(out, name);
    (void)fputs(" \\- ", out);
    line(out, summary);
}

/* ---- parts of a page ---------------------------------------------------------------------------------------- */

static void option_tag(FILE *out, const cli_option *option) {
    (void)fputs(".TP\n", out);
    if (option->letter != 0) {
        (void)fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
    }
    (void)fputs("\\fB\\-\\-", out);
    words(out, option->name);
    (void)fputs("\\fR", out);
    if (option->argument != NULL) {
        (void)fputs(" \\fI", out);
        words(out, option->argument);
        (void)fputs("\\fR", out);
    }
    (void)fputc('\n', out);
}

static const char *forms_of(cli_option_kind kind) {
    switch (kind) {
    case CLI_DURATION: return "A duration: 90s, 15m, 1h30m, 7d.";
    case CLI_LIFETIME: return "A duration: 90s, 15m, 1h30m, 7d; `none`: no expiry; 0: do not store.";
    case CLI_SIZE: return "A size: 512, 64K, 20M, 1G.";
    default: return NULL;
    }
}

/* Whether a clause begins with one of the words that the user types: those keep their small letters. */
static bool begins_with_choice(const cli_option *option, const char *clause) {
    size_t length = strcspn(clause, " ,:;");
    for (size_t i = 0; option->kind == CLI_CHOICE && option->choices[i] != NULL; i++) {
        if (strlen(option->choices[i]) == length && memcmp(option->choices[i], clause, length) == 0) {
            return true;
        }
    }
    return false;
}

static void option_entry(FILE *out, const cli_command *command, const cli_option *option) {
    char        text[CLI_HELP_TEXT];
    const char *forms = forms_of(option->kind);
    const char *help = cli_option_help(command, option, text);
    bool        names_words = begins_with_choice(option, help);
    option_tag(out, option);
    clause(out, help, '.', !names_words);
    if (forms != NULL) {
        line(out, forms);
    } else if (option->kind == CLI_CHOICE && !names_words) {
        (void)fputs("One of", out);
        for (size_t i = 0; option->choices[i] != NULL; i++) {
            (void)fputs(i == 0 ? " \\fB" : ", \\fB", out);
            words(out, option->choices[i]);
            (void)fputs("\\fR", out);
        }
        (void)fputs(".\n", out);
    }
}

static void tag(FILE *out, const char *name) {
    (void)fputs(".TP\n\\fB", out);
    words(out, name);
    (void)fputs("\\fR\n", out);
}

static void tagged(FILE *out, const char *name, const char *text) {
    tag(out, name);
    line(out, text);
}

static void examples(FILE *out, const cli_example *example) {
    section(out, "EXAMPLES");
    for (; example->line != NULL; example++) {
        (void)fputs(".PP\n", out);
        sentence(out, example->help, ':');
        (void)fputs(".PP\n.RS 4\n.nf\n\\&", out);
        words(out, example->line);
        (void)fputs("\n.fi\n.RE\n", out);
    }
}

static const cli_exit_row *row_of(const cli_exit_row *rows, const char *code) {
    while (rows != NULL && rows->code != NULL && strcmp(rows->code, code) != 0) {
        rows++;
    }
    return rows == NULL || rows->code == NULL ? NULL : rows;
}

static void exit_row(FILE *out, const cli_exit_row *row) {
    tag(out, row->code);
    sentence(out, row->text, '.');
}

/* The general rows, with the command's own in their places, and then the rest of its own. */
static void exit_status(FILE *out, const cli_command *command) {
    const cli_exit_row *own = command == NULL ? NULL : command->exits;
    const cli_exit_row *general = command != NULL && is_run(command) ? cli_run_exit_rows : cli_exit_rows;
    section(out, "EXIT STATUS");
    for (const cli_exit_row *row = general; row->code != NULL; row++) {
        const cli_exit_row *instead = row_of(own, row->code);
        bool                never =
            command != NULL && (strcmp(row->code, "1") == 0 || (strcmp(row->code, "3") == 0 && !has_store(command)));
        if (instead != NULL || !never) {
            exit_row(out, instead != NULL ? instead : row);
        }
    }
    for (; own != NULL && own->code != NULL; own++) {
        if (row_of(general, own->code) == NULL) {
            exit_row(out, own);
        }
    }
}

/* Does one of `ends` follow these words somewhere? */
static bool mentions(const char *text, const char *searched, const char *ends) {
    size_t length = strlen(searched);
    for (const char *at = strstr(text, searched); at != NULL; at = strstr(at + 1, searched)) {
        if (at[length] != '\0' && strchr(ends, at[length]) != NULL) {
            return true;
        }
    }
    return false;
}

/* Another command, as `NAME` or `cachekit NAME ...`. */
static bool speaks_of(const cli_command *command, const cli_command *other) {
    char alone[64], whole[64];
    (void)snprintf(alone, sizeof alone, "`%s", other->name);
    (void)snprintf(whole, sizeof whole, "`cachekit %s", other->name);
    return command != other &&
           (mentions(command->description, alone, "`") || mentions(command->description, whole, " `"));
}

static void see_also(FILE *out, const cli_command *command) {
    const cli_command *other;
    section(out, "SEE ALSO");
    (void)fputs(command == NULL ? "" : "\\fBcachekit\\fR(1)", out);
    for (size_t i = 0, shown = command == NULL ? 0 : 1; (other = cli_commands[i]) != NULL; i++) {
        if (command == NULL || speaks_of(command, other)) {
            (void)fputs(shown++ == 0 ? "" : ",\n", out);
            (void)fputs("\\fBcachekit\\-", out);
            words(out, other->name);
            (void)fputs("\\fR(1)", out);
        }
    }
    (void)fputc('\n', out);
}

/* ---- environment and files ---------------------------------------------------------------------------------- */

static void setting(FILE *out, const ckit_setting *row) {
    char text[512];
    (void)snprintf(text, sizeof text, "%s Default: %s; %s.", row->help, row->default_text, row->range);
    tagged(out, row->variable, text);
}

static void home_variables(FILE *out) {
    tagged(out, "XDG_CACHE_HOME",
           "Where the files of the user are: in the directory cachekit below it, when nothing else "
           "names a store. A relative path does not count.");
    tagged(out, "HOME", "The same, in .cache/cachekit below it, where XDG_CACHE_HOME is not set.");
}

static void presentation(FILE *out) {
    tagged(out, "NO_COLOR", "Set and not empty: no colours, also on a terminal.");
    tagged(out, "TERM", "Where it is not set or dumb: no colours.");
}

static void environment(FILE *out, const cli_command *command) {
    section(out, "ENVIRONMENT");
    if (is_run(command)) {
        line(out,
             "The variables that select a store for programs do not count here: only `--store` does. With a `--store` "
             "of files, the limits and modes of files that the environment sets (`CACHEKIT_FILE_MAX_SIZE_MB` and the "
             "like; cachekit(1) lists them) hold where the URL says nothing else; your own files have the "
             "defaults.");
    } else if (command->store_default != NULL) {
        line(out,
             "The variables that select a store for programs do not count here. Limits and modes of files that the "
             "environment sets (`CACHEKIT_FILE_MAX_SIZE_MB` and the like; cachekit(1) lists them) do.");
    } else {
        line(out, "Without `--store`, the variables that select a store for programs select it here, e.g. "
                  "`CACHEKIT_FILE_CACHE_DIR`; cachekit(1) lists them.");
    }
    home_variables(out);
    if ((command->traits & CLI_COLOURS) != 0) {
        presentation(out);
    }
}

static void files(FILE *out) {
    section(out, "FILES");
    (void)fputs(".TP\n\\fI$XDG_CACHE_HOME/cachekit\\fR, \\fI\\(ti/.cache/cachekit\\fR\n", out);
    line(out, "The store where no other is named: one file for each entry, readable for its owner alone. It may be "
              "removed as a "
              "whole at any time.");
}

/* ---- pages -------------------------------------------------------------------------------------------------- */

static void synopsis(FILE *out, const cli_command *command) {
    section(out, "SYNOPSIS");
    (void)fputs("\\fBcachekit ", out);
    words(out, command->name);
    (void)fputs("\\fR [\\fIOPTION\\fR]...", out);
    if (command->operands != NULL) {
        (void)fputc(' ', out);
        roff_synopsis(out, command->operands);
    }
    (void)fputc('\n', out);
}

void page_command(const cli_command *command, FILE *out) {
    const cli_option *option;
    title(out, "-", command->name, command->summary);
    synopsis(out, command);
    section(out, "DESCRIPTION");
    roff_paragraphs(out, command->description);
    section(out, "OPTIONS");
    for (size_t i = 0; (option = cli_option_of(command, i)) != NULL; i++) {
        option_entry(out, command, option);
    }
    if (command->examples != NULL) {
        examples(out, command->examples);
    }
    exit_status(out, command);
    if (has_store(command)) {
        environment(out, command);
        files(out);
    }
    see_also(out, command);
}

static void overview_text(FILE *out) {
    roff_paragraphs(
        out,
        "Caches the output of slow commands (`cachekit run`), and looks into caches: those of commands, and those of "
        "programs "
        "that use a CacheKit library.\n\n"
        "A cache is a store. `--store` names it by a URL; else it is the one that the environment selects for "
        "programs, else the "
        "files of the user. `run` alone never takes the store of the environment: the output of commands does not "
        "belong "
        "among the entries of a program.\n\n"
        "Keys are taken byte for byte as they are given. With `--tenant NAME` a command sees the entries of one tenant "
        "only, "
        "and keys are given and shown without the tenant's prefix.\n\n"
        "Answers go to standard output, everything else to standard error: warnings, errors (one line each), and on a "
        "terminal the progress of long work. With `--json` an answer is one JSON value, or one on each line where a "
        "list is "
        "shown; times in it are seconds, sizes are bytes.\n\n"
        "Options are written `--name VALUE` or `--name=VALUE`, by their whole names; `--` ends them. Durations are "
        "written 90s, "
        "15m, 1h30m, 7d (units ms, s, m, h, d, the largest first), sizes 512, 64K, 20M, 1G (powers of 1024).");
}

static void overview_environment(FILE *out) {
    section(out, "ENVIRONMENT");
    home_variables(out);
    tagged(
        out, "CACHEKIT_REDIS_URL, REDIS_URL",
        "Select the Redis server of this URL, the first of them before the second. As programs do, commands then work "
        "on the entries of the tenant \"default\" (keys begin with t:default:), with `--tenant` on those of another "
        "one; a Redis server that `--store` names is shown with all its keys. Passwords are never shown.");
    tagged(out, "CACHEKIT_MEMCACHED_SERVERS, CACHEKIT_API_KEY",
           "Select stores that this version does not have: then commands refuse to work, instead of on another store. "
           "Give "
           "`--store`, or unset the variable.");
    tagged(out, "CACHEKIT_MASTER_KEY",
           "Programs with this variable encrypt what they store. This version does not, and shows sealed values only "
           "as such. "
           "No variable of this name reaches a command that `cachekit run` starts.");
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const ckit_setting *row = ckit_settings_at(i);
        if (strcmp(row->variable, "CACHEKIT_FILE_CACHE_DIR") == 0) {
            tagged(
                out, row->variable,
                "Selects the files in this directory, which is made when absent. Where it is not set, commands use the "
                "user's own files, see below; programs that name no store use memory then, and a Redis server on "
                "this machine if one answers, which commands see with `--store redis://localhost --tenant default`. "
                "The other CACHEKIT_FILE_ variables hold for this directory and for those that "
                "`--store` names, not for the user's own files: these have the defaults.");
        } else if (strcmp(row->group, "files") == 0 || strcmp(row->group, "redis") == 0) {
            setting(out, row);
        }
    }
    presentation(out);
    (void)fputs(".PP\n", out);
    line(out, "Programs read more settings than these; `cachekit doctor` shows what is set and what is wrong.");
}

void page_overview(FILE *out) {
    const cli_command *command;
    const cli_option  *option;
    title(out, "", "", "cache the output of slow commands, and look into caches");
    section(out, "SYNOPSIS");
    (void)fputs("\\fBcachekit\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIOPERAND\\fR]...\n.br\n"
                "\\fBcachekit help\\fR [\\fICOMMAND\\fR]\n",
                out);
    section(out, "DESCRIPTION");
    overview_text(out);
    section(out, "COMMANDS");
    for (size_t i = 0; (command = cli_commands[i]) != NULL; i++) {
        (void)fputs(".TP\n\\fBcachekit\\-", out);
        words(out, command->name);
        (void)fputs("\\fR(1)\n", out);
        line(out, command->summary);
    }
    section(out, "OPTIONS");
    for (size_t i = 0; (option = cli_option_of(NULL, i)) != NULL; i++) {
        option_entry(out, NULL, option);
    }
    exit_status(out, NULL);
    (void)fputs(".PP\n", out);
    line(out, "`cachekit run` answers as the command did; cachekit-run(1) tells the codes of its own.");
    overview_environment(out);
    files(out);
    see_also(out, NULL);
}
