/* completion.h - scripts that let a shell complete the tool's command lines, made from the commands' tables. */
#ifndef CKIT_CLI_COMPLETION_H
#define CKIT_CLI_COMPLETION_H

#include "command.h"

#include <stdio.h>

void cli_completion_bash(FILE *out);
void cli_completion_zsh(FILE *out);
void cli_completion_fish(FILE *out);

/* ---- what the three share ----------------------------------------------------------------------------------- */

/* What stands at some place of a command line, told by what the tables call it. */
typedef enum cli_place {
    CLI_PLACE_ANYTHING,  /* nothing can be offered */
    CLI_PLACE_FILE,      /* FILE */
    CLI_PLACE_DIRECTORY, /* DIRECTORY */
    CLI_PLACE_VARIABLE,  /* --env: a name of the environment */
    CLI_PLACE_COMMAND,   /* COMMAND ARG...: a command line of another program begins */
    CLI_PLACE_CHOICE     /* one of some words */
} cli_place;

#define CLI_PLACE_WORDS 160
/* Of an option's value; flags are CLI_PLACE_ANYTHING. For CLI_PLACE_CHOICE, `words` gets the words with blanks
 * between. */
cli_place cli_place_of_option(const cli_option *option, char words[CLI_PLACE_WORDS]);
/* Of a command's operands. */
cli_place cli_place_of_operands(const cli_command *command, char words[CLI_PLACE_WORDS]);

/* Every option of a command, its own first, then the common ones; NULL behind the last. */
const cli_option *cli_option_of(const cli_command *command, size_t index);

/* Writes `text` with a backslash in front of each byte of `special`, and '\'' for a single quote where `quote` is
 * set. */
void cli_write_escaped(FILE *out, const char *text, const char *special, const char *quote);

#endif
