/* PROXY headers from any bytes: the same answer whatever the pieces. */
#include "forwarded.h"
#include "parse_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum proxy_result read_piece(const uint8_t *data, size_t len, struct peer *client)
{
    const char *reason = NULL;
    size_t used = 0;
    struct peer before = *client;
    enum proxy_result result = proxy_read(guarded(data, len), len, client, &used, &reason);
    CHECK((result == PROXY_ERROR) == (reason != NULL));
    CHECK(result == PROXY_DONE ? used > 0 && used <= len && used <= PROXY_MAX : true);
    CHECK(result == PROXY_DONE || memcmp(&before, client, sizeof before) == 0);
    CHECK(client->text_len < sizeof client->text && client->text[client->text_len] == 0);
    CHECK(!client->is_unix || client->text_len == 0);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peer client = {.text = "before", .text_len = 6};
    if (size > GUARDED_MAX) {
        return 0;
    }
    enum proxy_result whole = read_piece(data, size, &client);
    CHECK(whole != PROXY_PARTIAL || size < PROXY_MAX);
    for (size_t len = 0; len < size && len < 300; len++) {
        struct peer other = {.text = "before", .text_len = 6};
        enum proxy_result piece = read_piece(data, len, &other);
        CHECK(piece == PROXY_PARTIAL || piece == whole);
        CHECK(piece != PROXY_DONE || memcmp(&other, &client, sizeof client) == 0);
    }
    return 0;
}
