/* format/args_checks.h - what the tests of arguments share. */
#ifndef CKITI_FORMAT_ARGS_CHECKS_H
#define CKITI_FORMAT_ARGS_CHECKS_H

#include "support/hex.h"
#include "support/test.h"

#include <cachekit/key.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* They pack to these bytes, in hex. */
static inline void check_packed(const char *hex, ckit_args *args) {
    ckit_slice packed;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_args_pack(args, &packed, &err), &err);
    CHECK_BYTES(hex_slice(hex), packed);
}

/* They do not pack, and the error says why. */
static inline void check_refused(ckit_status status, ckit_args *args) {
    ckit_slice packed = {(const uint8_t *)"x", 1};
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(status, ckit_args_pack(args, &packed, &err), &err);
    CHECK_EQ_U(0, packed.len);
    CHECK(strlen(err.text) > 0);
}

#endif
