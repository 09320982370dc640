/* help.h - what a command says about itself, as text; cli/share makes man pages of the same tables. */
#ifndef CKIT_CLI_HELP_H
#define CKIT_CLI_HELP_H

#include "command.h"

#include <stdio.h>

/* `cachekit --help` and `cachekit COMMAND --help`. */
void cli_help_overview(FILE *out);
void cli_help_command(const cli_command *command, FILE *out);

/* "--ttl DURATION" as help shows it; returns `text`. */
#define CLI_OPTION_TEXT 64
const char *cli_option_text(const cli_option *option, char text[CLI_OPTION_TEXT]);

/* What the exit codes mean: of all commands, and of `run`; both end with a NULL code. A miss (1) is told for commands
 * whose `exits` have it. */
extern const cli_exit_row cli_exit_rows[];
extern const cli_exit_row cli_run_exit_rows[];

/* The help of an option, for `store` with the default of the command. Returns `text` or the option's own. */
#define CLI_HELP_TEXT 256
const char *cli_option_help(const cli_command *command, const cli_option *option, char text[CLI_HELP_TEXT]);

#endif
