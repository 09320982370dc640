/* bash.c - the script for bash: one table, made from the commands' tables, and a function that is always the
 * same. */
#include "completion/completion.h"

#include <string.h>

/* Bash hands over "--store=file:///x" in pieces, cut at every = and : (COMP_WORDBREAKS); the walk needs it whole. */
static const char head[] =
    "# bash completion for cachekit: made by `cachekit completion bash`\n"
    "\n"
    "# Describes a command: what it has as options, which of them take a value, what its operands are.\n"
    "_cachekit_describe() {\n"
    "    case $1 in\n";

static const char middle[] = "    *) return 1 ;;\n"
                             "    esac\n"
                             "}\n"
                             "\n"
                             "# What the value of an option can be: words, or one of @file @directory @variable.\n"
                             "_cachekit_value() {\n"
                             "    case \"$1 $2\" in\n";

static const char tail[] = "    esac\n"
                           "}\n"
                           "\n"
                           "# _cachekit_offer WORDS-OR-PLACE\n"
                           "_cachekit_offer() {\n"
                           "    local word\n"
                           "    case $1 in\n"
                           "    @file) compopt -o filenames 2>/dev/null; set -- -f ;;\n"
                           "    @directory) compopt -o filenames 2>/dev/null; set -- -d ;;\n"
                           "    @variable) set -- -e ;;\n"
                           "    @command) set -- -c ;;\n"
                           "    *) set -- -W \"$1\" ;;\n"
                           "    esac\n"
                           "    while IFS= read -r word; do\n"
                           "        COMPREPLY+=(\"$attached$word\")\n"
                           "    done < <(compgen \"$@\" -- \"$current\")\n"
                           "}\n"
                           "\n"
                           "# _cachekit_wrapped INDEX: the words from here on are a command line of their own.\n"
                           "_cachekit_wrapped() {\n"
                           "    if declare -F _comp_command_offset >/dev/null; then\n"
                           "        _comp_command_offset \"$1\"\n"
                           "    elif declare -F _command_offset >/dev/null; then\n"
                           "        _command_offset \"$1\"\n"
                           "    elif (($1 == COMP_CWORD)); then\n"
                           "        _cachekit_offer @command\n"
                           "    else\n"
                           "        _cachekit_offer @file\n"
                           "    fi\n"
                           "}\n"
                           "\n"
                           "_cachekit() {\n"
                           "    local command= ended= attached= options= valued= operands= early=\n"
                           "    local current previous line=$COMP_LINE at\n"
                           "    local -a words=() starts=()\n"
                           "    COMPREPLY=()\n"
                           "    # Bash cuts words at = and : as well; what has no blank between belongs together.\n"
                           "    for ((at = 0; at <= COMP_CWORD; at++)); do\n"
                           "        if ((at > 0)) && [[ $line != [[:blank:]]* ]]; then\n"
                           "            words[${#words[@]} - 1]+=${COMP_WORDS[at]}\n"
                           "        else\n"
                           "            words+=(\"${COMP_WORDS[at]}\") starts+=(\"$at\")\n"
                           "        fi\n"
                           "        line=${line#\"${line%%[![:blank:]]*}\"}\n"
                           "        line=${line#\"${COMP_WORDS[at]}\"}\n"
                           "    done\n"
                           "    local last=$((${#words[@]} - 1))\n"
                           "    current=${words[last]} previous=${words[last - 1]}\n"
                           "    _cachekit_describe ''\n"
                           "    for ((at = 1; at < last; at++)); do\n"
                           "        if [[ -n $ended ]]; then\n"
                           "            break\n"
                           "        elif [[ ${words[at]} == -- ]]; then\n"
                           "            ended=$((at + 1))\n"
                           "        elif [[ \" $valued \" == *\" ${words[at]} \"* ]]; then\n"
                           "            at=$((at + 1))\n"
                           "        elif [[ ${words[at]} == -* ]]; then\n"
                           "            continue\n"
                           "        elif [[ -z $command ]]; then\n"
                           "            command=${words[at]}\n"
                           "            _cachekit_describe \"$command\" || return 0\n"
                           "        elif [[ -n $early ]]; then\n"
                           "            ended=$at\n"
                           "        fi\n"
                           "    done\n"
                           "    if [[ -n $ended ]]; then\n"
                           "        if [[ $operands == @command ]]; then\n"
                           "            _cachekit_wrapped \"${starts[ended]}\"\n"
                           "        elif [[ -n $operands ]]; then\n"
                           "            _cachekit_offer \"$operands\"\n"
                           "        fi\n"
                           "        return 0\n"
                           "    fi\n"
                           "    if [[ $current == --*=* ]]; then\n"
                           "        previous=${current%%=*} current=${current#*=}\n"
                           "        [[ $COMP_WORDBREAKS == *=* ]] || attached=$previous=\n"
                           "    elif [[ $current == -* ]]; then\n"
                           "        previous=\n"
                           "    fi\n"
                           "    if [[ -n $previous && \" $valued \" == *\" $previous \"* ]]; then\n"
                           "        _cachekit_value \"$command\" \"$previous\"\n"
                           "    elif [[ $current == -* ]]; then\n"
                           "        _cachekit_offer \"$options\"\n"
                           "    elif [[ $operands == @command ]]; then\n"
                           "        if [[ -n $early ]]; then\n"
                           "            _cachekit_wrapped \"${starts[last]}\"\n"
                           "        else\n"
                           "            _cachekit_offer \"-- $options\"\n"
                           "        fi\n"
                           "    elif [[ -n $operands ]]; then\n"
                           "        _cachekit_offer \"$operands\"\n"
                           "    else\n"
                           "        _cachekit_offer \"$options\"\n"
                           "    fi\n"
                           "    return 0\n"
                           "}\n"
                           "complete -F _cachekit cachekit\n";

