/* storage.c - stored forms as functions of the module: envelopes, frames and the checksum, for serializers written in
 * Python. The interpreter's lock is released while more than a few KiB are worked on. */
#include "core.h"

#include <xxhash.h>

#define LONG_WORK ((size_t)4096) /* bytes from which letting other threads run costs less than it gains */

static PyThreadState *release_lock(size_t bytes) { return bytes > LONG_WORK ? PyEval_SaveThread() : NULL; }

static void take_lock(PyThreadState *saved) {
    if (saved != NULL) {
        PyEval_RestoreThread(saved);
    }
}

static ckit_slice slice_of(const Py_buffer *view) { return ckit_slice_of(view->buf, (size_t)view->len); }

static PyObject *bytes_of(ckit_slice slice) {
    return PyBytes_FromStringAndSize((const char *)slice.ptr, (Py_ssize_t)slice.len);
}

/* UTF-8 that lives as long as `text` does; NULL with an exception. */
static bool text_slice(PyObject *text, ckit_slice *slice) {
    Py_ssize_t  len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    *slice = ckit_slice_of(utf8, utf8 == NULL ? 0 : (size_t)len);
    return utf8 != NULL;
}

/* ---- envelope -------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(envelope_store_doc,
             "envelope_store(data, format='msgpack', level=0)\n--\n\n"
             "The bytes-like data in a ByteStorage envelope: compressed (LZ4) and with a checksum.\n\n"
             "level: 1 (fastest) to 9 (smallest), 0 for the default, -1 for no compression.");

static PyObject *envelope_store(PyObject *module, PyObject *args, PyObject *keywords) {
    static const char *const names[] = {"data", "format", "level", NULL};
    Py_buffer                data;
    const char              *format = "msgpack";
    Py_ssize_t               format_len = 7;
    ckit_envelope_options    options = CKIT_ENVELOPE_OPTIONS_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "y*|s#i:envelope_store", (char **)names, &data, &format,
                                     &format_len, &options.compression_level)) {
        return NULL;
    }
    ckit_buf          out = CKIT_BUF_INIT;
    ckit_error        err = CKIT_ERROR_INIT;
    PyThreadState    *saved = release_lock((size_t)data.len);
    const ckit_status st =
        ckit_envelope_store(slice_of(&data), ckit_slice_of(format, (size_t)format_len), &options, &out, &err);
    take_lock(saved);
    PyBuffer_Release(&data);
    PyObject *envelope = st == CKIT_OK ? bytes_of(ckit_buf_slice(&out)) : core_raise(core_state_of(module), &err);
    ckit_buf_fini(&out);
    return envelope;
}

PyDoc_STRVAR(envelope_open_doc, "envelope_open(envelope)\n--\n\n"
                                "The content and the format of an envelope, checked: (bytes, str).");

static PyObject *envelope_open(PyObject *module, PyObject *envelope) {
    Py_buffer view;
    if (PyObject_GetBuffer(envelope, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    ckit_buf          content = CKIT_BUF_INIT;
    ckit_slice        format;
    ckit_error        err = CKIT_ERROR_INIT;
    PyObject         *result = NULL;
    PyThreadState    *saved = release_lock((size_t)view.len);
    const ckit_status st = ckit_envelope_open(slice_of(&view), NULL, &content, &format, &err);
    take_lock(saved);
    if (st == CKIT_OK) {
        result = Py_BuildValue("(NN)", bytes_of(ckit_buf_slice(&content)),
                               PyUnicode_DecodeUTF8((const char *)format.ptr, (Py_ssize_t)format.len, NULL));
    } else {
        core_raise(core_state_of(module), &err);
    }
    PyBuffer_Release(&view);
    ckit_buf_fini(&content);
    return result;
}

/* ---- checksum -------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(checksum_doc, "checksum(data)\n--\n\n"
                           "XXH3-64 of the bytes-like data: eight bytes, most significant first.");

static PyObject *checksum(PyObject *module, PyObject *data) {
    Py_buffer view;
    (void)module;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyThreadState *saved = release_lock((size_t)view.len);
    const uint64_t hash = XXH3_64bits(view.buf, (size_t)view.len);
    take_lock(saved);
    PyBuffer_Release(&view);
    char bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(hash >> (56 - 8 * i));
    }
    return PyBytes_FromStringAndSize(bytes, sizeof bytes);
}

/* ---- writing frames -------------------------------------------------------------------------------------- */

