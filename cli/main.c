/* main.c - from the command line to a command. */
#include "support/help.h"
#include "support/near.h"
#include "support/options.h"
#include "support/output.h"

#include <limits.h>
#include <string.h>

/* The command, or NULL after an error was printed. */
static const cli_command *find_command(const char *name) {
    const cli_command *command = cli_command_named(name);
    const char        *meant = NULL;
    unsigned           least = UINT_MAX;
    if (command != NULL) {
        return command;
    }
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        unsigned distance = cli_distance(name, strlen(name), cli_commands[i]->name);
        if (distance < least) {
            least = distance;
            meant = cli_commands[i]->name;
        }
    }
    cli_error("there is no command \"%s\"%s%s%s: see cachekit --help", name, meant == NULL ? "" : " (did you mean ",
              meant == NULL ? "" : meant, meant == NULL ? "" : "?)");
    return NULL;
}

static bool check_operands(const cli_command *command, const cli_parsed *parsed) {
    if (command->operands == NULL && parsed->operand_count > 0) {
        cli_error("%s takes no operand \"%s\": see cachekit %s --help", command->name, parsed->operands[0],
                  command->name);
        return false;
    }
    if ((command->traits & CLI_NEEDS_DASHES) != 0 && parsed->operand_count > 0 && !parsed->dashes) {
        cli_error("write -- in front of \"%s\": see cachekit %s --help", parsed->operands[0], command->name);
        return false;
    }
    return true;
}

static int run_command(const cli_command *command, const cli_common *leading, char **words, int count) {
    cli_parsed parsed = {.common = *leading};
    int        code = command->usage_exit == 0 ? CLI_USAGE : command->usage_exit;
    cli_output_failure(command->usage_exit == 0 ? CLI_FAILED : command->usage_exit);
    if (cli_parse(command, words, count, &parsed)) {
        cli_output_quiet(parsed.common.quiet);
        if (parsed.common.help) {
            cli_help_command(command, stdout);
            code = CLI_DONE;
        } else if (check_operands(command, &parsed)) {
            code = command->run(&parsed.common, parsed.options, parsed.operands, parsed.operand_count);
        }
    }
    cli_parsed_free(command, &parsed);
    int end = cli_output_end(code);
    return end != code && command->usage_exit != 0 ? command->usage_exit : end;
}

int main(int argc, char **argv) {
    cli_common common = {.store = NULL};
    int        used;
    cli_output_init();
    if (!cli_parse_leading(argv + 1, argc - 1, &common, &used)) {
        return CLI_USAGE;
    }
    char **words = argv + 1 + used;
    int    count = argc - 1 - used;
    if (common.version && !common.help) {
        return run_command(cli_command_named("version"), &common, words, count);
    }
    if (count > 0 && strcmp(words[0], "help") == 0) {
        common.help = true;
        words++;
        count--;
    }
    if (count == 0) {
        cli_help_overview(common.help ? stdout : stderr);
        return cli_output_end(common.help ? CLI_DONE : CLI_USAGE);
    }
    const cli_command *command = find_command(words[0]);
    return command == NULL ? CLI_USAGE : run_command(command, &common, words + 1, count - 1);
}
