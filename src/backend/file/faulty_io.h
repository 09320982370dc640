/* faulty_io.h - the system's calls, of which the n-th of a kind fails. */
#ifndef CKITI_FAULTY_IO_H
#define CKITI_FAULTY_IO_H

#include "io.h"

#include <stdatomic.h>
#include <stdint.h>

typedef enum faulty_kind {
    FAULTY_OPEN,
    FAULTY_STAT,
    FAULTY_READ,
    FAULTY_WRITE,
    FAULTY_SYNC,
    FAULTY_RENAME,
    FAULTY_UNLINK,
    FAULTY_LOCK,
    FAULTY_LIST,
    FAULTY_CLOSE,
    FAULTY_EXCHANGE,
    FAULTY_KINDS
} faulty_kind;

typedef struct faulty_io {
    ckiti_file_io    io; /* hand out &faulty.io; `faulty` must stay where it is */
    _Atomic uint64_t calls[FAULTY_KINDS];
    faulty_kind      kind;     /* what fails ... */
    uint64_t         fail_at;  /* ... from this call on (0 = the first); UINT64_MAX = never */
    uint64_t         fail_for; /* how many calls; UINT64_MAX = for ever */
    int              error;    /* with this errno */
    size_t           chunk;    /* > 0: reads and writes move at most so many bytes */
    _Atomic uint64_t failed;
    /* Called once, before the call with this number of this kind: what others do in that moment. */
    faulty_kind meanwhile_kind;
    uint64_t    meanwhile_at;
    void (*meanwhile)(void *context);
    void *context;
} faulty_io;

void faulty_io_init(faulty_io *f);
/* Counts from zero again and fails call `at` of `kind`. */
void faulty_io_fail(faulty_io *f, faulty_kind kind, uint64_t at, int error);

#endif
