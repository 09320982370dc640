from cache import AsyncLRU, AsyncTTL, RedisBackend

redis = RedisBackend(host="redis.example.com", port=6379)

@AsyncLRU(maxsize=128, remote_cache=redis)
async def get_product(product_id: int):
    return await db.query_product(product_id)

@AsyncTTL(time_to_live=60, remote_cache=redis)
async def get_session(session_id: str):
    return await db.get_session(session_id)
