/* help.h - what a command says about itself, as text and as a man page. */
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

extern const char cli_exit_codes[]; /* the paragraph about them */

#endif
