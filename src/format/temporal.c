/* format/temporal.c - dates and times as ISO 8601 text: written as Python's isoformat() does, read as Python's
 * fromisoformat() (3.11) does for the extended format. */
#include <cachekit/document.h>

#define MICROSECONDS 1000000u
#define DAY_SECONDS 86400

static bool valid_date(unsigned year, unsigned month, unsigned day) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1) {
        return false;
    }
    const bool     leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    const unsigned last = month == 2 && leap ? 29u : days[month - 1];
    return day <= last;
}

static bool valid_time(const ckit_time *t) {
    return t->hour < 24 && t->minute < 60 && t->second < 60 && t->microsecond < MICROSECONDS &&
           (t->has_offset ? t->offset_seconds > -DAY_SECONDS && t->offset_seconds < DAY_SECONDS
                          : t->offset_seconds == 0);
}

static ckit_date date_of(const ckit_datetime *value) { return (ckit_date){value->year, value->month, value->day}; }

static ckit_time time_of(const ckit_datetime *value) {
    return (ckit_time){.hour = value->hour,
                       .minute = value->minute,
                       .second = value->second,
                       .has_offset = value->has_offset,
                       .microsecond = value->microsecond,
                       .offset_seconds = value->offset_seconds};
}

/* ---- to text --------------------------------------------------------------------------------------------- */

