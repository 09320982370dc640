#include "cache/apart.h"

#include "base/clock.h"

void ckiti_apart_init(ckiti_apart *apart) {
    apart->is_over = apart->is_alone = false;
    ckiti_cond_init(&apart->over);
    pthread_mutex_init(&apart->mu, NULL);
}

void ckiti_apart_fini(ckiti_apart *apart) {
    pthread_cond_destroy(&apart->over);
    pthread_mutex_destroy(&apart->mu);
}

bool ckiti_apart_end(ckiti_apart *apart) {
    pthread_mutex_lock(&apart->mu);
    apart->is_over = true;
    bool alone = apart->is_alone;
    pthread_cond_signal(&apart->over);
    pthread_mutex_unlock(&apart->mu);
    return alone;
}

bool ckiti_apart_is_over_by(ckiti_apart *apart, struct timespec until) {
    int waited = 0;
    pthread_mutex_lock(&apart->mu);
    while (!apart->is_over && waited == 0) {
        waited = pthread_cond_timedwait(&apart->over, &apart->mu, &until);
    }
    bool over = apart->is_over;
    pthread_mutex_unlock(&apart->mu);
    return over;
}

bool ckiti_apart_leave(ckiti_apart *apart) {
    pthread_mutex_lock(&apart->mu);
    apart->is_alone = !apart->is_over;
    bool left = apart->is_alone;
    pthread_mutex_unlock(&apart->mu);
    return left;
}
