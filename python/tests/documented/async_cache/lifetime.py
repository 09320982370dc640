cache = AsyncCache(default_ttl=3600, remote_cache=redis)
