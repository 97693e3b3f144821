/* A list of networks, a line, a list of fields, a line, and a head, from any bytes. */
#include "address.h"
#include "parse_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_client(const struct forwarded *said)
{
    struct slice text = {said->client.text, said->client.text_len};
    struct peer again;
    bool is_four;
    CHECK(text.len < sizeof said->client.text && !said->client.is_unix);
    if (text.len > 0) {
        CHECK(!said->hidden && address_read(text, &again, &is_four));
        CHECK(memcmp(again.address, said->client.address, 16) == 0);
    }
}

static void check_said(const struct forwarded *said, const char *head, size_t len)
{
    check_client(said);
    CHECK(inside(said->host, head, len) && inside(said->prefix, head, len));
    CHECK(said->has_scheme || !said->https);
    if (said->host.len > 0) {
        CHECK(memchr(said->host.at, '/', said->host.len) == NULL);
        CHECK(memchr(said->host.at, '@', said->host.len) == NULL);
    }
    if (said->prefix.len > 0) {
        CHECK(said->prefix.len > 1 && said->prefix.at[0] == '/' && said->prefix.at[1] != '/');
        CHECK(said->prefix.at[said->prefix.len - 1] != '/');
    }
}

static void check_head(const struct trust *trust, const char *head, size_t len)
{
    static struct request request;
    struct forwarded said;
    const char *reason = NULL;
    if (request_parse(&request, head, len, &WIDE) != PARSE_DONE) {
        return;
    }
    int status = forwarded_read(&said, &request, trust, &reason);
    CHECK(status == 0 || status == 400);
    CHECK((status == 0) == (reason == NULL));
    if (status == 0) {
        check_said(&said, head, len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > GUARDED_MAX) {
        return 0;
    }
    struct slice rest = {guarded(data, size), (uint32_t)size};
    struct slice list = slice_cut(&rest, '\n');
    struct slice fields = slice_cut(&rest, '\n');
    const char *error = NULL;
    size_t at = 0;
    uint32_t what = 0;
    struct trust *trust = trust_compile(list.at, list.len, &error, &at);
    CHECK((trust == NULL) == (error != NULL) && at <= list.len);
    if (trust != NULL) {
        if (believe_compile(fields.at, fields.len, &what, &error, &at)) {
            trust_believe(trust, what);
        } else {
            CHECK(error != NULL && at <= fields.len);
        }
        check_head(trust, rest.at, rest.len);
    }
    trust_free(trust);
    return 0;
}
