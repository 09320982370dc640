/* cache/fleet_fixture.h - two caches, as of two processes, over one store that tells of changes. */
#ifndef CKITI_CACHE_FLEET_FIXTURE_H
#define CKITI_CACHE_FLEET_FIXTURE_H

#include "cache/cache_fixture.h"
#include "support/fake_watch.h"

#define GUARDS_ALL (CKIT_GUARDS_READS | CKIT_GUARDS_WRITES)

typedef struct member {
    ckit_cache    *cache;
    fake_watch    *watch;
    loader         l;
    ckit_function *fn; /* "test.load" of the namespace "ns" */
} member;

typedef struct fleet {
    fixture   f; /* its own cache is not used */
    fake_hub *hub;
    member    a;
    member    b;
} fleet;

/* Both guarded. In two steps: options may be changed between; `what` 0: not guarded yet. */
void fleet_open(fleet *fl, fake_kind kind);
void fleet_prepare(fleet *fl);
void fleet_start(fleet *fl, fake_kind kind, unsigned what);
void fleet_close(fleet *fl);
void member_open(fleet *fl, member *m, fake_kind kind, unsigned what);
void member_close(member *m);

void set_text(member *m, const char *key, const char *text);
/* The entry is `text` (NULL: absent), and comes from there. */
void check_text(const char *file, int line, member *m, const char *key, ckit_source source, const char *text);
#define CHECK_ENTRY(source, text, m, key) check_text(__FILE__, __LINE__, (m), (key), (source), (text))

/* A get in a thread of its own. */
typedef struct threaded_get {
    member     *m;
    const char *key;
    pthread_t   thread;
    ckit_status status;
    char        text[32];
} threaded_get;
void        get_start(threaded_get *g, member *m, const char *key);
const char *get_join(threaded_get *g);

/* A set in a thread of its own. */
typedef struct threaded_set {
    member     *m;
    const char *key;
    const char *text;
    pthread_t   thread;
} threaded_set;
void set_start(threaded_set *s, member *m, const char *key, const char *text);
void set_join(threaded_set *s);

#endif
