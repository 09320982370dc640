/* hello.c - a slow function made fast: asked twice, run once. */
#include <cachekit/cachekit.h>
#include <stdio.h>

/* The slow function. `context` counts how often it really ran. */
static ckit_status square(void *context, ckit_load *load, ckit_error *err) {
    ckit_reader args;
    ckit_args_positional(load->args, &args);
    int64_t n = ckit_read_int(&args);
    ++*(int *)context;
    ckit_write_int(load->result, n * n);
    return ckit_reader_finish(&args, err); /* was it one number, and nothing else? */
}

int main(void) {
    ckit_error     err = CKIT_ERROR_INIT;
    ckit_cache    *cache = NULL;
    ckit_function *squares = NULL;
    ckit_args      args;
    int64_t        answer = 0;
    int            runs = 0;

    ckit_args_init(&args);
    ckit_args_int(&args, 12);

    ckit_status st = ckit_cache_open("memory:", NULL, &cache, &err);
    if (st == CKIT_OK) {
        st = ckit_function_new(cache, "hello.square", square, &runs, NULL, &squares, &err);
    }
    for (int i = 0; i < 2 && st == CKIT_OK; i++) {
        ckit_value value = CKIT_VALUE_INIT;
        st = ckit_call(squares, &args, &value, &err);
        if (st == CKIT_OK) {
            st = ckit_document_int(value.data, &answer, &err);
        }
        ckit_value_fini(&value);
    }
    if (st == CKIT_OK) {
        printf("12 squared is %lld; asked twice, computed %d time(s)\n", (long long)answer, runs);
    } else {
        fprintf(stderr, "%s %s: %s\n", ckit_status_code(err.status), err.where, err.text);
    }

    ckit_args_fini(&args);
    ckit_function_close(squares);
    ckit_cache_close(cache);
    return st == CKIT_OK && answer == 144 && runs == 1 ? 0 : 1;
}
