#include "support/json.h"

#include "support/output.h"
#include "support/units.h"

#include <cachekit/buf.h>
#include <cachekit/msgpack.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static json_object *made(json_object *object) {
    if (object == NULL) {
        cli_out_of_memory();
    }
    return object;
}

json_object *cli_json_object(void) { return made(json_object_new_object()); }
json_object *cli_json_array(void) { return made(json_object_new_array()); }
json_object *cli_json_text(const char *text) { return made(json_object_new_string(text)); }
json_object *cli_json_bool(bool yes) { return made(json_object_new_boolean(yes)); }
json_object *cli_json_uint(uint64_t number) { return made(json_object_new_uint64(number)); }

json_object *cli_json_bytes(ckit_slice bytes) {
    if (bytes.len > INT_MAX / 2) { /* json-c's lengths, also that of base64, are of type int */
        cli_out_of_memory();
    }
    if (ckit_utf8_valid(bytes)) {
        return made(json_object_new_string_len(bytes.len == 0 ? "" : (const char *)bytes.ptr, (int)bytes.len));
    }
    size_t size = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    char  *text = malloc(size);
    if (text == NULL) {
        cli_out_of_memory();
    }
    (void)sodium_bin2base64(text, size, bytes.ptr, bytes.len, sodium_base64_VARIANT_ORIGINAL);
    json_object *object = cli_json_object();
    cli_json_add(object, "base64", cli_json_text(text));
    free(text);
    return object;
}

json_object *cli_json_life(uint64_t life_ms) {
    if (life_ms == CKIT_LIFE_NO_EXPIRY) {
        return NULL; /* json-c's null */
    }
    if (life_ms == CKIT_LIFE_UNKNOWN) {
        return cli_json_text("unknown");
    }
    char text[CLI_UNITS_TEXT];
    (void)snprintf(text, sizeof text, "%" PRIu64 ".%03u", life_ms / 1000, (unsigned)(life_ms % 1000));
    return made(json_object_new_double_s((double)life_ms / 1000, text));
}

json_object *cli_json_decimals(double number, int decimals) {
    char text[64];
    (void)snprintf(text, sizeof text, "%.*f", decimals, number);
    return made(json_object_new_double_s(number, text));
}

void cli_json_add(json_object *object, const char *name, json_object *value) {
    if (json_object_object_add(object, name, value) != 0) {
        cli_out_of_memory();
    }
}

void cli_json_append(json_object *array, json_object *value) {
    if (json_object_array_add(array, value) != 0) {
        cli_out_of_memory();
    }
}

const char *cli_json_line(json_object *value) {
    const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    if (text == NULL) {
        cli_out_of_memory();
    }
    return text;
}

void cli_print_json(json_object *value) {
    cli_print("%s\n", cli_json_line(value));
    json_object_put(value);
}
