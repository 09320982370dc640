/* units.h - durations and sizes as people write them. */
#ifndef CKIT_CLI_UNITS_H
#define CKIT_CLI_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLI_DURATION_FORMS "90s, 15m, 1h30m, 7d"
#define CLI_SIZE_FORMS "512, 64K, 20M, 1G"
#define CLI_DURATION_MOST "3650d"
#define CLI_SIZE_MOST "17179869183G"

/* Numbers with units (ms, s, m, h, d), largest first, each at most once: "1h30m". "0" needs none. At most ten years. */
bool cli_duration_parse(const char *text, uint64_t *ms);
/* Whether it is refused for that alone. */
bool cli_duration_is_too_long(const char *text);
/* A whole number of bytes, or one with K, M or G behind it (1024, 1024^2, 1024^3). */
bool cli_size_parse(const char *text, uint64_t *bytes);
bool cli_size_is_too_large(const char *text);
/* Digits only. */
bool cli_count_parse(const char *text, uint64_t *count);

#define CLI_UNITS_TEXT 32
/* "1h30m", "2m5s", "350ms": at most two units, rounded down. Returns `text`. */
const char *cli_duration_text(uint64_t ms, char text[CLI_UNITS_TEXT]);
/* "512", "64.0K", "1.5M". Returns `text`. */
const char *cli_size_text(uint64_t bytes, char text[CLI_UNITS_TEXT]);
/* The same within a sentence: "1 byte", "512 bytes", "64.0K". */
const char *cli_bytes_text(uint64_t bytes, char text[CLI_UNITS_TEXT]);

#endif
