/* What memory does not suffice for, and failures that a store does not explain. Every call of json-c that can fail is
 * wrapped by the linker. */
#include "support/json.h"
#include "support/output.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int until_failure; /* 0: none; each call takes one */

static bool fails(void) { return until_failure > 0 && --until_failure == 0; }

#define WRAP_NEW(name, parameters, arguments)                                                                          \
    json_object *__real_json_object_new_##name parameters;                                                             \
    json_object *__wrap_json_object_new_##name parameters;                                                             \
    json_object *__wrap_json_object_new_##name parameters {                                                            \
        return fails() ? NULL : __real_json_object_new_##name arguments;                                               \
    }

WRAP_NEW(object, (void), ())
WRAP_NEW(array, (void), ())
WRAP_NEW(string, (const char *text), (text))
WRAP_NEW(string_len, (const char *text, int length), (text, length))
WRAP_NEW(boolean, (json_bool yes), (yes))
WRAP_NEW(uint64, (uint64_t number), (number))
WRAP_NEW(double_s, (double number, const char *text), (number, text))

int __real_json_object_object_add(json_object *object, const char *name, json_object *value);
int __wrap_json_object_object_add(json_object *object, const char *name, json_object *value);
int __wrap_json_object_object_add(json_object *object, const char *name, json_object *value) {
    return fails() ? -1 : __real_json_object_object_add(object, name, value);
}

int __real_json_object_array_add(json_object *array, json_object *value);
int __wrap_json_object_array_add(json_object *array, json_object *value);
int __wrap_json_object_array_add(json_object *array, json_object *value) {
    return fails() ? -1 : __real_json_object_array_add(array, value);
}

const char *__real_json_object_to_json_string_ext(json_object *value, int flags);
const char *__wrap_json_object_to_json_string_ext(json_object *value, int flags);
const char *__wrap_json_object_to_json_string_ext(json_object *value, int flags) {
    return fails() ? NULL : __real_json_object_to_json_string_ext(value, flags);
}

#define CALLS 22 /* of json-c, in print_an_answer */

static void print_an_answer(void) {
    json_object *object = cli_json_object(), *array = cli_json_array();
    cli_json_add(object, "text", cli_json_text("text"));
    cli_json_add(object, "bool", cli_json_bool(true));
    cli_json_add(object, "uint", cli_json_uint(UINT64_MAX));
    cli_json_add(object, "name", cli_json_bytes(ckit_slice_str("name")));
    cli_json_add(object, "bytes", cli_json_bytes(ckit_slice_of("\xff", 1)));
    cli_json_add(object, "life", cli_json_life(1500));
    cli_json_add(object, "none", cli_json_life(CKIT_LIFE_NO_EXPIRY));
    cli_json_add(object, "ratio", cli_json_decimals(0.5, 2));
    cli_json_append(array, NULL);
    cli_json_add(object, "list", array);
    cli_print_json(object);
}

/* The exit code of a child that answers with its `failing`-th call failing, and what it wrote on both streams. */
static int answer_in_child(int failing, char *said, size_t size) {
    int   ends[2], status;
    pid_t child;
    CHECK(pipe(ends) == 0);
    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        (void)dup2(ends[1], 1);
        (void)dup2(ends[1], 2);
        until_failure = failing;
        print_an_answer();
        (void)fflush(stdout);
        _exit(0);
    }
    (void)close(ends[1]);
    ssize_t length = 0;
    for (ssize_t got = 1; got > 0; length += got) {
        got = read(ends[0], said + length, size - 1 - (size_t)length);
        CHECK(got >= 0);
    }
    said[length] = '\0';
    (void)close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

CKIT_TEST(json, an_answer_has_every_kind_of_value) {
    char said[512];
    CHECK_EQ_I(0, answer_in_child(0, said, sizeof said));
    CHECK_STR("{\"text\":\"text\",\"bool\":true,\"uint\":18446744073709551615,\"name\":\"name\","
              "\"bytes\":{\"base64\":\"/w==\"},\"life\":1.500,\"none\":null,\"ratio\":0.50,\"list\":[null]}\n",
              said);
    CHECK_EQ_I(0, answer_in_child(CALLS + 1, said, sizeof said)); /* there are no more calls */
}

CKIT_TEST(json, without_memory_the_tool_ends_and_prints_no_part_of_the_answer) {
    char said[512];
    for (int failing = 1; failing <= CALLS; failing++) {
        CHECK_EQ_I(CLI_FAILED, answer_in_child(failing, said, sizeof said));
        CHECK_STR("cachekit: out of memory\n", said);
    }
}

CKIT_TEST(json, a_command_with_an_exit_code_of_its_own_for_failures_ends_with_that) {
    char said[512];
    cli_output_failure(CLI_RUN_FAILED);
    CHECK_EQ_I(CLI_RUN_FAILED, answer_in_child(1, said, sizeof said));
    cli_output_failure(CLI_FAILED);
}

CKIT_TEST(output, a_failure_that_nobody_explained_is_a_failure_all_the_same) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_EQ_I(CLI_UNREACHABLE, cli_failed(&err));
    CHECK_EQ_I(CLI_UNREACHABLE, cli_call_failed(CKIT_E_TIMEOUT, &err));
    CHECK_EQ_I(CLI_FAILED, cli_call_failed(CKIT_E_TOO_LARGE, &err));
    CHECK_EQ_I(CLI_USAGE, cli_call_failed(CKIT_E_CONFIGURATION, &err));
    CHECK_EQ_I(CLI_UNREACHABLE, cli_call_failed(CKIT_OK, &err));
}
