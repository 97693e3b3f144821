/* WebSocket (RFC 6455, RFC 7692): bytes in, events out; messages in, frames out.
 *
 * Pure C: no Python, no system call, no clock. What is allocated is the buffer of a
 * message that comes in pieces and the state of zlib, both only once they are needed:
 * a connection that is silent costs its struct ws_receiver and struct ws_sender.
 *
 * Every decision depends on the bytes before it only: the same events come out whatever
 * pieces the input comes in. There is one exception: data that a peer compressed with a larger
 * window than was agreed on is refused only where zlib does not have what it refers to.
 * Errors are a close code to send and a static text.
 */
#ifndef CHAUSSETTE_WEBSOCKET_H
#define CHAUSSETTE_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parse.h"

enum ws_opcode {
    WS_OP_CONTINUATION = 0,
    WS_OP_TEXT = 1,
    WS_OP_BINARY = 2,
    WS_OP_CLOSE = 8,
    WS_OP_PING = 9,
    WS_OP_PONG = 10,
};

enum ws_code { /* RFC 6455 section 7.4.1, the ones that this server has words for */
    WS_CODE_NORMAL = 1000,
    WS_CODE_GOING_AWAY = 1001,
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_NONE = 1005, /* a close frame without code; never on the wire */
    WS_CODE_ABNORMAL = 1006, /* no close frame at all; never on the wire */
    WS_CODE_DATA = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_TOO_BIG = 1009,
    WS_CODE_INTERNAL = 1011,
    WS_CODE_RESTART = 1012,
};

enum {
    WS_HEAD_ROOM = 10,     /* the longest frame head of a server */
    WS_CONTROL_MAX = 125,  /* bytes of a control frame's payload */
    WS_CONTROL_ROOM = 127, /* a whole control frame of a server */
    WS_KEY_LEN = 24,       /* Sec-WebSocket-Key */
    WS_ACCEPT_LEN = 28,    /* Sec-WebSocket-Accept */
    WS_KEEP_ROOM = 512,    /* ws_settle() keeps a buffer up to this size */
};

/* ---- buffers --------------------------------------------------------------- */

/* Bytes that grow, of malloc(). {0} is an empty one. Whoever holds the struct owns `at`:
 * free it with ws_buffer_free(), or take `at` (to be passed to free()) and set it to {0}. */
struct ws_buffer {
    uint8_t *at;
    size_t len;
    size_t room;
};

/* Makes room for `more` bytes behind `len`. False when there is no memory; nothing is changed
 * then. */
bool ws_buffer_reserve(struct ws_buffer *buffer, size_t more);
void ws_buffer_free(struct ws_buffer *buffer);

/* ---- permessage-deflate, as negotiated -------------------------------------- */

/* What the server is ready for. */
struct ws_deflate_limits {
    uint8_t server_bits;     /* 9 to 15: window of what the server sends, at most */
    uint8_t client_bits;     /* 8 to 15: window of what clients send, if they let it be limited */
    bool server_no_takeover; /* a server's message never refers to the one before */
    bool client_no_takeover; /* asks the client for the same */
};

/* What both agreed on. {0}: no compression. */
struct ws_extension {
    bool deflate;
    bool server_no_takeover;
    bool client_no_takeover;
    uint8_t server_bits; /* 9 to 15 */
    uint8_t client_bits; /* 8 to 15 */
    bool say_server_bits; /* the response names server_max_window_bits */
    bool say_client_bits; /* the response names client_max_window_bits */
};

/* Whether this build has zlib. Without it no extension is ever agreed on. */
bool ws_has_deflate(void);

/* ---- the opening handshake (RFC 6455 section 4.2) --------------------------- */

enum { WS_SUBPROTOCOLS_MAX = 32 };

struct ws_handshake {
    char accept[WS_ACCEPT_LEN]; /* no NUL behind it */
    struct ws_extension extension;
    struct slice subprotocols[WS_SUBPROTOCOLS_MAX]; /* the client's, in its order; into the head */
    uint32_t subprotocol_count;
    uint16_t status;    /* 0, or 400, 405 or 426: what to answer instead of 101 */
    const char *reason; /* static text, with status */
};

/* Whether the request asks for a WebSocket: Connection: upgrade, and Upgrade names websocket.
 * What asks for one is then accepted or refused by ws_handshake_read(). */
bool ws_is_upgrade(const struct request *request);

