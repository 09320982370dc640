from cachekit import cache
from cachekit.serializers import EncryptionWrapper, OrjsonSerializer

# Encrypted MessagePack (use @cache.secure preset)
@cache.secure(master_key=secret_key, backend=None)
def get_user_ssn(user_id: int):
    return {"ssn": "123-45-6789", "dob": "1990-01-01"}

# Encrypted JSON (zero-knowledge API caching)
@cache(serializer=EncryptionWrapper(serializer=OrjsonSerializer(), master_key=bytes.fromhex(secret_key)), backend=None)
def get_api_keys(tenant_id: str):
    return {"api_key": "sk_live_...", "webhook_secret": "whsec_..."}
