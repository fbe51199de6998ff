package metadata

import (
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
)

// NewVersionID is a ULID of time t.
func NewVersionID(t time.Time) (string, error) {
	id, err := ulid.New(ulid.Timestamp(t), ulid.DefaultEntropy())
	if err != nil {
		return "", fmt.Errorf("make a version ID: %w", err)
	}
	return id.String(), nil
}

// IsVersionID says whether a client may mean a version by it: a ULID, or "null".
func IsVersionID(id string) bool {
	_, err := ulid.ParseStrict(id)
	return err == nil || id == "null"
}
