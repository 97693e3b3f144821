#include "forwarded_field.h"

#include <string.h>

/* A reader's place. `reason` set: malformed. */
struct cursor {
    const char *at, *end;
    const char *reason;
};

static bool refuse(struct cursor *from, const char *why)
{
    from->reason = why;
    return false;
}

static void skip_blank(struct cursor *from)
{
    while (from->at < from->end && (*from->at == ' ' || *from->at == '\t'))
        from->at++;
}

static struct slice read_token(struct cursor *from)
{
    struct slice token = {from->at, 0};
    while (from->at < from->end && is_token(from->at, 1))
        from->at++;
    token.len = (uint32_t)(from->at - token.at);
    return token;
}

static bool read_quoted(struct cursor *from, struct slice *value)
{
    const char *start = ++from->at;
    const char *quote = memchr(start, '"', (size_t)(from->end - start));
    if (!quote)
        return refuse(from, "Forwarded: a quoted string without its end");
    if (memchr(start, '\\', (size_t)(quote - start)))
        return refuse(from, "Forwarded: a backslash in a quoted string");
    if (!is_field_value(start, (size_t)(quote - start)))
        return refuse(from, "Forwarded: a control character");
    *value = (struct slice){start, (uint32_t)(quote - start)};
    from->at = quote + 1;
    return true;
}

/* The place for a parameter's value; parameters that we do not know go to *other. */
static struct slice *slot_of(struct forwarded_element *element, struct slice name,
                             struct slice *other)
{
    if (slice_is(name, "for", 3))
        return &element->node;
    if (slice_is(name, "proto", 5))
        return &element->proto;
    if (slice_is(name, "host", 4))
        return &element->host;
    if (slice_is(name, "by", 2))
        return &element->by;
    *other = (struct slice){0};
    return other;
}

static bool read_pair(struct cursor *from, struct forwarded_element *element)
{
    struct slice other, value, name = read_token(from);
    if (!name.len || from->at == from->end || *from->at != '=')
        return refuse(from, "Forwarded: expected name=value");
    from->at++;
    if (from->at < from->end && *from->at == '"') {
        if (!read_quoted(from, &value))
            return false;
    } else {
        value = read_token(from);
        if (!value.len)
            return refuse(from, "Forwarded: a parameter without a value");
    }
    struct slice *slot = slot_of(element, name, &other);
    if (slot->at)
        return refuse(from, "Forwarded: a parameter twice in one element");
    *slot = value;
    return true;
}

/* Pairs up to a comma or the end. *any: there was one. Blanks around ';' are not in the grammar,
 * but common and harmless. */
static bool read_pairs(struct cursor *from, struct forwarded_element *element, bool *any)
{
    for (;;) {
        skip_blank(from);
        if (from->at < from->end && *from->at != ';' && *from->at != ',') {
            if (!read_pair(from, element))
                return false;
            *any = true;
            skip_blank(from);
        }
        if (from->at == from->end)
            return true;
        char sign = *from->at++;
        if (sign == ',')
            return true;
        if (sign != ';')
            return refuse(from, "Forwarded: expected ; or , after a parameter");
    }
}

enum element_result forwarded_element_read(struct slice *rest, struct forwarded_element *element,
                                           const char **reason)
{
    struct cursor from = {rest->at, rest->at + rest->len, NULL};
    bool any = false;
    memset(element, 0, sizeof *element);
    while (!any && from.at < from.end) {
        if (!read_pairs(&from, element, &any)) {
            *reason = from.reason;
            return ELEMENT_MALFORMED;
        }
    }
    *rest = (struct slice){from.at, (uint32_t)(from.end - from.at)};
    return any ? ELEMENT_READ : ELEMENT_END;
}
