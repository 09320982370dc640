from cachekit import cache

@cache  # Uses Redis backend by default
def fetch_data():
    return expensive_computation()
