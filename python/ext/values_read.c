/* values_read.c - documents as Python objects.
 *
 * A reader of its own, straight over the bytes: what decides here is how many objects are made, and a call into the
 * library for each of them would cost as much again. It takes and refuses what msgpack.h's reader does, and reads keys
 * of maps of every type that Python can hash. */
#include "interop.h"
#include "values_parts.h"

typedef struct reading {
    core_state    *state;
    core_values   *values;
    PyObject      *hook; /* NULL: standard serializer */
    const uint8_t *begin;
    const uint8_t *pos;
    const uint8_t *end;
    uint32_t       depth; /* containers around the next value */
    bool           key;   /* inside a map's key: arrays become tuples */
    bool           exact; /* interop mode: marked maps are only those whose marker is true and whose value is text */
} reading;

/* Reads the value at x->pos, which must end before `end`: every container keeps one byte for each of its values that
 * are still to come, so the lists of a document can together not be longer than the document. */
static PyObject *read_value(reading *x, const uint8_t *end);

static PyObject *fail_at(reading *x, const uint8_t *place, const char *why) {
    PyErr_Format(PyExc_ValueError, "not a document: %s, at offset %zd of %zd", why, (Py_ssize_t)(place - x->begin),
                 (Py_ssize_t)(x->end - x->begin));
    return NULL;
}

static PyObject *fail_truncated(reading *x) { return fail_at(x, x->pos, "the input ends inside a value"); }

/* ---- numbers --------------------------------------------------------------------------------------------- */

static inline uint64_t be16(const uint8_t *p) { return (uint64_t)p[0] << 8 | p[1]; }
static inline uint64_t be32(const uint8_t *p) { return be16(p) << 16 | be16(p + 2); }
static inline uint64_t be64(const uint8_t *p) { return be32(p) << 32 | be32(p + 4); }

/* The number of 1, 2, 4 or 8 bytes behind the first byte of a value; false (with an exception) when it is not there. On
 * success x->pos stands behind it. */
static inline bool read_number(reading *x, const uint8_t *end, unsigned bytes, uint64_t *number) {
    const uint8_t *p = x->pos + 1;
    if ((size_t)(end - x->pos) <= bytes) {
        fail_truncated(x);
        return false;
    }
    *number = bytes == 1 ? *p : bytes == 2 ? be16(p) : bytes == 4 ? be32(p) : be64(p);
    x->pos = p + bytes;
    return true;
}

static PyObject *read_uint(reading *x, const uint8_t *end, unsigned bytes) {
    uint64_t number;
    if (!read_number(x, end, bytes, &number)) {
        return NULL;
    }
    return number <= LONG_MAX ? PyLong_FromLong((long)number) : PyLong_FromUnsignedLongLong(number);
}

static PyObject *read_int(reading *x, const uint8_t *end, unsigned bytes) {
    uint64_t       number;
    const unsigned unused = 64u - 8u * bytes;
    return read_number(x, end, bytes, &number) ? PyLong_FromLongLong((int64_t)(number << unused) >> unused) : NULL;
}

static PyObject *read_float(reading *x, const uint8_t *end, unsigned bytes) {
    uint64_t number;
    double   value;
    if (!read_number(x, end, bytes, &number)) {
        return NULL;
    }
    if (bytes == 4) {
        const uint32_t bits = (uint32_t)number;
        float          narrow;
        memcpy(&narrow, &bits, sizeof narrow);
        value = (double)narrow;
    } else {
        memcpy(&value, &number, sizeof value);
    }
    return PyFloat_FromDouble(value);
}

/* ---- text and bytes -------------------------------------------------------------------------------------- */

#define HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint64_t load64(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint32_t load32(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline bool is_ascii(const uint8_t *p, size_t len) {
    if (len >= 8) {
        uint64_t bits = load64(p + len - 8);
        for (size_t i = 0; i + 8 < len; i += 8) {
            bits |= load64(p + i);
        }
        return (bits & HIGH_BITS) == 0;
    }
    if (len >= 4) {
        return ((load32(p) | load32(p + len - 4)) & (uint32_t)HIGH_BITS) == 0;
    }
    uint8_t bits = 0;
    for (size_t i = 0; i < len; i++) {
        bits |= p[i];
    }
    return bits < 0x80;
}

