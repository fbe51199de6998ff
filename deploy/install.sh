#!/bin/sh
# Installs what a make target needs and this machine lacks, and says what. It
# knows Debian and Ubuntu; elsewhere it names what is missing.
set -eu
cd "$(dirname "$0")/.."

say() { echo "install: $*" >&2; }
die() { say "$*"; exit 1; }

has_postgres() {
	command -v postgres >/dev/null 2>&1 && command -v initdb >/dev/null 2>&1 && return
	for bin in /usr/lib/postgresql/*/bin; do
		[ -x "$bin/postgres" ] && [ -x "$bin/initdb" ] && return
	done
	return 1
}

# as_root runs a command with the rights that apt needs.
as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif command -v sudo >/dev/null 2>&1; then sudo "$@"
	else die "needs root for: $* (no sudo here)"; fi
}

apt() {
	[ $# -gt 0 ] || return 0
	command -v apt-get >/dev/null 2>&1 || die "missing on this machine: $*; install them with its package manager"
	say "installing $* with apt-get"
	log=$(mktemp)
	if ! { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
		cat "$log" >&2
		die "apt-get could not install $*"
	fi
	rm -f "$log"
}

need_go() {
	command -v go >/dev/null 2>&1 || die "Go is missing; install it from https://go.dev/dl/"
	want=$(sed -n 's/^go //p' go.mod)
	have=$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')
	[ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ] ||
		[ "$(go env GOTOOLCHAIN)" != local ] || die "Go $have is older than $want, which go.mod asks for"
}

# need_postgres installs the server's binaries only: Meridian starts a private
# server of its own, so no cluster is made and no service left running.
need_postgres() {
	has_postgres && return
	if ! [ -e /etc/postgresql-common/createcluster.conf ] && command -v apt-get >/dev/null 2>&1; then
		apt postgresql-common
	fi
	if [ -f /etc/postgresql-common/createcluster.conf ] && ! ls /etc/postgresql/*/main >/dev/null 2>&1; then
		as_root sed -i 's/^#\? *create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
	fi
	apt postgresql
}

need_tools() {
	missing=
	command -v gcc >/dev/null 2>&1 || missing="$missing gcc libc6-dev" # the race detector needs cgo
	command -v ffmpeg >/dev/null 2>&1 || missing="$missing ffmpeg"     # makes the test clips
	command -v curl >/dev/null 2>&1 || missing="$missing curl"         # what deploy/demo.sh uploads with
	command -v chromium >/dev/null 2>&1 || missing="$missing chromium" # looks at the console
	# shellcheck disable=SC2086
	apt $missing
}

# need_peers installs the caches that an edge is measured against, and wrk. None
# of them is left running: the benchmark starts its own.
need_peers() {
	missing=
	for pair in wrk:wrk nginx:nginx varnishd:varnish haproxy:haproxy traffic_server:trafficserver taskset:util-linux; do
		command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
	done
	[ -n "$missing" ] || return 0
	# shellcheck disable=SC2086
	apt $missing
	for service in $missing; do
		if command -v systemctl >/dev/null 2>&1; then as_root systemctl disable --now "$service" >/dev/null 2>&1 || true; fi
	done
}

# has_node reports whether Node is new enough to build the console.
has_node() {
	command -v npm >/dev/null 2>&1 && command -v node >/dev/null 2>&1 &&
		node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
}

# node_parts installs what the console is built with, as its lock file says,
# unless that is there. Nothing else of Meridian needs it, so that a machine
# without Node or without npm's registry goes on without the console.
node_parts() {
	if ! has_node; then
		say "the console is left out: it needs Node 20.19 or newer and npm"
		return 1
	fi
	[ console/node_modules/.package-lock.json -nt console/package-lock.json ] && return
	say "installing the parts of the console with npm"
	log=$(mktemp)
	if ! (cd console && npm ci) >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		say "the console is left out: npm could not install its parts (above)"
		return 1
	fi
	rm -f "$log"
}

# build_console builds the page where it is older than its sources.
build_console() {
	node_parts || return 0
	page=console/dist/app/index.html
	[ -f "$page" ] && [ -z "$(find console/src console/public console/*.* -newer "$page" ! -name '*.go' -print -quit)" ] && return
	log=$(mktemp)
	if ! (cd console && npm run --silent build) >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		die "the console could not be built (above)"
	fi
	rm -f "$log"
	touch "$page"
}

# need_minio builds the S3 server that the tests of the stores talk to, out of its
# Go module: its images and binaries are no longer published. It is kept outside
# of this clone, where origin/blob/miniotest looks for it.
need_minio() {
	version=v0.0.0-20260212201848-7aac2a2c5b7c
	cache="${XDG_CACHE_HOME:-$HOME/.cache}/meridian"
	go version -m "$cache/minio" 2>/dev/null | grep -q "github.com/minio/minio[[:space:]]$version" && return
	say "building MinIO for the tests into $cache (some minutes, once)"
	mkdir -p "$cache"
	(cd / && CGO_ENABLED=0 GOBIN="$cache" go install -trimpath "github.com/minio/minio@$version") ||
		die "MinIO could not be built; the tests of the stores need it"
}

