/* Request heads and chunked bodies one by one: each is fed whole, in every beginning and
 * byte by byte (parse_check.h), and must give the status of its row. */
#include "parse_check.h"

#define HOST "Host: x\r\n"
#define SIZED(text) text, sizeof(text) - 1

struct head_case {
    const char *text;
    size_t len;
    int status; /* 0: complete, -1: not complete */
};

static const struct head_case HEADS[] = {
    /* the request line: RFC 9112 sections 2.2, 2.3, 3 */
    {SIZED("GET / HTTP/1.1\r\n" HOST "\r\n"), 0},
    {SIZED("\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), 0},
    {SIZED("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("\nGET / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("\rGET / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED(" GET / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET  / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET /  HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET / HTTP/1.1 \r\n" HOST "\r\n"), 400},
    {SIZED("GET / HTTP/1.1\n" HOST "\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r" HOST "\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\r\n" HOST "\r\n"), 400},
    {SIZED("GET /\r\n"), 400},
    {SIZED("GET / http/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET / HTTP/1.10\r\n" HOST "\r\n"), 400},
    {SIZED("GET / HTTP/11\r\n" HOST "\r\n"), 400},
    {SIZED("GET / HTTP/01.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET / HTTP/1.9\r\n" HOST "\r\n"), 0},
    {SIZED("GET / HTTP/2.0\r\n" HOST "\r\n"), 505},
    {SIZED("GET / HTTP/0.9\r\n" HOST "\r\n"), 505},
    {SIZED("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505},
    {SIZED("G@T / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("\x16\x03\x01\x02"), 400},
    {SIZED("GET / HTTP/1.1"), -1},
    {SIZED(""), -1},
    /* the target: RFC 9112 section 3.2 */
    {SIZED("GET /\x7f HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET /#a HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET /|{}^[]\\\"<>` HTTP/1.1\r\n" HOST "\r\n"), 0},
    {SIZED("GET //a HTTP/1.1\r\n" HOST "\r\n"), 0},
    {SIZED("GET a HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET ?a HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET * HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), 0},
    {SIZED("OPTIONS ** HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET x:80 HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("CONNECT x:80 HTTP/1.1\r\n" HOST "\r\n"), 0},
    {SIZED("CONNECT x HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("CONNECT x: HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("CONNECT / HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET HTTP://y/ HTTP/1.1\r\n" HOST "\r\n"), 0},
    {SIZED("GET https://y HTTP/1.1\r\n" HOST "\r\n"), 0},
    {SIZED("GET http:///a HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET http://u@y/ HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET ftp://y/ HTTP/1.1\r\n" HOST "\r\n"), 400},
    {SIZED("GET http://y/ HTTP/1.1\r\n\r\n"), 400},
    /* Host: RFC 9112 section 3.2, RFC 3986 section 3.2.2 */
    {SIZED("GET / HTTP/1.1\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.0\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), 400},
    {SIZED("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: a.b-c_d~:0\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: x:\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: x:65535\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: x:65536\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: x:8a\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: a%2e\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [::]\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: [1:2:3:4:5:6:7:8]:80\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: [1:2:3:4:5:6:7::]\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: [1:2:3:4:5:6:7:8::]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [::1.2.3.4]\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: [1:2:3:4:5:6:1.2.3.4]\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: [1:2:3:4:5:6:7:1.2.3.4]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [1:2:3:4:5::1.2.3.4]\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\nHost: [1:2:3:4:5:6::1.2.3.4]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [::1.2.3.256]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [::1.2.3]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [1::2::3]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [1:2:3]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [:1]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [1:]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [12345::]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: []\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"), 400},
    /* fields: RFC 9112 section 5, RFC 9110 section 5 */
    {SIZED("GET / HTTP/1.1\r\n " HOST "\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A(b): c\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "\xe9: c\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "!#$%&'*+-.^`|~9: c\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A: b\nC: d\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A: b\rC: d\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A: \0\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A: \v\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A: \x7f\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A:\t\xff\t\xe9 \t\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\n" HOST "A:\r\n\r\n"), 0},
    {SIZED("GET / HTTP/1.1\r\n" HOST "\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "\rx"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "\r"), -1},
    {SIZED("GET / HTTP/1.1\r\n" HOST "Content-Type: a\r\ncontent-type: a\r\n\r\n"), 400},
    /* Content-Length: RFC 9110 section 8.6, RFC 9112 section 6.3 */
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"), 0},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n"), 0},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551617\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 1_0\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 1 0\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Content-Length: \xa0\x35\r\n\r\n"), 400},
    /* Transfer-Encoding: RFC 9112 sections 6.1, 6.3 */
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: CHUNKED\r\n\r\n"), 0},
    {SIZED("PUT / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, gzip\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked,\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;a=b\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: \xa0" "chunked\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    {SIZED("PUT / HTTP/1.1\r\n" HOST
           "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), 400},
    /* RFC 9110 sections 7.6.1, 10.1.1 */
    {SIZED("GET / HTTP/1.1\r\n" HOST "Connection: close; x\r\n\r\n"), 400},
    {SIZED("GET / HTTP/1.1\r\n" HOST "Connection: , close,, te\r\n\r\n"), 0},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n"), 0},
    {SIZED("PUT / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n"), 417},
    {SIZED("PUT / HTTP/1.0\r\n" HOST "Expect: 200-ok\r\n\r\n"), 0},
};

struct body_case {
    const char *text;
    size_t len;
    int status; /* 0: complete, -1: not complete */
    const char *data;
};

static const struct body_case BODIES[] = {
    {SIZED("5\r\nhello\r\n0\r\n\r\n"), 0, "hello"},
    {SIZED("05\r\nhello\r\n0a\r\n0123456789\r\n00\r\n\r\nrest"), 0, "hello0123456789"},
    {SIZED("0\r\n\r\n"), 0, ""},
    {SIZED("5\r\nhel"), -1, "hel"},
    {SIZED("5\r\nhello\r\n"), -1, "hello"},
    {SIZED("0\r\n"), -1, ""},
    {SIZED("\r\n"), 400, ""},
    {SIZED("g\r\n"), 400, ""},
    {SIZED("-1\r\n"), 400, ""},
    {SIZED("+1\r\n"), 400, ""},
    {SIZED("0x1\r\n"), 400, ""},
    {SIZED("1_0\r\n"), 400, ""},
    {SIZED(" 1\r\n"), 400, ""},
    {SIZED("1 \r\n"), 400, ""},
    {SIZED("1\t;a\r\n"), 400, ""},
    {SIZED("1\n"), 400, ""},
    {SIZED("1\rx"), 400, ""},
    {SIZED("0000000000000001\r\nx\r\n"), -1, "x"},
    {SIZED("00000000000000001\r\nx\r\n"), 400, ""},
    {SIZED("8000000000000000\r\n"), 400, ""},
    {SIZED("7fffffffffffffff\r\nx"), -1, "x"},
    {SIZED("1\r\nxy\r\n"), 400, "x"},
    {SIZED("1\r\nx\n"), 400, "x"},
    {SIZED("1\r\nx\r\r"), 400, "x"},
    /* extensions: RFC 9112 section 7.1.1 */
    {SIZED("1;a;b=c;d=\"e \\\" ;\"\r\nx\r\n0;z\r\n\r\n"), 0, "x"},
    {SIZED("1;\r\n"), 400, ""},
    {SIZED("1;a=\r\n"), 400, ""},
    {SIZED("1;=a\r\n"), 400, ""},
    {SIZED("1;a=b=c\r\n"), 400, ""},
    {SIZED("1; a\r\n"), 400, ""},
    {SIZED("1;a =b\r\n"), 400, ""},
    {SIZED("1;a=\"b\r\n"), 400, ""},
    {SIZED("1;a=\"b\"c\r\n"), 400, ""},
    {SIZED("1;a\n"), 400, ""},
    {SIZED("1;a\0\r\n"), 400, ""},
    /* trailers: RFC 9112 section 7.1.2 */
    {SIZED("0\r\nA: b\r\nContent-Length: 5\r\nC:\t\xff\r\n\r\n"), 0, ""},
    {SIZED("0\r\nA: b\r\n"), -1, ""},
    {SIZED("0\r\nA: b\n\r\n"), 400, ""},
    {SIZED("0\r\nA : b\r\n\r\n"), 400, ""},
    {SIZED("0\r\n: b\r\n\r\n"), 400, ""},
    {SIZED("0\r\n A: b\r\n\r\n"), 400, ""},
    {SIZED("0\r\nA: b\r\n c\r\n\r\n"), 400, ""},
    {SIZED("0\r\nA\r\n\r\n"), 400, ""},
    {SIZED("0\r\nA: \0\r\n\r\n"), 400, ""},
    {SIZED("0\r\n\n"), 400, ""},
    {SIZED("0\r\n\rx"), 400, ""},
};

static int failures;

static void expect(const char *kind, const char *text, size_t len, int want, int got)
{
    if (want != got) {
        fprintf(stderr, "%s %.*s\n    expected %d, got %d\n", kind, (int)len, text, want, got);
        failures++;
    }
}

static void check_heads(void)
{
    static struct request request;
    for (size_t i = 0; i < sizeof HEADS / sizeof HEADS[0]; i++) {
        const struct head_case *row = &HEADS[i];
        enum parse_result result =
            parse_all_ways(&request, (const uint8_t *)row->text, row->len, &WIDE);
        expect("head", row->text, row->len, row->status,
               result == PARSE_PARTIAL ? -1 : request.status);
        parse_all_ways(&request, (const uint8_t *)row->text, row->len, &NARROW);
    }
}

static void check_bodies(void)
{
    static struct body body;
    for (size_t i = 0; i < sizeof BODIES / sizeof BODIES[0]; i++) {
        const struct body_case *row = &BODIES[i];
        dechunk_all_ways(&body, (const uint8_t *)row->text, row->len, &WIDE_CHUNKS);
        expect("body", row->text, row->len, row->status,
               body.status == 0 && !body.done ? -1 : body.status);
        if (body.len != strlen(row->data) || memcmp(body.bytes, row->data, body.len) != 0) {
            expect("data of", row->text, row->len, (int)strlen(row->data), (int)body.len);
        }
    }
}

static const uint8_t *text_of(const char *before, size_t fill, const char *after)
{
    static uint8_t text[GUARDED_MAX];
    size_t len = strlen(before);
    memcpy(text, before, len);
    memset(text + len, 'a', fill);
    memcpy(text + len + fill, after, strlen(after) + 1);
    return text;
}

/* One byte below a limit, and one above. */
static void check_limit(const char *before, size_t fits, const char *after, int past)
{
    static struct request request;
    for (size_t more = 0; more <= 1; more++) {
        const uint8_t *text = text_of(before, fits + more, after);
        size_t len = strlen((const char *)text);
        parse_all_ways(&request, text, len, &WIDE);
        expect("limit of", before, strlen(before), more ? past : 0, request.status);
    }
}

static void check_limits(void)
{
    check_limit("GET /", 8190 - 14, " HTTP/1.1\r\n" HOST "\r\n", 414);
    check_limit("GET / HTTP/1.1\r\n" HOST "A:", 8190 - 2, "\r\n\r\n", 431);
    check_limit("GET / HTTP/1.1\r\n" HOST, 8190 - 2, ":b\r\n\r\n", 431);
    static struct request request;
    static char text[GUARDED_MAX];
    for (int fields = 99; fields <= 100; fields++) {
        size_t len = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST);
        for (int i = 0; i < fields; i++) {
            len += (size_t)sprintf(text + len, i % 2 ? "A_%d: b\r\n" : "A%d: b\r\n", i);
        }
        len += (size_t)sprintf(text + len, "\r\n");
        parse_all_ways(&request, (const uint8_t *)text, len, &WIDE);
        expect("fields", "", 0, fields == 99 ? 0 : 431, request.status);
    }
    struct parse_limits limits = WIDE;
    const char head[] = "GET / HTTP/1.1\r\n" HOST "\r\n";
    for (uint32_t more = 0; more <= 1; more++) {
        limits.head = (uint32_t)sizeof head - 2 + more;
        parse_all_ways(&request, (const uint8_t *)head, sizeof head - 1, &limits);
        expect("head", "", 0, more ? 0 : 431, request.status);
    }
}

static void check_chunk_limits(void)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"1;aaaaaaaaaaaaaaaaaa\r\nx\r\n0\r\n\r\n", 0},
        {"1;aaaaaaaaaaaaaaaaaaa\r\nx\r\n0\r\n\r\n", 400},
        {"1;aaaaaaaaaaa\r\nx\r\n1;aaaaaaaaaaa\r\nx\r\n0\r\n\r\n", 0},
        {"1;aaaaaaaaaaa\r\nx\r\n1;aaaaaaaaaaaa\r\nx\r\n0\r\n\r\n", 400},
        {"0\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n", 0},
        {"0\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n", 431},
        {"0\r\nA:\r\nB:\r\n\r\n", 0},
        {"0\r\nA:\r\nB:\r\nC:\r\n\r\n", 431},
        {"28\r\n0123456789012345678901234567890123456789\r\n0\r\n\r\n", 0},
        {"29\r\n", 413},
        {"7fffffffffffffff\r\n", 413},
    };
    static struct body body;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].text);
        dechunk_all_ways(&body, (const uint8_t *)rows[i].text, len, &NARROW_CHUNKS);
        expect("limit of", rows[i].text, len, rows[i].status, body.status);
    }
}

int main(void)
{
    check_heads();
    check_bodies();
    check_limits();
    check_chunk_limits();
    if (failures == 0) {
        printf("%zu heads, %zu bodies\n", sizeof HEADS / sizeof HEADS[0],
               sizeof BODIES / sizeof BODIES[0]);
    }
    return failures != 0;
}
