/* interop.c - calls and values of interop mode. Types are looked at in the order of the released package: built-in types
 * and their subclasses, then what is none (a member of an enumeration of integers is an integer). */
#include "interop.h"

#include "values_parts.h"

/* ---- errors -------------------------------------------------------------------------------------------------- */

/* Imported with the first error. */
static PyObject *error_type(core_state *state) {
    if (state->interop_error == NULL) {
        PyObject *module = PyImport_ImportModule("cachekit.errors");
        state->interop_error = module == NULL ? NULL : PyObject_GetAttrString(module, "InteropError");
        Py_XDECREF(module);
    }
    return state->interop_error;
}

/* Takes the text, which may be NULL with an exception. */
static PyObject *raise_text(core_state *state, PyObject *text, ckit_status status) {
    PyObject *type = text == NULL ? NULL : error_type(state);
    PyObject *error = type == NULL ? NULL : PyObject_CallFunction(type, "Os", text, ckit_status_code(status));
    if (error != NULL) {
        PyErr_SetObject(type, error);
        Py_DECREF(error);
    }
    Py_XDECREF(text);
    return NULL;
}

PyObject *core_raise_interop(core_state *state, const ckit_error *err) {
    switch (err->status) {
    case CKIT_E_KEY_ARGUMENT:
    case CKIT_E_VALUE_TYPE:
    case CKIT_E_MISUSE:
    case CKIT_E_DEPTH:
    case CKIT_E_TOO_LARGE:
    case CKIT_E_DECODE:
    case CKIT_E_TRUNCATED:
    case CKIT_E_TRAILING: return raise_text(state, core_text(err->text), err->status);
    default: return core_raise(state, err);
    }
}

bool core_is_interop_error(core_state *state) {
    return state->interop_error != NULL && PyErr_ExceptionMatches(state->interop_error);
}

/* ---- arguments ----------------------------------------------------------------------------------------------- */

typedef struct packing {
    core_state        *state;
    ckit_interop_args *args;
    PyObject          *name; /* of the parameter; NULL: known by its number alone */
    uint32_t           depth;
} packing;

static int refuse(const packing *p, const char *format, ...) {
    va_list list;
    va_start(list, format);
    PyObject *why = PyUnicode_FromFormatV(format, list);
    va_end(list);
    PyObject *text = NULL;
    if (why != NULL && p->name != NULL) {
        text = PyUnicode_FromFormat("argument '%U' cannot be part of a key that all languages share: %U", p->name, why);
    } else if (why != NULL) {
        text = PyUnicode_FromFormat("argument %u cannot be part of a key that all languages share: %U",
                                    (unsigned)p->args->count + 1, why);
    }
    Py_XDECREF(why);
    (void)raise_text(p->state, text, CKIT_E_KEY_ARGUMENT);
    return -1;
}

static int put_value(packing *p, PyObject *object);

static int put_int(packing *p, PyObject *object) {
    int             overflow;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0) {
        ckit_interop_args_int(p->args, value);
        return value == -1 && PyErr_Occurred() ? -1 : 0;
    }
    const unsigned long long large = overflow > 0 ? PyLong_AsUnsignedLongLong(object) : (unsigned long long)-1;
    if (large != (unsigned long long)-1 || (overflow > 0 && !PyErr_Occurred())) {
        ckit_interop_args_uint(p->args, large);
        return 0;
    }
    PyErr_Clear();
    return refuse(p, "an integer outside -2**63 to 2**64-1; pass it as text, str(value)");
}

static int put_double(packing *p, double value) {
    if (!Py_IS_FINITE(value)) {
        return refuse(p, "a float that is %s", Py_IS_NAN(value) ? "not a number (NaN)" : "infinite");
    }
    ckit_interop_args_double(p->args, value);
    return 0;
}

static int put_text(packing *p, PyObject *text) {
    Py_ssize_t  len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    if (utf8 == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        return refuse(p, "text with a lone surrogate, which has no UTF-8 form");
    }
    if (utf8 == NULL) {
        return -1;
    }
    ckit_interop_args_str(p->args, ckit_slice_of(utf8, (size_t)len));
    return 0;
}

/* The text that a call into Python returned, which is given up; NULL with an exception is passed on. */
static int put_text_of(packing *p, PyObject *text) {
    int put = -1;
    if (text != NULL) {
        put = PyUnicode_Check(text) ? put_text(p, text)
                                    : refuse(p, "an object whose text is a '%.100s'", Py_TYPE(text)->tp_name);
        Py_DECREF(text);
    }
    return put;
}

