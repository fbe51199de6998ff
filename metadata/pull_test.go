package metadata_test

import (
	"slices"
	"testing"

	"meridian/metadata"
)

func TestPullCheck(t *testing.T) {
	t.Parallel()
	origin := []string{"http://www.example.com"}
	for name, c := range map[string]struct {
		pull metadata.Pull
		bad  []string
	}{
		"none":              {metadata.Pull{}, nil},
		"plain":             {metadata.Pull{Origins: origin}, nil},
		"loopback":          {metadata.Pull{Origins: []string{"http://127.0.0.1:8000/base", "https://[::1]:8443"}}, nil},
		"no origin":         {metadata.Pull{Host: "a.example"}, []string{"origins"}},
		"scheme":            {metadata.Pull{Origins: []string{"file:///etc/passwd"}}, []string{"origins"}},
		"gopher":            {metadata.Pull{Origins: []string{"gopher://x/"}}, []string{"origins"}},
		"user":              {metadata.Pull{Origins: []string{"http://user:secret@www.example.com"}}, []string{"origins"}},
		"cloud metadata":    {metadata.Pull{Origins: []string{"http://169.254.169.254/latest"}}, []string{"origins"}},
		"mapped":            {metadata.Pull{Origins: []string{"http://[::ffff:169.254.169.254]/"}}, []string{"origins"}},
		"nobody":            {metadata.Pull{Origins: []string{"http://0.0.0.0/"}}, []string{"origins"}},
		"query":             {metadata.Pull{Origins: []string{"http://www.example.com/?a"}}, []string{"origins"}},
		"no host":           {metadata.Pull{Origins: []string{"http:///x"}}, []string{"origins"}},
		"traversal":         {metadata.Pull{Origins: []string{"http://a.example/x/../y"}}, []string{"origins"}},
		"host header":       {metadata.Pull{Origins: origin, Host: "a\r\nb"}, []string{"host"}},
		"hosts":             {metadata.Pull{Origins: origin, Hosts: []string{"www.example.com", "A.example", "www.example.com"}}, []string{"hosts", "hosts"}},
		"method":            {metadata.Pull{Origins: origin, Methods: []string{"GET", "CONNECT"}}, []string{"methods"}},
		"framing":           {metadata.Pull{Origins: origin, RequestHeaders: metadata.HeaderRules{Set: map[string]string{"transfer-encoding": "x"}}}, []string{"request_headers"}},
		"splitting":         {metadata.Pull{Origins: origin, ResponseHeaders: metadata.HeaderRules{Set: map[string]string{"X-A": "b\r\nc: d"}}}, []string{"response_headers"}},
		"query mode":        {metadata.Pull{Origins: origin, Query: "some"}, []string{"query"}},
		"params, unlisted":  {metadata.Pull{Origins: origin, QueryParams: []string{"v"}}, []string{"query_params"}},
		"rewrite from none": {metadata.Pull{Origins: origin, Rewrites: []metadata.PathRewrite{{From: "old/", To: "/new/"}}}, []string{"rewrites"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var bad []string
			c.pull.Check(func(field, reason string) {
				if reason == "" {
					t.Errorf("%s is refused without a reason", field)
				}
				bad = append(bad, field)
			})
			if !slices.Equal(bad, c.bad) {
				t.Errorf("refuses %q, want %q", bad, c.bad)
			}
		})
	}
}
