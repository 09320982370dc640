/* format/seal_wipe.h - vector registers keep what was copied, hashed or encrypted last: round keys, and parts of
 * plaintext. From there they get into memory: the dynamic linker saves them on the stack when it binds a function that
 * is called for the first time, and a new thread begins with a copy of its maker's. */
#ifndef CKITI_FORMAT_SEAL_WIPE_H
#define CKITI_FORMAT_SEAL_WIPE_H

#if defined(__x86_64__) && defined(__GNUC__)

/* Whole registers, however wide: each of these instructions also clears what lies above. */
#define CKITI_CLEAR_VEX(n) "vpxor %%xmm" #n ",%%xmm" #n ",%%xmm" #n "\n\t"
#define CKITI_CLEAR_EVEX(n) "vpxord %%xmm" #n ",%%xmm" #n ",%%xmm" #n "\n\t"
#define CKITI_CLEAR_SSE(n) "pxor %%xmm" #n ",%%xmm" #n "\n\t"
#define CKITI_LOWER(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define CKITI_UPPER(X) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define CKITI_CLOBBERED                                                                                                \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",         \
        "xmm13", "xmm14", "xmm15"

static inline void ckiti_wipe_registers(void) {
    if (__builtin_cpu_supports("avx")) {
        __asm__ volatile(CKITI_LOWER(CKITI_CLEAR_VEX) : : : CKITI_CLOBBERED);
    } else {
        __asm__ volatile(CKITI_LOWER(CKITI_CLEAR_SSE) : : : CKITI_CLOBBERED);
    }
    if (__builtin_cpu_supports("avx512vl")) {
        __asm__ volatile(CKITI_UPPER(CKITI_CLEAR_EVEX) : :); /* no compiled code for less uses them */
    }
}

#else

static inline void ckiti_wipe_registers(void) {}

#endif

#endif
