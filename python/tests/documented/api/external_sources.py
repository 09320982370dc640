import pandas as pd

# Fast JSON serialization (API responses, webhooks)
@cache(serializer=OrjsonSerializer(), backend=None)
def get_api_response(endpoint: str):
    return {"status": "success", "data": fetch_api(endpoint)}  # external API call

# Zero-copy DataFrame caching (10K+ rows)
@cache(serializer=ArrowSerializer(), backend=None)
def get_large_dataset(date: str):
    return pd.read_csv(f"data/{date}.csv")  # file I/O
