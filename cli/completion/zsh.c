/* zsh.c - the script for zsh: the tables as specifications of _arguments. */
#include "completion/completion.h"

#include <string.h>

/* An array named `commands` would hide that of zsh, which completing other commands needs. */
static const char head[] = "#compdef cachekit\n"
                           "# zsh completion for cachekit: made by `cachekit completion zsh`\n"
                           "\n"
                           "_cachekit() {\n"
                           "  local curcontext=$curcontext state state_descr line ret=1\n"
                           "  typeset -A opt_args\n"
                           "  local -a subcommands=(\n";

static const char tail[] =
    "      (help)\n"
    "        _arguments '1: :->command' && ret=0\n"
    "        [[ $state == command ]] && _describe -t commands 'command' subcommands && ret=0\n"
    "        ;;\n"
    "    esac\n"
    "  fi\n"
    "  return ret\n"
    "}\n"
    "\n"
    "# The words from the cached command on are a command line of their own; -- may stand in front.\n"
    "_cachekit_wrapped() {\n"
    "  [[ $words[1] == -- ]] && (( CURRENT > 1 )) && shift words && (( CURRENT-- ))\n"
    "  _normal\n"
    "}\n"
    "\n"
    "# Loaded by compinit, or read with `source <(cachekit completion zsh)`.\n"
    "if [[ $funcstack[1] == _cachekit ]]; then\n"
    "  _cachekit \"$@\"\n"
    "else\n"
    "  compdef _cachekit cachekit\n"
    "fi\n";

/* Texts inside a specification that stands in single quotes. */
static void text(FILE *out, const char *words) { cli_write_escaped(out, words, "[]:\\", "'\\''"); }

static void action(FILE *out, cli_place what, const char *words) {
    switch (what) {
    case CLI_PLACE_FILE: (void)fputs("_files", out); break;
    case CLI_PLACE_DIRECTORY: (void)fputs("_files -/", out); break;
    case CLI_PLACE_VARIABLE: (void)fputs("_parameters -g \"*export*\"", out); break;
    case CLI_PLACE_CHOICE: (void)fprintf(out, "(%s)", words); break;
    default: (void)fputc(' ', out); /* a blank: there is a value, and nothing to offer */
    }
}

/* '(-y --yes)'{-y,--yes}'[help]', '*--env=[help]:NAME:...' */
static void option_spec(FILE *out, const cli_option *option) {
    char        words[CLI_PLACE_WORDS];
    const char *valued = option->kind == CLI_FLAG ? "" : "=";
    (void)fputs("'", out);
    if (option->letter != 0) {
        if (option->kind != CLI_LIST) {
            (void)fprintf(out, "(-%c --%s)", option->letter, option->name);
        }
        (void)fprintf(out, "'{%s-%c%s,%s--%s%s}'", option->kind == CLI_LIST ? "\\*" : "", option->letter,
                      option->kind == CLI_FLAG ? "" : "+", option->kind == CLI_LIST ? "\\*" : "", option->name, valued);
    } else {
        (void)fprintf(out, "%s--%s%s", option->kind == CLI_LIST ? "*" : "", option->name, valued);
    }
    (void)fputc('[', out);
    text(out, option->help);
    (void)fputc(']', out);
    if (option->kind != CLI_FLAG) {
        (void)fputc(':', out);
        text(out, option->argument);
        (void)fputc(':', out);
        action(out, cli_place_of_option(option, words), words);
    }
    (void)fputc('\'', out);
}

static void option_specs(FILE *out, const cli_command *command, const char *indent) {
    const cli_option *option;
    for (size_t i = 0; (option = cli_option_of(command, i)) != NULL; i++) {
        (void)fprintf(out, " \\\n%s", indent);
        option_spec(out, option);
    }
}

static void operand_spec(FILE *out, const cli_command *command) {
    char      words[CLI_PLACE_WORDS];
    cli_place what = cli_place_of_operands(command, words);
    if (command->operands == NULL) {
        return;
    }
    (void)fputs(" \\\n          ", out);
    if (what == CLI_PLACE_COMMAND) {
        (void)fputs("'(-)1: : _command_names -e' '*:: :->wrapped'", out);
        return;
    }
    (void)fputs("'*:", out);
    text(out, command->operands);
    (void)fputc(':', out);
    action(out, what, words);
    (void)fputc('\'', out);
}

static void one_command(FILE *out, const cli_command *command) {
    char words[CLI_PLACE_WORDS];
    (void)fprintf(out, "      (%s)\n        _arguments -S -s", command->name);
    option_specs(out, command, "          ");
    operand_spec(out, command);
    (void)fputs(" && ret=0\n", out);
    if (cli_place_of_operands(command, words) == CLI_PLACE_COMMAND) {
        (void)fputs("        [[ $state == wrapped ]] && _cachekit_wrapped && ret=0\n", out);
    }
    (void)fputs("        ;;\n", out);
}

void cli_completion_zsh(FILE *out) {
    const cli_command *command;
    (void)fputs(head, out);
    for (size_t i = 0; (command = cli_commands[i]) != NULL; i++) {
        (void)fprintf(out, "    '%s:", command->name);
        text(out, command->summary);
        (void)fputs("'\n", out);
    }
    (void)fputs("    'help:show help'\n  )\n  _arguments -C -S", out);
    option_specs(out, NULL, "    ");
    (void)fputs(" \\\n    '1: :->command' '*:: :->words' && ret=0\n"
                "  if [[ $state == command ]]; then\n"
                "    _describe -t commands 'command' subcommands && ret=0\n"
                "  elif [[ $state == words ]]; then\n"
                "    curcontext=${curcontext%:*:*}:cachekit-$words[1]:\n"
                "    case $words[1] in\n",
                out);
    for (size_t i = 0; (command = cli_commands[i]) != NULL; i++) {
        one_command(out, command);
    }
    (void)fputs(tail, out);
}
