/* hex2bin OUTDIR FILE.hex...: writes each input as OUTDIR/FILE, the form libFuzzer reads. */
#include "support/hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool convert(const char *outdir, const char *path) {
    hex_bytes text, input;
    if (!hex_read_file(path, &text)) return false;
    bool good = hex_decode((const char *)text.ptr, text.len, &input);
    free(text.ptr);
    if (!good) {
        errno = EINVAL;
        return false;
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    const char *dot = strrchr(name, '.');
    char        out[4096];
    (void)snprintf(out, sizeof out, "%s/%.*s", outdir, dot == NULL ? (int)strlen(name) : (int)(dot - name), name);
    FILE *file = fopen(out, "wb");
    good = file != NULL && fwrite(input.ptr, 1, input.len, file) == input.len;
    if (file != NULL && fclose(file) != 0) good = false;
    free(input.ptr);
    return good;
}

int main(int argc, char **argv) {
    for (int i = 2; i < argc; i++) {
        if (!convert(argv[1], argv[i])) {
            (void)fprintf(stderr, "hex2bin: %s: %s\n", argv[i], strerror(errno));
            return 1;
        }
    }
    return 0;
}
