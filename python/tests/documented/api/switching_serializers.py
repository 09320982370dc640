# BEFORE: Using StandardSerializer (default)
@cache
def get_data():
    return df

# AFTER: Switching to ArrowSerializer
@cache(serializer="arrow")
def get_data():
    return df

# First call after change:
# 1. Cache hit returns old StandardSerializer data
# 2. Deserializer detects format mismatch
# 3. Error message explains the mismatch
# 4. Function executes, caches with new serializer
# 5. Subsequent calls work normally
