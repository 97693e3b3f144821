/* A format, a line, and one text in every place that comes from the network. */
#include "accesslog.h"
#include "address.h"
#include "parse_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice find(void *context, enum log_source source, struct slice name)
{
    const struct slice *text = context;
    CHECK(name.len > 0 && source <= LOG_ENVIRON);
    return name.len % 2 ? *text : (struct slice){0};
}

/* Nothing but the format itself may bring a control character or a byte beyond ASCII. */
static bool is_clean(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static void check_render(const struct log_format *format, struct slice text, bool clean)
{
    static char whole[1 << 16], cut[1 << 16];
    struct log_facts facts = {.remote = text, .authorization = text, .method = text, .target = text,
                              .query = text, .path = text, .referer = text, .agent = text,
                              .status = 404, .sent = UINT64_MAX, .wall_ns = 1790000000000000000,
                              .duration_ns = 1, .pid = 1, .find = find, .context = &text};
    size_t len = log_render(format, &facts, whole, sizeof whole);
    CHECK(len > 0 && len <= sizeof whole && whole[len - 1] == '\n');
    CHECK(!clean || is_clean(whole, len - 1));
    for (size_t room = 0; room < 64 && room < len; room += 7) {
        memset(cut, 'X', 72);
        size_t short_len = log_render(format, &facts, cut, room);
        CHECK(short_len <= room && cut[room] == 'X');
        CHECK(room == 0 || cut[short_len - 1] == '\n');
        CHECK(!clean || room == 0 || memcmp(cut, whole, short_len - 1) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > GUARDED_MAX) {
        return 0;
    }
    struct slice text = {guarded(data, size), (uint32_t)size};
    struct slice head = slice_cut(&text, '\n');
    const char *error = NULL;
    size_t at = 0;
    struct log_format *format = log_compile(head.at, head.len, &error, &at);
    CHECK((format == NULL) == (error != NULL) && at <= head.len);
    if (format != NULL) {
        bool json = head.len == 4 && memcmp(head.at, "json", 4) == 0;
        check_render(format, text, !json && is_clean(head.at, head.len));
    }
    log_free(format);
    return 0;
}
