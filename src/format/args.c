/* format/args.c - arguments are packed while they are given: the common ones without a branch too many. */
#include "format/args.h"

#include "base/alloc.h"
#include "format/msgpack_code.h"

#define INLINE_FRAMES (sizeof((ckit_args *)0)->inline_frames / sizeof(ckit_args_frame))

/* ---- begin and end --------------------------------------------------------------------------------------- */

void ckit_args_init_alloc(ckit_args *args, const ckit_alloc *alloc) {
    args->bytes = args->inline_bytes;
    args->len = CKITI_ARGS_AT;
    args->cap = CKIT_ARGS_INLINE;
    args->count = 0;
    args->state = 0;
    args->alloc = alloc;
}

void ckit_args_init(ckit_args *args) { ckit_args_init_alloc(args, NULL); }

void ckit_args_fini(ckit_args *args) {
    if (args == NULL) {
        return;
    }
    if (args->bytes != args->inline_bytes) {
        ckiti_free(args->alloc, args->bytes, args->cap);
    }
    if ((args->state & CKITI_ARGS_FRAMES) != 0 && args->frames != args->inline_frames) {
        ckiti_free(args->alloc, args->frames, args->frames_cap * sizeof(ckit_args_frame));
    }
    ckit_args_init_alloc(args, args->alloc);
}

void ckiti_args_fail(ckit_args *args, ckit_status status, const char *why) {
    const uint32_t bit = status == CKIT_E_KEY_ARGUMENT ? CKITI_ARGS_UNKEYABLE : CKITI_ARGS_FAILED;
    if ((args->state & (CKITI_ARGS_FAILED | bit)) == 0) {
        args->state |= bit;
        args->status = status;
        args->why = why;
    }
}

bool ckiti_args_grow(ckit_args *args, size_t need) {
    if (args->cap - args->len > need) {
        return true;
    }
    if (need > CKIT_ARGS_MAX_BYTES - args->len) {
        ckiti_args_fail(args, CKIT_E_TOO_LARGE, "arguments of more than 2^30 bytes");
        return false;
    }
    /* Twice as much, but never so much that the limit could be passed without asking here. */
    const size_t least = args->len + need + 1, most = (size_t)CKIT_ARGS_MAX_BYTES + 1;
    const size_t roomy = 2 * args->cap < most ? 2 * args->cap : most;
    const size_t cap = least < roomy ? roomy : least;
    const bool   was_inline = args->bytes == args->inline_bytes;
    uint8_t     *bytes = ckiti_resize(args->alloc, was_inline ? NULL : args->bytes, was_inline ? 0 : args->cap, cap);
    if (bytes == NULL) {
        ckiti_args_fail(args, CKIT_E_NO_MEMORY, "no memory for the arguments");
        return false;
    }
    if (was_inline) {
        memcpy(bytes, args->inline_bytes, args->len);
    }
    args->bytes = bytes;
    args->cap = cap;
    return true;
}

bool ckiti_args_at_key(const ckit_args *args) {
    if ((args->state & CKITI_ARGS_FRAMES) == 0 || args->depth == 0) {
        return false;
    }
    const ckit_args_frame *frame = &args->frames[args->depth - 1];
    return frame->pairs > 0 && frame->left % 2 == 0;
}

/* ---- one value ------------------------------------------------------------------------------------------- */

static bool inside_container(const ckit_args *args) {
    return (args->state & CKITI_ARGS_FRAMES) != 0 && args->depth > 0;
}

