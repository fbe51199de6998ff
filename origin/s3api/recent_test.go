package s3api

import (
	"context"
	"testing"
	"time"
)

// What was looked up before it changed is not remembered beyond the change.
func TestForgottenWhileItIsLookedUp(t *testing.T) {
	t.Parallel()
	value, during := "old", func() {}
	r := newRecent(time.Now, func(context.Context, string) (string, error) {
		v := value
		during()
		return v, nil
	})
	during = func() {
		value = "new"
		r.forget("k")
	}
	if v, err := r.get(t.Context(), "k"); v != "old" || err != nil {
		t.Fatalf("while it changes: %q, %v", v, err)
	}
	during = func() {}
	if v, err := r.get(t.Context(), "k"); v != "new" || err != nil {
		t.Errorf("afterwards: %q, %v", v, err)
	}
}
