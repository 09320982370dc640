#include "base/fork.h"

#include <pthread.h>
#include <stddef.h>

/* registry_lock guards the list. It is taken before any owner's lock, and held from prepare until after the fork. */
static pthread_mutex_t   registry_lock = PTHREAD_MUTEX_INITIALIZER;
static ckiti_fork_hooks *newest;
static ckiti_fork_hooks *oldest;
static pthread_once_t    once = PTHREAD_ONCE_INIT;

static void before_fork(void) {
    pthread_mutex_lock(&registry_lock);
    for (ckiti_fork_hooks *hooks = newest; hooks != NULL; hooks = hooks->older) {
        hooks->prepare(hooks->self);
    }
}

static void after_fork_in_parent(void) {
    for (ckiti_fork_hooks *hooks = oldest; hooks != NULL; hooks = hooks->newer) {
        hooks->parent(hooks->self);
    }
    pthread_mutex_unlock(&registry_lock);
}

static void after_fork_in_child(void) {
    for (ckiti_fork_hooks *hooks = oldest; hooks != NULL; hooks = hooks->newer) {
        hooks->child(hooks->self);
    }
    pthread_mutex_unlock(&registry_lock);
}

static void install(void) { pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }

void ckiti_fork_register(ckiti_fork_hooks *hooks) {
    pthread_once(&once, install);
    pthread_mutex_lock(&registry_lock);
    hooks->older = newest;
    hooks->newer = NULL;
    if (newest != NULL) {
        newest->newer = hooks;
    } else {
        oldest = hooks;
    }
    newest = hooks;
    pthread_mutex_unlock(&registry_lock);
}

void ckiti_fork_unregister(ckiti_fork_hooks *hooks) {
    if (hooks->prepare == NULL) {
        return;
    }
    pthread_mutex_lock(&registry_lock);
    if (hooks->older != NULL) {
        hooks->older->newer = hooks->newer;
    } else {
        oldest = hooks->newer;
    }
    if (hooks->newer != NULL) {
        hooks->newer->older = hooks->older;
    } else {
        newest = hooks->older;
    }
    hooks->prepare = NULL;
    pthread_mutex_unlock(&registry_lock);
}
