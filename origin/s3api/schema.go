package s3api

import (
	"encoding"
	"encoding/xml"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// schema is what a document may hold: the elements for which there is a place in
// the value that it is read into. S3 refuses any other, and one that comes twice
// where there is room for one. encoding/xml passes over both, by which a filter
// that is misspelt would select everything, and a key's version that is misspelt
// name the current one.
type schema struct {
	any      bool // whatever is in it
	elements map[string]*element
}

type element struct {
	schema
	many bool
}

// schemaOf is that of values of type t, by the rules of encoding/xml. A struct
// without fields takes whatever there is, as one does with a field ",any" for what
// it does not know.
func schemaOf(t reflect.Type) schema {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	p := reflect.PointerTo(t)
	if t.Kind() != reflect.Struct || p.Implements(reflect.TypeFor[xml.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return schema{}
	}
	s := schema{any: t.NumField() == 0, elements: map[string]*element{}}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("xml"), ",")
		switch {
		case f.Name == "XMLName" || name == "-" || !f.IsExported():
			continue
		case options == "any":
			s.any = true
			continue
		case options != "" && options != "omitempty": // no element
			continue
		case name == "":
			name = f.Name
		}
		at := &s
		for {
			outer, inner, deeper := strings.Cut(name, ">")
			e := at.elements[outer]
			if e == nil {
				e = &element{schema: schema{elements: map[string]*element{}}}
				at.elements[outer] = e
			}
			if !deeper {
				e.schema, e.many = schemaOf(f.Type), f.Type.Kind() == reflect.Slice
				break
			}
			at, name = &e.schema, inner
		}
	}
	return s
}

// schemaReader reads tokens of a document and holds its elements against a schema.
type schemaReader struct {
	from *xml.Decoder
	open []place // root first
	root schema
}

type place struct {
	schema
	seen map[string]bool
}

var errNoPlace = errors.New("there is no place for the element")

// Token implements xml.TokenReader.
func (s *schemaReader) Token() (xml.Token, error) {
	t, err := s.from.RawToken()
	switch t := t.(type) {
	case xml.StartElement:
		if err := s.enter(t.Name.Local); err != nil {
			return nil, err
		}
	case xml.EndElement:
		if len(s.open) > 0 { // who reads these tokens finds what does not match
			s.open = s.open[:len(s.open)-1]
		}
	}
	return t, err
}

func (s *schemaReader) enter(name string) error {
	if len(s.open) == 0 {
		s.open = append(s.open, place{schema: s.root})
		return nil
	}
	at := &s.open[len(s.open)-1]
	e := at.elements[name]
	switch {
	case e == nil && at.any:
		e = &element{schema: schema{any: true}, many: true}
	case e == nil, !e.many && at.seen[name]:
		return fmt.Errorf("%w %.60q", errNoPlace, name)
	}
	if !e.many {
		if at.seen == nil {
			at.seen = map[string]bool{}
		}
		at.seen[name] = true
	}
	s.open = append(s.open, place{schema: e.schema})
	return nil
}
