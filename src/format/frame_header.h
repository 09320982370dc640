/* format/frame_header.h - the parts of a frame's JSON header, and the readers for what writers rarely emit. */
#ifndef CKITI_FORMAT_FRAME_HEADER_H
#define CKITI_FORMAT_FRAME_HEADER_H

#include <cachekit/frame.h>

#define CKITI_FRAME_PREFIX_LEN 7 /* "CK", version, u32be header length */
#define CKITI_FRAME_VERSION 3

/* The header of a default document, not encrypted, and how it begins in every case. `compressed` is "true" or
 * "false". */
#define CKITI_FRAME_DEFAULT_START(compressed)                                                                          \
    "{\"s\": \"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": " compressed       \
    ", \"original_type\": \"msgpack\""
#define CKITI_FRAME_END "}, \"v\": \"2.0\"}"
#define CKITI_FRAME_DEFAULT_HEADER(compressed) CKITI_FRAME_DEFAULT_START(compressed) CKITI_FRAME_END
/* The last thing before the end of an encrypted frame's header is the fingerprint; its closing quote counts. */
#define CKITI_FRAME_BEHIND_FINGERPRINT (1 + sizeof CKITI_FRAME_END - 1)

/* Notes the verdict and fails with CKIT_E_DECODE. */
#define CKITI_FRAME_REJECT(frame, its_verdict, err, ...)                                                               \
    ((frame)->verdict = (its_verdict), ckit_fail(err, CKIT_E_DECODE, "frame", __VA_ARGS__))

/* Both read JSON of any spelling into `frame` and set the verdict when they fail. Strings, and the payload of the
 * legacy form, are put into `scratch`. The fields' values are not judged here. */
ckit_status ckiti_frame_read_header(ckit_slice text, ckit_frame *frame, ckit_buf *scratch, ckit_error *err);
ckit_status ckiti_frame_read_legacy(ckit_slice text, ckit_frame *frame, ckit_buf *scratch, ckit_error *err);

/* As ckit_frame_parse. `*usual` is set in every case: true when ckit_frame_write would make the same header of `*out`,
 * provided that it names a serializer and an encoding; false says nothing. */
ckit_status ckiti_frame_parse(ckit_slice stored, ckit_frame *out, bool *usual, ckit_buf *scratch, ckit_error *err);

#endif
