/* guards.h - what the guards of running programs tell in the directory $CACHEKIT_STATUS_DIR: of their circuits,
 * timeouts, queues and retries. Empty where that is not set: then nobody tells anything. */
#ifndef CKIT_CLI_GUARDS_H
#define CKIT_CLI_GUARDS_H

#include <json-c/json_object.h>
#include <stdbool.h>

/* Whether they tell it anywhere. */
bool cli_guards_tell(void);
/* All of them, by process: an array. */
json_object *cli_guards_json(void);
/* The same for people: a block for each, with labels as wide as `label_width`. */
void cli_guards_print(int label_width);

#endif
