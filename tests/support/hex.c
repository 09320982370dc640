#include "support/hex.h"

#include "support/test.h"
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool hex_decode(const char *text, size_t text_len, hex_bytes *out) {
    *out = (hex_bytes){malloc(text_len / 2 + 1), 0};
    if (out->ptr == NULL) return false;
    int high = -1;
    for (size_t i = 0; i < text_len; i++) {
        if (text[i] == '#') {
            while (i + 1 < text_len && text[i + 1] != '\n')
                i++;
            continue;
        }
        if (isspace((unsigned char)text[i])) continue;
        int value = digit(text[i]);
        if (value < 0) goto fail;
        if (high < 0) {
            high = value;
        } else {
            out->ptr[out->len++] = (uint8_t)(high << 4 | value);
            high = -1;
        }
    }
    if (high < 0) return true;
fail:
    free(out->ptr);
    *out = (hex_bytes){NULL, 0};
    return false;
}

/* Slices handed out by hex_slice, freed at exit so that leak checkers stay quiet. */
static pthread_mutex_t kept_mu = PTHREAD_MUTEX_INITIALIZER;
static void          **kept;
static size_t          kept_count;

static void free_kept(void) {
    for (size_t i = 0; i < kept_count; i++)
        free(kept[i]);
    free(kept);
}

ckit_slice hex_slice(const char *text) {
    hex_bytes bytes;
    CHECKF(hex_decode(text, strlen(text), &bytes), "not hex: %.60s", text);
    (void)pthread_mutex_lock(&kept_mu);
    if (kept_count == 0) (void)atexit(free_kept);
    void **grown = realloc(kept, (kept_count + 1) * sizeof *kept);
    if (grown != NULL) {
        kept = grown;
        kept[kept_count++] = bytes.ptr;
    }
    (void)pthread_mutex_unlock(&kept_mu);
    CHECK(grown != NULL);
    return (ckit_slice){bytes.ptr, bytes.len};
}

bool hex_read_file(const char *path, hex_bytes *out) {
    *out = (hex_bytes){NULL, 0};
    FILE *file = fopen(path, "rb");
    if (file == NULL) return false;
    size_t cap = 0;
    for (;;) {
        if (out->len == cap) {
            cap = cap == 0 ? 4096 : cap * 2;
            uint8_t *grown = realloc(out->ptr, cap);
            if (grown == NULL) break;
            out->ptr = grown;
        }
        size_t got = fread(out->ptr + out->len, 1, cap - out->len, file);
        out->len += got;
        if (got == 0) {
            bool good = ferror(file) == 0;
            (void)fclose(file);
            if (good) return true;
            goto fail;
        }
    }
    (void)fclose(file);
fail:
    free(out->ptr);
    *out = (hex_bytes){NULL, 0};
    return false;
}

char *hex_encode(ckit_slice bytes) {
    static const char digits[] = "0123456789abcdef";
    char             *text = malloc(bytes.len * 2 + 1);
    if (text == NULL) return NULL;
    for (size_t i = 0; i < bytes.len; i++) {
        text[2 * i] = digits[bytes.ptr[i] >> 4];
        text[2 * i + 1] = digits[bytes.ptr[i] & 15];
    }
    text[2 * bytes.len] = 0;
    return text;
}
