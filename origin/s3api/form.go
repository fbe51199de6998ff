package s3api

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

const (
	// maxFormFields is how much may come before the file, as S3 has it.
	maxFormFields = 20 << 10
	// maxFormRaw bounds the same with the headers of the parts.
	maxFormRaw = 256 << 10
	// maxFields is how many fields may come before the file.
	maxFields = 200
)

// form is a form upload as far as its file, which has not been read.
type form struct {
	// fields are by lower-case name; "${filename}" is the file's name in them.
	fields map[string]string
	file   io.Reader
}

// readForm reads a multipart/form-data body up to its file, the last part that
// counts.
func readForm(contentType string, body io.Reader) (*form, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" {
		return nil, refuse(errPreconditionFailed, "").with("Condition", "Bucket POST must be of the enclosure-type multipart/form-data")
	}
	if params["boundary"] == "" {
		return nil, errMalformedPOST
	}
	before := &beforeFile{r: body, left: maxFormRaw}
	parts := multipart.NewReader(before, params["boundary"])
	f := &form{fields: map[string]string{}}
	size := 0
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil, badArgument("file", "0", "POST requires exactly one file upload per request.")
		}
		if err != nil {
			return nil, before.blame(err)
		}
		name := strings.ToLower(part.FormName())
		if name == "file" {
			before.left = -1
			f.file = part
			f.expand(baseName(part))
			return f, nil
		}
		if name == "" {
			return nil, refuse(errMalformedPOST, "A part of the form has no name.")
		}
		value, err := io.ReadAll(io.LimitReader(part, maxFormFields+1))
		if err != nil {
			return nil, before.blame(err)
		}
		if size += len(name) + len(value); size > maxFormFields || len(f.fields) == maxFields {
			return nil, errMaxPostPreData
		}
		if _, twice := f.fields[name]; twice {
			return nil, badArgument(asUTF8(name), "", "The form has this field more than once.")
		}
		f.fields[name] = string(value)
	}
}

// baseName is the name of the part's file without a path, which some browsers
// send.
func baseName(p *multipart.Part) string {
	name := p.FileName()
	return name[strings.LastIndexAny(name, `/\`)+1:]
}

// expand puts the name of the file where fields ask for it.
func (f *form) expand(filename string) {
	for name, value := range f.fields {
		if name != "policy" && name != "x-amz-signature" {
			f.fields[name] = strings.ReplaceAll(value, "${filename}", filename)
		}
	}
}

// tags are those of the field tagging, nil where the form has none.
func (f *form) tags() (map[string]string, error) {
	text := f.fields["tagging"]
	if text == "" {
		return nil, nil
	}
	var t tagging
	if err := parseXML([]byte(text), "Tagging", &t); err != nil {
		return nil, err
	}
	return t.tags(maxTags)
}

// header is the form as the headers of a PUT of the same object.
func (f *form) header() http.Header {
	h := http.Header{}
	for name, value := range f.fields {
		switch {
		case name == "acl":
			h.Set("X-Amz-Acl", value)
		case name == "content-type", name == "content-encoding", name == "content-disposition", name == "content-language",
			name == "cache-control", name == "expires", strings.HasPrefix(name, "x-amz-"):
			h.Set(name, value)
		}
	}
	for _, name := range kept {
		if v := f.fields[name]; v != "" {
			h.Set(name, v)
		}
	}
	return h
}

// beforeFile bounds what is read before the file; left is -1 from there on.
type beforeFile struct {
	r    io.Reader
	left int64
	err  error // of r, or that of the bound
}

func (b *beforeFile) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.err = errMaxPostPreData
		return 0, b.err
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// blame is why the fields could not be read: the client, the bound, or a body
// that is no form.
func (b *beforeFile) blame(err error) error {
	if b.err != nil {
		return b.err
	}
	return because(errMalformedPOST, err)
}
