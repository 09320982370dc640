/* config/tenant.h - whose entries: the beginning of their keys in a shared store. */
#ifndef CKITI_CONFIG_TENANT_H
#define CKITI_CONFIG_TENANT_H

#include <cachekit/error.h>

/* Room for what ckiti_tenant_prefix writes, which is as long as a prefix of the Redis store may be. */
#define CKITI_TENANT_PREFIX 1025

/* Writes "t:TENANT:", as all SDKs of the CacheKit family do: of the tenant's name letters, digits and -._~ stand as
 * they are, every other byte as %XX (RFC 3986, unreserved characters). CKIT_E_CONFIGURATION when it is empty or too
 * long. */
ckit_status ckiti_tenant_prefix(const char *tenant, char out[CKITI_TENANT_PREFIX], ckit_error *err);

#endif
