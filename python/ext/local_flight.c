/* Calls that are being computed: one thread computes, the others wait. */
#include "local.h"

#include <unistd.h>

static bool is_flight_of(const local_flight *flight, const core_local *f, const ckit_slice *key) {
    return flight->function == f &&
           (key == NULL || (flight->len == key->len && memcmp(flight->key, key->ptr, key->len) == 0));
}

local_flight *local_find_flight(const core_local *f, ckit_slice key) {
    const pid_t         process = f->state->flights == NULL ? 0 : getpid();
    const unsigned long thread = process == 0 ? 0 : PyThread_get_thread_ident();
    local_flight       *found = NULL;
    for (local_flight *flight = f->state->flights; flight != NULL; flight = flight->next) {
        if (flight->process == process && flight->thread == thread) {
            return NULL;
        }
        if (flight->process == process && is_flight_of(flight, f, &key)) { /* a forked child has none of the parent's */
            found = flight;
        }
    }
    return found;
}

void local_doom(const core_local *f, const ckit_slice *key) {
    for (local_flight *flight = f->state->flights; flight != NULL; flight = flight->next) {
        flight->doomed = flight->doomed || is_flight_of(flight, f, key);
    }
}

local_flight *local_new_flight(const core_local *f, ckit_slice key) {
    local_flight *flight = PyMem_Malloc(sizeof *flight + key.len);
    if (flight == NULL) {
        return (local_flight *)PyErr_NoMemory();
    }
    *flight = (local_flight){.function = f, .thread = PyThread_get_thread_ident(), .process = getpid(), .len = key.len};
    memcpy(flight->key, key.ptr, key.len);
    flight->lock = PyObject_CallNoArgs(f->state->new_lock);
    PyObject *taken = flight->lock == NULL ? NULL : PyObject_CallMethod(flight->lock, "acquire", NULL);
    if (taken == NULL) {
        local_free_flight(flight);
        return NULL;
    }
    Py_DECREF(taken);
    return flight;
}

void local_free_flight(local_flight *flight) {
    if (flight != NULL) {
        Py_XDECREF(flight->lock);
        PyMem_Free(flight);
    }
}

void local_take_off(core_local *f, local_flight *flight) {
    flight->next = f->state->flights;
    f->state->flights = flight;
}

void local_land(core_local *f, local_flight *flight) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    local_flight **at = &f->state->flights;
    while (*at != flight) {
        at = &(*at)->next;
    }
    *at = flight->next;
    Py_XDECREF(PyObject_CallMethod(flight->lock, "release", NULL));
    PyErr_Clear();
    local_free_flight(flight);
    PyErr_Restore(type, exception, traceback);
}

int local_wait_for(const local_flight *flight) {
    PyObject *lock = flight->lock;
    Py_INCREF(lock);
    const int aside = core_step_aside();
    PyObject *taken = aside < 0 ? NULL : PyObject_CallMethod(lock, "acquire", NULL);
    PyObject *released = taken == NULL ? NULL : PyObject_CallMethod(lock, "release", NULL);
    const int failed = released == NULL ? -1 : 0;
    Py_XDECREF(taken);
    Py_XDECREF(released);
    Py_DECREF(lock);
    if (aside > 0) {
        core_step_back();
    }
    return failed;
}
