#include "completion/completion.h"

#include "support/output.h"

#include <string.h>

/* ---- what stands where -------------------------------------------------------------------------------------- */

static bool has_word(const char *text, const char *word) {
    size_t length = strlen(word);
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        bool begins = at == text || !((at[-1] >= 'A' && at[-1] <= 'Z') || at[-1] == '-' || at[-1] == '_');
        bool ends = !((at[length] >= 'A' && at[length] <= 'Z') || at[length] == '-' || at[length] == '_');
        if (begins && ends) {
            return true;
        }
    }
    return false;
}

/* "bash|zsh|fish": small letters with bars between. */
static bool is_choice(const char *text, char words[CLI_PLACE_WORDS]) {
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-|");
    if (text[length] != '\0' || strchr(text, '|') == NULL || length >= CLI_PLACE_WORDS) {
        return false;
    }
    memcpy(words, text, length + 1);
    for (char *bar = words; (bar = strchr(bar, '|')) != NULL;) {
        *bar = ' ';
    }
    return true;
}

static cli_place place_of(const char *text, char words[CLI_PLACE_WORDS]) {
    words[0] = '\0';
    if (text == NULL) {
        return CLI_PLACE_ANYTHING;
    }
    if (is_choice(text, words)) {
        return CLI_PLACE_CHOICE;
    }
    if (has_word(text, "COMMAND")) {
        return CLI_PLACE_COMMAND;
    }
    if (has_word(text, "FILE")) {
        return CLI_PLACE_FILE;
    }
    return has_word(text, "DIRECTORY") ? CLI_PLACE_DIRECTORY : CLI_PLACE_ANYTHING;
}

cli_place cli_place_of_option(const cli_option *option, char words[CLI_PLACE_WORDS]) {
    words[0] = '\0';
    if (option->kind == CLI_CHOICE) {
        size_t used = 0;
        for (size_t i = 0; option->choices[i] != NULL && used < CLI_PLACE_WORDS - 1; i++) {
            used +=
                (size_t)snprintf(words + used, CLI_PLACE_WORDS - used, "%s%s", i == 0 ? "" : " ", option->choices[i]);
        }
        return CLI_PLACE_CHOICE;
    }
    if (option->kind == CLI_LIST && strcmp(option->name, "env") == 0) {
        return CLI_PLACE_VARIABLE;
    }
    return option->kind == CLI_TEXT || option->kind == CLI_LIST ? place_of(option->argument, words)
                                                                : CLI_PLACE_ANYTHING;
}

cli_place cli_place_of_operands(const cli_command *command, char words[CLI_PLACE_WORDS]) {
    return place_of(command->operands, words);
}

const cli_option *cli_option_of(const cli_command *command, size_t index) {
    const cli_option *common[CLI_COMMON_MAX];
    size_t            own = command == NULL ? 0 : command->option_count;
    if (index < own) {
        return &command->options[index];
    }
    size_t count = cli_common_options(command, common);
    return index - own < count ? common[index - own] : NULL;
}

void cli_write_escaped(FILE *out, const char *text, const char *special, const char *quote) {
    for (; *text != '\0'; text++) {
        if (*text == '\'' && quote != NULL) {
            (void)fputs(quote, out);
            continue;
        }
        if (strchr(special, *text) != NULL) {
            (void)fputc('\\', out);
        }
        (void)fputc(*text, out);
    }
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static const struct shell {
    const char *name;
    void (*print)(FILE *out);
} shells[] = {{"bash", cli_completion_bash}, {"zsh", cli_completion_zsh}, {"fish", cli_completion_fish}};

static int run(const cli_common *common, const void *options, char **operands, int count) {
    (void)common, (void)options;
    for (size_t i = 0; count == 1 && i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(operands[0], shells[i].name) == 0) {
            shells[i].print(stdout);
            return CLI_DONE;
        }
    }
    if (count == 1) {
        cli_error("there is no completion for \"%s\": it is one of bash, zsh, fish", operands[0]);
    } else {
        cli_error("name one shell: cachekit completion bash, zsh or fish");
    }
    return CLI_USAGE;
}

static const cli_example examples[] = {
    {"source <(cachekit completion bash)", "completes in this bash; in ~/.bashrc, in every one"},
    {"cachekit completion zsh > _cachekit", "the file for a directory of zsh's $fpath"},
    {"mkdir -p ~/.config/fish/completions && cachekit completion fish > ~/.config/fish/completions/cachekit.fish",
     "completes in every fish from now on"},
    {NULL, NULL},
};

const cli_command cli_completion_command = {
    .name = "completion",
    .operands = "bash|zsh|fish",
    .summary = "print a script that completes command lines in a shell",
    .description =
        "Prints a script that teaches a shell to complete the commands of this tool, their options, the words that an "
        "option chooses from, files where a file is meant, and behind `cachekit run --` the command line that is "
        "cached, as "
        "the shell would complete it alone.\n\n"
        "An installed cachekit brings these scripts along, in the places where bash-completion, zsh and fish look for "
        "them: "
        "then nothing is to be done. The script for bash works with and without the package bash-completion; with it, "
        "the "
        "arguments of a cached command are completed as well as its name.\n\n"
        "Keys are not completed: that would ask the store at every press of the key.",
    .examples = examples,
    .traits = CLI_NO_STORE | CLI_NO_JSON,
    .run = run,
};