static char *put_digits(char *p, unsigned value, unsigned digits) {
    for (unsigned i = digits; i > 0; i--) {
        p[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return p + digits;
}

static char *put_date(char *p, const ckit_date *date) {
    p = put_digits(p, date->year, 4);
    *p++ = '-';
    p = put_digits(p, date->month, 2);
    *p++ = '-';
    return put_digits(p, date->day, 2);
}

static char *put_clock(char *p, unsigned hour, unsigned minute) {
    p = put_digits(p, hour, 2);
    *p++ = ':';
    return put_digits(p, minute, 2);
}

static char *put_time(char *p, const ckit_time *time) {
    p = put_clock(p, time->hour, time->minute);
    *p++ = ':';
    p = put_digits(p, time->second, 2);
    if (time->microsecond != 0) {
        *p++ = '.';
        p = put_digits(p, time->microsecond, 6);
    }
    if (time->has_offset) {
        const unsigned seconds = (unsigned)(time->offset_seconds < 0 ? -time->offset_seconds : time->offset_seconds);
        *p++ = time->offset_seconds < 0 ? '-' : '+';
        p = put_clock(p, seconds / 3600, seconds / 60 % 60);
        if (seconds % 60 != 0) {
            *p++ = ':';
            p = put_digits(p, seconds % 60, 2);
        }
    }
    return p;
}

static size_t ended(char *out, char *end) {
    *end = '\0';
    return (size_t)(end - out);
}

size_t ckit_date_text(const ckit_date *value, char out[CKIT_TEMPORAL_TEXT]) {
    return ended(out, valid_date(value->year, value->month, value->day) ? put_date(out, value) : out);
}

size_t ckit_time_text(const ckit_time *value, char out[CKIT_TEMPORAL_TEXT]) {
    return ended(out, valid_time(value) ? put_time(out, value) : out);
}

size_t ckit_datetime_text(const ckit_datetime *value, char out[CKIT_TEMPORAL_TEXT]) {
    const ckit_date date = date_of(value);
    const ckit_time time = time_of(value);
    if (!valid_date(date.year, date.month, date.day) || !valid_time(&time)) {
        return ended(out, out);
    }
    char *p = put_date(out, &date);
    *p++ = 'T';
    return ended(out, put_time(p, &time));
}

/* ---- from text ------------------------------------------------------------------------------------------- */

/* What is left to read. Every take_ function answers whether it found what it names, and moves on only then. */
typedef struct text_cursor {
    const uint8_t *p;
    const uint8_t *end;
} text_cursor;

static bool take_char(text_cursor *c, char wanted) {
    if (c->p < c->end && *c->p == (uint8_t)wanted) {
        c->p++;
        return true;
    }
    return false;
}

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

static bool take_digits(text_cursor *c, unsigned digits, unsigned *value) {
    if ((size_t)(c->end - c->p) < digits) {
        return false;
    }
    unsigned number = 0;
    for (unsigned i = 0; i < digits; i++) {
        if (!is_digit(c->p[i])) {
            return false;
        }
        number = number * 10 + (unsigned)(c->p[i] - '0');
    }
    c->p += digits;
    *value = number;
    return true;
}

static bool take_date(text_cursor *c, ckit_date *date) {
    unsigned year, month, day;
    if (!take_digits(c, 4, &year) || !take_char(c, '-') || !take_digits(c, 2, &month) || !take_char(c, '-') ||
        !take_digits(c, 2, &day) || !valid_date(year, month, day)) {
        return false;
    }
    *date = (ckit_date){(uint16_t)year, (uint8_t)month, (uint8_t)day};
    return true;
}

/* Behind "." or ",": one digit or more, of which six count. */
static bool take_fraction(text_cursor *c, uint32_t *microsecond) {
    uint32_t number = 0;
    unsigned digits = 0;
    for (; c->p < c->end && is_digit(*c->p); c->p++, digits++) {
        if (digits < 6) {
            number = number * 10 + (uint32_t)(*c->p - '0');
        }
    }
    for (unsigned i = digits; i < 6; i++) {
        number *= 10;
    }
    *microsecond = number;
    return digits > 0;
}

/* Behind the sign: HH, HHMM, HH:MM or HH:MM:SS. */
static bool take_offset(text_cursor *c, bool west, int32_t *offset) {
    unsigned hour, minute = 0, second = 0;
    if (!take_digits(c, 2, &hour)) {
        return false;
    }
    if (take_char(c, ':')) {
        if (!take_digits(c, 2, &minute) || (take_char(c, ':') && !take_digits(c, 2, &second))) {
            return false;
        }
    } else if (c->p < c->end && !take_digits(c, 2, &minute)) {
        return false;
    }
    const int32_t seconds = (int32_t)(hour * 3600 + minute * 60 + second);
    *offset = west ? -seconds : seconds;
    return hour < 24 && minute < 60 && second < 60;
}

static bool take_zone(text_cursor *c, ckit_time *time) {
    if (c->p == c->end) {
        return true;
    }
    time->has_offset = true;
    if (take_char(c, 'Z')) {
        return true;
    }
    const bool west = take_char(c, '-');
    return (west || take_char(c, '+')) && take_offset(c, west, &time->offset_seconds);
}

static bool take_time(text_cursor *c, ckit_time *time) {
    unsigned hour, minute = 0, second = 0;
    *time = (ckit_time){.hour = 0};
    if (!take_digits(c, 2, &hour)) {
        return false;
    }
    if (take_char(c, ':')) {
        if (!take_digits(c, 2, &minute)) {
            return false;
        }
        if (take_char(c, ':') && (!take_digits(c, 2, &second) || ((take_char(c, '.') || take_char(c, ',')) &&
                                                                  !take_fraction(c, &time->microsecond)))) {
            return false;
        }
    }
    time->hour = (uint8_t)hour;
    time->minute = (uint8_t)minute;
    time->second = (uint8_t)second;
    return take_zone(c, time) && c->p == c->end && valid_time(time);
}

static text_cursor cursor_of(ckit_slice text) {
    static const uint8_t nothing[1] = {0};
    const uint8_t       *begin = text.ptr == NULL ? nothing : text.ptr;
    return (text_cursor){begin, begin + text.len};
}

static ckit_status not_iso(ckit_error *err, ckit_slice text, const char *what) {
    return ckit_fail(err, CKIT_E_DECODE, "document", "text of %zu bytes is no ISO 8601 %s", text.len, what);
}

ckit_status ckit_date_parse(ckit_slice text, ckit_date *out, ckit_error *err) {
    text_cursor c = cursor_of(text);
    if (take_date(&c, out) && c.p == c.end) {
        return CKIT_OK;
    }
    *out = (ckit_date){0};
    return not_iso(err, text, "date");
}

ckit_status ckit_time_parse(ckit_slice text, ckit_time *out, ckit_error *err) {
    text_cursor c = cursor_of(text);
    (void)take_char(&c, 'T');
    if (take_time(&c, out)) {
        return CKIT_OK;
    }
    *out = (ckit_time){0};
    return not_iso(err, text, "time");
}

ckit_status ckit_datetime_parse(ckit_slice text, ckit_datetime *out, ckit_error *err) {
    text_cursor c = cursor_of(text);
    ckit_date   date;
    ckit_time   time = {0};
    *out = (ckit_datetime){0};
    if (!take_date(&c, &date) ||
        (c.p < c.end && !((take_char(&c, 'T') || take_char(&c, ' ')) && take_time(&c, &time)))) {
        return not_iso(err, text, "date and time");
    }
    *out = (ckit_datetime){.year = date.year,
                           .month = date.month,
                           .day = date.day,
                           .hour = time.hour,
                           .minute = time.minute,
                           .second = time.second,
                           .has_offset = time.has_offset,
                           .microsecond = time.microsecond,
                           .offset_seconds = time.offset_seconds};
    return CKIT_OK;
}
