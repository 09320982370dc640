/* args.c - from the arguments of a Python call to the packed arguments of a key: built-in types.
 *
 * The order in which types are looked at is part of the format: a dict is a dict whatever else it is, then lists and
 * tuples, floats, paths, UUIDs, Decimals, enum members, datetimes and numpy arrays, subclasses included. Plain values
 * come last there and first here: no exact built-in type is any of the others. */
#include "args_pack.h"

#include "receiver.h"
#include "small_int.h"

/* From this depth on the interpreter is asked whether its stack has room; what is above it never is much. */
#define CHECKED_DEPTH 16

/* ---- plain values ---------------------------------------------------------------------------------------- */

static uint8_t *pack_large_int(packer *p, uint8_t *at, PyObject *object) {
    int             overflow;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0) {
        return put_int(at, value);
    }
    if (overflow > 0) {
        const unsigned long long large = PyLong_AsUnsignedLongLong(object);
        if (large != (unsigned long long)-1 || !PyErr_Occurred()) {
            return put_uint(at, large);
        }
        PyErr_Clear();
    }
    return refuse(p, PyExc_OverflowError, "an integer outside -2**63 to 2**64-1; pass it as text, str(value)");
}

/* Of a str that PyUnicode_IS_COMPACT_ASCII. */
static inline const char *ascii_of(PyObject *object) { return (const char *)((PyASCIIObject *)object + 1); }

static uint8_t *pack_utf8(packer *p, uint8_t *at, const char *utf8, size_t len) {
    if (len > CKIT_ARGS_MAX_BYTES) {
        return refuse_size(p);
    }
    at = make_room(p, at, PUT_HEAD + len);
    return at == NULL ? NULL : put_copy(put_str_head(at, (uint32_t)len), utf8, len);
}

uint8_t *pack_text(packer *p, uint8_t *at, PyObject *object) {
    if (PyUnicode_IS_COMPACT_ASCII(object)) {
        return pack_utf8(p, at, ascii_of(object), (size_t)PyUnicode_GET_LENGTH(object));
    }
    Py_ssize_t  len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(object, &len);
    return utf8 == NULL ? NULL : pack_utf8(p, at, utf8, (size_t)len);
}

static uint8_t *pack_bytes(packer *p, uint8_t *at, PyObject *object) {
    const size_t len = (size_t)PyBytes_GET_SIZE(object);
    if (len > CKIT_ARGS_MAX_BYTES) {
        return refuse_size(p);
    }
    at = make_room(p, at, PUT_HEAD + len);
    return at == NULL ? NULL : put_copy(put_bin_head(at, (uint32_t)len), PyBytes_AS_STRING(object), len);
}

uint8_t *more_room(packer *p, const uint8_t *at, size_t need) {
    const size_t      used = (size_t)(at - p->start);
    size_t            room;
    const ckit_status st = ckit_args_more_room(p->args, used, need, &p->start, &room);
    if (st != CKIT_OK) {
        return st == CKIT_E_NO_MEMORY ? (uint8_t *)PyErr_NoMemory() : refuse_size(p);
    }
    p->end = p->start + room;
    return p->start + used;
}

uint8_t *pack_encoded(packer *p, uint8_t *at, ckit_args *one) {
    ckit_slice packed;
    ckit_error err;
    if (ckit_args_pack(one, &packed, &err) != CKIT_OK) {
        (void)core_raise(p->state, &err);
        at = NULL;
    } else {
        /* An array of one, and no keywords: 92 91 ... 80. */
        at = make_room(p, at, packed.len - 3);
        at = at == NULL ? NULL : put_copy(at, packed.ptr + 2, packed.len - 3);
    }
    ckit_args_fini(one);
    return at;
}

/* ---- any value ------------------------------------------------------------------------------------------- */

static uint8_t *pack_slowly(packer *p, uint8_t *at, PyObject *object);

#define SHORT 32 /* bytes at least that must be free for the quick way, which takes that much at most */

/* What most arguments are is packed here, without a call; what may take long or much room is not. */
static inline __attribute__((always_inline)) uint8_t *pack_quickly(packer *p, uint8_t *at, PyObject *object) {
    const PyTypeObject *const type = Py_TYPE(object);
    int64_t                   number;
    if (p->end - at < SHORT) {
        return pack_slowly(p, at, object);
    }
    if (type == &PyLong_Type && core_small_int(object, &number)) {
        return put_int(at, number);
    }
    if (type == &PyUnicode_Type && PyUnicode_IS_COMPACT_ASCII(object) && PyUnicode_GET_LENGTH(object) < SHORT) {
        const size_t len = (size_t)PyUnicode_GET_LENGTH(object);
        *at = (uint8_t)(0xa0 | len);
        return put_copy(at + 1, ascii_of(object), len);
    }
    if (type == &PyBool_Type) {
        *at = object == Py_True ? 0xc3 : 0xc2;
        return at + 1;
    }
    if (object == Py_None) {
        *at = 0xc0;
        return at + 1;
    }
    if (type == &PyFloat_Type) { /* both zeros are one */
        const double value = PyFloat_AS_DOUBLE(object);
        return put_double(at, value <= 0 && value >= 0 ? 0.0 : value);
    }
    return pack_slowly(p, at, object);
}

