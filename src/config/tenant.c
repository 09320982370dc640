#include "config/tenant.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

ckit_status ckiti_tenant_prefix(const char *tenant, char out[CKITI_TENANT_PREFIX], ckit_error *err) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t            used = 2;
    if (*tenant == '\0') {
        return ckit_fail(err, CKIT_E_CONFIGURATION, "open", "the tenant is empty: it must name somebody");
    }
    memcpy(out, "t:", 3);
    for (; *tenant != '\0' && used + 5 < CKITI_TENANT_PREFIX; tenant++) {
        if (strchr(plain, *tenant) != NULL) {
            out[used++] = *tenant;
        } else {
            used += (size_t)snprintf(out + used, CKITI_TENANT_PREFIX - used, "%%%02X", (unsigned)(uint8_t)*tenant);
        }
    }
    if (*tenant != '\0') {
        return ckit_fail(err, CKIT_E_CONFIGURATION, "open", "the tenant's name is too long");
    }
    out[used] = ':';
    out[used + 1] = '\0';
    return CKIT_OK;
}
