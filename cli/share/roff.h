/* roff.h - text as the source of a man page (man(7) of groff and mandoc). */
#ifndef CKIT_CLI_SHARE_ROFF_H
#define CKIT_CLI_SHARE_ROFF_H

#include <stddef.h>
#include <stdio.h>

/* Words within a line, in the current font: whatever they hold is shown as it is. */
void roff_words(FILE *out, const char *text, size_t length);
/* One line; `what` is between backquotes is bold. Line ends count as blanks. */
void roff_line(FILE *out, const char *text, size_t length);
/* One line of a synopsis: NAMES in italics, the rest bold. */
void roff_synopsis(FILE *out, const char *text);
/* Paragraphs, separated by empty lines. Those that begin with a blank are shown line by line. */
void roff_paragraphs(FILE *out, const char *text);

#endif
