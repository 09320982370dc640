#include "share/roff.h"
#include "support/test.h"

#include <stdlib.h>

typedef struct row {
    const char *text;
    const char *source;
} row;

#define CHECK_SOURCE(row, call)                                                                                        \
    do {                                                                                                               \
        char  *made = NULL;                                                                                            \
        size_t size = 0;                                                                                               \
        FILE  *out = open_memstream(&made, &size);                                                                     \
        CHECK(out != NULL);                                                                                            \
        call;                                                                                                          \
        CHECK(fclose(out) == 0);                                                                                       \
        CHECK_STR((row).source, made);                                                                                 \
        free(made);                                                                                                    \
    } while (0)

CKIT_TEST(roff, what_would_be_a_request_or_an_escape_is_text) {
    static const row rows[] = {
        {".so /etc/passwd", "\\&.so /etc/passwd\n"},
        {"'quoted'", "\\&\\(aqquoted\\(aq\n"},
        {"a\\fBb \\n(.x", "a\\efBb \\en(.x\n"},
        {"--ttl 1h -- date +%T", "\\-\\-ttl 1h \\-\\- date +%T\n"},
        {"~/x ^a \"b\"", "\\(ti/x \\(haa \\(dqb\\(dq\n"},
        {"two\nlines", "two lines\n"},
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\\[u00FC]\\[u00DF] \\[u20AC] \\[u1F600]\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_SOURCE(rows[i], roff_line(out, rows[i].text, strlen(rows[i].text)));
    }
}

CKIT_TEST(roff, what_stands_in_backquotes_is_bold_and_a_lone_backquote_stays) {
    static const row rows[] = {
        {"see `ls` and `a-b`.", "see \\fBls\\fR and \\fBa\\-b\\fR.\n"},
        {"`.` begins", "\\fB.\\fR begins\n"},
        {"it`s", "it\\(gas\n"},
        {"`a` and `b", "\\fBa\\fR and \\(gab\n"},
        {"", "\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_SOURCE(rows[i], roff_line(out, rows[i].text, strlen(rows[i].text)));
    }
}

CKIT_TEST(roff, names_in_a_synopsis_are_in_italics) {
    static const row rows[] = {
        {"-- COMMAND [ARG]...", "\\fB\\-\\- \\fICOMMAND\\fB [\\fIARG\\fB]...\\fR"},
        {"KEY VALUE|-", "\\fB\\fIKEY\\fB \\fIVALUE\\fB|\\-\\fR"},
        {"name=JSON a JSONs X", "\\fBname=\\fIJSON\\fB a JSONs X\\fR"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_SOURCE(rows[i], roff_synopsis(out, rows[i].text));
    }
}

CKIT_TEST(roff, paragraphs_that_begin_with_a_blank_keep_their_lines) {
    static const row rows[] = {
        {"One\nline.\n\n  a  1\n\n.b", ".PP\nOne line.\n.PP\n.RS 4\n.nf\n\\&  a  1\n.fi\n.RE\n.PP\n\\&.b\n"},
        {"  a\n.b\n  c", ".PP\n.RS 4\n.nf\n\\&  a\n\\&.b\n\\&  c\n.fi\n.RE\n"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_SOURCE(rows[i], roff_paragraphs(out, rows[i].text));
    }
}
