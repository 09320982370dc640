RedisBackend(prefix="myapp:prod:")
