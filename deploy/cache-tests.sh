#!/bin/sh
# Runs the public suite of tests of HTTP caches (github.com/http-tests/cache-tests)
# against an edge whose pull zone is the suite's own server, by itself and then
# with a regional cache between, and prints what passed and failed. CACHE_TESTS is a copy of the suite. It fails if a required
# test does.
set -eu
cd "$(dirname "$0")/.."
say() { echo "cache-tests: $*" >&2; }
[ -n "${CACHE_TESTS:-}" ] && [ -f "$CACHE_TESTS/test-engine/cli.mjs" ] || {
	say "CACHE_TESTS must be a copy of the suite: git clone https://github.com/http-tests/cache-tests DIR, then make cache-tests CACHE_TESTS=DIR"
	exit 2
}
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || { say "needs Node 20 or newer, and npm"; exit 2; }
suite=$(cd "$CACHE_TESTS" && pwd)
[ -d "$suite/node_modules/undici" ] || (cd "$suite" && npm install --no-audit --no-fund --omit=dev --silent)

# Thirty ports in a row of which the first one is free, and one for the server.
free() { node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }
base=$(free)
while [ "$base" -gt 32000 ] || [ "$base" -lt 10000 ]; do base=$((base / 2 + 5000)); done
port=$(free)
dir=$(mktemp -d)
chmod o+x "$dir" # Postgres gives root up
server='' node=''
cleanup() {
	[ -z "$node" ] || { kill "$node" 2>/dev/null; wait "$node" 2>/dev/null; } || true
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

export npm_config_protocol=http npm_config_port="$port" npm_config_pidfile="$dir/pid" npm_package_config_id=''
(cd "$suite" && exec node test-engine/server/server.mjs) >"$dir/server.log" 2>&1 &
server=$!
bin/meridian dev --data "$dir/data" --port-base "$base" >"$dir/meridian.log" 2>&1 &
node=$!
edge=$((base + 21))
n=0
until curl -sf "http://127.0.0.1:$base/readyz" >/dev/null && curl -sf "http://127.0.0.1:$edge/readyz" >/dev/null; do
	n=$((n + 1))
	[ "$n" -lt 120 ] && kill -0 "$node" 2>/dev/null || { cat "$dir/meridian.log" >&2; say "Meridian did not come up"; exit 2; }
	sleep 0.5
done
zone() { # verb, tier
	bin/meridian bucket "$1" cache-tests --api "http://127.0.0.1:$base" --credentials "$dir/data/credentials" \
		--pull "http://127.0.0.1:$port" --pull-hosts 127.0.0.1 --pull-tier "$2"
}
# tiers are those that an answer of the edge tells of.
tiers() { curl -s -D - -o /dev/null -H 'Cache-Control: no-cache' "http://127.0.0.1:$edge/package.json" | tr -d '\r' | sed -n 's/^Cache-Status: //Ip' | grep -o 'meridian-[a-z]*' | sort -u | tr '\n' ' '; }
failed=0
run() { # name, what tiers must print
	n=0
	until [ "$(tiers)" = "$2" ]; do
		n=$((n + 1))
		[ "$n" -lt 100 ] || { say "answers come by way of \"$(tiers)\", not \"$2\""; exit 2; }
		sleep 0.2
	done
	say "running $1, for about a minute"
	(cd "$suite" && npm_config_base="http://127.0.0.1:$edge" node --no-warnings test-engine/cli.mjs) >"$dir/results.json"
	echo "$1:"
	node deploy/cache-tests.mjs "$suite" "$dir/results.json" || failed=1
}
zone create edge
run 'through an edge' 'meridian-edge '
zone set regional
run 'through an edge and a regional cache' 'meridian-edge meridian-regional '
exit "$failed"
