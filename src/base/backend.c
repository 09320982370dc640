#include <cachekit/ext/backend.h>

#include "base/alloc.h"
#include "base/misuse.h"

#include <string.h>

void ckit_backend_env_init(ckit_backend_env *env, size_t struct_size) {
    memset(env, 0, struct_size);
    env->struct_size = struct_size;
}

struct ckit_backend {
    const ckit_backend_ops *ops;
    void                   *self;
    const ckit_alloc       *alloc;
};

/* The name of the first operation that is missing, or NULL when the table is complete. */
static const char *missing_operation(const ckit_backend_ops *ops) {
    const struct {
        bool        present;
        const char *name;
    } required[] = {
        {ops->name != NULL && ops->name[0] != '\0', "name"},
        {ops->get != NULL, "get"},
        {ops->set != NULL, "set"},
        {ops->remove != NULL, "remove"},
        {ops->exists != NULL, "exists"},
        {ops->health != NULL, "health"},
        {ops->close != NULL, "close"},
    };
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (!required[i].present) {
            return required[i].name;
        }
    }
    return NULL;
}

static ckit_status check(const ckit_backend_ops *ops, ckit_error *err) {
    if (ops == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, "backend", "no table of operations");
    }
    if (ops->abi != CKIT_BACKEND_ABI) {
        return ckit_fail(err, CKIT_E_MISUSE, "backend", "table of abi %u, this library has %u: rebuild the backend",
                         ops->abi, CKIT_BACKEND_ABI);
    }
    const char *missing = missing_operation(ops);
    if (missing != NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, "backend", "required field '%s' is missing", missing);
    }
    int locks = (ops->lock_try != NULL) + (ops->lock_renew != NULL) + (ops->lock_release != NULL);
    if (locks != 0 && locks != 3) {
        return ckit_fail(err, CKIT_E_MISUSE, "backend",
                         "%s: lock_try, lock_renew and lock_release belong together, %d of 3 are there", ops->name,
                         locks);
    }
    if (ops->set_if_owner != NULL && locks == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, "backend", "%s: set_if_owner needs the lock operations", ops->name);
    }
    if (locks == 0 && (ops->lock_try_many != NULL || ops->lock_renew_many != NULL || ops->lock_release_many != NULL)) {
        return ckit_fail(err, CKIT_E_MISUSE, "backend", "%s: locks of many keys need the lock operations", ops->name);
    }
    if (ops->set_many_if_owner != NULL && ops->set_if_owner == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, "backend", "%s: set_many_if_owner needs set_if_owner", ops->name);
    }
    return CKIT_OK;
}

ckit_status ckit_backend_new(const ckit_backend_ops *ops, void *self, const ckit_backend_env *env, ckit_backend **out,
                             ckit_error *err) {
    if (out == NULL) {
        return ckiti_there_is_no(err, "backend", "place for the backend");
    }
    *out = NULL;
    ckit_status st = check(ops, err);
    if (st != CKIT_OK) {
        return st;
    }
    const ckit_alloc *alloc = env == NULL ? NULL : env->alloc;
    ckit_backend     *backend = ckiti_alloc(alloc, sizeof *backend);
    if (backend == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, "backend", "no memory for a handle");
    }
    *backend = (ckit_backend){.ops = ops, .self = self, .alloc = alloc};
    *out = backend;
    return CKIT_OK;
}

void ckit_backend_close(ckit_backend *backend) {
    if (backend == NULL) {
        return;
    }
    backend->ops->close(backend->self);
    ckiti_free(backend->alloc, backend, sizeof *backend);
}

const ckit_backend_ops *ckit_backend_operations(const ckit_backend *backend) {
    return backend != NULL ? backend->ops : NULL;
}
void       *ckit_backend_self(const ckit_backend *backend) { return backend != NULL ? backend->self : NULL; }
const char *ckit_backend_name(const ckit_backend *backend) { return backend != NULL ? backend->ops->name : NULL; }
