/* Frames from any bytes behind one that says how they are read: see websocket_check.h. */
#include "websocket_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEFLATE = 1, TAKEOVER = 2, OF_SERVER = 4, SETTLE = 8, SMALL = 16, LIMITED = 32, NARROW_WINDOW = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct events events;
    if (size == 0 || size > 4096) {
        return 0;
    }
    uint8_t how = data[0];
    /* Not the client's: how much zlib knows beyond a window depends on the pieces. */
    uint8_t bits = (how & NARROW_WINDOW) != 0 ? 9 : 15;
    struct setting setting = {
        .limit = (how & LIMITED) == 0 ? 100000 : (how & SMALL) != 0 ? 5 : 200,
        .of_client = (how & OF_SERVER) == 0,
        .settle = (how & SETTLE) != 0,
    };
    if ((how & DEFLATE) != 0) {
        bool fresh = (how & TAKEOVER) == 0;
        setting.extension = (struct ws_extension){.deflate = true, .server_no_takeover = fresh,
                                                  .client_no_takeover = fresh,
                                                  .server_bits = bits, .client_bits = 15};
    }
    receive_all_ways(&events, &setting, data + 1, size - 1);
    echo(&events, &setting, (how & SMALL) != 0 ? 0 : 16);
    return 0;
}
