package s3api_test

import (
	"strings"
	"testing"
)

func TestConfigurationsWithOneValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/photos", nil)
	for _, c := range []struct{ selector, root, fine, refused, wrong string }{
		{"requestPayment", "RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>", "<Payer>Requester</Payer>", "<Payer>Me</Payer>"},
		{"accelerate", "AccelerateConfiguration", "<Status>Suspended</Status>", "<Status>Enabled</Status>", "<Status>Fast</Status>"},
		{"logging", "BucketLoggingStatus", "", "<LoggingEnabled><TargetBucket>b</TargetBucket></LoggingEnabled>", "<LoggingEnabled>"},
	} {
		body := func(inner string) []byte { return []byte("<" + c.root + ">" + inner + "</" + c.root + ">") }
		before := w.must("GET", "/photos?"+c.selector, nil)
		w.must("PUT", "/photos?"+c.selector, body(c.fine))
		w.refused(root, 501, "NotImplemented", "PUT", "/photos?"+c.selector, body(c.refused))
		w.refused(root, 400, "MalformedXML", "PUT", "/photos?"+c.selector, body(c.wrong))
		w.refused(root, 404, "NoSuchBucket", "PUT", "/nowhere?"+c.selector, body(c.fine))
		w.refused(reader, 403, "AccessDenied", "PUT", "/photos?"+c.selector, body(c.fine))
		if after := w.must("GET", "/photos?"+c.selector, nil); string(after.body) != string(before.body) {
			t.Errorf("%s was %s and is %s", c.selector, before.body, after.body)
		}
	}
	e := w.refused(root, 501, "NotImplemented", "PUT", "/photos?website", []byte("<WebsiteConfiguration/>")).error(t)
	if !strings.Contains(e.Message, "website") {
		t.Errorf("a website is refused with %q", e.Message)
	}
	w.refused(root, 404, "NoSuchWebsiteConfiguration", "GET", "/photos?website", nil)
	w.must("DELETE", "/photos?website", nil)
	w.refused(root, 404, "NoSuchBucket", "PUT", "/nowhere?website", nil)
}