/* Reads the rest of the handshake. `limits` is NULL for no compression. True: it may be
 * accepted. False: status and reason say why not; with 426 the answer has to have
 * Sec-WebSocket-Version: 13. Slices live as long as the head. Owns nothing. */
bool ws_handshake_read(struct ws_handshake *handshake, const struct request *request,
                       const struct ws_deflate_limits *limits);

/* Bytes that ws_handshake_write() needs at most, without the subprotocol. */
enum { WS_RESPONSE_ROOM = 384 };

/* Writes the status line and the fields of a 101, each with its CRLF, without the CRLF that
 * ends the head: the caller adds its own fields and that. An empty subprotocol is none; it has
 * to be one of the client's, or a token. `out` has WS_RESPONSE_ROOM + subprotocol.len bytes.
 * Returns the bytes written; no NUL. */
size_t ws_handshake_write(const struct ws_handshake *handshake, struct slice subprotocol,
                          char *out);

/* Sec-WebSocket-Accept of a key (RFC 6455 section 4.2.2, item 5.4). */
void ws_accept_key(const char key[WS_KEY_LEN], char out[WS_ACCEPT_LEN]);

enum ws_negotiation { WS_OFFERS_BAD = -1, WS_OFFERS_NONE, WS_OFFERS_TAKEN };

/* Takes the first offer of one Sec-WebSocket-Extensions value that can be met. BAD: the value does
 * not follow the grammar of RFC 6455 section 9.1 (answer 400). NONE: *agreed is left as it was. */
enum ws_negotiation ws_negotiate(struct slice value, const struct ws_deflate_limits *limits,
                                 struct ws_extension *agreed);

/* ---- receiving -------------------------------------------------------------- */

enum ws_kind {
    WS_NOTHING, /* all input is taken; more is needed */
    WS_TEXT,    /* a whole message, valid UTF-8 */
    WS_BINARY,  /* a whole message */
    WS_PING,    /* answer with the same bytes in a pong */
    WS_PONG,
    WS_CLOSE,   /* code, and data as reason; nothing comes behind it */
    WS_ERROR,   /* send a close frame with code, and close; nothing comes behind it */
};

struct ws_event {
    enum ws_kind kind;
    bool ascii;    /* TEXT: no byte above 0x7f */
    bool buffered; /* data is receiver.message and may be taken from there */
    uint16_t code; /* CLOSE: as received, or WS_CODE_NONE; ERROR: to be sent */
    uint8_t *data; /* TEXT, BINARY, PING, PONG, CLOSE, never NULL: in the input, in the message
                    * or in the receiver. Good, and may be written to, until the next call with
                    * this receiver, or until the input goes */
    size_t len;
    const char *reason; /* ERROR: static ASCII text, at most 123 bytes: fit for the close frame */
};

struct ws_inflater; /* the state of zlib's inflate */

/* Owned by the caller, as is all that hangs from it: ws_receiver_free(). */
struct ws_receiver {
    struct ws_buffer message; /* of a message that did not lie whole in one piece of input */
    struct ws_inflater *inflater;
    uint64_t limit;   /* bytes of a message, also when inflated; 1009 past it */
    uint64_t left;    /* of the frame's payload */
    uint64_t total;   /* payload of the message's frames so far, as they came */
    uint32_t utf8;    /* state of a character that is not complete */
    uint8_t head[14]; /* of a frame head that is not complete */
    uint8_t have;     /* bytes of it */
    uint8_t mask[4];  /* for the next byte first */
    uint8_t phase;    /* enum ws_phase, private */
    uint8_t first;    /* first byte of the frame's head */
    uint8_t opcode;   /* of the message under way: TEXT, BINARY, or 0 */
    uint8_t bits;     /* of the client's window */
    bool deflate;     /* RSV1 is allowed */
    bool takeover;    /* the window outlives a message */
    bool masked;      /* frames have to be masked: they come from a client */
    bool compressed;  /* the message under way */
    bool ascii;       /* of the message under way */
    bool given;       /* message was part of the last event */
    uint8_t have_control; /* bytes of a control frame's payload that is not complete */
    uint8_t control[WS_CONTROL_MAX];
};

/* Starts receiving what a client sends. `limit`: bytes of a message, at least 1; 0: none but
 * the memory. `extension` may be NULL; it is copied. Allocates nothing. */
