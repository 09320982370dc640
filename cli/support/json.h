/* json.h - answers in JSON, made with json-c. Where memory does not suffice, the tool ends: it says so, and exits as it
 * does for any failure of its own. So none of these gives NULL, but where NULL is JSON's null. */
#ifndef CKIT_CLI_JSON_H
#define CKIT_CLI_JSON_H

#include <cachekit/types.h>
#include <json-c/json_object.h>

json_object *cli_json_object(void);
json_object *cli_json_array(void);
json_object *cli_json_text(const char *text); /* UTF-8 */
json_object *cli_json_bool(bool yes);
json_object *cli_json_uint(uint64_t number);
/* A string for text; {"base64": "..."} for bytes that are not UTF-8. What is longer than 1 GiB counts as too much for
 * memory. */
json_object *cli_json_bytes(ckit_slice bytes);
/* Seconds with three decimals, null for CKIT_LIFE_NO_EXPIRY, "unknown" for CKIT_LIFE_UNKNOWN. */
json_object *cli_json_life(uint64_t life_ms);
json_object *cli_json_decimals(double number, int decimals);

/* Takes `value`; NULL is null. */
void cli_json_add(json_object *object, const char *name, json_object *value);
void cli_json_append(json_object *array, json_object *value);

/* The text on one line, good until the object changes. */
const char *cli_json_line(json_object *value);
/* A value and a line end to standard output; gives the value back. */
void cli_print_json(json_object *value);

#endif