static int put_bytes(packing *p, const char *bytes, Py_ssize_t len) {
    ckit_interop_args_bytes(p->args, ckit_slice_of(bytes, (size_t)len));
    return 0;
}

static int enter(packing *p, PyObject *container) {
    if (p->depth >= CKIT_INTEROP_ARGS_MAX_DEPTH) {
        return refuse(p, "more than %d containers inside each other, or one in itself", CKIT_INTEROP_ARGS_MAX_DEPTH);
    }
    if (Py_EnterRecursiveCall(" while making a cache key") != 0) {
        return -1;
    }
    p->depth++;
    Py_INCREF(container);
    return 0;
}

static int leave(packing *p, PyObject *container, int result) {
    Py_DECREF(container);
    p->depth--;
    Py_LeaveRecursiveCall();
    return result;
}

/* A tuple or a list; what is packed may run Python code, which may change a list. */
static int put_items(packing *p, PyObject *sequence) {
    const Py_ssize_t count = Py_SIZE(sequence);
    const bool       list = PyList_Check(sequence) != 0;
    int              result = 0;
    for (Py_ssize_t i = 0; i < count && result == 0; i++) {
        if (list && PyList_GET_SIZE(sequence) != count) {
            PyErr_SetString(PyExc_RuntimeError, "a list was changed while a cache key was made from it");
            return -1;
        }
        PyObject *item = list ? PyList_GET_ITEM(sequence, i) : PyTuple_GET_ITEM(sequence, i);
        Py_INCREF(item);
        result = put_value(p, item);
        Py_DECREF(item);
    }
    return result;
}

static int put_sequence(packing *p, PyObject *sequence) {
    if (enter(p, sequence) < 0) {
        return -1;
    }
    ckit_interop_args_array(p->args, (uint32_t)Py_SIZE(sequence));
    return leave(p, sequence, put_items(p, sequence));
}

static int put_set(packing *p, PyObject *set) {
    PyObject *elements = PySequence_Tuple(set);
    int       result = -1;
    if (elements != NULL && enter(p, set) == 0) {
        ckit_interop_args_set(p->args, (uint32_t)PyTuple_GET_SIZE(elements));
        result = leave(p, set, put_items(p, elements));
    }
    Py_XDECREF(elements);
    return result;
}

static int put_pairs(packing *p, PyObject *items) {
    int result = 0;
    ckit_interop_args_map(p->args, (uint32_t)PyList_GET_SIZE(items));
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items) && result == 0; i++) {
        PyObject *pair = PyList_GET_ITEM(items, i);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "items() of a dict's subclass gave something that is no pair");
            return -1;
        }
        PyObject *key = PyTuple_GET_ITEM(pair, 0);
        result = PyUnicode_Check(key)
                     ? put_text(p, key)
                     : refuse(p, "a map with a key of type '%.100s'; keys are text", Py_TYPE(key)->tp_name);
        result = result == 0 ? put_value(p, PyTuple_GET_ITEM(pair, 1)) : result;
    }
    return result;
}

static int put_dict(packing *p, PyObject *dict) {
    PyObject *items = PyMapping_Items(dict); /* a list of its own */
    int       result = -1;
    if (items != NULL && enter(p, dict) == 0) {
        result = leave(p, dict, put_pairs(p, items));
    }
    Py_XDECREF(items);
    return result;
}

/* ---- moments --------------------------------------------------------------------------------------------------- */

/* An attribute of a datetime or a timedelta, which is a number. */
static bool number_of(PyObject *object, const char *name, long *number) {
    PyObject *value = PyObject_GetAttrString(object, name);
    *number = value == NULL ? -1 : PyLong_AsLong(value);
    Py_XDECREF(value);
    return !PyErr_Occurred();
}

static bool read_fields(PyObject *object, ckit_datetime *out) {
    long year, month, day, hour, minute, second, microsecond;
    if (!number_of(object, "year", &year) || !number_of(object, "month", &month) || !number_of(object, "day", &day) ||
        !number_of(object, "hour", &hour) || !number_of(object, "minute", &minute) ||
        !number_of(object, "second", &second) || !number_of(object, "microsecond", &microsecond)) {
        return false;
    }
    *out = (ckit_datetime){.year = (uint16_t)year,
                           .month = (uint8_t)month,
                           .day = (uint8_t)day,
                           .hour = (uint8_t)hour,
                           .minute = (uint8_t)minute,
                           .second = (uint8_t)second,
                           .microsecond = (uint32_t)microsecond,
                           .has_offset = true};
    return true;
}