static PyObject *make_text(reading *x, const uint8_t *p, size_t len) {
    if (len > 1 && is_ascii(p, len)) { /* shorter ones exist already */
        PyObject *text = PyUnicode_New((Py_ssize_t)len, 0x7f);
        if (text != NULL) {
            memcpy(PyUnicode_1BYTE_DATA(text), p, len);
        }
        return text;
    }
    PyObject *text = PyUnicode_DecodeUTF8((const char *)p, (Py_ssize_t)len, NULL);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return fail_at(x, p, "text that is not UTF-8");
    }
    return text;
}

/* The `len` bytes at x->pos, behind which it then stands; NULL with an exception when they are not there. */
static inline const uint8_t *take(reading *x, const uint8_t *end, uint64_t len) {
    const uint8_t *p = x->pos;
    if (len > (size_t)(end - p)) {
        fail_at(x, p, "a length beyond the end of the input");
        return NULL;
    }
    x->pos = p + len;
    return p;
}

static PyObject *read_text(reading *x, const uint8_t *end, uint64_t len) {
    const uint8_t *p = take(x, end, len);
    return p == NULL ? NULL : make_text(x, p, (size_t)len);
}

static PyObject *read_bytes(reading *x, const uint8_t *end, unsigned length_bytes) {
    uint64_t       len;
    const uint8_t *p = read_number(x, end, length_bytes, &len) ? take(x, end, len) : NULL;
    return p == NULL ? NULL : PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)len);
}

/* ---- names ----------------------------------------------------------------------------------------------- */

static inline size_t name_slot(const uint8_t *p, size_t len) {
    uint64_t mix;
    if (len >= 8) {
        mix = load64(p) ^ (load64(p + len - 8) * UINT64_C(0x9e3779b97f4a7c15));
    } else if (len >= 4) {
        mix = load32(p) | (uint64_t)load32(p + len - 4) << 32;
    } else {
        mix = p[0] | (uint64_t)p[len / 2] << 8 | (uint64_t)p[len - 1] << 16;
    }
    return (size_t)(((mix ^ len) * UINT64_C(0x9e3779b97f4a7c15)) >> 54);
}
_Static_assert(CORE_NAME_SLOTS == 1u << (64 - 54), "a slot for every hash");

/* A member's name of 1 to CORE_NAME_MAX bytes. */
static PyObject *short_name(reading *x, const uint8_t *p, size_t len) {
    PyObject **slot = &x->values->names[name_slot(p, len)];
    PyObject  *name = *slot;
    if (name == NULL || (size_t)PyUnicode_GET_LENGTH(name) != len || memcmp(PyUnicode_1BYTE_DATA(name), p, len) != 0) {
        name = make_text(x, p, len);
        if (name == NULL || !PyUnicode_IS_COMPACT_ASCII(name)) {
            return name;
        }
        PyObject *before = *slot;
        *slot = name;
        Py_XDECREF(before);
    }
    Py_INCREF(name);
    return name;
}

/* ---- containers ------------------------------------------------------------------------------------------ */

/* Room for `values` more values of one container. */
static bool enter(reading *x, const uint8_t *end, uint64_t values, const char *where) {
    if (values > (size_t)(end - x->pos)) {
        fail_at(x, x->pos, "a count beyond what the input can hold");
        return false;
    }
    if (x->depth >= CKIT_MSGPACK_MAX_DEPTH) {
        fail_at(x, x->pos, "arrays and maps nested deeper than the limit");
        return false;
    }
    if (Py_EnterRecursiveCall(where)) {
        return false;
    }
    x->depth++;
    return true;
}

static void leave(reading *x) {
    x->depth--;
    Py_LeaveRecursiveCall();
}

static PyObject *read_array(reading *x, const uint8_t *end, uint64_t count) {
    if (!enter(x, end, count, " while an array is read")) {
        return NULL;
    }
    const Py_ssize_t size = (Py_ssize_t)count;
    PyObject        *array = x->key ? PyTuple_New(size) : PyList_New(size);
    for (Py_ssize_t i = 0; array != NULL && i < size; i++) {
        PyObject *item = read_value(x, end - (size - 1 - i));
        if (item == NULL) {
            Py_CLEAR(array);
        } else if (x->key) {
            PyTuple_SET_ITEM(array, i, item);
        } else {
            PyList_SET_ITEM(array, i, item);
        }
    }
    leave(x);
    return array;
}

