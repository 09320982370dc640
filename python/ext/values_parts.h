/* values_parts.h - what writing and reading values (values.h) share. */
#ifndef CKIT_PYTHON_VALUES_PARTS_H
#define CKIT_PYTHON_VALUES_PARTS_H

#include "values.h"

#include <datetime.h>

/* Maps with a marker. The first three belong to every document, the rest only to serializer "auto". */
typedef enum core_marker {
    CORE_MARKER_DATETIME,
    CORE_MARKER_DATE,
    CORE_MARKER_TIME,
    CORE_MARKER_TEMPORAL, /* how many there are in every document */
    CORE_MARKER_UUID = CORE_MARKER_TEMPORAL,
    CORE_MARKER_SET,
    CORE_MARKER_TUPLE,
    CORE_MARKER_NDARRAY,
    CORE_MARKERS
} core_marker;

extern const char *const core_marker_names[CORE_MARKERS];
#define CORE_MARKER_MIN 7 /* the length of the shortest name */

/* The marker that a map's key is, or CORE_MARKERS. */
core_marker core_marker_of(const char *name, size_t len);

/* Names of map members that were read lately: most maps have the same few, and a name from here costs neither memory
 * nor its hash. Strings are not interned, because CPython 3.12 keeps interned ones for ever. */
#define CORE_NAME_MAX 40
#define CORE_NAME_SLOTS 1024u

/* What the module keeps for values, in the capsule core_state.values. */
typedef struct core_values {
    PyDateTime_CAPI *datetime_api;                   /* NULL: an interpreter whose datetime is not the C one */
    PyTypeObject    *temporal[CORE_MARKER_TEMPORAL]; /* datetime, date, time */
    PyObject        *marker_texts[CORE_MARKERS];     /* "__datetime__" and so on */
    PyObject        *value_text;                     /* "value" */
    PyObject        *frozen_text;                    /* "frozen" */
    PyObject        *isoformat;                      /* method names */
    PyObject        *fromisoformat;
    PyObject        *names[CORE_NAME_SLOTS]; /* str or NULL */
} core_values;

core_values *core_values_of(const core_state *state); /* NULL with an exception */

/* Serializer "auto", where these are given a hook; see core_encode_auto and core_decode_auto. */
/* Writes tuples, sets and UUIDs as marked maps. `hook` is called with every object that no document holds; it returns
 * one that a document holds, or raises TypeError. */
int core_encode_auto(core_state *state, ckit_writer *w, PyObject *object, PyObject *hook);
/* Reads marked maps, where the marker is exactly true. `hook` is called with every map that is marked as an array; it
 * returns the object. */
PyObject *core_decode_auto(core_state *state, ckit_slice document, PyObject *hook);

/* core_encode for core_encode_interop (interop.h), which makes its exceptions those of interop mode. */
int core_write_interop(core_state *state, ckit_writer *w, PyObject *object);

/* ---- dates and times (values_time.c) --------------------------------------------------------------------- */

/* CORE_MARKER_DATETIME, _DATE or _TIME for an instance of one (or of a subclass), else CORE_MARKERS. */
core_marker core_temporal_kind(const core_values *values, PyObject *object);
/* Writes such an instance. 1: written; 0: an instance of a subclass that would not come back as an equal object of the
 * standard type; -1: an exception. */
int core_write_temporal(const core_values *values, ckit_writer *w, core_marker kind, PyObject *object);
/* The object of an ISO 8601 text; NULL with an exception, ValueError when the text is none. */
PyObject *core_read_temporal(const core_values *values, core_marker kind, ckit_slice text);

#endif
