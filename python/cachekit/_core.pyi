"""The part of cachekit that is written in C, over libcachekit. Programs use what `cachekit` and its modules offer."""

from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from contextvars import ContextVar
from inspect import Signature
from types import CodeType, FrameType, TracebackType
from typing import Any, Generic, Literal, TypedDict, TypeVar, overload

from cachekit._limits import Limits
from cachekit.backends._adapter import Adapter
from cachekit.decorator import CacheInfo
from typing_extensions import Buffer, Concatenate, ParamSpec, Self, final

_P = ParamSpec("_P")
_Q = ParamSpec("_Q")
_R = TypeVar("_R", covariant=True)
_S = TypeVar("_S")

version: str
"""The version of the library that is linked in."""
is_main_interpreter: bool
"""Whether this is the process's first interpreter: others cannot end while they have threads."""

class _Setting(TypedDict):
    name: str
    group: str
    variable: str
    url_parameter: str | None
    option: str | None
    type: str
    default: str
    range: str
    help: str
    secret: bool

def settings() -> list[_Setting]:
    """What the library can be configured to. Says nothing about what is configured."""

# ---- keys -----------------------------------------------------------------------------------------------------------

def cache_key(
    function: str,
    args: tuple[object, ...] = (),
    kwargs: Mapping[str, object] | None = None,
    namespace: str | None = None,
    integrity: bool = True,
) -> str:
    """The key under which a call's result is stored.

    `function` is the module's name, a dot, and the function's qualified name; `integrity` says whether values are stored
    with a checksum. Raises as `pack_args` does, and CachekitError for an empty function.
    """

def custom_key(namespace: str | None, text: str, /) -> str:
    """The key of an entry that a ``key=`` function has named `text`. No namespace (None or ``""``) counts as ``default``."""

def interop_key(namespace: str, operation: str, args: tuple[object, ...], /) -> str:
    """The key that all SDKs make of a call. InteropError for what is outside of the model."""

def interop_encode(object: object, /) -> bytes:
    """The object as a canonical document of interop mode. InteropError for what is outside of the model."""

def interop_decode(document: Buffer, /) -> Any:
    """The object of a document of interop mode, in any form. ValueError, with the place, for bytes that are none."""

def pack_args(args: tuple[object, ...] = (), kwargs: Mapping[str, object] | None = None) -> bytes:
    """The arguments of one call in the form that keys hash.

    Raises TypeError, OverflowError, UnicodeEncodeError or RecursionError for arguments that cannot be part of a key.
    """

# ---- values ---------------------------------------------------------------------------------------------------------

def encode(object: object, hook: Callable[[Any], object] | None = None, /) -> bytes:
    """The object as a document of the standard serializer; with `hook` as serializer ``"auto"`` writes it.

    Raises TypeError, with advice, for what no document holds.
    """

def decode(document: Buffer, hook: Callable[[dict[Any, Any]], object] | None = None, /) -> Any:
    """The object of a document; with `hook` of one that serializer ``"auto"`` wrote.

    Raises ValueError, with the place, for bytes that are not exactly one document.
    """

# ---- stored forms ---------------------------------------------------------------------------------------------------

def checksum(data: Buffer) -> bytes:
    """XXH3-64: eight bytes, most significant first."""

def envelope_store(data: Buffer, format: str = "msgpack", level: int = 0) -> bytes:
    """The data in a ByteStorage envelope: compressed (LZ4) and with a checksum.

    `level` is 1 (fastest) to 9 (smallest), 0 for the default, -1 for no compression.
    """

def envelope_open(envelope: Buffer) -> tuple[bytes, str]:
    """The content and the format of an envelope, checked."""

class _Frame(TypedDict):
    serializer: str
    format: str
    encoding: str
    compressed: bool
    original_type: str | None
    encrypted: bool
    tenant_id: str | None
    encryption_algorithm: str | None
    key_fingerprint: str | None
    legacy: bool

