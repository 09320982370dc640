/* format/envelope_read.h - the structure of an envelope in any form that may be met. */
#ifndef CKITI_FORMAT_ENVELOPE_READ_H
#define CKITI_FORMAT_ENVELOPE_READ_H

#include <cachekit/error.h>
#include <cachekit/types.h>

typedef struct ckiti_envelope_fields {
    ckit_slice block;
    uint64_t   checksum;
    uint64_t   size; /* claimed length of the content */
    ckit_slice format;
} ckiti_envelope_fields;

/* Fills `fields` with slices of `envelope`; a block that is stored as an array of integers is put into `gathered`. An
 * envelope is no longer than CKIT_ENVELOPE_MAX_BYTES. Nothing else is promised about the fields' values.
 * CKIT_E_TRUNCATED, CKIT_E_DECODE, CKIT_E_DEPTH, CKIT_E_NO_MEMORY. */
ckit_status ckiti_envelope_read(ckit_slice envelope, ckit_buf *gathered, ckiti_envelope_fields *fields,
                                ckit_error *err);

#endif
