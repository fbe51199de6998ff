package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

const (
	// adminName is the program by which the suite makes users: versitygw itself.
	adminName = "versitygw"
	// adminAPI is the variable that tells the stand-in where Meridian's API is.
	adminAPI = "CONFORMANCE_API"
)

// admin stands in for "versitygw admin" in front of Meridian's API: it makes a
// key for a user that the suite wants.
func admin(ctx context.Context, _ io.Writer, args []string) error {
	flags := flag.NewFlagSet("admin", flag.ContinueOnError)
	access := flags.String("a", "", "")
	secret := flags.String("s", "", "")
	flags.String("er", "", "")
	if len(args) == 0 || args[0] != "admin" {
		return fmt.Errorf("%q is not the admin command, which is all that stands in for versitygw here", args)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	api := adminClient{url: os.Getenv(adminAPI), key: *access, secret: *secret}
	rest := flags.Args()
	if len(rest) == 0 {
		return errors.New("admin: no command")
	}
	command := flag.NewFlagSet(rest[0], flag.ContinueOnError)
	switch rest[0] {
	case "create-user":
		id := command.String("a", "", "")
		secret := command.String("s", "", "")
		role := command.String("r", "", "")
		if err := command.Parse(rest[1:]); err != nil {
			return err
		}
		return api.do(ctx, http.MethodPost, "/v1/keys", map[string]any{"id": *id, "secret": *secret, "user": *id, "role": roles[*role]})
	case "delete-user":
		id := command.String("a", "", "")
		if err := command.Parse(rest[1:]); err != nil {
			return err
		}
		return api.do(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(*id), nil)
	case "change-bucket-owner":
		bucket := command.String("b", "", "")
		owner := command.String("o", "", "")
		if err := command.Parse(rest[1:]); err != nil {
			return err
		}
		return api.do(ctx, http.MethodPatch, "/v1/buckets/"+url.PathEscape(*bucket), map[string]any{"owner": *owner})
	case "list-buckets":
		return api.do(ctx, http.MethodGet, "/v1/buckets", nil)
	}
	return fmt.Errorf("admin: no stand-in for %q", rest[0])
}

// roles are Meridian's, by versitygw's.
var roles = map[string]string{"admin": "admin", "userplus": "user", "user": "user"}

type adminClient struct{ url, key, secret string }

// do asks the API. What it refuses is told with the code that versitygw's own
// answers have, by which the suite knows a refusal.
func (c adminClient) do(ctx context.Context, method, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.key+":"+c.secret)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case err != nil:
		return err
	case res.StatusCode == http.StatusForbidden:
		return fmt.Errorf("XAdminAccessDenied: %s", answer)
	case res.StatusCode >= http.StatusBadRequest:
		return fmt.Errorf("XAdmin: %s %s: %s: %s", method, path, res.Status, answer)
	}
	return nil
}