def frame_write(
    payload: Buffer,
    *,
    serializer: str,
    format: str,
    encoding: str = "utf-8",
    compressed: bool = False,
    original_type: str | None = None,
    encrypted: bool = False,
    tenant_id: str | None = None,
    encryption_algorithm: str | None = None,
    key_fingerprint: str | None = None,
) -> bytes:
    """The stored form of a payload: the "CK" frame that says how to read it. The last four describe encrypted payloads."""

def frame_parse(stored: Buffer) -> tuple[_Frame, memoryview | bytes]:
    """The fields of a stored value's frame, and the payload: a view of `stored`, or bytes for the text form of old versions.

    Raises CachekitError. Its attribute `verdict` says what to do with the entry: ``"malformed"`` (not a frame we know:
    keep it), ``"corrupt"`` or ``"suspicious"`` (delete it), ``"undecided"``.
    """

# ---- the pipeline ---------------------------------------------------------------------------------------------------

class _Timing(TypedDict):
    operations: int
    window: int
    timeout_ms: int
    percentile_ms: float
    average_ms: float
    timed_out: int

class _GuardStats(TypedDict):
    state: Literal["closed", "open", "half_open"]
    failures_in_a_row: int
    probe_successes: int
    probes: int
    recovery_in_ms: int
    failures: int
    refused: int
    opened: int
    half_opened: int
    closed: int
    in_flight: int
    waiting: int
    waited: int
    rejected: int
    accepting: bool
    retries: int
    recovered: int
    data: _Timing
    locks: _Timing
    last_failure_ms_ago: int | None

@final
class Guard:
    """What stands between caches and a store: circuit breaker, time limit, bound, retries.

    Options and figures have the names of ckit_guard_options and ckit_guard_stats in cachekit/guard.h; switches are
    bools. Raises CachekitError (E103) for options that contradict each other.
    """

    def __new__(cls, **options: bool | float) -> Self: ...
    def stats(self) -> _GuardStats:
        """What it has seen and thinks."""

    def options(self) -> dict[str, Any]:
        """The numbers in effect."""

    def reset(self) -> None:
        """Closes the circuit."""

    def enter(self) -> tuple[bytes, int]:
        """The right to one operation, and its time limit in milliseconds. CachekitError (E030, E109) when it is refused."""

    def leave(self, entered: bytes, kind: int, /) -> None:
        """The operation is over; once. `kind` is that of its failure (ckit_error_kind), 0 for none."""

    def record(self, seconds: float, locks: bool = False, /) -> None:
        """Somebody else has measured an operation."""

@final
class KeyRing:
    """Keys for sealing payloads. Hexadecimal text; not shown anywhere."""

    def __new__(cls, master_key: str | None, previous_master_keys: str | None = None) -> Self: ...
    def fingerprint(self, tenant: str, /) -> str:
        """The public name of a tenant's current key: 32 hexadecimal digits."""

    def seal(
        self, tenant: str, key: str, format: str, compressed: bool, original_type: str | None, payload: Buffer, /
    ) -> bytes:
        """The sealed form of a payload."""

    def unseal(
        self,
        tenant: str,
        key: str,
        format: str,
        compressed: bool,
        original_type: str | None,
        fingerprint: str,
        sealed: Buffer,
        /,
    ) -> bytes:
        """The payload of a sealed form, with the key of that fingerprint, or with any when it is empty."""

