/* interop_call.c - a call in interop mode: brought to one form by the signature of its function. */
#include "interop_parts.h"

/* ---- the signature of a function ------------------------------------------------------------------------------- */

/* As inspect numbers them. */
typedef enum kind { POSITIONAL_ONLY, POSITIONAL_OR_KEYWORD, VAR_POSITIONAL, KEYWORD_ONLY, VAR_KEYWORD } kind;

typedef struct parameter {
    PyObject *name;
    PyObject *fallback; /* its default; NULL: none */
    kind      kind;
} parameter;

struct core_signature {
    Py_ssize_t count;
    Py_ssize_t positional; /* how many take positional arguments */
    parameter  parameters[];
};

static bool read_parameter(PyObject *row, parameter *out) {
    int number;
    if (!PyTuple_Check(row) || !PyArg_ParseTuple(row, "Ui|O", &out->name, &number, &out->fallback)) {
        return false;
    }
    if (number < POSITIONAL_ONLY || number > VAR_KEYWORD) {
        PyErr_SetString(PyExc_ValueError, "the kind of a parameter is 0 to 4");
        return false;
    }
    out->kind = (kind)number;
    Py_INCREF(out->name);
    Py_XINCREF(out->fallback);
    return true;
}

core_signature *core_signature_new(PyObject *parameters) {
    const Py_ssize_t count = PyTuple_GET_SIZE(parameters);
    core_signature  *s = PyMem_Calloc(1, sizeof *s + (size_t)count * sizeof(parameter));
    if (s == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (; s->count < count; s->count++) {
        parameter *row = &s->parameters[s->count];
        if (!read_parameter(PyTuple_GET_ITEM(parameters, s->count), row)) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_TypeError,
                                "a parameter is a tuple of its name, its kind and perhaps its default");
            }
            core_signature_free(s);
            return NULL;
        }
        s->positional += row->kind <= POSITIONAL_OR_KEYWORD;
    }
    return s;
}

void core_signature_free(core_signature *signature) {
    for (Py_ssize_t i = 0; signature != NULL && i < signature->count; i++) {
        Py_DECREF(signature->parameters[i].name);
        Py_XDECREF(signature->parameters[i].fallback);
    }
    PyMem_Free(signature);
}

int core_signature_visit(const core_signature *signature, visitproc visit, void *arg) {
    for (Py_ssize_t i = 0; signature != NULL && i < signature->count; i++) {
        Py_VISIT(signature->parameters[i].name);
        Py_VISIT(signature->parameters[i].fallback);
    }
    return 0;
}

/* ---- a call ---------------------------------------------------------------------------------------------------- */

/* A call as it was made, and where each of its arguments belongs. */
typedef struct call {
    const core_signature *signature;
    PyObject *const      *values;
    Py_ssize_t            positional;
    PyObject             *names;  /* NULL: none */
    PyObject            **slots;  /* for each parameter that takes one argument */
    Py_ssize_t            others; /* keywords that belong to no parameter of that name */
} call;

static int misfit(core_state *state, const char *format, PyObject *name) {
    (void)interop_raise(state, PyUnicode_FromFormat(format, name), CKIT_E_KEY_ARGUMENT);
    return -1;
}

static bool is_bypass(PyObject *name) { return PyUnicode_CompareWithASCIIString(name, "_bypass_cache") == 0; }

/* The parameter that takes a keyword of this name, or -1. */
static Py_ssize_t find_parameter(const core_signature *s, PyObject *name) {
    for (Py_ssize_t i = 0; i < s->count; i++) {
        const parameter *row = &s->parameters[i];
        if ((row->kind == POSITIONAL_OR_KEYWORD || row->kind == KEYWORD_ONLY) &&
            (row->name == name || PyUnicode_Compare(row->name, name) == 0)) {
            return i;
        }
    }
    return -1;
}

static bool has(const core_signature *s, kind wanted) {
    for (Py_ssize_t i = 0; i < s->count; i++) {
        if (s->parameters[i].kind == wanted) {
            return true;
        }
    }
    return false;
}

