/* format/args.h - how a ckit_args is laid out, for the files that fill one.
 *
 *     bytes: [room for headers][positional values][header of keywords][name value name value ...]
 *            ^0                ^CKITI_ARGS_AT     ^keywords_at                                  ^len
 *
 * The room in front takes the outer header and that of the positional array, right-aligned, once their size is known.
 * One byte behind `len` is always there: for the empty map of calls without keywords. */
#ifndef CKITI_FORMAT_ARGS_H
#define CKITI_FORMAT_ARGS_H

#include <cachekit/key.h>

#define CKITI_ARGS_AT 8

/* Bits of ckit_args.state. Any of them takes the slow path; each says which fields are in use. */
enum {
    CKITI_ARGS_FAILED = 1,      /* status, why; a value is lost */
    CKITI_ARGS_FRAMES = 2,      /* frames, frames_cap, depth */
    CKITI_ARGS_NAMED = 4,       /* keywords*; positional arguments are over */
    CKITI_ARGS_WAITING = 8,     /* a keyword has its name and waits for its value */
    CKITI_ARGS_DROP = 16,       /* ... and both are dropped then */
    CKITI_ARGS_SORTED = 32,     /* the keywords are */
    CKITI_ARGS_VECTORS = 64,    /* vector_bytes */
    CKITI_ARGS_UNKEYABLE = 128, /* status, why; all values are there, but they make no key */
    CKITI_ARGS_INTEROP = 256,   /* positional arguments alone, in the canonical form of interop mode; complete */
    CKITI_ARGS_TENANT = 512     /* tenant */
};

/* CKIT_E_KEY_ARGUMENT means that the arguments make no key: the caller still adds the value, for a function that runs
 * uncached then. Any other status means that the value is lost: nothing is added from there on. */
void ckiti_args_fail(ckit_args *args, ckit_status status, const char *why);
/* Whose call it is; empty when that has not been told. */
static inline ckit_slice ckiti_args_tenant(const ckit_args *args) {
    return (args->state & CKITI_ARGS_TENANT) != 0 ? args->tenant : (ckit_slice){NULL, 0};
}
/* Whether the next value is the key of a map. */
bool ckiti_args_at_key(const ckit_args *args);
/* Room for a value of at most `need` bytes, where it goes; NULL after a failure. `keyable`: it may be the key of a
 * map. */
uint8_t *ckiti_args_begin(ckit_args *args, size_t need, bool keyable);
/* The value was written and took `len` bytes. */
void ckiti_args_end(ckit_args *args, size_t len);
/* The same for text whose bytes stand CKITI_MSGPACK_HEAD behind the place where the value goes. */
void ckiti_args_end_text(ckit_args *args, uint8_t *p, size_t len);
/* At least `need` bytes more, and one; false after a failure. */
bool ckiti_args_grow(ckit_args *args, size_t need);
/* Whether the arguments may be those of a call in interop mode: ckit_args_interop has made them, or there are none. */
static inline bool ckiti_args_are_interop(const ckit_args *args) {
    return (args->state & CKITI_ARGS_INTEROP) != 0 || (args->state == 0 && args->count == 0);
}
/* Sorts the entries from `start` to the end by their keys, and refuses what cannot be sorted. */
void ckiti_args_sort(ckit_args *args, size_t start, uint32_t pairs);

#endif
