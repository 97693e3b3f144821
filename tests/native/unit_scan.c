/* The table of character classes against the words of the RFCs, and each scanner against
 * its scalar twin: every byte at every place of runs that end at an unreadable page. */
#include <ctype.h>

#include "parse_check.h"
#include "scan.h"

enum { LONGEST = 50 };

static bool one_of(int c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

/* RFC 9110 sections 5.5 and 5.6.2, RFC 3986 section 2, RFC 9112 section 3.2. */
static unsigned classes_of(int c)
{
    bool alnum = c < 128 && isalnum(c);
    bool visible = c >= 0x21 && c <= 0x7e;
    bool digit = c >= '0' && c <= '9';
    unsigned classes = 0;
    classes |= alnum || one_of(c, "!#$%&'*+-.^_`|~") ? CLASS_TOKEN : 0u;
    classes |= alnum || c == '-' ? CLASS_PLAIN : 0u;
    classes |= visible || c == ' ' || c == '\t' || c >= 0x80 ? CLASS_VALUE : 0u;
    classes |= visible && c != '#' ? CLASS_TARGET : 0u;
    classes |= alnum || one_of(c, "-._~" "!$&'()*+,;=") ? CLASS_REG_NAME : 0u;
    classes |= digit || (c < 128 && isxdigit(c)) ? CLASS_HEX : 0u;
    classes |= digit ? CLASS_DIGIT : 0u;
    return classes;
}

static void check_twins(const char *at, size_t len)
{
    const char *end = at + len;
    for (const char *from = at; from <= end; from += len > 4 ? len / 4 : 1) {
        CHECK(scan_plain(at, from, end) == scan_plain_scalar(from, end));
        CHECK(scan_value(at, from, end) == scan_value_scalar(from, end));
        CHECK(scan_target(at, from, end) == scan_target_scalar(from, end));
        CHECK(scan_plain(from, from, end) == scan_plain_scalar(from, end));
        CHECK(scan_value(from, from, end) == scan_value_scalar(from, end));
        CHECK(scan_target(from, from, end) == scan_target_scalar(from, end));
    }
}

int main(void)
{
    char run[LONGEST];
    for (int c = 0; c < 256; c++) {
        CHECK(char_classes[c] == classes_of(c));
        char text[2] = {(char)c, 'a'};
        CHECK(is_token(text, 2) == ((classes_of(c) & CLASS_TOKEN) != 0));
        CHECK(is_field_value(text, 2) == ((classes_of(c) & CLASS_VALUE) != 0));
    }
    CHECK(!is_token("", 0) && is_field_value("", 0));
    for (size_t len = 0; len < LONGEST; len++) {
        for (size_t place = 0; place < len || place == 0; place++) {
            for (int c = 0; c < 256; c++) {
                memset(run, 'a', sizeof run);
                run[place] = (char)c;
                check_twins(guarded(run, len), len);
            }
        }
    }
    return 0;
}
