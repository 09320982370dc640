#include "tour_digest.h"

#include <errno.h>
#include <fcntl.h>
#include <lz4hc.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVEL 9 /* of LZ4's high compression: slow, as real work is */

static const char where[] = "digest";

/* What the arguments say about the file. */
typedef struct subject {
    char     path[4096];
    uint64_t size;
    int64_t  mtime_ns;
} subject;

static ckit_status read_arguments(const ckit_args *args, subject *s, ckit_error *err) {
    ckit_reader r;
    ckit_args_positional(args, &r);
    ckit_slice path = ckit_read_bin(&r);
    s->size = ckit_read_uint(&r);
    s->mtime_ns = ckit_read_int(&r);
    ckit_status st = ckit_reader_finish(&r, err);
    if (st == CKIT_OK && path.len >= sizeof s->path) {
        st = ckit_fail(err, CKIT_E_FUNCTION, where, "a path of %zu bytes", path.len);
    }
    if (st == CKIT_OK) {
        memcpy(s->path, path.ptr, path.len);
        s->path[path.len] = '\0';
    }
    return st;
}

/* Reads exactly `size` bytes. */
static ckit_status read_all(int fd, uint8_t *to, size_t size, ckit_error *err) {
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, to + done, size - done);
        if (got > 0) {
            done += (size_t)got;
        } else if (got == 0) {
            return ckit_fail(err, CKIT_E_FUNCTION, where, "the file became shorter");
        } else if (errno != EINTR) {
            return ckit_fail_errno(err, CKIT_E_FUNCTION, errno, where, "cannot read");
        }
    }
    return CKIT_OK;
}

/* The file's bytes, to be freed; NULL with `err` filled. */
static uint8_t *load_file(const subject *s, ckit_error *err) {
    struct stat now;
    uint8_t    *bytes = NULL;
    int         fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &now) != 0) {
        ckit_fail_errno(err, CKIT_E_FUNCTION, errno, where, "cannot open the file");
    } else if ((uint64_t)now.st_size != s->size ||
               (int64_t)now.st_mtim.tv_sec * 1000000000 + now.st_mtim.tv_nsec != s->mtime_ns) {
        ckit_fail(err, CKIT_E_FUNCTION, where, "the file has changed");
    } else if ((bytes = malloc(s->size + 1)) == NULL) { /* malloc(0) may give NULL */
        ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for %llu bytes", (unsigned long long)s->size);
    } else if (read_all(fd, bytes, s->size, err) != CKIT_OK) {
        free(bytes);
        bytes = NULL;
    }
    if (fd >= 0) {
        close(fd);
    }
    return bytes;
}

static void count(const uint8_t *bytes, size_t size, uint64_t *lines, uint64_t *words) {
    bool inside = false;
    *lines = *words = 0;
    for (size_t i = 0; i < size; i++) {
        bool blank = bytes[i] == ' ' || (bytes[i] >= '\t' && bytes[i] <= '\r');
        *lines += bytes[i] == '\n';
        *words += !blank && !inside;
        inside = !blank;
    }
}

/* How many bytes it comes to. */
static ckit_status compress(const uint8_t *bytes, size_t size, uint64_t *compressed, ckit_error *err) {
    int   bound = LZ4_compressBound((int)size);
    char *to = malloc((size_t)bound);
    if (to == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for %d bytes", bound);
    }
    int len = LZ4_compress_HC((const char *)bytes, to, (int)size, bound, LEVEL);
    free(to);
    *compressed = (uint64_t)len;
    return len > 0 ? CKIT_OK : ckit_fail(err, CKIT_E_FUNCTION, where, "cannot compress %zu bytes", size);
}

static void write_number(ckit_writer *w, const char *name, uint64_t number) {
    ckit_write_cstr(w, name);
    ckit_write_uint(w, number);
}

ckit_status tour_digest(void *context, ckit_load *load, ckit_error *err) {
    subject  s;
    uint8_t  hash[crypto_generichash_BYTES];
    uint64_t lines;
    uint64_t words;
    uint64_t compressed = 0;
    (void)context;
    ckit_status st = read_arguments(load->args, &s, err);
    if (st != CKIT_OK) {
        return st;
    }
    uint8_t *bytes = load_file(&s, err);
    if (bytes == NULL) {
        return err->status; /* a loader is always given a record */
    }
    crypto_generichash(hash, sizeof hash, bytes, s.size, NULL, 0);
    count(bytes, s.size, &lines, &words);
    st = compress(bytes, s.size, &compressed, err);
    free(bytes);

    ckit_write_map(load->result, 5);
    write_number(load->result, "bytes", s.size);
    write_number(load->result, "lines", lines);
    write_number(load->result, "words", words);
    ckit_write_cstr(load->result, "blake2b");
    ckit_write_bin(load->result, ckit_slice_of(hash, sizeof hash));
    write_number(load->result, "compressed", compressed);
    return st;
}
