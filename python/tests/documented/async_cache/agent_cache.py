from agent_cache import AgentCache
from cache import RedisBackend

redis = RedisBackend(host="redis.example.com", port=6379, prefix="agent:")

@AgentCache(resource="cart", scope="global", ttl=120, remote_cache=redis)
async def get_cart(user_id):
    return await shop_api.get_cart(user_id)
