/* Offers of extensions, and whole handshakes, from any bytes. */
#include "websocket_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ws_deflate_limits OURS = {12, 11, false, false};

static void check_agreed(const struct ws_extension *agreed)
{
    CHECK(agreed->deflate && ws_has_deflate());
    CHECK(agreed->server_bits >= 9 && agreed->server_bits <= OURS.server_bits);
    CHECK(agreed->client_bits >= 8 && agreed->client_bits <= 15);
    CHECK(agreed->say_client_bits || agreed->client_bits == 15);
}

static void check_offers(const uint8_t *data, size_t size)
{
    struct ws_extension agreed = {0};
    struct slice value = {guarded(data, size), (uint32_t)size};
    enum ws_negotiation without = ws_negotiate(value, NULL, &agreed);
    CHECK(without != WS_OFFERS_TAKEN && !agreed.deflate);
    enum ws_negotiation result = ws_negotiate(value, &OURS, &agreed);
    CHECK((result == WS_OFFERS_BAD) == (without == WS_OFFERS_BAD));
    if (result == WS_OFFERS_TAKEN) {
        check_agreed(&agreed);
    } else if (result == WS_OFFERS_NONE) {
        CHECK(!agreed.deflate);
    }
}

static void check_handshake(const uint8_t *data, size_t size)
{
    static struct request request;
    static struct ws_handshake handshake;
    const char *head = guarded(data, size);
    if (request_parse(&request, head, size, &WIDE) != PARSE_DONE || !ws_is_upgrade(&request)) {
        return;
    }
    bool good = ws_handshake_read(&handshake, &request, &OURS);
    CHECK(good == (handshake.status == 0) && good == (handshake.reason == NULL));
    CHECK(handshake.subprotocol_count <= WS_SUBPROTOCOLS_MAX);
    for (uint32_t i = 0; i < handshake.subprotocol_count; i++) {
        CHECK(inside(handshake.subprotocols[i], head, request.head_len));
    }
    if (good) {
        struct slice chosen = {"", 0};
        if (handshake.subprotocol_count > 0) {
            chosen = handshake.subprotocols[0];
        }
        char *out = malloc(WS_RESPONSE_ROOM + chosen.len);
        size_t len = ws_handshake_write(&handshake, chosen, out);
        CHECK(len <= WS_RESPONSE_ROOM + chosen.len && memcmp(out + len - 2, "\r\n", 2) == 0);
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) {
        return 0;
    }
    check_offers(data, size);
    check_handshake(data, size);
    return 0;
}
