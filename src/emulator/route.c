/* route.c - the router: splits a path and finds its row */
#include "emulator/route.h"

#include "base/alloc.h"
#include "emulator/handlers.h"
#include "emulator/routes.h"

#include <string.h>

static const struct {
    const char *method, *path;
    enum emu_access access;
    emu_handler *handler;
} rows[] = {
#define X(method, path, access, handler) {#method, path, EMU_ACCESS_##access, emu_##handler},
    EMU_ROUTES(X)
#undef X
};
enum { ROUTE_COUNT = sizeof(rows) / sizeof(rows[0]) };

struct emu_router {
    struct emu_route routes[ROUTE_COUNT];          /* sorted by number of segments, else in order of the table */
    uint32_t bucket_start[EMU_SEGMENTS_MAX + 2];   /* first route with so many segments */
};

/* Splits at slashes; returns the number of segments, or EMU_SEGMENTS_MAX + 1 for too many. */
static uint32_t split(struct mf_span path, struct mf_span out[EMU_SEGMENTS_MAX])
{
    uint32_t count = 0;
    size_t at = 0;
    while (at < path.length) {
        size_t start = ++at; /* behind the slash */
        while (at < path.length && path.data[at] != '/')
            at++;
        if (count == EMU_SEGMENTS_MAX)
            return EMU_SEGMENTS_MAX + 1;
        out[count++] = (struct mf_span){path.data + start, at - start};
    }
    return count;
}

static bool is_parameter(struct mf_span segment)
{
    return segment.length > 0 && segment.data[0] == '{';
}

static void fill_route(struct emu_route *route, uint32_t row)
{
    route->method = rows[row].method;
    route->path = rows[row].path;
    route->access = rows[row].access;
    route->handler = rows[row].handler;
    route->segment_count = (uint8_t)split(mf_span(route->path), route->segments);
    route->takes_rest = mf_span_ends(mf_span(route->path), "...}");
    route->has_account = route->segment_count > 1 && mf_span_is(route->segments[1], "{account}");
    route->has_zone = route->segment_count > 1 && mf_span_is(route->segments[1], "{zone}");
}

int emu_router_create(struct emu_router **out)
{
    struct emu_router *router = mf_calloc(1, sizeof(*router));
    uint32_t count = 0;
    if (router == NULL)
        return -1;
    for (uint32_t segments = 0; segments <= EMU_SEGMENTS_MAX; segments++) {
        router->bucket_start[segments] = count;
        for (uint32_t row = 0; row < ROUTE_COUNT; row++) {
            struct mf_span unused[EMU_SEGMENTS_MAX];
            if (split(mf_span(rows[row].path), unused) == segments)
                fill_route(&router->routes[count++], row);
        }
    }
    router->bucket_start[EMU_SEGMENTS_MAX + 1] = count;
    *out = router;
    return 0;
}

void emu_router_destroy(struct emu_router *router)
{
    mf_free(router);
}

static bool path_fits(const struct emu_route *route, const struct mf_span *segments)
{
    if (route->takes_rest)
        return false;
    for (uint32_t each = 0; each < route->segment_count; each++)
        if (is_parameter(route->segments[each]) ? segments[each].length == 0 : !mf_span_equal(route->segments[each], segments[each]))
            return false;
    return true;
}

static void take_parameters(const struct emu_route *route, const struct mf_span *segments, struct emu_match *out)
{
    for (uint32_t each = 0; each < route->segment_count; each++)
        if (is_parameter(route->segments[each]) && out->parameter_count < EMU_PARAMETERS_MAX)
            out->parameters[out->parameter_count++] = segments[each];
}

/* All segments but the last as usual; the last parameter goes on to the end of the path. */
static bool rest_fits(const struct emu_route *route, const struct mf_span *segments, uint32_t count, struct mf_span path, struct mf_span *rest)
{
    uint32_t last = route->segment_count - 1u;
    if (!route->takes_rest || count < route->segment_count)
        return false;
    for (uint32_t each = 0; each < last; each++)
        if (is_parameter(route->segments[each]) ? segments[each].length == 0 : !mf_span_equal(route->segments[each], segments[each]))
            return false;
    *rest = (struct mf_span){segments[last].data, (size_t)(path.data + path.length - segments[last].data)};
    return rest->length > 0;
}

static bool method_fits(const struct emu_route *route, struct mf_span method, struct emu_match *out)
{
    if (!mf_span_is(method, route->method)) {
        out->other_method = true;
        return false;
    }
    out->route = route;
    return true;
}

/* There are few of them, and nothing else fitted. */
static void match_rest(const struct emu_router *router, struct mf_span method, struct mf_span path, const struct mf_span *segments, uint32_t count, struct emu_match *out)
{
    struct mf_span rest;
    for (uint32_t each = 0; each < ROUTE_COUNT; each++) {
        const struct emu_route *route = &router->routes[each];
        if (!rest_fits(route, segments, count, path, &rest) || !method_fits(route, method, out))
            continue;
        take_parameters(route, segments, out);
        out->parameters[out->parameter_count - 1] = rest;
        return;
    }
}

void emu_router_match(const struct emu_router *router, struct mf_span method, struct mf_span path, struct emu_match *out)
{
    struct mf_span segments[EMU_SEGMENTS_MAX];
    *out = (struct emu_match){0};
    uint32_t count = split(path, segments);
    if (mf_span_is(method, "HEAD"))
        method = MF_SPAN("GET");
    uint32_t bucket = count > EMU_SEGMENTS_MAX ? EMU_SEGMENTS_MAX : count; /* a longer path fits no row there either way */
    for (uint32_t each = router->bucket_start[bucket]; bucket == count && each < router->bucket_start[bucket + 1]; each++) {
        const struct emu_route *route = &router->routes[each];
        if (!path_fits(route, segments) || !method_fits(route, method, out))
            continue;
        take_parameters(route, segments, out);
        return;
    }
    match_rest(router, method, path, segments, bucket, out);
}
