/* support/certificates.h - keys and certificates for tests of encrypted connections, made anew each time.
 *
 * `dir` gets, in PEM form:
 *     ca.pem, other-ca.pem      two authorities that know nothing of each other
 *     server.pem, server.key    for localhost, cache.test and 127.0.0.1, signed by ca
 *     elsewhere.pem             the same for elsewhere.test alone
 *     expired.pem, early.pem    the same as server.pem, out of date and not yet valid
 *     client.pem, client.key    for a client, signed by ca
 *     other-client.pem          the same, signed by other-ca
 * Keys are readable for their owner only; one key serves all of the server's certificates, another all of the
 * client's. */
#ifndef CKIT_SUPPORT_CERTIFICATES_H
#define CKIT_SUPPORT_CERTIFICATES_H

/* Fails the test when it cannot. */
void certificates_make(const char *dir);

#endif
