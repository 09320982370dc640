#include "base/url.h"

#include "support/test.h"

/* The slices of the copy point into `url` itself, which stays. */
static ckiti_url parsed(const char *text) {
    static ckiti_url url;
    ckit_error       err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckiti_url_parse(&url, S(text), &err), &err);
    return url;
}

static void refused(const char *text, const char *because) {
    ckiti_url  url;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckiti_url_parse(&url, S(text), &err), &err);
    CHECK_CONTAINS(because, err.text);
    ckiti_url_fini(&url);
}

CKIT_TEST(url, every_part_is_found) {
    ckiti_url url = parsed("Redis://us%40er:p%3Aw@Example.org:6380/0?a=1&b=x%26y&flag");
    CHECK_TEXT("redis", url.scheme);
    CHECK_TEXT("us@er", url.user);
    CHECK_TEXT("p:w", url.password);
    CHECK_TEXT("Example.org", url.host);
    CHECK_EQ_U(6380, url.port);
    CHECK_TEXT("/0", url.path);
    CHECK_EQ_U(3, url.param_count);
    CHECK_TEXT("b", url.params[1].name);
    CHECK_TEXT("x&y", url.params[1].value);
    CHECK_TEXT("flag", url.params[2].name);
    CHECK_EQ_U(0, url.params[2].value.len);
}

CKIT_TEST(url, short_forms_have_no_authority) {
    ckiti_url url = parsed("memory:");
    CHECK_TEXT("memory", url.scheme);
    CHECK(!url.has_authority);
    CHECK_EQ_U(0, url.path.len);
    url = parsed("file:cache/dir?x=1");
    CHECK(!url.has_authority);
    CHECK_TEXT("cache/dir", url.path);
    url = parsed("file:///var/cache");
    CHECK(url.has_authority);
    CHECK_EQ_U(0, url.host.len);
    CHECK_TEXT("/var/cache", url.path);
}

CKIT_TEST(url, an_ipv6_address_stands_in_brackets) {
    ckiti_url url = parsed("redis://[::1]:7000/2");
    CHECK_TEXT("::1", url.host);
    CHECK_EQ_U(7000, url.port);
    url = parsed("redis://[fe80::1]");
    CHECK_TEXT("fe80::1", url.host);
    CHECK_EQ_U(0, url.port);
}

CKIT_TEST(url, a_password_may_hold_an_at_sign) {
    ckiti_url url = parsed("redis://u:p@ss@host");
    CHECK_TEXT("p@ss", url.password);
    CHECK_TEXT("host", url.host);
}

CKIT_TEST(url, what_is_malformed_is_refused_with_the_reason) {
    refused("", "scheme");
    refused("/var/cache", "scheme");
    refused(":x", "scheme");
    refused("1file:/x", "scheme");
    refused("fi_le:/x", "scheme");
    refused("file:/a%4", "percent");
    refused("file:/a%zz", "percent");
    refused("file:/a%00b", "control");
    refused("file:/a#b", "%23");
    refused("redis://host:99999", "port");
    refused("redis://host:0", "port");
    refused("redis://host:6x", "port");
    refused("redis://user:pass/word@host:6379", "%2F");
    refused("redis://user:pass?word@host:6379", "%2F");
    refused("redis://[::1", "']'");
    refused("redis://[::1]x", "port");
}

CKIT_TEST(url, a_text_or_parameter_list_without_end_is_refused) {
    static char text[CKITI_URL_MAX_BYTES + 2];
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "file:", 5);
    refused(text, "limit");
    text[0] = '\0';
    strcat(text, "file:/x?");
    for (int i = 0; i <= CKITI_URL_MAX_PARAMS; i++) {
        strcat(text, "a=1&");
    }
    refused(text, "parameters");
}

CKIT_TEST(url, no_error_repeats_the_password) {
    ckiti_url  url;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckiti_url_parse(&url, S("redis://u:hunter2%zz@host"), &err), &err);
    CHECK(strstr(err.text, "hunter2") == NULL);
    ckiti_url_fini(&url);
}