@final
class Cache:
    """A cache: memory, and the store that `url` names (None: the environment) or `backend` is."""

    def __new__(
        cls,
        url: str | None,
        *,
        l1: bool = True,
        l1_max_bytes: int = 0,
        default_ttl_ms: int = 0,
        integrity: bool = True,
        max_value_bytes: int = 0,
        backend: Adapter | None = None,
        tenant: str | None = None,
        guard: bool | Guard | Mapping[str, bool | int | float] | None = None,
        coherence: bool = ...,
        encryption: bool | None = None,
        master_key: str | None = None,
        previous_master_keys: str | None = None,
        deployment: str | None = None,
        fail_closed: bool | None = None,
    ) -> Self:
        """`guard`: False for none, options by the names of `Guard`, or one that other caches of the store have."""

    def get(self, key: str | Buffer, /) -> bytes | None:
        """The stored bytes as they are, or None."""

    def set(self, key: str | Buffer, value: Buffer, ttl_ms: int, /) -> None:
        """Stores bytes as they are. `ttl_ms`: 2**64 - 1 for no expiry, 2**64 - 2 to store nothing, 0 for the default."""

    def delete(self, key: str | Buffer, /) -> bool:
        """Removes the entry; True when there was one."""

    def exists(self, key: str | Buffer, /) -> bool:
        """Whether there is a live entry."""

    def stats(self) -> dict[str, int]:
        """Counters of this cache."""

    def health(self) -> dict[str, Any]:
        """Tries the store out: ``healthy``, ``latency_ms``, ``backend_type``, ``detail``, ``connections``,
        ``connections_in_use``, ``connections_max``."""

    def guard(self) -> Guard | None:
        """What stands between it and its store; a new object each time."""

    def ttl(self, key: str | Buffer, /) -> int | None:
        """The remaining life in milliseconds; 2**64 - 1: no expiry, 2**64 - 2: unknown. None: no entry."""

    def touch(self, key: str | Buffer, ttl_ms: int, /) -> bool:
        """Gives the entry a new lifetime; True when there is one."""

    def lock(self, key: str | Buffer, lease_ms: int, /) -> bytes | None:
        """One attempt to take the store's lock of a key: a token, or None when somebody else holds it."""

    def renew_lock(self, key: str | Buffer, token: bytes, lease_ms: int, /) -> bool:
        """Lengthens the lease; True while it is ours."""

    def unlock(self, key: str | Buffer, token: bytes, /) -> bool:
        """Gives the lock back; True when it was ours."""

    def release_objects(self) -> None:
        """Gives back the references of objects that memory has let go of."""

