RedisBackend(connect_timeout=2, socket_timeout=2)
