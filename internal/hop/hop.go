// Package hop names the headers by which Meridian's own processes speak to each
// other over plain HTTP, beyond those of S3 and RFC 9110, so that edges and
// origins agree on them without importing each other. A hop is signed with
// SigV4 under NodeAccessKey and the cluster secret; the headers named Request
// below are obeyed on such requests only and ignored on all others.
package hop

import (
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// NodeAccessKey is the access key ID of the cluster's own processes; its secret
// is the cluster secret.
const NodeAccessKey = "meridian-node"

const (
	// RequestApplied is the Seq that the sender has applied, "0" where it has
	// applied nothing. A receiver that is behind it catches up before it answers
	// from its cache. Every cache node sends it, and nobody else: an origin
	// counts the requests that have it.
	RequestApplied = "X-Meridian-Applied"
	// RequestVersion asks for exactly this version (a ULID), even if it was
	// overwritten a moment ago: how a slice is fetched.
	RequestVersion = "X-Meridian-Want-Version"
	// RequestLocal, "1", asks an origin to answer from its own blob store only:
	// a request from another origin, which must not come back to it.
	RequestLocal = "X-Meridian-Local"
	// RequestNode is the ID of the sending node, for logs.
	RequestNode = "X-Meridian-Node"

	// RequestTimeout is in how many milliseconds the sender gives up: who answers
	// works no longer for it.
	RequestTimeout = "X-Meridian-Timeout"
	// RequestPeer, "1", says that the sender is an edge of the same region, which
	// asks its peer before the next tier. What the peer does not hold it asks for
	// at the next tier, never at a peer, so that no request goes in circles.
	RequestPeer = "X-Meridian-Peer"

	// RequestAhead, "1", says that no client waits for the answer: an edge fetches
	// what it expects to be asked for. Who answers does not count the request.
	RequestAhead = "X-Meridian-Ahead"

	// RequestUser (path-escaped) and RequestRole are who sent a tus request to
	// the endpoint that hands it on and has checked that it may be sent.
	RequestUser = "X-Meridian-User"
	RequestRole = "X-Meridian-Role"

	// Debug, "1" in a request of a node or with an access key that may read,
	// asks a cache node to say in the same header of its answer what it holds.
	Debug = "X-Meridian-Debug"

	// Object is the path of the object that a finished tus upload became, as an
	// edge or an S3 endpoint has it.
	Object = "X-Meridian-Object"
	// Version is, in an answer to a node, the ULID of the version answered.
	Version = "X-Meridian-Version"
	// Access is, in an answer to a node, who may do what with the object beside
	// those whom its bucket lets in: an access.Object as JSON. Without it, nobody.
	Access = "X-Meridian-Access"
	// Crc64 is, in an answer of an origin to a node, the decimal CRC-64/NVME of
	// the whole blob.
	Crc64 = "X-Meridian-Crc64"
	// Sum is, in an answer to a cache node with no more than a slice of a body, the
	// SumOf of the bytes sent: what a link or a machine's memory made of them on the
	// way is not kept, nor handed on.
	Sum = "X-Meridian-Sum"
	// Region tells which region answered (S3 endpoints tell everybody).
	Region = "X-Meridian-Region"
	// Seq is the event of a write, in the answer to it.
	Seq = "X-Meridian-Seq"
	// Consistency, "regional", allows a bounded-stale local read.
	Consistency = "X-Meridian-Consistency"
)

// SumLimit is the most bytes that a Sum is told of: those of a slice.
const SumLimit = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SumOf is the CRC-32C of b in hexadecimal digits.
func SumOf(b []byte) string { return strconv.FormatUint(uint64(crc32.Checksum(b, castagnoli)), 16) }

// longestTimeout is the most that a RequestTimeout means.
const longestTimeout = time.Hour

// FormatTimeout makes a RequestTimeout of the time that remains, at least 1 ms:
// whoever sends it has not given up yet.
func FormatTimeout(d time.Duration) string {
	return strconv.FormatInt(max(min(d, longestTimeout).Milliseconds(), 1), 10)
}

// ParseTimeout reads a RequestTimeout. One that says nothing sensible sets no
// limit.
func ParseTimeout(s string) (d time.Duration, ok bool) {
	ms, err := strconv.ParseUint(s, 10, 63)
	if err != nil || ms == 0 {
		return 0, false
	}
	return time.Duration(min(ms, uint64(longestTimeout/time.Millisecond))) * time.Millisecond, true
}

// Signs says whether signed, the names of the signed headers in lower case, joined
// by ";", has all that a hop asks for in headers. What somebody on the way has
// added to the request of a node is not obeyed.
func Signs(h http.Header, signed string) bool {
	names := strings.Split(signed, ";")
	for name := range h {
		if strings.HasPrefix(name, "X-Meridian-") && !slices.Contains(names, strings.ToLower(name)) {
			return false
		}
	}
	return true
}

// ExplainPath is where a cache node tells the metadata role what it holds of an
// object, given as bucket, key and versionId: a metadata.Holding in JSON. No
// bucket's name begins with "_".
const ExplainPath = "/_meridian/explain"

// ZonePath is where a regional node answers an edge for a pull zone, whose bucket
// follows. The request is the client's, in all but what the headers below carry.
const ZonePath = "/_meridian/zone/"

const (
	// RequestTarget is what the client asks for, path and query, below the zone.
	RequestTarget = "X-Meridian-Target"
	// RequestBase is the scheme and Host of the client's request, as a URL, and
	// RequestHost its Host where the zone was found by it.
	RequestBase = "X-Meridian-Base"
	RequestHost = "X-Meridian-Host"
	// RequestClient is the address of the client.
	RequestClient = "X-Meridian-Client"
	// RequestCarried is the beginning of the names of fields of the client which
	// the signature of the hop would be taken for.
	RequestCarried = "X-Meridian-Carried-"
	// RequestForget, "1", asks for nothing but to forget what is held of the
	// target: an unsafe request for it has succeeded elsewhere.
	RequestForget = "X-Meridian-Forget"
	// Zone tells an edge what an answer is: ZoneAnswer, or ZoneFailed where no
	// origin gave any. An answer without it comes from a node that has not looked
	// at the request, which may be sent elsewhere.
	Zone       = "X-Meridian-Zone"
	ZoneAnswer = "answer"
	ZoneFailed = "failed"
	// ZoneOwn names, in a ZoneAnswer, the fields that are for the client alone that
	// the edge asks for: they are not kept.
	ZoneOwn = "X-Meridian-Zone-Own"
)

// PopularPath is where a regional cache takes from an edge what that answered by
// itself, and tells it what the region asks for most.
const PopularPath = "/_meridian/popular"
