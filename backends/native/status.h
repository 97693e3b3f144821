/* The reason phrases of status codes (RFC 9110 section 15). */
#ifndef CHAUSSETTE_STATUS_H
#define CHAUSSETTE_STATUS_H

/* Static text; "" for a code that has none. */
const char *status_phrase(int code);

#endif
