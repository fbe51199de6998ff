// Package fetch asks the next tier: for the piece of an object that a head or a
// slice is made of, signed as a node, at one upstream after the other until one
// answers. Collapse makes one request of many that want the same.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"meridian/edge/balance"
	"meridian/metadata"
)

// Request asks for at most one slice of an object.
type Request struct {
	Head        bool   // HEAD, no body
	Bucket, Key string // as S3 knows them
	VersionID   string // as a client gave it; empty for the current version
	// Want asks for exactly this version (a ULID), even if it was overwritten
	// a moment ago.
	Want string
	// Offset and Length are the range; Length zero asks without one. An answer
	// never holds more of the body than Length, or than one slice.
	Offset, Length int64
	IfNoneMatch    string // entity tag with its quotes
	// Applied is the Seq that the answer must include.
	Applied metadata.Seq
	// Customer are the headers with the key of the object's owner, for what is
	// encrypted with one. A refusal (403) is an answer then: the key was wrong.
	Customer http.Header
	// Peer says that the node asked is of the same tier: it must not ask a peer
	// in its turn.
	Peer bool
	// Ahead says that no client waits for the answer.
	Ahead bool
}

// Response is an answer of the next tier below 500.
type Response struct {
	Status int
	Header http.Header
	// Body is what was asked for, whole; nobody may modify it. It is nil where
	// the status is none of 200 and 206.
	Body []byte
	// Code is the S3 error code of an answer that is an error with a document.
	Code string
	// Message is what the document says of it.
	Message string
	// Size is the size of the whole object where the answer tells it, or -1.
	Size int64
	Node balance.Node
	// Sent and Received are the times around the header, of the attempt that
	// succeeded; Took is all of Fetch.
	Sent, Received time.Time
	Took           time.Duration
}

// Fetcher asks the next tier. Fetch may run at once.
type Fetcher interface {
	// Fetch returns an answer whose status is below 500, or an error: one that
	// wraps ErrUnavailable where no upstream gave one.
	Fetch(ctx context.Context, r Request) (*Response, error)
}

// The errors of a Fetcher.
var (
	// ErrUnavailable says that no upstream answered; it wraps why.
	ErrUnavailable = errors.New("no upstream answers")
	// ErrBadAnswer says that an answer was not what was asked for.
	ErrBadAnswer = errors.New("bad answer from upstream")
	errIdle      = errors.New("upstream stopped sending")
	errLate      = errors.New("upstream took too long for its answer")
	errBudget    = errors.New("no more retries for now: too many requests failed")
)

// StatusError is an upstream that answered with a failure of its own.
type StatusError struct {
	Node   string
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("upstream %s answered %d", e.Node, e.Status)
}
