/* Runs a fuzz target over its saved corpus as an ordinary test: every input, every prefix of it, and single changed
 * bytes. The arguments are corpus directories of *.hex files. CKIT_FUZZ_MUTATIONS bounds the changes per input. */
#include "support/hex.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static uint64_t runs;

/* Each run gets a block of exactly its size, so that reading one byte too far is seen. */
static void run(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    if (copy == NULL) abort();
    if (size > 0) memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static size_t mutation_limit(void) {
    const char *text = getenv("CKIT_FUZZ_MUTATIONS");
    size_t      limit = text == NULL ? 512 : strtoul(text, NULL, 10);
    return limit == 0 ? 1 : limit;
}

static void run_with_changes(hex_bytes input, size_t limit) {
    static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x20};
    run(input.ptr, input.len);
    size_t step = input.len / limit + 1; /* long inputs are sampled evenly */
    for (size_t len = 0; len < input.len; len += step)
        run(input.ptr, len);
    for (size_t at = 0; at < input.len; at += step) {
        for (size_t f = 0; f < sizeof flips; f++) {
            input.ptr[at] ^= flips[f];
            run(input.ptr, input.len);
            input.ptr[at] ^= flips[f];
        }
    }
}

static bool run_file(const char *path) {
    hex_bytes text, input;
    if (!hex_read_file(path, &text)) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    bool good = hex_decode((const char *)text.ptr, text.len, &input);
    free(text.ptr);
    if (!good) {
        (void)fprintf(stderr, "%s: not hex text\n", path);
        return false;
    }
    run_with_changes(input, mutation_limit());
    free(input.ptr);
    return true;
}

static bool is_hex_file(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && strcmp(dot, ".hex") == 0;
}

static int only_hex_files(const struct dirent *entry) { return is_hex_file(entry) ? 1 : 0; }

static bool run_directory(const char *dir) {
    struct dirent **entries;
    int             count = scandir(dir, &entries, only_hex_files, alphasort);
    if (count <= 0) {
        (void)fprintf(stderr, "%s: no *.hex inputs (%s)\n", dir, count < 0 ? strerror(errno) : "empty");
        return false;
    }
    bool good = true;
    for (int i = 0; i < count; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
        good = run_file(path) && good;
        free(entries[i]);
    }
    free(entries);
    (void)printf("%s: %d inputs, %llu runs\n", dir, count, (unsigned long long)runs);
    return good;
}

int main(int argc, char **argv) {
    if (LLVMFuzzerInitialize != NULL) (void)LLVMFuzzerInitialize(&argc, &argv);
    bool good = argc > 1;
    run(NULL, 0);
    for (int i = 1; i < argc; i++)
        good = run_directory(argv[i]) && good;
    return good ? 0 : 1;
}
