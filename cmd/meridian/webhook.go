package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"meridian/metadata"
)

// webhookOptions say how webhooks are told of events.
type webhookOptions struct {
	local    bool
	patience time.Duration
}

func (o *webhookOptions) declare(s *settings) {
	s.flags.DurationVar(&o.patience, "webhook-patience", 24*time.Hour, "how long a delivery to a webhook is tried before it is given up")
}

// declareLocal declares the option that meridian dev does without: there,
// receivers are on this machine.
func (o *webhookOptions) declareLocal(s *settings) {
	s.flags.BoolVar(&o.local, "webhook-local", false, "allow webhooks at loopback and link-local addresses")
}

func (o *webhookOptions) check() error {
	if o.patience < time.Second || o.patience > 30*24*time.Hour {
		return usagef("--webhook-patience must be between 1s and 720h")
	}
	return nil
}

func webhookCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	address := s.flags.String("url", "", "`URL` that is told of events")
	var secret string
	var events []string
	s.list(&events, "events", "further `events` that it is told of: media.ready, media.failed")
	s.secret(&secret, "webhook-secret", "`secret` that signs the requests, as whsec_ and base64; one is made if not given")
	const line = "meridian webhook create ID --url URL | list | test ID | dead ID | redeliver ID | delete ID [options]"
	s.flags.Usage = usageWith(s, p.stdout, line)
	return func(ctx context.Context, args []string) error {
		verb, id, err := subcommand(args, "create, list, test, dead, redeliver, delete")
		if err != nil {
			return err
		}
		path := "/v1/webhooks/" + url.PathEscape(id)
		switch {
		case verb == "create" && id != "" && *address != "":
			ask := map[string]any{"id": id, "url": *address}
			if len(events) > 0 {
				ask["events"] = events
			}
			if secret != "" {
				ask["secret"] = secret
			}
			var made struct{ ARN, Secret string }
			if err := api.call(ctx, http.MethodPost, "/v1/webhooks", ask, &made); err != nil {
				return err
			}
			fmt.Fprintf(p.stdout, "arn     %s\nsecret  %s\n", made.ARN, made.Secret)
			return nil
		case verb == "list" && id == "":
			return listWebhooks(ctx, &api, p)
		case verb == "test" && id != "":
			var result struct {
				OK     bool
				Status int
				Error  string
				Took   int64 `json:"took_ms"`
			}
			if err := api.call(ctx, http.MethodPost, path+"/test", nil, &result); err != nil {
				return err
			}
			if !result.OK {
				return fmt.Errorf("the webhook did not take the message: %s", result.Error)
			}
			fmt.Fprintf(p.stdout, "answered %d after %d ms\n", result.Status, result.Took)
			return nil
		case verb == "dead" && id != "":
			return listDead(ctx, &api, p, path)
		case verb == "redeliver" && id != "":
			var result struct{ Queued int64 }
			if err := api.call(ctx, http.MethodPost, path+"/redeliver", map[string]any{}, &result); err != nil {
				return err
			}
			fmt.Fprintf(p.stdout, "%d queued\n", result.Queued)
			return nil
		case verb == "delete" && id != "":
			return api.call(ctx, http.MethodDelete, path, nil, nil)
		}
		return usagef("usage: %s", line)
	}
}

func listWebhooks(ctx context.Context, api *apiOptions, p process) error {
	var list struct{ Webhooks []metadata.Webhook }
	if err := api.call(ctx, http.MethodGet, "/v1/webhooks", nil, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tURL\tQUEUED\tDEAD\tDROPPED\tDELIVERED\tERROR")
	for _, h := range list.Webhooks {
		last := "never"
		if h.Delivered != nil {
			last = h.Delivered.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\n", h.ID, h.URL, h.Queued, h.Dead, h.Dropped, last, h.Error)
	}
	return w.Flush()
}

// listDead lists what was given up, page by page.
func listDead(ctx context.Context, api *apiOptions, p process, path string) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tQUEUED\tEVENT\tBUCKET\tKEY\tTRIES\tERROR")
	for cursor := ""; ; {
		var page struct {
			Deliveries []metadata.Delivery
			Next       string
		}
		if err := api.call(ctx, http.MethodGet, path+"/deliveries?state=dead&limit=200&cursor="+url.QueryEscape(cursor), nil, &page); err != nil {
			return err
		}
		for _, d := range page.Deliveries {
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\t%s\n", d.ID, d.Queued.Format(time.RFC3339), d.Event, d.Bucket, d.Key, d.Tries, d.Error)
		}
		if cursor = page.Next; cursor == "" {
			return w.Flush()
		}
	}
}
