/* fish.c - the script for fish: one `complete` line for each command and each option. */
#include "completion/completion.h"

#include <string.h>

static const char head[] =
    "# fish completion for cachekit: made by `cachekit completion fish`\n"
    "\n"
    "# The command of the line in front of the cursor.\n"
    "function __cachekit_command\n"
    "    set -l words (commandline -opc)\n"
    "    set -e words[1]\n"
    "    while set -q words[1]\n"
    "        switch $words[1]\n"
    "            case --store --tenant\n"
    "                set -e words[1]\n"
    "            case '-*'\n"
    "            case '*'\n"
    "                echo $words[1]\n"
    "                return 0\n"
    "        end\n"
    "        set -q words[1]; and set -e words[1]\n"
    "    end\n"
    "    return 1\n"
    "end\n"
    "\n"
    "function __cachekit_is\n"
    "    set -l command (__cachekit_command)\n"
    "    and contains -- $command $argv\n"
    "end\n"
    "\n"
    "# __cachekit_wrapped OPTION-WITH-VALUE...: what follows -- or the first operand is a command line of its own.\n"
    "function __cachekit_wrapped\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    set -l last (count $words)\n"
    "    set -l at 2\n"
    "    set -l command\n"
    "    while test $at -lt $last\n"
    "        if test \"$words[$at]\" = --\n"
    "            set at (math $at + 1)\n"
    "            break\n"
    "        else if contains -- $words[$at] $argv\n"
    "            set at (math $at + 1)\n"
    "        else if string match -qv -- '-*' $words[$at]\n"
    "            set -q command[1]; and break\n"
    "            set command $words[$at]\n"
    "        end\n"
    "        set at (math $at + 1)\n"
    "    end\n"
    "    set -l line\n"
    "    test $at -lt $last; and set line (string escape -- $words[$at..(math $last - 1)])\n"
    "    set -a line $words[$last]\n"
    "    test $at -le $last; and complete --do-complete=\"$line\"\n"
    "end\n"
    "\n"
    "complete -c cachekit -f\n"
    "complete -c cachekit -n 'not __cachekit_command' -a help -d 'show help'\n";

static void text(FILE *out, const char *words) { cli_write_escaped(out, words, "\\", "\\'"); }

static void place(FILE *out, cli_place what, const char *words) {
    switch (what) {
    case CLI_PLACE_FILE: (void)fputs(" -F", out); break;
    case CLI_PLACE_DIRECTORY: (void)fputs(" -a '(__fish_complete_directories)'", out); break;
    case CLI_PLACE_VARIABLE: (void)fputs(" -a '(set -nx)'", out); break;
    case CLI_PLACE_CHOICE: (void)fprintf(out, " -a '%s'", words); break;
    default: break;
    }
}

static void option_head(FILE *out, const char *when, const cli_option *option) {
    (void)fprintf(out, "complete -c cachekit -n '%s'", when);
    if (option->letter != 0) {
        (void)fprintf(out, " -s %c", option->letter);
    }
    (void)fprintf(out, " -l %s", option->name);
}

/* The help is the option's. Words to choose from stand on a line of their own: fish would show it behind each of
 * them. */
static void option_line(FILE *out, const char *when, const cli_option *option) {
    char      words[CLI_PLACE_WORDS];
    cli_place what = cli_place_of_option(option, words);
    option_head(out, when, option);
    if (option->kind != CLI_FLAG) {
        (void)fputs(what == CLI_PLACE_FILE ? " -r" : " -x", out);
    }
    (void)fputs(" -d '", out);
    text(out, option->help);
    (void)fputs("'\n", out);
    if (what != CLI_PLACE_ANYTHING) {
        option_head(out, when, option);
        (void)fputs(what == CLI_PLACE_FILE ? " -r" : " -x", out);
        place(out, what, words);
        (void)fputc('\n', out);
    }
}

static void wrapped(FILE *out, const cli_command *command) {
    const cli_option *option;
    (void)fputs(" -a '(__cachekit_wrapped", out);
    for (size_t i = 0; (option = cli_option_of(command, i)) != NULL; i++) {
        if (option->kind != CLI_FLAG) {
            (void)fprintf(out, " --%s", option->name);
        }
        if (option->kind != CLI_FLAG && option->letter != 0) {
            (void)fprintf(out, " -%c", option->letter);
        }
    }
    (void)fputs(")'", out);
}

static void one_command(FILE *out, const cli_command *command) {
    char              words[CLI_PLACE_WORDS];
    char              when[80];
    const cli_option *option;
    (void)fprintf(out, "\ncomplete -c cachekit -n 'not __cachekit_command' -a %s -d '", command->name);
    text(out, command->summary);
    (void)fprintf(out, "'\ncomplete -c cachekit -n '__cachekit_is help' -a %s\n", command->name);
    (void)snprintf(when, sizeof when, "__cachekit_is %s", command->name);
    for (size_t i = 0; (option = cli_option_of(command, i)) != NULL; i++) {
        option_line(out, when, option);
    }
    cli_place what = cli_place_of_operands(command, words);
    if (what != CLI_PLACE_ANYTHING) {
        (void)fprintf(out, "complete -c cachekit -n '%s'", when);
        if (what == CLI_PLACE_COMMAND) {
            wrapped(out, command);
        } else {
            place(out, what, words);
        }
        (void)fputc('\n', out);
    }
}

void cli_completion_fish(FILE *out) {
    const cli_command *command;
    const cli_option  *option;
    (void)fputs(head, out);
    for (size_t i = 0; (option = cli_option_of(NULL, i)) != NULL; i++) {
        option_line(out, "not __cachekit_command", option);
    }
    for (size_t i = 0; (command = cli_commands[i]) != NULL; i++) {
        one_command(out, command);
    }
}
