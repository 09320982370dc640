#include "support/output.h"

#include "support/clock.h"
#include "support/units.h"

#include <cachekit/buf.h>
#include <cachekit/msgpack.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool                  is_quiet;
static int                   failure_code = CLI_FAILED;
static bool                  line_is_open; /* a progress line stands on the terminal */
static volatile sig_atomic_t interrupted;
static struct sigaction      size_signal_before;

/* A file of the store must never get the number of a standard stream that somebody closed. */
void cli_output_init(void) {
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            (void)open("/dev/null", O_WRONLY); /* reading a closed input stays an error: it is no empty value */
        }
    }
    (void)sigaction(SIGXFSZ, NULL, &size_signal_before);
    (void)signal(SIGXFSZ, SIG_IGN);
}

void cli_output_undo(void) { (void)sigaction(SIGXFSZ, &size_signal_before, NULL); }

void cli_output_quiet(bool quiet) { is_quiet = quiet; }

/* ---- lines on standard error -------------------------------------------------------------------------------- */

CKIT_PRINTF(1, 0) static void say(const char *format, va_list values) {
    cli_progress_end();
    char line[1024];
    (void)vsnprintf(line, sizeof line, format, values);
    for (char *c = line; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = ' '; /* one line stays one line, whatever a path or an operand holds */
        }
    }
    (void)fprintf(stderr, "cachekit: %s\n", line);
}

void cli_error(const char *format, ...) {
    va_list values;
    va_start(values, format);
    say(format, values);
    va_end(values);
}

void cli_warn(const char *format, ...) {
    if (!is_quiet) {
        va_list values;
        va_start(values, format);
        say(format, values);
        va_end(values);
    }
}

static int exit_code_of(ckit_status status) {
    switch (ckit_status_kind(status)) {
    case CKIT_KIND_NONE: return status == CKIT_MISS ? CLI_ABSENT : CLI_DONE;
    case CKIT_KIND_MISUSE: return CLI_USAGE;
    case CKIT_KIND_CORRUPT: return CLI_FAILED;
    default: break;
    }
    return status == CKIT_E_NO_MEMORY || status == CKIT_E_TOO_LARGE || status == CKIT_E_VALUE_TYPE ? CLI_FAILED
                                                                                                   : CLI_UNREACHABLE;
}

int cli_call_failed(ckit_status status, const ckit_error *err) {
    status = status >= CKIT_E_FIRST ? status : CKIT_E_IO;
    cli_error("%s (%s)", err->text[0] != '\0' ? err->text : ckit_status_text(status), ckit_status_code(status));
    return exit_code_of(status);
}

int cli_failed(const ckit_error *err) { return cli_call_failed(err->status, err); }

int cli_no_memory(void) {
    cli_error("out of memory");
    return CLI_FAILED;
}

void cli_output_failure(int code) { failure_code = code; }

void cli_out_of_memory(void) {
    (void)cli_no_memory();
    (void)fflush(stdout);
    _exit(failure_code);
}

/* ---- standard output ---------------------------------------------------------------------------------------- */

void cli_write(ckit_slice bytes) {
    if (bytes.len > 0) {
        (void)fwrite(bytes.ptr, 1, bytes.len, stdout);
    }
}

void cli_print(const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)vprintf(format, values);
    va_end(values);
}

int cli_output_end(int code) {
    cli_progress_end();
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) != 0 || failed) {
        if (errno == EPIPE) {
            return 128 + SIGPIPE; /* where the signal is ignored */
        }
        if (errno != 0) {
            cli_error("standard output cannot be written: %s", strerror(errno));
        } else {
            cli_error("standard output cannot be written");
        }
        return CLI_FAILED;
    }
    return code;
}

/* ---- text for people ---------------------------------------------------------------------------------------- */

/* One character of valid UTF-8. */
static uint32_t decode(ckit_slice text, size_t at, size_t *bytes) {
    uint8_t lead = text.ptr[at];
    *bytes = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t point = *bytes == 1 ? lead : lead & (0x7fu >> *bytes);
    for (size_t i = 1; i < *bytes; i++) {
        point = point << 6 | (text.ptr[at + i] & 0x3fu);
    }
    return point;
}

/* What would end the line, command the terminal or show text in another order than it stands. */
static bool is_unshowable(uint32_t point) {
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == '\\' || point == 0x61c || point == 0xfeff ||
           (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069);
}

bool cli_showable_at(ckit_slice text, size_t at, size_t *bytes) { return !is_unshowable(decode(text, at, bytes)); }