uint8_t *pack_value(packer *p, uint8_t *at, PyObject *object) { return pack_quickly(p, at, object); }

/* ---- lists and tuples ------------------------------------------------------------------------------------ */

int enter_value(packer *p, PyObject *container) {
    if (p->depth >= CKIT_ARGS_MAX_DEPTH) {
        (void)refuse(p, PyExc_RecursionError,
                     "more than %d lists, tuples and dicts inside each other, or one in itself", CKIT_ARGS_MAX_DEPTH);
        return -1;
    }
    if (p->depth >= CHECKED_DEPTH && Py_EnterRecursiveCall(" while making a cache key") != 0) {
        return -1;
    }
    p->depth++;
    Py_INCREF(container);
    return 0;
}

uint8_t *leave_value(packer *p, PyObject *container, uint8_t *at) {
    Py_DECREF(container);
    if (--p->depth >= CHECKED_DEPTH) {
        Py_LeaveRecursiveCall();
    }
    return at;
}

static uint8_t *pack_tuple(packer *p, uint8_t *at, PyObject *tuple) {
    const Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    if (count > (Py_ssize_t)CKIT_ARGS_MAX_BYTES) {
        return refuse_size(p);
    }
    at = put_array_head(at, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count && at != NULL; i++) {
        at = pack_value(p, at, PyTuple_GET_ITEM(tuple, i));
    }
    return at;
}

static uint8_t *pack_list(packer *p, uint8_t *at, PyObject *list) {
    const Py_ssize_t count = PyList_GET_SIZE(list);
    if (count > (Py_ssize_t)CKIT_ARGS_MAX_BYTES) {
        return refuse_size(p);
    }
    at = put_array_head(at, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count && at != NULL; i++) {
        at = pack_value(p, at, PyList_GET_ITEM(list, i));
        if (at != NULL && PyList_GET_SIZE(list) != count) {
            PyErr_SetString(PyExc_RuntimeError, "a list was changed while a cache key was made from it");
            return NULL;
        }
    }
    return at;
}

/* ---- dicts and keywords ---------------------------------------------------------------------------------- */

#define FEW_ENTRIES 16

typedef struct entry {
    PyObject *key;
    PyObject *value;
} entry;

/* Keys of one kind can be compared with each other, and so be brought into an order. */
typedef enum key_kind { KEY_TEXT, KEY_BYTES, KEY_NUMBER, KEY_ALONE, KEY_REFUSED } key_kind;

static key_kind kind_of(PyObject *key) {
    const PyTypeObject *const type = Py_TYPE(key);
    if (type == &PyUnicode_Type) {
        return KEY_TEXT;
    }
    if (type == &PyLong_Type || type == &PyBool_Type) {
        return KEY_NUMBER;
    }
    if (type == &PyFloat_Type) {
        const double value = PyFloat_AS_DOUBLE(key);
        return value <= 0 || value >= 0 ? KEY_NUMBER : KEY_ALONE; /* NaN has no place in an order */
    }
    return type == &PyBytes_Type ? KEY_BYTES : key == Py_None ? KEY_ALONE : KEY_REFUSED;
}

