/* values_time.c - dates and times: Python's objects as the texts of a document, and back.
 *
 * Naive values and UTC are written and read here. Everything else (other zones, subclasses, an interpreter whose
 * datetime is not the C one) goes through isoformat() and fromisoformat(), so the text is always the one that Python
 * writes. */
#include "values_parts.h"

static bool is_kind(const core_values *values, core_marker kind, PyObject *object) {
    return PyObject_TypeCheck(object, values->temporal[kind]);
}

core_marker core_temporal_kind(const core_values *values, PyObject *object) {
    /* a datetime is a date too */
    for (core_marker kind = 0; kind < CORE_MARKER_TEMPORAL; kind++) {
        if (is_kind(values, kind, object)) {
            return kind;
        }
    }
    return CORE_MARKERS;
}

/* ---- writing --------------------------------------------------------------------------------------------- */

/* Whether the text of the zone is known without asking it. */
static bool plain_zone(const core_values *values, PyObject *zone, bool *has_offset) {
    *has_offset = zone != Py_None;
    return zone == Py_None || zone == values->datetime_api->TimeZone_UTC;
}

static bool write_datetime(const core_values *values, ckit_writer *w, PyObject *object) {
    ckit_datetime value = {
        .year = (uint16_t)PyDateTime_GET_YEAR(object),
        .month = (uint8_t)PyDateTime_GET_MONTH(object),
        .day = (uint8_t)PyDateTime_GET_DAY(object),
        .hour = (uint8_t)PyDateTime_DATE_GET_HOUR(object),
        .minute = (uint8_t)PyDateTime_DATE_GET_MINUTE(object),
        .second = (uint8_t)PyDateTime_DATE_GET_SECOND(object),
        .microsecond = (uint32_t)PyDateTime_DATE_GET_MICROSECOND(object),
    };
    PyDateTime_DateTime *datetime = (PyDateTime_DateTime *)object;
    if (!plain_zone(values, datetime->hastzinfo ? datetime->tzinfo : Py_None, &value.has_offset)) {
        return false;
    }
    ckit_write_datetime(w, &value);
    return true;
}

static bool write_date(ckit_writer *w, PyObject *object) {
    const ckit_date value = {
        .year = (uint16_t)PyDateTime_GET_YEAR(object),
        .month = (uint8_t)PyDateTime_GET_MONTH(object),
        .day = (uint8_t)PyDateTime_GET_DAY(object),
    };
    ckit_write_date(w, &value);
    return true;
}

static bool write_time(const core_values *values, ckit_writer *w, PyObject *object) {
    ckit_time value = {
        .hour = (uint8_t)PyDateTime_TIME_GET_HOUR(object),
        .minute = (uint8_t)PyDateTime_TIME_GET_MINUTE(object),
        .second = (uint8_t)PyDateTime_TIME_GET_SECOND(object),
        .microsecond = (uint32_t)PyDateTime_TIME_GET_MICROSECOND(object),
    };
    PyDateTime_Time *time = (PyDateTime_Time *)object;
    if (!plain_zone(values, time->hastzinfo ? time->tzinfo : Py_None, &value.has_offset)) {
        return false;
    }
    ckit_write_time(w, &value);
    return true;
}

/* false: not one of the simple cases. */
static bool write_plain(const core_values *values, ckit_writer *w, core_marker kind, PyObject *object) {
    if (values->datetime_api == NULL || Py_TYPE(object) != values->temporal[kind]) {
        return false;
    }
    switch (kind) {
    case CORE_MARKER_DATETIME: return write_datetime(values, w, object);
    case CORE_MARKER_DATE: return write_date(w, object);
    default: return write_time(values, w, object);
    }
}

