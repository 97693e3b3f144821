/* The list of who is trusted, and with which fields. */
#include "address.h"
#include "token.h"

#include <stdlib.h>
#include <string.h>

struct network {
    uint8_t address[16];
    uint8_t bits;
};

struct trust {
    bool any, unix_peers;
    uint32_t beliefs;
    uint32_t count;
    struct network networks[];
};

static bool within(const struct network *network, const uint8_t *address)
{
    uint8_t whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->address, address, whole))
        return false;
    return !rest || (uint8_t)((network->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

/* Whether no bit behind the prefix is set: 10.0.0.1/8 is likely a slip. */
static bool is_strict(const struct network *network)
{
    for (int bit = network->bits; bit < 128; bit++)
        if (network->address[bit / 8] & (0x80 >> bit % 8))
            return false;
    return true;
}

/* One address or network. NULL, or what is wrong with it. */
static const char *read_network(struct slice text, struct network *network)
{
    struct peer peer;
    bool is_four;
    struct slice bits = text, address = slice_cut(&bits, '/');
    bool has_bits = address.len < text.len;
    if (!address_read(address, &peer, &is_four))
        return "expected an address, a network such as 10.0.0.0/8, * or unix";
    int32_t most = is_four ? 32 : 128, prefix = has_bits ? port_read(bits) : most;
    if (prefix < 0 || prefix > most)
        return is_four ? "expected a prefix length from 0 to 32 after /"
                       : "expected a prefix length from 0 to 128 after /";
    memcpy(network->address, peer.address, 16);
    network->bits = (uint8_t)(prefix + (is_four ? 96 : 0));
    return is_strict(network) ? NULL : "the network has bits set behind its prefix";
}

static const char *read_entry(struct slice text, struct trust *trust)
{
    if (!text.len)
        return "an empty entry";
    if (slice_is(text, "*", 1))
        trust->any = true;
    else if (slice_is(text, "unix", 4))
        trust->unix_peers = true;
    else
        return read_network(text, &trust->networks[trust->count++]);
    return NULL;
}

struct trust *trust_compile(const char *text, size_t len, const char **error, size_t *at)
{
    struct slice rest = {text, (uint32_t)len};
    size_t entries = 1;
    *at = 0;
    *error = "longer than 65535 bytes";
    if (len > 65535)
        return NULL;
    for (size_t i = 0; i < len; i++)
        entries += text[i] == ',';
    struct trust *trust = calloc(1, sizeof *trust + entries * sizeof *trust->networks);
    *error = trust ? NULL : "no memory";
    if (!trust)
        return NULL;
    trust->beliefs = BELIEVE_FOR | BELIEVE_PROTO;
    if (!trimmed(text, text + len).len)
        return trust;
    for (bool more = true; more;) {
        struct slice entry = slice_cut(&rest, ',');
        more = entry.at + entry.len < rest.at; /* there was a comma */
        entry = trimmed(entry.at, entry.at + entry.len);
        *error = read_entry(entry, trust);
        if (*error) {
            *at = (size_t)(entry.at - text);
            free(trust);
            return NULL;
        }
    }
    return trust;
}

void trust_free(struct trust *trust) { free(trust); }

bool trust_contains(const struct trust *trust, const struct peer *peer)
{
    if (peer->is_unix)
        return false;
    for (uint32_t i = 0; i < trust->count; i++)
        if (within(&trust->networks[i], peer->address))
            return true;
    return false;
}

bool trusts(const struct trust *trust, const struct peer *peer)
{
    if (!trust)
        return false;
    return trust->any || (peer->is_unix ? trust->unix_peers : trust_contains(trust, peer));
}

/* ---- which fields ------------------------------------------------------------- */

struct belief {
    const char *name;
    uint32_t bit;
};

static const struct belief BELIEFS[] = {
    {"x-forwarded-for", BELIEVE_FOR},       {"x-forwarded-proto", BELIEVE_PROTO},
    {"x-forwarded-host", BELIEVE_HOST},     {"x-forwarded-port", BELIEVE_PORT},
    {"x-forwarded-prefix", BELIEVE_PREFIX}, {"x-forwarded-protocol", BELIEVE_PROTOCOL},
    {"x-forwarded-ssl", BELIEVE_SSL},       {"forwarded", BELIEVE_FORWARDED},
};

static uint32_t belief_of(struct slice name)
{
    for (size_t i = 0; i < sizeof BELIEFS / sizeof *BELIEFS; i++)
        if (slice_is(name, BELIEFS[i].name, strlen(BELIEFS[i].name)))
            return BELIEFS[i].bit;
    return 0;
}

bool believe_compile(const char *text, size_t len, uint32_t *what, const char **error, size_t *at)
{
    struct slice rest = {text, (uint32_t)len};
    *what = 0;
    while (rest.len) {
        struct slice name = slice_cut(&rest, ',');
        name = trimmed(name.at, name.at + name.len);
        uint32_t bit = belief_of(name);
        if (!bit) {
            *error = "expected x-forwarded-for, -proto, -host, -port, -prefix, -protocol, -ssl, or "
                     "forwarded";
            *at = (size_t)(name.at - text);
            return false;
        }
        *what |= bit;
    }
    return true;
}

void trust_believe(struct trust *trust, uint32_t what) { trust->beliefs = what; }

uint32_t trust_beliefs(const struct trust *trust) { return trust->beliefs; }
