/* stored.h - what the bytes of an entry are, and how to make some. */
#ifndef CKIT_CLI_STORED_H
#define CKIT_CLI_STORED_H

#include <cachekit/error.h>
#include <cachekit/frame.h>
#include <cachekit/types.h>

/* The forms, and what `content` is then. */
typedef enum cli_form {
    CLI_FORM_RAW = 0,   /* no frame: all bytes, as they are */
    CLI_FORM_FRAME,     /* a frame with a MessagePack document (serializers default and auto): the document */
    CLI_FORM_JSON,      /* JSON text: in a frame (serializer orjson), or bare */
    CLI_FORM_FOREIGN,   /* a frame of another serializer (arrow, arrays of auto): its bytes, without their checksum */
    CLI_FORM_ENCRYPTED, /* a frame that this version cannot open: the sealed bytes */
    CLI_FORM_ENVELOPE,  /* an envelope without a frame: the document in it */
    CLI_FORM_DOCUMENT   /* a document without a frame (interop): the document */
} cli_form;

/* A stored value, opened. Zeroed memory is an empty one; ends with cli_stored_fini. */
typedef struct cli_stored {
    cli_form   form;
    ckit_slice content;
    bool       framed;
    ckit_frame frame; /* zero without a frame */
    ckit_buf   content_bytes;
    ckit_buf   frame_bytes;
} cli_stored;

/* Looks what `stored` is and opens frames. Envelopes are decompressed and checked against their checksums; documents
 * are checked to the end. `out` was zeroed; its slices look into `stored` and into itself. What is no frame is
 * CLI_FORM_RAW, also when it could be read as an envelope or a document: any bytes could.
 *
 * Failures, after which `out` is RAW: those of kind CORRUPT for a frame that is damaged, of either form;
 * CKIT_E_TOO_LARGE; CKIT_E_NO_MEMORY. */
ckit_status cli_stored_open(ckit_slice stored, cli_stored *out, ckit_error *err);

/* For a RAW one whose user says that it holds a value: tries JSON text, an envelope, a document, in this order. A
 * failure leaves `out` as it was: CKIT_E_DECODE when it is none of them, or what is wrong with the envelope. Others are
 * left alone (CKIT_OK). */
ckit_status cli_stored_open_bare(cli_stored *out, ckit_error *err);

/* Whether the bytes are an envelope, perhaps a damaged one, rather than any other document. */
bool cli_stored_was_envelope(ckit_slice bytes);
/* Whether a text has all that makes the legacy form of a frame, though ckit_frame_parse may refuse it. */
bool cli_stored_was_legacy_frame(ckit_slice text);

/* XXH3-64 as envelopes have it, and as it stands in the first 8 bytes of the payloads of other serializers. */
ckit_status cli_stored_checksum(ckit_slice content, uint64_t *sum, ckit_error *err);
uint64_t    cli_stored_front_checksum(ckit_slice payload);

/* Whether `content` is a document. */
bool cli_stored_is_document(const cli_stored *stored);

/* Appends the value as one JSON text without a line end. CKIT_E_VALUE_TYPE for forms that have none (RAW, FOREIGN,
 * ENCRYPTED); CKIT_E_DECODE for JSON text that is none. */
ckit_status cli_stored_to_json(const cli_stored *stored, bool pretty, ckit_buf *out, ckit_error *err);

void cli_stored_fini(cli_stored *stored);

/* "raw", "document", "json", "foreign", "encrypted", "envelope", "bare document". */
const char *cli_form_name(cli_form form);

/* The other way: appends the stored value of a document as ckit_cache_set writes it with CKIT_DOCUMENT, readable in
 * every SDK: frame and envelope. `document` is not checked. */
ckit_status cli_stored_seal(ckit_slice document, ckit_buf *out, ckit_error *err);

#endif