static inline int compare_bytes(const void *a, Py_ssize_t a_len, const void *b, Py_ssize_t b_len) {
    const int order = memcmp(a, b, (size_t)(a_len < b_len ? a_len : b_len));
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

/* By code points, which for UTF-8 is the order of its bytes. */
static inline int compare_text(PyObject *a, PyObject *b) {
    if (PyUnicode_IS_COMPACT_ASCII(a) && PyUnicode_IS_COMPACT_ASCII(b)) {
        const char *x = ascii_of(a), *y = ascii_of(b); /* a zero byte is behind the last character */
        return *x != *y ? *x - *y : compare_bytes(x, PyUnicode_GET_LENGTH(a), y, PyUnicode_GET_LENGTH(b));
    }
    return PyUnicode_Compare(a, b);
}

static int order_text(const void *a, const void *b) {
    return compare_text(((const entry *)a)->key, ((const entry *)b)->key);
}

static int order_bytes(const void *a, const void *b) {
    PyObject *x = ((const entry *)a)->key, *y = ((const entry *)b)->key;
    return compare_bytes(PyBytes_AS_STRING(x), PyBytes_GET_SIZE(x), PyBytes_AS_STRING(y), PyBytes_GET_SIZE(y));
}

/* Exact for integers and floats of any size. A failure (no memory) is seen when the sorting is over. */
static int order_numbers(const void *a, const void *b) {
    PyObject *x = ((const entry *)a)->key, *y = ((const entry *)b)->key;
    return PyObject_RichCompareBool(x, y, Py_LT) == 1 ? -1 : PyObject_RichCompareBool(x, y, Py_GT) == 1;
}

static int (*const orders[])(const void *, const void *) = {
    [KEY_TEXT] = order_text, [KEY_BYTES] = order_bytes, [KEY_NUMBER] = order_numbers};

static inline void sort_few_texts(entry *entries, Py_ssize_t count) {
    for (Py_ssize_t i = 1; i < count; i++) {
        const entry moved = entries[i];
        Py_ssize_t  to = i;
        while (to > 0 && compare_text(entries[to - 1].key, moved.key) > 0) {
            entries[to] = entries[to - 1];
            to--;
        }
        entries[to] = moved;
    }
}

static int sort_entries(entry *entries, Py_ssize_t count, key_kind kind) {
    if (kind == KEY_TEXT && count <= FEW_ENTRIES) {
        sort_few_texts(entries, count);
        return 0;
    }
    qsort(entries, (size_t)count, sizeof *entries, orders[kind]);
    return PyErr_Occurred() ? -1 : 0;
}

/* As values are packed, but for negative zero, which stays what it is. */
static inline uint8_t *pack_key(packer *p, uint8_t *at, PyObject *key) {
    if (PyFloat_CheckExact(key)) {
        at = make_room(p, at, PUT_HEAD);
        return at == NULL ? NULL : put_double(at, PyFloat_AS_DOUBLE(key));
    }
    return pack_quickly(p, at, key);
}

static uint8_t *refuse_key(const packer *p, const entry *entries, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        if (kind_of(entries[i].key) == KEY_REFUSED) {
            return refuse(p, PyExc_TypeError,
                          "a dict with a key of type '%.100s'; keys are exactly str, int, float, bool, bytes or None, "
                          "so convert them, e.g. {str(k): v for k, v in value.items()}",
                          Py_TYPE(entries[i].key)->tp_name);
        }
    }
    return refuse(p, PyExc_TypeError,
                  "a dict whose keys cannot be sorted; all must be text, all numbers (not NaN), or all bytes");
}

static uint8_t *pack_entries(packer *p, uint8_t *at, entry *entries, Py_ssize_t count) {
    const key_kind kind = count > 0 ? kind_of(entries[0].key) : KEY_TEXT;
    int            alike = kind != KEY_REFUSED && (kind != KEY_ALONE || count == 1);
    for (Py_ssize_t i = 1; i < count && alike; i++) {
        alike = kind_of(entries[i].key) == kind;
    }
    if (!alike) {
        return refuse_key(p, entries, count);
    }
    if (count > 1 && sort_entries(entries, count, kind) < 0) {
        return NULL;
    }
    at = put_map_head(at, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count && at != NULL; i++) {
        at = pack_key(p, at, entries[i].key);
        at = at == NULL ? NULL : pack_quickly(p, at, entries[i].value);
    }
    return at;
}

/* NULL with an exception. `few` has room for FEW_ENTRIES. */
static entry *entries_for(Py_ssize_t count, entry *few) {
    entry *entries = count <= FEW_ENTRIES ? few : PyMem_Malloc((size_t)count * sizeof *entries);
    if (entries == NULL) {
        PyErr_NoMemory();
    }
    return entries;
}

static uint8_t *pack_dict(packer *p, uint8_t *at, PyObject *dict) {
    const Py_ssize_t count = PyDict_GET_SIZE(dict);
    entry            few[FEW_ENTRIES];
    if (count > (Py_ssize_t)CKIT_ARGS_MAX_BYTES) {
        return refuse_size(p);
    }
    entry *entries = entries_for(count, few);
    if (entries == NULL) {
        return NULL;
    }
    /* As they are now: Python code that runs for one of the values may change the dict. */
    Py_ssize_t found = 0;
    for (Py_ssize_t i = 0; found < count && PyDict_Next(dict, &i, &entries[found].key, &entries[found].value);
         found++) {
        Py_INCREF(entries[found].key);
        Py_INCREF(entries[found].value);
    }
    at = pack_entries(p, at, entries, found);
    for (Py_ssize_t i = 0; i < found; i++) {
        Py_DECREF(entries[i].key);
        Py_DECREF(entries[i].value);
    }
    if (entries != few) {
        PyMem_Free(entries);
    }
    return at;
}

/* ---- all the rest ---------------------------------------------------------------------------------------- */

