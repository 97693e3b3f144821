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

/* For each known field its length and first letter, at a place that follows from them. */
#define KNOWN_KEY(len, letter) ((uint64_t)(len) << 8 | (uint8_t)(letter))
#define KNOWN_PLACE(len, letter) (((uint32_t)(len) + (uint8_t)(letter)) & 31)

struct known_place {
    uint64_t key;
    enum known_field which;
};

extern const struct known_place known_places[32];

/* `which` if that is the name of it, else KNOWN_COUNT. `name` is a token of its length. */
enum known_field known_field_if(enum known_field which, struct slice name);

/* Which known field this token is, or KNOWN_COUNT. Nearly every other name is ruled out
 * by one branch, which the processor foresees. */
static inline enum known_field known_field_of(struct slice name)
{
    char letter = (char)(*name.at | 0x20);
    const struct known_place *place = &known_places[KNOWN_PLACE(name.len, letter)];
    return place->key == KNOWN_KEY(name.len, letter) ? known_field_if(place->which, name)
                                                     : KNOWN_COUNT;
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
