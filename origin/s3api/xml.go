package s3api

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	xmlHeader    = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	xmlNamespace = "http://s3.amazonaws.com/doc/2006-03-01/"
	// timeLayout is how S3 writes times in XML: UTC, milliseconds.
	timeLayout = "2006-01-02T15:04:05.000Z"
)

// document writes an XML answer. encoding/xml is not used for writing: it
// replaces control characters, which keys may hold, and a page of a thousand
// keys costs it several times as much.
type document struct {
	buf  bytes.Buffer
	root string
}

// newDocument begins an answer whose root element is in the namespace of S3.
func newDocument(root string) *document { return newDocumentIn(xmlNamespace, root) }

// newDocumentIn begins an answer whose root element is in a namespace.
func newDocumentIn(namespace, root string) *document {
	d := &document{root: root}
	d.buf.WriteString(xmlHeader + "<" + root + ` xmlns="` + namespace + `">`)
	return d
}

// newPlainDocument begins an answer whose root element is in no namespace.
func newPlainDocument(root string) *document {
	d := &document{root: root}
	d.buf.WriteString(xmlHeader + "<" + root + ">")
	return d
}

// bytes ends the root element.
func (d *document) bytes() []byte {
	d.end(d.root)
	return d.buf.Bytes()
}

func (d *document) start(name string) {
	d.buf.WriteByte('<')
	d.buf.WriteString(name)
	d.buf.WriteByte('>')
}

func (d *document) end(name string) {
	d.buf.WriteString("</")
	d.buf.WriteString(name)
	d.buf.WriteByte('>')
}

func (d *document) elem(name, value string) {
	d.start(name)
	escapeXML(&d.buf, value)
	d.end(name)
}

// optional writes the element unless value is empty.
func (d *document) optional(name, value string) {
	if value != "" {
		d.elem(name, value)
	}
}

func (d *document) number(name string, n int64)     { d.elem(name, strconv.FormatInt(n, 10)) }
func (d *document) boolean(name string, b bool)     { d.elem(name, strconv.FormatBool(b)) }
func (d *document) time(name string, t time.Time)   { d.elem(name, t.UTC().Format(timeLayout)) }
func (d *document) etag(v string)                   { d.elem("ETag", `"`+v+`"`) }
func (d *document) group(name string, inner func()) { d.start(name); inner(); d.end(name) }

// escapeXML writes s as character data. Control characters become character
// references, as S3 does it: XML 1.0 has no form for them, and dropping them
// would name another key.
func escapeXML(buf *bytes.Buffer, s string) {
	from := 0
	for i := 0; i < len(s); {
		var esc string
		width := 1
		switch c := s[i]; {
		case c == '&':
			esc = "&amp;"
		case c == '<':
			esc = "&lt;"
		case c == '>':
			esc = "&gt;"
		case c == '"':
			esc = "&quot;"
		case c == '\'':
			esc = "&#39;"
		case c < 0x20 || c == 0x7f:
			esc = "&#x" + strconv.FormatUint(uint64(c), 16) + ";"
		case c < utf8.RuneSelf:
		default:
			var r rune
			r, width = utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && width == 1:
				esc = "\uFFFD"
			case r == 0xFFFE || r == 0xFFFF:
				esc = "&#x" + strconv.FormatUint(uint64(r), 16) + ";"
			}
		}
		if esc != "" {
			buf.WriteString(s[from:i])
			buf.WriteString(esc)
			from = i + width
		}
		i += width
	}
	buf.WriteString(s[from:])
}

// parseXML reads one document with the given root element into v: nothing may
// come after it, the namespace, where one is given, must be that of S3, and every
// element must have its place in v.
func parseXML(body []byte, root string, v any) error {
	dec := xml.NewTokenDecoder(&schemaReader{from: xml.NewDecoder(bytes.NewReader(body)), root: schemaOf(reflect.TypeOf(v))})
	for {
		tok, err := dec.Token()
		if err != nil {
			return because(errMalformedXML, fmt.Errorf("read %s: %w", root, err))
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			if _, directive := tok.(xml.Directive); directive {
				return because(errMalformedXML, errors.New("document type declaration"))
			}
			continue
		}
		if start.Name.Local != root || (start.Name.Space != "" && start.Name.Space != xmlNamespace) {
			return because(errMalformedXML, fmt.Errorf("root element is %q, not %q", start.Name.Local, root))
		}
		if err := dec.DecodeElement(v, &start); err != nil {
			return because(errMalformedXML, fmt.Errorf("read %s: %w", root, err))
		}
		break
	}
	for {
		switch tok, err := dec.Token(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return because(errMalformedXML, err)
		default:
			switch t := tok.(type) {
			case xml.Comment, xml.ProcInst:
			case xml.CharData:
				if len(bytes.TrimSpace(t)) > 0 {
					return because(errMalformedXML, errors.New("text after the document"))
				}
			default:
				return because(errMalformedXML, errors.New("element after the document"))
			}
		}
	}
}
