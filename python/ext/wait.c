/* Waiting for calls of others. */
#include "core.h"

/* cachekit._limits, if it has been imported: without it no run has a limit. New, or NULL. */
static PyObject *limits(void) {
    PyObject *name = PyUnicode_FromString("cachekit._limits");
    PyObject *module = name == NULL ? NULL : PyImport_GetModule(name);
    Py_XDECREF(name);
    return module;
}

int core_step_aside(void) {
    PyObject *module = limits();
    PyObject *aside = module == NULL ? NULL : PyObject_CallMethod(module, "step_aside", NULL);
    const int answer = aside == NULL ? (PyErr_Occurred() ? -1 : 0) : aside == Py_True;
    Py_XDECREF(aside);
    Py_XDECREF(module);
    return answer;
}

void core_step_back(void) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyObject *module = limits();
    PyObject *done = module == NULL ? NULL : PyObject_CallMethod(module, "step_back", NULL);
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(module);
    }
    Py_XDECREF(done);
    Py_XDECREF(module);
    PyErr_Restore(type, exception, traceback);
}

void core_wait_begin(core_wait *wait) { *wait = (core_wait){.saved = PyEval_SaveThread()}; }

void core_wait_end(core_wait *wait) {
    PyEval_RestoreThread(wait->saved);
    if (wait->aside) {
        core_step_back();
    }
}

bool core_is_interrupted(void *context) {
    core_wait *wait = context;
    if (core_is_finalizing()) {
        return false; /* others may still look at where this thread waits */
    }
    PyEval_RestoreThread(wait->saved);
    bool interrupted = PyErr_CheckSignals() < 0;
    if (!interrupted && !wait->aside) {
        int answer = core_step_aside();
        wait->aside = answer > 0;
        interrupted = answer < 0;
    }
    wait->saved = PyEval_SaveThread();
    return interrupted;
}