static void option_names(FILE *out, const cli_command *command, bool valued) {
    const char       *between = "";
    const cli_option *option;
    for (size_t i = 0; (option = cli_option_of(command, i)) != NULL; i++) {
        if (valued && option->kind == CLI_FLAG) {
            continue;
        }
        (void)fprintf(out, "%s--%s", between, option->name);
        between = " ";
        if (option->letter != 0) {
            (void)fprintf(out, " -%c", option->letter);
        }
    }
}

static void place(FILE *out, cli_place what, const char *words) {
    static const char *const names[] = {[CLI_PLACE_FILE] = "@file",
                                        [CLI_PLACE_DIRECTORY] = "@directory",
                                        [CLI_PLACE_VARIABLE] = "@variable",
                                        [CLI_PLACE_COMMAND] = "@command"};
    (void)fputs(what == CLI_PLACE_CHOICE ? words : what == CLI_PLACE_ANYTHING ? "" : names[what], out);
}

/* One row: "    run) options='...' valued='...' operands='...' early= ;;". NULL is the line in front of a command. */
static void describe(FILE *out, const cli_command *command) {
    char      words[CLI_PLACE_WORDS];
    cli_place operands = command == NULL ? CLI_PLACE_ANYTHING : cli_place_of_operands(command, words);
    (void)fprintf(out, "    %s)\n        options='", command == NULL ? "''" : command->name);
    option_names(out, command, false);
    (void)fputs("'\n        valued='", out);
    option_names(out, command, true);
    (void)fputs("'\n        operands='", out);
    if (command == NULL) {
        for (size_t i = 0; cli_commands[i] != NULL; i++) {
            (void)fprintf(out, "%s ", cli_commands[i]->name);
        }
        (void)fputs("help", out);
    } else {
        place(out, operands, words);
    }
    bool early =
        command != NULL && (command->traits & CLI_STOPS_EARLY) != 0 && (command->traits & CLI_NEEDS_DASHES) == 0;
    (void)fprintf(out, "'\n        early=%s ;;\n", early ? "yes" : "");
}

static void describe_help(FILE *out) {
    (void)fputs("    help)\n        options= valued= early=\n        operands='", out);
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        (void)fprintf(out, "%s%s", i == 0 ? "" : " ", cli_commands[i]->name);
    }
    (void)fputs("' ;;\n", out);
}

static void values(FILE *out, const cli_command *command) {
    char words[CLI_PLACE_WORDS];
    for (size_t i = 0; i < command->option_count; i++) {
        const cli_option *option = &command->options[i];
        cli_place         what = cli_place_of_option(option, words);
        if (what == CLI_PLACE_ANYTHING) {
            continue;
        }
        (void)fprintf(out, "    '%s --%s'", command->name, option->name);
        if (option->letter != 0) {
            (void)fprintf(out, " | '%s -%c'", command->name, option->letter);
        }
        (void)fputs(") _cachekit_offer '", out);
        place(out, what, words);
        (void)fputs("' ;;\n", out);
    }
}

void cli_completion_bash(FILE *out) {
    const cli_command *command;
    (void)fputs(head, out);
    describe(out, NULL);
    for (size_t i = 0; (command = cli_commands[i]) != NULL; i++) {
        describe(out, command);
    }
    describe_help(out);
    (void)fputs(middle, out);
    for (size_t i = 0; (command = cli_commands[i]) != NULL; i++) {
        values(out, command);
    }
    (void)fputs(tail, out);
}
