package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// healthCommand serves as the health check of a container, which has no curl.
func healthCommand(s *settings, p process) func(context.Context, []string) error {
	target := s.flags.String("url", "http://127.0.0.1:9000", "`URL` of the role")
	var trust trustOptions
	trust.declare(s)
	return func(ctx context.Context, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		client, err := trust.client()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(*target, "/")+"/readyz", nil)
		if err != nil {
			return usagef("--url: %v", err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var state struct{ Status, Reason string }
		if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&state); err != nil {
			return fmt.Errorf("%s is not a role of Meridian: %w", *target, err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", state.Status, state.Reason)
		}
		fmt.Fprintln(p.stdout, state.Status)
		return nil
	}
}
