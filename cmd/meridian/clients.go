package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"meridian/metadata"
)

// noArguments refuses arguments where a command takes none.
func noArguments(args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

// subcommand splits "create NAME [options]" into verb and name and parses the
// options that follow them.
func subcommand(s *settings, args []string, verbs string) (verb, name string, err error) {
	if len(args) == 0 {
		return "", "", usagef("say one of %s", verbs)
	}
	verb, args = args[0], args[1:]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	rest, err := s.parse(args)
	if err != nil {
		return "", "", usagef("%v", err)
	}
	return verb, name, noArguments(rest)
}

func purgeCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	var ask metadata.Purge
	s.list(&ask.Prefixes, "prefix", "`prefixes` of URLs (/bucket/dir/)")
	s.list(&ask.SurrogateKeys, "surrogate-key", "surrogate `keys`")
	s.flags.StringVar(&ask.Bucket, "bucket", "", "every object of a `bucket`")
	s.flags.BoolVar(&ask.Everything, "everything", false, "all that is cached")
	s.flags.BoolVar(&ask.Soft, "soft", false, "revalidate before the next use instead of forgetting")
	wait := s.flags.Duration("wait", 10*time.Second, "how long to wait for every node to apply it; 0 does not wait")
	s.flags.Usage = usageWith(s, p.stdout, "meridian purge [options] [URL ...]")
	return func(ctx context.Context, args []string) error {
		ask.URLs = args
		var status metadata.PurgeStatus
		if err := api.call(ctx, http.MethodPost, "/v1/purge", purgeRequest(ask), &status); err != nil {
			return err
		}
		deadline := time.Now().Add(*wait)
		for *wait > 0 {
			if err := api.call(ctx, http.MethodGet, "/v1/purge/"+url.PathEscape(status.ID), nil, &status); err != nil {
				return err
			}
			if len(status.Waiting) == 0 || time.Now().After(deadline) {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		}
		fmt.Fprintf(p.stdout, "purge %s\n", status.ID)
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		for _, a := range status.Acks {
			fmt.Fprintf(w, "%s\tapplied after %s\t%d entries\n", a.Node, a.Applied.Sub(status.Asked).Round(time.Millisecond), a.Entries)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if *wait > 0 && len(status.Waiting) > 0 {
			return fmt.Errorf("not yet applied by %s; they apply it before they serve again", strings.Join(status.Waiting, ", "))
		}
		return nil
	}
}

// purgeRequest is what POST /v1/purge takes: a Purge whose ID is not chosen
// here.
func purgeRequest(ask metadata.Purge) map[string]any {
	return map[string]any{
		"urls": ask.URLs, "prefixes": ask.Prefixes, "surrogate_keys": ask.SurrogateKeys,
		"bucket": ask.Bucket, "everything": ask.Everything, "soft": ask.Soft,
	}
}

func usageWith(s *settings, out io.Writer, line string) func() {
	return func() {
		fmt.Fprintf(out, "usage: %s\n\n", line)
		s.flags.SetOutput(out)
		s.flags.PrintDefaults()
		s.flags.SetOutput(io.Discard)
	}
}

func keyCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	role := s.flags.String("role", metadata.RoleReadWrite, "`role` of a new key: admin, readwrite, readonly")
	user := s.flags.String("user", "", "`user` a new key belongs to (default: its ID)")
	expires := s.flags.Duration("expires", 0, "how long a new key is good for; 0 is for ever")
	s.flags.Usage = usageWith(s, p.stdout, "meridian key create | list | revoke ID [options]")
	return func(ctx context.Context, args []string) error {
		verb, name, err := subcommand(s, args, "create, list, revoke")
		if err != nil {
			return err
		}
		switch {
		case verb == "create" && name == "":
			ask := map[string]any{"role": *role}
			if *user != "" {
				ask["user"] = *user
			}
			if *expires > 0 {
				ask["expires"] = time.Now().Add(*expires).UTC()
			}
			var k metadata.AccessKey
			if err := api.call(ctx, http.MethodPost, "/v1/keys", ask, &k); err != nil {
				return err
			}
			fmt.Fprint(p.stdout, credentials{k.ID, k.Secret}.format())
			return nil
		case verb == "list" && name == "":
			var list struct{ Keys []metadata.AccessKey }
			if err := api.call(ctx, http.MethodGet, "/v1/keys", nil, &list); err != nil {
				return err
			}
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tUSER\tROLE\tCREATED\tEXPIRES")
			for _, k := range list.Keys {
				end := "never"
				if k.Expires != nil {
					end = k.Expires.Format(time.RFC3339)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.ID, k.User, k.Role, k.Created.Format(time.RFC3339), end)
			}
			return w.Flush()
		case verb == "revoke" && name != "":
			return api.call(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(name), nil, nil)
		}
		return usagef("usage: meridian key create | list | revoke ID")
	}
}

func bucketCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	region := s.flags.String("region", "", "home `region` of a new bucket")
	visibility := s.flags.String("visibility", "", "private or public-read")
	edgeTTL := s.flags.Duration("edge-ttl", 0, "how long edges keep what has no Cache-Control")
	s.flags.Usage = usageWith(s, p.stdout, "meridian bucket create NAME | list | set NAME | delete NAME [options]")
	return func(ctx context.Context, args []string) error {
		verb, name, err := subcommand(s, args, "create, list, set, delete")
		if err != nil {
			return err
		}
		change := map[string]any{}
		if *visibility != "" {
			change["visibility"] = *visibility
		}
		if *edgeTTL != 0 {
			change["cache"] = map[string]any{"edge_ttl": metadata.Duration(*edgeTTL)}
		}
		switch {
		case verb == "create" && name != "":
			change["name"] = name
			if *region != "" {
				change["region"] = *region
			}
			return api.call(ctx, http.MethodPost, "/v1/buckets", change, nil)
		case verb == "set" && name != "":
			if len(change) == 0 {
				return usagef("nothing to set: give --visibility or --edge-ttl")
			}
			return api.call(ctx, http.MethodPatch, "/v1/buckets/"+url.PathEscape(name), change, nil)
		case verb == "delete" && name != "":
			return api.call(ctx, http.MethodDelete, "/v1/buckets/"+url.PathEscape(name), nil, nil)
		case verb == "list" && name == "":
			var list struct{ Buckets []metadata.Bucket }
			if err := api.call(ctx, http.MethodGet, "/v1/buckets", nil, &list); err != nil {
				return err
			}
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tREGION\tVISIBILITY\tVERSIONING\tCREATED")
			for _, b := range list.Buckets {
				versioning := b.Versioning
				if versioning == "" {
					versioning = "off"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", b.Name, b.Region, b.Visibility, versioning, b.Created.Format(time.RFC3339))
			}
			return w.Flush()
		}
		return usagef("usage: meridian bucket create NAME | list | set NAME | delete NAME")
	}
}

// healthCommand serves as the health check of a container, which has no curl.
func healthCommand(s *settings, p process) func(context.Context, []string) error {
	target := s.flags.String("url", "http://127.0.0.1:9000", "`URL` of the role")
	return func(ctx context.Context, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(*target, "/")+"/readyz", nil)
		if err != nil {
			return usagef("--url: %v", err)
		}
		resp, err := http.DefaultClient.Do(req)
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

func versionCommand(s *settings, p process) func(context.Context, []string) error {
	return func(_ context.Context, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		revision := ""
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, kv := range info.Settings {
				if kv.Key == "vcs.revision" {
					revision = " " + kv.Value
				}
			}
		}
		_, err := fmt.Fprintf(p.stdout, "meridian %s%s %s %s/%s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	}
}
