"""cachekit doctor: settings, which store, its directory, what lies in it. The machine around it: test_doctor_world.py."""

import fcntl
import json
import os
import pty
import resource
import stat
import time

import pytest

from examined import examine

AS_ROOT = os.geteuid() == 0
SECRET = "c0ffee" * 11 + "c0"  # 68 digits


def tree(directory):
    return sorted(path.relative_to(directory) for path in directory.rglob("*"))


# ---- the whole


def test_a_fresh_home_has_no_problem_and_nothing_is_made(tool):
    findings = examine(tool)
    assert findings.code == 0 and findings.not_ok() == []
    assert tree(tool.home) == []
    assert findings.of("directory")[0]["text"] == f"{tool.cache} does not exist yet and would be made (in {tool.home})"


def test_a_store_in_use_has_no_problem_and_keeps_its_entries(tool):
    tool.ok("set", "greeting", "hello")
    findings = examine(tool)
    assert findings.code == 0 and findings.not_ok() == []
    assert {"health", "fullness", "space", "entries", "locks", "file-clock"} <= {f["check"] for f in findings}
    assert "1 live ones" in findings.of("entries")[0]["text"]
    assert tool.ok("get", "greeting") == b"hello"
    assert not list(tool.cache.glob("*.tmp.*"))


def test_people_get_one_line_each_and_a_summary(tool):
    done = tool.run("doctor", env={"CACHEKIT_FILE_SYNC": "often"})
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 2 and done.stderr == b""
    assert lines[-1] == "1 problem, 1 warning"
    assert all(line[:9] in ("ok       ", "warning  ", "problem  ") for line in lines[:-1])
    wrong = next(line for line in lines if line.startswith("problem"))
    assert wrong == (
        "problem  setting: CACHEKIT_FILE_SYNC=often: expected one of none, data, full"
        " -> correct or unset it; the other checks are made without it"
    )


def test_quiet_json_holds_problems_and_warnings_only(tool):
    assert json.loads(tool.ok("doctor", "--quiet", "--json")) == []
    env = {"CACHEKIT_DEFAULT_TLL": "60", "CACHEKIT_FILE_SYNC": "often"}
    told = json.loads(tool.run("doctor", "--quiet", "--json", env=env).stdout)
    assert sorted({finding["state"] for finding in told}) == ["problem", "warning"]


def test_quiet_shows_problems_only(tool):
    assert tool.ok("doctor", "--quiet") == b""
    done = tool.run("doctor", "-q", env={"CACHEKIT_FILE_SYNC": "often", "CACHEKIT_NONSENSE": "1"})
    assert done.returncode == 2 and done.stdout.startswith(b"problem ") and done.stdout.count(b"\n") == 1


def test_no_colours_in_a_pipe(tool):
    assert b"\033" not in tool.ok("doctor", env={"TERM": "xterm"})


