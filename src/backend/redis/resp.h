/* resp.h - the protocol of Redis (RESP2 and RESP3 specifications): commands written, replies read.
 *
 * Commands are arrays of bulk strings. The reader is fed with bytes as they arrive and gives one item at a time: a
 * scalar, a bulk string, or the header of an aggregate whose elements are the items that follow. It keeps no tree, does
 * not call itself, and asks for memory only once, for its input buffer. What breaks the protocol is remembered: every
 * later call says the same. */
#ifndef CKITI_REDIS_RESP_H
#define CKITI_REDIS_RESP_H

#include <cachekit/buf.h>
#include <sys/uio.h>

/* ---- writing ----------------------------------------------------------------------------------------------- */

#define CKITI_RESP_INLINE_MAX 65536u

/* Appends commands to `out`. The first failure (no memory) is remembered in `status`; `out` may then hold half a
 * command, which the caller cuts off. One argument larger than `inline_max` is not copied but left to be sent by
 * reference: it belongs at `late_at` in `out`. A second one is copied. */
typedef struct ckiti_resp_writer {
    ckit_buf   *out;
    ckit_status status;
    size_t      inline_max; /* SIZE_MAX: everything is copied */
    ckit_slice  late;       /* lent by the caller */
    size_t      late_at;
} ckiti_resp_writer;

void ckiti_resp_writer_init(ckiti_resp_writer *w, ckit_buf *out, size_t inline_max);
/* A command of `count` arguments, its name included, which follow. */
void ckiti_resp_command(ckiti_resp_writer *w, uint64_t count);
void ckiti_resp_bytes(ckiti_resp_writer *w, ckit_slice bytes);
void ckiti_resp_text(ckiti_resp_writer *w, const char *text);
void ckiti_resp_number(ckiti_resp_writer *w, uint64_t number);
/* One argument that is the given parts, one behind the other; always copied. */
void ckiti_resp_joined(ckiti_resp_writer *w, const ckit_slice *parts, size_t count);
/* What is written already: the beginning of a command, or arguments. Always copied. */
void ckiti_resp_written(ckiti_resp_writer *w, ckit_slice bytes);

/* ---- reading ----------------------------------------------------------------------------------------------- */

#define CKITI_RESP_MAX_DEPTH 16u
#define CKITI_RESP_MAX_ELEMENTS (UINT64_C(1) << 24) /* of one reply, all levels together */
#define CKITI_RESP_MAX_BULK (UINT64_C(512) << 20)   /* what a server can store */
#define CKITI_RESP_BUFFER_BYTES 65536u              /* what is read at once */
#define CKITI_RESP_STREAM_MIN 4096u                 /* shorter bulks always come in one piece */

typedef enum ckiti_resp_type {
    CKITI_RESP_SIMPLE = 1, /* text */
    CKITI_RESP_ERROR,      /* text, also of a bulk error */
    CKITI_RESP_INTEGER,    /* integer */
    CKITI_RESP_BULK,       /* text, or streamed; integer: its length */
    CKITI_RESP_NIL,        /* null of either protocol */
    CKITI_RESP_BOOLEAN,    /* integer 0 or 1 */
    CKITI_RESP_DOUBLE,     /* text as sent */
    CKITI_RESP_BIG_NUMBER, /* text as sent */
    CKITI_RESP_VERBATIM,   /* text without the mark of its format */
    CKITI_RESP_ARRAY,      /* integer: items that follow, one level deeper */
    CKITI_RESP_MAP,        /* the same; keys and values both count */
    CKITI_RESP_SET
} ckiti_resp_type;

typedef struct ckiti_resp_item {
    ckiti_resp_type type;
    uint32_t        depth;    /* 0: the reply itself */
    bool            ends;     /* the reply is complete with it */
    bool            push;     /* part of a push message, which answers no command */
    bool            streamed; /* the bytes went where ckiti_resp_into said */
    int64_t         integer;
    ckit_slice      text; /* valid until the reader is fed or asked again */
} ckiti_resp_item;

typedef enum ckiti_resp_result {
    CKITI_RESP_ITEM, /* `item` is filled */
    CKITI_RESP_BODY, /* a long bulk of item->integer bytes begins: say where it goes with ckiti_resp_into, then go on.
                        It comes again as an item when it is complete */
    CKITI_RESP_MORE, /* feed it */
    CKITI_RESP_BAD   /* not the protocol, or beyond a limit: `why` tells */
} ckiti_resp_result;

typedef struct ckiti_resp_frame {
    uint64_t left;
    bool     attribute;
} ckiti_resp_frame;

/* Attributes are read and dropped. */
typedef struct ckiti_resp_reader {
    /* private, but for `why` */
    uint8_t          *buffer;
    size_t            cap, start, end, scanned;
    const ckit_alloc *alloc;
    ckiti_resp_frame  frames[CKITI_RESP_MAX_DEPTH];
    uint32_t          depth;
    uint32_t          attributes; /* open ones: what is inside is not shown */
    uint64_t          elements;
    bool              push;
    /* a bulk that is being streamed */
    bool     body;
    bool     placed; /* `into` has been told */
    uint8_t *into;   /* NULL: dropped */
    uint64_t body_left;
    uint64_t body_len;
    uint8_t  ending_left; /* of "\r\n" behind it */

    const char *why; /* NULL: all is well */
} ckiti_resp_reader;

/* CKIT_E_NO_MEMORY leaves it ended. */
ckit_status ckiti_resp_reader_init(ckiti_resp_reader *r, const ckit_alloc *alloc);
/* Accepts NULL and zeroed memory. */
void ckiti_resp_reader_fini(ckiti_resp_reader *r);
/* Forgets everything that was fed, and failures. */
void ckiti_resp_reader_reset(ckiti_resp_reader *r);

/* Where the next bytes go, in order; at least one byte of room. The number of parts, 1 or 2. */
int ckiti_resp_room(ckiti_resp_reader *r, struct iovec parts[2]);
/* So many bytes were put there. */
void ckiti_resp_fed(ckiti_resp_reader *r, size_t bytes);

ckiti_resp_result ckiti_resp_next(ckiti_resp_reader *r, ckiti_resp_item *item);
/* After CKITI_RESP_BODY: item->integer bytes of memory that stay until the bulk is complete, or NULL to drop it. May be
 * called again later with NULL, when nobody wants it any more. */
void ckiti_resp_into(ckiti_resp_reader *r, uint8_t *into);

/* Nothing is buffered and no reply has begun. */
static inline bool ckiti_resp_idle(const ckiti_resp_reader *r) {
    return r->start == r->end && r->depth == 0 && !r->body;
}

#endif
