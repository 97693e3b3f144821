/* Who says to be asking: the user of Basic credentials, for the access log. Nothing is checked.
 *
 * Pure C: no Python, no system call.
 */
#ifndef CHAUSSETTE_CREDENTIALS_H
#define CHAUSSETTE_CREDENTIALS_H

#include "parse.h"

/* The user of an Authorization field with Basic credentials (RFC 7617), decoded into `out`; cut
 * at `room`. Empty when they are of another scheme or malformed: what has no colon has no
 * user, and may be a secret. */
struct slice basic_user(struct slice authorization, char *out, size_t room);

#endif
