#include "support/units.h"

#include <cachekit/types.h>
#include <stdio.h>
#include <string.h>

static const struct unit {
    const char *name;
    uint64_t    ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
#define UNIT_COUNT (sizeof units / sizeof *units)

/* Reads digits; false when there are none or too many. */
static bool take_number(const char **text, uint64_t *number) {
    const char *start = *text;
    *number = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        if (*text - start >= 18) {
            return false;
        }
        *number = *number * 10 + (uint64_t)(**text - '0');
    }
    return *text > start;
}

static size_t unit_named(const char *name, size_t length) {
    size_t i = 0;
    while (i < UNIT_COUNT && (strlen(units[i].name) != length || memcmp(units[i].name, name, length) != 0)) {
        i++;
    }
    return i;
}

bool cli_duration_parse(const char *text, uint64_t *ms) {
    uint64_t sum = 0;
    if (strcmp(text, "0") == 0) {
        *ms = 0;
        return true;
    }
    if (*text == '\0') {
        return false;
    }
    for (size_t smallest = 0; *text != '\0'; smallest++) {
        uint64_t number;
        if (!take_number(&text, &number)) {
            return false;
        }
        size_t length = strspn(text, "dhms");
        size_t unit = unit_named(text, length);
        if (unit >= UNIT_COUNT || unit < smallest || number > CKIT_TTL_MAX_MS / units[unit].ms) {
            return false;
        }
        sum += number * units[unit].ms;
        smallest = unit;
        text += length;
    }
    *ms = sum;
    return sum <= CKIT_TTL_MAX_MS;
}

bool cli_size_parse(const char *text, uint64_t *bytes) {
    static const char letters[] = "KMG";
    uint64_t          number;
    if (!take_number(&text, &number)) {
        return false;
    }
    if (*text != '\0') {
        const char *letter = strchr(letters, *text);
        unsigned    shift = letter == NULL ? 0 : 10 * (unsigned)(letter - letters + 1);
        if (letter == NULL || text[1] != '\0' || number > UINT64_MAX >> shift) {
            return false;
        }
        number <<= shift;
    }
    *bytes = number;
    return true;
}

bool cli_count_parse(const char *text, uint64_t *count) { return take_number(&text, count) && *text == '\0'; }

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
