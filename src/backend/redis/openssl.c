#include "openssl.h"

#include "address.h"

#include <dlfcn.h>
#include <string.h>

static const struct {
    const char *name;
    size_t      offset;
} functions[] = {
#define ROW(name) {#name, offsetof(ckiti_openssl, name)},
    CKITI_OPENSSL_FUNCTIONS(ROW)
#undef ROW
};

ckit_status ckiti_openssl_load(ckiti_openssl *lib, const char *name, ckit_error *err) {
    memset(lib, 0, sizeof *lib);
    /* Its functions stay out of the way of another OpenSSL in the process, and it cannot be unloaded cleanly. */
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == NULL) {
        const char *why = dlerror();
        return ckit_fail(err, CKIT_E_UNSUPPORTED, CKITI_REDIS_WHERE,
                         "rediss: needs OpenSSL, which cannot be loaded: install it (Debian: libssl3). %.120s",
                         why == NULL ? name : why);
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *found = dlsym(handle, functions[i].name); /* looks into libcrypto too, which libssl needs */
        if (found == NULL) {
            dlclose(handle);
            memset(lib, 0, sizeof *lib);
            return ckit_fail(err, CKIT_E_UNSUPPORTED, CKITI_REDIS_WHERE,
                             "rediss: needs OpenSSL %d, and the %s that was found has no %s", OPENSSL_SHLIB_VERSION,
                             name, functions[i].name);
        }
        memcpy((char *)lib + functions[i].offset, &found, sizeof found);
    }
    lib->handle = handle;
    /* It would take itself apart when the process ends, under the feet of threads that still use it. Only the first call
     * in a process decides; a program that uses OpenSSL before has decided itself. */
    (void)lib->OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    return CKIT_OK;
}

void ckiti_openssl_unload(ckiti_openssl *lib) {
    if (lib->handle != NULL) {
        dlclose(lib->handle);
        lib->handle = NULL;
    }
}
