"""The backends of the guide, as they are printed there: one over HTTP, asked of a server of this process, and one over a
table of items, asked of a stand-in."""

from __future__ import annotations

import http.server
import re
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from cachekit import cache
from cachekit.backends import BackendError, BackendErrorType, BaseBackend


@pytest.fixture
def guide(source: Path) -> dict[str, Any]:
    """Everything that the guide defines, without its demonstrations."""
    text = (source / "docs" / "python" / "custom-backends.md").read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "guide"}
    for code in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(code.replace("\ncheck(Shelf())", ""), "custom-backends.md", "exec", dont_inherit=True), namespace)
    return namespace


class Server:
    """Entries over HTTP, and how it answers otherwise: a status, or a wait."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[bytes, float | None]] = {}
        self.status: int | None = None
        self.cut = False
        self.wait = threading.Event()
        self.wait.set()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.wait.wait(60)
                status, answer = server.status or 0, b""
                if not status:
                    status, answer = server.handle(self.command, self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer) + (5 if server.cut else 0)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_PUT = do_DELETE = do_HEAD = _answer

            def log_message(self, *_: Any) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def handle(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        parts = urllib.parse.urlsplit(path)
        key = urllib.parse.unquote(parts.path[len("/cache/") :])
        ttl = urllib.parse.parse_qs(parts.query).get("ttl")
        if method == "PUT":
            self.entries[key] = body, time.time() + int(ttl[0]) if ttl else None
            return 204, b""
        value, end = self.entries.get(key, (b"", 0.0))
        if end is not None and time.time() >= end:
            self.entries.pop(key, None)
            return 404, b""
        if method == "DELETE":
            del self.entries[key]
            return 204, b""
        return 200, value

    def close(self) -> None:
        self.wait.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


def test_the_backend_over_http_passes_the_check_of_the_guide(guide: dict[str, Any], server: Server) -> None:
    backend = guide["HTTPBackend"](server.address)
    assert isinstance(backend, BaseBackend)
    guide["check"](backend)


def test_functions_share_what_is_behind_an_address(guide: dict[str, Any], server: Server) -> None:
    runs = []

    def make() -> Any:
        @cache(backend=guide["HTTPBackend"](server.address), ttl=60, namespace="a b/c?d#e%f")
        def function(x: Any) -> Any:
            runs.append(x)
            return {"x": x, "many": list(range(1000))}

        return function

    one, two = make(), make()
    assert one("ключ") == two("ключ") == {"x": "ключ", "many": list(range(1000))}
    assert runs == ["ключ"] and two.cache_info().l2_hits == 1
    assert all("\n" not in key and key.startswith("ns:a_b/c?d#e%f:func:") for key in server.entries)
    one.invalidate_cache("ключ")
    assert server.entries == {}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "authentication"), (403, "authentication"), (408, "timeout"), (413, "permanent"), (400, "permanent"),
     (429, "transient"), (500, "transient"), (503, "transient")],
)
def test_a_status_is_a_failure_of_its_kind_and_never_a_miss(
    guide: dict[str, Any], server: Server, status: int, kind: str
) -> None:
    backend = guide["HTTPBackend"](server.address)
    server.status = status
    for call in (lambda: backend.get("k"), lambda: backend.set("k", b""), lambda: backend.delete("k"),
                 lambda: backend.exists("k")):
        with pytest.raises(BackendError) as failure:
            call()
        assert failure.value.error_type is BackendErrorType(kind) and str(status) in failure.value.message
    healthy, details = backend.health_check()
    assert not healthy and details["error"]
    function = cache(backend=backend)(lambda x: x)
    assert [function(1), function(1)] == [1, 1]


def test_a_server_that_is_gone_slow_or_breaks_off_is_told_apart(guide: dict[str, Any], server: Server) -> None:
    gone = Server()
    gone.close()
    with pytest.raises(BackendError) as failure:
        guide["HTTPBackend"](gone.address).get("k")
    assert failure.value.error_type is BackendErrorType.TRANSIENT
    server.wait.clear()
    with pytest.raises(BackendError) as failure:
        guide["HTTPBackend"](server.address, timeout=0.2).get("k")
    assert failure.value.error_type is BackendErrorType.TIMEOUT
    server.wait.set()
    backend = guide["HTTPBackend"](server.address)
    backend.set("k", b"value")
    server.cut = True
    with pytest.raises(BackendError) as failure:
        backend.get("k")
    assert failure.value.error_type is BackendErrorType.TRANSIENT


class ClientError(Exception):
    """As botocore's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}}


