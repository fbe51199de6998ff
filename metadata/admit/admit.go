// Package admit holds what comes into a bucket to the bucket's upload rules. All
// ways in go through it: package origin calls it for whole objects (S3 PUT,
// copies, forms, uploads by a presigned URL) and package upload for multipart
// ones (S3, tus, the API).
package admit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"meridian/metadata"
	"meridian/metadata/media/probe"
)

// Catalog is where the rules of a bucket, and what it holds, are found.
type Catalog interface {
	Bucket(ctx context.Context, name string) (metadata.Bucket, error)
	Usage(ctx context.Context, bucket string) (metadata.Usage, error)
	Lookup(ctx context.Context, r metadata.Ref) (metadata.Version, error)
}

// Early refuses what can be refused before a byte is read: v's object of size
// bytes (-1: not known) under v's key, which claims to be of v's content type.
// Others may be on their way, so the last word on quotas is the catalogue's.
func Early(ctx context.Context, c Catalog, b *metadata.Bucket, v *metadata.Version, size int64) error {
	if !b.Pull.IsZero() {
		return refused(b, fmt.Errorf("%w: edges answer for it from %s; write there, or to another bucket", metadata.ErrPullZone, b.Pull.Origins[0]))
	}
	rules := b.UploadRules
	if err := both(rules.AllowSize(size), rules.AllowClaim(v.ContentType)); err != nil {
		return refused(b, err)
	}
	if !rules.HasQuota() {
		return nil
	}
	used, err := c.Usage(ctx, b.Name)
	if err != nil {
		return err
	}
	objects, more := int64(1), max(size, 0)
	if b.Versioning != metadata.VersioningEnabled {
		old, err := c.Lookup(ctx, metadata.Ref{Bucket: b.Name, Key: v.Key})
		switch {
		case err == nil && old.Null: // it will be replaced
			objects, more = 0, more-old.Size
		case err != nil && !errors.Is(err, metadata.ErrNoSuchKey):
			return err
		}
	}
	if err := rules.Allow(used, objects, more); err != nil {
		return refused(b, err)
	}
	return nil
}

// Body is body held to the rules of b: it looks at the first bytes and refuses
// those of a type that is not allowed, and its reader fails beyond the greatest
// size. Where the bucket has no such rules it is body itself.
func Body(b *metadata.Bucket, contentType string, body io.Reader) (io.Reader, error) {
	return hold(b, contentType, body, false)
}

// Part is Body for the first part of an object. A part that is too short to tell
// what it begins passes.
func Part(b *metadata.Bucket, contentType string, body io.Reader) (io.Reader, error) {
	return hold(b, contentType, body, true)
}

func hold(b *metadata.Bucket, contentType string, body io.Reader, goesOn bool) (io.Reader, error) {
	rules := b.UploadRules
	if len(rules.Types) > 0 {
		head, err := readHead(body)
		if err != nil {
			return nil, err
		}
		if !goesOn || len(head) == probe.SniffLen {
			if err := Head(b, contentType, head); err != nil {
				return nil, err
			}
		}
		body = io.MultiReader(bytes.NewReader(head), body)
	}
	if rules.MaxSize > 0 {
		body = &limited{Reader: body, bucket: b}
	}
	return body, nil
}

// Head refuses an object that begins with head (probe.SniffLen bytes, fewer
// where it is shorter).
func Head(b *metadata.Bucket, contentType string, head []byte) error {
	if len(b.UploadRules.Types) == 0 {
		return nil
	}
	sniffed := probe.Sniff(head)
	if len(head) == 0 {
		sniffed = "empty"
	}
	if err := b.UploadRules.AllowType(contentType, sniffed); err != nil {
		return refused(b, err)
	}
	return nil
}

// both is a refusal for one reason or two, in one line; nil for none.
func both(a, b error) error {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return fmt.Errorf("%w; %w", a, b)
}

func refused(b *metadata.Bucket, err error) error {
	return fmt.Errorf("bucket %s: %w", b.Name, err)
}

// readHead reads the first bytes. io.ReadFull would not tell a short body from
// one that broke off.
func readHead(r io.Reader) ([]byte, error) {
	head := make([]byte, probe.SniffLen)
	n := 0
	for n < len(head) {
		m, err := r.Read(head[n:])
		n += m
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return head[:n], nil
}

// Sniffer keeps the first bytes of the body that is read through it.
type Sniffer struct {
	io.Reader
	head []byte
}

// Read implements io.Reader.
func (s *Sniffer) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if missing := probe.SniffLen - len(s.head); missing > 0 {
		s.head = append(s.head, p[:min(n, missing)]...)
	}
	return n, err
}

// Type is the type of a photo or video by the bytes read so far; "" for all else.
func (s *Sniffer) Type() string { return MediaOf(s.head) }

// MediaOf is the type of a photo or video that begins with head; "" for all else.
func MediaOf(head []byte) string {
	if t := probe.Sniff(head); probe.KindOf(t) != "" {
		return t
	}
	return ""
}

// limited fails where more comes than the bucket takes. The error is kept, since
// stores do not all pass on what their reader said.
type limited struct {
	io.Reader
	bucket *metadata.Bucket
	n      int64
	err    error
}

func (l *limited) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.Reader.Read(p)
	l.n += int64(n)
	if tooLarge := l.bucket.UploadRules.AllowSize(l.n); tooLarge != nil {
		l.err = refused(l.bucket, tooLarge)
		return 0, l.err
	}
	return n, err
}

// Blame is err, or why body, of Body, refused to be read further, if it did.
func Blame(body io.Reader, err error) error {
	if l, ok := body.(*limited); ok && err != nil && l.err != nil {
		return l.err
	}
	return err
}
