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

func keyCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	role := s.flags.String("role", metadata.RoleReadWrite, "`role` of a new key: admin, readwrite, readonly, user (own buckets, and what others let it)")
	user := s.flags.String("user", "", "`user` a new key belongs to (default: its ID)")
	expires := s.flags.Duration("expires", 0, "how long a new key is good for; 0 is for ever")
	s.flags.Usage = usageWith(s, p.stdout, "meridian key create | list | revoke ID [options]")
	return func(ctx context.Context, args []string) error {
		verb, name, err := subcommand(args, "create, list, revoke")
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
