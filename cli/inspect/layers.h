/* layers.h - the layers of a stored value, each explained by a function of its own. All take bytes that stay as long
 * as the report, and tell the report when memory runs out. */
#ifndef CKIT_CLI_INSPECT_LAYERS_H
#define CKIT_CLI_INSPECT_LAYERS_H

#include "inspect/report.h"

/* ---- value.c: which layers there are ---------------------------------------------------------------------------- */

typedef enum inspect_form {
    INSPECT_FORM_EMPTY,
    INSPECT_FORM_FRAME,
    INSPECT_FORM_LEGACY_FRAME,
    INSPECT_FORM_ENVELOPE,
    INSPECT_FORM_DOCUMENT,
    INSPECT_FORM_JSON,
    INSPECT_FORM_TEXT,
    INSPECT_FORM_BYTES
} inspect_form;

/* What form a whole stored value has; also as a fact about the whole. */
inspect_form inspect_tell_form(inspect_report *report, ckit_slice value);
/* All its layers. */
void inspect_value(inspect_report *report, const inspect_part *value, inspect_form form);

/* ---- frame.c ---------------------------------------------------------------------------------------------------- */

/* Everything that begins with "CK", and the legacy text form: the frame and what is in it. */
void inspect_frame(inspect_report *report, const inspect_part *value);

/* ---- envelope.c ------------------------------------------------------------------------------------------------- */

/* The envelope and the document in it. */
void inspect_envelope(inspect_report *report, const inspect_part *part);

/* ---- content.c: what is innermost ------------------------------------------------------------------------------- */

void inspect_document(inspect_report *report, const inspect_part *part);
void inspect_json(inspect_report *report, const inspect_part *part);
void inspect_text(inspect_report *report, const inspect_part *part);
/* Bytes of no known form. */
void inspect_bytes(inspect_report *report, const inspect_part *part);

/* The offset in the text of an error of msgpack.h's reads or of a JSON text, which is cut to what is in front of it.
 * INSPECT_NOWHERE when it names none. */
size_t inspect_error_offset(ckit_error *err, ckit_slice input);

/* ---- file.c: what is around a value ----------------------------------------------------------------------------- */

#define INSPECT_FILE_HEADER 14

/* The parts of a key, as facts about the whole. */
void inspect_key(inspect_report *report, ckit_slice key);
/* The remaining life that a cache file's header tells, as a fact about the whole. */
void inspect_file_life(inspect_report *report, ckit_slice file);
/* The header of a cache file, as a layer. */
void inspect_file_header(inspect_report *report, const inspect_part *file);

#endif
