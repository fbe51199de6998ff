package media

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"meridian/metadata"
	"meridian/metadata/media/faststart"
)

var _ Shelf = (*HTTPOpener)(nil)

const (
	// maxParts is how many parts an upload may have.
	maxParts = 10_000
	// partTries is how often a part is put before the whole is given up.
	partTries = 3
	// slowest is what a part must move at, in bytes per second; a minute is
	// added.
	slowest = 100 << 10
	// maxReply bounds what is read of an origin's answer to a write.
	maxReply = 64 << 10
)

// Put implements Shelf. An origin of a region that holds the bytes takes it: in
// another they may not be allowed to lie. They go from an origin through here to
// an origin, and are never all here: a part is streamed, and read again where it
// has to be put again.
func (h *HTTPOpener) Put(ctx context.Context, v metadata.Version, key, contentType string, p faststart.Plan) (Stored, error) {
	origins, holders, err := h.origins(ctx, v)
	if err != nil {
		return Stored{}, err
	}
	if holders == 0 {
		return Stored{}, fmt.Errorf("no origin is known of the regions that hold the bytes, %v", v.Regions)
	}
	var errs []error
	for i := range holders {
		u := &putting{h: h, source: v, key: key, contentType: contentType, plan: p}
		// The origin that takes it is the first to be read from.
		u.origins = append([]string{origins[i]}, append(origins[:i:i], origins[i+1:]...)...)
		etag, err := u.put(ctx)
		if err == nil {
			return Stored{Size: p.Size, ETag: etag}, nil
		}
		if ctx.Err() != nil {
			return Stored{}, ctx.Err()
		}
		errs = append(errs, err)
	}
	return Stored{}, errors.Join(errs...)
}

// putting is a rendition on its way to the first of its origins.
type putting struct {
	h                *HTTPOpener
	origins          []string
	source           metadata.Version
	key, contentType string
	plan             faststart.Plan
}

func (u *putting) put(ctx context.Context) (etag string, err error) {
	size := max(u.h.o.PartSize, (u.plan.Size+maxParts-1)/maxParts)
	if u.plan.Size <= size {
		sum, err := u.part(ctx, nil, 0, u.plan.Size)
		return hex.EncodeToString(sum), err
	}
	id, err := u.begin(ctx)
	if err != nil {
		return "", err
	}
	etag, err = u.parts(ctx, id, size)
	if err != nil {
		u.abort(ctx, id)
		return "", err
	}
	return etag, nil
}

// part puts n bytes of the output from off, a part of an upload where query says
// so, and returns their MD5, which the origin has confirmed.
func (u *putting) part(ctx context.Context, query url.Values, off, n int64) (sum []byte, err error) {
	for try := range partTries {
		if try > 0 {
			if err := sleep(ctx, time.Duration(try)*time.Second); err != nil {
				return nil, err
			}
		}
		if sum, err = u.tryPart(ctx, query, off, n); err == nil || ctx.Err() != nil {
			break
		}
	}
	return sum, err
}

func (u *putting) tryPart(ctx context.Context, query url.Values, off, n int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(n/slowest)*time.Second)
	defer cancel()
	body := &segmentReader{ctx: ctx, h: u.h, source: u.source, origins: u.origins, rest: u.plan.Range(off, n), sum: md5.New()} //nolint:gosec // what S3 calls an ETag
	req, err := u.request(ctx, http.MethodPut, query, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = n
	if query == nil {
		u.describe(req)
	}
	header, _, err := u.send(req)
	cancel() // a read that somebody may still wait for
	sum, readErr := body.finish()
	if readErr != nil {
		return nil, readErr // why the request failed
	}
	if err != nil {
		return nil, err
	}
	want := hex.EncodeToString(sum)
	if got := strings.Trim(header.Get("ETag"), `"`); got != want {
		return nil, fmt.Errorf("put %d bytes of %s to %s: it has the MD5 %s, not %s", n, u.key, u.origins[0], got, want)
	}
	return sum, nil
}

// begin begins an upload and returns its ID.
func (u *putting) begin(ctx context.Context) (string, error) {
	req, err := u.request(ctx, http.MethodPost, url.Values{"uploads": {""}}, nil)
	if err != nil {
		return "", err
	}
	u.describe(req)
	_, reply, err := u.send(req)
	if err != nil {
		return "", err
	}
	var begun struct {
		UploadID string `xml:"UploadId"`
	}
	if err := xml.Unmarshal(reply, &begun); err != nil || begun.UploadID == "" {
		return "", fmt.Errorf("begin an upload at %s: answered %.200q", u.origins[0], reply)
	}
	return begun.UploadID, nil
}

// completePart is a part in the body of CompleteMultipartUpload.
type completePart struct {
	PartNumber int
	ETag       string
}

