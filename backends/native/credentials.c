#include "credentials.h"

/* Six bits, or -1 (RFC 4648 section 4). */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* "Basic", at least one space, and what stands behind it. */
static struct slice basic_token(struct slice field)
{
    struct slice scheme = {field.at, field.len < 5 ? field.len : 5};
    uint32_t at = 5;
    if (!slice_is(scheme, "basic", 5) || field.len < 6 || field.at[5] != ' ')
        return (struct slice){0};
    while (at < field.len && field.at[at] == ' ')
        at++;
    return (struct slice){field.at + at, field.len - at};
}

struct slice basic_user(struct slice authorization, char *out, size_t room)
{
    struct slice token = basic_token(authorization);
    uint32_t bits = 0, count = 0, len = 0;
    for (uint32_t i = 0; i < token.len; i++) {
        int value = base64_value(token.at[i]);
        if (value < 0)
            break; /* '=' at the end, too: the colon should have come before */
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        char c = (char)(bits >> count & 0xff);
        if (c == ':')
            return (struct slice){out, len};
        if (len < room)
            out[len++] = c;
    }
    return (struct slice){0};
}
