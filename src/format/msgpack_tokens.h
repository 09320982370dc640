/* format/msgpack_tokens.h - for tests and fuzz targets: a value read token by token, and written again. */
#ifndef CKITI_FORMAT_MSGPACK_TOKENS_H
#define CKITI_FORMAT_MSGPACK_TOKENS_H

#include <cachekit/msgpack.h>

/* Reads one plain value or the head of a container, as ckit_reader_peek says; `w` may be NULL. */
static inline void msgpack_copy_token(ckit_reader *r, ckit_writer *w) {
    ckit_writer  none;
    ckit_buf     nowhere = CKIT_BUF_INIT;
    ckit_writer *out = w;
    if (out == NULL) {
        ckit_writer_init(&none, &nowhere);
        ckit_writer_fail(&none, CKIT_E_CANCELLED, "nothing is written");
        out = &none;
    }
    switch (ckit_reader_peek(r)) {
    case CKIT_TYPE_BOOL: ckit_write_bool(out, ckit_read_bool(r)); break;
    case CKIT_TYPE_INT: ckit_write_int(out, ckit_read_int(r)); break;
    case CKIT_TYPE_UINT: ckit_write_uint(out, ckit_read_uint(r)); break;
    case CKIT_TYPE_DOUBLE: ckit_write_double(out, ckit_read_double(r)); break;
    case CKIT_TYPE_STR: ckit_write_str(out, ckit_read_str(r)); break;
    case CKIT_TYPE_BIN: ckit_write_bin(out, ckit_read_bin(r)); break;
    case CKIT_TYPE_ARRAY: ckit_write_array(out, ckit_read_array(r)); break;
    case CKIT_TYPE_MAP: ckit_write_map(out, ckit_read_map(r)); break;
    default: /* nil, and everything that fails */
        ckit_read_nil(r);
        ckit_write_nil(out);
        break;
    }
}

/* One whole value. */
static inline void msgpack_copy_value(ckit_reader *r, ckit_writer *w) {
    do {
        msgpack_copy_token(r, w);
    } while (r->status == CKIT_OK && r->depth > 0);
}

#endif
