#include <cachekit/error.h>

#include "support/test.h"
#include <errno.h>

CKIT_TEST(error, every_status_has_a_name_a_code_a_kind_and_a_text_of_its_own) {
    static const ckit_status all[] = {
#define STATUS_VALUE(name, value, kind, code, text) CKIT_##name,
        CKIT_STATUS_TABLE(STATUS_VALUE)
#undef STATUS_VALUE
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        CHECK(strcmp(ckit_status_name(all[i]), "E_UNKNOWN") != 0);
        for (size_t j = 0; j < i; j++) {
            CHECK(all[i] != all[j]);
            CHECK(strcmp(ckit_status_name(all[i]), ckit_status_name(all[j])) != 0);
            bool answers = all[i] < CKIT_E_FIRST && all[j] < CKIT_E_FIRST;
            CHECK(answers || strcmp(ckit_status_code(all[i]), ckit_status_code(all[j])) != 0);
        }
    }
    CHECK_STR("E999", ckit_status_code((ckit_status)999));
    CHECK_STR("TIMEOUT", ckit_error_kind_name(ckit_status_kind(CKIT_E_TIMEOUT)));
}

CKIT_TEST(error, a_failure_fills_the_record_and_returns_its_status) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS(CKIT_E_TOO_LARGE, ckit_fail(&err, CKIT_E_TOO_LARGE, "file", "%d of %d", 5, 3));
    CHECK_STATUS(CKIT_E_TOO_LARGE, err.status);
    CHECK_EQ_U(CKIT_KIND_PERMANENT, err.kind);
    CHECK_EQ_I(0, err.sys_errno);
    CHECK_STR("file", err.where);
    CHECK_STR("5 of 3", err.text);
}

CKIT_TEST(error, the_system_s_reason_is_appended) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS(CKIT_E_IO, ckit_fail_errno(&err, CKIT_E_IO, ENOSPC, "file", "writing"));
    CHECK_EQ_I(ENOSPC, err.sys_errno);
    CHECK_CONTAINS("writing: ", err.text);
    CHECK_CONTAINS("space", err.text);
}

CKIT_TEST(error, without_a_record_only_the_status_is_told) {
    CHECK_STATUS(CKIT_E_IO, ckit_fail(NULL, CKIT_E_IO, "file", "nobody listens"));
}

CKIT_TEST(error, text_that_does_not_fit_is_cut) {
    ckit_error err = CKIT_ERROR_INIT;
    char       longer[1000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    ckit_fail_errno(&err, CKIT_E_IO, EIO, longer, "%s", longer);
    CHECK_EQ_U(sizeof err.text - 1, strlen(err.text));
    CHECK_EQ_U(sizeof err.where - 1, strlen(err.where));
}
