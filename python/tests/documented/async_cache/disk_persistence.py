from cache import AsyncCache, DiskBackend, RedisBackend

backup = DiskBackend("/tmp/cache.pkl")
redis = RedisBackend(host="localhost", port=6379)

cache = AsyncCache(
    maxsize=1000,
    default_ttl=300,
    backup=backup,
    remote_cache=redis,
)

# On init: loads from disk (backup)
# During runtime: L1 → L2 (Redis) → loader
# On shutdown: save to disk
cache.save_to_backup()
