/* The Forwarded field of RFC 7239: one element at a time. */
#ifndef CHAUSSETTE_FORWARDED_FIELD_H
#define CHAUSSETTE_FORWARDED_FIELD_H

#include "parse.h"

/* One element; each value without its quotes, `at` NULL when the parameter is not there. */
struct forwarded_element {
    struct slice node, proto, host, by;
};

enum element_result { ELEMENT_END, ELEMENT_READ, ELEMENT_MALFORMED };

/* Takes the next element that is not empty off *rest. Quoted pairs are refused: nothing that may
 * stand in these values needs one, and the slices could not show it. */
enum element_result forwarded_element_read(struct slice *rest, struct forwarded_element *element,
                                           const char **reason);

#endif
