#include "base/openssl.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <string.h>

/* It would take itself apart when the process ends, under the feet of threads that still use it. Only the first call in
 * a process decides; a program that uses OpenSSL before has decided itself. */
static void keep_at_exit(void *found) {
    __typeof__(OPENSSL_init_crypto) *init;
    memcpy(&init, &found, sizeof init);
    (void)init(OPENSSL_INIT_NO_ATEXIT, NULL);
}

ckit_status ckiti_openssl_load(const char *library, const ckiti_openssl_function *functions, size_t count, void *table,
                               void **handle, const char *where, const char *user, ckit_error *err) {
    /* Its functions stay out of the way of another OpenSSL in the process, and it cannot be unloaded cleanly. */
    *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (*handle == NULL) {
        const char *why = dlerror();
        return ckit_fail(err, CKIT_E_UNSUPPORTED, where,
                         "%s OpenSSL is needed and cannot be loaded: install it (Debian: libssl3). %.120s", user,
                         why == NULL ? library : why);
    }
    const char *missing = "OPENSSL_init_crypto";
    void       *init = dlsym(*handle, missing);
    bool        complete = init != NULL;
    for (size_t i = 0; i < count && complete; i++) {
        void *found = dlsym(*handle, functions[i].name); /* looks into what the library needs, too */
        memcpy((char *)table + functions[i].offset, &found, sizeof found);
        missing = functions[i].name;
        complete = found != NULL;
    }
    if (!complete) {
        ckiti_openssl_unload(*handle);
        *handle = NULL;
        return ckit_fail(err, CKIT_E_UNSUPPORTED, where, "%s the %s that was found has no %s", user, library, missing);
    }
    keep_at_exit(init);
    return CKIT_OK;
}

void ckiti_openssl_unload(void *handle) {
    if (handle != NULL) {
        (void)dlclose(handle);
    }
}
