/* The file system below a directory: what kind it is, and how much room there is. */
#include "doctor/doctor.h"

#include "support/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

typedef struct file_system {
    uint32_t    magic; /* statfs(2), f_type */
    const char *name;
    const char *text; /* what is special about it; NULL = nothing */
    const char *advice;
} file_system;

#define REMOTE_TEXT                                                                                                    \
    "is a network file system: locks (flock) may hold on one machine only, and its server has a clock of its own"
#define REMOTE_ADVICE "prefer a local directory; share it over the network only when every machine mounts it with locks"
#define FOREIGN_TEXT "does not keep owners and permissions of single files: the mount decides who can read entries"
#define FOREIGN_ADVICE "prefer a file system of Linux"

static const file_system file_systems[] = {
    {0x6969, "nfs", REMOTE_TEXT, REMOTE_ADVICE},
    {0xff534d42, "cifs", REMOTE_TEXT, REMOTE_ADVICE},
    {0xfe534d42, "smb2", REMOTE_TEXT, REMOTE_ADVICE},
    {0x517b, "smb", REMOTE_TEXT, REMOTE_ADVICE},
    {0x00c36400, "ceph", REMOTE_TEXT, REMOTE_ADVICE},
    {0x01021997, "9p", REMOTE_TEXT, REMOTE_ADVICE},
    {0x5346414f, "afs", REMOTE_TEXT, REMOTE_ADVICE},
    {0x6b414653, "kafs", REMOTE_TEXT, REMOTE_ADVICE},
    {0x73757245, "coda", REMOTE_TEXT, REMOTE_ADVICE},
    {0x0bd00bd0, "lustre", REMOTE_TEXT, REMOTE_ADVICE},
    {0x01161970, "gfs2", REMOTE_TEXT, REMOTE_ADVICE},
    {0x7461636f, "ocfs2", REMOTE_TEXT, REMOTE_ADVICE},
    {0x47504653, "gpfs", REMOTE_TEXT, REMOTE_ADVICE},
    {0x786f4256, "vboxsf", REMOTE_TEXT, REMOTE_ADVICE},
    {0x65735546, "fuse", "is a program's file system: it depends on that program whether locks (flock) hold",
     "prefer a local directory, unless you know it"},
    {0x4d44, "vfat", FOREIGN_TEXT, FOREIGN_ADVICE},
    {0x2011bab0, "exfat", FOREIGN_TEXT, FOREIGN_ADVICE},
    {0x5346544e, "ntfs", FOREIGN_TEXT, FOREIGN_ADVICE},
    {0x7366746e, "ntfs3", FOREIGN_TEXT, FOREIGN_ADVICE},
    {0x01021994, "tmpfs", "lives in memory: entries are gone after a restart of the machine, and count as its memory",
     NULL},
    {0x858458f6, "ramfs", "lives in memory without a bound: entries are gone after a restart of the machine", NULL},
    {0x794c7630, "overlay", "is that of a container, mostly: entries go with it", NULL},
    {0xef53, "ext4", NULL, NULL},
    {0x58465342, "xfs", NULL, NULL},
    {0x9123683e, "btrfs", NULL, NULL},
    {0x2fc12fc1, "zfs", NULL, NULL},
    {0xca451a4e, "bcachefs", NULL, NULL},
    {0xf2f52010, "f2fs", NULL, NULL},
};

static const file_system *find(uint32_t magic) {
    for (size_t i = 0; i < sizeof file_systems / sizeof *file_systems; i++) {
        if (file_systems[i].magic == magic) {
            return &file_systems[i];
        }
    }
    return NULL;
}

void doctor_check_file_system(doctor *d, const char *path) {
    char          nearest[DOCTOR_PATH];
    struct stat   st;
    struct statfs fs;
    if (!doctor_nearest(path, nearest, &st) || statfs(nearest, &fs) != 0) {
        return; /* the check of the directory has said why */
    }
    const file_system *known = find((uint32_t)fs.f_type);
    if (known == NULL) {
        doctor_say(d, "file-system", DOCTOR_OK, NULL, "of type 0x%" PRIx32, (uint32_t)fs.f_type);
    } else if (known->text == NULL) {
        doctor_say(d, "file-system", DOCTOR_OK, NULL, "%s", known->name);
    } else {
        doctor_say(d, "file-system", known->advice == NULL ? DOCTOR_OK : DOCTOR_WARNING, known->advice, "%s %s",
                   known->name, known->text);
    }
    if ((fs.f_flags & ST_RDONLY) != 0) {
        doctor_say(d, "file-system", DOCTOR_STORE, "choose a directory elsewhere, or mount it for writing",
                   "it is mounted read-only");
    }
}

static void check_inodes(doctor *d, const struct statvfs *fs, uint64_t more_entries) {
    if (fs->f_files == 0) {
        return; /* made as needed */
    }
    bool few = (more_entries != UINT64_MAX && fs->f_favail < more_entries) || fs->f_favail == 0;
    doctor_say(d, "inodes", few ? DOCTOR_WARNING : DOCTOR_OK,
               few ? "lower the limit of entries (max_entry_count), or make room on the disk" : NULL,
               "%" PRIu64 " files can still be made%s", (uint64_t)fs->f_favail,
               few ? ": fewer than the store may still want" : "");
}

void doctor_check_space(doctor *d, const char *path, uint64_t more_bytes, uint64_t more_entries) {
    char           nearest[DOCTOR_PATH];
    char           have[CLI_UNITS_TEXT];
    char           want[CLI_UNITS_TEXT];
    struct stat    st;
    struct statvfs fs;
    if (!doctor_nearest(path, nearest, &st) || statvfs(nearest, &fs) != 0) {
        return;
    }
    uint64_t available = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
    (void)cli_size_text(available, have);
    if (more_bytes != UINT64_MAX && available < more_bytes) {
        doctor_say(d, "space", DOCTOR_WARNING, "lower the limit of the size (max_size_mb), or make room on the disk",
                   "%s are free, and the store may want %s more: the disk is full before the limit is reached", have,
                   cli_size_text(more_bytes, want));
    } else {
        doctor_say(d, "space", available == 0 ? DOCTOR_WARNING : DOCTOR_OK,
                   available == 0 ? "make room on the disk" : NULL, "%s are free", have);
    }
    check_inodes(d, &fs, more_entries);
}
