#include "holder.h"

#include "base/hash.h"
#include "bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_TIME_NAMESPACE UINT64_C(0xeffffffa) /* its inode, fixed in the kernel */

/* ---- reading /proc ----------------------------------------------------------------------------------------------- */

/* At most `size` bytes of a file; 0 when it cannot be read. */
static size_t read_text(const char *path, char *text, size_t size) {
    int    fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    while (fd >= 0 && len < size) {
        ssize_t got = read(fd, text + len, size - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            len = got < 0 ? 0 : len;
            break;
        }
        len += (size_t)got;
    }
    if (fd >= 0) {
        close(fd);
    }
    return len;
}

void ckiti_file_boot_id(uint8_t id[16]) {
    char   text[40];
    size_t len = read_text("/proc/sys/kernel/random/boot_id", text, sizeof text);
    memset(id, 0, 16);
    if (len == 0) {
        return;
    }
    ckiti_blake2b(id, 16, (ckit_slice){(const uint8_t *)text, len});
    struct stat times; /* absent before Linux 5.6, which has one for all */
    if (stat("/proc/self/ns/time", &times) == 0 && times.st_ino != FIRST_TIME_NAMESPACE) {
        put_u64(id, get_u64(id) ^ times.st_ino);
    }
}

/* A number that ends with a space. */
static bool take_number(const char **at, const char *end, uint64_t *out) {
    const char *p = *at;
    *out = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (*out > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *out = *out * 10 + digit;
    }
    if (p == *at || p == end || *p != ' ') {
        return false;
    }
    *at = p + 1;
    return true;
}

static bool skip_fields(const char **at, const char *end, int count) {
    for (; count > 0; count--) {
        const char *space = memchr(*at, ' ', (size_t)(end - *at));
        if (space == NULL) {
            return false;
        }
        *at = space + 1;
    }
    return true;
}

bool ckiti_file_process_parse(ckit_slice line, ckiti_file_process *out) {
    if (line.len == 0) {
        return false;
    }
    const char *text = (const char *)line.ptr;
    const char *end = text + line.len;
    /* The name may hold spaces and parentheses, but nothing behind it does: it ends at the last one. */
    const char *at = memrchr(text, ')', line.len);
    if (at == NULL || end - at < 4 || at[1] != ' ' || at[3] != ' ') {
        return false;
    }
    out->state = at[2]; /* field 3 */
    at += 4;
    return skip_fields(&at, end, 16) && take_number(&at, end, &out->threads) && skip_fields(&at, end, 1) &&
           take_number(&at, end, &out->start_ticks);
}

static bool look_at(const char *path, ckiti_file_process *out) {
    char   text[1024]; /* the first 22 fields take half of it at most */
    size_t len = read_text(path, text, sizeof text);
    return ckiti_file_process_parse((ckit_slice){(const uint8_t *)text, len}, out);
}

/* Where /proc was mounted by a namespace around ours, its numbers are not ours. This line has one number for each
 * namespace from that of the mount down to the process. */
static bool proc_counts_as_we_do(void) {
    static const char mark[] = "\nNSpid:\t";
    char              text[4096];
    size_t            len = read_text("/proc/self/status", text, sizeof text);
    const char       *found = memmem(text, len, mark, sizeof mark - 1);
    if (found == NULL) {
        return false;
    }
    const char *at = found + sizeof mark - 1;
    while (at < text + len && *at >= '0' && *at <= '9') {
        at++;
    }
    return at < text + len && *at == '\n';
}

/* ---- the place and the process ----------------------------------------------------------------------------------- */

static bool read_place(uint8_t out[CKITI_FILE_PLACE_BYTES]) {
    static const uint8_t unknown[16];
    struct stat          pids;
    if (stat("/proc/self/ns/pid", &pids) != 0) {
        return false;
    }
    ckiti_file_boot_id(out);
    put_u64(out + 16, pids.st_dev);
    put_u64(out + 24, pids.st_ino);
    return memcmp(out, unknown, sizeof unknown) != 0;
}

void ckiti_file_holder_self(ckiti_file_holder *out) {
    ckiti_file_process self;
    *out = (ckiti_file_holder){.pid = (uint64_t)getpid()};
    if (!read_place(out->place) || !look_at("/proc/self/stat", &self)) {
        *out = (ckiti_file_holder){.pid = 0};
        return;
    }
    out->start_ticks = self.start_ticks;
}

bool ckiti_file_holder_is_dead(const ckiti_file_holder *holder) {
    uint8_t here[CKITI_FILE_PLACE_BYTES];
    if (holder->pid == 0 || holder->pid > INT32_MAX || !read_place(here) ||
        memcmp(here, holder->place, sizeof here) != 0) {
        return false;
    }
    /* Asked of the kernel and not of /proc, which may hide the processes of others or be that of another namespace. */
    if (kill((pid_t)holder->pid, 0) != 0 && errno == ESRCH) {
        return true;
    }
    char               path[40];
    ckiti_file_process there;
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", holder->pid);
    if (!proc_counts_as_we_do() || !look_at(path, &there)) {
        return false;
    }
    /* A process whose first thread has ended looks ended too while others of it still run. */
    bool ended = (there.state == 'Z' || there.state == 'X') && there.threads <= 1;
    return ended || there.start_ticks != holder->start_ticks;
}
