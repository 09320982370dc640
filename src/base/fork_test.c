#include "base/fork.h"

#include "support/test.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct owner {
    ckiti_fork_hooks hooks;
    pthread_mutex_t  mu;
    char             name;
} owner;

static char   order[64];
static size_t calls;

static void prepare(void *self) {
    owner *o = self;
    order[calls++] = o->name;
    pthread_mutex_lock(&o->mu);
}

static void after(void *self) {
    owner *o = self;
    order[calls++] = o->name;
    pthread_mutex_unlock(&o->mu);
}

static void join(owner *o, char name) {
    *o = (owner){.hooks = {prepare, after, after, o, NULL, NULL}, .name = name};
    pthread_mutex_init(&o->mu, NULL);
    ckiti_fork_register(&o->hooks);
}

CKIT_TEST(fork, the_newest_owner_locks_first_and_unlocks_last_on_both_sides) {
    owner a;
    owner b;
    join(&a, 'a');
    join(&b, 'b');
    calls = 0;
    memset(order, 0, sizeof order);
    pid_t child = fork();
    if (child == 0) {
        _exit(strcmp(order, "baab") == 0 && pthread_mutex_trylock(&a.mu) == 0 ? 0 : 1);
    }
    int status = -1;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
    CHECK_STR("baab", order);
    ckiti_fork_unregister(&a.hooks);
    ckiti_fork_unregister(&b.hooks);
}

CKIT_TEST(fork, who_has_left_is_not_told) {
    owner a;
    owner b;
    owner c;
    join(&a, 'a');
    join(&b, 'b');
    join(&c, 'c');
    ckiti_fork_unregister(&b.hooks);
    ckiti_fork_unregister(&b.hooks);
    calls = 0;
    memset(order, 0, sizeof order);
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    CHECK_EQ_I(child, waitpid(child, NULL, 0));
    CHECK_STR("caac", order);
    ckiti_fork_unregister(&c.hooks);
    ckiti_fork_unregister(&a.hooks);
}
