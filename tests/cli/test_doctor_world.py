"""cachekit doctor on machines that are not well: file systems, clocks, locks, limits, other users."""

import json
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile

import pytest

from examined import examine, findings_of

from conftest import Tool

AS_ROOT = os.geteuid() == 0

# Stands between the tool and the C library; each lie is asked for by a variable.
WORLD = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>

static long long lie(const char *name) {
    const char *text = getenv(name);
    return text == NULL ? 0 : strtoll(text, NULL, 0);
}
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

time_t time(time_t *out) {
    struct timespec now;
    REAL(clock_gettime)(CLOCK_REALTIME, &now);
    now.tv_sec += lie("WORLD_WALL");
    if (out != NULL) *out = now.tv_sec;
    return now.tv_sec;
}
int clock_gettime(clockid_t id, struct timespec *out) {
    static int readings;
    int result = REAL(clock_gettime)(id, out);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) out->tv_sec += lie("WORLD_WALL");
    if (id == CLOCK_MONOTONIC && getenv("WORLD_BACKWARDS") != NULL) out->tv_sec -= readings++;
    return result;
}
static int stamped(int result, struct stat *out) {
    if (result == 0 && S_ISREG(out->st_mode)) out->st_mtime += lie("WORLD_STAMP");
    return result;
}
int fstat(int fd, struct stat *out) { return stamped(REAL(fstat)(fd, out), out); }
int __fxstat(int version, int fd, struct stat *out); /* what ThreadSanitizer makes of fstat */
int __fxstat(int version, int fd, struct stat *out) { return stamped(REAL(__fxstat)(version, fd, out), out); }
int statfs(const char *path, struct statfs *out) {
    int result = REAL(statfs)(path, out);
    if (getenv("WORLD_TYPE") != NULL) out->f_type = lie("WORLD_TYPE");
    if (getenv("WORLD_READ_ONLY") != NULL) out->f_flags |= ST_RDONLY;
    return result;
}
int statvfs(const char *path, struct statvfs *out) {
    int result = REAL(statvfs)(path, out);
    if (getenv("WORLD_INODES") != NULL) out->f_favail = (fsfilcnt_t)lie("WORLD_INODES"), out->f_files = 1000000;
    if (getenv("WORLD_BLOCKS") != NULL) out->f_bavail = (fsblkcnt_t)lie("WORLD_BLOCKS");
    return result;
}
int flock(int fd, int operation) {
    const char *how = getenv("WORLD_LOCKS");
    return how == NULL ? REAL(flock)(fd, operation) : 0;
}
"""


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang-14")
    if compiler is None:
        pytest.skip("no compiler for the library that stands between")
    place = tmp_path_factory.mktemp("world")
    (place / "world.c").write_text(WORLD)
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", "world.so", "world.c", "-ldl"], cwd=place, check=True)
    return str(place / "world.so")


@pytest.fixture
def store(tool):
    tool.ok("set", "greeting", "hello")
    return tool.cache


def in_world(tool, world, **lies):
    env = {"LD_PRELOAD": world, **{f"WORLD_{name.upper()}": str(value) for name, value in lies.items()}}
    return examine(tool, env=env)


# ---- clocks


@pytest.mark.parametrize("years, word", [(-30, "early"), (-56, "early"), (100, "late")])
def test_a_clock_that_cannot_be_right_is_a_problem(tool, world, years, word):
    findings = in_world(tool, world, wall=years * 366 * 86400)
    assert ("clock", "problem") in findings.not_ok() and findings.code == 4
    assert f"too {word} to be true" in findings.of("clock")[0]["text"]


@pytest.mark.parametrize("seconds, state, where", [(30, "warning", "ahead of"), (-30, "warning", "behind"),
                                                   (3600, "problem", "ahead of"), (-3600, "problem", "behind")])
def test_a_file_server_with_another_clock_is_noticed(tool, world, store, seconds, state, where):
    findings = in_world(tool, world, stamp=seconds)
    assert ("file-clock", state) in findings.not_ok() and findings.code == (4 if state == "problem" else 0)
    assert where in findings.of("file-clock")[0]["text"]


def test_a_small_difference_is_none(tool, world, store):
    assert ("file-clock", "ok") in [(f["check"], f["state"]) for f in in_world(tool, world, stamp=-1)]


def test_entries_seem_to_come_from_the_future_when_the_clock_was_set_back(tool, world, store):
    findings = in_world(tool, world, wall=-86400)
    assert ("entries", "warning") in findings.not_ok() and "1 of 1" in findings.of("entries")[0]["text"]


def test_a_monotonic_clock_that_goes_back_is_a_problem(tool, world):
    findings = in_world(tool, world, backwards=1)
    assert ("monotonic-clock", "problem") in findings.not_ok() and findings.code == 4


# ---- file systems


@pytest.mark.parametrize(
    "magic, name, state",
    [(0x6969, "nfs", "warning"), (0xFF534D42, "cifs", "warning"), (0xFE534D42, "smb2", "warning"),
     (0x01021997, "9p", "warning"), (0x65735546, "fuse", "warning"), (0x4D44, "vfat", "warning"),
     (0x01021994, "tmpfs", "ok"), (0x794C7630, "overlay", "ok"), (0xEF53, "ext4", "ok"), (0x123456, "0x123456", "ok")],
)
def test_file_systems_have_their_notes(tool, world, magic, name, state):
    findings = in_world(tool, world, type=magic)
    assert name in findings.of("file-system")[0]["text"] and findings.of("file-system")[0]["state"] == state
    assert findings.code == 0


def test_a_mount_that_is_read_only_is_a_problem(tool, world):
    findings = in_world(tool, world, read_only=1)
    assert ("file-system", "problem") in findings.not_ok() and findings.code == 3


@pytest.mark.parametrize("lies, check", [({"inodes": 3}, "inodes"), ({"blocks": 3}, "space"), ({"blocks": 0}, "space")])
def test_a_disk_that_is_nearly_full_is_a_warning(tool, world, store, lies, check):
    findings = in_world(tool, world, **lies)
    assert findings.not_ok() == [(check, "warning")] and findings.code == 0


def test_locks_that_do_not_hold_are_a_problem(tool, world, store):
    findings = in_world(tool, world, locks="pretended")
    assert ("locks", "problem") in findings.not_ok() and findings.code == 3


def in_mount(tool, options, *script):
    """Runs a script in a mount namespace where the cache directory is a tmpfs of its own."""
    tool.cache.mkdir(parents=True, mode=0o700)
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    mount = f'mount -t tmpfs -o mode=700,{options} tmpfs "{tool.cache}"'
    if not AS_ROOT or subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    lines = [mount, *script, '"$@"']
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", " && ".join(lines), "sh", *tool.command("doctor", "--json")],
        env=tool.env, capture_output=True, timeout=240,
    )
    return findings_of(done)


def test_on_a_tmpfs_entries_are_gone_after_a_restart(tool):
    findings = in_mount(tool, "size=2g")
    assert findings.code == 0 and "gone after a restart" in findings.of("file-system")[0]["text"]


def test_a_real_mount_that_is_read_only_cannot_be_used(tool):
    findings = in_mount(tool, "size=1m", f'mount -o remount,ro "{tool.cache}"')
    states = findings.not_ok()
    assert findings.code == 3 and ("file-system", "problem") in states and ("health", "problem") in states


def test_a_disk_that_is_full_cannot_be_used(tool):
    fill = f'(cat /dev/zero >"{tool.cache}/fill" 2>/dev/null; true)'
    findings = in_mount(tool, "size=64k", fill)
    assert findings.code == 3
    assert ("health", "problem") in findings.not_ok() and ("space", "warning") in findings.not_ok()
    assert "0 are free" in findings.of("space")[0]["text"]


def test_a_disk_without_inodes_cannot_be_used(tool):
    fill = f'(for i in 1 2 3 4 5 6 7 8 9; do touch "{tool.cache}/$i"; done 2>/dev/null; true)'
    findings = in_mount(tool, "size=1m,nr_inodes=5", fill)
    assert findings.code == 3
    assert ("health", "problem") in findings.not_ok() and ("inodes", "warning") in findings.not_ok()


# ---- other users


def as_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


@pytest.fixture
def shared():
    """The tool in a home of root that others can reach."""
    if not AS_ROOT:
        pytest.skip("only root can become somebody else")
    home = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    home.chmod(0o755)
    tool = Tool(home)
    if not all(parent.stat().st_mode & 1 for parent in pathlib.Path(tool.command()[0]).parents):
        pytest.skip("the tool cannot be reached by somebody else")
    yield tool
    shutil.rmtree(home)


def test_a_home_that_cannot_be_written_is_a_problem(shared):
    findings = examine(shared, preexec_fn=as_nobody)
    assert findings.code == 3 and "cannot be made" in findings.of("directory")[0]["text"]
    assert "Permission denied" in findings.of("directory")[0]["text"]
    assert ("home", "warning") in findings.not_ok()


def test_a_directory_whose_owner_has_no_permissions_is_a_problem(shared):
    shared.cache.mkdir(parents=True)
    shared.cache.chmod(0o500)
    os.chown(shared.cache, 65534, 65534)
    shared.cache.parent.chmod(0o755)
    findings = examine(shared, preexec_fn=as_nobody)
    assert findings.code == 3 and "chmod u+rwx" in findings.of("directory")[0]["advice"]


def test_a_way_that_cannot_be_gone_is_a_problem(shared):
    shared.cache.mkdir(parents=True)
    shared.cache.parent.chmod(0o700)
    findings = examine(shared, preexec_fn=as_nobody)
    assert findings.code == 3 and "Permission denied" in findings.of("directory")[0]["text"]


# ---- the process


def test_few_open_files_are_a_warning(tool):
    findings = examine(tool, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)))
    assert findings.not_ok() == [("open-files", "warning")] and findings.code == 0


def test_a_limit_of_the_size_of_files_is_a_warning(tool):
    findings = examine(tool, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
    assert findings.not_ok() == [("file-size", "warning")] and "1.0M" in findings.of("file-size")[0]["text"]


def test_a_mask_against_the_owner_is_a_problem(tool):
    findings = examine(tool, preexec_fn=lambda: os.umask(0o700))
    assert findings.not_ok() == [("umask", "problem")] and findings.code == 4


def test_many_entries_are_looked_at(tool):
    store = tool.home / "many"
    tool.ok("set", "greeting", "hello", "--store", f"file://{store}")
    entry = next(path for path in store.iterdir() if len(path.name) == 32)
    for number in range(2000):
        (store / f"{number:032x}").write_bytes(entry.read_bytes())
        (store / f"{number:032x}").chmod(0o600)
    findings = examine(tool, "--store", f"file://{store}")
    assert findings.code == 0 and "2001 entries" in findings.of("files")[0]["text"]
    assert "2001 live ones" in findings.of("entries")[0]["text"]