# where_suites is where other S3 servers and suites lie, outside of this clone.
where_suites() { echo "${XDG_CACHE_HOME:-$HOME/.cache}/meridian"; }

# need_versitygw builds the S3 gateway whose suite is a command of it.
need_versitygw() {
	cache=$(where_suites)
	mkdir -p "$cache"
	version=v1.8.0
	if ! go version -m "$cache/versitygw" 2>/dev/null | grep -q "github.com/versity/versitygw[[:space:]]$version"; then
		say "building versitygw into $cache (once)"
		(cd / && CGO_ENABLED=0 GOBIN="$cache" go install -trimpath "github.com/versity/versitygw/cmd/versitygw@$version") ||
			die "versitygw could not be built; make conformance SUITES=minio-go does without it"
	fi
}

# need_suites builds the S3 suites that make conformance runs: versitygw, and
# minio-go's functional tests, at the version of minio-go that Meridian itself uses.
need_suites() {
	need_versitygw
	module=$(go mod download -json github.com/minio/minio-go/v7 | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
	[ -n "$module" ] || die "minio-go could not be downloaded"
	if [ "$(cat "$cache/minio-go-functional.of" 2>/dev/null)" != "$module" ]; then
		say "building minio-go's functional tests into $cache (once)"
		(cd "$module" && CGO_ENABLED=0 go build -trimpath -o "$cache/minio-go-functional" functional_tests.go) ||
			die "minio-go's functional tests could not be built; make conformance SUITES=versitygw does without them"
		echo "$module" >"$cache/minio-go-functional.of"
	fi
}

# need_module PROGRAM MODULE@VERSION builds the command at the root of a Go module
# into the cache. It builds within the module, as go install does not where the
# module proxy has no list of versions.
need_module() {
	cache=$(where_suites)
	[ -x "$cache/$1" ] && [ "$(cat "$cache/$1.of" 2>/dev/null)" = "$2" ] && return
	say "building $1 into $cache (some minutes, once)"
	mkdir -p "$cache"
	module=$(cd / && go mod download -json "$2") || die "$2 could not be downloaded: $module"
	module=$(echo "$module" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
	(cd "$module" && CGO_ENABLED=0 go build -mod=mod -trimpath -o "$cache/$1" .) || die "$2 could not be built"
	echo "$2" >"$cache/$1.of"
}

# need_client NAME installs one of the clients of S3 that make clients runs.
need_client() {
	case "$1" in
	aws) [ -x /usr/bin/aws ] || apt awscli ;;
	s3cmd | rclone | restic) command -v "$1" >/dev/null 2>&1 || apt "$1" ;;
	boto3) /usr/bin/python3 -c 'import boto3' 2>/dev/null || apt python3-boto3 ;;
	mc) need_go; need_module mc github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9 ;;
	s5cmd) need_go; need_module s5cmd github.com/peak/s5cmd/v2@v2.3.0 ;;
	*) die "there is no client $1: aws, s3cmd, rclone, restic, boto3, mc, s5cmd" ;;
	esac
}

# need_tus_client installs tus-js-client, with which a test of upload/tus uploads.
# Without Node, or npm's registry, that test is left out.
need_tus_client() {
	has_node || { say "tus-js-client is not run: it needs Node 20.19 or newer and npm"; return 0; }
	client=upload/tus/testdata/js
	[ $client/node_modules/.package-lock.json -nt $client/package-lock.json ] && return
	say "installing tus-js-client with npm"
	log=$(mktemp)
	(cd $client && npm ci --no-audit --no-fund) >"$log" 2>&1 ||
		{ tail -n 20 "$log" >&2; say "tus-js-client is not run: npm could not install it (above)"; }
	rm -f "$log"
}

# lint VERSION: golangci-lint of exactly that version, on PATH or in bin/.
where_lint() {
	for bin in golangci-lint "$(go env GOPATH)/bin/golangci-lint" bin/golangci-lint; do
		"$bin" version --short 2>/dev/null | grep -qx "v\?$1" && { echo "$bin"; return; }
	done
	return 1
}

case "${1:-}" in
go) need_go ;;
dev) need_go; need_postgres ;;
bench-edge) need_go; need_postgres; need_peers ;;
bench-s3) need_go; need_postgres; need_minio; need_versitygw ;;
test) need_go; need_postgres; need_tools; need_minio; need_tus_client ;;
lint)
	need_go
	where_lint "$2" >/dev/null && exit
	say "building golangci-lint $2 into bin/ (a few minutes, once)"
	GOBIN="$PWD/bin" go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$2"
	;;
where-lint) where_lint "$2" ;;
conformance) need_go; need_postgres; need_suites ;;
where-suites) where_suites ;;
clients) need_go; need_postgres ;;
client) need_client "${2:-}" ;;
console) build_console ;;
console-check) if node_parts; then cd console && npm run --silent check; fi ;;
console-test) if node_parts; then cd console && npm run --silent check && npm run --silent test; fi ;;
*) die "usage: deploy/install.sh go | dev | bench-edge | bench-s3 | conformance | clients | client NAME | test | lint VERSION | console" ;;
esac
