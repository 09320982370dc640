/* cachekit/types.h - the words every other page uses: slices, buffers, lifetimes, allocator, clock, log.
 *
 * Types only. What can be done with a buffer or a value stands in buf.h and value.h. */
#ifndef CACHEKIT_TYPES_H
#define CACHEKIT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CKIT_API __attribute__((visibility("default")))
#define CKIT_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define CKIT_API
#define CKIT_PRINTF(format_index, first)
#endif

/* Structs that begin with `struct_size` start as CKIT_..._INIT (or with their ckit_..._init function): everything zero,
 * which means default, and the size of the struct that the program was compiled with, so that an older program meets a
 * newer library safely. */
#ifdef __cplusplus
extern "C++" {
template <typename T> static inline T ckit_sized() {
    T sized = {};
    sized.struct_size = sizeof(T);
    return sized;
}
}
#define CKIT_SIZED_INIT(type) ckit_sized<type>()
#else
#define CKIT_SIZED_INIT(type)                                                                                          \
    { .struct_size = sizeof(type) }
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- bytes ----------------------------------------------------------------------------------------------- */

/* A look at somebody else's bytes: passed by value, never freed. `ptr` may be NULL only when `len` is 0.
 * A zero byte in a slice is just a byte. */
typedef struct ckit_slice {
    const uint8_t *ptr;
    size_t         len;
} ckit_slice;

/* Where memory comes from. Every function may be called from any thread. `alloc` and `resize` return NULL when
 * there is none; `release` and `resize` are told the size that was asked for. A NULL `const ckit_alloc *`
 * anywhere in this library means malloc, realloc and free. The allocator must outlive whatever was opened with
 * it. */
typedef struct ckit_alloc {
    void *(*alloc)(void *self, size_t size);
    void *(*resize)(void *self, void *ptr, size_t old_size, size_t new_size);
    void (*release)(void *self, void *ptr, size_t size);
    void *self;
} ckit_alloc;

/* Bytes that are owned and grow. Start with CKIT_BUF_INIT (or ckit_buf_init for an allocator of your own), end
 * with ckit_buf_fini. Functions in buf.h. */
typedef struct ckit_buf {
    uint8_t          *ptr;
    size_t            len;
    size_t            cap;
    const ckit_alloc *alloc; /* NULL = malloc */
} ckit_buf;

#define CKIT_BUF_INIT                                                                                                  \
    { NULL, 0, 0, NULL }

/* ---- options --------------------------------------------------------------------------------------------- */

/* A switch with a default. */
typedef enum ckit_switch { CKIT_DEFAULT = 0, CKIT_ON = 1, CKIT_OFF = 2 } ckit_switch;

/* ---- time ------------------------------------------------------------------------------------------------ */

/* A lifetime is a count of milliseconds. In options 0 means "the default" (3600 s unless configured); the other
 * meanings have names: */
#define CKIT_TTL_DEFAULT UINT64_C(0)
#define CKIT_TTL_NO_EXPIRY UINT64_MAX                /* keep until evicted */
#define CKIT_TTL_DO_NOT_STORE (UINT64_MAX - 1)       /* give the value to the caller and forget it */
#define CKIT_TTL_MAX_MS (UINT64_C(315360000) * 1000) /* ten years: the longest lifetime that is accepted */

/* The remaining life of an entry: milliseconds, or one of these. */
#define CKIT_LIFE_NO_EXPIRY UINT64_MAX
#define CKIT_LIFE_UNKNOWN (UINT64_MAX - 2) /* the store cannot tell; memory then keeps the value 30 s at most */

/* A deadline is a point on the instance's monotonic clock in milliseconds; CKIT_NO_DEADLINE waits as long as the
 * component's own bound allows. */
#define CKIT_NO_DEADLINE UINT64_MAX

/* Where time comes from; tests own it. Both functions may be called from any thread and never fail.
 *   monotonic_ms  never goes back, any origin; lifetimes and deadlines are measured on it
 *   wall_ms       Unix time in milliseconds; only for stamps that other processes read */
