package peer

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// request asks an endpoint for n bytes of exactly this version, out of its own
// store only.
func (p *Peers) request(ctx context.Context, endpoint string, v *metadata.Version, off, n int64) (*http.Request, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", endpoint, err)
	}
	// Keys hold anything, also "//" and "..": the path goes out as it is.
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + v.Bucket + "/" + v.Key
	u.RawPath = ""
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", endpoint, err)
	}
	r.URL = u
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set(hop.RequestVersion, v.ID)
	r.Header.Set(hop.RequestLocal, "1")
	if p.Node != "" {
		r.Header.Set(hop.RequestNode, p.Node)
	}
	p.signer.Sign(r, sigv4.UnsignedPayload, p.Now())
	return r, nil
}

// check accepts an answer that carries these bytes and no others.
func check(resp *http.Response, v *metadata.Version, off, n int64) error {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		want := "bytes " + strconv.FormatInt(off, 10) + "-" + strconv.FormatInt(off+n-1, 10) + "/" + strconv.FormatInt(v.StoredSize(), 10)
		if got := resp.Header.Get("Content-Range"); got != want {
			return fmt.Errorf("%w: content range %q, not %q", errAnswer, got, want)
		}
	case http.StatusOK:
		if off != 0 || n != v.StoredSize() {
			return fmt.Errorf("%w: the whole object instead of bytes %d-%d", errAnswer, off, off+n-1)
		}
	case http.StatusNotFound:
		return fmt.Errorf("%s: %w", resp.Status, fs.ErrNotExist)
	default:
		return fmt.Errorf("%w: %s", errAnswer, resp.Status)
	}
	if resp.ContentLength != n {
		return fmt.Errorf("%w: %d bytes, not %d", errAnswer, resp.ContentLength, n)
	}
	if got := resp.Header.Get(hop.Version); got != v.ID {
		return fmt.Errorf("%w: version %q, not %s", errAnswer, got, v.ID)
	}
	return nil
}
