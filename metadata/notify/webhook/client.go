package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"meridian/metadata"
)

// secretPrefix begins secrets, as the libraries of Standard Webhooks take them.
const secretPrefix = "whsec_"

// Lengths of the key in a secret, in bytes.
const (
	minKey = 24
	maxKey = 64
)

// NewSecret makes a secret.
func NewSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// CheckSecret refuses what is no secret.
func CheckSecret(secret string) error {
	key, err := keyOf(secret)
	if err != nil || len(key) < minKey || len(key) > maxKey {
		return metadata.Invalidf("a secret is %s and base64 of %d to %d bytes; without one, one is made", secretPrefix, minKey, maxKey)
	}
	return nil
}

func keyOf(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return nil, errors.New("no secret of a webhook")
	}
	return base64.StdEncoding.DecodeString(text)
}

// Sign is the signature of a message, of which receivers compute the same.
func Sign(secret, id string, at time.Time, body []byte) (string, error) {
	key, err := keyOf(secret)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// Client makes the requests.
type Client struct {
	http  *http.Client
	local bool
}

// Bounds of a request.
const (
	timeout   = 10 * time.Second
	maxAnswer = 64 << 10 // bytes of the answer that are read
)

// NewClient makes a client. It refuses to speak with the metadata service of a
// cloud, and unless local with this machine and its link, so that nobody can reach
// by a webhook what listens for this machine only.
func NewClient(local bool) *Client {
	c := &Client{local: local}
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error { return c.checkAddress(address) }}
	c.http = &http.Client{
		Timeout: timeout,
		// No proxy: its address is not that of the receiver.
		Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: parallel, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 5 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a receiver that moved is to be named anew
		},
	}
	return c
}

// ErrLocal says that a webhook is at an address of this machine or its link.
var ErrLocal = errors.New("loopback and link-local addresses are refused; --webhook-local allows them")

// checkAddress looks at the address that a name has led to, just before it is
// connected to.
func (c *Client) checkAddress(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return c.check(at.Addr())
}

// ErrMetadata says that a webhook is at the metadata service of a cloud, which
// hands out the credentials of the machine.
var ErrMetadata = errors.New("the addresses of clouds' metadata services are refused")

// instanceMetadata are the addresses of clouds' metadata services.
var instanceMetadata = map[netip.Addr]bool{
	netip.MustParseAddr("169.254.169.254"): true, // of nearly all
	netip.MustParseAddr("169.254.170.2"):   true, // Amazon, for containers
	netip.MustParseAddr("169.254.170.23"):  true, // Amazon, for pods
	netip.MustParseAddr("fd00:ec2::254"):   true, // Amazon
	netip.MustParseAddr("fd00:ec2::23"):    true, // Amazon, for pods
	netip.MustParseAddr("fd20:ce::254"):    true, // Google
	netip.MustParseAddr("168.63.129.16"):   true, // Azure
	netip.MustParseAddr("100.100.100.200"): true, // Alibaba
	netip.MustParseAddr("192.0.0.192"):     true, // Oracle
}

// check refuses an address that no request may go to.
func (c *Client) check(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	for _, carries := range []string{"64:ff9b::/96", "::/96"} { // an IPv4 address in the last four bytes
		if b := a.As16(); a.Is6() && netip.MustParsePrefix(carries).Contains(a) && !a.IsLoopback() && !a.IsUnspecified() {
			a = netip.AddrFrom4([4]byte(b[12:]))
		}
	}
	switch {
	case instanceMetadata[a]:
		return ErrMetadata
	case !c.local && isLocal(a):
		return ErrLocal
	}
	return nil
}

func isLocal(a netip.Addr) bool {
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsMulticast() || a.IsInterfaceLocalMulticast() || a.IsUnspecified() ||
		netip.MustParsePrefix("0.0.0.0/8").Contains(a)
}

// CheckURL refuses a URL that cannot be that of a webhook. Names are looked up
// when they are used.
func (c *Client) CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return metadata.Invalidf("it is not an absolute http or https URL")
	case u.User != nil:
		return metadata.Invalidf("it holds a user or password; requests are signed instead")
	case u.Fragment != "":
		return metadata.Invalidf("it has a fragment, which is not sent")
	case len(text) > 2048:
		return metadata.Invalidf("it has more than 2048 bytes")
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if a, err := netip.ParseAddr(host); err == nil {
		if err := c.check(a); err != nil {
			return metadata.Invalidf("%s", err)
		}
	}
	if !c.local && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
		return metadata.Invalidf("%s", ErrLocal)
	}
	return nil
}

// Send makes one request. status is 0 where there was no answer; the error says
// why the delivery does not count as made, without naming the URL, which may
// hold what is secret.
func (c *Client) Send(ctx context.Context, w metadata.Webhook, d metadata.Delivery) (status int, err error) {
	return c.post(ctx, w, "delivery_"+strconv.FormatInt(d.ID, 10), d.Body)
}

// Test sends a message that is about nothing, to try whether somebody listens.
func (c *Client) Test(ctx context.Context, w metadata.Webhook, body json.RawMessage) (status int, err error) {
	return c.post(ctx, w, "test_"+rand.Text(), body)
}

func (c *Client) post(ctx context.Context, w metadata.Webhook, id string, body []byte) (int, error) {
	now := time.Now()
	signature, err := Sign(w.Secret, id, now, body)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the URL cannot be used")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Meridian-Webhook/1")
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", signature)
	answer, err := c.http.Do(r)
	if err != nil {
		var named *url.Error
		if errors.As(err, &named) {
			if named.Timeout() {
				return 0, fmt.Errorf("no answer within %s", timeout)
			}
			err = named.Err
		}
		return 0, err
	}
	defer answer.Body.Close()
	// Read to its end, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // what it says does not count
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return answer.StatusCode, fmt.Errorf("answered %s", answer.Status)
	}
	return answer.StatusCode, nil
}