@pytest.mark.parametrize("env, coloured", [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_gets_colours_unless_it_wants_none(tool, env, coloured):
    master, slave = pty.openpty()
    process = tool.start("doctor", env={**tool.env, "TERM": "xterm", **env}, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 4096):
            shown += part
    except OSError:  # nobody holds the other end any more
        pass
    os.close(master)
    assert process.wait(timeout=240) == 0 and shown.endswith(b"no problem, no warning\r\n")
    assert (b"\033[32mok      \033[0m version: " in shown) == coloured and (b"\033" in shown) == coloured


@pytest.mark.parametrize("words", [["operand"], ["--tenant", "acme"], ["--nonsense"]])
def test_wrong_usage_exits_2(tool, words):
    done = tool.run("doctor", *words)
    assert done.returncode == 2 and done.stdout == b"" and done.stderr.count(b"\n") == 1


def test_output_that_cannot_be_written_exits_4(tool):
    with open("/dev/full", "wb") as full:
        assert tool.run("doctor", stdout=full, stderr=-1).returncode == 4


def test_closed_streams_do_no_harm(tool):
    tool.ok("set", "greeting", "hello")
    done = tool.run("doctor", stdout=None, stderr=None, stdin=None, preexec_fn=lambda: os.closerange(0, 3))
    assert done.returncode == 0
    assert tool.ok("get", "greeting") == b"hello"


# ---- settings


def test_settings_are_shown_with_their_source(tool):
    findings = examine(tool, env={"CACHEKIT_L1_MAX_SIZE_MB": "50"})
    assert [f["text"] for f in findings.of("setting")] == ["CACHEKIT_L1_MAX_SIZE_MB = 50 (the environment)"]


def test_all_shows_those_with_their_defaults_too(tool):
    few, all_of_them = examine(tool), examine(tool, "--all")
    texts = [f["text"] for f in all_of_them.of("setting")]
    assert len(few.of("setting")) == 1 and len(texts) > 25
    assert "CACHEKIT_DEFAULT_TTL = 3600 (the default)" in texts


def test_parameters_of_the_url_are_shown(tool, tmp_path):
    findings = examine(tool, "--store", f"file://{tmp_path}/x?max_size_mb=5&sync=full")
    assert [f["text"] for f in findings.of("setting")][1:] == ["max_size_mb=5 (the URL)", "sync=full (the URL)"]


def test_settings_of_files_are_not_for_the_users_own_files(tool, tmp_path):
    env = {"CACHEKIT_FILE_MAX_SIZE_MB": "7"}
    assert "not for the user's own files" in examine(tool, env=env).of("setting")[0]["text"]
    env["CACHEKIT_FILE_CACHE_DIR"] = str(tmp_path / "there")
    assert examine(tool, env=env).of("setting")[1]["text"] == "CACHEKIT_FILE_MAX_SIZE_MB = 7 (the environment)"


def test_every_wrong_setting_is_told_at_once(tool):
    findings = examine(
        tool,
        env={"CACHEKIT_L1_MAX_SIZE_MB": "abc", "CACHEKIT_FILE_SYNC": "often", "CACHEKIT_WORKERS": "0",
             "CACHEKIT_QUEUE_MAX": "5"},
    )
    wrong = [f["text"].split("=")[0] for f in findings.of("setting") if f["state"] == "problem"]
    assert sorted(wrong) == ["CACHEKIT_FILE_SYNC", "CACHEKIT_L1_MAX_SIZE_MB", "CACHEKIT_WORKERS"]
    assert findings.code == 2
    assert "CACHEKIT_QUEUE_MAX = 5 (the environment)" in [f["text"] for f in findings.of("setting")]
    assert findings.of("directory") != [] and "refused" in findings.of("applications")[0]["text"]


def test_two_settings_that_do_not_fit_are_one_problem(tool):
    findings = examine(tool, env={"CACHEKIT_TTL_MIN": "100", "CACHEKIT_TTL_MAX": "90", "CACHEKIT_DEFAULT_TTL": "85"})
    assert len([f for f in findings.of("setting") if f["state"] == "problem"]) == 1 and findings.code == 2


def test_what_follows_from_a_wrong_setting_is_not_called_wrong(tool):
    findings = examine(tool, env={"CACHEKIT_TTL_MIN": "soon", "CACHEKIT_DEFAULT_TTL": "30"})
    states = {f["text"]: f["state"] for f in findings.of("setting")}
    assert states["CACHEKIT_DEFAULT_TTL cannot be judged yet"] == "warning"
    assert list(states.values()).count("problem") == 1


@pytest.mark.parametrize(
    "name, value, hint",
    [("CACHE_DEFAULT_TTL", "5", "did you mean CACHEKIT_DEFAULT_TTL?"),
     ("CACHEKIT_DEFAULT_TLL", "5", "did you mean CACHEKIT_DEFAULT_TTL?"),
     ("CACHEKIT_COMPLETELY_ELSE", "5", "is not a setting of this version"),
     ("LOG_LEVEL", "loud", "it counts as not set")],
)
def test_variables_that_are_not_read_are_named(tool, name, value, hint):
    findings = examine(tool, env={name: value})
    assert findings.not_ok() == [("variable", "warning")] and findings.code == 0
    assert hint in findings.of("variable")[0]["text"] and findings.of("variable")[0]["advice"]


def test_variables_of_the_family_without_effect_here_are_mentioned(tool):
    findings = examine(tool, env={"CACHEKIT_DISABLE_HIREDIS": "true"})
    assert findings.not_ok() == [] and "nothing to act on" in findings.of("variable")[0]["text"]


def test_hostile_values_stay_on_their_line(tool):
    done = tool.run("doctor", env={"CACHEKIT_FILE_SYNC": "a\nok       all: good\033[2J"})
    assert done.returncode == 2 and b"\033" not in done.stdout
    assert b"\nok       all: good" not in done.stdout


def test_a_huge_value_is_cut(tool):
    assert examine(tool, env={"CACHEKIT_FILE_SYNC": "x" * 100000}).code == 2


# ---- secrets


@pytest.mark.parametrize("key, complaint", [("not hexadecimal", "character 1"), ("abc", "3 digits"), ("ab" * 31, "62 digits"),
                                            ("ab" * 32 + "a", "65 digits")])
def test_a_malformed_master_key_is_a_wrong_setting(tool, key, complaint):
    findings = examine(tool, env={"CACHEKIT_MASTER_KEY": key})
    assert findings.code == 2
    assert complaint in findings.of("master-key")[0]["text"] and "E002" in findings.of("master-key")[0]["text"]


def test_the_key_of_run_is_examined_and_not_made(tool):
    findings = examine(tool)
    assert "will make" in findings.of("run-key")[0]["text"] and "applications" in findings.of("master-key")[0]["text"]
    tool.ok("run", "--", "echo", "hello")
    assert "your key in" in examine(tool).of("run-key")[0]["text"]
    key = tool.home / ".config" / "cachekit" / "run.key"
    key.write_text("no key")
    findings = examine(tool)
    assert findings.code == 2 and "E002" in findings.of("run-key")[0]["text"] and "run.key" in findings.of("run-key")[0]["text"]
    key.chmod(0o644)
    findings = examine(tool)
    assert findings.code == 2 and "chmod 600" in findings.of("run-key")[0]["text"]


def test_a_file_of_keys_is_examined(tool, tmp_path):
    file = tmp_path / "keys"
    env = {"CACHEKIT_MASTER_KEY_FILE": str(file)}
    findings = examine(tool, env=env)
    assert findings.code == 2 and "cannot be opened" in findings.of("master-key")[0]["text"]
    file.write_text(SECRET)
    file.chmod(0o600)
    findings = examine(tool, env=env)
    assert findings.code == 0 and "encrypted" in findings.of("master-key")[0]["text"]
    assert findings.of("run-key")[0]["state"] == "ok"
    findings = examine(tool, env=env | {"CACHEKIT_MASTER_KEY": SECRET})
    assert findings.code == 2 and "both" in findings.of("master-key")[0]["text"]


@pytest.mark.parametrize("previous, complaint", [("ab" * 31, "previous key 1 has 31 bytes"), (SECRET, "are the same")])
def test_previous_keys_are_examined(tool, previous, complaint):
    findings = examine(tool, env={"CACHEKIT_MASTER_KEY": SECRET, "CACHEKIT_PREVIOUS_MASTER_KEYS": previous})
    assert findings.code == 2 and complaint in findings.of("master-key")[0]["text"]


def test_previous_keys_alone_are_a_problem(tool):
    findings = examine(tool, env={"CACHEKIT_PREVIOUS_MASTER_KEYS": SECRET})
    assert findings.code == 2 and "CACHEKIT_MASTER_KEY is not" in findings.of("master-key")[0]["text"]


def test_variables_of_keys_are_read_and_not_said_to_be_idle(tool, tmp_path):
    env = {"CACHEKIT_MASTER_KEY_FILE": str(tmp_path / "keys"), "CACHEKIT_DEPLOYMENT_UUID": "0" * 32}
    assert all("nothing to act on" not in finding["text"] for finding in examine(tool, env=env).of("variable"))


def test_a_master_key_means_that_applications_encrypt(tool):
    findings = examine(tool, env={"CACHEKIT_MASTER_KEY": SECRET})
    assert findings.not_ok() == [] and findings.code == 0
    assert "encrypted" in findings.of("master-key")[0]["text"]


def test_a_store_is_examined_with_a_master_key_set(tool):
    tool.ok("set", "greeting", "hello")
    findings = examine(tool, env={"CACHEKIT_MASTER_KEY": SECRET})
    assert findings.of("health")[0]["state"] == "ok"


def test_secrets_are_never_shown(tool):
    env = {"CACHEKIT_MASTER_KEY": SECRET + "xyz", "CACHEKIT_PREVIOUS_MASTER_KEYS": SECRET, "CACHEKIT_API_KEY": "ck_live_s3cr3t",
           "CACHEKIT_REDIS_URL": "redis://user:s3cr3t@host", "REDIS_URL": "redis://user:s3cr3t@host"}
    for words in ["doctor", "--all"], ["doctor", "--json"], ["doctor", "--store", "redis://user:s3cr3t@host"]:
        done = tool.run(*words, env=env)
        assert b"s3cr3t" not in done.stdout + done.stderr and b"c0ffee" not in done.stdout + done.stderr


def test_core_files_with_secrets_are_noted(tool):
    def cores():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)

    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core files cannot be allowed here")
    for name in "ASAN_OPTIONS", "TSAN_OPTIONS":  # sanitizers forbid them by themselves
        tool.env[name] = tool.env.get(name, "") + ":disable_coredump=0"
    assert examine(tool, preexec_fn=cores).of("core") == []
    assert "secrets" in examine(tool, env={"CACHEKIT_MASTER_KEY": SECRET}, preexec_fn=cores).of("core")[0]["text"]


# ---- which store


def test_default_commands_and_run_use_the_users_files(tool):
    findings = examine(tool)
    assert findings.of("store")[0]["text"] == f"commands use files in {tool.cache} (the default)"
    assert findings.of("run")[0]["text"] == f"`cachekit run` uses files in {tool.cache} (the default)"


def test_xdg_cache_home_moves_them(tool, tmp_path):
    findings = examine(tool, env={"XDG_CACHE_HOME": str(tmp_path)})
    assert f"files in {tmp_path}/cachekit " in findings.of("run")[0]["text"]


def test_a_variable_chooses_for_commands_and_not_for_run(tool, tmp_path):
    findings = examine(tool, env={"CACHEKIT_FILE_CACHE_DIR": str(tmp_path / "there")})
    assert findings.of("store")[0]["text"] == f"commands use files in {tmp_path}/there (CACHEKIT_FILE_CACHE_DIR)"
    assert str(tool.cache) in findings.of("run")[0]["text"]
    assert str(tool.cache) in findings.of("run-directory")[0]["text"]
    assert f"{tmp_path}/there" in findings.of("applications")[0]["text"]
    assert not (tmp_path / "there").exists()


def test_a_url_chooses_for_both(tool, tmp_path):
    findings = examine(tool, "--store", f"file://{tmp_path}/a%20b", env={"CACHEKIT_REDIS_URL": "redis://host"})
    assert findings.of("store")[0]["text"] == findings.of("run")[0]["text"].replace("`cachekit run` uses", "commands use")
    assert findings.of("directory")[0]["text"].startswith(f"{tmp_path}/a b does not exist yet")
    assert not (tmp_path / "a b").exists()


def test_several_selectors_are_a_problem_with_their_names(tool):
    env = {"CACHEKIT_REDIS_URL": "redis://host", "CACHEKIT_API_KEY": "x", "CACHEKIT_FILE_CACHE_DIR": "/tmp/x"}
    findings = examine(tool, env=env)
    assert findings.code == 2
    assert all(name in findings.of("selectors")[0]["text"] for name in env)


def test_with_a_url_several_selectors_concern_applications_only(tool):
    env = {"CACHEKIT_REDIS_URL": "redis://host", "CACHEKIT_API_KEY": "x"}
    findings = examine(tool, "--store", "memory:", env=env)
    assert findings.code == 0
    assert findings.not_ok() == [("selectors", "warning"), ("applications", "warning")]


@pytest.mark.parametrize("name", ["CACHEKIT_MEMCACHED_SERVERS", "CACHEKIT_API_KEY"])
def test_a_store_that_this_version_does_not_have_cannot_be_used(tool, name):
    findings = examine(tool, env={name: "redis://host"})
    assert findings.code == 3
    assert ("store", "problem") in findings.not_ok() and "E104" in findings.of("store")[-1]["text"]
    assert findings.of("run-directory")[0]["state"] == "ok"


@pytest.mark.parametrize(
    "url, code",
    [("memory", 2), ("/tmp/x", 2), ("file:///", 2), ("file://host/x", 2), ("memory:?max_size_mb=1", 2), ("redis://h", 3),
     ("file:///nowhere?max_size_mb=0", 2), ("file:///nowhere?max_size=3", 2), ("file:///nowhere?sync=%zz", 2),
     ("file:///a%00b", 2), ("file:///a#b", 2)],
)
def test_a_wrong_url_is_told_without_making_anything(tool, url, code):
    assert examine(tool, "--store", url).code == code
    assert not os.path.exists("/nowhere") and tree(tool.home) == []


def test_a_store_in_memory_is_fine(tool):
    findings = examine(tool, "--store", "memory:")
    assert findings.not_ok() == [] and findings.of("directory") == []


def test_a_wrong_setting_weighs_more_than_a_store_that_fails(tool, tmp_path):
    (tmp_path / "file").write_text("")
    findings = examine(tool, "--store", f"file://{tmp_path}/file", env={"CACHEKIT_WORKERS": "0"})
    assert {"directory", "setting"} <= {check for check, state in findings.not_ok() if state == "problem"}
    assert findings.code == 2


# ---- home


def test_without_a_home_there_are_no_files_of_the_user(tool):
    findings = examine(tool, env={"HOME": None})
    assert findings.code == 2 and "no home directory" in findings.of("run")[0]["text"]


def test_relative_bases_do_not_count(tool):
    findings = examine(tool, env={"XDG_CACHE_HOME": "relative", "TMPDIR": "relative"})
    assert findings.not_ok() == [("home", "warning"), ("temporary", "warning")] and findings.code == 0


@pytest.mark.skipif(not AS_ROOT, reason="only root can give directories away")
def test_the_home_of_somebody_else_is_noticed(tool, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    os.chown(other, 12345, 12345)
    findings = examine(tool, env={"HOME": str(other)})
    assert "belongs to user 12345" in findings.of("home")[0]["text"]


@pytest.mark.parametrize("what", ["absent", "file", "open to all"])
def test_a_bad_tmpdir_is_a_warning(tool, tmp_path, what):
    place = tmp_path / "t"
    if what == "file":
        place.write_text("")
    elif what == "open to all":
        place.mkdir()
        place.chmod(0o777)
    findings = examine(tool, env={"TMPDIR": str(place)})
    assert findings.not_ok() == [("temporary", "warning")]


@pytest.mark.parametrize("place, state", [("new", "ok"), ("", "ok"), ("absent/new", "warning"), ("file", "warning"), (None, "warning")])
def test_the_directory_where_guards_tell_is_examined(tool, tmp_path, place, state):
    (tmp_path / "file").write_text("")
    findings = examine(tool, env={"CACHEKIT_STATUS_DIR": "relative" if place is None else str(tmp_path / place)})
    assert [finding["state"] for finding in findings.of("status")] == [state] and findings.code == 0
    assert not (tmp_path / "new").exists()


# ---- the directory


def problem_of(tool, path, check="directory"):
    findings = examine(tool, "--store", f"file://{path}")
    assert findings.code == 3
    return " / ".join(f["text"] for f in findings.of(check) if f["state"] == "problem")


def test_a_symbolic_link_is_a_problem(tool, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert "is a symbolic link" in problem_of(tool, tmp_path / "link")
    assert "is a symbolic link" in problem_of(tool, f"{tmp_path}/link/")


def test_a_dangling_link_above_it_is_a_problem(tool, tmp_path):
    (tmp_path / "link").symlink_to("/nowhere")
    assert "cannot be made" in problem_of(tool, tmp_path / "link" / "x")
    assert not os.path.exists("/nowhere")


def test_a_file_in_its_place_or_above_it_is_a_problem(tool, tmp_path):
    (tmp_path / "file").write_text("")
    assert "is not a directory" in problem_of(tool, tmp_path / "file")
    assert "Not a directory" in problem_of(tool, tmp_path / "file" / "x")


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702, 0o1777])
def test_one_that_others_can_write_is_a_problem(tool, tmp_path, mode):
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(mode)
    assert f"(mode {mode:04o})" in problem_of(tool, place)
    assert stat.S_IMODE(place.stat().st_mode) == mode and tree(place) == []


def test_one_below_a_directory_that_others_can_write_is_a_warning(tool, tmp_path):
    above = tmp_path / "open"
    (above / "mine").mkdir(parents=True, mode=0o700)
    (above / "mine").chmod(0o700)
    above.chmod(0o777)
    findings = examine(tool, "--store", f"file://{above}/mine")
    assert findings.not_ok() == [("directory", "warning")] and str(above) in findings.of("directory")[1]["text"]
    above.chmod(0o1777)
    assert examine(tool, "--store", f"file://{above}/mine").not_ok() == []


@pytest.mark.skipif(not AS_ROOT, reason="only root can give directories away")
def test_one_of_somebody_else_is_a_problem(tool, tmp_path):
    place = tmp_path / "alien"
    place.mkdir()
    os.chown(place, 12345, 12345)
    assert "belongs to user 12345" in problem_of(tool, place)


def test_a_path_that_is_too_long_is_a_problem(tool):
    assert "File name too long" in problem_of(tool, "/" + "a" * 300)
    assert "File name too long" in problem_of(tool, "/" + "a" * 3000)


def test_a_relative_path_is_a_warning(tool):
    findings = examine(tool, "--store", "file:here")
    assert findings.not_ok() == [("directory", "warning")] and not (tool.home / "here").exists()


def test_a_tilde_is_no_home(tool):
    findings = examine(tool, env={"CACHEKIT_FILE_CACHE_DIR": "~/cache"})
    assert "~ is a name like any other" in findings.of("directory")[0]["text"]


def test_a_working_directory_that_was_removed_is_a_problem(tool, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()

    def leave_nothing():
        os.chdir(gone)
        os.rmdir(gone)

    findings = examine(tool, "--store", "file:here", preexec_fn=leave_nothing)
    assert findings.code == 3 and "is removed" in findings.of("directory")[1]["text"]


def test_names_that_are_not_text_are_shown_and_stay_in_their_line(tool, tmp_path):
    place = os.fsencode(tmp_path) + b"/a\n\xff\033[2J"
    os.mkdir(place)
    done = tool.run("doctor", env={"CACHEKIT_FILE_CACHE_DIR": os.fsdecode(place)})
    assert done.returncode == 0 and b"\033" not in done.stdout and b"/a\\x0a\\xff\\x1b[2J" in done.stdout
    findings = examine(tool, env={"CACHEKIT_FILE_CACHE_DIR": os.fsdecode(place)})
    assert "\\xff" in findings.of("directory")[0]["text"]


# ---- what lies in it


@pytest.fixture
def store(tool, tmp_path):
    """A directory with three entries, as a URL."""
    for key in "abc":
        tool.ok("set", key, "value", "--store", f"file://{tmp_path}/store")
    return tmp_path / "store"


def entries(store):
    return sorted(path for path in store.iterdir() if not path.name.startswith("."))


def test_files_that_do_not_belong_there_are_left_alone(tool, store):
    (store / "notes.txt").write_text("mine")
    findings = examine(tool, "--store", f"file://{store}")
    assert findings.not_ok() == [] and "notes.txt" in findings.of("files")[0]["text"]
    assert (store / "notes.txt").read_text() == "mine"


def test_a_directory_full_of_other_files_may_not_be_the_one_meant(tool, store):
    for number in range(4):
        (store / f"photo{number}.jpg").write_text("")
    findings = examine(tool, "--store", f"file://{store}")
    assert findings.not_ok() == [("files", "warning")] and "4 others and 3 entries" in findings.of("files")[0]["text"]


def test_an_entry_with_two_names_cannot_be_used(tool, store):
    os.link(entries(store)[0], store / "another-name")
    findings = examine(tool, "--store", f"file://{store}")
    assert ("files", "warning") in findings.not_ok() and findings.of("files")[0]["text"].startswith("1 with the name")


def test_leftovers_of_killed_writers_are_counted(tool, store):
    leftover = store / (entries(store)[0].name + ".tmp.1.2.3")
    leftover.write_text("")
    os.utime(leftover, (time.time() - 600,) * 2)
    assert "1 left behind by killed writers" in examine(tool, "--store", f"file://{store}").of("files")[0]["text"]


def test_entries_from_the_future_are_a_warning(tool, store):
    (store / ".ck-index").unlink()  # it would know better
    for path in entries(store)[:2]:
        os.utime(path, (time.time() + 7200,) * 2)
    findings = examine(tool, "--store", f"file://{store}")
    assert findings.not_ok() == [("entries", "warning")] and findings.code == 0
    assert findings.of("entries")[0]["text"].startswith("2 of 3 were made in the future, up to 1h59m")


def test_a_store_that_is_nearly_full_is_a_warning(tool, store):
    for number in range(88):
        tool.ok("set", f"key{number}", "value", "--store", f"file://{store}")
    findings = examine(tool, "--store", f"file://{store}?max_entry_count=100")
    assert findings.not_ok() == [("fullness", "warning")]
    full = next(f for f in findings.of("fullness") if f["state"] == "warning")
    assert full["text"].startswith("entries: 91 of 100 (91.0 %)") and "CACHEKIT_FILE_MAX_ENTRY_COUNT" in full["advice"]


def test_entries_that_the_store_has_not_counted_yet_are_seen(tool, store):
    content = entries(store)[0].read_bytes()
    for number in range(100):
        (store / f"{number:032x}").write_bytes(content)
    findings = examine(tool, "--store", f"file://{store}?max_entry_count=100")
    assert ("fullness", "warning") in findings.not_ok()
    assert any(f["text"].startswith("entries: 103 of 100") for f in findings.of("fullness"))


def test_a_lock_that_somebody_keeps_is_noticed(tool, store):
    with open(store / ".ck-usage", "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        findings = examine(tool, "--store", f"file://{store}")
    assert findings.not_ok() == [("health", "warning")] and ".ck-usage" in findings.of("health")[1]["text"]


def test_a_limit_beyond_the_disk_is_a_warning(tool, store):
    disk = os.statvfs(store)
    if disk.f_bavail * disk.f_frsize > 900000 << 20:
        pytest.skip("the disk is larger than any limit")
    for url in f"file://{store}?max_size_mb=1000000", f"file://{store}/absent?max_size_mb=1000000":
        findings = examine(tool, "--store", url)
        assert ("space", "warning") in findings.not_ok() and findings.code == 0


def test_damage_met_before_is_mentioned(tool, store):
    entries(store)[0].write_bytes(b"damaged")
    for key in "abc":
        tool.run("get", key, "--store", f"file://{store}")
    findings = examine(tool, "--store", f"file://{store}")
    assert findings.not_ok() == [] and "1 damaged entries" in findings.of("damage")[0]["text"]


def test_bookkeeping_that_is_damaged_or_something_else_does_no_harm(tool, store):
    for name in ".ck-index", ".ck-usage", ".ck-stats":
        path = store / name
        path.write_bytes(b"damaged")
        assert examine(tool, "--store", f"file://{store}").code in (0, 3)
        path.unlink(missing_ok=True)
        path.mkdir()
        assert examine(tool, "--store", f"file://{store}").code in (0, 3)
        path.rmdir()
    assert tool.ok("get", "a", "--store", f"file://{store}") == b"value"
