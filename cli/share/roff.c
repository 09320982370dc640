#include "roff.h"

#include <stdbool.h>
#include <string.h>

/* A code point that is no ASCII as \[uXXXX]; returns how many bytes it took. Tables hold valid UTF-8. */
static size_t code_point(FILE *out, const char *text, size_t length) {
    unsigned char first = (unsigned char)*text;
    size_t        bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    unsigned long point = first & (0xffu >> (bytes + 1));
    for (size_t i = 1; i < bytes && i < length; i++) {
        point = point << 6 | ((unsigned char)text[i] & 0x3f);
    }
    (void)fprintf(out, "\\[u%04lX]", point);
    return bytes < length ? bytes : length;
}

/* A plain ' - ~ ^ ` of the source would be typeset as another character. */
void roff_words(FILE *out, const char *text, size_t length) {
    for (size_t i = 0; i < length;) {
        if ((unsigned char)text[i] >= 0x80) {
            i += code_point(out, text + i, length - i);
            continue;
        }
        switch (text[i]) {
        case '\\': (void)fputs("\\e", out); break;
        case '-': (void)fputs("\\-", out); break;
        case '\'': (void)fputs("\\(aq", out); break;
        case '`': (void)fputs("\\(ga", out); break;
        case '^': (void)fputs("\\(ha", out); break;
        case '~': (void)fputs("\\(ti", out); break;
        case '"': (void)fputs("\\(dq", out); break;
        case '\n': (void)fputc(' ', out); break;
        default: (void)fputc(text[i], out); break;
        }
        i++;
    }
}

/* A dot or a quote at the beginning of a line would make it a request. */
static void begin(FILE *out, const char *text, size_t length) {
    if (length > 0 && (*text == '.' || *text == '\'')) {
        (void)fputs("\\&", out);
    }
}

void roff_line(FILE *out, const char *text, size_t length) {
    bool bold = false;
    begin(out, text, length);
    while (length > 0) {
        const char *quote = memchr(text, '`', length);
        bool   closes = bold || (quote != NULL && memchr(quote + 1, '`', length - (size_t)(quote + 1 - text)) != NULL);
        size_t span = quote == NULL || !closes ? length : (size_t)(quote - text);
        roff_words(out, text, span);
        text += span;
        length -= span;
        if (length > 0) {
            bold = !bold;
            (void)fputs(bold ? "\\fB" : "\\fR", out);
            text++;
            length--;
        }
    }
    (void)fputc('\n', out);
}

static bool is_capital(char c) { return (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_letter(char c) { return is_capital(c) || (c >= 'a' && c <= 'z'); }

void roff_synopsis(FILE *out, const char *text) {
    (void)fputs("\\fB", out);
    for (const char *at = text; *at != '\0';) {
        const char *end = at;
        while (is_capital(*end)) {
            end++;
        }
        if (end - at > 1 && !is_letter(*end) && (at == text || !is_letter(at[-1]))) {
            (void)fprintf(out, "\\fI%.*s\\fB", (int)(end - at), at);
        } else {
            end = at + 1;
            roff_words(out, at, 1);
        }
        at = end;
    }
    (void)fputs("\\fR", out);
}

static void as_it_is(FILE *out, const char *text, size_t length) {
    (void)fputs(".PP\n.RS 4\n.nf\n", out);
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t      line = end == NULL ? length : (size_t)(end - text);
        (void)fputs("\\&", out);
        roff_words(out, text, line);
        (void)fputc('\n', out);
        line += end == NULL ? 0 : 1;
        text += line;
        length -= line;
    }
    (void)fputs(".fi\n.RE\n", out);
}

void roff_paragraphs(FILE *out, const char *text) {
    while (*text != '\0') {
        const char *end = strstr(text, "\n\n");
        size_t      length = end == NULL ? strlen(text) : (size_t)(end - text);
        if (*text == ' ') {
            as_it_is(out, text, length);
        } else {
            (void)fputs(".PP\n", out);
            roff_line(out, text, length);
        }
        text += length;
        text += strspn(text, "\n");
    }
}
