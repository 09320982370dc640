/* args_array.c - numpy arrays as arguments, by the buffer protocol: numpy is neither linked nor imported. */
#include "args_pack.h"

#include <string.h>

/* From this size on other threads may run while an array is hashed. */
#define UNLOCKED_BYTES 8192

/* numpy's own type has the module in its C name; a class of that name written in Python has not. */
int is_numpy_array(PyObject *object) { return strcmp(Py_TYPE(object)->tp_name, "numpy.ndarray") == 0; }

static uint8_t *refuse_elements(const packer *p) {
    return refuse(p, PyExc_TypeError,
                  "a numpy array of another element type than int32, int64, float32 and float64; convert it with "
                  "value.astype(), or name the entry with key=");
}

/* Limits first and in this order, which is part of the format. Whether it can be part of a key. */
static int check_array(packer *p, const Py_buffer *view) {
    if (view->len > CKIT_ARGS_VECTOR_MAX_BYTES) {
        (void)refuse(p, PyExc_TypeError,
                     "a numpy array of more than %d bytes; pass an identifier of it, or name the entry with key=",
                     CKIT_ARGS_VECTOR_MAX_BYTES);
        return 0;
    }
    p->array_bytes += view->len;
    if (p->array_bytes > CKIT_ARGS_VECTORS_MAX_BYTES) {
        (void)refuse(p, PyExc_TypeError, "numpy arrays of more than %d bytes in one call; name the entry with key=",
                     CKIT_ARGS_VECTORS_MAX_BYTES);
        return 0;
    }
    if (view->ndim != 1) {
        (void)refuse(p, PyExc_TypeError,
                     "a numpy array of %d dimensions where one is wanted; pass value.ravel() and value.shape, or name "
                     "the entry with key=",
                     view->ndim);
    }
    return view->ndim == 1;
}

/* What the buffer's format says (module struct of Python): an optional byte order and the kind of the elements. */
static int element_type(const Py_buffer *view, ckit_vector_type *type, int *swapped) {
    const char *format = view->format == NULL ? "B" : view->format;
    *swapped = 0;
    if (*format != '\0' && strchr("@=<>!", *format) != NULL) {
        *swapped = PY_LITTLE_ENDIAN ? *format == '>' || *format == '!' : *format == '<';
        format++;
    }
    if (strlen(format) != 1) {
        return -1;
    }
    const int whole = strchr("ilqn", *format) != NULL;
    if (whole && view->itemsize == 4) {
        *type = CKIT_VECTOR_I32;
    } else if (whole && view->itemsize == 8) {
        *type = CKIT_VECTOR_I64;
    } else if (*format == 'f' && view->itemsize == 4) {
        *type = CKIT_VECTOR_F32;
    } else if (*format == 'd' && view->itemsize == 8) {
        *type = CKIT_VECTOR_F64;
    } else {
        return -1;
    }
    return 0;
}

/* One element after the other, in the machine's byte order. */
static void straighten(uint8_t *out, const Py_buffer *view, int swapped) {
    const Py_ssize_t size = view->itemsize, count = view->shape[0];
    const char      *from = view->buf;
    for (Py_ssize_t i = 0; i < count; i++, out += size, from += view->strides[0]) {
        memcpy(out, from, (size_t)size);
        for (Py_ssize_t j = 0; swapped && j < size / 2; j++) {
            const uint8_t other = out[j];
            out[j] = out[size - 1 - j];
            out[size - 1 - j] = other;
        }
    }
}

static uint8_t *pack_view(packer *p, uint8_t *at, const Py_buffer *view) {
    ckit_vector_type type;
    int              swapped;
    if (!check_array(p, view)) {
        return NULL;
    }
    if (element_type(view, &type, &swapped) < 0) {
        return refuse_elements(p);
    }
    const void  *elements = view->buf;
    const size_t count = (size_t)view->shape[0];
    uint8_t     *copy = NULL;
    if (swapped || view->strides[0] != view->itemsize) {
        copy = PyMem_Malloc((size_t)view->len + 1);
        if (copy == NULL) {
            return (uint8_t *)PyErr_NoMemory();
        }
        straighten(copy, view, swapped);
        elements = copy;
    }
    ckit_args one;
    ckit_args_init(&one);
    if (view->len >= UNLOCKED_BYTES) {
        Py_BEGIN_ALLOW_THREADS;
        ckit_args_vector(&one, type, elements, count);
        Py_END_ALLOW_THREADS;
    } else {
        ckit_args_vector(&one, type, elements, count);
    }
    PyMem_Free(copy);
    return pack_encoded(p, at, &one);
}

uint8_t *pack_numpy_array(packer *p, uint8_t *at, PyObject *array) {
    Py_buffer view;
    if (PyObject_GetBuffer(array, &view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_BufferError) &&
            !PyErr_ExceptionMatches(PyExc_TypeError)) {
            return NULL;
        }
        PyErr_Clear(); /* dates, for example, have no form as a buffer */
        return refuse_elements(p);
    }
    at = pack_view(p, at, &view);
    PyBuffer_Release(&view);
    return at;
}
