import atexit
import asyncio

async def shutdown():
    await redis.close()

atexit.register(lambda: asyncio.run(shutdown()))
