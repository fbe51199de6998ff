package tus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"meridian/metadata"
	"meridian/upload"
)

const (
	mib = 1 << 20
	// maxPart is the greatest part that S3 takes.
	maxPart = 5 << 30
	// deferredStep is after how many parts they double in size, while nobody
	// knows how many will come: ten doublings from 8 MiB reach 8 TiB.
	deferredStep = upload.MaxParts / 10
)

// partSize is how large the next part should be where parts are recorded already
// and hold the first at bytes of an object of the given length (-1: unknown).
func partSize(base int64, parts int, at, length int64) int64 {
	if length < 0 {
		return min(base<<(parts/deferredStep), maxPart)
	}
	slots := int64(max(upload.MaxParts-parts, 1))
	need := (length - at + slots - 1) / slots
	if need <= base {
		return base
	}
	return min((need+mib-1)/mib*mib, maxPart)
}

// WriteChunk keeps what comes of src: as parts, and what is too short for a part
// of its own as the tail in the catalogue. Without a checksum each part counts
// as soon as it is stored; with one, all of it or nothing, when the last byte
// has come. The end of src may be that of the body or of its connection.
func (f *file) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	n, err := f.write(ctx, src)
	f.tell()
	return n, answer(err)
}

func (f *file) write(ctx context.Context, src io.Reader) (int64, error) {
	s, err := newSpool(f.Dir)
	if err != nil {
		return 0, err
	}
	defer s.close()
	d := f.req.digest
	if d != nil {
		src = io.TeeReader(src, d.hash)
	}
	start := f.state.Offset
	w := &writer{file: f, next: f.state, spool: s}
	for more := true; more && err == nil; {
		more, err = w.step(ctx, src)
		if d == nil && err == nil {
			err = w.commit(ctx)
		}
	}
	if d != nil && err == nil {
		if err = d.check(); err == nil {
			err = w.commit(ctx)
		}
	}
	w.drop(ctx)
	return f.state.Offset - start, err
}

// flush stores the tail as the last part; an empty one where there are no parts
// at all.
func (f *file) flush(ctx context.Context) error {
	w := &writer{file: f, next: f.state}
	err := w.store(ctx, http.NoBody, 0)
	if err == nil {
		err = w.commit(ctx)
	}
	w.drop(ctx)
	return err
}

// writer adds to a file: next is what it will be when it is committed.
type writer struct {
	*file
	next  metadata.Resumable
	spool *spool
	parts []metadata.Part // stored, not recorded
	tail  []byte          // read, not recorded
}

// step reads up to a part's worth and stores it where that is enough for a part.
// more says whether there may be more to come.
func (w *writer) step(ctx context.Context, src io.Reader) (more bool, err error) {
	size := partSize(w.PartSize, w.next.Parts, w.next.Offset-w.next.Tail, w.next.Length)
	room := size - w.next.Tail
	err = w.spool.fill(src, room)
	n := w.spool.size
	if n == 0 {
		return false, err
	}
	more = err == nil && n == room
	if grown := metadata.ResumableHead - int64(len(w.next.Head)); grown > 0 && w.next.Offset == int64(len(w.next.Head)) {
		first, e := w.spool.first(grown)
		if e != nil {
			return false, e
		}
		w.next.Head = append(bytes.Clone(w.next.Head), first...)
	}
	w.next.Offset += n
	if total := w.next.Tail + n; total >= w.Uploads.MinPart || w.next.Offset == w.next.Length {
		return more, errors.Join(err, w.store(ctx, w.spool.open(), n))
	}
	tail, e := w.spool.first(n)
	w.tail = tail
	w.next.Tail += n
	return false, errors.Join(err, e)
}

// store makes a part of the tail and of n bytes of body.
func (w *writer) store(ctx context.Context, body io.Reader, n int64) error {
	number := w.next.Parts + 1
	if number > upload.MaxParts {
		return refuse(http.StatusRequestEntityTooLarge, "too-many-parts",
			"the upload came in more than %d pieces; begin again and send more bytes in each request", upload.MaxParts)
	}
	if w.next.Tail > 0 {
		tail, err := w.Catalog.ResumableTail(ctx, w.state.ID)
		if err != nil {
			return err
		}
		if int64(len(tail)) != w.next.Tail {
			return metadata.ErrNotHeld // it has moved on
		}
		if tail, err = w.Uploads.Mask(&w.upload, w.next.Offset-n-w.next.Tail, tail); err != nil {
			return err
		}
		body = io.MultiReader(bytes.NewReader(tail), body)
	}
	p, err := w.Uploads.StorePart(ctx, w.upload, number, w.next.Tail+n, body, nil, nil)
	if err != nil {
		return err
	}
	w.parts = append(w.parts, p)
	w.next.Parts, w.next.Tail = number, 0
	return nil
}

// commit records what was stored since the last time.
func (w *writer) commit(ctx context.Context) error {
	if len(w.parts) == 0 && len(w.tail) == 0 {
		return nil
	}
	tail, err := w.Uploads.Mask(&w.upload, w.next.Offset-int64(len(w.tail)), w.tail)
	if err != nil {
		return err
	}
	a := metadata.Advance{
		From: w.state.Offset, To: w.next.Offset, Parts: w.parts, Tail: tail, Expires: w.Now().UTC().Add(w.Expiry),
	}
	if len(w.next.Head) > len(w.state.Head) {
		if a.Head, err = w.Uploads.Mask(&w.upload, 0, w.next.Head); err != nil {
			return err
		}
	}
	replaced, err := w.Catalog.AdvanceResumable(ctx, w.state.ID, w.req.holder, a)
	if err != nil {
		if !errors.Is(err, metadata.ErrNotHeld) && !errors.Is(err, metadata.ErrNoSuchUpload) {
			w.parts = nil // it may have been recorded
		}
		return err
	}
	for _, p := range replaced {
		w.Uploads.DropPart(ctx, w.upload, p)
	}
	w.next.Expires = a.Expires
	w.state, w.parts, w.tail = w.next, nil, nil
	return nil
}

// drop frees what was stored and will not be recorded.
func (w *writer) drop(ctx context.Context) {
	for _, p := range w.parts {
		w.Uploads.DropPart(ctx, w.upload, p)
	}
	w.parts = nil
}
