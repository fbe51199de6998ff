package httpcache

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// Field is one line of a header.
type Field struct{ Name, Value string }

// Fields are the lines of a header, sorted by name, lines of one name in order.
type Fields []Field

// Get returns the first value of a field, "" if there is none. The name must be
// in canonical form.
func (fs Fields) Get(name string) string {
	i, ok := slices.BinarySearchFunc(fs, name, func(f Field, name string) int { return cmp.Compare(f.Name, name) })
	if !ok {
		return ""
	}
	return fs[i].Value
}

// Values returns all values of a field.
func (fs Fields) Values(name string) []string {
	var values []string
	for _, f := range fs {
		if f.Name == name {
			values = append(values, f.Value)
		}
	}
	return values
}

// CopyTo adds the fields to h, over what h has of the same names.
func (fs Fields) CopyTo(h http.Header) {
	values := make([]string, len(fs)) // one allocation for all lines
	for i := 0; i < len(fs); {
		j := i
		for j < len(fs) && fs[j].Name == fs[i].Name {
			values[j] = fs[j].Value
			j++
		}
		h[fs[i].Name] = values[i:j:j]
		i = j
	}
}

// Header returns the fields as net/http has them.
func (fs Fields) Header() http.Header {
	h := make(http.Header, len(fs))
	fs.CopyTo(h)
	return h
}

// hopByHop are the fields that concern one connection only: those of RFC 9110,
// section 7.6.1, and what is like them: where else an origin answers (Alt-Svc) is
// nothing that our clients could go by.
var hopByHop = [...]string{
	"Alt-Svc", "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// StoredFields are the fields of an answer that a cache keeps: all but those of
// the connection, those that Connection names, those that no-cache or private
// name (RFC 9111, sections 3.1 and 5.2.2), Age and Content-Length, which are told
// anew each time, and those named in drop, in canonical form.
func StoredFields(h http.Header, drop ...string) Fields {
	named := map[string]bool{"Age": true, "Content-Length": true, "Content-Range": true}
	for _, name := range hopByHop {
		named[name] = true
	}
	for _, name := range drop {
		named[name] = true
	}
	for _, name := range FieldNames(h["Connection"]...) {
		named[name] = true
	}
	ds, _ := control(h)
	for _, directive := range [...]string{"no-cache", "private"} {
		for _, name := range ds.Fields(directive) {
			named[name] = true
		}
	}
	fs := make(Fields, 0, len(h))
	for name, values := range h {
		if named[name] {
			continue
		}
		for _, v := range values {
			fs = append(fs, Field{name, v})
		}
	}
	slices.SortStableFunc(fs, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return fs
}

// Update is fs after a 304 brought fresh (RFC 9111, section 3.2): its fields
// replace those of the same name, but for what describes a body it does not have.
func (fs Fields) Update(fresh Fields) Fields {
	replaced := make(map[string]bool, len(fresh))
	for _, f := range fresh {
		replaced[f.Name] = !describesBody(f.Name)
	}
	out := make(Fields, 0, len(fs)+len(fresh))
	for _, f := range fs {
		if !replaced[f.Name] {
			out = append(out, f)
		}
	}
	for _, f := range fresh {
		if replaced[f.Name] {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func describesBody(name string) bool {
	switch name {
	case "Content-Encoding", "Content-Length", "Content-Range", "Content-Type":
		return true
	}
	return false
}
