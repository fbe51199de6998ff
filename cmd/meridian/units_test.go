package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestUnitsStopInReverseOrderEachAfterTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		slow := func(name string) unit {
			return unit{name, func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second) // drains
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
				return nil
			}}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		if err := runUnits(ctx, slog.New(slog.DiscardHandler), []unit{slow("postgres"), slow("origin"), slow("edge")}); err != nil {
			t.Errorf("runUnits = %v after an ordinary stop", err)
		}
		if want := []string{"edge", "origin", "postgres"}; !slices.Equal(order, want) {
			t.Errorf("stopped in order %v, want %v", order, want)
		}
	})
}

func TestAFailingUnitStopsTheOthersAndIsNamed(t *testing.T) {
	t.Parallel()
	stopped := false
	err := runUnits(t.Context(), slog.New(slog.DiscardHandler), []unit{
		{"origin", func(ctx context.Context) error { <-ctx.Done(); stopped = true; return ctx.Err() }},
		{"edge", func(context.Context) error { return errors.New("disk is gone") }},
	})
	if err == nil || !strings.Contains(err.Error(), "edge: disk is gone") {
		t.Errorf("runUnits = %v, want the failure of edge", err)
	}
	if !stopped {
		t.Error("origin was not stopped")
	}
}

// What the others stand on is gone: they do not drain one after the other, and
// the cause is told first and alone.
func TestAfterAFailureAllStopAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		drain := func(ctx context.Context) error {
			<-ctx.Done()
			if !strings.Contains(said.String(), "the server ended") {
				t.Error("stopped without a word of why")
			}
			time.Sleep(10 * time.Second)
			return errors.New("no connection to the database")
		}
		began := time.Now()
		err := runUnits(t.Context(), slog.New(slog.NewTextHandler(&said, nil)), []unit{
			{"postgres", func(context.Context) error { return errors.New("the server ended") }},
			{"origin", drain}, {"edge", drain}, {"API", drain},
		})
		if err == nil || err.Error() != "postgres: the server ended" {
			t.Errorf("runUnits = %v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("drained for %s", took)
		}
	})
}
