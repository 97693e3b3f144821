/* Agreeing on permessage-deflate (RFC 6455 section 9.1, RFC 7692 section 7.1). */
#include <string.h>

#include "scan.h"
#include "token.h"
#include "ws_parts.h"

#define SLICE_IS(slice, text) slice_is(slice, text, sizeof(text) - 1)

struct text {
    const char *at;
    const char *end;
};

struct param {
    struct slice name;
    struct slice value; /* a token; without quotes */
    bool has_value;
};

/* What one offer asks for, and how far it was understood. */
struct offer {
    bool usable;
    bool server_no_takeover;
    bool client_no_takeover;
    bool client_bits_given; /* client_max_window_bits is there */
    uint8_t server_bits;    /* 0: not given */
    uint8_t client_bits;    /* 0: without value */
};

static void skip_blanks(struct text *text)
{
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\t')) {
        text->at++;
    }
}

/* Takes the character, with blanks on both sides. */
static bool take(struct text *text, char c)
{
    skip_blanks(text);
    if (text->at == text->end || *text->at != c) {
        return false;
    }
    text->at++;
    skip_blanks(text);
    return true;
}

static bool take_token(struct text *text, struct slice *token)
{
    const char *first = text->at;
    text->at = scan_class(first, text->end, CLASS_TOKEN);
    *token = (struct slice){first, (uint32_t)(text->at - first)};
    return token->len > 0;
}

/* "token" or token. A quoted one has to be a token as well, so an escape in it is needless,
 * and refused. */
static bool take_value(struct text *text, struct slice *value)
{
    if (text->at == text->end || *text->at != '"') {
        return take_token(text, value);
    }
    text->at++;
    if (!take_token(text, value) || text->at == text->end || *text->at != '"') {
        return false;
    }
    text->at++;
    return true;
}

static bool take_param(struct text *text, struct param *param)
{
    *param = (struct param){0};
    if (!take_token(text, &param->name)) {
        return false;
    }
    param->has_value = take(text, '=');
    return !param->has_value || take_value(text, &param->value);
}

/* 8 to 15, without a leading zero; or 0. */
static uint8_t window_bits(struct slice value)
{
    if (value.len == 1 && value.at[0] >= '8' && value.at[0] <= '9') {
        return (uint8_t)(value.at[0] - '0');
    }
    if (value.len == 2 && value.at[0] == '1' && value.at[1] >= '0' && value.at[1] <= '5') {
        return (uint8_t)(10 + value.at[1] - '0');
    }
    return 0;
}

/* A flag that is given once and has no value. */
static bool set_flag(bool *flag, const struct param *param)
{
    bool good = !*flag && !param->has_value;
    *flag = true;
    return good;
}

/* Whether the offer goes on with this parameter: an unknown one, a second one or a value that
 * is none makes it one that has to be declined (RFC 7692 section 7.1). */
static bool read_param(struct offer *offer, const struct param *param)
{
    if (SLICE_IS(param->name, "server_no_context_takeover")) {
        return set_flag(&offer->server_no_takeover, param);
    }
    if (SLICE_IS(param->name, "client_no_context_takeover")) {
        return set_flag(&offer->client_no_takeover, param);
    }
    if (SLICE_IS(param->name, "server_max_window_bits")) {
        bool first = offer->server_bits == 0;
        offer->server_bits = window_bits(param->value);
        return first && offer->server_bits > 0;
    }
    if (SLICE_IS(param->name, "client_max_window_bits")) {
        bool first = !offer->client_bits_given;
        offer->client_bits_given = true;
        offer->client_bits = window_bits(param->value);
        return first && (!param->has_value || offer->client_bits > 0);
    }
    return false;
}

/* One element of the list. False: it does not follow the grammar. */
static bool read_offer(struct text *text, struct offer *offer)
{
    struct slice name;
    struct param param;
    *offer = (struct offer){0};
    if (!take_token(text, &name)) {
        return false;
    }
    offer->usable = SLICE_IS(name, "permessage-deflate");
    while (take(text, ';')) {
        if (!take_param(text, &param)) {
            return false;
        }
        offer->usable = offer->usable && read_param(offer, &param);
    }
    /* zlib cannot keep to 256 bytes when it compresses. */
    offer->usable = offer->usable && offer->server_bits != 8;
    return true;
}

static uint8_t lesser(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static struct ws_extension agree(const struct offer *offer, const struct ws_deflate_limits *limits)
{
    struct ws_extension agreed = {.deflate = true, .server_bits = limits->server_bits};
    agreed.client_bits = 15;
    agreed.server_no_takeover = offer->server_no_takeover || limits->server_no_takeover;
    agreed.client_no_takeover = offer->client_no_takeover || limits->client_no_takeover;
    if (offer->server_bits != 0) {
        agreed.server_bits = lesser(agreed.server_bits, offer->server_bits);
    }
    agreed.say_server_bits = offer->server_bits != 0 || agreed.server_bits < 15;
    if (offer->client_bits_given) { /* else it must not be limited: section 7.1.2.2 */
        uint8_t most = offer->client_bits != 0 ? offer->client_bits : 15;
        agreed.client_bits = lesser(most, limits->client_bits);
        agreed.say_client_bits = offer->client_bits != 0 || agreed.client_bits < 15;
    }
    return agreed;
}

enum ws_negotiation ws_negotiate(struct slice value, const struct ws_deflate_limits *limits,
                                 struct ws_extension *agreed)
{
    struct text text = {value.at, value.at + value.len};
    struct offer offer;
    enum ws_negotiation result = WS_OFFERS_NONE;
    for (;;) {
        while (take(&text, ',')) {
        }
        if (text.at == text.end) {
            return result;
        }
        if (!read_offer(&text, &offer) || (text.at < text.end && *text.at != ',')) {
            return WS_OFFERS_BAD;
        }
        if (offer.usable && limits != NULL && ws_has_deflate() && result == WS_OFFERS_NONE) {
            *agreed = agree(&offer, limits);
            result = WS_OFFERS_TAKEN;
        }
    }
}