/* The wide blocks of East Asian scripts and pictures (Unicode UAX 11, roughly). */
static bool is_wide(uint32_t point) {
    return (point >= 0x1100 && point <= 0x115f) || (point >= 0x2e80 && point <= 0xa4cf) ||
           (point >= 0xac00 && point <= 0xd7a3) || (point >= 0xf900 && point <= 0xfaff) ||
           (point >= 0xfe30 && point <= 0xfe6f) || (point >= 0xff00 && point <= 0xff60) ||
           (point >= 0xffe0 && point <= 0xffe6) || (point >= 0x1f300 && point <= 0x1faff) || point >= 0x20000;
}

/* What is shown as one: its bytes, its columns, and whether as \xNN. */
typedef struct shown {
    size_t bytes;
    size_t columns;
    bool   escaped;
} shown;

static shown shown_at(ckit_slice text, size_t at, bool is_text) {
    shown s = {.bytes = 1};
    if (is_text) {
        uint32_t point = decode(text, at, &s.bytes);
        s.escaped = is_unshowable(point);
        s.columns = is_wide(point) ? 2 : 1;
    } else {
        s.escaped = text.ptr[at] >= 0x7f || is_unshowable(text.ptr[at]);
        s.columns = 1;
    }
    s.columns = s.escaped ? 4 * s.bytes : s.columns;
    return s;
}

static size_t print_shown(ckit_slice text, bool is_text, size_t columns) {
    size_t used = 0;
    size_t at = 0;
    while (at < text.len) {
        shown s = shown_at(text, at, is_text);
        if (s.columns > columns - used) {
            break;
        }
        for (size_t i = 0; s.escaped && i < s.bytes; i++) {
            cli_print("\\x%02x", text.ptr[at + i]);
        }
        if (!s.escaped) {
            cli_write(ckit_slice_of(text.ptr + at, s.bytes));
        }
        used += s.columns;
        at += s.bytes;
    }
    return used;
}

static bool fits(ckit_slice text, bool is_text, size_t columns) {
    size_t used = 0;
    for (size_t at = 0; at < text.len;) {
        shown s = shown_at(text, at, is_text);
        used += s.columns;
        at += s.bytes;
        if (used > columns) {
            return false;
        }
    }
    return true;
}

size_t cli_print_escaped_in(ckit_slice text, size_t columns) {
    bool   is_text = ckit_utf8_valid(text);
    bool   cut = !fits(text, is_text, columns);
    size_t room = !cut ? columns : columns > 3 ? columns - 3 : 0;
    size_t used = print_shown(text, is_text, room);
    if (cut) {
        cli_print("%.*s", (int)(columns - room), "...");
        used += columns - room;
    }
    return used;
}

void cli_print_escaped(ckit_slice text) { (void)cli_print_escaped_in(text, SIZE_MAX); }

const char *cli_life_text(uint64_t life_ms, char *text) {
    if (life_ms == CKIT_LIFE_NO_EXPIRY) {
        return "no expiry";
    }
    return life_ms == CKIT_LIFE_UNKNOWN ? "unknown" : cli_duration_text(life_ms, text);
}

bool cli_colours(void) {
    const char *no_color = getenv("NO_COLOR"); /* https://no-color.org: set and not empty */
    const char *term = getenv("TERM");
    return (no_color == NULL || *no_color == '\0') && term != NULL && strcmp(term, "dumb") != 0 && isatty(1) == 1;
}

/* ---- progress ----------------------------------------------------------------------------------------------- */

void cli_progress(const char *format, ...) {
    static uint64_t last_ms;
    uint64_t        now_ms = cli_now_ms();
    if (is_quiet || now_ms - last_ms < 100 || isatty(2) != 1) {
        return;
    }
    last_ms = now_ms;
    va_list values;
    va_start(values, format);
    (void)fputs("\r\033[K", stderr);
    (void)vfprintf(stderr, format, values);
    (void)fflush(stderr);
    va_end(values);
    line_is_open = true;
}

void cli_progress_end(void) {
    if (line_is_open) {
        (void)fputs("\r\033[K", stderr);
        line_is_open = false;
    }
}

bool cli_can_ask(void) { return isatty(0) == 1 && isatty(2) == 1; }

bool cli_confirm(const char *question) {
    char answer[16] = "";
    (void)fprintf(stderr, "%s [y/N] ", question);
    (void)fflush(stderr);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static void note_signal(int number) { interrupted = number; }

/* What somebody had us ignore, as shells do for jobs in the background, stays ignored. */
void cli_catch_interrupts(void) {
    static const int       numbers[] = {SIGINT, SIGTERM};
    const struct sigaction action = {.sa_handler = note_signal};
    struct sigaction       before;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
            (void)sigaction(numbers[i], &action, NULL);
        }
    }
}

int cli_interrupted(void) { return interrupted; }
