@cache  # Uses RedisBackend with CACHEKIT_REDIS_URL or REDIS_URL
def my_function():
    return "result"
