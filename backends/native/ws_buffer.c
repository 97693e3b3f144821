/* Bytes that grow. */
#include <stdlib.h>

#include "websocket.h"

enum { FIRST_ROOM = 128 };

bool ws_buffer_reserve(struct ws_buffer *buffer, size_t more)
{
    if (buffer->room - buffer->len >= more) {
        return true;
    }
    if (more > PTRDIFF_MAX - buffer->len) {
        return false;
    }
    size_t room = buffer->room + buffer->room / 2;
    room = room > buffer->len + more ? room : buffer->len + more;
    room = room > FIRST_ROOM ? room : FIRST_ROOM;
    uint8_t *at = realloc(buffer->at, room);
    if (at == NULL) {
        return false;
    }
    buffer->at = at;
    buffer->room = room;
    return true;
}

void ws_buffer_free(struct ws_buffer *buffer)
{
    free(buffer->at);
    *buffer = (struct ws_buffer){0};
}
