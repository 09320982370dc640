/* guard/guard_fixture.h - a guarded store on a clock of the test's own. */
#ifndef CKITI_GUARD_FIXTURE_H
#define CKITI_GUARD_FIXTURE_H

#include "guard/guard.h"
#include "support/fake_backend.h"
#include "support/fake_clock.h"
#include "support/test.h"

#include <cachekit/buf.h>

typedef struct scene {
    fake_clock              time;
    fake_store             *store;
    ckit_guard_options      options;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
    char                    log[4096];
    ckit_log                sink;
    uint64_t                lives; /* where scene_get tells lives */
} scene;

/* Pauses between attempts move the clock instead; they are counted from scene_prepare on. */
extern _Atomic unsigned pauses;
extern _Atomic uint64_t longest_pause;

/* Default options, but no retries. In two steps: s->options may be changed between. */
void scene_open(scene *s, fake_kind kind);
void scene_prepare(scene *s);
void scene_start(scene *s, fake_kind kind);
void scene_close(scene *s);

ckit_guard_stats scene_stats(const scene *s);
ckit_status      scene_get_by(scene *s, uint64_t deadline_ms, ckit_error *err);
ckit_status      scene_get(scene *s);
ckit_status      scene_set(scene *s);
/* Five failures: the circuit is open. */
void break_circuit(scene *s);

#endif