static uint8_t *begin_slow(ckit_args *args, size_t need, bool keyable) {
    if ((args->state & CKITI_ARGS_FAILED) != 0) {
        return NULL;
    }
    if ((args->state & CKITI_ARGS_INTEROP) != 0) {
        ckiti_args_fail(args, CKIT_E_MISUSE, "an argument behind those of interop mode");
        return NULL;
    }
    if ((args->state & (CKITI_ARGS_NAMED | CKITI_ARGS_WAITING)) == CKITI_ARGS_NAMED && !inside_container(args)) {
        ckiti_args_fail(args, CKIT_E_MISUSE, "a positional argument behind a keyword");
        return NULL;
    }
    if (!keyable && ckiti_args_at_key(args)) {
        ckiti_args_fail(args, CKIT_E_KEY_ARGUMENT, "the key of a map must be nil, a boolean, a number, text or bytes");
    }
    return ckiti_args_grow(args, need) ? args->bytes + args->len : NULL;
}

/* A whole argument is there. */
static void argument_done(ckit_args *args) {
    if ((args->state & CKITI_ARGS_NAMED) == 0) {
        args->count++;
        return;
    }
    if ((args->state & CKITI_ARGS_DROP) != 0) {
        args->len = args->keyword_at;
    }
    args->state &= ~(uint32_t)(CKITI_ARGS_WAITING | CKITI_ARGS_DROP);
}

/* A value is there, and with it perhaps the containers that it was the last of. */
static void value_done(ckit_args *args) {
    if ((args->state & CKITI_ARGS_FRAMES) != 0) {
        while (args->depth > 0) {
            ckit_args_frame *frame = &args->frames[args->depth - 1];
            if (--frame->left > 0) {
                return;
            }
            if (frame->pairs > 1) {
                ckiti_args_sort(args, frame->start, frame->pairs);
            }
            args->depth--;
        }
    }
    argument_done(args);
}

static inline uint8_t *begin(ckit_args *args, size_t need, bool keyable) {
    if (__builtin_expect(args->state == 0 && args->cap - args->len > need, 1)) {
        return args->bytes + args->len;
    }
    return begin_slow(args, need, keyable);
}

static inline void end(ckit_args *args, size_t len) {
    args->len += len;
    if (__builtin_expect(args->state == 0, 1)) {
        args->count++;
    } else {
        value_done(args);
    }
}

uint8_t *ckiti_args_begin(ckit_args *args, size_t need, bool keyable) { return begin(args, need, keyable); }

void ckiti_args_end(ckit_args *args, size_t len) { end(args, len); }

void ckiti_args_end_text(ckit_args *args, uint8_t *p, size_t len) {
    const size_t head = ckiti_put_str_head(p, (uint32_t)len);
    memmove(p + head, p + CKITI_MSGPACK_HEAD, len);
    end(args, head + len);
}

void ckit_args_nil(ckit_args *args) {
    uint8_t *p = begin(args, CKITI_MSGPACK_HEAD, true);
    if (p != NULL) {
        *p = 0xc0;
        end(args, 1);
    }
}

void ckit_args_bool(ckit_args *args, bool value) {
    uint8_t *p = begin(args, CKITI_MSGPACK_HEAD, true);
    if (p != NULL) {
        *p = value ? 0xc3 : 0xc2;
        end(args, 1);
    }
}

void ckit_args_int(ckit_args *args, int64_t value) {
    uint8_t *p = begin(args, CKITI_MSGPACK_HEAD, true);
    if (p != NULL) {
        end(args, ckiti_put_int(p, value));
    }
}

void ckit_args_uint(ckit_args *args, uint64_t value) {
    uint8_t *p = begin(args, CKITI_MSGPACK_HEAD, true);
    if (p != NULL) {
        end(args, ckiti_put_uint(p, value));
    }
}

void ckit_args_double(ckit_args *args, double value) {
    uint8_t *p = begin(args, CKITI_MSGPACK_HEAD, true);
    if (p != NULL) {
        /* Both zeros are one argument; the keys of maps are taken as they are. */
        const bool zero = value <= 0 && value >= 0;
        end(args, ckiti_put_double(p, zero && !ckiti_args_at_key(args) ? 0.0 : value));
    }
}

