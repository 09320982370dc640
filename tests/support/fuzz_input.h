/* support/fuzz_input.h - what fuzz targets share: what must hold, and bytes that are read as a program. */
#ifndef CKIT_SUPPORT_FUZZ_INPUT_H
#define CKIT_SUPPORT_FUZZ_INPUT_H

#include <cachekit/types.h>
#include <stdlib.h>
#include <string.h>

/* The target. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void check(bool holds) {
    if (!holds) {
        abort();
    }
}

/* What is left of the bytes; behind their end there are zeros. How each of these reads them is what the corpora were
 * written for. */
typedef struct fuzz_input {
    const uint8_t *p;
    const uint8_t *end;
} fuzz_input;

static inline uint8_t take_byte(fuzz_input *in) { return in->p < in->end ? *in->p++ : 0; }

/* A byte for how many follow, 0 to 8, the highest first. */
static inline uint64_t take_number(fuzz_input *in) {
    uint64_t number = 0;
    for (int i = take_byte(in) % 9; i > 0; i--) {
        number = number << 8 | take_byte(in);
    }
    return number;
}

static inline double take_double(fuzz_input *in) {
    const uint64_t bits = take_number(in);
    double         value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A byte for how many follow, less than `bound`. */
static inline ckit_slice take_text(fuzz_input *in, size_t bound) {
    size_t       len = take_byte(in) % bound;
    const size_t left = (size_t)(in->end - in->p);
    len = len < left ? len : left;
    const ckit_slice text = {in->p, len};
    in->p += len;
    return text;
}

#endif
