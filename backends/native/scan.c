/* The table of character classes; tests/native checks it against the RFCs' words. */
#include "scan.h"

enum {
    VISIBLE = CLASS_VALUE | CLASS_TARGET,
    TOKEN = VISIBLE | CLASS_TOKEN,
    NAME = TOKEN | CLASS_REG_NAME, /* a tchar that a host name may have, too */
    ALPHA = NAME | CLASS_PLAIN,
    HEX = ALPHA | CLASS_HEX,
    DIGIT = HEX | CLASS_DIGIT,
    SUB_DELIM = VISIBLE | CLASS_REG_NAME, /* of RFC 3986, no tchar */
};

const uint8_t char_classes[256] = {
    ['\t'] = CLASS_VALUE,
    [' '] = CLASS_VALUE,
    ['!'] = NAME,
    ['"'] = VISIBLE,
    ['#'] = CLASS_VALUE | CLASS_TOKEN,
    ['$'] = NAME,
    ['%'] = TOKEN,
    ['&'] = NAME,
    ['\''] = NAME,
    ['('] = SUB_DELIM,
    [')'] = SUB_DELIM,
    ['*'] = NAME,
    ['+'] = NAME,
    [','] = SUB_DELIM,
    ['-'] = NAME | CLASS_PLAIN,
    ['.'] = NAME,
    ['/'] = VISIBLE,
    ['0' ... '9'] = DIGIT,
    [':'] = VISIBLE,
    [';'] = SUB_DELIM,
    ['<'] = VISIBLE,
    ['='] = SUB_DELIM,
    ['>'] = VISIBLE,
    ['?'] = VISIBLE,
    ['@'] = VISIBLE,
    ['A' ... 'F'] = HEX,
    ['G' ... 'Z'] = ALPHA,
    ['['] = VISIBLE,
    ['\\'] = VISIBLE,
    [']'] = VISIBLE,
    ['^'] = TOKEN,
    ['_'] = NAME,
    ['`'] = TOKEN,
    ['a' ... 'f'] = HEX,
    ['g' ... 'z'] = ALPHA,
    ['{'] = VISIBLE,
    ['|'] = TOKEN,
    ['}'] = VISIBLE,
    ['~'] = NAME,
    [0x80 ... 0xff] = CLASS_VALUE, /* obs-text */
};
