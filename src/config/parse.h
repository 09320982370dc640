/* config/parse.h - texts into the numbers of settings, strictly, and back. */
#ifndef CKITI_CONFIG_PARSE_H
#define CKITI_CONFIG_PARSE_H

#include "config/table.h"

/* What a text says, in the unit of the setting's field. False: not of the setting's type, or out of its range. Blanks,
 * signs, exponents and anything after the value are refused. Not for paths. */
bool ckiti_setting_parse(const ckiti_setting_row *row, ckit_slice text, uint64_t *value);

/* Writes a value as a variable would hold it; cut when `size` is too small. Not for paths. */
void ckiti_setting_format(const ckiti_setting_row *row, uint64_t value, char *text, size_t size);

/* Room for what ckiti_setting_expected writes. */
#define CKITI_EXPECTED 96

/* What may be written, for the refusal of something else: "a whole number of MiB, 1 to 512". Returns `text`. */
const char *ckiti_setting_expected(const ckiti_setting_row *row, char text[CKITI_EXPECTED]);

/* Room for what ckiti_show writes. */
#define CKITI_SHOWN 48

/* A text from outside made fit for a message: cut after 40 bytes, unprintable ones replaced. When it is `secret`, or
 * looks as if it held credentials (an '@'), it is "********". Returns `shown`. */
const char *ckiti_show(ckit_slice text, bool secret, char shown[CKITI_SHOWN]);

#endif
