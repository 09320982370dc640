/* Key input: the bytes are a program for the builder of arguments, and then text for the key functions. Whatever is
 * accepted packs to one well-formed value, does so twice, and reads back; every automatic key can be taken apart. */
#include <cachekit/buf.h>
#include <cachekit/key.h>

#include "support/fuzz_input.h"

static void give_datetime(ckit_args *args, fuzz_input *in) {
    const ckit_datetime value = {.year = (uint16_t)take_number(in),
                                 .month = take_byte(in),
                                 .day = take_byte(in),
                                 .hour = take_byte(in),
                                 .minute = take_byte(in),
                                 .second = take_byte(in),
                                 .has_offset = take_byte(in) != 0,
                                 .microsecond = (uint32_t)take_number(in),
                                 .offset_seconds = (int32_t)take_number(in)};
    ckit_args_datetime(args, &value);
}

static void give_uuid(ckit_args *args, fuzz_input *in) {
    uint8_t uuid[16];
    for (size_t i = 0; i < sizeof uuid; i++) {
        uuid[i] = take_byte(in);
    }
    ckit_args_uuid(args, uuid);
}

static void give_vector(ckit_args *args, fuzz_input *in) {
    const ckit_slice bytes = take_text(in, 256);
    ckit_args_vector(args, CKIT_VECTOR_F32, bytes.ptr, bytes.len / 4);
}

/* One step of the program; false when it ends. */
static bool step(ckit_args *args, fuzz_input *in) {
    if (in->p == in->end) {
        return false;
    }
    switch (take_byte(in) % 17) {
    case 0: ckit_args_nil(args); break;
    case 1: ckit_args_bool(args, take_byte(in) != 0); break;
    case 2: ckit_args_int(args, (int64_t)take_number(in)); break;
    case 3: ckit_args_uint(args, take_number(in)); break;
    case 4: ckit_args_double(args, take_double(in)); break;
    case 5: ckit_args_str(args, take_text(in, 256)); break;
    case 6: ckit_args_bytes(args, take_text(in, 256)); break;
    case 7: ckit_args_array(args, take_byte(in)); break;
    case 8: ckit_args_map(args, take_byte(in) % 40u); break;
    case 9: give_datetime(args, in); break;
    case 10: give_uuid(args, in); break;
    case 11: ckit_args_decimal(args, take_text(in, 256)); break;
    case 12: ckit_args_path(args, take_text(in, 256)); break;
    case 13: give_vector(args, in); break;
    case 14: ckit_args_keyword(args, take_text(in, 256)); break;
    case 15: ckit_args_array(args, (uint32_t)take_number(in)); break;
    default: return false;
    }
    return true;
}

static void check_packed(ckit_args *args, ckit_slice packed) {
    ckit_reader r;
    ckit_args   copy;
    ckit_slice  again;
    ckit_reader_init(&r, packed);
    check(ckit_read_array(&r) == 2);
    const uint32_t positional = ckit_read_array(&r);
    for (uint32_t i = 0; i < positional; i++) {
        ckit_read_skip(&r);
    }
    const uint32_t keywords = ckit_read_map(&r);
    for (uint32_t i = 0; i < keywords; i++) {
        ckit_reader      value;
        const ckit_slice name = ckit_read_str(&r);
        check(ckit_args_find_keyword(args, name, &value));
        check(ckit_slice_equal(ckit_read_raw(&value), ckit_read_raw(&r)));
    }
    check(ckit_reader_finish(&r, NULL) == CKIT_OK);
    check(ckit_args_positional(args, &r) == positional);
    check(ckit_args_copy(&copy, args, NULL) == CKIT_OK);
    check(ckit_args_pack(&copy, &again, NULL) == CKIT_OK && ckit_slice_equal(packed, again));
    ckit_args_fini(&copy);
    check(ckit_args_pack(args, &again, NULL) == CKIT_OK && ckit_slice_equal(packed, again));
}

/* Whatever can be read back is complete. */
static void check_readable(const ckit_args *args) {
    ckit_reader r;
    for (uint32_t i = ckit_args_positional(args, &r); i > 0; i--) {
        ckit_read_skip(&r);
    }
    check(ckit_reader_finish(&r, NULL) == CKIT_OK);
}

static void check_keys(fuzz_input *in, ckit_slice packed) {
    ckit_key_spec spec = {.integrity = take_byte(in) % 2 != 0, .code = (char)take_byte(in)};
    ckit_buf      key = CKIT_BUF_INIT, function = CKIT_BUF_INIT;
    spec.namespace_name = take_text(in, 256);
    spec.function = take_text(in, 256);
    const ckit_key_parts foreign = ckit_key_describe(spec.namespace_name);
    check(foreign.automatic || !foreign.namespace_known);
    (void)ckit_key_custom(spec.namespace_name, spec.function, &key, NULL);
    key.len = 0;
    if (ckit_key_automatic(&spec, packed, &key, NULL) == CKIT_OK) {
        check(ckit_key_function(spec.function, &function, NULL) == CKIT_OK);
        check(function.len <= CKIT_KEY_FUNCTION_MAX && key.len <= CKIT_KEY_MAX_BYTES);
        check(ckit_utf8_valid(ckit_buf_slice(&key)));
        const ckit_key_parts parts = ckit_key_describe(ckit_buf_slice(&key));
        check(parts.automatic);
        if (!parts.shortened) {
            check(ckit_slice_equal(parts.function, ckit_buf_slice(&function)));
            check(parts.namespace_name.len == spec.namespace_name.len);
            check(parts.integrity == spec.integrity);
        }
    }
    ckit_buf_fini(&key);
    ckit_buf_fini(&function);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, data + size};
    ckit_args  args;
    ckit_slice packed;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_args_init(&args);
    while (step(&args, &in)) {}
    const ckit_status st = ckit_args_pack(&args, &packed, &err);
    check(st == err.status);
    if (st == CKIT_OK) {
        check_packed(&args, packed);
    } else {
        check(packed.len == 0);
    }
    check_readable(&args);
    check_keys(&in, packed);
    ckit_args_fini(&args);
    return 0;
}