/* 1: the standard type reads the text as an object equal to this one; 0: not; -1: an exception. */
static int comes_back(const core_values *values, core_marker kind, PyObject *object, PyObject *text) {
    PyObject *again = PyObject_CallMethodObjArgs((PyObject *)values->temporal[kind], values->fromisoformat, text, NULL);
    if (again == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ValueError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    const int equal = PyObject_RichCompareBool(again, object, Py_EQ);
    Py_DECREF(again);
    return equal;
}

int core_write_temporal(const core_values *values, ckit_writer *w, core_marker kind, PyObject *object) {
    if (write_plain(values, w, kind, object)) {
        return 1;
    }
    PyObject *text = PyObject_CallMethodObjArgs(object, values->isoformat, NULL);
    int       written = -1;
    if (text == NULL) {
        return -1;
    }
    Py_ssize_t  len = 0;
    const char *utf8 = PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &len) : NULL;
    if (utf8 == NULL) {
        written = PyErr_Occurred() ? -1 : 0;
        goto done;
    }
    written = Py_TYPE(object) == values->temporal[kind] ? 1 : comes_back(values, kind, object, text);
    if (written == 1) {
        ckit_write_map(w, 2);
        ckit_write_cstr(w, core_marker_names[kind]);
        ckit_write_bool(w, true);
        ckit_write_cstr(w, "value");
        ckit_write_str(w, ckit_slice_of(utf8, (size_t)len));
    }
done:
    Py_DECREF(text);
    return written;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

/* A new reference to the zone, or NULL with an exception. */
static PyObject *zone_of(const core_values *values, bool has_offset, int32_t offset_seconds) {
    const PyDateTime_CAPI *api = values->datetime_api;
    PyObject              *zone = has_offset ? api->TimeZone_UTC : Py_None;
    if (!has_offset || offset_seconds == 0) {
        Py_INCREF(zone);
        return zone;
    }
    /* days are whatever they come to: the last argument has them put right */
    PyObject *offset = api->Delta_FromDelta(0, offset_seconds, 0, 1, api->DeltaType);
    if (offset == NULL) {
        return NULL;
    }
    zone = api->TimeZone_FromTimeZone(offset, NULL);
    Py_DECREF(offset);
    return zone;
}

static PyObject *read_datetime(const core_values *values, const ckit_datetime *value) {
    const PyDateTime_CAPI *api = values->datetime_api;
    PyObject              *zone = zone_of(values, value->has_offset, value->offset_seconds);
    if (zone == NULL) {
        return NULL;
    }
    PyObject *object = api->DateTime_FromDateAndTime(value->year, value->month, value->day, value->hour, value->minute,
                                                     value->second, (int)value->microsecond, zone, api->DateTimeType);
    Py_DECREF(zone);
    return object;
}

static PyObject *read_time(const core_values *values, const ckit_time *value) {
    const PyDateTime_CAPI *api = values->datetime_api;
    PyObject              *zone = zone_of(values, value->has_offset, value->offset_seconds);
    if (zone == NULL) {
        return NULL;
    }
    PyObject *object =
        api->Time_FromTime(value->hour, value->minute, value->second, (int)value->microsecond, zone, api->TimeType);
    Py_DECREF(zone);
    return object;
}

static PyObject *read_generic(const core_values *values, core_marker kind, ckit_slice text) {
    PyObject *str = PyUnicode_DecodeUTF8((const char *)text.ptr, (Py_ssize_t)text.len, NULL);
    if (str == NULL) {
        return NULL;
    }
    PyObject *object = PyObject_CallMethodObjArgs((PyObject *)values->temporal[kind], values->fromisoformat, str, NULL);
    Py_DECREF(str);
    return object;
}

PyObject *core_read_temporal(const core_values *values, core_marker kind, ckit_slice text) {
    ckit_datetime datetime;
    ckit_date     date;
    ckit_time     time;
    if (values->datetime_api != NULL) {
        if (kind == CORE_MARKER_DATETIME && ckit_datetime_parse(text, &datetime, NULL) == CKIT_OK) {
            return read_datetime(values, &datetime);
        }
        if (kind == CORE_MARKER_DATE && ckit_date_parse(text, &date, NULL) == CKIT_OK) {
            return values->datetime_api->Date_FromDate(date.year, date.month, date.day, values->datetime_api->DateType);
        }
        if (kind == CORE_MARKER_TIME && ckit_time_parse(text, &time, NULL) == CKIT_OK) {
            return read_time(values, &time);
        }
    }
    return read_generic(values, kind, text);
}
