/* format/interop_canonical.h - the canonical encoder of interop mode: arguments, and values by their own rules. */
#ifndef CKITI_FORMAT_INTEROP_CANONICAL_H
#define CKITI_FORMAT_INTEROP_CANONICAL_H

#include <cachekit/interop.h>

enum { CKITI_INTEROP_ARRAY, CKITI_INTEROP_MAP, CKITI_INTEROP_SET };

/* Starts an encoder of one value, to the end of `out`. It owns nothing. */
void ckiti_interop_begin_value(ckit_interop_args *args, ckit_buf *out);
void ckiti_interop_fail(ckit_interop_args *args, ckit_status status, const char *why);
/* Fails with the status of what is outside of the data model. */
void ckiti_interop_refuse(ckit_interop_args *args, const char *why);
/* Adds all that `r` reads, which must be one value; the reader is fresh. */
void ckiti_interop_copy(ckit_interop_args *args, ckit_reader *r);
/* Puts the values of a complete map or set in order; equal ones are refused or dropped. */
void ckiti_interop_sort(ckit_interop_args *args, const ckit_interop_frame *frame);

#endif
