/* The small parts of the WebSocket codec against plain references: masking, UTF-8, SHA-1, heads. Every
 * run lies in memory that ends at an unreadable page. */
#include "websocket_check.h"

enum { LONGEST = 70 };

static uint8_t *guarded_bytes(const void *data, size_t len)
{
    return (uint8_t *)(uintptr_t)guarded(data, len);
}

static void check_unmask(const uint8_t *plain, size_t len, size_t first)
{
    static const uint8_t KEY[4] = {0x12, 0xf4, 0xa9, 0x80};
    uint8_t sent[LONGEST], got[LONGEST], key[4];
    bool ascii = true;
    for (size_t i = 0; i < len; i++) {
        sent[i] = plain[i] ^ KEY[i % 4];
    }
    memcpy(key, KEY, 4);
    uint8_t *at = guarded_bytes(sent, len);
    ascii = ws_unmask(at, at, first, key); /* where they are */
    ascii = ws_unmask(at + first, at + first, len - first, key) && ascii;
    CHECK(memcmp(at, plain, len) == 0 && ascii == all_ascii(plain, len));
    for (size_t i = 0; i < 4; i++) {
        CHECK(key[i] == KEY[(len + i) % 4]);
    }
    memcpy(key, KEY, 4);
    at = guarded_bytes(sent, len);
    memset(got, 0, sizeof got);
    CHECK(ws_unmask(got, at, len, key) == ascii); /* copied */
    CHECK(memcmp(got, plain, len) == 0 && (len == LONGEST || got[len] == 0));
}

static void check_masks(void)
{
    uint8_t plain[LONGEST];
    for (size_t len = 0; len <= LONGEST; len++) {
        for (size_t high = 0; high <= len; high++) { /* where there is a byte that is not ASCII */
            for (size_t i = 0; i < LONGEST; i++) {
                plain[i] = (uint8_t)(i == high ? 0x80 + i : i * 37 % 128);
            }
            check_unmask(plain, len, len > 0 ? high % len : 0);
        }
    }
}

/* Whole, and cut in two: an error has to come with the first part that nothing can follow. */
static void check_text(const uint8_t *text, size_t len)
{
    bool good = is_utf8(text, len);
    for (size_t cut = 0; cut <= len; cut++) {
        uint32_t state = 0;
        bool first = ws_utf8(&state, guarded_bytes(text, cut), cut);
        CHECK(first || !good);
        CHECK(!first || (state == 0) == is_utf8(text, cut));
        bool both = first && ws_utf8(&state, guarded_bytes(text + cut, len - cut), len - cut);
        CHECK((both && state == 0) == good);
    }
}

/* Whether some bytes behind these make them a character: what "fail at once" is measured by. */
static bool can_go_on(const uint8_t *text, size_t len)
{
    uint8_t longer[6];
    memcpy(longer, text, len);
    for (int second = 0x80; second < 0xc0; second++) {
        memset(longer + len, second, sizeof longer - len);
        for (size_t end = len; end <= sizeof longer; end++) {
            if (is_utf8(longer, end)) {
                return true;
            }
        }
    }
    return false;
}

static void check_utf8(void)
{
    uint8_t text[40];
    for (unsigned first = 0x80; first < 0x100; first++) {
        for (unsigned second = 0; second < 0x100; second++) {
            for (unsigned tail = 0; tail < 4; tail++) { /* what comes behind: good, bad, ASCII */
                memcpy(text, "0123456789abcdef", 16);
                text[16] = (uint8_t)first;
                text[17] = (uint8_t)second;
                text[18] = (uint8_t[]){0x80, 0xbf, 'x', 0xc3}[tail];
                text[19] = (uint8_t[]){0xbf, 0x80, 'y', 0xa9}[tail];
                memcpy(text + 20, "0123", 4);
                check_text(text + 16, 1);
                check_text(text + 14, 4);
                check_text(text + 16, 3);
                check_text(text + 16, 4);
                check_text(text, 24);
                for (size_t len = 1; len <= 4; len++) {
                    uint32_t state = 0;
                    CHECK(ws_utf8(&state, text + 16, len) == can_go_on(text + 16, len));
                }
            }
        }
    }
}

static void check_sha1(void)
{
    static const struct {
        const char *text;
        const char *hash; /* FIPS 180-2 appendix A, and the empty text */
    } rows[] = {
        {"", "\xda\x39\xa3\xee\x5e\x6b\x4b\x0d\x32\x55\xbf\xef\x95\x60\x18\x90\xaf\xd8\x07\x09"},
        {"abc", "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "\x84\x98\x3e\x44\x1c\x3b\xd2\x6e\xba\xae\x4a\xa1\xf9\x51\x29\xe5\xe5\x46\x70\xf1"},
    };
    uint8_t hash[20];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ws_sha1(guarded_bytes(rows[i].text, strlen(rows[i].text)), strlen(rows[i].text), hash);
        CHECK(memcmp(hash, rows[i].hash, 20) == 0);
    }
    char accept[WS_ACCEPT_LEN];
    ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==", accept); /* RFC 6455 section 1.3 */
    CHECK(memcmp(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", WS_ACCEPT_LEN) == 0);
}

static void check_head(uint64_t len, const char *wanted, size_t wanted_len)
{
    uint8_t *out = guarded_bytes("\0\0\0\0\0\0\0\0\0", WS_HEAD_ROOM);
    CHECK(ws_write_head(out, WS_OP_BINARY, true, false, len) == wanted_len);
    CHECK(memcmp(out, wanted, wanted_len) == 0);
}

static void check_heads(void)
{
    check_head(0, "\x82\x00", 2);
    check_head(125, "\x82\x7d", 2);
    check_head(126, "\x82\x7e\x00\x7e", 4);
    check_head(65535, "\x82\x7e\xff\xff", 4);
    check_head(65536, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
    check_head(UINT64_C(0x7fffffffffffffff), "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10);
}

static void check_buffer(void)
{
    struct ws_buffer buffer = {0};
    CHECK(ws_buffer_reserve(&buffer, 0) && ws_buffer_reserve(&buffer, 1) && buffer.room > 0);
    buffer.len = buffer.room;
    uint8_t *at = buffer.at;
    CHECK(!ws_buffer_reserve(&buffer, SIZE_MAX) && !ws_buffer_reserve(&buffer, PTRDIFF_MAX));
    CHECK(buffer.at == at && buffer.len == buffer.room);
    ws_buffer_free(&buffer);
    CHECK(buffer.at == NULL && buffer.room == 0);
}

int main(void)
{
    check_masks();
    check_utf8();
    check_sha1();
    check_heads();
    check_buffer();
    return 0;
}