static uint8_t *begin_bytes(ckit_args *args, size_t len) {
    if (len > CKIT_ARGS_MAX_BYTES) {
        ckiti_args_fail(args, CKIT_E_TOO_LARGE, "an argument of more than 2^30 bytes");
        return NULL;
    }
    return begin(args, CKITI_MSGPACK_HEAD + len, true);
}

static void put_bytes(ckit_args *args, uint8_t *p, size_t head, ckit_slice bytes) {
    ckiti_copy(p + head, bytes.ptr, bytes.len);
    end(args, head + bytes.len);
}

void ckit_args_str(ckit_args *args, ckit_slice text) {
    uint8_t *p = begin_bytes(args, text.len);
    if (p == NULL) {
        return;
    }
    if (!ckiti_is_text(text.ptr, text.len)) {
        ckiti_args_fail(args, CKIT_E_KEY_ARGUMENT, "text that is not UTF-8");
    }
    put_bytes(args, p, ckiti_put_str_head(p, (uint32_t)text.len), text);
}

void ckit_args_cstr(ckit_args *args, const char *text) { ckit_args_str(args, ckit_slice_str(text)); }

void ckit_args_bytes(ckit_args *args, ckit_slice bytes) {
    uint8_t *p = begin_bytes(args, bytes.len);
    if (p != NULL) {
        put_bytes(args, p, ckiti_put_bin_head(p, (uint32_t)bytes.len), bytes);
    }
}

/* ---- arrays and maps ------------------------------------------------------------------------------------- */

static bool grow_frames(ckit_args *args) {
    const bool       was_inline = args->frames == args->inline_frames;
    const uint32_t   cap = 4 * args->frames_cap;
    const size_t     old_size = args->frames_cap * sizeof(ckit_args_frame);
    ckit_args_frame *frames =
        ckiti_resize(args->alloc, was_inline ? NULL : args->frames, was_inline ? 0 : old_size, cap * sizeof *frames);
    if (frames == NULL) {
        ckiti_args_fail(args, CKIT_E_NO_MEMORY, "no memory for the arguments");
        return false;
    }
    if (was_inline) {
        memcpy(frames, args->inline_frames, sizeof args->inline_frames);
    }
    args->frames = frames;
    args->frames_cap = cap;
    return true;
}

static ckit_args_frame *push_frame(ckit_args *args) {
    if ((args->state & CKITI_ARGS_FRAMES) == 0) {
        args->state |= CKITI_ARGS_FRAMES;
        args->frames = args->inline_frames;
        args->frames_cap = INLINE_FRAMES;
        args->depth = 0;
    }
    if (args->depth == args->frames_cap && !grow_frames(args)) {
        return NULL;
    }
    return &args->frames[args->depth++];
}

/* An array has no pairs. */
static void open_container(ckit_args *args, size_t head, uint64_t values, uint32_t pairs) {
    if (inside_container(args) && args->depth >= CKIT_ARGS_MAX_DEPTH) {
        ckiti_args_fail(args, CKIT_E_DEPTH, "arrays and maps are nested more than 510 deep");
        return;
    }
    if (values == 0) {
        end(args, head);
        return;
    }
    ckit_args_frame *frame = push_frame(args);
    if (frame != NULL) {
        args->len += head;
        *frame = (ckit_args_frame){.left = values, .start = (uint32_t)args->len, .pairs = pairs};
    }
}

void ckit_args_array(ckit_args *args, uint32_t count) {
    uint8_t *p = begin(args, CKITI_MSGPACK_HEAD, false);
    if (p != NULL) {
        open_container(args, ckiti_put_array_head(p, count), count, 0);
    }
}

void ckit_args_map(ckit_args *args, uint32_t count) {
    uint8_t *p = begin(args, CKITI_MSGPACK_HEAD, false);
    if (p != NULL) {
        open_container(args, ckiti_put_map_head(p, count), 2 * (uint64_t)count, count);
    }
}
