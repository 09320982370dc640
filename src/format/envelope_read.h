/* format/envelope_read.h - the structure of an envelope, before anything is made of it. */
#ifndef CKITI_FORMAT_ENVELOPE_READ_H
#define CKITI_FORMAT_ENVELOPE_READ_H

#include <cachekit/error.h>
#include <cachekit/types.h>

typedef struct ckiti_envelope_fields {
    ckit_slice block; /* in the envelope, or in `gathered` */
    uint64_t   checksum;
    uint64_t   size; /* claimed length of the content */
    ckit_slice format;
    ckit_buf   gathered; /* the block, where it was stored as an array of integers */
} ckiti_envelope_fields;

/* Fills `fields` in every case; end with ckiti_envelope_fields_fini. Nothing is promised about the values.
 * CKIT_E_TRUNCATED, CKIT_E_DECODE, CKIT_E_DEPTH, CKIT_E_NO_MEMORY. */
ckit_status ckiti_envelope_read(ckit_slice envelope, const ckit_alloc *alloc, ckiti_envelope_fields *fields,
                                ckit_error *err);
void        ckiti_envelope_fields_fini(ckiti_envelope_fields *fields);

#endif