/* A key that is neither text nor absent. */
static PyObject *read_other_key(reading *x, const uint8_t *end) {
    const uint8_t *place = x->pos;
    const bool     outside = x->key;
    x->key = true;
    PyObject *key = read_value(x, end);
    x->key = outside;
    if (key != NULL && PyObject_Hash(key) == -1) {
        Py_DECREF(key);
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            fail_at(x, place, "a map as the key of a map");
        }
        return NULL;
    }
    return key;
}

static inline PyObject *read_key(reading *x, const uint8_t *end, core_marker *marker) {
    const uint8_t *p = x->pos;
    *marker = CORE_MARKERS;
    if (p >= end || (*p & 0xe0) != 0xa0) {
        if (p + 1 >= end || *p != 0xd9) {
            return read_other_key(x, end);
        }
        p++; /* a length of one byte, which stands where short texts have their first byte */
    }
    const size_t len = p == x->pos ? *p & 0x1fu : *p;
    p++;
    if (len > (size_t)(end - p)) {
        return fail_at(x, p, "a length beyond the end of the input");
    }
    x->pos = p + len;
    if (len == 0 || len > CORE_NAME_MAX) {
        return make_text(x, p, len);
    }
    if (len >= CORE_MARKER_MIN && p[0] == '_' && p[1] == '_') {
        *marker = core_marker_of((const char *)p, len);
    }
    return short_name(x, p, len);
}

/* ---- marked maps ----------------------------------------------------------------------------------------- */

static PyObject *fail_marked(reading *x, const uint8_t *place, core_marker marker) {
    static const char *const why[CORE_MARKERS] = {
        "a datetime that is not ISO 8601 text",
        "a date that is not ISO 8601 text",
        "a time that is not ISO 8601 text",
        "a UUID that is none",
        "a set that is none",
        "a tuple that is none",
    };
    return fail_at(x, place, why[marker]);
}

/* ValueError and TypeError of what was tried become the failure of the document, with its place; the hook's stay. */
static PyObject *revived(reading *x, const uint8_t *place, core_marker marker, PyObject *object) {
    if (object == NULL && marker != CORE_MARKER_NDARRAY &&
        (PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_TypeError))) {
        PyErr_Clear();
        return fail_marked(x, place, marker);
    }
    return object;
}

#define LONGEST_MOMENT 64

/* In interop mode "Z" and "z" are UTC in every version of Python. */
static PyObject *read_temporal(reading *x, core_marker marker, ckit_slice text) {
    static const char utc[] = "+00:00";
    char              spelled[LONGEST_MOMENT + sizeof utc];
    const size_t      before = text.len - 1;
    if (x->exact && marker != CORE_MARKER_DATE && text.len > 0 && text.len <= LONGEST_MOMENT &&
        (text.ptr[before] | 0x20) == 'z') {
        memcpy(spelled, text.ptr, before);
        memcpy(spelled + before, utc, sizeof utc);
        text = ckit_slice_of(spelled, before + sizeof utc - 1);
    }
    return core_read_temporal(x->values, marker, text);
}

static PyObject *revive_temporal(reading *x, core_marker marker, PyObject *value) {
    Py_ssize_t  len;
    const char *text = PyUnicode_AsUTF8AndSize(value, &len);
    return text == NULL ? NULL : read_temporal(x, marker, ckit_slice_of(text, (size_t)len));
}

/* Elements of a set that were tuples are written as arrays, and lists have no hash. */
static PyObject *hashable(PyObject *element) {
    if (!PyList_Check(element)) {
        Py_INCREF(element);
        return element;
    }
    if (Py_EnterRecursiveCall(" while a set is read")) {
        return NULL;
    }
    PyObject *tuple = PyList_AsTuple(element);
    for (Py_ssize_t i = 0; tuple != NULL && i < PyTuple_GET_SIZE(tuple); i++) {
        PyObject *inner = PyTuple_GET_ITEM(tuple, i);
        PyObject *with_hash = hashable(inner);
        if (with_hash == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, i, with_hash);
            Py_DECREF(inner);
        }
    }
    Py_LeaveRecursiveCall();
    return tuple;
}

