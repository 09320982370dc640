#include "command.h"

#include <string.h>

/* Every command once, in the order of the documentation. */
#define COMMANDS(X)                                                                                                    \
    X(run)                                                                                                             \
    X(get)                                                                                                             \
    X(set)                                                                                                             \
    X(delete)                                                                                                          \
    X(exists)                                                                                                          \
    X(ttl)                                                                                                             \
    X(touch)                                                                                                           \
    X(key)                                                                                                             \
    X(inspect)                                                                                                         \
    X(ls)                                                                                                              \
    X(prune)                                                                                                           \
    X(invalidate)                                                                                                      \
    X(rotate)                                                                                                          \
    X(doctor)                                                                                                          \
    X(stats)                                                                                                           \
    X(health)                                                                                                          \
    X(bench)                                                                                                           \
    X(keygen)                                                                                                          \
    X(version)                                                                                                         \
    X(completion)

#define DECLARE(name) extern const cli_command cli_##name##_command;
COMMANDS(DECLARE)

#define LIST(name) &cli_##name##_command,
const cli_command *const cli_commands[] = {COMMANDS(LIST) NULL};

const cli_command *cli_command_named(const char *name) {
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        if (strcmp(cli_commands[i]->name, name) == 0) {
            return cli_commands[i];
        }
    }
    return NULL;
}