class Binary:
    """As boto3's: bytes come back wrapped."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __bytes__(self) -> bytes:
        return self.value


class Table:
    """As boto3's, as far as it is used. What has expired stays."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.fail: str | None = None

    def _begin(self) -> None:
        if self.fail is not None:
            raise ClientError(self.fail)

    def put_item(self, *, Item: dict[str, Any]) -> dict[str, Any]:
        self._begin()
        self.items[Item["key"]] = {**Item, "value": Binary(bytes(Item["value"]))}
        return {}

    def get_item(self, *, Key: dict[str, str], ConsistentRead: bool = False, ProjectionExpression: str | None = None,
                 ExpressionAttributeNames: dict[str, str] | None = None) -> dict[str, Any]:
        self._begin()
        assert ConsistentRead
        item = self.items.get(Key["key"])
        if item is not None and ProjectionExpression is not None:
            names = [(ExpressionAttributeNames or {}).get(name, name) for name in ProjectionExpression.split(", ")]
            assert "key" not in ProjectionExpression.replace("#key", "")
            item = {name: item[name] for name in names if name in item}
        return {} if item is None else {"Item": item}

    def delete_item(self, *, Key: dict[str, str], ReturnValues: str = "NONE") -> dict[str, Any]:
        self._begin()
        item = self.items.pop(Key["key"], None)
        return {} if item is None or ReturnValues != "ALL_OLD" else {"Attributes": item}


def test_the_backend_over_a_table_passes_the_check_of_the_guide(guide: dict[str, Any]) -> None:
    backend = guide["DynamoDBBackend"](Table())
    assert isinstance(backend, BaseBackend)
    guide["check"](backend)


def test_functions_over_a_table(guide: dict[str, Any]) -> None:
    table = Table()
    runs = []

    @cache(backend=guide["DynamoDBBackend"](table), ttl=60, l1_enabled=False)
    def function(size: int) -> bytes:
        runs.append(size)
        return bytes(i * i % 251 for i in range(size))

    before = int(time.time())
    assert function(1000) == function(1000) and runs == [1000]
    assert before + 60 <= next(iter(table.items.values()))["expires"] <= time.time() + 61
    table.fail = "ThrottlingException"
    assert function(1000) == function(1000) and len(runs) == 3


@pytest.mark.parametrize(
    ("code", "kind"),
    [("ThrottlingException", "transient"), ("ValidationException", "permanent"), ("AccessDeniedException", "authentication"),
     ("SomethingNew", "unknown")],
)
def test_a_failure_of_the_table_has_its_kind(guide: dict[str, Any], code: str, kind: str) -> None:
    table = Table()
    backend = guide["DynamoDBBackend"](table)
    table.fail = code
    for call in (lambda: backend.get("k"), lambda: backend.set("k", b""), lambda: backend.delete("k")):
        with pytest.raises(BackendError, match=code) as failure:
            call()
        assert failure.value.error_type is BackendErrorType(kind)
    assert backend.health_check()[0] is False


def test_a_value_too_large_for_an_item_is_returned_and_kept_nowhere(guide: dict[str, Any]) -> None:
    import os

    table = Table()
    value = os.urandom(500_000)
    runs = []

    @cache(backend=guide["DynamoDBBackend"](table))
    def function() -> bytes:
        runs.append(1)
        return value

    assert function() == function() == value
    assert len(runs) == 2 and table.items == {} and function.cache.stats()["l2_errors"] == 0
