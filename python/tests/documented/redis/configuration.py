from cachekit.backends.redis import RedisBackend
from cachekit.backends.redis.config import RedisBackendConfig

config = RedisBackendConfig(
    redis_url="redis://prod.example.com:6379",
    connection_pool_size=25,
    socket_keepalive=True,
    disable_hiredis=False,
)

backend = RedisBackend(config)
