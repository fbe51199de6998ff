package tus

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	tusd "github.com/tus/tusd/v2/pkg/handler"

	"meridian/internal/hop"
	"meridian/metadata"
	"meridian/upload"
)

var (
	_ tusd.DataStore               = (*Handler)(nil)
	_ tusd.TerminaterDataStore     = (*Handler)(nil)
	_ tusd.LengthDeferrerDataStore = (*Handler)(nil)
	_ tusd.Upload                  = (*file)(nil)
	_ tusd.TerminatableUpload      = (*file)(nil)
	_ tusd.LengthDeclarableUpload  = (*file)(nil)
)

// file is an upload in the hands of one request.
type file struct {
	*Handler
	req    *request
	state  metadata.Resumable
	upload metadata.Upload // not of one that is done
}

// NewUpload makes an upload as admit has checked it.
func (h *Handler) NewUpload(ctx context.Context, info tusd.FileInfo) (tusd.Upload, error) {
	req := requestOf(ctx)
	req.template.Size = info.Size // zero where it is not known
	u, err := h.Uploads.Begin(ctx, req.template, "", "")
	if err != nil {
		return nil, answer(err)
	}
	now := h.Now().UTC().Truncate(time.Millisecond)
	r := metadata.Resumable{
		ID: u.ID, Bucket: req.template.Bucket, Key: req.template.Key, Region: h.Region, Owner: req.who.User, Meta: req.meta,
		Length: info.Size, Created: now, Expires: now.Add(h.Expiry),
	}
	if info.SizeIsDeferred {
		r.Length = -1
	}
	if err := h.Catalog.CreateResumable(ctx, r); err != nil {
		return nil, answer(errors.Join(err, h.Uploads.Abort(ctx, u)))
	}
	f := &file{Handler: h, req: req, state: r, upload: u}
	f.tell()
	return f, nil
}

// GetUpload finds an upload. One of which all bytes are there, and whose
// completion was cut short, is completed first: a client that learns of the last
// offset takes it for done.
func (h *Handler) GetUpload(ctx context.Context, id string) (tusd.Upload, error) {
	r, err := h.Catalog.Resumable(ctx, id)
	if err != nil {
		return nil, answer(err)
	}
	f := &file{Handler: h, req: requestOf(ctx), state: r}
	if !r.Done {
		f.upload, err = h.Catalog.Upload(ctx, r.Bucket, r.Key, r.ID)
		ended := errors.Is(err, metadata.ErrNoSuchUpload)
		if err == nil {
			f.state.Head, err = h.Uploads.Mask(&f.upload, 0, r.Head)
		}
		if err != nil && !ended {
			return nil, answer(err)
		}
		if r.Offset == r.Length || ended {
			if err := f.complete(ctx); err != nil {
				return nil, answer(err)
			}
		}
	}
	f.tell()
	return f, nil
}

// AsTerminatableUpload implements tusd.TerminaterDataStore.
func (h *Handler) AsTerminatableUpload(u tusd.Upload) tusd.TerminatableUpload { return u.(*file) }

// AsLengthDeclarableUpload implements tusd.LengthDeferrerDataStore.
func (h *Handler) AsLengthDeclarableUpload(u tusd.Upload) tusd.LengthDeclarableUpload {
	return u.(*file)
}

// tell writes what the answer says of the upload beside tusd's own.
func (f *file) tell() {
	h := f.req.header
	h.Set("Upload-Expires", f.state.Expires.UTC().Format(http.TimeFormat))
	if !f.state.Done {
		return
	}
	h.Set(hop.Object, objectPath(f.state.Bucket, f.state.Key))
	h.Set(hop.Version, f.state.ID)
	h.Set("ETag", `"`+f.state.ETag+`"`)
	if !f.state.Seq.IsZero() {
		h.Set(hop.Seq, f.state.Seq.String())
	}
}

// GetInfo implements tusd.Upload.
func (f *file) GetInfo(context.Context) (tusd.FileInfo, error) {
	return tusd.FileInfo{
		ID: f.state.ID, Size: max(f.state.Length, 0), SizeIsDeferred: f.state.Length < 0, Offset: f.state.Offset, MetaData: f.state.Meta,
	}, nil
}

// GetReader implements tusd.Upload; downloads are not on offer.
func (f *file) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, tusd.ErrNotImplemented
}

// DeclareLength implements tusd.LengthDeclarableUpload.
func (f *file) DeclareLength(ctx context.Context, length int64) error {
	if err := f.Catalog.SetResumableLength(ctx, f.state.ID, f.req.holder, length); err != nil {
		return answer(err)
	}
	f.state.Length = length
	return nil
}

// Terminate implements tusd.TerminatableUpload.
func (f *file) Terminate(ctx context.Context) error { return answer(f.remove(ctx, f.state)) }

// FinishUpload makes the object.
func (f *file) FinishUpload(ctx context.Context) error {
	if f.state.Done {
		return nil
	}
	if err := f.complete(ctx); err != nil {
		return answer(err)
	}
	f.tell()
	return nil
}

// complete makes the object of an upload of which all bytes are there. Where
// that was done before, it finds the object.
func (f *file) complete(ctx context.Context) error {
	f.req.body.wait()
	v, err := f.object(ctx)
	if errors.Is(err, metadata.ErrNoSuchUpload) {
		v, err = f.made(ctx)
	}
	if err != nil {
		return err
	}
	if err := f.Catalog.FinishResumable(ctx, f.state.ID, v); err != nil {
		return err
	}
	f.state.Done, f.state.ETag, f.state.Seq, f.state.Tail = true, v.ETag, v.Seq, 0
	return nil
}

func (f *file) object(ctx context.Context) (metadata.Version, error) {
	if f.upload.ID == "" {
		return metadata.Version{}, metadata.ErrNoSuchUpload
	}
	if f.state.Tail > 0 || f.state.Parts == 0 { // the length came late, or is zero
		if err := f.flush(ctx); err != nil {
			return metadata.Version{}, err
		}
	}
	var parts []upload.CompletePart
	for p, err := range f.Uploads.Catalog.Parts(ctx, f.state.ID, 0) {
		if err != nil {
			return metadata.Version{}, err
		}
		parts = append(parts, upload.CompletePart{Number: p.Number, ETag: p.ETag})
	}
	u := f.upload
	if u.Template.ContentType == "" {
		u.Template.ContentType = typeOf(f.state.Key, f.state.Head)
	}
	return f.Uploads.Complete(ctx, u, parts, upload.CompleteOptions{Size: f.state.Length})
}

// made finds the version that the upload became, even if it was overwritten
// since.
func (f *file) made(ctx context.Context) (metadata.Version, error) {
	ref := metadata.Ref{Bucket: f.state.Bucket, Key: f.state.Key, VersionID: f.state.ID}
	v, err := f.Catalog.Lookup(ctx, ref)
	if err != nil {
		v, err = f.Catalog.LookupDropped(ctx, ref)
	}
	if err != nil {
		return metadata.Version{}, errors.Join(metadata.ErrNoSuchUpload, err)
	}
	return v, nil
}

// escapeKey writes a key as the path of a URL.
func escapeKey(key string) string { return (&url.URL{Path: "/" + key}).EscapedPath()[1:] }
