#!/bin/bash
# gateway.sh - the gateway at an agent's unix socket against nginx (proxy_pass) in front of the same upstream, and against the bare
# curl-multi loop: requests for a second of processor time on one core, latency that is added, memory of an agent that does nothing.
# The proxy has a core of its own, agents and upstream have the other one; figures are medians of ROUNDS.
set -eu
. "$(dirname "$0")/lib.sh"

side=$BENCH_BIN/bench_gateway_side
small=${REQUESTS:-20000} large=$((${REQUESTS:-20000} / 20))
agents_most=256
proxy_core=0 other_core=$(($(nproc) > 1 ? 1 : 0))

cpu_us() { # pid: of its only thread that works
    awk '{ print $1 / 1000 }' "/proc/$1/schedstat"
}
rss_kib() { # pid
    sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"
}
middle() { # file, column
    awk -v c="$2" '{ print $c }' "$WORK/$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

mkfifo "$WORK/upstream.port" "$WORK/gateway.ready"
taskset -c "$other_core" "$BENCH_BIN/bench_gateway_upstream" >"$WORK/upstream.port" &
BENCH_PIDS+=($!)
read -r port <"$WORK/upstream.port"

mkdir "$WORK/ours"
taskset -c "$proxy_core" "$side" gateway "$WORK/ours" "$port" "$agents_most" >"$WORK/gateway.ready" &
ours_pid=$!
BENCH_PIDS+=("$ours_pid")
read -r _ <"$WORK/gateway.ready"
sides="ours"

if command -v nginx >/dev/null; then
    mkdir "$WORK/nginx"
    {
        echo "daemon off; master_process off; pid $WORK/nginx/pid; error_log $WORK/nginx/error.log; worker_rlimit_nofile 4096;"
        echo "events { worker_connections 2048; }"
        echo "http { access_log $WORK/nginx/access.log; keepalive_requests 100000000; client_max_body_size 512m;"
        for temp in client_body proxy fastcgi uwsgi scgi; do echo "${temp}_temp_path $WORK/nginx;"; done
        echo "upstream up { server 127.0.0.1:$port; keepalive 512; keepalive_requests 100000000; }"
        echo "server {"
        for agent in $(seq 0 $((agents_most - 1))); do echo "listen unix:$WORK/nginx/$agent.sock;"; done
        echo "location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Authorization 'Bearer real'; } } }"
    } >"$WORK/nginx/nginx.conf"
    taskset -c "$proxy_core" nginx -e "$WORK/nginx/error.log" -c "$WORK/nginx/nginx.conf" &
    nginx_pid=$!
    BENCH_PIDS+=("$nginx_pid")
    for _ in $(seq 100); do
        [ -S "$WORK/nginx/0.sock" ] && break
        sleep 0.05
    done
    sides="ours nginx"
else
    echo "# no nginx (package nginx-light): nothing to compare with"
fi

# One round of one side: requests for a second, p50, p99, processor time of the proxy for a request.
round() { # side, agents, requests, bytes, up|down
    local before pid=${1}_pid
    before=$(cpu_us "${!pid}")
    figures=$(taskset -c "$other_core" "$side" load "$WORK/$1" "$2" "$3" "$4" "$5")
    echo "$figures $(calculate "($(cpu_us "${!pid}") - $before) / $3" 3)" >>"$WORK/$1.$5.$4.$2"
}

echo "# gateway: $small requests of 1 KiB, $large of 1 MiB a round; medians of $ROUNDS rounds; rate = requests for a second of the proxy's core"
mkdir "$WORK/one"
mkfifo "$WORK/one.ready"
"$side" gateway "$WORK/one" "$port" 1 >"$WORK/one.ready" &
one_pid=$!
BENCH_PIDS+=("$one_pid")
read -r _ <"$WORK/one.ready"
before=$(rss_kib "$ours_pid")
line gateway.memory.idle_agent "$(calculate "($before - $(rss_kib "$one_pid")) / ($agents_most - 1)" 1)" KiB/agent
for name in $sides; do # warm up: connections, memory
    taskset -c "$other_core" "$side" load "$WORK/$name" 256 5000 1024 down >/dev/null
done
line gateway.memory.agent_with_connections "$(calculate "($(rss_kib "$ours_pid") - $before) / 256" 1)" KiB/agent

for _ in $(seq "$ROUNDS"); do
    for agents in 1 16 256; do
        for bytes in 1024 1048576; do
            count=$([ "$bytes" = 1024 ] && echo "$small" || echo "$large")
            for direction in down up; do
                [ "$direction" = down ] || [ "$agents" = 16 ] || continue
                for name in $sides; do
                    round "$name" "$agents" "$count" "$bytes" "$direction"
                done
                [ "$direction" = down ] || continue
                taskset -c "$other_core" "$side" load "$port" "$agents" "$count" "$bytes" down >>"$WORK/direct.down.$bytes.$agents"
                taskset -c "$proxy_core" "$side" bare "$port" "$agents" "$count" "$bytes" >>"$WORK/bare.down.$bytes.$agents"
            done
        done
    done
done

for bytes in 1024 1048576; do
    size=$([ "$bytes" = 1024 ] && echo 1KiB || echo 1MiB)
    for agents in 1 16 256; do
        name=gateway.$size.agents_$agents
        ours=$(middle "ours.down.$bytes.$agents" 4)
        line "$name.rate" "$(calculate "1000000 / $ours" 0)" requests/s
        [ "$sides" = ours ] || line "$name.rate_by_nginx" "$(calculate "$(middle "nginx.down.$bytes.$agents" 4) / $ours")" x
        line "$name.cpu" "$ours" us/request
        line "$name.cpu_by_bare_curl" "$(calculate "$ours / $(middle "bare.down.$bytes.$agents" 1)")" x
        line "$name.added.p50" "$(calculate "$(middle "ours.down.$bytes.$agents" 2) - $(middle "direct.down.$bytes.$agents" 2)" 0)" us
        line "$name.added.p99" "$(calculate "$(middle "ours.down.$bytes.$agents" 3) - $(middle "direct.down.$bytes.$agents" 3)" 0)" us
        [ "$sides" = ours ] || line "$name.nginx.added.p50" "$(calculate "$(middle "nginx.down.$bytes.$agents" 2) - $(middle "direct.down.$bytes.$agents" 2)" 0)" us
    done
    [ "$sides" = ours ] || line "gateway.$size.up.agents_16.rate_by_nginx" "$(calculate "$(middle "nginx.up.$bytes.16" 4) / $(middle "ours.up.$bytes.16" 4)")" x
    line "gateway.$size.up.agents_16.cpu" "$(middle "ours.up.$bytes.16" 4)" us/request
done