void ws_receiver_start(struct ws_receiver *receiver, uint64_t limit,
                       const struct ws_extension *extension);

/* The same, of what a server sends to a client: frames must not be masked. */
void ws_receiver_start_client(struct ws_receiver *receiver, uint64_t limit,
                              const struct ws_extension *extension);

/* Takes input up to the end of the next event, which it stores. *used is how much was taken: call
 * again with the rest, until WS_NOTHING, which has taken all of it. The input is the caller's; it
 * is unmasked where it is (do not feed the same bytes twice), and not referred to after the call
 * but by the event. A whole message in one frame in one piece of input is not copied. After CLOSE
 * and ERROR what comes is taken and dropped: WS_NOTHING. Returns event->kind. */
enum ws_kind ws_read(struct ws_receiver *receiver, uint8_t *data, size_t len, size_t *used,
                     struct ws_event *event);

/* To be called when no event is in use and the connection goes to sleep: gives memory back that is
 * not needed until more comes. */
void ws_settle(struct ws_receiver *receiver);

/* Frees what hangs from it. It may be started again, and freed again. */
void ws_receiver_free(struct ws_receiver *receiver);

/* ---- sending ---------------------------------------------------------------- */

/* Writes the head of a frame; its payload comes behind it, unmasked. `fin`: the last frame of a
 * message. `compressed`: RSV1, of a message's first frame. Returns 2, 4 or 10. */
size_t ws_write_head(uint8_t out[WS_HEAD_ROOM], enum ws_opcode opcode, bool fin, bool compressed,
                     uint64_t len);

/* Writes a whole ping or pong with at most WS_CONTROL_MAX bytes of data. Returns its length. */
size_t ws_write_control(uint8_t out[WS_CONTROL_ROOM], enum ws_opcode opcode, const uint8_t *data,
                        size_t len);

/* Writes a whole close frame. WS_CODE_NONE: without code and reason. A reason that is too long is
 * cut before a character; it has to be UTF-8. Returns its length. */
size_t ws_write_close(uint8_t out[WS_CONTROL_ROOM], uint16_t code, const char *reason, size_t len);

/* Whether the code may stand in a close frame: 1000-1003, 1007-1014, 3000-4999. */
bool ws_code_is_legal(uint16_t code);

struct ws_deflater; /* the state of zlib's deflate: 32 KB with 12 bits and memory 5, say */

struct ws_deflate_level {
    uint8_t level;  /* zlib's: 1 to 9 */
    uint8_t memory; /* zlib's: 1 to 9; the state has 2^(bits+2) + 2^(memory+9) bytes */
};

/* NULL without memory or without zlib. `bits`: 9 to 15. Owned by the caller. One that serves
 * connections without context takeover may serve many, one message after the other. */
struct ws_deflater *ws_deflater_new(uint8_t bits, struct ws_deflate_level level);
void ws_deflater_free(struct ws_deflater *deflater); /* NULL is fine */

/* Owned by the caller; ws_sender_free() frees its deflater unless it is shared. */
struct ws_sender {
    struct ws_deflater *deflater; /* made by the first message that needs it, or the shared one */
    size_t threshold;             /* messages of fewer bytes are not compressed */
    struct ws_deflate_level level;
    uint8_t bits;
    bool deflate;
    bool takeover;
    bool shared;
};

/* `extension` may be NULL. `shared` may be NULL; it is used only if the extension has no context
 * takeover and the same window, is borrowed, and has to outlive the sender. Allocates nothing. */
void ws_sender_start(struct ws_sender *sender, const struct ws_extension *extension,
                     size_t threshold, struct ws_deflate_level level,
                     struct ws_deflater *shared);
void ws_sender_free(struct ws_sender *sender);

/* Whether a message of `len` bytes will be compressed. If not, ws_write_head() and the bytes
 * themselves are the frame, without a copy. */
static inline bool ws_will_deflate(const struct ws_sender *sender, size_t len)
{
    return sender->deflate && len >= sender->threshold;
}

/* Appends a whole message (TEXT or BINARY) as one frame to `out`, compressed where
 * ws_will_deflate() and where that makes it smaller or has to be. False without memory: `out` is
 * as it was, but the connection has to be ended (1011), because a window may be lost. */
bool ws_write_message(struct ws_sender *sender, enum ws_opcode opcode, const uint8_t *data,
                      size_t len, struct ws_buffer *out);

#endif
