/* settings.c - the library's table of settings, so that classes written in Python can be compared with it. */
#include "core.h"

static PyObject *describe(const ckit_setting *setting) {
    /* "z": a text, or None */
    return Py_BuildValue("{szszszszszszszszszsO}", "name", setting->name, "group", setting->group, "variable",
                         setting->variable, "url_parameter", setting->url_parameter, "option", setting->option, "type",
                         setting->type, "default", setting->default_text, "range", setting->range, "help",
                         setting->help, "secret", setting->secret ? Py_True : Py_False);
}

PyDoc_STRVAR(settings_doc,
             "settings()\n--\n\n"
             "What the library can be configured to, as a new list of dicts with the members of\n"
             "ckit_setting in cachekit/settings.h, \"default\" for default_text. Says nothing about what\n"
             "is configured.");

static PyObject *settings(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    const size_t count = ckit_settings_count();
    PyObject    *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *row = describe(ckit_settings_at(i));
        if (row == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, row);
        }
    }
    return list;
}

static PyMethodDef methods[] = {{"settings", settings, METH_NOARGS, settings_doc}, {NULL, NULL, 0, NULL}};

int core_settings_exec(PyObject *module) { return PyModule_AddFunctions(module, methods); }
