/* What native_parser.py needs to know that its structures are those of parse.h. */
#include "parse.h"

size_t debug_size_of_request(void);
size_t debug_size_of_step(void);

size_t debug_size_of_request(void)
{
    return sizeof(struct request);
}

size_t debug_size_of_step(void)
{
    return sizeof(struct chunk_step);
}
