#include "doctor/doctor.h"

#include "support/output.h"

#include <cachekit/buf.h>
#include <cachekit/msgpack.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct doctor_options {
    bool all;
} doctor_options;

/* ---- telling ---------------------------------------------------------------------------------------------------- */

static unsigned index_of(doctor_grade grade) { return grade == DOCTOR_OK ? 0 : grade == DOCTOR_WARNING ? 1 : 2; }

static const char *const states[] = {"ok", "warning", "problem"};
static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};

/* Findings are always text, also when a path in them is not UTF-8. */
static json_object *json_text(const char *text) {
    char   plain[DOCTOR_TEXT * 4];
    size_t used = 0;
    if (ckit_utf8_valid(ckit_slice_str(text))) {
        return cli_json_text(text);
    }
    for (; *text != '\0' && used + 5 < sizeof plain; text++) {
        bool safe = (unsigned char)*text < 0x80;
        used += (size_t)snprintf(plain + used, sizeof plain - used, safe ? "%c" : "\\x%02x", (unsigned char)*text);
    }
    plain[used] = '\0';
    return cli_json_text(plain);
}

static void add_answer(doctor *d, const char *check, unsigned state, const char *text, const char *advice) {
    json_object *answer = cli_json_object();
    cli_json_add(answer, "check", cli_json_text(check));
    cli_json_add(answer, "state", cli_json_text(states[state]));
    cli_json_add(answer, "text", json_text(text));
    cli_json_add(answer, "advice", advice == NULL ? NULL : json_text(advice));
    cli_json_append(d->answers, answer);
}

static void print_answer(const char *check, unsigned state, const char *text, const char *advice) {
    bool colour = cli_colours();
    cli_print("%s%-8s%s %s: ", colour ? colours[state] : "", states[state], colour ? "\033[0m" : "", check);
    cli_print_escaped(ckit_slice_str(text));
    if (advice != NULL) {
        cli_print(" -> ");
        cli_print_escaped(ckit_slice_str(advice));
    }
    cli_print("\n");
}

/* A wrong setting is told as such even when the store fails too: it may be the reason. */
static int graver(int code, doctor_grade grade) { return code == CLI_DONE || (int)grade < code ? (int)grade : code; }

void doctor_say(doctor *d, const char *check, doctor_grade grade, const char *advice, const char *format, ...) {
    char     text[DOCTOR_TEXT];
    unsigned state = index_of(grade);
    va_list  values;
    va_start(values, format);
    (void)vsnprintf(text, sizeof text, format, values);
    va_end(values);
    d->told[state]++;
    if (grade >= DOCTOR_SETTING) {
        d->code = graver(d->code, grade);
    }
    if (d->answers != NULL) {
        if (!d->common->quiet || grade >= DOCTOR_WARNING) {
            add_answer(d, check, state, text, advice);
        }
    } else if (!d->common->quiet || grade >= DOCTOR_SETTING) {
        print_answer(check, state, text, advice);
    }
}

doctor_grade doctor_grade_of(const ckit_error *err) {
    return ckit_status_kind(err->status) == CKIT_KIND_MISUSE ? DOCTOR_SETTING
           : err->status == CKIT_E_NO_MEMORY                 ? DOCTOR_OTHER
                                                             : DOCTOR_STORE;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static void examine(doctor *d) {
    doctor_check_version(d);
    doctor_check_settings(d);
    doctor_check_home(d);
    doctor_check_choice(d);
    doctor_check_places(d);
    doctor_check_store(d);
    doctor_check_clocks(d);
    doctor_check_limits(d);
}

static void plural(char text[48], unsigned count, const char *what) {
    if (count == 0) {
        (void)snprintf(text, 48, "no %s", what);
    } else {
        (void)snprintf(text, 48, "%u %s%s", count, what, count == 1 ? "" : "s");
    }
}

static void print_summary(const doctor *d) {
    char problems[48];
    char warnings[48];
    plural(problems, d->told[2], "problem");
    plural(warnings, d->told[1], "warning");
    cli_print("%s, %s\n", problems, warnings);
}

static int run(const cli_common *common, const void *options, char **operands, int count) {
    static doctor d;
    (void)operands, (void)count;
    d = (doctor){.common = common,
                 .all = ((const doctor_options *)options)->all,
                 .settings = CKIT_SETTINGS_INIT,
                 .answers = common->json ? cli_json_array() : NULL};
    examine(&d);
    if (common->json) {
        cli_print_json(d.answers);
    } else if (!common->quiet) {
        print_summary(&d);
    }
    return d.code;
}

static const cli_option options[] = {
    {"all", 'a', CLI_FLAG, NULL, "show the settings that have their defaults too", CLI_FIELD(doctor_options, all),
     NULL},
};

static const cli_exit_row exits[] = {{"0", "no problem, perhaps warnings"},
                                     {"2", "wrong usage, or a setting is wrong"},
                                     {"3", "the store cannot be used"},
                                     {"4", "another problem, or output cannot be written"},
                                     {NULL, NULL}};

static const cli_example examples[] = {
    {"cachekit doctor", "checks everything about the store that the other commands use"},
    {"cachekit doctor --all", "shows every setting with its value"},
    {"CACHEKIT_L1_MAX_SIZE_MB=20 cachekit doctor --json", "what a program would find in that environment"},
    {"cachekit doctor --store \"file://$HOME/shared?max_size_mb=64\"", "checks a directory that is not there yet"},
    {NULL, NULL}};

const cli_command cli_doctor_command = {
    .name = "doctor",
    .summary = "check settings, directory, clocks and store, and say what to change",
    .description =
        "Looks for what is wrong, or will be, and says in one line each what to change: \"ok\", \"warning\" or "
        "\"problem\", the name of the check, what was found, and what to do behind \"->\".\n\n"
        "Checked are the settings (variables that are wrong, misspelt or without effect; several that each choose a "
        "store; the form of CACHEKIT_MASTER_KEY), which store the commands, `run` and applications use and why, its "
        "directory (owner, permissions, symbolic links, the directories above it, the file system, free space and "
        "inodes, files that do not belong there), the store itself (tried out as by `cachekit health`, how full it is, "
        "locks, entries from the future), the clocks, the directories for temporary files and of CACHEKIT_STATUS_DIR, "
        "and the limits of the "
        "process.\n\n"
        "Settings are shown when they are set, all of them with --all. Secrets are never shown. All checks are made, "
        "also after a problem: a variable that is wrong is reported, and the rest is checked as if it were not set.\n\n"
        "Nothing is changed: a directory that does not exist is not made, and entries stay as they are. In a directory "
        "that exists, small files are written and removed to try it out, and opening it removes what killed writers "
        "left behind there, as every command does.\n\n"
        "Exit code 0: no problem, perhaps warnings. 2: a setting is wrong. 3: the store cannot be used. 4: another "
        "problem. With several, the smallest of these.\n\n"
        "With --json one array of {\"check\", \"state\", \"text\", \"advice\"}; advice is null where there is nothing "
        "to do. --quiet shows problems only, and with --json problems and warnings.",
    CLI_OPTIONS(options, doctor_options),
    .examples = examples,
    .traits = CLI_NO_TENANT | CLI_COLOURS,
    .exits = exits,
    .run = run,
};