@final
class Operation:
    """A result that is owed to the cache. One that is dropped counts as failed."""

    def finish(self, result: object, /) -> None:
        """Keeps the result. Raises when it cannot be kept; the operation is over in any case."""

    def fail(self) -> None:
        """The function has failed: a call that waits takes over."""

    def move_here(self) -> None:
        """This thread is going to run the function, not the one that began: it will not wait for itself."""

    def claim(self, poll: Poll | None, /) -> bool | None:
        """Of a refresh, before its function runs: looks whether somebody else has refreshed the result, and takes the store's
        lock. True: run the function. False: this is over. None (with a poll): not known yet; when `wake` is done, again. Without
        a poll it waits."""

    # Of a call that is awaited.
    @property
    def function(self) -> CachedFunction[..., Any]:
        """The function that was called."""

    wake: Any
    """The future that waits for the next answer; it gets None as its result."""
    def advance(
        self, poll: Poll, computing: tuple[Operation, ...], /
    ) -> Literal["value", "stale", "compute", "pending", "uncached"]:
        """Goes on without waiting. `computing`: what the caller computes at the moment, directly or not.

        ``"value"``: take it. ``"stale"``: the same, and then `start_refresh`. ``"compute"``: run the function, then `settle` or `fail`. ``"pending"``: when `wake` is
        done, advance again. ``"uncached"``: run the function, this is over.
        """

    def take(self) -> Any:
        """The value, once."""

    def start_refresh(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> bool:
        """Has the stale value computed anew. False: nobody does."""

    def overdue(self, hard: bool, /) -> tuple[Any] | Literal[False] | None:
        """The caller has waited as long as its limit: the older value that it may have, or None. False: the function has
        ended, and its result is on its way."""

    def fall_back(self, error: BaseException, /) -> bool:
        """The function has failed. True: `take` gives an older value that stands in for its result."""

    def settle(self, result: object, /) -> bool:
        """Keeps the result, or tells why it cannot be kept. True while it is on its way to the store; `wake` then."""

    def drop(self) -> None:
        """Nobody is interested any more: a call that waits takes over. A result on its way to the store arrives."""

@final
class Batch:
    """Many calls in progress. One that is dropped counts as failed."""

    wake: Any
    """The future that waits for the next answer; it gets None as its result."""
    def advance(self, poll: Poll | None, /) -> Literal["done", "compute", "pending"]:
        """Goes on without waiting. ``"done"``: `results`. ``"compute"``: load what is `missing`, then `finish` or `fail`.
        ``"pending"``: when `wake` is done, advance again; without a poll, `wait`."""

    def wait(self) -> Literal["done", "compute"]:
        """Goes on in this thread, which is to run the loader, and blocks; so do `finish` and `fail` then."""

    def missing(self) -> list[int]:
        """The positions of the calls that are to be loaded."""

    def finish(self, results: Iterable[Any], /) -> None:
        """As many as were missing. An exception is the failure of its call."""

    def fail(self, error: BaseException, /) -> None:
        """The loader has failed."""

    def results(self) -> tuple[list[Any], list[int], list[int]]:
        """The results, once it is done; the positions that have none: those calls run uncached; and the positions of
        those that are stale, to be refreshed."""

    def overdue(self, hard: bool, /) -> tuple[list[Any], list[int]] | None:
        """The caller has waited as long as its limit: what he may have, a result or an older one, and the positions that have
        nothing. None: the results have been taken. From any thread."""

    def drop(self) -> None:
        """Nobody is interested any more: calls that wait take over. Results on their way to the store arrive."""

@final
class Poll:
    """Where an event loop hears of answers of the cache. It lives as long as something watches it."""

    def __new__(cls, cache: Cache) -> Self: ...
    cache: Cache
    """The cache whose answers it brings."""
    def fileno(self) -> int:
        """What to watch for reading."""

    def abandon(self) -> None:
        """The loop is closed: calls that wait elsewhere take over what it computes."""

    def dispatch(self) -> None:
        """Tells every future whose answer is there. In the thread of the loop."""

class Answer(Coroutine[Any, Any, _R]):
    """What a call of a cached coroutine function returns: a coroutine in all but type."""

    @property
    def cr_await(self) -> Any | None: ...
    @property
    def cr_code(self) -> CodeType | None: ...
    @property
    def cr_frame(self) -> FrameType | None: ...
    @property
    def cr_origin(self) -> tuple[tuple[str, int, str], ...] | None: ...
    @property
    def cr_running(self) -> bool: ...
    @property
    def cr_suspended(self) -> bool: ...
    def send(self, value: Any, /) -> Any:
        """Runs until it waits or is over; StopIteration has the result then."""

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None, /) -> Any:
        """Raises it where the call waits."""

    def close(self) -> None:
        """Ends the call."""

    def __await__(self) -> Generator[Any, Any, _R]:
        """The steps of the call, as an iterator."""

    def __next__(self) -> Any: ...

class ReceiverError(TypeError):
    """A method is called on what neither an identity nor a key stands for."""

