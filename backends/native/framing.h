/* What the fields that the server itself reads say about the message: where its
 * body ends and whether the connection goes on (RFC 9112 sections 6 and 9). */
#ifndef CHAUSSETTE_FRAMING_H
#define CHAUSSETTE_FRAMING_H

#include "parse.h"

/* The connection options seen so far. */
struct connection_options {
    bool close;
    bool keep_alive;
    bool upgrade;
};

/* `which` if that is the name of it, else KNOWN_COUNT. */
enum known_field known_field_if(enum known_field which, struct slice name);

/* Which known field this is, or KNOWN_COUNT. `name` is not empty. Length and first
 * letter leave one candidate, and rule out nearly every other name with a single branch. */
static inline enum known_field known_field_of(struct slice name)
{
    unsigned key = (unsigned)name.len << 8 | (uint8_t)(*name.at | 0x20);
    enum known_field which = key == (4 << 8 | 'h')    ? KNOWN_HOST
                             : key == (14 << 8 | 'c') ? KNOWN_CONTENT_LENGTH
                             : key == (12 << 8 | 'c') ? KNOWN_CONTENT_TYPE
                             : key == (17 << 8 | 't') ? KNOWN_TRANSFER_ENCODING
                             : key == (10 << 8 | 'c') ? KNOWN_CONNECTION
                             : key == (6 << 8 | 'e')  ? KNOWN_EXPECT
                             : key == (7 << 8 | 'u')  ? KNOWN_UPGRADE
                                                      : KNOWN_COUNT;
    return which == KNOWN_COUNT ? which : known_field_if(which, name);
}

/* Sets status and reason of the request. Always PARSE_ERROR. */
enum parse_result refuse(struct request *request, uint16_t status, const char *reason);

/* Reads one known field. PARSE_DONE or PARSE_ERROR. */
enum parse_result framing_field(struct request *request, struct connection_options *options,
                                enum known_field which, struct slice value);

/* Checks what can only be said of all fields together, and sets what follows from
 * them. PARSE_DONE or PARSE_ERROR. */
enum parse_result framing_end(struct request *request, const struct connection_options *options);

#endif
