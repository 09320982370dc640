/* options.h - reading a command line by a command's table. */
#ifndef CKIT_CLI_OPTIONS_H
#define CKIT_CLI_OPTIONS_H

#include "command.h"

/* What a command line said. */
typedef struct cli_parsed {
    cli_common common;
    void      *options;  /* of the command's type, on the heap */
    char     **operands; /* ends with NULL */
    int        operand_count;
    bool       dashes; /* operands came after "--" */
} cli_parsed;

/* Options in front of the command's name: stops at the first operand. `*used` tells how many words were read. */
bool cli_parse_leading(char **words, int count, cli_common *common, int *used);
/* The words behind the command's name. False after an error was printed. Options are written "--name VALUE" or
 * "--name=VALUE", whole names only; "--" ends them. `out->common` holds what came in front. */
bool cli_parse(const cli_command *command, char **words, int count, cli_parsed *out);
void cli_parsed_free(const cli_command *command, cli_parsed *parsed);

#endif
