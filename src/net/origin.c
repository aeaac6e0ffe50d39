/*
 * origin.c - URLs: what may be asked for, and which address may be dialled for it
 *
 * URLs are taken apart by curl's own parser and by nothing else, so that what was checked is what is dialled. A request
 * may go to https anywhere, to http on loopback only. The check of the name is not enough: a name can resolve to any
 * address, so the address is looked at again when the socket is opened.
 */
#include "net/client_private.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct url_parts {
    CURLU *url;
    char *scheme, *host, *port; /* curl's */
};

static void free_parts(struct url_parts *parts)
{
    curl_free(parts->scheme);
    curl_free(parts->host);
    curl_free(parts->port);
    curl_url_cleanup(parts->url);
}

static bool url_has(const struct url_parts *parts, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(parts->url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

/* What no request of ours holds: spaces, control and non-ASCII bytes, a fragment. */
static bool has_bad_byte(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return true;
    }
    return false;
}

static int read_parts(struct url_parts *parts, const char *url, struct mf_error *error)
{
    if (has_bad_byte(url))
        return mf_fail(error, MF_INPUT, "url: holds a byte that must be escaped, or a fragment");
    parts->url = curl_url();
    if (parts->url == NULL)
        return mf_fail(error, MF_MEMORY, "url: no memory");
    CURLUcode code = curl_url_set(parts->url, CURLUPART_URL, url, CURLU_PATH_AS_IS);
    if (code == CURLUE_OK)
        code = curl_url_get(parts->url, CURLUPART_SCHEME, &parts->scheme, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(parts->url, CURLUPART_HOST, &parts->host, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(parts->url, CURLUPART_PORT, &parts->port, CURLU_DEFAULT_PORT);
    if (code == CURLUE_OUT_OF_MEMORY)
        return mf_fail(error, MF_MEMORY, "url: no memory");
    if (code != CURLUE_OK)
        return mf_fail(error, MF_INPUT, "url: not a valid http or https url");
    return 0;
}

/* curl has put every numeric spelling of an IPv4 address into dotted decimals. */
static bool is_loopback_host(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

static int check_parts(const struct url_parts *parts, bool *loopback, struct mf_error *error)
{
    *loopback = is_loopback_host(parts->host);
    if (strcmp(parts->scheme, "https") != 0 && strcmp(parts->scheme, "http") != 0)
        return mf_fail(error, MF_INPUT, "url: scheme '%.16s' is neither https nor http", parts->scheme);
    if (url_has(parts, CURLUPART_USER) || url_has(parts, CURLUPART_PASSWORD))
        return mf_fail(error, MF_INPUT, "url: holds a user name or password");
    if (strcmp(parts->scheme, "http") == 0 && !*loopback)
        return mf_fail(error, MF_INPUT, "url: http is allowed to a loopback address only, use https for '%.255s'",
                       parts->host);
    return 0;
}

static int read_and_check(struct url_parts *parts, const char *url, bool *loopback, struct mf_error *error)
{
    return read_parts(parts, url, error) != 0 ? -1 : check_parts(parts, loopback, error);
}

int net_check_base_url(const char *url, bool *loopback, struct mf_error *error)
{
    struct url_parts parts = {0};
    bool local = false;
    int result = read_and_check(&parts, url, &local, error);
    if (result == 0 && url_has(&parts, CURLUPART_QUERY))
        result = mf_fail(error, MF_INPUT, "url: a base url has no query");
    if (loopback != NULL)
        *loopback = local;
    free_parts(&parts);
    return result;
}

int net_origin(const char *url, char *out, size_t out_bytes, struct mf_error *error)
{
    struct url_parts parts = {0};
    bool local;
    int result = read_and_check(&parts, url, &local, error);
    for (char *at = parts.host; result == 0 && *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at | 0x20);
    if (result == 0) {
        int length = snprintf(out, out_bytes, "%s://%s:%s", parts.scheme, parts.host, parts.port);
        if (length < 0 || (size_t)length >= out_bytes)
            result = mf_fail(error, MF_LIMIT, "url: the origin is too long");
    }
    free_parts(&parts);
    return result;
}

/* --- origins that were seen before: parsing each URL twice would be a tenth of the cost of a request --- */

static bool matches(const struct known_origin *known, const char *url)
{
    if (strncmp(known->text, url, known->length) != 0)
        return false;
    char next = url[known->length];
    return next == '/' || next == '?' || next == '\0';
}

static int learn_origin(struct known_origin *out, const char *url, struct mf_error *error)
{
    struct url_parts parts = {0};
    const char *host = strstr(url, "://");
    int result = read_and_check(&parts, url, &out->loopback, error);
    if (result == 0 && host == NULL) /* curl would guess a scheme in other places than here */
        result = mf_fail(error, MF_INPUT, "url: has no scheme");
    if (result == 0) {
        out->length = (size_t)(host + 3 - url) + strcspn(host + 3, "/?");
        out->plain = strcmp(parts.scheme, "http") == 0;
        result = mf_span_copy((struct mf_span){url, out->length}, out->text, sizeof out->text);
        if (result != 0)
            result = mf_fail(error, MF_LIMIT, "url: the host is too long");
    }
    free_parts(&parts);
    return result;
}

int origin_of(struct net_client *client, const char *url, struct known_origin *out, struct mf_error *error)
{
    for (uint32_t i = 0; i < client->origin_count; i++) {
        if (!matches(&client->origins[i], url))
            continue;
        if (has_bad_byte(url + client->origins[i].length))
            return mf_fail(error, MF_INPUT, "url: holds a byte that must be escaped, or a fragment");
        *out = client->origins[i];
        client->origins[i].doubtful = false;
        return 0;
    }
    if (learn_origin(out, url, error) != 0)
        return -1;
    client->origins[client->origin_next] = *out;
    client->origin_next = (client->origin_next + 1) % CLIENT_ORIGINS_KNOWN;
    if (client->origin_count < CLIENT_ORIGINS_KNOWN)
        client->origin_count++;
    return 0;
}

void origin_doubt(struct net_client *client, const struct known_origin *origin)
{
    for (uint32_t i = 0; i < client->origin_count; i++)
        if (strcmp(client->origins[i].text, origin->text) == 0)
            client->origins[i].doubtful = true;
}

/* --- addresses --- */

enum place { PLACE_LOOPBACK, PLACE_LOCAL, PLACE_ELSEWHERE }; /* local: this host or this link, never a provider */

static enum place place_of_v4(uint32_t address)
{
    if (address >> 24 == 127)
        return PLACE_LOOPBACK;
    return address >> 24 == 0 || address >> 16 == 0xa9fe ? PLACE_LOCAL : PLACE_ELSEWHERE;
}

static enum place place_of(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return place_of_v4(ntohl(v4.sin_addr.s_addr));
    }
    struct sockaddr_in6 v6;
    if (address->sa_family != AF_INET6)
        return PLACE_LOCAL;
    memcpy(&v6, address, sizeof v6);
    if (IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr))
        return PLACE_LOOPBACK;
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) || IN6_IS_ADDR_V4COMPAT(&v6.sin6_addr)) {
        uint32_t v4;
        memcpy(&v4, v6.sin6_addr.s6_addr + 12, sizeof v4);
        return place_of_v4(ntohl(v4));
    }
    return IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr) ? PLACE_LOCAL
                                                                                          : PLACE_ELSEWHERE;
}

bool origin_may_dial(const struct known_origin *origin, const struct sockaddr *address)
{
    enum place place = place_of(address);
    return origin->loopback ? place == PLACE_LOOPBACK : place == PLACE_ELSEWHERE;
}
