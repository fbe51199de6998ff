package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

const (
	// blockSize is how much of a file is fetched at once, and maxBlocks how
	// many blocks of it are kept.
	blockSize = 128 << 10
	maxBlocks = 32
)

// HTTPOptions are what an HTTPOpener works with.
type HTTPOptions struct {
	// Secret is the cluster secret, by which requests are signed as a node's.
	Secret string
	// Region is where this process runs; its origin is asked first where it
	// holds the bytes.
	Region string
	// Nodes tells which origins there are; nodes of other tiers are ignored.
	Nodes  func(ctx context.Context) ([]metadata.Node, error)
	Client *http.Client // http.DefaultClient if nil
	// PartSize is how much of a rendition is put at once; 64 MiB if zero.
	PartSize int64
}

// HTTPOpener reads versions from the origins that hold them, by ranges.
type HTTPOpener struct {
	o      HTTPOptions
	signer sigv4.Signer
}

var _ Opener = (*HTTPOpener)(nil)

// NewHTTPOpener prepares an HTTPOpener.
func NewHTTPOpener(o HTTPOptions) *HTTPOpener {
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	if o.PartSize == 0 {
		o.PartSize = 64 << 20
	}
	return &HTTPOpener{o: o, signer: sigv4.Signer{AccessKey: hop.NodeAccessKey, Secret: o.Secret}}
}

// OpenAt implements Opener. It asks nobody yet; blocks are fetched as they are
// read.
func (h *HTTPOpener) OpenAt(ctx context.Context, v metadata.Version) (io.ReaderAt, error) {
	origins, _, err := h.origins(ctx, v)
	if err != nil {
		return nil, err
	}
	return &blockReader{ctx: ctx, opener: h, version: v, origins: origins, blocks: map[int64][]byte{}}, nil
}

// origins are the URLs of the origins, the best first: those that hold the
// bytes, among them the one of this region, then the others, which can fetch
// them. The first so many, holders, hold them.
func (h *HTTPOpener) origins(ctx context.Context, v metadata.Version) (urls []string, holders int, err error) {
	nodes, err := h.o.Nodes(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list the origins: %w", err)
	}
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n metadata.Node) bool { return n.Tier != metadata.TierOrigin || n.URL == "" })
	rank := func(n metadata.Node) int {
		switch holds := slices.Contains(v.Regions, n.Region); {
		case holds && n.Region == h.o.Region:
			return 0
		case holds:
			return 1
		case n.Region == h.o.Region:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(nodes, func(a, b metadata.Node) int { return cmp.Compare(rank(a), rank(b)) })
	if len(nodes) == 0 {
		return nil, 0, errors.New("no origin is known")
	}
	for _, n := range nodes {
		urls = append(urls, n.URL)
		if slices.Contains(v.Regions, n.Region) {
			holders++
		}
	}
	return urls, holders, nil
}

// blockReader is a version's bytes. It fetches whole blocks and keeps the last
// few, since parsers read little pieces side by side.
type blockReader struct {
	ctx     context.Context //nolint:containedctx // io.ReaderAt has no other way
	opener  *HTTPOpener
	version metadata.Version
	origins []string
	blocks  map[int64][]byte
	recent  []int64 // blocks kept, the one used last at the end
}

// ReadAt implements io.ReaderAt, for one goroutine at a time.
func (b *blockReader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: %w", off, fs.ErrInvalid)
	}
	for n < len(p) {
		if off >= b.version.Size {
			return n, io.EOF
		}
		block, err := b.block(off / blockSize)
		if err != nil {
			return n, err
		}
		k := copy(p[n:], block[off%blockSize:])
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

func (b *blockReader) block(i int64) ([]byte, error) {
	data, ok := b.blocks[i]
	if ok {
		b.recent = slices.DeleteFunc(b.recent, func(k int64) bool { return k == i })
	} else {
		var err error
		if data, err = b.fetch(i*blockSize, min(blockSize, b.version.Size-i*blockSize)); err != nil {
			return nil, err
		}
		b.blocks[i] = data
	}
	b.recent = append(b.recent, i)
	if len(b.recent) > maxBlocks {
		delete(b.blocks, b.recent[0])
		b.recent = b.recent[1:]
	}
	return data, nil
}

// fetch asks one origin after the other. The one that answered is asked first
// from then on.
func (b *blockReader) fetch(off, n int64) ([]byte, error) {
	var errs []error
	for i, origin := range b.origins {
		data, err := b.fetchFrom(origin, off, n)
		if err == nil {
			b.origins[0], b.origins[i] = b.origins[i], b.origins[0]
			return data, nil
		}
		if b.ctx.Err() != nil {
			return nil, b.ctx.Err()
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (b *blockReader) fetchFrom(origin string, off, n int64) ([]byte, error) {
	body, err := b.opener.open(b.ctx, origin, b.version, off, n)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data := make([]byte, n)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, fmt.Errorf("read from %s: %w", origin, err)
	}
	return data, nil
}

// open asks an origin for n bytes of v from off. The caller closes them.
func (h *HTTPOpener) open(ctx context.Context, origin string, v metadata.Version, off, n int64) (io.ReadCloser, error) {
	req, err := h.request(ctx, http.MethodGet, origin, v.Bucket, v.Key, nil)
	if err != nil {
		return nil, err
	}
	last := off + n - 1
	req.Header.Set("Range", "bytes="+strconv.FormatInt(off, 10)+"-"+strconv.FormatInt(last, 10))
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set(hop.RequestVersion, v.ID)
	resp, err := h.send(req)
	if err != nil {
		return nil, err
	}
	if err := check(resp, v, off, last); err != nil {
		return nil, errors.Join(fmt.Errorf("ask %s: %w", origin, err), resp.Body.Close())
	}
	return resp.Body, nil
}

// request makes a request to an origin for an object.
func (h *HTTPOpener) request(ctx context.Context, method, origin, bucket, key string, body io.Reader) (*http.Request, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, fmt.Errorf("origin %q: %w", origin, err)
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+"/"+bucket+"/"+key, ""
	req, err := http.NewRequestWithContext(ctx, method, origin, body)
	if err != nil {
		return nil, err
	}
	req.URL = u
	return req, nil
}

// send signs a request as a node's and sends it. The caller closes the body.
func (h *HTTPOpener) send(req *http.Request) (*http.Response, error) {
	h.signer.Sign(req, sigv4.UnsignedPayload, time.Now())
	resp, err := h.o.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", req.URL.Host, err)
	}
	return resp, nil
}

// check makes sure that the answer holds what was asked for.
func check(resp *http.Response, version metadata.Version, off, last int64) error {
	if v := resp.Header.Get(hop.Version); v != "" && v != version.ID {
		return fmt.Errorf("answered version %q instead of %q", v, version.ID)
	}
	switch resp.StatusCode {
	case http.StatusOK: // the whole file, of which its beginning was asked for
		if off == 0 {
			return nil
		}
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/", off, last)
		if got := resp.Header.Get("Content-Range"); !strings.HasPrefix(got, want) {
			return fmt.Errorf("answered range %q instead of %q", got, want)
		}
		return nil
	case http.StatusNotFound:
		return fs.ErrNotExist
	}
	return fmt.Errorf("answered %s to bytes %d-%d", resp.Status, off, last)
}
