#!/bin/sh
# release.sh - decides the version of this release, once for all services.
set -eu

printf '{"version": "%s"}\n' "${VERSION:-$(date -u +%Y%m%d.%H%M%S)}" >"$MAYFLY_RESULT"
