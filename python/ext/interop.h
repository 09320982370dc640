/* interop.h - interop mode: calls and values in the form that all SDKs share (cachekit/interop.h).
 *
 * What is outside of its data model raises cachekit.errors.InteropError, which belongs to the caller: no call goes on
 * uncached because of it. */
#ifndef CKIT_PYTHON_INTEROP_H
#define CKIT_PYTHON_INTEROP_H

#include "core.h"

/* How the parameters of a function are declared: what calls are brought to one form by. */
typedef struct core_signature core_signature;

/* From ((name, kind), (name, kind, default), ...) with the kinds of inspect.Parameter as integers. NULL with an
 * exception. */
core_signature *core_signature_new(PyObject *parameters);
/* Accepts NULL. */
void core_signature_free(core_signature *signature);
int  core_signature_visit(const core_signature *signature, visitproc visit, void *arg);

/* core_pack_args (args.h) for a call in interop mode: one array of all declared parameters, in their order, those that
 * the call leaves out by their defaults. InteropError also for a call that does not fit the signature. */
int core_pack_interop(core_state *state, ckit_args *args, const core_signature *signature, PyObject *const *values,
                      Py_ssize_t positional, PyObject *names);

/* core_encode and core_decode (values.h) for interop mode. What is written may still be outside of the model, which the
 * library says; the place of a marked map is taken by a date only where other SDKs do so too. */
int       core_encode_interop(core_state *state, ckit_writer *w, PyObject *object);
PyObject *core_decode_interop(core_state *state, ckit_slice document);

/* Raises the InteropError of a failure of the library, or what core_raise raises when it is none of the data. NULL. */
PyObject *core_raise_interop(core_state *state, const ckit_error *err);
/* Whether an InteropError is pending. */
bool core_is_interop_error(core_state *state);

#endif