PyDoc_STRVAR(frame_write_doc,
             "frame_write(payload, *, serializer, format, encoding='utf-8', compressed=False, original_type=None,\n"
             "            encrypted=False, tenant_id=None, encryption_algorithm=None, key_fingerprint=None)\n--\n\n"
             "The stored form of a payload (bytes-like): the \"CK\" frame that says how to read it.\n\n"
             "The last four describe a payload that is encrypted already.");

/* None is an empty slice. */
static bool optional_slice(PyObject *text, ckit_slice *slice) {
    *slice = (ckit_slice){NULL, 0};
    if (text == NULL || text == Py_None) {
        return true;
    }
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "a frame's fields are text, not %s", Py_TYPE(text)->tp_name);
        return false;
    }
    return text_slice(text, slice);
}

static PyObject *put_frame(core_state *state, const ckit_frame *header, ckit_slice payload) {
    ckit_buf   head = CKIT_BUF_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    PyObject  *stored = NULL;
    if (ckit_frame_write(header, &head, &err) != CKIT_OK) {
        core_raise(state, &err);
    } else if (payload.len > (size_t)PY_SSIZE_T_MAX - head.len) {
        PyErr_NoMemory();
    } else {
        stored = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(head.len + payload.len));
    }
    if (stored != NULL) {
        uint8_t       *to = (uint8_t *)PyBytes_AS_STRING(stored);
        PyThreadState *saved = release_lock(payload.len / 16); /* copying is quick */
        memcpy(to, head.ptr, head.len);
        if (payload.len > 0) {
            memcpy(to + head.len, payload.ptr, payload.len);
        }
        take_lock(saved);
    }
    ckit_buf_fini(&head);
    return stored;
}

static PyObject *frame_write(PyObject *module, PyObject *args, PyObject *keywords) {
    static const char *const names[] = {
        "payload",   "serializer",           "format",          "encoding", "compressed", "original_type", "encrypted",
        "tenant_id", "encryption_algorithm", "key_fingerprint", NULL};
    Py_buffer payload;
    int       compressed = 0, encrypted = 0;
    PyObject *serializer = NULL, *format = NULL, *encoding = NULL, *type = NULL;
    PyObject *tenant = NULL, *algorithm = NULL, *fingerprint = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "y*|$OOOpOpOOO:frame_write", (char **)names, &payload, &serializer,
                                     &format, &encoding, &compressed, &type, &encrypted, &tenant, &algorithm,
                                     &fingerprint)) {
        return NULL;
    }
    ckit_frame frame = {.compressed = compressed != 0,
                        .encrypted = encrypted != 0,
                        .has_original_type = type != NULL && type != Py_None};
    PyObject  *stored = NULL;
    if (optional_slice(serializer, &frame.serializer) && optional_slice(format, &frame.format) &&
        optional_slice(encoding, &frame.encoding) && optional_slice(type, &frame.original_type) &&
        optional_slice(tenant, &frame.tenant_id) && optional_slice(algorithm, &frame.encryption_algorithm) &&
        optional_slice(fingerprint, &frame.key_fingerprint)) {
        stored = put_frame(core_state_of(module), &frame, slice_of(&payload));
    }
    PyBuffer_Release(&payload);
    return stored;
}

/* ---- reading frames -------------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    frame_parse_doc,
    "frame_parse(stored)\n--\n\n"
    "The fields of a stored value's frame (a dict with the names of frame_write's keywords, and 'legacy') and\n"
    "the payload: a memoryview of `stored`, or bytes for the text form of old versions.\n\n"
    "Raises CachekitError. Its attribute `verdict` says what to do with the entry: 'malformed' (not a frame we\n"
    "know: keep it), 'corrupt' or 'suspicious' (delete it), 'undecided'.");

/* The exception that is set gets the verdict as an attribute. */
static PyObject *add_verdict(ckit_frame_verdict verdict) {
    static const char *const names[] = {"readable", "malformed", "corrupt", "suspicious", "undecided"};
    PyObject                *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *name = PyUnicode_FromString(names[verdict]);
    if (name == NULL || PyObject_SetAttrString(value, "verdict", name) < 0) {
        PyErr_Clear(); /* what went wrong first is what matters */
    }
    Py_XDECREF(name);
    PyErr_Restore(type, value, traceback);
    return NULL;
}

