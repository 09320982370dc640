#include "config/parse.h"

#include <cachekit/buf.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* Digits from text[*at] on; at least one. */
static bool parse_digits(ckit_slice text, size_t *at, uint64_t base, uint64_t *value) {
    size_t   start = *at;
    uint64_t sum = 0;
    for (; *at < text.len && is_digit(text.ptr[*at]); ++*at) {
        uint64_t digit = (uint64_t)(text.ptr[*at] - '0');
        if (digit >= base || __builtin_mul_overflow(sum, base, &sum) || __builtin_add_overflow(sum, digit, &sum)) {
            return false;
        }
    }
    *value = sum;
    return *at > start;
}

static bool parse_number(const ckiti_setting_row *row, ckit_slice text, uint64_t *value) {
    size_t at = 0;
    return parse_digits(text, &at, 10, value) && at == text.len && !__builtin_mul_overflow(*value, row->unit, value);
}

/* Decimals by hand: strtod would obey the locale and accept "inf" and "1e3". */
static bool parse_seconds(ckit_slice text, uint64_t *milliseconds) {
    size_t   at = 0;
    uint64_t seconds;
    if (!parse_digits(text, &at, 10, &seconds) || __builtin_mul_overflow(seconds, 1000u, &seconds)) {
        return false;
    }
    uint64_t fraction = 0;
    if (at < text.len) {
        if (text.ptr[at++] != '.' || at == text.len) {
            return false;
        }
        for (uint64_t weight = 100; at < text.len; at++, weight /= 10) {
            uint8_t c = text.ptr[at];
            if (!is_digit(c) || (weight == 0 && c != '0')) {
                return false;
            }
            fraction += weight * (uint64_t)(c - '0');
        }
    }
    return !__builtin_add_overflow(seconds, fraction, milliseconds);
}

static bool parse_mode(ckit_slice text, uint64_t *mode) {
    size_t at = 0;
    if (text.len > 2 && text.ptr[0] == '0' && (text.ptr[1] | 0x20) == 'o') {
        at = 2;
    }
    return parse_digits(text, &at, 8, mode) && at == text.len;
}

static bool parse_word(const ckiti_choice *choices, ckit_slice text, uint64_t *value) {
    for (; choices->word != NULL; choices++) {
        if (strlen(choices->word) == text.len && strncasecmp(choices->word, (const char *)text.ptr, text.len) == 0) {
            *value = choices->value;
            return true;
        }
    }
    return false;
}

bool ckiti_setting_parse(const ckiti_setting_row *row, ckit_slice text, uint64_t *value) {
    static const ckiti_choice booleans[] = {{"true", 1}, {"1", 1},  {"yes", 1}, {"on", 1}, {"false", 0},
                                            {"0", 0},    {"no", 0}, {"off", 0}, {NULL, 0}};
    switch (row->type) {
    case CKITI_SETTING_BOOLEAN: return parse_word(booleans, text, value);
    case CKITI_SETTING_CHOICE: return parse_word(row->choices, text, value);
    case CKITI_SETTING_MODE:
        return parse_mode(text, value) && *value <= row->max && (*value & row->min) == row->min && (*value & 022) == 0;
    case CKITI_SETTING_NUMBER: return parse_number(row, text, value) && *value >= row->min && *value <= row->max;
    case CKITI_SETTING_SECONDS: return parse_seconds(text, value) && *value >= row->min && *value <= row->max;
    case CKITI_SETTING_PATH: break;
    }
    return false;
}

/* Up to three decimals, without zeros at the end: a limit that was derived need not be a whole number of MiB. */
static void format_number(uint64_t value, uint64_t unit, char *text, size_t size) {
    uint64_t thousandths = value % unit * 1000 / unit;
    if (thousandths == 0) {
        snprintf(text, size, "%" PRIu64, value / unit);
        return;
    }
    int decimals = 3;
    for (; thousandths % 10 == 0; thousandths /= 10) {
        decimals--;
    }
    snprintf(text, size, "%" PRIu64 ".%0*" PRIu64, value / unit, decimals, thousandths);
}

void ckiti_setting_format(const ckiti_setting_row *row, uint64_t value, char *text, size_t size) {
    switch (row->type) {
    case CKITI_SETTING_BOOLEAN: snprintf(text, size, "%s", value != 0 ? "true" : "false"); return;
    case CKITI_SETTING_MODE: snprintf(text, size, "%04" PRIo64, value); return;
    case CKITI_SETTING_CHOICE:
        for (const ckiti_choice *choice = row->choices; choice->word != NULL; choice++) {
            if (choice->value == value) {
                snprintf(text, size, "%s", choice->word);
                return;
            }
        }
        break;
    case CKITI_SETTING_NUMBER:
    case CKITI_SETTING_SECONDS:
        /* Below the least value stands 0 only, and only for what has no default. */
        if (value < row->min && row->fallback == 0) {
            break;
        }
        format_number(value, row->unit, text, size);
        return;
    case CKITI_SETTING_PATH: break;
    }
    snprintf(text, size, "not set");
}

static const char *expected_form(const ckiti_setting_row *row) {
    switch (row->type) {
    case CKITI_SETTING_BOOLEAN:
    case CKITI_SETTING_CHOICE: return "one of ";
    case CKITI_SETTING_MODE: return "an octal mode ";
    case CKITI_SETTING_SECONDS: return "seconds, ";
    case CKITI_SETTING_PATH: return "a path of ";
    case CKITI_SETTING_NUMBER: break;
    }
    return row->unit == 1 ? "a whole number, " : "a whole number of MiB, ";
}

const char *ckiti_setting_expected(const ckiti_setting_row *row, char text[CKITI_EXPECTED]) {
    snprintf(text, CKITI_EXPECTED, "%s%s", expected_form(row), row->page.range);
    return text;
}

const char *ckiti_show(ckit_slice text, bool secret, char shown[CKITI_SHOWN]) {
    if (secret || (text.len > 0 && memchr(text.ptr, '@', text.len) != NULL)) {
        snprintf(shown, CKITI_SHOWN, "********");
        return shown;
    }
    size_t len = text.len <= 40 ? text.len : 37;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = text.ptr[i];
        shown[i] = (char)(c < 0x20 || c >= 0x7f ? '?' : c);
    }
    snprintf(shown + len, CKITI_SHOWN - len, "%s", text.len > len ? "..." : "");
    return shown;
}