@final
class CachedMethod(Generic[_P, _R]):
    """A decorated function bound to the object that it was looked up on. Other attributes are the function's."""

    def __new__(cls, function: Callable[Concatenate[Any, _P], _R], self: object) -> CachedMethod[_P, _R]: ...
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    @property
    def __func__(self) -> Callable[..., _R]:
        """The decorated function."""

    @property
    def __self__(self) -> object:
        """What it is bound to."""

    @property
    def __signature__(self) -> Signature: ...
    def __getattr__(self, name: str) -> Any: ...
    def invalidate_cache(self, *args: Any, **kwargs: Any) -> None:
        """Forgets one call on this object; without arguments every one."""

    def ainvalidate_cache(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        """Forgets as `invalidate_cache` does, for event loops."""

@final
class CachedClassMethod(classmethod[Any, Any, Any]):
    """A class method whose bound methods are `CachedMethod` objects."""

@final
class CachedFunction(Generic[_P, _R]):
    """A function with a cache in front."""

    def __new__(
        cls,
        cache: Cache,
        function: Callable[_P, _R],
        name: str,
        *,
        namespace: str | None = None,
        ttl_ms: int = 0,
        stale_ms: int = 0,
        integrity: bool = True,
        l1: bool = True,
        first: int = 0,
        method: int = 0,
        objects: bool = False,
        key: Callable[_P, str] | None = None,
        warn: Callable[[Literal["key", "value", "cache", "tenant"], BaseException | None], object] | None = None,
        dump: Callable[[Any], bytes] | None = None,
        load: Callable[[Any], object] | None = None,
        miss: Callable[..., Any] | None = None,
        refresh: Callable[[Operation, tuple[Any, ...], dict[str, Any], bool], bool] | None = None,
        early_refresh: float = 0.0,
        bound: tuple[tuple[Any, ...], dict[str, Any]] | None = None,
        renew_below: float = 0,
        gone: Callable[[], object] | None = None,
        tenants: tuple[
            ContextVar[Any] | Callable[[tuple[Any, ...], dict[str, Any]], object], Callable[[Any], CachedFunction[_P, _R]]
        ]
        | None = None,
        interop: tuple[str, tuple[Any, ...], Callable[[], object] | None] | None = None,
        encryption: bool | None = None,
        tenant: str | None = None,
        fresh: tuple[int, float, float, int, bool] = (0, 0.0, 0.0, 0, False),
        limits: tuple[int, int, Limits] = ...,
    ) -> Self:
        """See python/ext/function.h for what each of them is. `first`, `method` and `bound` as
        _methods.Shape has them."""

    __wrapped__: Callable[_P, _R]
    """The function without its cache."""
    cache: Cache
    """The cache that it uses."""

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: CachedFunction[Concatenate[_S, _Q], _R], instance: _S, owner: type[_S] | None = None, /
    ) -> CachedMethod[_Q, _R]: ...
    def forget(self, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """Forgets the call with these arguments, in both tiers; True when there was one."""

    def forget_all(self) -> None:
        """Forgets every call of the function, in both tiers."""

    def forget_receiver(self, object: object, /) -> bool:
        """Forgets every call of a method on this object; False when nothing is kept by its identity."""

    def tell_uncached(self, exception: BaseException, /) -> None:
        """Counts a call that runs uncached, and warns of it: this exception is why its tenant cannot be told."""

    def counters(self) -> dict[str, int]:
        """What this function has counted: ``l1_hits``, ``l2_hits``, ``misses``, ``computed``, ``errors``, ``uncached``."""

    def call_many(
        self,
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]],
        loader: Callable[[list[int]], Iterable[Any]],
        refresh: Callable[[list[int]], None],
        /,
    ) -> list[Any]:
        """The results of many calls; ``loader`` is called with the positions of those that are missing, and returns as
        many results. What is an exception there is one here too. ``refresh`` is called with the positions of those
        whose results are stale, if there are any."""

    def begin_many(self, calls: list[tuple[tuple[Any, ...], dict[str, Any]]], /) -> Batch:
        """The same for an event loop."""

    def begin_refresh(self, calls: list[tuple[tuple[Any, ...], dict[str, Any]]], /) -> Batch:
        """Refreshes those whose results in memory are due, and which nobody is refreshing; it has no results."""

    # What the decorator attaches.
    __name__: str
    __qualname__: str
    def cache_info(self) -> CacheInfo:
        """What this function has counted since the last `cache_clear`."""

    def cache_clear(self) -> None:
        """Forgets all results of this function and counts from zero again.

        TypeError for a coroutine function with a store, which would have to be waited for: use `ainvalidate_cache`.
        """

    @overload
    def invalidate_cache(
        self: CachedFunction[_P, Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, None]: ...
    @overload
    def invalidate_cache(self, *args: Any, **kwargs: Any) -> None:
        """Forgets the result of one call; without arguments, of every call of a function that has parameters.

        Of a coroutine function it is a coroutine function too.
        """

    def ainvalidate_cache(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        """Forgets as `invalidate_cache` does, and the event loop goes on while the store is asked."""

    @overload
    def get_many(
        self: CachedFunction[_P, Coroutine[Any, Any, Any]],
        calls: Iterable[Any],
        loader: Callable[[list[Any]], Any] | None = None,
        *,
        return_exceptions: bool = False,
    ) -> Coroutine[Any, Any, list[Any]]: ...
    @overload
    def get_many(
        self,
        calls: Iterable[Any],
        loader: Callable[[list[Any]], Any] | None = None,
        *,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """The results of many calls, in their order: one look into memory, one read of the store, and one call of
        ``loader`` with those that are missing.

        A tuple is the positional arguments of a call, anything else its only argument. ``loader`` returns one result for
        each, in order, or a mapping; an exception among them is the failure of that call alone. Of a coroutine function it
        is a coroutine function too.
        """

    def aget_many(
        self,
        calls: Iterable[Any],
        loader: Callable[[list[Any]], Any] | None = None,
        *,
        return_exceptions: bool = False,
    ) -> Coroutine[Any, Any, list[Any]]:
        """As `get_many`, and the event loop goes on meanwhile. ``loader`` may be a coroutine function."""

    def get_health_status(self) -> dict[str, Any]:
        """The features of this function and their state. Does not touch the store."""

    @overload
    def check_health(self: CachedFunction[_P, Coroutine[Any, Any, Any]]) -> Coroutine[Any, Any, dict[str, Any]]: ...
    @overload
    def check_health(self) -> dict[str, Any]:
        """The features of this function and their state, after trying the store out.

        Of a coroutine function it is a coroutine function too.
        """

@final
class LocalFunction(Generic[_P, _R]):
    """A function with a cache of its own, which keeps results as they are."""

    def __new__(
        cls,
        function: Callable[_P, _R],
        *,
        ttl_ms: int,
        max_entries: int,
        key: Callable[_P, object] | None = None,
        first: int = 0,
        miss: Callable[..., Any] | None = None,
    ) -> Self:
        """See python/ext/local.h for what each of them is."""

    __wrapped__: Callable[_P, _R]
    """The function without its cache."""

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: LocalFunction[Concatenate[_S, _Q], _R], instance: _S, owner: type[_S] | None = None, /
    ) -> CachedMethod[_Q, _R]: ...
    def forget(self, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """Forgets the call with these arguments; True when there was one."""

    def forget_all(self) -> None:
        """Forgets every call."""

    def forget_receiver(self, object: object, /) -> bool:
        """Forgets every call of a method on this object; False when nothing is kept by its identity."""

    def counters(self) -> dict[str, int]:
        """``hits``, ``misses``, ``maxsize``, ``currsize``."""

    def pack(self, *args: _P.args, **kwargs: _P.kwargs) -> bytes:
        """What the call with these arguments is known by."""

    def look(self, packed: bytes, /) -> tuple[_R] | None:
        """The result that is kept for a call, in a tuple."""

    def keep(self, result: object, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Keeps a result of the call with these arguments."""

    # What the decorator attaches.
    __name__: str
    __qualname__: str
    def cache_info(self) -> CacheInfo:
        """What this function has counted, and how many results are kept."""

    def cache_clear(self) -> None:
        """Forgets all results. What was counted stays."""

    def invalidate_cache(self, *args: Any, **kwargs: Any) -> None:
        """Forgets the result of one call; without arguments, of every call of a function that has parameters."""

    def ainvalidate_cache(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        """Forgets as `invalidate_cache` does. Nothing waits."""
