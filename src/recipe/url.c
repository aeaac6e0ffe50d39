/*
 * url.c - which base URLs and paths a recipe may have
 *
 * The host is fixed here and nowhere else: a request's URL is the base URL, then the path. So both are held to a form that no
 * two parsers read differently: no userinfo, no escapes in the host, addresses only as four plain decimal numbers, no
 * trailing dot, and http only to this machine.
 */
#include "recipe/load.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct mf_span cut(struct mf_span text, size_t bytes)
{
    return (struct mf_span){text.data + bytes, text.length - bytes};
}

static size_t find(struct mf_span text, const char *characters)
{
    size_t at = 0;
    while (at < text.length && strchr(characters, text.data[at]) == NULL)
        at++;
    return at;
}

/* Four decimal numbers without leading zeros. */
static bool is_dotted_quad(struct mf_span host, uint64_t *first)
{
    for (int i = 0; i < 4; i++) {
        size_t length = find(host, ".");
        uint64_t number;
        if (mf_parse_u64((struct mf_span){host.data, length}, &number) != 0 || number > 255)
            return false;
        if (i == 0)
            *first = number;
        if ((i < 3) != (length < host.length))
            return false;
        host = cut(host, length + (i < 3));
    }
    return true;
}

static const char *check_label(struct mf_span label)
{
    if (label.length == 0)
        return "host has an empty label or a trailing dot";
    if (label.length > 63 || label.data[0] == '-' || label.data[label.length - 1] == '-')
        return "host has a bad label";
    for (size_t i = 0; i < label.length; i++)
        if (!is_letter(label.data[i]) && !is_digit(label.data[i]) && label.data[i] != '-')
            return "host may hold letters, digits, `-` and `.`";
    return NULL;
}

/* A last label that begins with a digit is an address in some spelling (octal, hexadecimal, one number) to some parser. */
static const char *check_host_name(struct mf_span host)
{
    struct mf_span rest = host, label = host;
    for (bool last = false; !last;) {
        size_t length = find(rest, ".");
        label = (struct mf_span){rest.data, length};
        const char *problem = check_label(label);
        if (problem != NULL)
            return problem;
        last = length == rest.length;
        if (!last)
            rest = cut(rest, length + 1);
    }
    if (is_digit(label.data[0]))
        return "host is an address that is not four plain decimal numbers";
    return NULL;
}

static const char *check_host(struct mf_span host, bool *loopback)
{
    uint64_t first = 0;
    if (host.length == 0 || host.length > 253)
        return "host is missing or too long";
    if (host.data[0] == '[') {
        *loopback = mf_span_is(host, "[::1]");
        for (size_t i = 1; i + 1 < host.length; i++)
            if (strchr("0123456789abcdefABCDEF:", host.data[i]) == NULL)
                return "host is no address";
        return host.length > 3 && host.data[host.length - 1] == ']' ? NULL : "host is no address";
    }
    if (is_dotted_quad(host, &first)) {
        *loopback = first == 127;
        return NULL;
    }
    *loopback = mf_span_is(host, "localhost");
    return check_host_name(host);
}

static const char *check_port(struct mf_span port)
{
    uint64_t number;
    return mf_parse_u64(port, &number) == 0 && number >= 1 && number <= 65535 ? NULL : "port must be 1 to 65535";
}

const char *recipe_base_url_problem(struct mf_span url)
{
    bool tls = mf_span_starts(url, "https://"), loopback = false;
    if (!tls && !mf_span_starts(url, "http://"))
        return "must begin with https:// (or http:// to this machine)";
    struct mf_span rest = cut(url, tls ? 8 : 7);
    size_t end = find(rest, "/?#");
    struct mf_span authority = {rest.data, end}, path = cut(rest, end), port = {NULL, 0};
    if (memchr(authority.data, '@', authority.length) != NULL)
        return "must not hold a user or a password";
    size_t host_end = authority.length > 0 && authority.data[0] == '[' ? find(authority, "]") + 1 : find(authority, ":");
    if (host_end < authority.length) {
        if (authority.data[host_end] != ':')
            return "host is no address";
        port = cut(authority, host_end + 1);
        if (check_port(port) != NULL)
            return check_port(port);
    }
    const char *problem = check_host((struct mf_span){authority.data, host_end < authority.length ? host_end : authority.length}, &loopback);
    if (problem != NULL)
        return problem;
    if (!tls && !loopback)
        return "http:// is only for this machine: use https://";
    if (path.length > 0 && path.data[path.length - 1] == '/')
        return "must not end with a slash";
    return path.length > 0 ? recipe_path_problem(path) : NULL;
}

struct mf_span recipe_origin_of(struct mf_span url)
{
    size_t scheme = mf_span_starts(url, "https://") ? 8 : mf_span_starts(url, "http://") ? 7 : 0;
    if (scheme == 0)
        return (struct mf_span){NULL, 0};
    return (struct mf_span){url.data, scheme + find(cut(url, scheme), "/?#")};
}

/* A star and workers.dev: it stands for one label or more, so what follows must be a name of at least two. */
static const char *check_star(struct mf_span origin)
{
    struct mf_span rest = cut(origin, strlen("https://*."));
    size_t host = find(rest, ":");
    if (find((struct mf_span){rest.data, host}, ".") == host)
        return "a star needs a domain of at least two labels behind it";
    if (rest.length > 0 && (is_digit(rest.data[0]) || rest.data[0] == '['))
        return "a star goes with a name, not with an address";
    return NULL;
}

const char *recipe_reach_problem(struct mf_span origin)
{
    char text[1024];
    if (mf_span_copy(origin, text, sizeof text) != 0)
        return "is too long or holds a NUL";
    if (mf_span_starts(origin, "http://")) { /* to this machine, where one origin may serve more: a path may bound it */
        struct mf_span url = {text, origin.length};
        url.length -= url.length > 7 && text[url.length - 1] == '/';
        return recipe_base_url_problem(url);
    }
    if (!mf_span_starts(origin, "https://"))
        return "must begin with https:// (or http:// to this machine)";
    if (find(cut(origin, 8), "/?#") < origin.length - 8)
        return "an https origin has no path: a tunnel shows none";
    if (!mf_span_starts(origin, "https://*."))
        return recipe_base_url_problem(origin);
    const char *problem = check_star(origin);
    text[8] = 'x'; /* the star is one label of the name */
    return problem != NULL ? problem : recipe_base_url_problem((struct mf_span){text, origin.length});
}

const char *recipe_path_problem(struct mf_span path)
{
    if (path.length == 0 || path.data[0] != '/')
        return "path must begin with `/`";
    for (size_t i = 0; i < path.length; i++) {
        char c = path.data[i];
        if (c == '?' || c == '#')
            return "path must not hold `?` or `#`: use `query`";
        if (!is_letter(c) && !is_digit(c) && strchr("/-._~!$&'()*+,;=:@", c) == NULL)
            return "path has a character that must be escaped, or an escape: write values as templates";
    }
    struct mf_span rest = cut(path, 1);
    for (;;) {
        size_t length = find(rest, "/");
        struct mf_span segment = {rest.data, length};
        if (mf_span_is(segment, ".") || mf_span_is(segment, ".."))
            return "path has a `.` or `..` segment";
        if (length == 0 && length < rest.length)
            return "path has an empty segment";
        if (length == rest.length)
            return NULL;
        rest = cut(rest, length + 1);
    }
}
