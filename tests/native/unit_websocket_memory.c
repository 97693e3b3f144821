/* The WebSocket codec where memory ends: the first allocation fails, then the second, and so on. Built
 * with calloc and realloc of the codec (not zlib's) replaced by those below. */
#include "websocket_check.h"

#undef calloc
#undef realloc
extern void *calloc(size_t count, size_t size);
extern void *realloc(void *at, size_t size);
void *scarce_calloc(size_t count, size_t size);
void *scarce_realloc(void *at, size_t size);

static int left; /* allocations that succeed */

void *scarce_calloc(size_t count, size_t size)
{
    return left-- > 0 ? calloc(count, size) : NULL;
}

void *scarce_realloc(void *at, size_t size)
{
    return left-- > 0 ? realloc(at, size) : NULL;
}

static const struct ws_extension ON = {.deflate = true, .server_bits = 15, .client_bits = 15};

/* A message and its compressed twin in two frames each, from a server, so that no mask is needed. */
static size_t make_input(uint8_t *out)
{
    static const uint8_t hello[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    size_t at = ws_write_head(out, WS_OP_BINARY, false, false, 3000);
    memset(out + at, 'x', 3000);
    at += 3000;
    at += ws_write_head(out + at, WS_OP_CONTINUATION, true, false, 3000);
    memset(out + at, 'y', 3000);
    at += 3000;
    at += ws_write_head(out + at, WS_OP_TEXT, true, true, sizeof hello);
    memcpy(out + at, hello, sizeof hello);
    return at + sizeof hello;
}

/* Whether all of it was read with that many allocations; if not, the error has to be the right one. */
static bool read_with(int allocations, uint8_t *input, size_t len)
{
    struct ws_receiver receiver;
    struct ws_event event;
    size_t used = 0;
    int messages = 0;
    left = allocations;
    ws_receiver_start_client(&receiver, 0, &ON);
    for (size_t at = 0; at < len; at += used) {
        size_t run = len - at < 1000 ? len - at : 1000;
        enum ws_kind kind = ws_read(&receiver, input + at, run, &used, &event);
        if (kind == WS_ERROR) {
            CHECK(event.code == WS_CODE_INTERNAL && strcmp(event.reason, "out of memory") == 0);
            CHECK(receiver.message.at == NULL && receiver.inflater == NULL);
            return false;
        }
        messages += kind == WS_TEXT || kind == WS_BINARY;
        if (kind != WS_NOTHING) {
            ws_settle(&receiver);
        }
    }
    ws_receiver_free(&receiver);
    CHECK(messages == 2);
    return true;
}

static bool write_with(int allocations)
{
    static uint8_t data[100000];
    struct ws_sender sender;
    struct ws_buffer out = {0};
    bool good = true;
    left = allocations;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * i >> 3);
    }
    ws_sender_start(&sender, &ON, 50, (struct ws_deflate_level){6, 5}, NULL);
    for (size_t size = 10; size < sizeof data && good; size *= 7) {
        size_t before = out.len;
        good = ws_write_message(&sender, WS_OP_BINARY, data, size, &out);
        CHECK(good ? out.len > before : out.len == before);
    }
    ws_sender_free(&sender);
    ws_buffer_free(&out);
    return good;
}

int main(void)
{
    static uint8_t input[8000], copy[8000];
    size_t len = make_input(input);
    int reads = 0, writes = 0;
    do {
        memcpy(copy, input, len);
    } while (!read_with(reads++, copy, len));
    while (!write_with(writes++)) {
    }
    CHECK(reads > 3 && writes > 3);
    printf("%d and %d allocations\n", reads - 1, writes - 1);
    return 0;
}
