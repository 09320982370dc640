/* report.h - what `inspect` finds: facts about a value and about each of its layers, damage, and a verdict; as text
 * for people, printed while it is found, or as one JSON object at the end.
 *
 * Offsets count from the first byte of what is inspected. Bytes that were unpacked stand nowhere in it; a layer of such
 * bytes says where each of them came from, as far as that can be told. */
#ifndef CKIT_CLI_INSPECT_REPORT_H
#define CKIT_CLI_INSPECT_REPORT_H

#include <cachekit/buf.h>
#include <cachekit/error.h>
#include <cachekit/types.h>
#include <json-c/json_object.h>

#define INSPECT_NOWHERE SIZE_MAX

typedef enum inspect_verdict {
    INSPECT_READABLE,
    INSPECT_SEALED,  /* encrypted: sound as far as can be seen */
    INSPECT_UNKNOWN, /* bytes that are no form of CacheKit's */
    INSPECT_ABSENT,
    INSPECT_DAMAGED
} inspect_verdict;

/* Bytes and where they come from. */
typedef struct inspect_part {
    ckit_slice bytes;
    size_t     base; /* the first one's offset in the whole, or INSPECT_NOWHERE */
    /* With INSPECT_NOWHERE: the offset in the whole that byte `at` was made from, or INSPECT_NOWHERE. May be NULL. */
    size_t (*origin)(const void *context, size_t at);
    const void *context;
} inspect_part;

/* Part of a part. */
inspect_part inspect_sub(const inspect_part *part, size_t from, size_t len);

typedef struct inspect_report {
    bool            json;
    bool            full; /* documents are not cut */
    inspect_verdict verdict;
    int             failure; /* an exit code, when the tool itself has failed */
    ckit_slice      whole;
    bool            expired;
    const char     *absent; /* the text for INSPECT_ABSENT */
    /* private */
    bool         colours;
    json_object *root;
    json_object *layers;
    json_object *damage;
    json_object *layer;
    const char  *layer_name;
    const char  *state;
    inspect_part part; /* of the open layer */
    ckit_buf     rows;
} inspect_report;

void inspect_begin(inspect_report *report, bool json, bool full);
/* Prints the verdict, or all as JSON, and gives the exit code. */
int  inspect_end(inspect_report *report);
void inspect_report_free(inspect_report *report);

/* A layer begins, and the one before it ends. */
void inspect_layer(inspect_report *report, const char *name, const inspect_part *part);
/* What the layer is in one word, when it is not "ok" or "damaged". */
void inspect_state(inspect_report *report, const char *state);
/* A fact about the layer, or about the whole when none has begun. `name` is its name in JSON ("header_length"); people
 * see spaces for underscores. Takes `value`, NULL being JSON's null. */
void inspect_fact(inspect_report *report, const char *name, json_object *value, const char *format, ...)
    CKIT_PRINTF(4, 5);
/* One that is in the JSON alone. */
void inspect_silent_fact(inspect_report *report, const char *name, json_object *value);
void inspect_note(inspect_report *report, const char *format, ...) CKIT_PRINTF(2, 3);
/* Text of several lines behind the facts; only people see it. Control characters are shown as \xNN. */
void inspect_show(inspect_report *report, ckit_slice text);
/* Bytes in hexadecimal, 16 in a line; only people see them. */
void inspect_show_hex(inspect_report *report, const inspect_part *part, size_t from, size_t len);

/* The layer is damaged at its byte `at` (INSPECT_NOWHERE: as a whole). `expected` and `found` may be NULL. */
void inspect_damage(inspect_report *report, size_t at, const char *expected, const char *found, const char *format, ...)
    CKIT_PRINTF(5, 6);
/* Facts about a checksum, and damage at byte `at` when it is not that of the content. */
void inspect_checksum(inspect_report *report, size_t at, uint64_t stored, uint64_t computed);
/* The tool itself cannot go on. */
void inspect_no_memory(inspect_report *report);

/* Foreign bytes for a line of text: in quotation marks, control characters as \xNN, cut when long. Returns `text`. */
#define INSPECT_TEXT 512
const char *inspect_quoted(ckit_slice bytes, char text[INSPECT_TEXT]);

#endif
