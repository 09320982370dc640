/* args_other.c - arguments of types that are not built in, and of subclasses: most count like a text. */
#include "args_pack.h"

#include <datetime.h>

/* The text that a call into Python returned, which is given up; NULL with an exception is passed on. */
static uint8_t *pack_text_of(packer *p, uint8_t *at, PyObject *text) {
    if (text == NULL) {
        return NULL;
    }
    at = PyUnicode_Check(text)
             ? pack_text(p, at, text)
             : refuse(p, PyExc_TypeError, "an object whose text is a '%.100s'", Py_TYPE(text)->tp_name);
    Py_DECREF(text);
    return at;
}

/* What str() of a UUID says, without making the text. */
static uint8_t *pack_uuid(packer *p, uint8_t *at, PyObject *uuid) {
    if ((PyObject *)Py_TYPE(uuid) != p->state->uuid_type) {
        return pack_text_of(p, at, PyObject_Str(uuid));
    }
    PyObject *bytes = PyObject_GetAttr(uuid, p->state->name_bytes);
    if (bytes == NULL) {
        return NULL;
    }
    if (PyBytes_Check(bytes) && PyBytes_GET_SIZE(bytes) == 16) {
        ckit_args one;
        ckit_args_init(&one);
        ckit_args_uuid(&one, (const uint8_t *)PyBytes_AS_STRING(bytes));
        at = pack_encoded(p, at, &one);
    } else {
        at = refuse(p, PyExc_TypeError, "a UUID that is not 16 bytes long");
    }
    Py_DECREF(bytes);
    return at;
}

/* The text of a Decimal depends on the current context in one thing, "1E+2" or "1e+2"; keys must not. */
static uint8_t *pack_decimal(packer *p, uint8_t *at, PyObject *decimal) {
    PyObject   *text = PyObject_Str(decimal);
    Py_ssize_t  len;
    const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8AndSize(text, &len);
    if (utf8 == NULL || memchr(utf8, 'e', (size_t)len) == NULL) {
        return pack_text_of(p, at, text);
    }
    ckit_args one;
    ckit_args_init(&one);
    ckit_args_decimal(&one, ckit_slice_of(utf8, (size_t)len));
    at = pack_encoded(p, at, &one);
    Py_DECREF(text);
    return at;
}

static uint8_t *pack_enum(packer *p, uint8_t *at, PyObject *member) {
    PyObject *value = PyObject_GetAttr(member, p->state->name_value);
    if (value == NULL) {
        return NULL;
    }
    at = enter_value(p, member) < 0 ? NULL : leave_value(p, member, pack_value(p, at, value));
    Py_DECREF(value);
    return at;
}

/* Most are in UTC, and then their text is made without a call into the interpreter. */
static int is_plain_utc(const core_state *state, PyObject *object) {
    const PyDateTime_DateTime *datetime = (PyDateTime_DateTime *)object;
    return state->utc != NULL && (PyObject *)Py_TYPE(object) == state->datetime_type && datetime->hastzinfo &&
           datetime->tzinfo == state->utc;
}

static uint8_t *pack_utc(packer *p, uint8_t *at, PyObject *datetime) {
    const ckit_datetime value = {.year = (uint16_t)PyDateTime_GET_YEAR(datetime),
                                 .month = (uint8_t)PyDateTime_GET_MONTH(datetime),
                                 .day = (uint8_t)PyDateTime_GET_DAY(datetime),
                                 .hour = (uint8_t)PyDateTime_DATE_GET_HOUR(datetime),
                                 .minute = (uint8_t)PyDateTime_DATE_GET_MINUTE(datetime),
                                 .second = (uint8_t)PyDateTime_DATE_GET_SECOND(datetime),
                                 .microsecond = (uint32_t)PyDateTime_DATE_GET_MICROSECOND(datetime),
                                 .has_offset = true};
    ckit_args           one;
    ckit_args_init(&one);
    ckit_args_datetime(&one, &value);
    return pack_encoded(p, at, &one);
}

static uint8_t *pack_datetime(packer *p, uint8_t *at, PyObject *datetime) {
    if (is_plain_utc(p->state, datetime)) {
        return pack_utc(p, at, datetime);
    }
    PyObject *offset = PyObject_CallMethodNoArgs(datetime, p->state->name_utcoffset);
    if (offset == NULL) {
        return NULL;
    }
    Py_DECREF(offset);
    if (offset == Py_None) {
        return refuse(p, PyExc_TypeError,
                      "a datetime without a time zone, which is another moment on another machine; attach one, e.g. "
                      "value.replace(tzinfo=timezone.utc)");
    }
    return pack_text_of(p, at, PyObject_CallMethodNoArgs(datetime, p->state->name_isoformat));
}

static int is_a(PyObject *object, PyObject *type) { return PyObject_TypeCheck(object, (PyTypeObject *)type); }

typedef uint8_t *pack_function(packer *p, uint8_t *at, PyObject *object);

static uint8_t *pack_path(packer *p, uint8_t *at, PyObject *path) {
    return pack_text_of(p, at, PyObject_CallMethodNoArgs(path, p->state->name_as_posix));
}

/* In this order: a member of an enumeration of UUIDs, for example, counts as a UUID. */
static const struct late {
    core_late_type type;
    pack_function *pack;
} lates[] = {{CORE_PURE_PATH, pack_path}, {CORE_UUID, pack_uuid}, {CORE_DECIMAL, pack_decimal}, {CORE_ENUM, pack_enum}};

uint8_t *pack_other(packer *p, uint8_t *at, PyObject *object) {
    if (PyFloat_Check(object)) {
        const double value = PyFloat_AS_DOUBLE(object);
        return value <= 0 && value >= 0 ? put_double(at, 0.0) : refuse_type(p, object);
    }
    if ((PyObject *)Py_TYPE(object) ==
        p->state->datetime_type) { /* before the search for those that may not be there */
        return pack_datetime(p, at, object);
    }
    for (size_t i = 0; i < sizeof lates / sizeof *lates; i++) {
        const int is = core_is(p->state, lates[i].type, object);
        if (is != 0) {
            return is < 0 ? NULL : lates[i].pack(p, at, object);
        }
    }
    if (is_a(object, p->state->datetime_type)) {
        return pack_datetime(p, at, object);
    }
    return is_numpy_array(object) ? pack_numpy_array(p, at, object) : refuse_type(p, object);
}
