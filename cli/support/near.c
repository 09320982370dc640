#include "support/near.h"

#include <limits.h>
#include <string.h>

#define LONGEST 32

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

/* Optimal string alignment: the table of edit distances between all beginnings. */
static unsigned edits(const char *a, size_t a_length, const char *b, size_t b_length) {
    unsigned table[LONGEST + 1][LONGEST + 1];
    for (size_t i = 0; i <= a_length; i++) {
        for (size_t j = 0; j <= b_length; j++) {
            if (i == 0 || j == 0) {
                table[i][j] = (unsigned)(i + j);
                continue;
            }
            unsigned changed = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            table[i][j] = least(changed, least(table[i - 1][j], table[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                table[i][j] = least(table[i][j], table[i - 2][j - 2] + 1);
            }
        }
    }
    return table[a_length][b_length];
}

unsigned cli_distance(const char *word, size_t length, const char *name) {
    size_t name_length = strlen(name);
    if (length > LONGEST || name_length > LONGEST || length == 0) {
        return UINT_MAX;
    }
    unsigned distance = edits(word, length, name, name_length);
    if (length >= 2 && length < name_length && memcmp(word, name, length) == 0) {
        return 1;
    }
    return distance <= (length <= 4 ? 1U : 2U) ? distance : UINT_MAX;
}
