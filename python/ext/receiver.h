/* receiver.h - what the first argument of a method counts as.
 *
 * Where results stay in this process, the instance (or class) that a method was called on counts by its identity: its
 * own __eq__ and __hash__ do not matter, it is referred to weakly, and what is kept for it goes when it goes. Each gets
 * a number that is never used again, so an object that is made later at the same address cannot be taken for it. In the
 * packed arguments it stands as RECEIVER_MARK, which no MessagePack value begins with, the number and the address; they
 * never leave the process. Where a store is shared with other processes, see core_receiver_pack. */
#ifndef CKIT_PYTHON_RECEIVER_H
#define CKIT_PYTHON_RECEIVER_H

#include "core.h"

#define RECEIVER_MARK 0xc1
#define RECEIVER_BYTES (1 + 2 * sizeof(uint64_t))

/* One entry that belongs to a receiver: part of what the owner keeps for the entry. */
typedef struct core_tie {
    struct core_tie  *next;
    struct core_tie **at; /* what points to this one; NULL while it belongs to none */
} core_tie;

typedef struct core_receiver core_receiver;

/* A weak reference to a receiver. */
struct core_receiver {
    PyWeakReference        weak;
    struct core_receivers *all; /* NULL when it is in no table any more */
    uint64_t               number;
    PyObject              *object; /* where it is or was; never followed */
    core_tie              *ties;
};

typedef struct core_receiver_slot {
    PyObject      *object; /* where the receiver is or was; never followed */
    core_receiver *receiver;
} core_receiver_slot;

/* The receivers of one function. Used with the interpreter's lock held. */
typedef struct core_receivers {
    core_receiver_slot *slots; /* NULL: none yet. A hash table by address, open, at most half full */
    size_t              mask;
    size_t              used;
    PyObject           *owner;
    /* A receiver has gone: forgets what each of `ties` stands for, having untied it. May run any code. */
    void (*forget)(PyObject *owner, core_tie **ties);
} core_receivers;

static inline size_t core_receiver_place(const core_receivers *all, const PyObject *object) {
    return (size_t)(((uint64_t)(uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & all->mask;
}

/* NULL when it is not known. */
static inline core_receiver *core_receiver_find(const core_receivers *all, PyObject *object) {
    if (all->slots == NULL) {
        return NULL;
    }
    for (size_t i = core_receiver_place(all, object); all->slots[i].receiver != NULL; i = (i + 1) & all->mask) {
        if (all->slots[i].object == object && all->slots[i].receiver->weak.wr_object == object) {
            return all->slots[i].receiver;
        }
    }
    return NULL;
}

/* Makes it known; borrowed. NULL with an exception: TypeError when it cannot be referred to weakly. */
core_receiver *core_receiver_add(core_receivers *all, core_state *state, PyObject *object);
/* For tp_clear and the like: no `forget` is called any more, nothing is tied any more. */
void core_receivers_end(core_receivers *all);
/* Forgets all that is kept for it. */
void core_receiver_forget(core_receivers *all, PyObject *object);

void core_tie_to(core_tie *tie, core_receiver *receiver);
void core_untie(core_tie *tie);

/* The receiver that `args` begin with and that is still there; NULL when there is none. */
core_receiver *core_receiver_of(const core_receivers *all, ckit_args *args);

/* Packs the arguments of a call whose first one is a receiver that counts by identity: as core_pack_args. Values that
 * have no methods of Python's, such as an int or a list, are arguments like any other. One that cannot be referred to
 * weakly counts as core_receiver_pack_named says. */
int core_receiver_pack(core_receivers *all, core_state *state, ckit_args *args, PyObject *const *values,
                       Py_ssize_t positional, PyObject *names);
/* The same where entries outlive the process: a class counts as "module.qualified_name", an instance as what its
 * __cachekit_key__ is or returns. Others raise cachekit._core.ReceiverError, a TypeError. */
int core_receiver_pack_named(core_state *state, ckit_args *args, PyObject *const *values, Py_ssize_t positional,
                             PyObject *names);

#endif
