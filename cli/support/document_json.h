/* document_json.h - documents as JSON, both ways.
 *
 * What JSON has no form for:
 *   bytes              {"__bytes__": "<base64>"}; only shown, never read back
 *   NaN, infinities    "NaN", "Infinity", "-Infinity"; only shown
 *   keys of maps       bytes: text when they are UTF-8, else base64; other values, which only some SDKs write: as they
 *                      look in JSON without blanks, in quotes
 * Dates and times are the maps with a marker that documents hold anyway, so they survive both ways. */
#ifndef CKIT_CLI_DOCUMENT_JSON_H
#define CKIT_CLI_DOCUMENT_JSON_H

#include <cachekit/error.h>
#include <cachekit/types.h>

/* Appends one JSON text without a line end; `pretty` breaks lines and indents. Floats always have a point or an
 * exponent and survive both ways; control characters are escaped. A failure of msgpack.h's reads (text and offset in
 * `err`), CKIT_E_VALUE_TYPE for a key that is an array or a map and inside another such key, or CKIT_E_NO_MEMORY leaves
 * `out` as it was. */
ckit_status cli_document_to_json(ckit_slice document, bool pretty, ckit_buf *out, ckit_error *err);

/* Appends the document of one JSON text (RFC 8259), or only checks the text when `out` is NULL. Whole numbers become
 * integers (from -2^63 to 2^64-1; others are refused), numbers with a point or an exponent floats. Members keep their
 * order; of several with one name the value of the last counts, in the place of the first; a name holds no zero
 * character. Failures, each with line and byte of the first mistake, leave `out` as it was:
 *   CKIT_E_MISUSE     not JSON, or one of the above
 *   CKIT_E_DEPTH      more than CKIT_MSGPACK_MAX_DEPTH arrays and objects inside each other
 *   CKIT_E_TOO_LARGE  above CKIT_ENVELOPE_MAX_BYTES, or so many values that reading them takes about 4 GiB of memory
 *   CKIT_E_NO_MEMORY */
ckit_status cli_document_from_json(ckit_slice text, ckit_buf *out, ckit_error *err);

#endif
