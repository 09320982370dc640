/* From JSON to a document: see document_json.h. */
#include "support/document_json.h"
#include "support/json_look.h"

#include <cachekit/buf.h>
#include <cachekit/envelope.h>
#include <cachekit/msgpack.h>
#include <json-c/json.h>

/* As deep as the look lets it. */
static void write_value(ckit_writer *w, json_object *value) {
    switch (json_object_get_type(value)) {
    case json_type_null: ckit_write_nil(w); break;
    case json_type_boolean: ckit_write_bool(w, json_object_get_boolean(value)); break;
    case json_type_double: ckit_write_double(w, json_object_get_double(value)); break;
    case json_type_string:
        ckit_write_str(w, ckit_slice_of(json_object_get_string(value), (size_t)json_object_get_string_len(value)));
        break;
    case json_type_int:
        if (json_object_get_int64(value) < 0) {
            ckit_write_int(w, json_object_get_int64(value));
        } else {
            ckit_write_uint(w, json_object_get_uint64(value));
        }
        break;
    case json_type_array:
        ckit_write_array(w, (uint32_t)json_object_array_length(value));
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            write_value(w, json_object_array_get_idx(value, i));
        }
        break;
    case json_type_object:
        ckit_write_map(w, (uint32_t)json_object_object_length(value));
        struct json_object_iterator end = json_object_iter_end(value);
        for (struct json_object_iterator i = json_object_iter_begin(value); !json_object_iter_equal(&i, &end);
             json_object_iter_next(&i)) {
            ckit_write_cstr(w, json_object_iter_peek_name(&i));
            write_value(w, json_object_iter_peek_value(&i));
        }
    }
}

static void stop(json_look *l, ckit_status status, const uint8_t *at, const char *why) {
    l->status = status;
    l->at = at;
    l->why = why;
}

/* Reads up to where `l` stopped, and leaves the first mistake in it. */
static void parse(json_look *l, const uint8_t *begin, json_object **root) {
    size_t        length = (size_t)(l->at - begin);
    json_tokener *tokener = json_tokener_new_ex(CKIT_MSGPACK_MAX_DEPTH + 1); /* plain values count as a level */
    if (tokener == NULL) {
        stop(l, CKIT_E_NO_MEMORY, begin, "");
        return;
    }
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    *root = json_tokener_parse_ex(tokener, (const char *)begin, (int)length);
    size_t end = json_tokener_get_parse_end(tokener);
    if (json_tokener_get_error(tokener) == json_tokener_continue && l->status == CKIT_OK) {
        *root = json_tokener_parse_ex(tokener, "", 1); /* the zero byte ends a number */
        end = length;
    }
    enum json_tokener_error error = json_tokener_get_error(tokener);
    while (error == json_tokener_success && end < length && memchr(" \t\r\n", begin[end], 4) != NULL) {
        end++;
    }
    if (error == json_tokener_success && (end < length || l->status != CKIT_OK)) {
        stop(l, CKIT_E_MISUSE, begin + end, "more text behind the value");
    } else if (error != json_tokener_success && error != json_tokener_continue) {
        stop(l, CKIT_E_MISUSE, begin + end, json_tokener_error_desc(error));
    }
    if (l->status == CKIT_OK && *root == NULL && memchr(begin, 'n', length) == NULL) {
        stop(l, CKIT_E_NO_MEMORY, begin, ""); /* NULL means null, but also this */
    }
    json_tokener_free(tokener);
}

static ckit_status tell(const json_look *l, const uint8_t *begin, ckit_error *err) {
    size_t line = 1, column = 1;
    if (l->status == CKIT_E_NO_MEMORY) {
        return ckit_fail(err, l->status, "json", "no memory for a text of JSON");
    }
    for (const uint8_t *at = begin; at < l->at; at++) {
        column = *at == '\n' ? 1 : column + 1;
        line += *at == '\n';
    }
    return ckit_fail(err, l->status, "json", "%s at line %zu, byte %zu: %s",
                     l->status == CKIT_E_MISUSE ? "not JSON" : "JSON", line, column, l->why);
}

ckit_status cli_document_from_json(ckit_slice text, ckit_buf *out, ckit_error *err) {
    const uint8_t *begin = text.len == 0 ? (const uint8_t *)"" : text.ptr;
    json_look      l = {.at = begin, .end = begin + text.len};
    json_object   *root = NULL;
    ckit_writer    w;
    if (text.len > CKIT_ENVELOPE_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, "json", "a text of %zu bytes, limit %llu", text.len,
                         (unsigned long long)CKIT_ENVELOPE_MAX_BYTES);
    }
    cli_json_look(&l);
    if (l.status != CKIT_E_TOO_LARGE) {
        parse(&l, begin, &root);
    }
    ckit_status st = l.status == CKIT_OK ? CKIT_OK : tell(&l, begin, err);
    if (st == CKIT_OK && out != NULL) {
        ckit_writer_init(&w, out);
        write_value(&w, root);
        st = ckit_writer_finish(&w, err);
    }
    json_object_put(root);
    return st;
}
