#!/bin/bash
# emulator.sh - the emulator as a server: requests a second against nginx returning the same bytes, memory for an account, start-up,
# and whose processor time 10,000 accounts made and deleted cost
set -eu
. "$(dirname "$0")/lib.sh"

requests=${REQUESTS:-50000}
accounts=${ACCOUNTS:-10000}
MAYFLY_EMULATOR_TOKEN=bench-operator-$RANDOM$RANDOM$RANDOM$RANDOM
export MAYFLY_EMULATOR_TOKEN
load=$BENCH_BIN/bench_emulator_load
hertz=$(getconf CLK_TCK)

cpu_ms() { # pid
    sed 's/.*) //' "/proc/$1/stat" | awk -v hertz="$hertz" '{ print ($12 + $13) * 1000 / hertz }'
}
rss_kib() { # pid
    sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"
}
start_emulator() { # sets PID, PORT, URL and how long it took until it said so, in START
    local from
    rm -f "$WORK/emulator.out"
    from=$(date +%s%N)
    mkfifo "$WORK/ready"
    "$MAYFLY_BIN" emulate --listen 127.0.0.1:0 --ledger "$WORK/ledger" >"$WORK/ready" 2>"$WORK/emulator.err" &
    PID=$!
    BENCH_PIDS+=("$PID")
    read -r _ URL <"$WORK/ready"
    START=$(calculate "($(date +%s%N) - $from) / 1000000" 1)
    rm -f "$WORK/ready" "$WORK/ledger"
    PORT=${URL#http://127.0.0.1:}
    PORT=${PORT%%/*}
}
stop_emulator() {
    kill "$PID"
    wait "$PID" || true
}
# One round of a load: its figures go to NAME.load; the server's processor time to NAME.cpu.
round() { # name, server's pid, argument...
    local name=$1 pid=$2 before
    shift 2
    before=$(cpu_ms "$pid")
    "$load" "$@" >>"$WORK/$name.load"
    calculate "$(cpu_ms "$pid") - $before" 1 >>"$WORK/$name.cpu"
    echo >>"$WORK/$name.cpu"
}
middle() { # file, awk expression of its columns
    awk "{ print $2 }" "$WORK/$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
rate() { # name
    calculate "$(middle "$1.load" '$1 / $2 * 1000')" 0
}

echo "# emulator: $requests requests, $accounts accounts, 16 connections; medians of $ROUNDS rounds"
for _ in $(seq "$ROUNDS"); do
    start_emulator
    echo "$START" >>"$WORK/start"
    stop_emulator
done
line emulator.start "$(middle start '$1')" ms

start_emulator
id=$(printf 'Authorization: Bearer %s\n' "$MAYFLY_EMULATOR_TOKEN" | curl -sS -H @- -d '{"name": "one"}' "$URL/accounts" -D "$WORK/create.head" -o "$WORK/create.body" && sed -n 's/.*"id":"\([0-9a-f]*\)".*/\1/p' "$WORK/create.body")
printf 'Authorization: Bearer %s\n' "$MAYFLY_EMULATOR_TOKEN" | curl -sS -H @- "$URL/accounts/$id" -o "$WORK/get.body"
before=$(rss_kib "$PID")
"$load" "$PORT" "$accounts" create >/dev/null
line emulator.memory "$(calculate "($(rss_kib "$PID") - $before) * 1024 / $accounts" 0)" bytes/account

nginx_pid=
if command -v nginx >/dev/null; then
    mkdir -p "$WORK/nginx"
    nginx_port=$((20000 + RANDOM % 20000))
    cat >"$WORK/nginx/nginx.conf" <<CONF
daemon off; master_process off; pid $WORK/nginx/pid; error_log $WORK/nginx/error.log;
events { worker_connections 256; }
http { access_log $WORK/nginx/access.log; keepalive_requests 10000000; default_type application/json;
  client_body_temp_path $WORK/nginx; proxy_temp_path $WORK/nginx; fastcgi_temp_path $WORK/nginx; uwsgi_temp_path $WORK/nginx; scgi_temp_path $WORK/nginx;
  server { listen 127.0.0.1:$nginx_port;
    location = /client/v4/accounts { return 200 '$(cat "$WORK/create.body")'; }
    location / { return 200 '$(cat "$WORK/get.body")'; } } }
CONF
    nginx -e "$WORK/nginx/error.log" -c "$WORK/nginx/nginx.conf" 2>"$WORK/nginx/err" &
    nginx_pid=$!
    BENCH_PIDS+=("$nginx_pid")
    for _ in $(seq 100); do
        (: <"/dev/tcp/127.0.0.1/$nginx_port") 2>/dev/null && break
        sleep 0.05
    done
else
    echo "# no nginx (package nginx-light): nothing to compare with"
fi
for _ in $(seq "$ROUNDS"); do
    round get "$PID" "$PORT" "$requests" get "/client/v4/accounts/$id"
    [ -z "$nginx_pid" ] || round nginx.get "$nginx_pid" "$nginx_port" "$requests" get "/client/v4/accounts/$id"
    round create "$PID" "$PORT" "$accounts" create
    [ -z "$nginx_pid" ] || round nginx.create "$nginx_pid" "$nginx_port" "$accounts" create
    round cycle "$PID" "$PORT" "$accounts" cycle
done
for what in get create; do
    line "emulator.$what.rate" "$(rate $what)" requests/s
    if [ -n "$nginx_pid" ]; then
        line "emulator.$what.nginx.rate" "$(rate nginx.$what)" requests/s
        line "emulator.$what.rate_by_nginx" "$(calculate "$(rate $what) / $(rate nginx.$what)")" x
    fi
done
line emulator.cycle.rate "$(rate cycle)" requests/s
line emulator.cycle.cpu "$(calculate "$(middle cycle.cpu '$1') * 1000 / (2 * $accounts)" 1)" us/request
line emulator.cycle.client.cpu "$(calculate "$(middle cycle.load '$3') * 1000 / (2 * $accounts)" 1)" us/request

# The client that matters is mayfly: the same accounts by a run of agents that do nothing.
seq -s, "$accounts" | sed 's|.*|{"mayfly": 1, "name": "emulator", "provider": "emulator", "defaults": {"sandbox": false}, "tasks": {"t": {"for_each": [&], "command": ["/bin/true"], "account": {"permissions": []}}}}|' >"$WORK/graph.json"
export MAYFLY_EMULATOR_URL=$URL
before=$(cpu_ms "$PID")
side run "$MAYFLY_BIN" run "$WORK/graph.json" --running 64 --json
served=$(calculate "$(cpu_ms "$PID") - $before" 0)
line emulator.run.accounts "$(tail -n 1 "$WORK/run.out" | jq .accounts.gone)" accounts
line emulator.run.cpu "$served" ms
line emulator.run.mayfly.cpu "$(calculate "$(median run 2)" 0)" ms
line emulator.run.cpu_by_mayfly "$(calculate "$served / $(median run 2)")" x
