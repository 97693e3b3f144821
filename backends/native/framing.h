/* What the fields that the server itself reads say about the message: where its
 * body ends and whether the connection goes on (RFC 9112 sections 6 and 9). */
#ifndef CHAUSSETTE_FRAMING_H
#define CHAUSSETTE_FRAMING_H

#include "parse.h"

/* The connection options seen so far. */
struct options {
    bool close;
    bool keep_alive;
    bool upgrade;
};

/* Which known field this is, or KNOWN_COUNT. `name` must be a token. */
enum known_field known_field_of(struct slice name);

/* Sets status and reason of the request. Always PARSE_ERROR. */
enum parse_result refuse(struct request *request, uint16_t status, const char *reason);

/* Reads one known field. PARSE_DONE or PARSE_ERROR. */
enum parse_result framing_field(struct request *request, struct options *options,
                                enum known_field which, struct slice value);

/* Checks what can only be said of all fields together, and sets what follows from
 * them. PARSE_DONE or PARSE_ERROR. */
enum parse_result framing_end(struct request *request, const struct options *options);

#endif
