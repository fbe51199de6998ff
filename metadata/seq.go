package metadata

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Seq is the place of an event in the feed: the transaction that wrote it and
// its number. Transactions order first, so that a reader who stops below the
// oldest running transaction never finds an event appear behind its back. Seqs
// order by Compare only; to everybody else the text form is opaque.
type Seq struct {
	Xid uint64 // Postgres' 64-bit transaction ID
	ID  uint64 // number of the event
}

// ParseSeq reads the form that String writes; "" and "0" are the zero Seq, the
// place before the first event.
func ParseSeq(s string) (Seq, error) {
	if s == "" || s == "0" {
		return Seq{}, nil
	}
	x, i, ok := strings.Cut(s, "-")
	xid, errX := strconv.ParseUint(x, 10, 64)
	id, errI := strconv.ParseUint(i, 10, 64)
	if !ok || errX != nil || errI != nil {
		return Seq{}, Invalidf("feed position %q is not of the form <transaction>-<event>", s)
	}
	return Seq{Xid: xid, ID: id}, nil
}

// String is "<transaction>-<event>", or "0" for the zero Seq.
func (s Seq) String() string {
	if s.IsZero() {
		return "0"
	}
	return fmt.Sprintf("%d-%d", s.Xid, s.ID)
}

// IsZero reports whether s is the place before the first event.
func (s Seq) IsZero() bool { return s == Seq{} }

// Compare is negative when s comes before t in the feed, positive when after.
func (s Seq) Compare(t Seq) int {
	return cmp.Or(cmp.Compare(s.Xid, t.Xid), cmp.Compare(s.ID, t.ID))
}

// MarshalText makes a Seq a string in JSON.
func (s Seq) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Seq) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSeq(string(text))
	return err
}