static int take_positional(core_state *state, call *c) {
    const core_signature *s = c->signature;
    if (c->positional > s->positional && !has(s, VAR_POSITIONAL)) {
        PyObject *text =
            PyUnicode_FromFormat("the call does not fit the function: %zd positional arguments, and it takes %zd",
                                 c->positional, s->positional);
        (void)interop_raise(state, text, CKIT_E_KEY_ARGUMENT);
        return -1;
    }
    for (Py_ssize_t i = 0; i < c->positional && i < s->positional; i++) {
        c->slots[i] = c->values[i]; /* these parameters come first */
    }
    return 0;
}

static int take_keywords(core_state *state, call *c) {
    const Py_ssize_t count = c->names == NULL ? 0 : PyTuple_GET_SIZE(c->names);
    const bool       any = has(c->signature, VAR_KEYWORD);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject  *name = PyTuple_GET_ITEM(c->names, i);
        Py_ssize_t at = find_parameter(c->signature, name);
        if (is_bypass(name)) {
            continue;
        }
        if (at < 0 && !any) {
            return misfit(state, "the call does not fit the function: it has no parameter '%U'", name);
        }
        if (at >= 0 && c->slots[at] != NULL) {
            return misfit(state, "the call does not fit the function: '%U' is given twice", name);
        }
        if (at >= 0) {
            c->slots[at] = c->values[c->positional + i];
        } else {
            c->others++;
        }
    }
    return 0;
}

static int put_rest(interop_packing *p, const call *c) {
    const Py_ssize_t first = c->signature->positional;
    const Py_ssize_t count = c->positional > first ? c->positional - first : 0;
    int              result = 0;
    ckit_interop_args_array(p->args, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count && result == 0; i++) {
        result = interop_put_value(p, c->values[first + i]);
    }
    return result;
}

static int put_others(interop_packing *p, const call *c) {
    int result = 0;
    ckit_interop_args_map(p->args, (uint32_t)c->others);
    for (Py_ssize_t i = 0; c->names != NULL && i < PyTuple_GET_SIZE(c->names) && result == 0; i++) {
        PyObject *name = PyTuple_GET_ITEM(c->names, i);
        if (find_parameter(c->signature, name) < 0 && !is_bypass(name)) {
            result = interop_put_text(p, name);
            result = result == 0 ? interop_put_value(p, c->values[c->positional + i]) : result;
        }
    }
    return result;
}

static int put_parameter(interop_packing *p, const call *c, Py_ssize_t at) {
    const parameter *row = &c->signature->parameters[at];
    PyObject        *value = c->slots[at] != NULL ? c->slots[at] : row->fallback;
    p->name = row->name;
    if (row->kind == VAR_POSITIONAL) {
        return put_rest(p, c);
    }
    if (row->kind == VAR_KEYWORD) {
        return put_others(p, c);
    }
    return value != NULL ? interop_put_value(p, value)
                         : misfit(p->state, "the call does not fit the function: '%U' is missing", row->name);
}

static int put_call(interop_packing *p, call *c) {
    int result = take_positional(p->state, c);
    result = result == 0 ? take_keywords(p->state, c) : result;
    for (Py_ssize_t i = 0; i < c->signature->count && result == 0; i++) {
        result = put_parameter(p, c, i);
    }
    return result;
}

#define FEW 16

int core_pack_interop(core_state *state, ckit_args *args, const core_signature *signature, PyObject *const *values,
                      Py_ssize_t positional, PyObject *names) {
    ckit_interop_args given;
    ckit_slice        packed;
    PyObject         *few[FEW] = {NULL};
    call              c = {.signature = signature, .values = values, .positional = positional, .names = names};
    c.slots = signature->count <= FEW ? few : PyMem_Calloc((size_t)signature->count, sizeof *c.slots);
    if (c.slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    ckit_interop_args_init(&given, NULL);
    interop_packing p = {.state = state, .args = &given};
    int             result = put_call(&p, &c);
    result = result == 0 ? interop_finish(state, &given, &packed) : result;
    if (result == 0) {
        ckit_args_interop(args, &given);
        if (ckit_args_pack(args, &packed, NULL) != CKIT_OK) {
            PyErr_NoMemory();
            result = -1;
        }
    }
    ckit_interop_args_fini(&given);
    if (c.slots != few) {
        PyMem_Free(c.slots);
    }
    return result;
}
