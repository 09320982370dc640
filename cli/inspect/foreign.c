#include "inspect/foreign.h"

#include "inspect/layers.h"
#include "support/document_json.h"
#include "support/output.h"
#include "support/stored.h"

#include <inttypes.h>
#include <stdio.h>

#define SUM_BYTES 8
#define SHORTEST_CHECKED_JSON 10 /* readers refuse less */
#define ARROW_MAGIC "ARROW1"
#define NUMPY_MAGIC "NUMPY_RAW"

static bool has_at(ckit_slice bytes, size_t at, const char *text) {
    size_t len = strlen(text);
    return bytes.len >= at && bytes.len - at >= len && memcmp(bytes.ptr + at, text, len) == 0;
}

/* The layer of the 8 bytes in front. */
static void check_front(inspect_report *report, const inspect_part *payload) {
    inspect_part front = inspect_sub(payload, 0, SUM_BYTES);
    ckit_slice   content = ckit_slice_of(payload->bytes.ptr + SUM_BYTES, payload->bytes.len - SUM_BYTES);
    uint64_t     computed;
    inspect_layer(report, "checksum", &front);
    if (cli_stored_checksum(content, &computed, NULL) == CKIT_OK) {
        inspect_checksum(report, 0, cli_stored_front_checksum(payload->bytes), computed);
    } else {
        inspect_no_memory(report);
    }
}

static inspect_part behind_front(const inspect_part *payload) {
    return inspect_sub(payload, SUM_BYTES, payload->bytes.len - SUM_BYTES);
}

void inspect_checked_json(inspect_report *report, const inspect_part *payload) {
    bool bare = cli_document_from_json(payload->bytes, NULL, NULL) == CKIT_OK;
    if (bare || payload->bytes.len < SHORTEST_CHECKED_JSON) {
        inspect_json(report, payload);
        return;
    }
    inspect_part text = behind_front(payload);
    check_front(report, payload);
    inspect_json(report, &text);
}

void inspect_arrow(inspect_report *report, const inspect_part *payload) {
    bool         bare = has_at(payload->bytes, 0, ARROW_MAGIC);
    inspect_part file = *payload;
    if (!bare && payload->bytes.len > SUM_BYTES) {
        check_front(report, payload);
        file = behind_front(payload);
    }
    inspect_layer(report, "arrow", &file);
    if (!has_at(file.bytes, 0, ARROW_MAGIC)) {
        inspect_damage(report, 0, "\"" ARROW_MAGIC "\"", NULL, "no Arrow file begins like this");
    } else if (file.bytes.len < 2 * strlen(ARROW_MAGIC) ||
               !has_at(file.bytes, file.bytes.len - strlen(ARROW_MAGIC), ARROW_MAGIC)) {
        inspect_damage(report, file.bytes.len, "\"" ARROW_MAGIC "\" at the end", NULL, "the Arrow file was cut off");
    } else {
        inspect_note(report, "an Arrow IPC file; what is in it is not looked at");
    }
}

/* ---- arrays of NumPy ---------------------------------------------------------------------------------------- */

/* A length of 16 bits, little-endian, and as many bytes. */
static bool take_piece(ckit_slice bytes, size_t *at, ckit_slice *piece) {
    if (bytes.len - *at < 2) {
        return false;
    }
    size_t len = bytes.ptr[*at] | (size_t)bytes.ptr[*at + 1] << 8;
    if (bytes.len - *at - 2 < len) {
        return false;
    }
    *piece = ckit_slice_of(bytes.ptr + *at + 2, len);
    *at += 2 + len;
    return true;
}

static void tell_shape(inspect_report *report, ckit_slice shape) {
    json_object *dimensions = cli_json_array();
    char         text[INSPECT_TEXT] = "none: one number";
    size_t       used = 0;
    for (size_t i = 0; i + 4 <= shape.len && used + 16 < sizeof text; i += 4) {
        uint32_t dimension = (uint32_t)shape.ptr[i] | (uint32_t)shape.ptr[i + 1] << 8 |
                             (uint32_t)shape.ptr[i + 2] << 16 | (uint32_t)shape.ptr[i + 3] << 24;
        cli_json_append(dimensions, cli_json_uint(dimension));
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%" PRIu32, i == 0 ? "" : " x ", dimension);
    }
    inspect_fact(report, "shape", dimensions, "%s", text);
}

void inspect_numpy(inspect_report *report, const inspect_part *payload) {
    ckit_slice   type, shape;
    char         text[INSPECT_TEXT];
    size_t       at = strlen(NUMPY_MAGIC);
    inspect_part array = *payload;
    if (!has_at(payload->bytes, 0, NUMPY_MAGIC) && payload->bytes.len > SUM_BYTES) {
        check_front(report, payload);
        array = behind_front(payload);
    }
    inspect_layer(report, "array", &array);
    if (!has_at(array.bytes, 0, NUMPY_MAGIC)) {
        inspect_damage(report, 0, "\"" NUMPY_MAGIC "\"", NULL, "no stored array of NumPy begins like this");
        return;
    }
    if (!take_piece(array.bytes, &at, &type) || !take_piece(array.bytes, &at, &shape)) {
        inspect_damage(report, at, NULL, NULL, "the array ends inside its type or shape");
        return;
    }
    inspect_fact(report, "type", cli_json_bytes(type), "%s", inspect_quoted(type, text));
    tell_shape(report, shape);
    inspect_fact(report, "element_bytes", cli_json_uint(array.bytes.len - at), "%zu", array.bytes.len - at);
}
