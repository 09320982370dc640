"""A store that --store names and that is not there: who looks is told so, and only who writes makes it."""

import json

import pytest

LOOKING = [
    ["get", "k"], ["ls"], ["exists", "k"], ["ttl", "k"], ["delete", "k"], ["touch", "k"], ["inspect", "k"], ["prune"],
    ["prune", "--older-than", "1d", "--dry-run"], ["invalidate", "--namespace", "n"], ["invalidate", "--all", "--yes"],
    ["stats"], ["health"], ["doctor"],
]  # fmt: skip


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
@pytest.mark.parametrize("form", ["file://{}", "file:{}", "FILE://localhost{}", "file://{}?max_size_mb=64"])
def test_looking_makes_no_directory(tool, words, form):
    directory = tool.home / "no such" / "directory"
    done = tool.run(*words, "--store", form.format(str(directory).replace(" ", "%20")))
    assert not directory.parent.exists()
    if words != ["doctor"]:
        assert (done.returncode, done.stderr.count(b"\n"), done.stdout) == (3, 1, b"")
        assert f"there is no store in {directory}: `cachekit set` or an application makes it".encode() in done.stderr


def test_a_relative_directory_is_looked_for_from_where_the_command_runs(tool):
    assert tool.run("ls", "--store", "file:cache").returncode == 3
    assert list(tool.home.iterdir()) == []
    tool.ok("set", "k", "v", "--store", "file:cache")
    assert tool.ok("get", "k", "--store", "file:cache") == b"v"


@pytest.mark.parametrize("words", [["set", "k", "v"], ["run", "--", "true"], ["bench", "--operations", "1", "--keep"]], ids=lambda words: words[0])
def test_writing_makes_it(tool, words):
    store = f"file://{tool.home}/new/store"
    tool.ok("--store", store, *words)
    assert tool.ok("ls", "--store", store) != b""


@pytest.mark.parametrize("query", ["nonsense=1", "max_size_mb=abc"])
def test_a_wrong_parameter_is_told_first(tool, query):
    done = tool.run("get", "k", "--store", f"file://{tool.home}/none?{query}")
    assert done.returncode == 2 and b"there is no store" not in done.stderr


def test_health_tells_it_in_json_too(tool):
    done = tool.run("health", "--json", "--store", f"file://{tool.home}/none")
    told = json.loads(done.stdout)
    assert done.returncode == 3 and told["healthy"] is False and "there is no store" in told["detail"]
    assert told["store"] == f"file://{tool.home}/none"


def test_the_files_of_the_user_need_not_be_there(tool):
    assert tool.run("get", "k").returncode == 1
    assert tool.run("get", "k", env={"CACHEKIT_FILE_CACHE_DIR": f"{tool.home}/app"}).returncode == 1
