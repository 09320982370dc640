# By name (string)
@cache(serializer="std", backend=None)  # StandardSerializer (alias)
@cache(serializer="auto", backend=None)  # AutoSerializer
@cache(serializer="orjson", backend=None)  # OrjsonSerializer
@cache(serializer="arrow", backend=None)  # ArrowSerializer

# By instance (for configuration)
@cache(serializer=ArrowSerializer(return_format="polars"), backend=None)
@cache(serializer=OrjsonSerializer(option=orjson.OPT_SORT_KEYS), backend=None)

# No parameter = default StandardSerializer
@cache(ttl=3600, backend=None)  # Uses StandardSerializer automatically
