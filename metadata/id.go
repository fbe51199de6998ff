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
