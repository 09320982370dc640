#include "support/memory_search.h"

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_MAP ((size_t)256 << 20) /* larger ones are the sanitizers' own */

void mask_bytes(uint8_t *out, const void *bytes, size_t len) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++) {
        out[i] = at[i] ^ MASK;
    }
}

size_t occurrences(const uint8_t *bytes, size_t len, const uint8_t *masked, size_t needle) {
    const uint8_t *at = bytes;
    size_t         found = 0;
    while (len >= needle && (at = memchr(at, masked[0] ^ MASK, len - needle + 1 - (size_t)(at - bytes))) != NULL) {
        size_t k = 1;
        while (k < needle && (uint8_t)(at[k] ^ MASK) == masked[k]) {
            k++;
        }
        found += k == needle;
        at++;
    }
    return found;
}

size_t find_in_process(const uint8_t *masked, size_t needle) {
    FILE  *maps = fopen("/proc/self/maps", "r");
    FILE  *mem = fopen("/proc/self/mem", "r");
    char   line[512], rights[8];
    size_t found = 0, from, to;
    CHECK(maps != NULL && mem != NULL);
    setvbuf(mem, NULL, _IONBF, 0);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%zx-%zx %7s", &from, &to, rights) != 3 || rights[0] != 'r' || to - from > LARGEST_MAP ||
            (rights[1] != 'w' && strpbrk(line, "/[") != NULL)) {
            continue;
        }
        uint8_t     *copy = malloc(to - from);
        const size_t got = copy != NULL && fseek(mem, (long)from, SEEK_SET) == 0 ? fread(copy, 1, to - from, mem) : 0;
        found += occurrences(copy, got, masked, needle);
        if (copy != NULL) {
            explicit_bzero(copy, to - from); /* or the next look would find it here */
        }
        free(copy);
    }
    (void)fclose(maps);
    (void)fclose(mem);
    return found;
}
