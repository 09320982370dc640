/* format/envelope_options.h - what writing and reading an envelope share. */
#ifndef CKITI_FORMAT_ENVELOPE_OPTIONS_H
#define CKITI_FORMAT_ENVELOPE_OPTIONS_H

#include <cachekit/envelope.h>

/* Puts defaults in and checks ranges: CKIT_OK or CKIT_E_CONFIGURATION. `given` may be NULL, or come from a caller that
 * was built when the struct had fewer fields. */
ckit_status ckiti_envelope_settle(const ckit_envelope_options *given, ckit_envelope_options *options, ckit_error *err);

/* CKIT_E_TOO_LARGE, with the numbers. */
ckit_status ckiti_envelope_too_large(ckit_error *err, const char *what, uint64_t len, uint64_t limit);

#endif