// parts puts all parts and completes the upload.
func (u *putting) parts(ctx context.Context, id string, size int64) (etag string, err error) {
	var done struct {
		XMLName xml.Name       `xml:"CompleteMultipartUpload"`
		Parts   []completePart `xml:"Part"`
	}
	all := md5.New() //nolint:gosec // what S3 calls an ETag
	for off := int64(0); off < u.plan.Size; off += size {
		number := len(done.Parts) + 1
		sum, err := u.part(ctx, url.Values{"partNumber": {strconv.Itoa(number)}, "uploadId": {id}}, off, min(size, u.plan.Size-off))
		if err != nil {
			return "", err
		}
		all.Write(sum)
		done.Parts = append(done.Parts, completePart{number, hex.EncodeToString(sum)})
	}
	body, err := xml.Marshal(done)
	if err != nil {
		return "", err
	}
	req, err := u.request(ctx, http.MethodPost, url.Values{"uploadId": {id}}, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/xml")
	_, reply, err := u.send(req)
	if err != nil {
		return "", err
	}
	// S3 may fail after it has answered 200.
	var completed struct{ ETag string }
	want := hex.EncodeToString(all.Sum(nil)) + "-" + strconv.Itoa(len(done.Parts))
	if err := xml.Unmarshal(reply, &completed); err != nil || strings.Trim(completed.ETag, `"`) != want {
		return "", fmt.Errorf("complete an upload at %s: answered %.200q, not the ETag %s", u.origins[0], reply, want)
	}
	return want, nil
}

// abort ends an upload that failed. Where that fails too, the origin ends it by
// itself after a day.
func (u *putting) abort(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	req, err := u.request(ctx, http.MethodDelete, url.Values{"uploadId": {id}}, nil)
	if err == nil {
		_, _, _ = u.send(req)
	}
}

// describe says of the rendition what it is, and that it be encrypted where its
// source is.
func (u *putting) describe(req *http.Request) {
	req.Header.Set("Content-Type", u.contentType)
	if u.source.Encryption != nil {
		req.Header.Set("X-Amz-Server-Side-Encryption", "AES256")
	}
}

func (u *putting) request(ctx context.Context, method string, query url.Values, body io.Reader) (*http.Request, error) {
	req, err := u.h.request(ctx, method, u.origins[0], metadata.RenditionBucket, u.key, body)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	return req, nil
}

// send sends a request and reads its small answer.
func (u *putting) send(req *http.Request) (http.Header, []byte, error) {
	resp, err := u.h.send(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return nil, nil, fmt.Errorf("read from %s: %w", req.URL.Host, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, nil, fmt.Errorf("%s %s at %s: answered %s: %.200q", req.Method, req.URL.Path, req.URL.Host, resp.Status, reply)
	}
	return resp.Header, reply, nil
}

// segmentReader reads segments one after the other, those of the source from the
// first of the origins that answers. It is the body of a request, from which the
// transport may still be reading when the answer is there.
type segmentReader struct {
	ctx     context.Context //nolint:containedctx // of the request whose body it is
	h       *HTTPOpener
	source  metadata.Version
	origins []string

	mu   sync.Mutex
	rest []faststart.Segment
	open io.ReadCloser // of the first segment of rest
	left int64         // of it
	sum  hash.Hash     // of what was read
	err  error         // that ended the reading, other than io.EOF
}

// Read implements io.Reader.
func (s *segmentReader) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.open == nil {
		if s.err != nil || len(s.rest) == 0 {
			return 0, cmp.Or(s.err, io.EOF)
		}
		s.err = s.next()
	}
	n, err := s.open.Read(p[:min(int64(len(p)), s.left)])
	s.sum.Write(p[:n])
	s.left -= int64(n)
	switch {
	case s.left == 0:
		s.close()
		s.rest = s.rest[1:]
		err = nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		s.err = fmt.Errorf("read %s/%s: %w", s.source.Bucket, s.source.Key, err)
		return n, s.err
	}
	return n, nil
}

func (s *segmentReader) next() error {
	segment := s.rest[0]
	s.left = segment.Len()
	if segment.Data != nil {
		s.open = io.NopCloser(bytes.NewReader(segment.Data))
		return nil
	}
	var errs []error
	for _, origin := range s.origins {
		body, err := s.h.open(s.ctx, origin, s.source, segment.Offset, segment.Length)
		if err == nil {
			s.open = body
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *segmentReader) close() {
	if s.open != nil {
		_ = s.open.Close() // all that was wanted of it was read, or an error told
		s.open = nil
	}
}

// Close implements io.Closer: nothing is read any more.
func (s *segmentReader) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close()
	s.rest = nil
	return nil
}

// finish ends the reading and returns the MD5 of what was read, and what went
// wrong.
func (s *segmentReader) finish() ([]byte, error) {
	_ = s.Close() // does not fail
	return s.sum.Sum(nil), s.err
}
