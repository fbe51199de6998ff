#!/bin/sh
# Shows what Meridian does: uploads photos and a video, each into another region,
# plays traffic from three regions, overwrites a photo under load, and prints how
# much each tier has answered. It needs curl and the compose file's services; run
# it as often as you like.
#
# Against other servers: API, ORIGINS and EDGES are their URLs (us-west, europe,
# asia), MERIDIAN is how to call the program meridian, AWS_ACCESS_KEY_ID and
# AWS_SECRET_ACCESS_KEY are a key that may create buckets. REQUESTS is how many
# photos are read in each region.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
media=$here/demo
cd "$here/.." # where the compose file is

API=${API:-http://localhost:9000}
ORIGINS=${ORIGINS:-http://localhost:9001 http://localhost:9002 http://localhost:9003}
EDGES=${EDGES:-http://localhost:9021 http://localhost:9022 http://localhost:9023}
MERIDIAN=${MERIDIAN:-docker compose exec -T metadata meridian}
REQUESTS=${REQUESTS:-300}
BUCKET=${BUCKET:-demo}
REGIONS='us-west europe asia'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say() { printf '\n== %s\n' "$*"; }
die() { echo "demo: $*" >&2; exit 1; }

# of LIST N: the Nth word of a list, counted from 0.
of() { echo "$1" | awk -v n="$2" '{ print $(n % NF + 1) }'; }

command -v curl >/dev/null 2>&1 || die "curl is missing; docker compose run --rm demo needs none"
curl -fsS -o /dev/null "$API/readyz" || die "nothing is ready at $API; start it with docker compose up -d --wait"
if [ -z "${AWS_ACCESS_KEY_ID:-}" ]; then
	keys=$($MERIDIAN credentials --export) || die "cannot read the root key; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	eval "$keys"
fi

# For a MERIDIAN that runs here.
export MERIDIAN_API="$API" MERIDIAN_ROOT_ACCESS_KEY="$AWS_ACCESS_KEY_ID" MERIDIAN_ROOT_SECRET_KEY="$AWS_SECRET_ACCESS_KEY"

# The key goes to curl by files: others can see command lines.
umask 077
printf 'header = "Authorization: Bearer %s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" >"$work/api"
printf 'aws-sigv4 = "aws:amz:us-west:s3"\nuser = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" >"$work/s3"

# put FILE KEY TYPE N: stores a file by the S3 endpoint of the Nth region.
put() {
	url="$(of "$ORIGINS" "$4")/$BUCKET/$2"
	code=$(curl -sS -K "$work/s3" -T "$1" -H "Content-Type: $3" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -o "$work/answer" -w '%{http_code}' "$url") || die "cannot reach $url"
	[ "$code" = 200 ] || { cat "$work/answer" >&2; die "PUT $url answered $code"; }
	printf '%-22s %8d bytes into %s\n' "$2" "$(wc -c <"$1")" "$(of "$REGIONS" "$4")"
}

say "a bucket that everybody may read, with copies in all regions"
code=$(curl -sS -K "$work/api" -H 'Content-Type: application/json' -o "$work/answer" -w '%{http_code}' \
	-d "{\"name\":\"$BUCKET\",\"region\":\"us-west\",\"visibility\":\"public-read\",\"placement\":\"all\"}" "$API/v1/buckets")
case $code in
201) echo "created $BUCKET" ;;
409) echo "$BUCKET is there already" ;;
*) cat "$work/answer" >&2; die "the API answered $code" ;;
esac

say "photos and a video, each into another region"
n=0
for photo in "$media"/photo-*.jpg; do
	put "$photo" "photos/$(basename "$photo")" image/jpeg $n
	n=$((n + 1))
done
photos=$n
put "$media/video.mp4" videos/zoom.mp4 video/mp4 2

say "their records in the catalogue"
seen=0
for _ in 1 2 3 4 5 6 7 8 9 10; do
	curl -fsS -K "$work/api" "$API/v1/media?bucket=$BUCKET&limit=100" >"$work/media"
	seen=$(grep -o '"key":"[a-z]*/[a-z0-9-]*\.[a-z0-9]*"' "$work/media" | sort -u | wc -l)
	[ "$seen" -gt "$photos" ] && break
	sleep 1
done
echo "$((seen)) records; the console shows them at $API"

say "one photo from the edge of asia: twice, the way through the caches"
edge=$(of "$EDGES" 2)
for _ in 1 2; do
	curl -fsS -D - -o /dev/null "$edge/$BUCKET/photos/photo-1.jpg" | grep -i '^cache-status' | tr -d '\r'
done

# Few photos are asked for often, and many seldom: the Kth is K times less
# popular than the first.
traffic() {
	awk -v n="$REQUESTS" -v k="$photos" -v seed="$2" -v base="$1/$BUCKET/photos/photo-" 'BEGIN {
		srand(seed)
		for (i = 1; i <= k; i++) sum += 1 / i
		while (n-- > 0) {
			r = rand() * sum
			for (i = 1; i < k && r > 1 / i; i++) r -= 1 / i
			printf "url = \"%s%d.jpg\"\noutput = \"/dev/null\"\n", base, i
		}
	}' >"$work/traffic-$2"
	curl -sS -Z --no-progress-meter --parallel-max 8 -K "$work/traffic-$2" -w '%{http_code}\n' >"$work/codes-$2"
}

# play EDGE N: reads the video in pieces, as a player does.
play() {
	size=$(wc -c <"$media/video.mp4")
	at=0
	while [ "$at" -lt "$size" ]; do
		curl -sS -r "$at-$((at + 32767))" -o /dev/null -w '%{http_code}\n' "$1/$BUCKET/videos/zoom.mp4" >>"$work/codes-$2"
		at=$((at + 32768))
	done
}

say "$REQUESTS photos and the video, in each of three regions at once"
pids=
for n in 0 1 2; do
	edge=$(of "$EDGES" $n)
	{ traffic "$edge" $n; play "$edge" $n; play "$edge" $n; } &
	pids="$pids $!"
done
for pid in $pids; do wait "$pid" || die "the traffic failed"; done
for n in 0 1 2; do
	printf '%-8s' "$(of "$REGIONS" $n)"
	sort "$work/codes-$n" | uniq -c | awk '{ printf "  %d answers with %s", $1, $2 } END { print "" }'
done
if grep -qv '^20[06]$' "$work"/codes-*; then die "some answers were errors"; fi

say "overwritten in us-west: how soon the edges follow"
put "$media/photo-2.jpg" photos/photo-1.jpg image/jpeg 0
for n in 0 1 2; do
	edge=$(of "$EDGES" $n)
	tries=1
	until curl -fsS "$edge/$BUCKET/photos/photo-1.jpg" | cmp -s - "$media/photo-2.jpg"; do
		[ "$tries" -lt 100 ] || die "the edge of $(of "$REGIONS" $n) still has the old photo"
		tries=$((tries + 1))
		sleep 0.05
	done
	printf '%-8s has the new photo at try %d\n' "$(of "$REGIONS" $n)" "$tries"
done

say "who answered"
sleep 3 # nodes tell their counters every second
$MERIDIAN report --window 5m --by tier,region
