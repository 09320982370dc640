/* values.c - arguments, keys and documents without a cache: what can be an argument, what a key looks like, and how a
 * value with dates in it is written and read. The pieces between the rulers stand in docs/values-and-keys.md. */
#include <cachekit/cachekit.h>
#include <stdio.h>
#include <string.h>

/* ---- arguments ------------------------------------------------------------------------------------------- */

static void give_report_arguments(ckit_args *args) {
    ckit_args_int(args, 42); /* f(42, "monthly", [1.5, None], since=..., options={...}) */
    ckit_args_cstr(args, "monthly");
    ckit_args_array(args, 2); /* the next two values are its elements */
    ckit_args_double(args, 1.5);
    ckit_args_nil(args);

    ckit_args_keyword(args, ckit_slice_str("since"));
    ckit_args_datetime(args, &(ckit_datetime){.year = 2024, .month = 1, .day = 15, .has_offset = true});

    ckit_args_keyword(args, ckit_slice_str("options"));
    ckit_args_map(args, 2); /* two pairs, in any order */
    ckit_args_cstr(args, "format");
    ckit_args_cstr(args, "pdf");
    ckit_args_cstr(args, "draft");
    ckit_args_bool(args, false);
}

/* ---- the key --------------------------------------------------------------------------------------------- */

static ckit_status print_key(ckit_args *args, ckit_error *err) {
    const ckit_key_spec spec = {.namespace_name = ckit_slice_str("reports"),
                                .function = ckit_slice_str("app.reports.render"),
                                .integrity = true};
    ckit_buf            key = CKIT_BUF_INIT;
    ckit_slice          packed;
    ckit_status         st = ckit_args_pack(args, &packed, err);
    if (st == CKIT_OK) {
        st = ckit_key_automatic(&spec, packed, &key, err);
    }
    if (st == CKIT_OK) {
        printf("%.*s\n", (int)key.len, (const char *)key.ptr);
    }
    ckit_buf_fini(&key);
    return st;
}

/* ---- arguments read back --------------------------------------------------------------------------------- */

static ckit_status read_arguments(const ckit_args *args, int64_t *id, ckit_slice *period, ckit_slice *since) {
    ckit_reader r;
    *since = ckit_slice_str("the beginning");
    if (ckit_args_find_keyword(args, ckit_slice_str("since"), &r)) {
        *since = ckit_read_str(&r); /* the text that the key counts: 2024-01-15T00:00:00+00:00 */
    }
    ckit_args_positional(args, &r);
    *id = ckit_read_int(&r);
    *period = ckit_read_str(&r);
    ckit_read_skip(&r);
    return ckit_reader_finish(&r, NULL);
}

/* ---- a document written ---------------------------------------------------------------------------------- */

static ckit_status write_report(ckit_buf *document, ckit_error *err) {
    const ckit_date     day = {2025, 11, 14};
    const ckit_datetime made = {.year = 2025, .month = 11, .day = 14, .hour = 10, .minute = 30};
    ckit_writer         w;
    ckit_writer_init(&w, document);
    ckit_write_map(&w, 3);
    ckit_write_cstr(&w, "pages");
    ckit_write_uint(&w, 12);
    ckit_write_cstr(&w, "day");
    ckit_write_date(&w, &day);
    ckit_write_cstr(&w, "made");
    ckit_write_datetime(&w, &made);
    return ckit_writer_finish(&w, err); /* the first failure of all of the above */
}

/* ---- a document read ------------------------------------------------------------------------------------- */

static ckit_status read_report(ckit_slice document, uint64_t *pages, ckit_datetime *made, ckit_error *err) {
    ckit_reader r;
    ckit_reader_init(&r, document);
    for (uint32_t left = ckit_read_map(&r); left > 0; left--) {
        const ckit_slice name = ckit_read_str(&r);
        if (ckit_slice_equal(name, ckit_slice_str("pages"))) {
            *pages = ckit_read_uint(&r);
        } else if (ckit_document_peek(&r) == CKIT_TYPE_DATETIME) {
            ckit_read_datetime(&r, made);
        } else {
            ckit_read_skip(&r);
        }
    }
    return ckit_reader_finish(&r, err);
}

/* ---- all of it ------------------------------------------------------------------------------------------- */

static ckit_status tell_arguments(ckit_error *err) {
    ckit_args  args;
    int64_t    id;
    ckit_slice period, since;
    ckit_args_init(&args);
    give_report_arguments(&args);
    ckit_status st = print_key(&args, err);
    if (st == CKIT_OK) {
        st = read_arguments(&args, &id, &period, &since);
    }
    if (st == CKIT_OK) {
        printf("report %lld, %.*s, since %.*s\n", (long long)id, (int)period.len, (const char *)period.ptr,
               (int)since.len, (const char *)since.ptr);
        st = id == 42 && ckit_slice_equal(since, ckit_slice_str("2024-01-15T00:00:00+00:00")) ? CKIT_OK : CKIT_E_DECODE;
    }
    ckit_args_fini(&args);
    return st;
}

static ckit_status tell_document(ckit_error *err) {
    ckit_buf      document = CKIT_BUF_INIT;
    uint64_t      pages = 0;
    ckit_datetime made = {0};
    char          text[CKIT_TEMPORAL_TEXT];
    ckit_status   st = write_report(&document, err);
    if (st == CKIT_OK) {
        st = read_report(ckit_buf_slice(&document), &pages, &made, err);
    }
    if (st == CKIT_OK) {
        (void)ckit_datetime_text(&made, text);
        printf("%llu pages, made %s, %zu bytes\n", (unsigned long long)pages, text, document.len);
        st = pages == 12 && strcmp(text, "2025-11-14T10:30:00") == 0 ? CKIT_OK : CKIT_E_DECODE;
    }
    ckit_buf_fini(&document);
    return st;
}

int main(void) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = tell_arguments(&err);
    if (st == CKIT_OK) {
        st = tell_document(&err);
    }
    if (st != CKIT_OK) {
        fprintf(stderr, "%s %s: %s\n", ckit_status_name(st), err.where, err.text);
    }
    return st == CKIT_OK ? 0 : 1;
}
