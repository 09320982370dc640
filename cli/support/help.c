#include "support/help.h"

#include <string.h>

#define WIDTH 80
#define COLUMN 26

const cli_exit_row cli_exit_rows[] = {
    {"0", "done"},
    {"1", "a miss: no such entry"},
    {"2", "wrong usage or a wrong setting; nothing was done"},
    {"3", "the store cannot be reached or fails"},
    {"4", "anything else, e.g. a damaged value, or output that cannot be written"},
    {NULL, NULL},
};

const cli_exit_row cli_run_exit_rows[] = {
    {"N", "what the command answered, now or when its output was stored"},
    {"125", "cachekit itself failed, or was used wrongly: the command did not run"},
    {"126", "the command was found and cannot be executed"},
    {"127", "the command was not found"},
    {"128+N", "the command was ended by signal N"},
    {NULL, NULL},
};

const char *cli_option_text(const cli_option *option, char text[CLI_OPTION_TEXT]) {
    int used = option->letter == 0 ? 0 : snprintf(text, CLI_OPTION_TEXT, "-%c, ", option->letter);
    (void)snprintf(text + used, CLI_OPTION_TEXT - (size_t)used, "--%s%s%s", option->name,
                   option->argument == NULL ? "" : " ", option->argument == NULL ? "" : option->argument);
    return text;
}

const char *cli_option_help(const cli_command *command, const cli_option *option, char text[CLI_HELP_TEXT]) {
    if (strcmp(option->name, "store") != 0) {
        return option->help;
    }
    (void)snprintf(text, CLI_HELP_TEXT, "%s [%s]", option->help,
                   command == NULL                  ? "depends on the command"
                   : command->store_default != NULL ? command->store_default
                                                    : "the environment's, else your own files");
    return text;
}

/* Fills lines of WIDTH characters that begin in `column`; the first one stands there already. */
static void fill(FILE *out, const char *text, size_t length, int column) {
    int at = column;
    for (size_t i = 0; i < length;) {
        while (i < length && text[i] == ' ') {
            i++;
        }
        size_t word = 0;
        while (i + word < length && text[i + word] != ' ' && text[i + word] != '\n') {
            word++;
        }
        if (at > column && at + 1 + (int)word > WIDTH) {
            (void)fprintf(out, "\n%*s", column, "");
            at = column;
        } else if (at > column) {
            (void)fputc(' ', out);
            at++;
        }
        (void)fwrite(text + i, 1, word, out);
        at += (int)word;
        i += word;
        i += i < length && text[i] == '\n' ? 1 : 0;
    }
    (void)fputc('\n', out);
}

/* Paragraphs are filled; those that begin with a space stay as they are. */
static void paragraphs(FILE *out, const char *text) {
    while (*text != '\0') {
        const char *end = strstr(text, "\n\n");
        size_t      length = end == NULL ? strlen(text) : (size_t)(end - text);
        if (*text == ' ') {
            (void)fprintf(out, "%.*s\n", (int)length, text);
        } else {
            fill(out, text, length, 0);
        }
        (void)fputc('\n', out);
        text += length;
        text += strspn(text, "\n");
    }
}

static void option_row(FILE *out, const cli_command *command, const cli_option *option) {
    char text[CLI_OPTION_TEXT], help[CLI_HELP_TEXT];
    int  used = fprintf(out, "  %s%s", option->letter == 0 ? "    " : "", cli_option_text(option, text));
    if (used >= COLUMN) {
        (void)fputc('\n', out);
        used = 0;
    }
    (void)fprintf(out, "%*s", COLUMN - used, "");
    const char *said = cli_option_help(command, option, help);
    fill(out, said, strlen(said), COLUMN);
}

void cli_help_command(const cli_command *command, FILE *out) {
    const cli_option *common[CLI_COMMON_MAX];
    size_t            count = cli_common_options(command, common);
    (void)fprintf(out, "Usage: cachekit %s [OPTION]...%s%s\n\n", command->name, command->operands == NULL ? "" : " ",
                  command->operands == NULL ? "" : command->operands);
    paragraphs(out, command->description);
    (void)fputs("Options:\n", out);
    for (size_t i = 0; i < command->option_count; i++) {
        option_row(out, command, &command->options[i]);
    }
    for (size_t i = 0; i < count; i++) {
        option_row(out, command, common[i]);
    }
    if (command->examples != NULL) {
        (void)fputs("\nExamples:\n", out);
        for (const cli_example *example = command->examples; example->line != NULL; example++) {
            (void)fprintf(out, "  %s\n      ", example->line);
            fill(out, example->help, strlen(example->help), 6);
        }
    }
}

static void exit_codes(FILE *out) {
    char   text[1024] = "";
    size_t used = 0;
    for (const cli_exit_row *row = cli_exit_rows; row->code != NULL && used < sizeof text; row++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %s; ", row->code, row->text);
    }
    if (used < sizeof text) {
        (void)snprintf(text + used, sizeof text - used,
                       "`run` answers as the command did, and with 125 when it could not run it");
    }
    fill(out, text, strlen(text), 12);
}

void cli_help_overview(FILE *out) {
    (void)fputs("Usage: cachekit COMMAND [OPTION]... [OPERAND]...\n\n"
                "Caches the output of slow commands, and looks into caches.\n\n"
                "Commands:\n",
                out);
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        (void)fprintf(out, "  %-12s%s\n", cli_commands[i]->name, cli_commands[i]->summary);
    }
    const cli_option *common[CLI_COMMON_MAX];
    size_t            count = cli_common_options(NULL, common);
    (void)fputs("\nOptions that most commands have:\n", out);
    for (size_t i = 0; i < count; i++) {
        option_row(out, NULL, common[i]);
    }
    (void)fputs("\nExit codes: ", out);
    exit_codes(out);
    (void)fputs("\n`cachekit COMMAND --help` tells more about one of them.\n", out);
}
