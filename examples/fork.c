/* fork.c - a cache in a program that forks: parent and child both go on with it. */
#include <cachekit/cachekit.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static ckit_status length(void *context, ckit_load *load, ckit_error *err) {
    ckit_reader args;
    ckit_args_positional(load->args, &args);
    ckit_slice text = ckit_read_str(&args);
    ++*(unsigned *)context;
    ckit_write_uint(load->result, text.len);
    return ckit_reader_finish(&args, err);
}

static bool call(ckit_function *lengths, const char *text) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    uint64_t   answer = 0;
    ckit_args_init(&args);
    ckit_args_cstr(&args, text);
    bool fine = ckit_call(lengths, &args, &value, NULL) == CKIT_OK &&
                ckit_document_uint(value.data, &answer, NULL) == CKIT_OK && answer == strlen(text);
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return fine;
}

int main(void) {
    unsigned       runs = 0;
    int            status = 1;
    ckit_cache    *cache = NULL;
    ckit_function *lengths = NULL;
    if (ckit_cache_open("memory:", NULL, &cache, NULL) != CKIT_OK ||
        ckit_function_new(cache, "fork.length", length, &runs, NULL, &lengths, NULL) != CKIT_OK ||
        !call(lengths, "warm")) {
        return 1;
    }

    pid_t child = fork();
    if (child == 0) {
        runs = 0;
        bool fine = call(lengths, "warm") && runs == 0;           /* what the parent had is here too */
        fine = fine && call(lengths, "the child's") && runs == 1; /* and this stays here */
        printf("child: %u computed\n", runs);
        ckit_function_close(lengths);
        ckit_cache_close(cache);
        return fine ? 0 : 1;
    }
    bool fine = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    fine = fine && call(lengths, "the child's") && runs == 2;
    printf("parent: %u computed\n", runs);
    ckit_function_close(lengths);
    ckit_cache_close(cache);
    return fine ? 0 : 1;
}
