"""What the tests of the command line share: the real binary, driven in a home of its own."""

import os
import pathlib
import subprocess

import pytest

BINARY = os.environ["CKIT_CLI"]


class Tool:
    """Runs `cachekit` with a home, a cache directory and an environment that nobody else uses."""

    def __init__(self, home: pathlib.Path):
        self.home = home
        self.cache = home / ".cache" / "cachekit"
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CACHEKIT_", "XDG_", "CKIT_")) and name not in ("REDIS_URL", "NO_COLOR", "LOG_LEVEL")
        }
        self.env["HOME"] = str(home)

    def command(self, *words):
        return [BINARY, *map(os.fspath, words)]

    def run(self, *words, input=None, env=None, **options):
        """Runs one command to its end; output as bytes. `env`: variables on top (None removes one)."""
        variables = dict(self.env)
        for name, value in (env or {}).items():
            variables.pop(name, None)
            if value is not None:
                variables[name] = value
        options.setdefault("timeout", 240)
        options.setdefault("cwd", self.home)
        if input is None and "stdin" not in options:
            options["stdin"] = subprocess.DEVNULL
        if "stdout" not in options and "stderr" not in options:
            options["capture_output"] = True
        return subprocess.run(self.command(*words), input=input, env=variables, **options)

    def start(self, *words, **options):
        """Starts one and does not wait."""
        return subprocess.Popen(self.command(*words), env=options.pop("env", self.env), cwd=self.home, **options)

    def ok(self, *words, **options):
        """Standard output of a command that must succeed."""
        done = self.run(*words, **options)
        assert done.returncode == 0, done
        return done.stdout


@pytest.fixture
def tool(tmp_path):
    return Tool(tmp_path)