typedef struct ckit_clock {
    uint64_t (*monotonic_ms)(void *self);
    int64_t (*wall_ms)(void *self);
    void *self;
} ckit_clock;

/* ---- log ------------------------------------------------------------------------------------------------- */

typedef enum ckit_log_level {
    CKIT_LOG_DEFAULT = 0, /* warning, unless the environment's LOG_LEVEL says otherwise */
    CKIT_LOG_DEBUG = 1,
    CKIT_LOG_INFO = 2,
    CKIT_LOG_WARNING = 3,
    CKIT_LOG_ERROR = 4,
    CKIT_LOG_OFF = 5
} ckit_log_level;

/* Where log lines go. `write` may be called from any thread; `line` is one line of UTF-8 without a newline and
 * never holds a value, a secret or a whole key. A NULL `write` means standard error. */
typedef struct ckit_log {
    void (*write)(void *self, ckit_log_level level, const char *component, const char *line);
    void          *self;
    ckit_log_level level; /* lines below it are not made at all */
} ckit_log;

/* ---- values ---------------------------------------------------------------------------------------------- */

/* Who answered. */
typedef enum ckit_source {
    CKIT_SOURCE_NONE = 0,
    CKIT_SOURCE_MEMORY = 1,   /* L1 */
    CKIT_SOURCE_STORE = 2,    /* L2 */
    CKIT_SOURCE_FUNCTION = 3, /* computed by this call */
    CKIT_SOURCE_FLIGHT = 4    /* computed by another call of this process that was already under way */
} ckit_source;

#define CKIT_VALUE_INLINE 128 /* a value up to this size is copied into the caller's ckit_value: nothing to share */

/* A value as it is lent to a caller: start with CKIT_VALUE_INIT, read `data`, end with ckit_value_fini (value.h),
 * from any thread. `data` stays as it is until then, also when the entry is evicted, replaced or invalidated.
 * A ckit_value must not be copied by assignment: `data` may point into it. */
typedef struct ckit_value {
    ckit_slice  data;    /* a document (MessagePack) or bytes, by the call that filled it */
    void       *object;  /* an opaque value of a binding instead of bytes, else NULL */
    uint64_t    life_ms; /* remaining life: milliseconds or CKIT_LIFE_* */
    ckit_source source;
    bool        stale; /* past its lifetime, within its stale window */

    /* private: how to give it back */
    void (*release)(struct ckit_value *value);
    void   *owner;
    size_t  owner_size;
    uint8_t inline_bytes[CKIT_VALUE_INLINE];
} ckit_value;

#ifdef __cplusplus
#define CKIT_VALUE_INIT                                                                                                \
    {}
#else
#define CKIT_VALUE_INIT                                                                                                \
    { .release = NULL }
#endif

/* An opaque value that a binding keeps in memory (L1 only). `release` is called exactly once, from any thread,
 * when the entry is gone and no reader holds it; it must not call back into the cache. */
typedef struct ckit_object {
    void  *object;
    size_t size; /* bytes it is charged with in the budget; at least its own footprint */
    void (*release)(void *object, void *context);
    void *context;
} ckit_object;

/* What a binding may remember of an object that ckit_peek_object (function.h) has found. Start with {0}, which never
 * holds. private */
typedef struct ckit_object_hint {
    const void *removals;
    uint64_t    seen;
    uint64_t    birth;
    uint64_t    fresh_until_ms;
} ckit_object_hint;

/* Who an entry belongs to: what invalidation and listing select by. */
typedef enum ckit_scope_kind {
    CKIT_SCOPE_ALL = 0,
    CKIT_SCOPE_NAMESPACE = 1, /* every entry of `namespace_name` */
    CKIT_SCOPE_FUNCTION = 2   /* every entry of `function` in `namespace_name` (which may be empty: none) */
} ckit_scope_kind;

typedef struct ckit_scope {
    ckit_scope_kind kind;
    ckit_slice      namespace_name;
    ckit_slice      function;
} ckit_scope;

#ifdef __cplusplus
}
#endif
#endif