static PyObject *revive_set(reading *x, PyObject *map, PyObject *value) {
    PyObject *frozen = PyDict_GetItemWithError(map, x->values->frozen_text); /* borrowed */
    PyObject *elements = frozen == NULL && PyErr_Occurred() ? NULL : PySequence_List(value);
    for (Py_ssize_t i = 0; elements != NULL && i < PyList_GET_SIZE(elements); i++) {
        PyObject *element = hashable(PyList_GET_ITEM(elements, i));
        if (element == NULL || PyList_SetItem(elements, i, element) < 0) {
            Py_CLEAR(elements);
        }
    }
    if (elements == NULL) {
        return NULL;
    }
    PyObject *set = x->key || frozen == Py_True ? PyFrozenSet_New(elements) : PySet_New(elements);
    Py_DECREF(elements);
    return set;
}

static PyObject *revive_uuid(reading *x, PyObject *text) {
    PyObject *type = core_type(x->state, CORE_UUID);
    return type == NULL ? NULL : PyObject_CallFunctionObjArgs(type, text, NULL);
}

static PyObject *revive(reading *x, core_marker marker, PyObject *map) {
    if (marker == CORE_MARKER_NDARRAY) {
        return PyObject_CallFunctionObjArgs(x->hook, map, NULL);
    }
    PyObject  *value = PyDict_GetItemWithError(map, x->values->value_text); /* borrowed */
    const bool sequence = marker == CORE_MARKER_SET || marker == CORE_MARKER_TUPLE;
    if (value == NULL || (sequence ? !PyList_Check(value) && !PyTuple_Check(value) : !PyUnicode_Check(value))) {
        if (!PyErr_Occurred()) {
            PyErr_SetNone(PyExc_ValueError);
        }
        return NULL;
    }
    switch (marker) {
    case CORE_MARKER_UUID: return revive_uuid(x, value);
    case CORE_MARKER_SET: return revive_set(x, map, value);
    case CORE_MARKER_TUPLE: return PySequence_Tuple(value);
    default: return revive_temporal(x, marker, value);
    }
}

