#include "traces.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ACCESSES ((size_t)20000000)

/* Names become numbers in the order in which they first appear. */
typedef struct numbering {
    uint64_t *names; /* open addressing; numbers[i] is of names[i], 0 = free */
    uint32_t *numbers;
    size_t    size; /* a power of two */
    uint32_t  count;
} numbering;

static size_t slot_of(const numbering *table, uint64_t name) {
    size_t slot = (size_t)((name * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (table->size - 1);
    while (table->numbers[slot] != 0 && table->names[slot] != name) {
        slot = (slot + 1) & (table->size - 1);
    }
    return slot;
}

static void grow(numbering *table) {
    numbering old = *table;
    table->size = old.size == 0 ? 1024 : old.size * 2;
    table->names = model_alloc(table->size, sizeof *table->names);
    table->numbers = model_alloc(table->size, sizeof *table->numbers);
    for (size_t i = 0; i < old.size; i++) {
        if (old.numbers[i] != 0) {
            size_t slot = slot_of(table, old.names[i]);
            table->names[slot] = old.names[i];
            table->numbers[slot] = old.numbers[i];
        }
    }
    free(old.names);
    free(old.numbers);
}

static uint32_t number_of(numbering *table, uint64_t name) {
    if ((size_t)table->count * 2 >= table->size) {
        grow(table);
    }
    size_t slot = slot_of(table, name);
    if (table->numbers[slot] == 0) {
        table->names[slot] = name;
        table->numbers[slot] = ++table->count;
    }
    return table->numbers[slot] - 1;
}

static bool next_binary(FILE *file, uint64_t *name) {
    uint8_t bytes[8];
    if (fread(bytes, 1, sizeof bytes, file) != sizeof bytes) {
        return false;
    }
    *name = 0;
    for (unsigned i = 8; i-- > 0;) {
        *name = *name << 8 | bytes[i];
    }
    return true;
}

/* A line's name is a 64-bit FNV-1a hash: two keys of a trace that share one would change no ratio to be seen. */
static bool next_line(FILE *file, char **line, size_t *size, uint64_t *name) {
    ssize_t len = getline(line, size, file);
    if (len < 0) {
        return false;
    }
    *name = UINT64_C(0xcbf29ce484222325);
    for (ssize_t i = 0; i < len && (*line)[i] != '\n' && (*line)[i] != '\r'; i++) {
        *name = (*name ^ (uint8_t)(*line)[i]) * UINT64_C(0x100000001b3);
    }
    return true;
}

static bool ends_in(const char *text, const char *end) {
    size_t text_len = strlen(text), end_len = strlen(end);
    return text_len >= end_len && strcmp(text + text_len - end_len, end) == 0;
}

bool trace_read(const char *path, hitratio_trace *out) {
    bool      binary = ends_in(path, ".bin");
    FILE     *file = fopen(path, "rb");
    numbering table = {0};
    uint32_t *keys = NULL;
    size_t    len = 0, room = 0, line_size = 0;
    char     *line = NULL;
    uint64_t  name;
    if (file == NULL) {
        fprintf(stderr, "hitratio: %s: %s\n", path, strerror(errno));
        return false;
    }
    while (len < MAX_ACCESSES && (binary ? next_binary(file, &name) : next_line(file, &line, &line_size, &name))) {
        if (len == room) {
            room = room == 0 ? 65536 : room * 2;
            uint32_t *more = model_alloc(room, sizeof *more);
            if (len > 0) {
                memcpy(more, keys, len * sizeof *more);
            }
            free(keys);
            keys = more;
        }
        keys[len++] = number_of(&table, name);
    }
    fclose(file);
    free(line);
    free(table.names);
    free(table.numbers);
    *out = (hitratio_trace){keys, len, table.count};
    if (len == 0) {
        fprintf(stderr, "hitratio: %s: no keys\n", path);
        free(keys);
    }
    return len > 0;
}
