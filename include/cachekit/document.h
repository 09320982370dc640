/* cachekit/document.h - documents: the values that every CacheKit SDK can store and read ("standard" serializer).
 *
 * A document is one MessagePack value: nil, booleans, integers of 64 bits, floats, text, bytes, arrays, and maps. The
 * keys of a map are text or bytes where every SDK is to read them; any other value is a key too, and comes back as it
 * was stored, but not every SDK can read such a map. Dates and times are maps with a marker, in the form the other SDKs
 * write:
 *
 *     {"__datetime__": true, "value": "2025-11-14T10:30:00"}
 *     {"__date__": true, "value": "2025-11-14"}
 *     {"__time__": true, "value": "10:30:00"}
 *
 * Documents are written and read with msgpack.h; this page adds the temporal values, the check of a whole document,
 * and one-line reading of documents that are a single plain value. Every function may be called from any thread, and
 * none blocks or allocates memory except through the writer's buffer. */
#ifndef CACHEKIT_DOCUMENT_H
#define CACHEKIT_DOCUMENT_H

#include <cachekit/error.h>
#include <cachekit/msgpack.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the whole document ---------------------------------------------------------------------------------- */

/* CKIT_OK: exactly one document, as described above, not deeper than CKIT_MSGPACK_MAX_DEPTH. Otherwise a failure of
 * msgpack.h's reads, or CKIT_E_TRAILING. Whether the keys of a map differ, and whether the text of a temporal value is
 * a date, is not looked at. */
CKIT_API ckit_status ckit_document_check(ckit_slice document, ckit_error *err);

/* A document that is one plain value. CKIT_E_VALUE_TYPE names what it is instead; else the failures of
 * ckit_document_check. `out` is zero after a failure. Text and bytes look into `document`. */
CKIT_API ckit_status ckit_document_bool(ckit_slice document, bool *out, ckit_error *err);
CKIT_API ckit_status ckit_document_int(ckit_slice document, int64_t *out, ckit_error *err);
CKIT_API ckit_status ckit_document_uint(ckit_slice document, uint64_t *out, ckit_error *err);
CKIT_API ckit_status ckit_document_double(ckit_slice document, double *out, ckit_error *err);
CKIT_API ckit_status ckit_document_str(ckit_slice document, ckit_slice *out, ckit_error *err);
CKIT_API ckit_status ckit_document_bin(ckit_slice document, ckit_slice *out, ckit_error *err);

/* A document that is a map: true when it has a member of this name, and then `r` reads its value (of the first such
 * member). False for everything else. */
CKIT_API bool ckit_document_find(ckit_slice document, const char *name, ckit_reader *r);

/* ---- dates and times ------------------------------------------------------------------------------------- */

typedef struct ckit_date {
    uint16_t year;  /* 1 to 9999 */
    uint8_t  month; /* 1 to 12 */
    uint8_t  day;   /* 1 to the month's last (Gregorian calendar) */
} ckit_date;

typedef struct ckit_time {
    uint8_t  hour;   /* 0 to 23 */
    uint8_t  minute; /* 0 to 59 */
    uint8_t  second; /* 0 to 59: no leap seconds */
    bool     has_offset;
    uint32_t microsecond;    /* 0 to 999999 */
    int32_t  offset_seconds; /* east of UTC, -86399 to 86399; 0 without has_offset */
} ckit_time;

typedef struct ckit_datetime {
    uint16_t year;
    uint8_t  month;
    uint8_t  day;
    uint8_t  hour;
    uint8_t  minute;
    uint8_t  second;
    bool     has_offset; /* false: a local time of unknown place */
    uint32_t microsecond;
    int32_t  offset_seconds;
} ckit_datetime;

/* A value out of its ranges fails the writer with CKIT_E_VALUE_TYPE. */
CKIT_API void ckit_write_datetime(ckit_writer *w, const ckit_datetime *value);
CKIT_API void ckit_write_date(ckit_writer *w, const ckit_date *value);
CKIT_API void ckit_write_time(ckit_writer *w, const ckit_time *value);

/* ckit_reader_peek that also recognises temporal maps: a map is a datetime, a date or a time, asked in that order, when
 * its marker member is truthy (neither nil, false, zero nor empty), whatever else it holds. Looks through the map, so
 * it costs about what skipping the map does. The reader stays where it is. */
CKIT_API ckit_type ckit_document_peek(ckit_reader *r);

/* The next value, which must be such a map (else CKIT_E_VALUE_TYPE); `out` is zeroed on failure. A missing or wrong
 * "value" member is CKIT_E_DECODE. */
CKIT_API void ckit_read_datetime(ckit_reader *r, ckit_datetime *out);
CKIT_API void ckit_read_date(ckit_reader *r, ckit_date *out);
CKIT_API void ckit_read_time(ckit_reader *r, ckit_time *out);

/* ISO 8601 text as the other SDKs write it: "2025-11-14T10:30:00", ".123456" (always six digits) when there are
 * microseconds, "+05:30" (with ":SS" when there are seconds) when there is an offset, never "Z". `out` gets the text
 * and a terminating zero. Returns its length, or 0 (and an empty text) for a value out of its ranges. */
#define CKIT_TEMPORAL_TEXT 40
CKIT_API size_t ckit_datetime_text(const ckit_datetime *value, char out[CKIT_TEMPORAL_TEXT]);
CKIT_API size_t ckit_date_text(const ckit_date *value, char out[CKIT_TEMPORAL_TEXT]);
CKIT_API size_t ckit_time_text(const ckit_time *value, char out[CKIT_TEMPORAL_TEXT]);

/* The other way, wider: "T" or a space between date and time, time cut short after hour or minute (a datetime also
 * after the date), any number of fraction digits behind "." or "," (microseconds count, the rest is dropped), offsets
 * as "Z", "+HH", "+HHMM", "+HH:MM", "+HH:MM:SS". CKIT_E_DECODE otherwise; `out` is then zero. */
CKIT_API ckit_status ckit_datetime_parse(ckit_slice text, ckit_datetime *out, ckit_error *err);
CKIT_API ckit_status ckit_date_parse(ckit_slice text, ckit_date *out, ckit_error *err);
CKIT_API ckit_status ckit_time_parse(ckit_slice text, ckit_time *out, ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
