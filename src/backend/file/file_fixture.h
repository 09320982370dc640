/* file_fixture.h - a file store in a scratch directory, on a clock that tests move. */
#ifndef CKITI_FILE_FIXTURE_H
#define CKITI_FILE_FIXTURE_H

#include "faulty_io.h"
#include "store.h"

#include <cachekit/buf.h>

#include "support/failing_alloc.h"
#include "support/fake_clock.h"
#include "support/hex.h"
#include "support/scratch.h"
#include "support/test.h"

typedef struct fixture {
    char                    dir[SCRATCH_PATH];
    char                    path[SCRATCH_PATH + 256]; /* of the last fixture_path */
    fake_clock              time;
    ckit_file_options       options;
    ckit_backend_env        env;
    const ckiti_file_io    *io;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    ckiti_file_store       *self;
} fixture;

/* A fresh directory; without opening yet, so that a test can change options. Syncing is off: tests are many. */
void fixture_init(fixture *f);
void fixture_reopen(fixture *f);
void fixture_open(fixture *f);
/* The same on a system that fails when it is told to. */
void fixture_init_faulty(fixture *f, faulty_io *io);
void fixture_open_faulty(fixture *f, faulty_io *io);
void fixture_close(fixture *f);

const char *fixture_path(fixture *f, const char *name);
ckit_status fixture_set(fixture *f, const char *key, const char *value, uint64_t ttl_ms);
ckit_status fixture_set_owned(fixture *f, const char *key, const char *value, const char *namespace_name,
                              const char *function);
/* The value must be exactly this; NULL: a miss. */
void fixture_expect(fixture *f, const char *key, const char *value);
/* Files with an entry's name, and files with .tmp. in theirs. */
size_t fixture_entries(const fixture *f);
size_t fixture_temps(const fixture *f);
/* Open descriptors of this process. */
size_t open_descriptors(void);

#endif
