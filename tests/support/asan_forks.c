/* asan_forks.c - in a program with AddressSanitizer a forked child may allocate, whatever other threads are doing.
 *
 * The C library holds its allocator's locks over a fork, AddressSanitizer's runtime does so from LLVM 18 on. Before that,
 * a child whose parent had a thread in the allocator (one that was just starting is enough) waits for it for ever. So this
 * takes the locks of those older runtimes, in the order in which the later ones do. It is linked into every program of
 * such a build; the runtime's functions are not public, and where they are missing nothing is done. */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/single_threaded.h>

#define RUNTIME(name, symbol)                                                                                          \
    void name(void) __asm__(symbol);                                                                                   \
    void name(void) __attribute__((weak))

RUNTIME(own_handlers, "_ZN6__asan20InstallAtForkHandlerEv");
RUNTIME(lock_threads, "_ZN6__lsan18LockThreadRegistryEv");
RUNTIME(unlock_threads, "_ZN6__lsan20UnlockThreadRegistryEv");
RUNTIME(lock_allocator, "_ZN6__asan18asan_mz_force_lockEv");
RUNTIME(unlock_allocator, "_ZN6__asan20asan_mz_force_unlockEv");
RUNTIME(lock_stacks, "_ZN11__sanitizer17StackDepotLockAllEv");
RUNTIME(unlock_stacks, "_ZN11__sanitizer19StackDepotUnlockAllEv");

static bool held; /* whoever forks alone has nobody to wait for, and the million locks of the stacks take 20 ms */

static void before_fork(void) {
    if (__libc_single_threaded) {
        return;
    }
    lock_threads();
    lock_allocator();
    lock_stacks();
    held = true;
}

static void after_fork(void) {
    if (held) {
        held = false;
        unlock_stacks();
        unlock_allocator();
        unlock_threads();
    }
}

static bool can_be_locked(void) {
    return own_handlers == NULL && lock_threads != NULL && unlock_threads != NULL && lock_allocator != NULL &&
           unlock_allocator != NULL && lock_stacks != NULL && unlock_stacks != NULL;
}

/* First of all, so that before a fork these locks come last: until then every other handler may allocate. */
__attribute__((constructor(101))) static void install(void) {
    if (can_be_locked()) {
        (void)pthread_atfork(before_fork, after_fork, after_fork);
    }
}
