/* Addresses as text: what stands in a list of networks, in X-Forwarded-For, in Forwarded.
 *
 * Pure C: no Python, no system call.
 */
#ifndef CHAUSSETTE_ADDRESS_H
#define CHAUSSETTE_ADDRESS_H

#include "forwarded.h"

/* Reads exactly one IPv4 or IPv6 address, without brackets, port or zone, into peer->address and
 * peer->text; the port becomes 0. *is_four says which it was. False when it is none. */
bool address_read(struct slice text, struct peer *peer, bool *is_four);

/* Reads an address with what proxies put around it: "1.2.3.4", "1.2.3.4:80", "::1", "[::1]",
 * "[::1]:80", and a zone behind an IPv6 address, which is dropped. */
bool address_read_node(struct slice text, struct peer *peer);

/* A port: 1 to 5 digits, no leading zero, at most 65535. -1 when it is none. */
int32_t port_read(struct slice text);

/* Whether the networks of the list (not its "*" or "unix") contain the address. */
bool trust_contains(const struct trust *trust, const struct peer *peer);

/* What trust_believe() was told. */
uint32_t trust_beliefs(const struct trust *trust);

/* Takes the text up to the first `sign` off *rest; all of it when there is none. */
struct slice slice_cut(struct slice *rest, char sign);

/* Byte for byte, or without regard to ASCII case. */
bool slice_same(struct slice a, struct slice b);
bool slice_same_folded(struct slice a, struct slice b);

#endif
