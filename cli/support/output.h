/* output.h - what the tool says: answers on standard output, everything else on standard error. */
#ifndef CKIT_CLI_OUTPUT_H
#define CKIT_CLI_OUTPUT_H

#include "command.h"
#include "support/json.h"

#include <cachekit/error.h>
#include <cachekit/types.h>

/* Standard input, output and error exist from now on. (A closed pipe ends the tool quietly, by SIGPIPE.) A file that
 * may not grow is an error of the write and no signal. */
void cli_output_init(void);
/* For a program that is executed: signals as we got them. */
void cli_output_undo(void);
/* --quiet: warnings and progress are not shown; errors are. */
void cli_output_quiet(bool quiet);

/* One line on standard error: "cachekit: ...". */
void cli_error(const char *format, ...) CKIT_PRINTF(1, 2);
void cli_warn(const char *format, ...) CKIT_PRINTF(1, 2);
/* The error of a call of the library or of a store, with its code, and the exit code that fits it. `status` is what the
 * call answered: a store may leave `err` as it was. */
int cli_call_failed(ckit_status status, const ckit_error *err);
/* The same for an error that tells its status. */
int cli_failed(const ckit_error *err);
int cli_no_memory(void);
/* Ends the tool at once, where nothing can be done without memory: what was printed until then is written, and the exit
 * code is CLI_FAILED, or what cli_output_failure says. */
_Noreturn void cli_out_of_memory(void);
void           cli_output_failure(int code);

/* Bytes to standard output. Failures are remembered for cli_output_end. */
void cli_write(ckit_slice bytes);
void cli_print(const char *format, ...) CKIT_PRINTF(1, 2);
/* At the end of every command: `code`, or CLI_FAILED with an error line when something could not be written. */
int cli_output_end(int code);

/* ---- text for people ---------------------------------------------------------------------------------------- */

/* Keys and names as people can read them, on one line: control characters, what turns the direction of text, and bytes
 * that are not UTF-8 as \xNN. */
void cli_print_escaped(ckit_slice text);
/* The same in at most `columns` of a terminal (SIZE_MAX: all of it); what is cut ends with "...". Returns how many it
 * took. */
size_t cli_print_escaped_in(ckit_slice text, size_t columns);
/* The same for one character of a text that is UTF-8: whether it is shown as it is, and how many bytes it has. */
bool cli_showable_at(ckit_slice text, size_t at, size_t *bytes);
/* "1h30m", "no expiry" or "unknown". `text` has CLI_UNITS_TEXT bytes (units.h). */
const char *cli_life_text(uint64_t life_ms, char *text);

/* Whether standard output is a terminal that may be coloured (NO_COLOR is not set, TERM is not "dumb"). */
bool cli_colours(void);

/* ---- progress ----------------------------------------------------------------------------------------------- */

/* Long work on a terminal: shows one line on standard error, at most ten times a second. Nothing when standard error is
 * no terminal or with --quiet. End it with an empty line: cli_progress_end. */
void cli_progress(const char *format, ...) CKIT_PRINTF(1, 2);
void cli_progress_end(void);

/* Whether there is somebody at a terminal to ask. */
bool cli_can_ask(void);
/* Asks a yes-or-no question there; false when the answer is not yes. */
bool cli_confirm(const char *question);

/* Set once by SIGINT or SIGTERM after cli_catch_interrupts: long work ends at its next safe point and the tool answers
 * 128 + signal. 0 = none. */
void cli_catch_interrupts(void);
int  cli_interrupted(void);

#endif