/* Whether the marker counts: any truthy one in a document, only true itself for "auto". */
static int is_marked(const reading *x, core_marker marker, PyObject *map) {
    PyObject *value = PyDict_GetItemWithError(map, x->values->marker_texts[marker]); /* borrowed */
    if (value == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (x->exact && value == Py_True) {
        PyObject *text = PyDict_GetItemWithError(map, x->values->value_text); /* borrowed */
        return text == NULL && PyErr_Occurred() ? -1 : text != NULL && PyUnicode_Check(text);
    }
    return x->hook == NULL && !x->exact ? PyObject_IsTrue(value) : value == Py_True;
}

/* The object of a map that has members with the names in the set `seen` of markers; takes the map's reference. */
static PyObject *revive_map(reading *x, const uint8_t *place, unsigned seen, PyObject *map) {
    const core_marker known = x->hook == NULL ? CORE_MARKER_TEMPORAL : CORE_MARKERS;
    for (core_marker marker = 0; marker < known; marker++) {
        const int marked = (seen >> marker & 1u) == 0 ? 0 : is_marked(x, marker, map);
        if (marked != 0) {
            PyObject *object = marked < 0 ? NULL : revived(x, place, marker, revive(x, marker, map));
            Py_DECREF(map);
            return object;
        }
    }
    return map;
}

/* The text of a map of two members exactly as writers write dates; false: read it as a map. */
static bool is_plain_temporal(const uint8_t *p, const uint8_t *end, core_marker *marker, ckit_slice *text) {
    static const struct {
        const char *bytes;
        size_t      len;
    } forms[CORE_MARKER_TEMPORAL] = {
        {"\xac__datetime__\xc3\xa5value", 20}, {"\xa8__date__\xc3\xa5value", 16}, {"\xa8__time__\xc3\xa5value", 16}};
    for (*marker = 0; *marker < CORE_MARKER_TEMPORAL; (*marker)++) {
        const size_t len = forms[*marker].len;
        if ((size_t)(end - p) <= len || memcmp(p, forms[*marker].bytes, len) != 0) {
            continue;
        }
        const uint8_t *head = p + len;
        size_t         skip = 1, length = *head & 0x1fu;
        if (*head == 0xd9 && end - head > 1) {
            skip = 2;
            length = head[1];
        } else if ((*head & 0xe0) != 0xa0) {
            return false;
        }
        *text = ckit_slice_of(head + skip, length);
        return (size_t)(end - head) >= skip + length;
    }
    return false;
}

static PyObject *read_pairs(reading *x, const uint8_t *end, uint64_t count, unsigned *seen) {
    PyObject *map = PyDict_New();
    for (uint64_t i = 0; map != NULL && i < count; i++) {
        const uint8_t *limit = end - 2 * (count - 1 - i); /* of this pair */
        core_marker    marker;
        PyObject      *key = read_key(x, limit - 1, &marker);
        PyObject      *value = key == NULL ? NULL : read_value(x, limit);
        if (value == NULL || PyDict_SetItem(map, key, value) < 0) {
            Py_CLEAR(map);
        }
        *seen |= 1u << marker;
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return map;
}

static PyObject *read_map(reading *x, const uint8_t *end, uint64_t count) {
    const uint8_t *place = x->pos;
    core_marker    marker;
    ckit_slice     text;
    unsigned       seen = 0;
    if (count == 2 && is_plain_temporal(place, end, &marker, &text)) {
        x->pos = text.ptr + text.len;
        return revived(x, place, marker, read_temporal(x, marker, text));
    }
    if (!enter(x, end, 2 * count, " while a map is read")) {
        return NULL;
    }
    const bool key = x->key;
    x->key = false;
    PyObject *map = read_pairs(x, end, count, &seen);
    x->key = key;
    leave(x);
    seen &= (1u << CORE_MARKERS) - 1;
    return map == NULL || seen == 0 ? map : revive_map(x, place, seen, map);
}

/* ---- every value ----------------------------------------------------------------------------------------- */

static PyObject *constant(reading *x, PyObject *object) {
    x->pos++;
    Py_INCREF(object);
    return object;
}

/* Values that begin with c0 to df. */
static PyObject *read_long_form(reading *x, const uint8_t *end) {
    const uint8_t b = *x->pos;
    uint64_t      number;
    switch (b) {
    case 0xc0: return constant(x, Py_None);
    case 0xc2: return constant(x, Py_False);
    case 0xc3: return constant(x, Py_True);
    case 0xc4:
    case 0xc5:
    case 0xc6: return read_bytes(x, end, 1u << (b - 0xc4));
    case 0xca:
    case 0xcb: return read_float(x, end, b == 0xca ? 4 : 8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf: return read_uint(x, end, 1u << (b - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3: return read_int(x, end, 1u << (b - 0xd0));
    case 0xd9:
    case 0xda:
    case 0xdb: return read_number(x, end, 1u << (b - 0xd9), &number) ? read_text(x, end, number) : NULL;
    case 0xdc:
    case 0xdd: return read_number(x, end, b == 0xdc ? 2 : 4, &number) ? read_array(x, end, number) : NULL;
    case 0xde:
    case 0xdf: return read_number(x, end, b == 0xde ? 2 : 4, &number) ? read_map(x, end, number) : NULL;
    case 0xc1: return fail_at(x, x->pos, "no value begins with this byte");
    default: return fail_at(x, x->pos, "an extension type");
    }
}

static PyObject *read_value(reading *x, const uint8_t *end) {
    if (x->pos >= end) {
        return fail_at(x, x->pos, "the input ends where a value should be");
    }
    const uint8_t b = *x->pos;
    if (b < 0x80 || b >= 0xe0) {
        x->pos++;
        return PyLong_FromLong((int8_t)b);
    }
    if (b >= 0xc0) {
        return read_long_form(x, end);
    }
    x->pos++;
    if (b >= 0xa0) {
        return read_text(x, end, b & 0x1fu);
    }
    return b < 0x90 ? read_map(x, end, b & 0x0fu) : read_array(x, end, b & 0x0fu);
}

static PyObject *read_document(core_state *state, ckit_slice document, PyObject *hook, bool exact) {
    static const uint8_t nothing[1] = {0};
    reading              x = {.state = state, .values = core_values_of(state), .hook = hook, .exact = exact};
    x.begin = document.ptr == NULL ? nothing : document.ptr;
    x.pos = x.begin;
    x.end = x.begin + document.len;
    PyObject *object = x.values == NULL ? NULL : read_value(&x, x.end);
    if (object != NULL && x.pos != x.end) {
        Py_DECREF(object);
        return fail_at(&x, x.pos, "bytes behind the value");
    }
    return object;
}

PyObject *core_decode(core_state *state, ckit_slice document) { return read_document(state, document, NULL, false); }

PyObject *core_decode_interop(core_state *state, ckit_slice document) {
    return read_document(state, document, NULL, true);
}

PyObject *core_decode_auto(core_state *state, ckit_slice document, PyObject *hook) {
    return read_document(state, document, hook, false);
}