/* Offsets have seconds in the library, and may have fractions of them in Python: those are taken from the time of day. */
static bool take_offset(PyObject *offset, ckit_datetime *value) {
    long days, seconds, microseconds;
    if (!number_of(offset, "days", &days) || !number_of(offset, "seconds", &seconds) ||
        !number_of(offset, "microseconds", &microseconds)) {
        return false;
    }
    value->offset_seconds = (int32_t)(days * 86400 + seconds);
    if ((long)value->microsecond < microseconds) {
        value->microsecond += 1000000;
        value->offset_seconds++;
    }
    value->microsecond -= (uint32_t)microseconds;
    return true;
}

static int put_datetime(packing *p, PyObject *object) {
    ckit_datetime value;
    PyObject     *offset = PyObject_CallMethodNoArgs(object, p->state->name_utcoffset);
    int           result = -1;
    if (offset == Py_None) {
        result = refuse(p, "a datetime without a time zone, which is no moment; attach one, e.g. "
                           "value.replace(tzinfo=timezone.utc)");
    } else if (offset != NULL && read_fields(object, &value) && take_offset(offset, &value)) {
        ckit_interop_args_datetime(p->args, &value);
        result = 0;
    }
    Py_XDECREF(offset);
    return result;
}

static int put_uuid(packing *p, PyObject *uuid) {
    PyObject *bytes = PyObject_GetAttr(uuid, p->state->name_bytes);
    int       result = -1;
    if (bytes != NULL && PyBytes_Check(bytes) && PyBytes_GET_SIZE(bytes) == 16) {
        ckit_interop_args_uuid(p->args, (const uint8_t *)PyBytes_AS_STRING(bytes));
        result = 0;
    } else if (bytes != NULL) {
        result = refuse(p, "a UUID that is not 16 bytes long");
    }
    Py_XDECREF(bytes);
    return result;
}

static int put_enum(packing *p, PyObject *member) {
    PyObject *value = PyObject_GetAttr(member, p->state->name_value);
    int       result = -1;
    if (value != NULL && enter(p, member) == 0) {
        result = leave(p, member, put_value(p, value));
    }
    Py_XDECREF(value);
    return result;
}

static int put_path(packing *p, PyObject *path) {
    return put_text_of(p, PyObject_CallMethodNoArgs(path, p->state->name_as_posix));
}

static int put_decimal(packing *p, PyObject *decimal) { return put_text_of(p, PyObject_Str(decimal)); }

/* ---- any argument ---------------------------------------------------------------------------------------------- */

static const char *advice_for(const packing *p, PyObject *object) {
    const core_values *values = core_values_of(p->state);
    if (values != NULL && core_temporal_kind(values, object) != CORE_MARKERS) {
        return "pass value.isoformat(), or a datetime with a time zone";
    }
    if (PyMemoryView_Check(object)) {
        return "pass bytes(value)";
    }
    return "the model has None, bool, int, float, str, bytes, list, tuple, dict, set, datetimes with a time zone and "
           "UUID; "
           "for numbers of numpy pass value.item()";
}

static const struct {
    core_late_type type;
    int (*put)(packing *p, PyObject *object);
} lates[] = {{CORE_UUID, put_uuid}, {CORE_ENUM, put_enum}, {CORE_PURE_PATH, put_path}, {CORE_DECIMAL, put_decimal}};

/* What is no built-in type and no subclass of one. */
static int put_late(packing *p, PyObject *object) {
    if (PyObject_TypeCheck(object, (PyTypeObject *)p->state->datetime_type)) {
        return put_datetime(p, object);
    }
    for (size_t i = 0; i < sizeof lates / sizeof *lates; i++) {
        const int is = core_is(p->state, lates[i].type, object);
        if (is != 0) {
            return is < 0 ? -1 : lates[i].put(p, object);
        }
    }
    return refuse(p, "an object of type '%.200s'; %s", Py_TYPE(object)->tp_name, advice_for(p, object));
}

