/* page.h - the man pages of the tool, made from the tables that its help is made from. */
#ifndef CKIT_CLI_SHARE_PAGE_H
#define CKIT_CLI_SHARE_PAGE_H

#include "command.h"

#include <stdio.h>

void page_overview(FILE *out);                            /* cachekit.1 */
void page_command(const cli_command *command, FILE *out); /* cachekit-NAME.1 */

#endif
