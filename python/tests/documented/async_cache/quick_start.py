from cache import AsyncCache, RedisBackend

redis = RedisBackend(host="localhost", port=6379)
cache = AsyncCache(maxsize=1000, default_ttl=300, remote_cache=redis)

async def get_user(user_id):
    return await cache.get(
        f"user:{user_id}",
        loader=lambda: fetch_from_database(user_id),
    )

# First call: L1 miss → L2 miss → loader → writes to L1 + L2
# Second call: L1 hit (instant)
# Call from another instance: L1 miss → L2 hit → populates L1
