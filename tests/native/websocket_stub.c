/* The WebSocket codec for the tests, flat enough for ctypes. */
#include <stdlib.h>
#include <string.h>

#include "ws_parts.h"

struct stub {
    struct ws_receiver receiver;
    struct ws_sender sender;
    struct ws_buffer out; /* of the last call */
};

static void add(struct ws_buffer *out, const void *data, size_t len)
{
    if (!ws_buffer_reserve(out, len))
        abort();
    if (len > 0)
        memcpy(out->at + out->len, data, len);
    out->len += len;
}

/* `takeover`: 1 of the server's messages, 2 of the client's. */
static struct ws_extension extension_of(int server_bits, int client_bits, int takeover)
{
    return (struct ws_extension){
        .deflate = server_bits != 0,
        .server_bits = (uint8_t)server_bits,
        .client_bits = (uint8_t)client_bits,
        .server_no_takeover = !(takeover & 1),
        .client_no_takeover = !(takeover & 2),
    };
}

/* `server_bits` 0: no compression. */
struct stub *stub_new(int of_client, uint64_t limit, int server_bits, int client_bits, int takeover,
                      size_t threshold)
{
    struct stub *stub = calloc(1, sizeof *stub);
    struct ws_extension extension = extension_of(server_bits, client_bits, takeover);
    struct ws_deflate_level level = {6, 5};
    (of_client ? ws_receiver_start : ws_receiver_start_client)(&stub->receiver, limit, &extension);
    ws_sender_start(&stub->sender, &extension, threshold, level, NULL);
    return stub;
}

void stub_free(struct stub *stub)
{
    ws_receiver_free(&stub->receiver);
    ws_sender_free(&stub->sender);
    ws_buffer_free(&stub->out);
    free(stub);
}

const uint8_t *stub_out(const struct stub *stub, size_t *len)
{
    *len = stub->out.len;
    return stub->out.at;
}

static void add_event(struct stub *stub, const struct ws_event *event, const uint8_t *input,
                      size_t len)
{
    const uint8_t *end = input + len;
    bool in_place = event->data >= input && event->data < end && len > 0;
    uint8_t head[4] = {(uint8_t)event->kind, (uint8_t)(event->ascii | event->buffered << 1 | in_place << 2),
                       (uint8_t)(event->code >> 8), (uint8_t)event->code};
    const void *data = event->kind == WS_ERROR ? (const void *)event->reason : event->data;
    uint64_t size = event->kind == WS_ERROR ? strlen(event->reason) : event->len;
    if (data == NULL || (event->buffered && event->data != stub->receiver.message.at))
        abort();
    add(&stub->out, head, sizeof head);
    add(&stub->out, &size, sizeof size);
    add(&stub->out, data, (size_t)size);
}

/* Reads all of it; `out` gets the events: kind, flags, code, length (native), data. Returns the
 * bytes up to the end of the last event. The input is a copy that ends where its memory does. */
size_t stub_read(struct stub *stub, const uint8_t *data, size_t len, int settle)
{
    uint8_t *copy = malloc(len ? len : 1);
    struct ws_event event;
    size_t at = 0, used = 0, last = 0;
    memcpy(copy, data, len);
    stub->out.len = 0;
    while (ws_read(&stub->receiver, copy + at, len - at, &used, &event) != WS_NOTHING) {
        if (used > len - at)
            abort();
        add_event(stub, &event, copy, len);
        if (event.kind != WS_ERROR && event.len > 0)
            memset(event.data, 0xee, event.len); /* it may be written to */
        if (settle)
            ws_settle(&stub->receiver);
        last = at += used;
    }
    if (used != len - at)
        abort();
    if (settle)
        ws_settle(&stub->receiver);
    free(copy);
    return last;
}

int stub_write(struct stub *stub, int opcode, const uint8_t *data, size_t len)
{
    stub->out.len = 0;
    return ws_write_message(&stub->sender, (enum ws_opcode)opcode, data, len, &stub->out);
}

size_t stub_control(uint8_t *out, int opcode, const uint8_t *data, size_t len)
{
    return ws_write_control(out, (enum ws_opcode)opcode, data, len);
}

size_t stub_close(uint8_t *out, int code, const char *reason, size_t len)
{
    return ws_write_close(out, (uint16_t)code, reason, len);
}

size_t stub_room(const struct stub *stub)
{
    return stub->receiver.message.room;
}

int stub_inflating(const struct stub *stub)
{
    return stub->receiver.inflater != NULL;
}

size_t stub_size(void)
{
    return sizeof(struct ws_receiver) + sizeof(struct ws_sender);
}

/* Negotiates; [limits]: server_bits, client_bits, server_no_takeover, client_no_takeover, or NULL. */
int stub_negotiate(const char *value, size_t len, const uint8_t *limits, uint8_t *agreed)
{
    char *copy = malloc(len ? len : 1);
    struct ws_extension extension = {0};
    struct ws_deflate_limits wanted = {0};
    memcpy(copy, value, len);
    if (limits)
        wanted = (struct ws_deflate_limits){limits[0], limits[1], limits[2], limits[3]};
    int result = (int)ws_negotiate((struct slice){copy, (uint32_t)len}, limits ? &wanted : NULL, &extension);
    free(copy);
    memcpy(agreed, (uint8_t[]){extension.server_bits, extension.client_bits,
                               extension.server_no_takeover, extension.client_no_takeover}, 4);
    return result;
}

/* A whole handshake: the head of the 101, or "status reason"; -1: no head, -2: no upgrade. */
int stub_handshake(const char *head, size_t len, const uint8_t *limits, const char *subprotocol,
                   char *out, size_t *out_len)
{
    static const struct parse_limits LIMITS = {16384, 16384, 128, 65536, true};
    struct request *request = malloc(sizeof *request);
    struct ws_handshake *handshake = malloc(sizeof *handshake);
    struct ws_deflate_limits wanted = {0};
    char *copy = malloc(len ? len : 1);
    int status = -1;
    memcpy(copy, head, len);
    if (limits)
        wanted = (struct ws_deflate_limits){limits[0], limits[1], limits[2], limits[3]};
    if (request_parse(request, copy, len, &LIMITS) != PARSE_DONE)
        goto done;
    status = -2;
    if (!ws_is_upgrade(request))
        goto done;
    if (ws_handshake_read(handshake, request, limits ? &wanted : NULL)) {
        status = 101;
        *out_len = ws_handshake_write(
            handshake, (struct slice){subprotocol, (uint32_t)strlen(subprotocol)}, out);
        for (uint32_t i = 0; i < handshake->subprotocol_count; i++) { /* behind it, for the tests */
            struct slice name = handshake->subprotocols[i];
            memcpy(out + *out_len, name.at, name.len);
            out[*out_len + name.len] = '\n';
            *out_len += name.len + 1;
        }
    } else {
        status = handshake->status;
        *out_len = strlen(handshake->reason);
        memcpy(out, handshake->reason, *out_len);
    }
done:
    free(copy);
    free(handshake);
    free(request);
    return status;
}
