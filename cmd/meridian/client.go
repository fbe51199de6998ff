package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// apiOptions are the options of every command that talks to a metadata role.
type apiOptions struct {
	url             string
	accessKey       string
	secretKey       string
	credentialsFile string
	trust           trustOptions
}

func (o *apiOptions) declare(s *settings) {
	s.flags.StringVar(&o.url, "api", "http://127.0.0.1:9000", "`URL` of the metadata role")
	o.trust.declare(s)
	o.declareKey(s)
}

// declareKey declares those that say who signs in.
func (o *apiOptions) declareKey(s *settings) {
	s.flags.StringVar(&o.accessKey, "root-access-key", "", "access `key` to sign in with")
	s.secret(&o.secretKey, "root-secret-key", "its `secret`")
	s.flags.StringVar(&o.credentialsFile, "credentials", "", "`file` in the AWS shared-credentials format (default: that of meridian dev)")
}

// credentials are those of the options, else of the file, else of where
// meridian dev keeps its own.
func (o *apiOptions) credentials() (credentials, error) {
	if o.accessKey != "" || o.secretKey != "" {
		if o.accessKey == "" || o.secretKey == "" {
			return credentials{}, usagef("--root-access-key and --root-secret-key go together")
		}
		return credentials{o.accessKey, o.secretKey}, nil
	}
	if o.credentialsFile != "" {
		return readCredentials(o.credentialsFile)
	}
	for _, dir := range []string{localDataDir, systemDataDir} {
		c, err := readCredentials(dir + "/credentials")
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return credentials{}, err
		}
	}
	return credentials{}, usagef("no credentials: give --credentials FILE, or --root-access-key and --root-secret-key (MERIDIAN_ROOT_ACCESS_KEY, MERIDIAN_ROOT_SECRET_KEY)")
}

// call sends in, if it is not nil, as JSON and decodes the answer into out, if
// that is not nil. A problem answer becomes an error that tells its detail.
func (o *apiOptions) call(ctx context.Context, method, path string, in, out any) error {
	cred, err := o.credentials()
	if err != nil {
		return err
	}
	client, err := o.trust.client()
	if err != nil {
		return err
	}
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(o.url, "/")+path, body)
	if err != nil {
		return usagef("--api: %v", err)
	}
	req.Header.Set("Authorization", "Bearer "+cred.accessKey+":"+cred.secretKey)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach the metadata role (is it running? --api names another): %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return problem(resp)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// problem reads an RFC 9457 answer.
func problem(resp *http.Response) error {
	var p struct {
		Title, Detail string
		Errors        []struct{ Field, Detail string }
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what can be read is told
	if json.Unmarshal(text, &p) != nil || p.Title == "" {
		return fmt.Errorf("the metadata role answered %s", resp.Status)
	}
	var msg strings.Builder
	msg.WriteString(p.Title)
	if p.Detail != "" && len(p.Errors) == 0 { // else it tells of the first of them
		msg.WriteString(": " + p.Detail)
	}
	for i, e := range p.Errors {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		msg.WriteString(sep + e.Field + ": " + e.Detail)
	}
	return errors.New(msg.String())
}
