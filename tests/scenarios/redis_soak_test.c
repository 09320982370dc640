/* Four worker processes over one Redis server, or a cluster, while workers are killed and stopped, servers are killed,
 * frozen, emptied and started again, and links are cut or fall silent: no value is ever wrong, no read older than what
 * its worker has been told or has written itself, and nothing waits for longer than it may.
 *
 * A few seconds as an ordinary test; with CKIT_SOAK set as long as CKIT_SOAK_SECONDS says (300). With CKIT_SOAK_REPORT
 * the table goes behind what is in that file too. */
#include "soak_world.h"
#include "support/partition.h"
#include "support/redis_cluster.h"
#include "support/redis_server.h"
#include "support/test.h"

#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* An operation waits for the store for a second at most, several times at worst; a machine under load is slow
 * besides. */
#define HANG_MS (UNDER_ASAN || UNDER_TSAN ? 30000u : 15000u)

typedef enum event {
    KILL_WORKER,
    SILENT_LINK,
    RESTART_SERVER,
    CUT_LINK,
    FREEZE_SERVER,
    NETWORK_DOWN,
    KILL_CLIENTS,
    STOP_WORKER,
    EMPTY_SERVER,
    EVENTS
} event;

static const char *const event_names[EVENTS] = {"workers killed", "partitions of a worker", "servers killed",
                                                "links cut",      "servers frozen",         "networks down",
                                                "clients ended",  "workers stopped",        "servers emptied"};

typedef struct director {
    soak_world   *w;
    redis_server  single;
    redis_server *servers; /* that one, or the nodes of a cluster */
    unsigned      server_count;
    partition     relay;
    const char   *url; /* of the cluster; NULL: each worker has a way of its own through the relay */
    const char   *parameters;
    pid_t         workers[SOAK_WORKERS];
    uint64_t      random;
    uint64_t      happened[EVENTS];
    uint64_t      hangs, crashes;
    bool          network; /* is ours alone */
} director;

/* ---- the network ------------------------------------------------------------------------------------------------- */

