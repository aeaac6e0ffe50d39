/*
 * emulator/route.h - from method and path to a handler
 *
 * Templates and their access classes are one table (routes.h). A path is split and decoded once; routes stand in buckets by
 * their number of segments, and in a bucket the order of the table decides, so literal rows stand before parameters.
 */
#ifndef MF_EMULATOR_ROUTE_H
#define MF_EMULATOR_ROUTE_H

#include "base/str.h"
#include "emulator/groups.h"

#include <stdbool.h>
#include <stdint.h>

#define EMU_PARAMETERS_MAX 4u
#define EMU_SEGMENTS_MAX 12u

struct emu_call;
typedef void emu_handler(struct emu_call *call);

struct emu_route {
    const char *method, *path;
    enum emu_access access;
    emu_handler *handler;
    struct mf_span segments[EMU_SEGMENTS_MAX]; /* of the template */
    uint8_t segment_count;
    bool has_account, has_zone; /* the first parameter names it */
    bool takes_rest;            /* the last parameter is all that is left of the path */
};

struct emu_match {
    const struct emu_route *route;                 /* NULL: none */
    bool other_method;                             /* the path exists with another method */
    struct mf_span parameters[EMU_PARAMETERS_MAX]; /* still encoded, into the path */
    uint32_t parameter_count;
};

struct emu_router;

int emu_router_create(struct emu_router **out);
void emu_router_destroy(struct emu_router *router);
/* `path` begins behind the base path. HEAD is matched as GET. */
void emu_router_match(const struct emu_router *router, struct mf_span method, struct mf_span path, struct emu_match *out);

#endif
