/* bench/document.h - what is stored where values are measured: a list of user records, cut to the length. */
#ifndef BENCH_DOCUMENT_H
#define BENCH_DOCUMENT_H

#include <cachekit/buf.h>

/* Fills an empty buffer with `len` bytes, the same for the same seed. No whole document any more: it is only
 * content. */
void bench_document(ckit_buf *document, size_t len, uint64_t seed);

#endif
