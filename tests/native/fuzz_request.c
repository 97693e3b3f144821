/* Request heads from any bytes: see parse_check.h for what must hold. */
#include "parse_check.h"
#include "scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The twins of scan.h agree from every place on, and on every way to reach back. */
static void check_scanners(const uint8_t *data, size_t size)
{
    const char *at = guarded(data, size);
    const char *end = at + size;
    for (const char *from = at; from <= end && from < at + 40; from++) {
        CHECK(scan_plain(at, from, end) == scan_plain_scalar(from, end));
        CHECK(scan_value(at, from, end) == scan_value_scalar(from, end));
        CHECK(scan_target(at, from, end) == scan_target_scalar(from, end));
        CHECK(scan_value(from, from, end) == scan_value_scalar(from, end));
    }
}

static void check_path(struct slice path)
{
    static char out[GUARDED_MAX];
    int64_t len = path_decode(path, out);
    CHECK(len >= -1 && len <= path.len);
    CHECK(len < 0 || memchr(out, '\0', (size_t)len) == NULL);
    CHECK(len < 0 || memchr(path.at, '%', path.len) != NULL || len == path.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct request request;
    if (size > GUARDED_MAX) {
        return 0;
    }
    check_scanners(data, size);
    if (parse_all_ways(&request, data, size, &WIDE) == PARSE_DONE) {
        check_path(request.path);
    }
    parse_all_ways(&request, data, size, &NARROW);
    return 0;
}
