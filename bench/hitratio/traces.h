/* traces.h - sequences of keys: generated ones, the same on every machine, and files. */
#ifndef HITRATIO_TRACES_H
#define HITRATIO_TRACES_H

#include "model.h"

#define TRACES_KEYS 100000u
#define TRACES_LEN 1000000u

/* Accesses that follow Zipf's law with exponent `alpha` over TRACES_KEYS keys. */
hitratio_trace trace_zipf(double alpha);
/* 0, 1, ... keys - 1, again and again, twenty times and for at least TRACES_LEN / 4 accesses. */
hitratio_trace trace_loop(uint32_t keys);
/* Zipf 0.99; after each 40,000 accesses comes a scan of 20,000 keys that are never used again. */
hitratio_trace trace_scan(void);
/* Zipf 0.99 whose popularity moves: each 20 accesses a new key becomes the most popular one and all others fall by a
 * rank, so that what was asked for recently counts and what was asked for often does not. */
hitratio_trace trace_moving(void);
/* Zipf 0.99 that picks other favourites after each 200,000 accesses. */
hitratio_trace trace_phases(void);

/* A file of one key a line (any text), or, when its name ends in .bin, of 64-bit little-endian numbers. False when
 * it cannot be read or is empty. At most 20 million accesses are read. */
bool trace_read(const char *path, hitratio_trace *out);

void trace_free(hitratio_trace *trace);

#endif