static int put_other(packing *p, PyObject *object) {
    return PyLong_Check(object)        ? put_int(p, object)
           : PyFloat_Check(object)     ? put_double(p, PyFloat_AS_DOUBLE(object))
           : PyUnicode_Check(object)   ? put_text(p, object)
           : PyBytes_Check(object)     ? put_bytes(p, PyBytes_AS_STRING(object), Py_SIZE(object))
           : PyByteArray_Check(object) ? put_bytes(p, PyByteArray_AS_STRING(object), Py_SIZE(object))
           : PyAnySet_Check(object)    ? put_set(p, object)
           : PyList_Check(object) || PyTuple_Check(object) ? put_sequence(p, object)
           : PyDict_Check(object)                          ? put_dict(p, object)
                                                           : put_late(p, object);
}

static int put_value(packing *p, PyObject *object) {
    const PyTypeObject *type = Py_TYPE(object);
    if (type == &PyUnicode_Type) {
        return put_text(p, object);
    }
    if (type == &PyLong_Type) {
        return put_int(p, object);
    }
    if (object == Py_None) {
        ckit_interop_args_nil(p->args);
        return 0;
    }
    if (type == &PyBool_Type) {
        ckit_interop_args_bool(p->args, object == Py_True);
        return 0;
    }
    if (type == &PyFloat_Type) {
        return put_double(p, PyFloat_AS_DOUBLE(object));
    }
    if (type == &PyDict_Type) {
        return put_dict(p, object);
    }
    return type == &PyList_Type || type == &PyTuple_Type ? put_sequence(p, object) : put_other(p, object);
}

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
    (void)raise_text(state, PyUnicode_FromFormat(format, name), CKIT_E_KEY_ARGUMENT);
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
        (void)raise_text(state, text, CKIT_E_KEY_ARGUMENT);
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

static int put_rest(packing *p, const call *c) {
    const Py_ssize_t first = c->signature->positional;
    const Py_ssize_t count = c->positional > first ? c->positional - first : 0;
    int              result = 0;
    ckit_interop_args_array(p->args, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count && result == 0; i++) {
        result = put_value(p, c->values[first + i]);
    }
    return result;
}

static int put_others(packing *p, const call *c) {
    int result = 0;
    ckit_interop_args_map(p->args, (uint32_t)c->others);
    for (Py_ssize_t i = 0; c->names != NULL && i < PyTuple_GET_SIZE(c->names) && result == 0; i++) {
        PyObject *name = PyTuple_GET_ITEM(c->names, i);
        if (find_parameter(c->signature, name) < 0 && !is_bypass(name)) {
            result = put_text(p, name);
            result = result == 0 ? put_value(p, c->values[c->positional + i]) : result;
        }
    }
    return result;
}

static int put_parameter(packing *p, const call *c, Py_ssize_t at) {
    const parameter *row = &c->signature->parameters[at];
    PyObject        *value = c->slots[at] != NULL ? c->slots[at] : row->fallback;
    p->name = row->name;
    if (row->kind == VAR_POSITIONAL) {
        return put_rest(p, c);
    }
    if (row->kind == VAR_KEYWORD) {
        return put_others(p, c);
    }
    return value != NULL ? put_value(p, value)
                         : misfit(p->state, "the call does not fit the function: '%U' is missing", row->name);
}

static int put_call(packing *p, call *c) {
    int result = take_positional(p->state, c);
    result = result == 0 ? take_keywords(p->state, c) : result;
    for (Py_ssize_t i = 0; i < c->signature->count && result == 0; i++) {
        result = put_parameter(p, c, i);
    }
    return result;
}

/* The library has the last word: it may have refused something in between. */
static int finish(core_state *state, ckit_interop_args *values, ckit_slice *packed) {
    ckit_error err = CKIT_ERROR_INIT;
    if (ckit_interop_args_pack(values, packed, &err) != CKIT_OK) {
        (void)core_raise_interop(state, &err);
        return -1;
    }
    return 0;
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
    packing p = {.state = state, .args = &given};
    int     result = put_call(&p, &c);
    result = result == 0 ? finish(state, &given, &packed) : result;
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

/* ---- values ---------------------------------------------------------------------------------------------------- */

/* What cannot be written at all: TypeError and RecursionError say why, and become the error of interop mode. */
static void as_interop_error(core_state *state) {
    PyObject *type, *exception, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_RecursionError)) {
        return;
    }
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    PyObject *text = PyObject_Str(exception);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    (void)raise_text(state, text, CKIT_E_VALUE_TYPE);
}

