/* keys.h - what the commands that work on keys share. */
#ifndef CKIT_CLI_KEYS_H
#define CKIT_CLI_KEYS_H

#include "support/store.h"

#include <json-c/json_object.h>

/* Whether the command of this name was given `least` to `most` operands. False after an error was printed. */
bool cli_operands(const char *name, char **operands, int count, int least, int most);

/* A new JSON object that begins with the member "key". */
json_object *cli_json_of_key(const char *operand);

/* Whether there was what was asked for, as the exit code, and with --json as an object: the key, and `member`. */
int cli_answer_key(const cli_common *common, const char *operand, const char *member, bool yes);

/* What is done with one key. CKIT_OK, CKIT_MISS, or a failure told in `err`. */
typedef ckit_status (*cli_key_fn)(const cli_store *store, ckit_slice key, const void *options, ckit_error *err);

/* Opens the store and does it with one key after the other, up to the first failure. Answers by the exit code alone: 0
 * when all gave CKIT_OK, 1 after a CKIT_MISS. With --json also one object per line: the key, and whether (`member`). */
int cli_each_key(const cli_common *common, const void *options, char **operands, const char *member, cli_key_fn act);

#endif
