#include "support/units.h"

#include <cachekit/types.h>
#include <stdio.h>
#include <string.h>

static const struct unit {
    const char *name;
    uint64_t    ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
#define UNIT_COUNT (sizeof units / sizeof *units)

/* How reading went. */
typedef enum reading { READ, WRONG, TOO_MUCH } reading;

/* Reads digits. Of a number that is too large, the digits are passed over. */
static reading take_number(const char **text, uint64_t *number) {
    const char *start = *text;
    reading     answer = READ;
    *number = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');
        if (*number > (UINT64_MAX - digit) / 10) {
            answer = TOO_MUCH;
        }
        *number = *number * 10 + digit;
    }
    return *text > start ? answer : WRONG;
}

static size_t unit_named(const char *name, size_t length) {
    size_t i = 0;
    while (i < UNIT_COUNT && (strlen(units[i].name) != length || memcmp(units[i].name, name, length) != 0)) {
        i++;
    }
    return i;
}

static reading read_duration(const char *text, uint64_t *ms) {
    uint64_t sum = 0;
    reading  answer = *text == '\0' ? WRONG : READ;
    for (size_t smallest = 0; *text != '\0'; smallest++) {
        uint64_t number;
        reading  digits = take_number(&text, &number);
        size_t   length = strspn(text, "dhms");
        size_t   unit = unit_named(text, length);
        if (digits == WRONG || unit >= UNIT_COUNT || unit < smallest) {
            return WRONG;
        }
        if (digits == TOO_MUCH || number > CKIT_TTL_MAX_MS / units[unit].ms) {
            answer = TOO_MUCH;
        } else {
            sum += number * units[unit].ms;
        }
        smallest = unit;
        text += length;
    }
    *ms = sum;
    return answer == READ && sum > CKIT_TTL_MAX_MS ? TOO_MUCH : answer;
}

bool cli_duration_parse(const char *text, uint64_t *ms) {
    if (strcmp(text, "0") == 0) {
        *ms = 0;
        return true;
    }
    uint64_t read;
    bool     good = read_duration(text, &read) == READ;
    *ms = good ? read : *ms;
    return good;
}

bool cli_duration_is_too_long(const char *text) {
    uint64_t ms;
    return read_duration(text, &ms) == TOO_MUCH;
}

static reading read_size(const char *text, uint64_t *bytes) {
    static const char letters[] = "KMG";
    uint64_t          number;
    unsigned          shift = 0;
    reading           answer = take_number(&text, &number);
    if (answer != WRONG && *text != '\0') {
        const char *letter = strchr(letters, *text);
        if (letter == NULL || text[1] != '\0') {
            return WRONG;
        }
        shift = 10 * (unsigned)(letter - letters + 1);
    }
    if (answer == READ && number > UINT64_MAX >> shift) {
        answer = TOO_MUCH;
    }
    *bytes = number << shift;
    return answer;
}

bool cli_size_parse(const char *text, uint64_t *bytes) {
    uint64_t read;
    bool     good = read_size(text, &read) == READ;
    *bytes = good ? read : *bytes;
    return good;
}

bool cli_size_is_too_large(const char *text) {
    uint64_t bytes;
    return read_size(text, &bytes) == TOO_MUCH;
}

bool cli_count_parse(const char *text, uint64_t *count) { return take_number(&text, count) == READ && *text == '\0'; }

const char *cli_duration_text(uint64_t ms, char text[CLI_UNITS_TEXT]) {
    size_t first = 0;
    while (first + 1 < UNIT_COUNT && ms < units[first].ms) {
        first++;
    }
    uint64_t rest = ms % units[first].ms;
    size_t   next = first + 1;
    int used = snprintf(text, CLI_UNITS_TEXT, "%llu%s", (unsigned long long)(ms / units[first].ms), units[first].name);
    if (next + 1 < UNIT_COUNT && rest / units[next].ms > 0) {
        (void)snprintf(text + used, CLI_UNITS_TEXT - (size_t)used, "%llu%s",
                       (unsigned long long)(rest / units[next].ms), units[next].name);
    }
    return text;
}

const char *cli_size_text(uint64_t bytes, char text[CLI_UNITS_TEXT]) {
    static const char letters[] = "KMGTP";
    double            value = (double)bytes;
    size_t            unit = 0;
    if (bytes < 1024) {
        (void)snprintf(text, CLI_UNITS_TEXT, "%llu", (unsigned long long)bytes);
        return text;
    }
    for (value /= 1024; value >= 1023.95 && unit + 2 < sizeof letters; unit++) {
        value /= 1024;
    }
    (void)snprintf(text, CLI_UNITS_TEXT, "%.1f%c", value, letters[unit]);
    return text;
}

const char *cli_bytes_text(uint64_t bytes, char text[CLI_UNITS_TEXT]) {
    if (bytes < 1024) {
        (void)snprintf(text, CLI_UNITS_TEXT, "%u byte%s", (unsigned)bytes, bytes == 1 ? "" : "s");
        return text;
    }
    return cli_size_text(bytes, text);
}
