/* write.c - the head of an HTTP/1.1 answer, piece by piece */
#include "http1/write.h"

#include "http1/chars.h"

/* status, phrase: those of RFC 9110 and RFC 6585 that mayfly's servers and the services they stand for use */
#define STATUSES(X)                                                                                                    \
    X(100, "Continue")                                                                                                 \
    X(200, "OK") X(201, "Created") X(202, "Accepted") X(204, "No Content") X(206, "Partial Content")                   \
        X(301, "Moved Permanently") X(302, "Found") X(303, "See Other") X(304, "Not Modified")                         \
            X(307, "Temporary Redirect") X(308, "Permanent Redirect") X(400, "Bad Request") X(401, "Unauthorized")     \
                X(402, "Payment Required") X(403, "Forbidden") X(404, "Not Found") X(405, "Method Not Allowed")        \
                    X(406, "Not Acceptable") X(408, "Request Timeout") X(409, "Conflict") X(410, "Gone")               \
                        X(411, "Length Required") X(412, "Precondition Failed") X(413, "Content Too Large")            \
                            X(414, "URI Too Long") X(415, "Unsupported Media Type") X(417, "Expectation Failed")       \
                                X(421, "Misdirected Request") X(422, "Unprocessable Content")                          \
                                    X(429, "Too Many Requests") X(431, "Request Header Fields Too Large")              \
                                        X(500, "Internal Server Error") X(501, "Not Implemented")                      \
                                            X(502, "Bad Gateway") X(503, "Service Unavailable")                        \
                                                X(504, "Gateway Timeout") X(505, "HTTP Version Not Supported")

const char *http1_reason(int status)
{
    switch (status) {
#define X(code, phrase)                                                                                                \
    case code:                                                                                                         \
        return phrase;
        STATUSES(X)
#undef X
    default:
        return "Unknown";
    }
}

bool http1_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

bool http1_header_valid(struct mf_span name, struct mf_span value)
{
    if (name.length == 0)
        return false;
    for (size_t i = 0; i < name.length; i++)
        if (!http1_is_token((unsigned char)name.data[i]))
            return false;
    for (size_t i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c < 0x80 && !http1_is_field(c))
            return false;
    }
    return true;
}

/* Numbers are written by hand: printf is a tenth of the cost of a small answer. */
static int write_number(struct mf_buf *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return mf_buf_append(out, digits + at, sizeof digits - at);
}

int http1_write_status(struct mf_buf *out, int status)
{
    if (status < 100 || status > 999) {
        out->failed = true;
        return -1;
    }
    mf_buf_span(out, MF_SPAN("HTTP/1.1 "));
    write_number(out, (uint64_t)status);
    mf_buf_char(out, ' ');
    mf_buf_text(out, http1_reason(status));
    return mf_buf_span(out, MF_SPAN("\r\n"));
}

int http1_write_header(struct mf_buf *out, struct mf_span name, struct mf_span value)
{
    if (!http1_header_valid(name, value)) {
        out->failed = true;
        return -1;
    }
    mf_buf_span(out, name);
    mf_buf_span(out, MF_SPAN(": "));
    mf_buf_span(out, value);
    return mf_buf_span(out, MF_SPAN("\r\n"));
}

int http1_write_length(struct mf_buf *out, uint64_t content_length)
{
    mf_buf_span(out, MF_SPAN("content-length: "));
    write_number(out, content_length);
    return mf_buf_span(out, MF_SPAN("\r\n"));
}

int http1_write_end(struct mf_buf *out)
{
    return mf_buf_span(out, MF_SPAN("\r\n"));
}