static uint8_t *pack_compound(packer *p, uint8_t *at, PyObject *object) {
    uint8_t *(*const pack_it)(packer *, uint8_t *, PyObject *) = PyDict_Check(object)    ? pack_dict
                                                                 : PyList_Check(object)  ? pack_list
                                                                 : PyTuple_Check(object) ? pack_tuple
                                                                                         : NULL;
    if (pack_it != NULL) {
        return enter_value(p, object) < 0 ? NULL : leave_value(p, object, pack_it(p, at, object));
    }
    Py_INCREF(object);
    at = pack_other(p, at, object);
    Py_DECREF(object);
    return at;
}

static __attribute__((noinline)) uint8_t *pack_slowly(packer *p, uint8_t *at, PyObject *object) {
    at = make_room(p, at, SHORT);
    if (at == NULL) {
        return NULL;
    }
    int64_t number;
    if (PyLong_CheckExact(object)) {
        return core_small_int(object, &number) ? put_int(at, number) : pack_large_int(p, at, object);
    }
    if (PyUnicode_CheckExact(object)) {
        return pack_text(p, at, object);
    }
    if (PyBytes_CheckExact(object)) {
        return pack_bytes(p, at, object);
    }
    if (PyBool_Check(object) || object == Py_None || PyFloat_CheckExact(object)) {
        return pack_quickly(p, at, object); /* there is room now */
    }
    return pack_compound(p, at, object);
}

/* ---- the call -------------------------------------------------------------------------------------------- */

static const char bypass_name[] = "_bypass_cache";

/* Sorted by name. Names are texts, though perhaps of a subclass. */
static Py_ssize_t sort_keywords(entry *entries, PyObject *const *values, PyObject *names) {
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (PyUnicode_GET_LENGTH(name) == sizeof bypass_name - 1 &&
            PyUnicode_CompareWithASCIIString(name, bypass_name) == 0) {
            continue; /* says something about the call, and is none of its arguments */
        }
        entries[count++] = (entry){name, values[i]};
    }
    if (count > 1 && sort_entries(entries, count, KEY_TEXT) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 1; i < count; i++) {
        if (compare_text(entries[i - 1].key, entries[i].key) == 0) {
            PyErr_Format(PyExc_TypeError, "keyword argument '%U' is given twice", entries[i].key);
            return -1;
        }
    }
    return count;
}

static int pack_keywords(packer *p, uint8_t *at, PyObject *const *values, PyObject *names) {
    entry            few[FEW_ENTRIES];
    entry           *entries = entries_for(PyTuple_GET_SIZE(names), few);
    const Py_ssize_t count = entries == NULL ? -1 : sort_keywords(entries, values, names);
    at = count < 0 ? NULL : make_room(p, at, PUT_HEAD);
    at = at == NULL ? NULL : put_map_head(at, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count && at != NULL; i++) {
        p->keyword = entries[i].key;
        at = PyUnicode_CheckExact(p->keyword) ? pack_quickly(p, at, p->keyword) : pack_text(p, at, p->keyword);
        at = at == NULL ? NULL : pack_quickly(p, at, entries[i].value);
    }
    if (entries != few) {
        PyMem_Free(entries);
    }
    if (at == NULL) {
        return -1;
    }
    ckit_args_fill_keywords(p->args, (uint32_t)count, (size_t)(at - p->start));
    return 0;
}

static inline __attribute__((always_inline)) int pack_call(core_state *state, ckit_args *args, uint64_t receiver,
                                                           PyObject *const *values, Py_ssize_t positional,
                                                           PyObject *names) {
    size_t     room;
    uint8_t   *at = ckit_args_room(args, &room); /* more than a receiver takes */
    packer     p = {.start = at, .end = at + room, .state = state, .args = args};
    Py_ssize_t i = 0;
    if (receiver != 0) {
        const uint64_t address = (uintptr_t)values[i++];
        *at = RECEIVER_MARK;
        memcpy(at + 1, &receiver, sizeof receiver);
        memcpy(at + 1 + sizeof receiver, &address, sizeof address);
        at += RECEIVER_BYTES;
    }
    for (; i < positional; i++) {
        p.position = i;
        at = pack_quickly(&p, at, values[i]);
        if (at == NULL) {
            return -1;
        }
    }
    ckit_args_fill(args, (uint32_t)positional, (size_t)(at - p.start));
    if (names == NULL || PyTuple_GET_SIZE(names) == 0) {
        return 0;
    }
    p.start = at;
    return pack_keywords(&p, at, values + positional, names);
}

int core_pack_args(core_state *state, ckit_args *args, PyObject *const *values, Py_ssize_t positional,
                   PyObject *names) {
    return pack_call(state, args, 0, values, positional, names);
}

int core_pack_args_of(core_state *state, ckit_args *args, uint64_t receiver, PyObject *const *values,
                      Py_ssize_t positional, PyObject *names) {
    return pack_call(state, args, receiver, values, positional, names);
}