static int put_text(PyObject *fields, const char *name, ckit_slice text, bool present) {
    PyObject *value = Py_None;
    if (present) {
        value = PyUnicode_DecodeUTF8((const char *)text.ptr, (Py_ssize_t)text.len, NULL);
        if (value == NULL) {
            return -1;
        }
    } else {
        Py_INCREF(value);
    }
    const int result = PyDict_SetItemString(fields, name, value);
    Py_DECREF(value);
    return result;
}

static int put_flag(PyObject *fields, const char *name, bool value) {
    return PyDict_SetItemString(fields, name, value ? Py_True : Py_False);
}

static PyObject *fields_of(const ckit_frame *frame) {
    PyObject *fields = PyDict_New();
    if (fields == NULL) {
        return NULL;
    }
    const ckit_slice encoding = frame->encoding.len > 0 ? frame->encoding : ckit_slice_of("utf-8", 5);
    if (put_text(fields, "serializer", frame->serializer, frame->serializer.len > 0) < 0 ||
        put_text(fields, "format", frame->format, true) < 0 || put_text(fields, "encoding", encoding, true) < 0 ||
        put_flag(fields, "compressed", frame->compressed) < 0 ||
        put_text(fields, "original_type", frame->original_type, frame->has_original_type) < 0 ||
        put_flag(fields, "encrypted", frame->encrypted) < 0 ||
        put_text(fields, "tenant_id", frame->tenant_id, frame->tenant_id.len > 0) < 0 ||
        put_text(fields, "encryption_algorithm", frame->encryption_algorithm, frame->encryption_algorithm.len > 0) <
            0 ||
        put_text(fields, "key_fingerprint", frame->key_fingerprint, frame->key_fingerprint.len > 0) < 0 ||
        put_flag(fields, "legacy", frame->legacy) < 0) {
        Py_CLEAR(fields);
    }
    return fields;
}

/* The payload behind a frame's header is the end of the stored value. */
static PyObject *payload_of(const ckit_frame *frame, PyObject *stored, Py_ssize_t len) {
    if (frame->legacy) {
        return bytes_of(frame->payload);
    }
    PyObject *whole = PyMemoryView_FromObject(stored);
    PyObject *bytes = whole == NULL ? NULL : PyObject_CallMethod(whole, "cast", "s", "B");
    PyObject *payload = bytes == NULL ? NULL : PySequence_GetSlice(bytes, len - (Py_ssize_t)frame->payload.len, len);
    Py_XDECREF(whole);
    Py_XDECREF(bytes);
    return payload;
}

static PyObject *frame_parse(PyObject *module, PyObject *stored) {
    Py_buffer view;
    if (PyObject_GetBuffer(stored, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    ckit_buf   scratch = CKIT_BUF_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_frame frame;
    PyObject  *result = NULL;
    if (ckit_frame_parse(slice_of(&view), &frame, &scratch, &err) != CKIT_OK) {
        core_raise(core_state_of(module), &err);
        add_verdict(frame.verdict);
    } else {
        PyObject *fields = fields_of(&frame);
        PyObject *payload = fields == NULL ? NULL : payload_of(&frame, stored, view.len);
        result = payload == NULL ? NULL : PyTuple_Pack(2, fields, payload);
        Py_XDECREF(fields);
        Py_XDECREF(payload);
    }
    ckit_buf_fini(&scratch);
    PyBuffer_Release(&view);
    return result;
}

/* CPython's table of methods holds functions of every shape as one type. */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef methods[] = {
    {"envelope_store", METHOD(envelope_store), METH_VARARGS | METH_KEYWORDS, envelope_store_doc},
    {"envelope_open", envelope_open, METH_O, envelope_open_doc},
    {"checksum", checksum, METH_O, checksum_doc},
    {"frame_write", METHOD(frame_write), METH_VARARGS | METH_KEYWORDS, frame_write_doc},
    {"frame_parse", frame_parse, METH_O, frame_parse_doc},
    {NULL, NULL, 0, NULL}};

int core_storage_exec(PyObject *module) { return PyModule_AddFunctions(module, methods); }
