package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"meridian/metadata"
)

// keyOptions are those of meridian key.
type keyOptions struct {
	api          apiOptions
	role, user   string
	expires      string
	policy       string
	none, asJSON bool
	out          io.Writer
	now          func() time.Time
}

func keyCommand(s *settings, p process) func(context.Context, []string) error {
	o := keyOptions{out: p.stdout, now: time.Now}
	o.api.declare(s)
	s.flags.StringVar(&o.role, "role", "", "`role` of a new key: admin, readwrite (the default), readonly, user (the default with --policy)")
	s.flags.StringVar(&o.user, "user", "", "`user` a new key belongs to (default: its ID)")
	s.flags.StringVar(&o.expires, "expires", "", "`when` a new key ends: 24h, 90d, 2027-01-31 or a time as of RFC 3339 (default: never)")
	s.flags.StringVar(&o.policy, "policy", "", "`policy` of a new key: a file with an IAM policy, - for standard input, or readonly, readwrite, writeonly")
	s.flags.BoolVar(&o.none, "none", false, "policy: take it off the key, which may then do what its role says")
	s.flags.BoolVar(&o.asJSON, "json", false, "print keys as the API answers them")
	const line = "meridian key create | list | show ID | policy ID [FILE | --none] | expire ID WHEN | revoke ID"
	s.flags.Usage = usageWith(s, p.stdout, line+" [options]")
	return func(ctx context.Context, args []string) error {
		if len(args) == 0 {
			return usagef("say one of create, list, show, policy, expire, revoke")
		}
		verb, rest := args[0], args[1:]
		if err := o.misplaced(verb); err != nil {
			return err
		}
		switch {
		case verb == "create" && len(rest) == 0:
			return o.create(ctx)
		case verb == "list" && len(rest) == 0:
			return o.list(ctx)
		case verb == "show" && len(rest) == 1:
			return o.show(ctx, rest[0])
		case verb == "policy" && (len(rest) == 1 || len(rest) == 2 && !o.none):
			return o.changePolicy(ctx, rest[0], append(rest, "")[1])
		case verb == "expire" && len(rest) == 2:
			return o.changeEnd(ctx, rest[0], rest[1])
		case verb == "revoke" && len(rest) == 1:
			return o.api.call(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(rest[0]), nil, nil)
		}
		return usagef("usage: %s", line)
	}
}

// misplaced refuses options that the verb would pass over in silence.
func (o *keyOptions) misplaced(verb string) error {
	for name, given := range map[string]bool{"role": o.role != "", "user": o.user != "", "expires": o.expires != "", "policy": o.policy != ""} {
		if given && verb != "create" {
			return usagef("--%s is for meridian key create", name)
		}
	}
	if o.none && verb != "policy" {
		return usagef("--none is for meridian key policy")
	}
	return nil
}

func (o *keyOptions) create(ctx context.Context) error {
	ask := map[string]any{}
	switch {
	case o.role != "":
		ask["role"] = o.role
	case o.policy == "":
		ask["role"] = metadata.RoleReadWrite
	}
	if o.user != "" {
		ask["user"] = o.user
	}
	if o.expires != "" {
		t, err := parseEnd(o.expires, o.now())
		if err != nil {
			return err
		}
		ask["expires"] = t
	}
	if o.policy != "" {
		policy, err := readPolicy(o.policy)
		if err != nil {
			return err
		}
		ask["policy"] = policy
	}
	var k metadata.AccessKey
	if err := o.api.call(ctx, http.MethodPost, "/v1/keys", ask, &k); err != nil {
		return err
	}
	if o.asJSON {
		return o.printJSON(k)
	}
	_, err := fmt.Fprint(o.out, credentials{k.ID, k.Secret}.format())
	return err
}

// parseEnd reads when something ends: a time from now, a day, or a moment.
func parseEnd(text string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return now.UTC().AddDate(0, 0, int(n)), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.UTC().Add(d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if !t.After(now) {
			return t, usagef("the end of a key: %s has passed", text)
		}
		return t.UTC(), nil
	}
	return time.Time{}, usagef("the end of a key: %q is neither a time from now, as 24h or 90d, nor a day, as 2027-01-31, nor a time as of RFC 3339", text)
}

// readPolicy is the policy in a file, or the name of a canned one.
func readPolicy(name string) (json.RawMessage, error) {
	var text []byte
	var err error
	switch name {
	case metadata.RoleReadOnly, metadata.RoleReadWrite, "writeonly":
		return json.Marshal(name)
	case "-":
		text, err = io.ReadAll(os.Stdin)
	default:
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("policy (a file, or readonly, readwrite, writeonly): %w", err)
	}
	if text = bytes.TrimSpace(text); !json.Valid(text) || text[0] != '{' {
		return nil, fmt.Errorf("policy: %s does not hold a JSON object", name)
	}
	return text, nil
}

func (o *keyOptions) list(ctx context.Context) error {
	var list struct {
		Keys []metadata.AccessKey `json:"keys"`
	}
	if err := o.api.call(ctx, http.MethodGet, "/v1/keys", nil, &list); err != nil {
		return err
	}
	if o.asJSON {
		return o.printJSON(list)
	}
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSER\tROLE\tPOLICY\tCREATED\tEXPIRES")
	for _, k := range list.Keys {
		end, policy, role := "never", "-", k.Role
		if k.Expires != nil {
			end = k.Expires.Format(time.RFC3339)
		}
		if len(k.Policy) > 0 {
			policy, role = statements(k.Policy), "("+k.Role+")" // which does not count
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.User, role, policy, k.Created.Format(time.RFC3339), end)
	}
	return w.Flush()
}

// statements tells of a policy what fits a table.
func statements(policy json.RawMessage) string {
	var p struct{ Statement json.RawMessage }
	var list []json.RawMessage
	if json.Unmarshal(policy, &p) != nil || json.Unmarshal(p.Statement, &list) != nil || len(list) == 1 {
		return "1 statement"
	}
	return fmt.Sprintf("%d statements", len(list))
}

func (o *keyOptions) show(ctx context.Context, id string) error {
	var k metadata.AccessKey
	if err := o.api.call(ctx, http.MethodGet, "/v1/keys/"+url.PathEscape(id), nil, &k); err != nil {
		return err
	}
	return o.printJSON(k)
}

// changePolicy gives a key the policy of a file, or takes its policy off, or
// prints it.
func (o *keyOptions) changePolicy(ctx context.Context, id, file string) error {
	path := "/v1/keys/" + url.PathEscape(id)
	if file == "" && !o.none {
		var k metadata.AccessKey
		if err := o.api.call(ctx, http.MethodGet, path, nil, &k); err != nil {
			return err
		}
		if len(k.Policy) == 0 {
			return fmt.Errorf("%s has no policy; its role is %s", id, k.Role)
		}
		return o.printJSON(k.Policy)
	}
	change := map[string]any{"policy": nil}
	if file != "" {
		policy, err := readPolicy(file)
		if err != nil {
			return err
		}
		change["policy"] = policy
	}
	return o.api.call(ctx, http.MethodPatch, path, change, nil)
}

// changeEnd says when a key ends, which may be never.
func (o *keyOptions) changeEnd(ctx context.Context, id, when string) error {
	change := map[string]any{"expires": nil}
	if when != "never" {
		t, err := parseEnd(when, o.now())
		if err != nil {
			return err
		}
		change["expires"] = t
	}
	return o.api.call(ctx, http.MethodPatch, "/v1/keys/"+url.PathEscape(id), change, nil)
}

func (o *keyOptions) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.out, "%s\n", text)
	return err
}
