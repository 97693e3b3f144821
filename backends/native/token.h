/* Small texts that more than one part of the parser reads. */
#ifndef CHAUSSETTE_TOKEN_H
#define CHAUSSETTE_TOKEN_H

#include "parse.h"

enum authority_port { PORT_OPTIONAL, PORT_REQUIRED };

/* Whether text is uri-host [":" port] (RFC 9110 section 7.2, RFC 3986 section 3.2.2)
 * with a host that is not empty, no user information, and a port up to 65535. */
bool is_authority(struct slice text, enum authority_port wanted);

/* [at, end) without the SP and HTAB around it. */
struct slice trimmed(const char *at, const char *end);

/* Takes the next element that is not empty off a comma-separated list (RFC 9110
 * section 5.6.1), without whitespace around it. False when there is none. */
bool next_element(struct slice *rest, struct slice *element);

/* 0 to 15, or -1 when c is no hexadecimal digit. */
int hex_value(char c);

#endif
