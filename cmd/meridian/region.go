package main

import (
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"meridian/metadata"
)

func regionCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	s.flags.Usage = usageWith(s, p.stdout, "meridian region list [options]")
	return func(ctx context.Context, args []string) error {
		verb, name, err := subcommand(args, "list")
		if err != nil {
			return err
		}
		if verb != "list" || name != "" {
			return usagef("usage: meridian region list")
		}
		var list struct {
			Regions []struct {
				Name        string
				Live        bool
				LiveNodes   map[string]int `json:"live_nodes"`
				Replication struct {
					Objects, Bytes, Failing int64
					Lag                     metadata.Duration
					LastError               string `json:"last_error"`
				}
			}
		}
		if err := api.call(ctx, http.MethodGet, "/v1/regions", nil, &list); err != nil {
			return err
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "REGION\tORIGIN\tREGIONALS\tEDGES\tTO COPY\tBYTES\tLAG\tFAILING\tLAST ERROR")
		for _, r := range list.Regions {
			live := "down"
			if r.Live {
				live = "live"
			}
			c := r.Replication
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%d\t%s\n", r.Name, live, r.LiveNodes[metadata.TierRegional], r.LiveNodes[metadata.TierEdge],
				c.Objects, c.Bytes, time.Duration(c.Lag).Round(time.Second), c.Failing, firstLine(c.LastError))
		}
		return w.Flush()
	}
}

// firstLine is as much of an error as a table has room for.
func firstLine(text string) string {
	const most = 100
	for i, c := range text {
		if c == '\n' || i >= most {
			return text[:i] + "…"
		}
	}
	return text
}
