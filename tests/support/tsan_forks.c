/* tsan_forks.c - in a program with ThreadSanitizer a forked child may allocate, whatever other threads are doing.
 *
 * ThreadSanitizer's runtime of LLVM 14 forks without its allocator's locks, which nobody outside can take: a child whose
 * parent had a thread in the allocator waits for it for ever. So every way into the allocator, as the linker finds it
 * between the objects of the runtime, is led through a gate (`--wrap`, see cmake/flags.cmake), and a fork closes the gate
 * and waits until nobody is inside. Not instrumented itself: the gate orders nothing that the program did not order.
 *
 * The functions are not public. Where a runtime has none of that name nothing is led anywhere. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_uint     inside;
static _Atomic(void *) forking; /* the thread that closed the gate */

static void enter(void) {
    void *self = __builtin_thread_pointer();
    for (;;) {
        atomic_fetch_add(&inside, 1);
        void *who = atomic_load(&forking);
        if (who == NULL || who == self) {
            return;
        }
        atomic_fetch_sub(&inside, 1);
        while (atomic_load(&forking) == who) {
            (void)sched_yield();
        }
    }
}

static void leave(void) { atomic_fetch_sub(&inside, 1); }

/* Passes on as many registers as any of them has arguments; all are pointers and numbers. */
#define THROUGH_GATE(name, symbol)                                                                                     \
    unsigned long real_##name(unsigned long a, unsigned long b, unsigned long c, unsigned long d,                      \
                              unsigned long e) __asm__("__real_" symbol) __attribute__((weak));                        \
    unsigned long wrap_##name(unsigned long a, unsigned long b, unsigned long c, unsigned long d,                      \
                              unsigned long e) __asm__("__wrap_" symbol);                                              \
    unsigned long wrap_##name(unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e) {   \
        enter();                                                                                                       \
        unsigned long result = real_##name(a, b, c, d, e);                                                             \
        leave();                                                                                                       \
        return result;                                                                                                 \
    }

THROUGH_GATE(alloc, "_ZN6__tsan10user_allocEPNS_11ThreadStateEmm")
THROUGH_GATE(alloc_internal, "_ZN6__tsan19user_alloc_internalEPNS_11ThreadStateEmmmb")
THROUGH_GATE(calloc, "_ZN6__tsan11user_callocEPNS_11ThreadStateEmmm")
THROUGH_GATE(realloc, "_ZN6__tsan12user_reallocEPNS_11ThreadStateEmPvm")
THROUGH_GATE(reallocarray, "_ZN6__tsan17user_reallocarrayEPNS_11ThreadStateEmPvmm")
THROUGH_GATE(aligned_alloc, "_ZN6__tsan18user_aligned_allocEPNS_11ThreadStateEmmm")
THROUGH_GATE(memalign, "_ZN6__tsan13user_memalignEPNS_11ThreadStateEmmm")
THROUGH_GATE(posix_memalign, "_ZN6__tsan19user_posix_memalignEPNS_11ThreadStateEmPPvmm")
THROUGH_GATE(valloc, "_ZN6__tsan11user_vallocEPNS_11ThreadStateEmm")
THROUGH_GATE(pvalloc, "_ZN6__tsan12user_pvallocEPNS_11ThreadStateEmm")
THROUGH_GATE(free, "_ZN6__tsan9user_freeEPNS_11ThreadStateEmPvb")
THROUGH_GATE(begin_thread, "_ZN6__tsan18AllocatorProcStartEPNS_9ProcessorE")
THROUGH_GATE(end_thread, "_ZN6__tsan19AllocatorProcFinishEPNS_9ProcessorE")

static void before_fork(void) {
    void *nobody = NULL;
    while (!atomic_compare_exchange_weak(&forking, &nobody, __builtin_thread_pointer())) {
        nobody = NULL;
        (void)sched_yield();
    }
    while (atomic_load(&inside) > 0) {
        (void)sched_yield();
    }
}

static void after_fork(void) { atomic_store(&forking, NULL); }

/* Who was about to see that the gate is closed is not there to step back. */
static void in_child(void) {
    atomic_store(&inside, 0);
    after_fork();
}

/* First of all, so that before a fork the gate is closed last: until then every other handler may allocate. */
__attribute__((constructor(101))) static void install(void) { (void)pthread_atfork(before_fork, after_fork, in_child); }
