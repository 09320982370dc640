#include "front.h"

#include "small_int.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 128u      /* of a function: some ten KiB */
#define LONGEST_TEXT 64 /* characters of text that is kept */
#define MOST_CREDIT 8u  /* how often a slot that is used wins over a newcomer */
#define ALWAYS_ASKED 4u /* so many first answers of a slot, and then one of OFTEN_ASKED, are memory's own, so that it */
#define OFTEN_ASKED 32u /* knows which of its entries are in use */

struct core_front_slot {
    core_front_key   key; /* count 0 and names NULL: empty, and no call is found here, for the hint does not hold */
    core_receiver   *receiver; /* held: that of the first argument; NULL when it is an argument like any other */
    PyObject        *object;   /* borrowed from memory */
    uint32_t         uses;
    uint32_t         credit;
    ckit_object_hint hint;
};

static inline size_t count_of(const core_front_key *key) { return key->shape >> 32; }

/* ---- telling calls apart ------------------------------------------------------------------------------------- */

static inline uint64_t mixed(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* Text's own hash is kept in it: asked for once in its life. */
static inline uint64_t hash_of_text(PyObject *text) {
    Py_hash_t hash = ((PyASCIIObject *)text)->hash;
    return (uint64_t)(hash != -1 ? hash : PyObject_Hash(text));
}

static inline bool describe_value(core_front_value *value, uint64_t *hash, PyObject *object) {
    const PyTypeObject *type = Py_TYPE(object);
    value->type = type;
    if (type == &PyLong_Type) {
        if (!core_small_int(object, &value->word)) {
            return false;
        }
    } else if (type == &PyUnicode_Type) {
        if (!PyUnicode_IS_READY(object) || PyUnicode_GET_LENGTH(object) > LONGEST_TEXT) {
            return false;
        }
        value->word = (int64_t)(intptr_t)object;
        *hash = mixed(*hash, hash_of_text(object));
        return true;
    } else if (type == &PyFloat_Type) {
        memcpy(&value->word, &((PyFloatObject *)object)->ob_fval, sizeof value->word);
    } else if (type == &PyBool_Type || object == Py_None) {
        value->word = (int64_t)(intptr_t)object;
    } else {
        return false;
    }
    *hash = mixed(*hash, (uint64_t)value->word);
    return true;
}

static inline bool describe(core_front_key *key, PyObject *const *values, Py_ssize_t positional, PyObject *names,
                            const core_receivers *receivers) {
    Py_ssize_t count = positional + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    if (count > CORE_FRONT_VALUES) {
        return false;
    }
    uint64_t hash = (uint64_t)(uintptr_t)names ^ (uint64_t)positional;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (describe_value(&key->values[i], &hash, values[i])) {
            continue;
        }
        if (i > 0 || receivers == NULL || positional == 0) {
            return false;
        }
        key->values[0] = (core_front_value){.type = NULL, .word = (int64_t)(intptr_t)values[0]};
        hash = mixed(hash, (uint64_t)(uintptr_t)values[0]);
    }
    key->hash = hash;
    key->names = names;
    key->shape = (uint64_t)count << 32 | (uint64_t)positional;
    return true;
}

static bool same_text(PyObject *a, PyObject *b) {
    return PyUnicode_GET_LENGTH(a) == PyUnicode_GET_LENGTH(b) && PyUnicode_KIND(a) == PyUnicode_KIND(b) &&
           memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), (size_t)PyUnicode_GET_LENGTH(a) * (size_t)PyUnicode_KIND(a)) ==
               0;
}

static inline PyObject *object_of(const core_front_value *value) { return (PyObject *)(intptr_t)value->word; }

static inline bool same_value(const core_front_value *a, const core_front_value *b) {
    if (a->type != b->type) {
        return false;
    }
    return a->word == b->word || (a->type == &PyUnicode_Type && same_text(object_of(a), object_of(b)));
}

static inline bool same_call(const core_front_key *a, const core_front_key *b) {
    if (a->hash != b->hash || a->names != b->names || a->shape != b->shape) {
        return false;
    }
    for (size_t i = 0; i < count_of(a); i++) {
        if (!same_value(&a->values[i], &b->values[i])) {
            return false;
        }
    }
    return true;
}

/* ---- finding and keeping ------------------------------------------------------------------------------------- */

static inline core_front_slot *slot_of(const core_front *front, const core_front_key *key) {
    return &front->slots[(key->hash >> 16) % SLOTS];
}

/* An address may be used again; a weak reference that still leads there tells that it was not. */
static inline bool same_receiver(const core_front_slot *slot, const core_front_key *key) {
    return slot->receiver == NULL || slot->receiver->weak.wr_object == object_of(&key->values[0]);
}

PyObject *core_front_find(const core_front *front, const ckit_function *function, const core_receivers *receivers,
                          PyObject *const *values, Py_ssize_t positional, PyObject *names, core_front_key *key,
                          bool *described) {
    *described = describe(key, values, positional, names, receivers);
    if (!*described || front->slots == NULL) {
        return NULL;
    }
    core_front_slot *slot = slot_of(front, key);
    if (!same_call(&slot->key, key) || !same_receiver(slot, key) || !ckit_object_hint_holds(function, &slot->hint)) {
        return NULL;
    }
    uint32_t uses = slot->uses++;
    if (uses < ALWAYS_ASKED || uses % OFTEN_ASKED == 0) {
        return NULL;
    }
    slot->credit = MOST_CREDIT;
    Py_INCREF(slot->object);
    return slot->object;
}

/* What a slot holds: the texts, the names and the receiver. */
static void hold(const core_front_slot *slot) {
    Py_XINCREF(slot->key.names);
    Py_XINCREF((PyObject *)slot->receiver);
    for (size_t i = 0; i < count_of(&slot->key); i++) {
        if (slot->key.values[i].type == &PyUnicode_Type) {
            Py_INCREF(object_of(&slot->key.values[i]));
        }
    }
}

/* No code of anybody runs: a receiver is a weak reference of our own kind. */
static void drop(const core_front_slot *slot) {
    Py_XDECREF(slot->key.names);
    Py_XDECREF((PyObject *)slot->receiver);
    for (size_t i = 0; i < count_of(&slot->key); i++) {
        if (slot->key.values[i].type == &PyUnicode_Type) {
            Py_DECREF(object_of(&slot->key.values[i]));
        }
    }
}

void core_front_keep(core_front *front, const core_receivers *receivers, const core_front_key *key, PyObject *object,
                     const ckit_object_hint *hint) {
    core_front_slot fresh = {.key = *key, .object = object, .hint = *hint};
    if (count_of(key) > 0 && key->values[0].type == NULL &&
        (fresh.receiver = core_receiver_find(receivers, object_of(&key->values[0]))) == NULL) {
        return; /* an object that does not count by its identity */
    }
    if (front->slots == NULL && (front->slots = calloc(SLOTS, sizeof *front->slots)) == NULL) {
        return; /* memory answers */
    }
    core_front_slot *slot = slot_of(front, key);
    if (same_call(&slot->key, key) && slot->receiver == fresh.receiver) {
        slot->object = object;
        slot->hint = *hint;
    } else if (slot->credit > 0) {
        slot->credit--;
    } else {
        core_front_slot old = *slot;
        hold(&fresh);
        *slot = fresh;
        drop(&old);
    }
}

void core_front_fini(core_front *front) {
    for (size_t i = 0; front->slots != NULL && i < SLOTS; i++) {
        drop(&front->slots[i]);
    }
    free(front->slots);
    front->slots = NULL;
}