static bool set_loopback(bool up) {
    struct ifreq ask = {.ifr_name = "lo"};
    int          fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool         ok = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &ask) == 0;
    if (ok) {
        ask.ifr_flags = (short)(up ? ask.ifr_flags | IFF_UP : ask.ifr_flags & ~IFF_UP);
        ok = ioctl(fd, SIOCSIFFLAGS, &ask) == 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* A network of the test's own, which can be taken away. */
static bool have_own_network(void) {
    if (unshare(CLONE_NEWNET) == 0 && set_loopback(true)) {
        return true;
    }
    puts("no network of its own (needs CAP_SYS_ADMIN): it is not taken down");
    return false;
}

/* ---- workers ----------------------------------------------------------------------------------------------------- */

static void start_worker(director *d, unsigned at) {
    char     url[160];
    uint64_t seed = soak_random(&d->random);
    if (d->url != NULL) {
        snprintf(url, sizeof url, "%s", d->url);
    } else {
        snprintf(url, sizeof url, "redis://127.0.0.1:%u/0%s", d->relay.links[at].port, d->parameters);
    }
    fflush(NULL);
    d->workers[at] = fork();
    CHECK(d->workers[at] >= 0);
    if (d->workers[at] == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        soak_work(d->w, at, url, seed);
    }
}

static void kill_worker(director *d, unsigned at) {
    kill(d->workers[at], SIGKILL);
    waitpid(d->workers[at], NULL, 0);
    d->workers[at] = 0;
    soak_bury(d->w, at);
}

/* A worker that ended by itself. */
static void look_for_crashes(director *d) {
    for (unsigned i = 0; i < SOAK_WORKERS; i++) {
        int status;
        if (d->workers[i] > 0 && waitpid(d->workers[i], &status, WNOHANG) > 0) {
            bool ended = atomic_load(&d->w->ends) && WIFEXITED(status) && WEXITSTATUS(status) == 0;
            d->workers[i] = 0;
            if (!ended) {
                d->crashes++;
                soak_remark(d->w, "worker %u ended by itself: status %d", i, status);
                soak_bury(d->w, i);
                start_worker(d, i);
            }
        }
    }
}

static void look_for_hangs(director *d) {
    uint64_t now = soak_now_ms();
    for (unsigned i = 0; i < SOAK_WORKERS * SOAK_THREADS; i++) {
        unsigned    worker = i / SOAK_THREADS;
        soak_place *place = &d->w->places[worker][i % SOAK_THREADS];
        uint64_t    since = atomic_load(&place->since_ms);
        if (since != 0 && now > since && now - since > HANG_MS && d->workers[worker] > 0) {
            d->hangs++;
            soak_remark(d->w, "worker %u thread %u: %s has not come back for %llu ms", worker, i % SOAK_THREADS,
                        soak_op_name((soak_op)atomic_load(&place->op)), (unsigned long long)(now - since));
            kill_worker(d, worker);
            start_worker(d, worker);
        }
    }
}

static void let_pass(director *d, uint64_t ms) {
    uint64_t end = soak_now_ms() + ms;
    do {
        look_for_crashes(d);
        look_for_hangs(d);
        soak_nap(10000);
    } while (soak_now_ms() < end);
}

/* ---- what happens ------------------------------------------------------------------------------------------------ */

static uint64_t some(director *d, uint64_t from, uint64_t to) { return from + soak_random(&d->random) % (to - from); }

static void restart_server(director *d, redis_server *server) {
    char why[200];
    redis_server_kill(server);
    let_pass(d, some(d, 1, 1500));
    if (!redis_server_restart(server, why, sizeof why)) {
        FAIL("%s", why);
    }
}

static void partition_worker(director *d, unsigned at) {
    partition_set(&d->relay, at, (partition_kind)some(d, PARTITION_SILENT, PARTITION_NO_ANSWERS + 1));
    let_pass(d, some(d, 100, 3000));
    if (some(d, 0, 2) == 0) {
        partition_cut(&d->relay, at);
    }
    partition_set(&d->relay, at, PARTITION_NONE);
}

/* For a while nobody hears of what changes at this server, and changes go on. */
static void deafen(director *d, redis_server *server) {
    char     answer[256];
    uint64_t end = soak_now_ms() + some(d, 300, 1500);
    while (soak_now_ms() < end) {
        redis_server_tell(server, "CLIENT KILL TYPE pubsub", answer);
        let_pass(d, 5);
    }
}

static void let_happen(director *d, event what) {
    unsigned      at = (unsigned)some(d, 0, SOAK_WORKERS);
    redis_server *server = &d->servers[some(d, 0, d->server_count)];
    char          answer[256];
    if ((what == SILENT_LINK || what == CUT_LINK) && d->url != NULL) {
        deafen(d, server);
        what = KILL_CLIENTS;
    }
    switch (what) {
    case KILL_WORKER:
        kill_worker(d, at);
        let_pass(d, some(d, 0, 500));
        start_worker(d, at);
        break;
    case SILENT_LINK: partition_worker(d, at); break;
    case RESTART_SERVER: restart_server(d, server); break;
    case CUT_LINK: partition_cut(&d->relay, at); break;
    case FREEZE_SERVER:
        redis_server_freeze(server);
        let_pass(d, some(d, 50, 2500));
        redis_server_thaw(server);
        break;
    case NETWORK_DOWN:
        if (!d->network) {
            return;
        }
        CHECK(set_loopback(false));
        let_pass(d, some(d, 50, 2500));
        CHECK(set_loopback(true));
        break;
    case KILL_CLIENTS:
        redis_server_tell(server, some(d, 0, 2) == 0 ? "CLIENT KILL TYPE pubsub" : "CLIENT KILL TYPE normal", answer);
        break;
    case STOP_WORKER:
        kill(d->workers[at], SIGSTOP);
        let_pass(d, some(d, 50, 2000));
        kill(d->workers[at], SIGCONT);
        break;
    default: redis_server_tell(server, "FLUSHALL", answer); break;
    }
    d->happened[what]++;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

/* On a starved machine workers have done little by now, and nothing of it may have been compared with anything. */
static void await_checks(director *d) {
    uint64_t end = soak_now_ms() + 2 * HANG_MS;
    while (soak_now_ms() < end && (atomic_load(&d->w->told_checks) == 0 || atomic_load(&d->w->own_checks) == 0 ||
                                   atomic_load(&d->w->from_memory) == 0)) {
        let_pass(d, 10);
    }
}

static void await_end(director *d) {
    uint64_t end = soak_now_ms() + 2 * HANG_MS;
    atomic_store(&d->w->ends, true);
    for (;;) {
        bool all = true;
        for (unsigned i = 0; i < SOAK_WORKERS; i++) {
            all = all && d->workers[i] <= 0;
        }
        if (all || soak_now_ms() > end) {
            break;
        }
        let_pass(d, 10);
    }
    for (unsigned i = 0; i < SOAK_WORKERS; i++) {
        if (d->workers[i] > 0) {
            d->hangs++;
            soak_remark(d->w, "worker %u does not end", i);
            kill_worker(d, i);
        }
    }
}

static bool report(director *d, uint64_t seconds) {
    char   text[700];
    size_t len = (size_t)snprintf(
        text, sizeof text, "%u workers on %s, %s, %llu s:", SOAK_WORKERS, d->url != NULL ? "a cluster" : "one Redis",
        d->parameters[0] == '\0' ? "tracking" : "publish/subscribe", (unsigned long long)seconds);
    for (int i = 0; i < EVENTS; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, "%s %llu %s", i > 0 ? "," : "",
                                (unsigned long long)d->happened[i], event_names[i]);
    }
    return soak_report(d->w, text, d->hangs, d->crashes, getenv("CKIT_SOAK_REPORT"));
}

static void run(director *d, uint64_t seconds, uint64_t pause_ms) {
    CHECK((d->w = soak_world_new()) != NULL);
    d->w->cluster = d->url != NULL;
    d->random = (uint64_t)getpid() * UINT64_C(0x9e3779b97f4a7c15) + 1;
    uint64_t end = soak_now_ms() + seconds * 1000;
    for (unsigned i = 0; i < SOAK_WORKERS; i++) {
        start_worker(d, i);
    }
    for (unsigned i = 0; soak_now_ms() < end; i++) {
        let_pass(d, some(d, pause_ms / 2, 2 * pause_ms));
        let_happen(d, (event)(i % EVENTS));
    }
    let_pass(d, 500);
    await_checks(d);
    await_end(d);
    bool well = report(d, seconds);
    CHECK(atomic_load(&d->w->told_checks) > 0 && atomic_load(&d->w->own_checks) > 0);
    CHECK(atomic_load(&d->w->from_memory) > 0);
    CHECK(well);
    soak_world_free(d->w);
}

static void run_on_one(const char *parameters, uint64_t seconds, uint64_t pause_ms) {
    static const char *const arguments[] = {"--enable-debug-command", "yes", NULL};
    director                 d = {.parameters = parameters, .server_count = 1};
    char                     why[200];
    d.network = have_own_network();
    if (!redis_server_start(&d.single, arguments, why, sizeof why)) {
        SKIP("%s", why);
    }
    d.servers = &d.single;
    CHECK(partition_start(&d.relay, SOAK_WORKERS, d.single.port));
    run(&d, seconds, pause_ms);
    partition_stop(&d.relay);
    redis_server_stop(&d.single);
}

/* Without replicas: one that takes over may lack what has been acknowledged. */
static void run_on_cluster(uint64_t seconds, uint64_t pause_ms) {
    static redis_cluster cluster;
    director             d = {.parameters = "", .server_count = REDIS_CLUSTER_MASTERS};
    char                 why[200];
    d.network = have_own_network();
    if (!redis_cluster_start(&cluster, 0, 1500, why, sizeof why)) {
        SKIP("%s", why);
    }
    d.servers = cluster.nodes;
    d.url = cluster.url;
    run(&d, seconds, pause_ms);
    redis_cluster_stop(&cluster);
}

static uint64_t seconds_of_soak(void) {
    const char *text = getenv("CKIT_SOAK_SECONDS");
    long        seconds = text != NULL ? atol(text) : 0;
    return seconds > 0 ? (uint64_t)seconds : 300;
}

CKIT_TEST(redis_soak, no_worker_sees_what_it_knows_to_be_outdated) {
    if (getenv("CKIT_SOAK") != NULL) {
        run_on_one("", seconds_of_soak(), 500);
    } else {
        run_on_one("", 6, 150);
    }
}

CKIT_TEST(redis_soak, nor_where_processes_tell_each_other) {
    if (getenv("CKIT_SOAK") != NULL) {
        run_on_one("?protocol=2", seconds_of_soak() / 5 + 1, 500);
    } else {
        run_on_one("?protocol=2", 3, 150);
    }
}

CKIT_TEST(redis_soak, nor_over_a_cluster) {
    if (getenv("CKIT_SOAK") != NULL) {
        run_on_cluster(seconds_of_soak() / 5 + 1, 700);
    } else {
        run_on_cluster(5, 300);
    }
}
