#include "command.h"

#include <string.h>

#define X(name) extern const cli_command cli_##name##_command;
#include "commands.inc"
#undef X

const cli_command *const cli_commands[] = {
#define X(name) &cli_##name##_command,
#include "commands.inc"
#undef X
    NULL};

const cli_command *cli_command_named(const char *name) {
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        if (strcmp(cli_commands[i]->name, name) == 0) {
            return cli_commands[i];
        }
    }
    return NULL;
}