int core_encode_interop(core_state *state, ckit_writer *w, PyObject *object) {
    const int written = core_write_interop(state, w, object);
    if (written < 0) {
        as_interop_error(state);
    }
    return written;
}

/* ---- functions of the module ----------------------------------------------------------------------------------- */

/* The bytes of a name, which may be anything; false with an InteropError. */
static bool read_name(core_state *state, PyObject *name, const char *what, ckit_slice *out) {
    Py_ssize_t  len = 0;
    const char *utf8 = PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, &len) : NULL;
    if (utf8 == NULL && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        return false;
    }
    if (utf8 == NULL) {
        PyErr_Clear();
        (void)raise_text(
            state,
            PyUnicode_FromFormat("%s: a %s", what,
                                 PyUnicode_Check(name) ? "text that UTF-8 cannot hold" : Py_TYPE(name)->tp_name),
            CKIT_E_MISUSE);
        return false;
    }
    *out = ckit_slice_of(utf8, (size_t)len);
    return true;
}

static PyObject *interop_key(PyObject *module, PyObject *arguments) {
    core_state       *state = core_state_of(module);
    PyObject         *space_text, *operation_text;
    ckit_slice        space, operation;
    PyObject         *values;
    ckit_interop_args given;
    ckit_slice        packed;
    ckit_buf          key = CKIT_BUF_INIT;
    ckit_error        err = CKIT_ERROR_INIT;
    PyObject         *result = NULL;
    if (!PyArg_ParseTuple(arguments, "OOO!:interop_key", &space_text, &operation_text, &PyTuple_Type, &values) ||
        !read_name(state, space_text, "namespace", &space) ||
        !read_name(state, operation_text, "operation", &operation)) {
        return NULL;
    }
    ckit_interop_args_init(&given, NULL);
    packing p = {.state = state, .args = &given};
    if (put_items(&p, values) == 0 && finish(state, &given, &packed) == 0) {
        if (ckit_interop_key(space, operation, packed, &key, &err) == CKIT_OK) {
            result = PyUnicode_DecodeUTF8((const char *)key.ptr, (Py_ssize_t)key.len, NULL);
        } else {
            (void)core_raise_interop(state, &err);
        }
    }
    ckit_buf_fini(&key);
    ckit_interop_args_fini(&given);
    return result;
}

static PyObject *interop_encode(PyObject *module, PyObject *object) {
    core_state *state = core_state_of(module);
    ckit_buf    document = CKIT_BUF_INIT, canonical = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_error  err = CKIT_ERROR_INIT;
    PyObject   *result = NULL;
    ckit_writer_init(&w, &document);
    if (core_encode_interop(state, &w, object) == 0) {
        ckit_status st = ckit_writer_finish(&w, &err);
        st = st == CKIT_OK ? ckit_interop_value_normalise(ckit_buf_slice(&document), &canonical, &err) : st;
        result = st == CKIT_OK ? PyBytes_FromStringAndSize((const char *)canonical.ptr, (Py_ssize_t)canonical.len)
                               : core_raise_interop(state, &err);
    }
    ckit_buf_fini(&document);
    ckit_buf_fini(&canonical);
    return result;
}

static PyObject *interop_decode(PyObject *module, PyObject *bytes) {
    core_state *state = core_state_of(module);
    ckit_error  err = CKIT_ERROR_INIT;
    Py_buffer   view;
    if (PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    const ckit_slice document = ckit_slice_of(view.buf, (size_t)view.len);
    PyObject *result = ckit_interop_value_accept(document, &err) == CKIT_OK ? core_decode_interop(state, document)
                                                                            : core_raise_interop(state, &err);
    PyBuffer_Release(&view);
    return result;
}

static PyMethodDef methods[] = {
    {"interop_key", interop_key, METH_VARARGS,
     "interop_key(namespace, operation, args)\n--\n\nThe key that all SDKs make of a call; `args` is a tuple."},
    {"interop_encode", interop_encode, METH_O,
     "interop_encode(object)\n--\n\nThe object as a canonical document of interop mode."},
    {"interop_decode", interop_decode, METH_O,
     "interop_decode(document)\n--\n\nThe object of a document, in any form. ValueError for what is none."},
    {NULL, NULL, 0, NULL}};

int core_interop_exec(PyObject *module) { return PyModule_AddFunctions(module, methods); }
