/* A program of somebody else: only installed headers, only the installed library. */
#include <cachekit/buf.h>
#include <stdio.h>

int main(void) {
    ckit_buf    buf = CKIT_BUF_INIT;
    ckit_status st = ckit_buf_append(&buf, ckit_slice_str("hello"));
    if (st == CKIT_OK) (void)printf("%.*s: %s\n", (int)buf.len, (const char *)buf.ptr, ckit_status_text(st));
    ckit_buf_fini(&buf);
    return st == CKIT_OK ? 0 : 1;
}
