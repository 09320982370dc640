from cachekit import cache

# Default (MessagePack) - handles all common cases
@cache(backend=None)
def default_function():
    return {
        'coords': (10.5, 20.3),  # Note: tuple converted to list on retrieval
        'data': [1, 2, 3],
        'nested': {'key': 'value'}
    }
