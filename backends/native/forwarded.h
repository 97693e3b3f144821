/* What a trusted proxy says of its client: X-Forwarded-*, Forwarded (RFC 7239), PROXY v1/v2.
 *
 * Pure C: no Python, no system call. Addresses are compared as 128 bits; a peer on a
 * unix socket is trusted only when the list says so ("unix" or "*").
 */
#ifndef CHAUSSETTE_FORWARDED_H
#define CHAUSSETTE_FORWARDED_H

#include "parse.h"

struct peer {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
    bool is_unix;
    char text[46]; /* as shown to the application: no port, no zone, no brackets */
    uint8_t text_len;
};

struct trust; /* a compiled list of networks */

/* Which fields of a trusted peer are believed. A proxy sets some of them and hands the others
 * on as its client wrote them: only what the proxy sets may be on. */
enum belief_bit {
    BELIEVE_FOR = 1,
    BELIEVE_PROTO = 2,
    BELIEVE_HOST = 4,
    BELIEVE_PORT = 8,
    BELIEVE_PREFIX = 16,
    BELIEVE_PROTOCOL = 32, /* X-Forwarded-Protocol: ssl */
    BELIEVE_SSL = 64,      /* X-Forwarded-Ssl: on */
    BELIEVE_FORWARDED = 128,
};

/* Compiles a comma-separated list: addresses, CIDR networks, "*", "unix". NULL with *error
 * (static text) and *at when malformed. An empty list trusts nobody. What is believed is
 * BELIEVE_FOR | BELIEVE_PROTO until trust_believe() says otherwise. */
struct trust *trust_compile(const char *text, size_t len, const char **error, size_t *at);
void trust_free(struct trust *trust);
/* No list (NULL) trusts nobody, either. */
bool trusts(const struct trust *trust, const struct peer *peer);

/* Compiles a comma-separated list of field names to belief bits. False with *error and *at. */
bool believe_compile(const char *text, size_t len, uint32_t *what, const char **error, size_t *at);
void trust_believe(struct trust *trust, uint32_t what);

struct forwarded {
    struct peer client;  /* text_len == 0: not said; its port is 0 when that was not said */
    bool hidden;         /* the client is said to be unknown, or an obfuscated name (RFC 7239
                          * section 6.3): there is no address, the peer's would be wrong */
    bool https;          /* said to be https */
    bool has_scheme;
    struct slice host;   /* empty: not said; points into the request's head */
    uint16_t port;       /* X-Forwarded-Port; 0: not said (host may end in one) */
    struct slice prefix; /* X-Forwarded-Prefix, begins with one '/', without one at its end, still
                          * percent-encoded (path_decode() succeeds); empty: not said */
};

/* Reads the fields of a request that came from a trusted peer. The client is the rightmost
 * address that no network of the list contains ("*" speaks of peers only, so that it cannot be
 * made up by the client), or the leftmost when all are. What stands left of the client is
 * the client's own claim and is not read. Fields that contradict each other, or are
 * malformed, return 400 with *reason (static text); else 0. */
int forwarded_read(struct forwarded *out, const struct request *request, const struct trust *trust,
                   const char **reason);

enum proxy_result { PROXY_PARTIAL, PROXY_DONE, PROXY_ERROR };

#define PROXY_MAX 4112 /* bytes of a header: what the caller's buffer must hold */

/* Reads a PROXY protocol header, version 1 or 2, at the start of a connection. *used is its
 * length on PROXY_DONE. LOCAL and UNKNOWN leave *client alone; a client on a unix socket has
 * is_unix and no text. A connection without a header is an error: the protocol forbids guessing. */
enum proxy_result proxy_read(const char *data, size_t len, struct peer *client, size_t *used,
                             const char **reason);

/* Text of an address into peer->text from peer->address. */
void peer_describe(struct peer *peer);

#endif
