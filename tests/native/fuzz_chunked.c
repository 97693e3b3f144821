/* Chunked bodies from any bytes: see parse_check.h for what must hold. */
#include "parse_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct body body;
    if (size > GUARDED_MAX) {
        return 0;
    }
    dechunk_all_ways(&body, data, size, &WIDE_CHUNKS);
    dechunk_all_ways(&body, data, size, &NARROW_CHUNKS);
    return 0;
}
