/* types.c - types of modules that are imported late or never: uuid alone takes as long as the rest of the package.
 *
 * An object of such a type cannot be there before its module is, so that a look at sys.modules is enough. */
#include "core.h"

typedef struct place {
    PyObject  **slot; /* the type, once it is known */
    PyObject   *module;
    const char *name;
} place;

static place place_of(core_state *state, core_late_type type) {
    switch (type) {
    case CORE_PURE_PATH: return (place){&state->pure_path_type, state->name_pathlib, "PurePath"};
    case CORE_UUID: return (place){&state->uuid_type, state->name_uuid, "UUID"};
    case CORE_DECIMAL: return (place){&state->decimal_type, state->name_decimal, "Decimal"};
    case CORE_ENUM:
    default: return (place){&state->enum_type, state->name_enum, "Enum"};
    }
}

/* Keeps the type that the module has. 0: it has none (yet: it may be in the middle of its import); -1: an exception. */
static int take(place at, PyObject *module) {
    PyObject *type = PyObject_GetAttrString(module, at.name);
    if (type == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    if (!PyType_Check(type) || *at.slot != NULL) { /* the module may run code, and another thread meanwhile come here */
        Py_DECREF(type);
        return *at.slot != NULL;
    }
    *at.slot = type;
    return 1;
}

/* Whether the type is known now. */
static int look_for(place at) {
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    PyObject *module = PyDict_CheckExact(modules) ? PyDict_GetItemWithError(modules, at.module) : NULL;
    if (module == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_INCREF(module);
    const int found = take(at, module);
    Py_DECREF(module);
    return found;
}

int core_is(core_state *state, core_late_type type, PyObject *object) {
    const place at = place_of(state, type);
    if (*at.slot == NULL) {
        const int found = look_for(at);
        if (found <= 0) {
            return found;
        }
    }
    return PyObject_TypeCheck(object, (PyTypeObject *)*at.slot);
}

PyObject *core_type(core_state *state, core_late_type type) {
    const place at = place_of(state, type);
    if (*at.slot == NULL) {
        PyObject *module = PyImport_Import(at.module);
        if (module == NULL) {
            return NULL;
        }
        const int found = take(at, module);
        Py_DECREF(module);
        if (found == 0) {
            PyErr_Format(PyExc_ImportError, "module '%U' has no type '%s'", at.module, at.name);
        }
        if (found <= 0) {
            return NULL;
        }
    }
    return *at.slot;
}

int core_types_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->name_pathlib = PyUnicode_InternFromString("pathlib");
    state->name_uuid = PyUnicode_InternFromString("uuid");
    state->name_decimal = PyUnicode_InternFromString("decimal");
    state->name_enum = PyUnicode_InternFromString("enum");
    return PyErr_Occurred() ? -1 : 0;
}
