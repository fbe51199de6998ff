package httpcache

import (
	"encoding/base64"
	"errors"
	"strings"
)

// errStructured says that a field is not a structured field (RFC 9651), all of
// which is to be ignored then.
var errStructured = errors.New("malformed structured field")

// item is an Item of RFC 9651 with its parameters. Its value is a bool, int64,
// float64, string, token, []byte, or, in a dictionary or list, an innerList.
type item struct {
	value  any
	params []param
}

type (
	token     string
	date      int64
	innerList []item
)

type param struct {
	key   string
	value any
}

type member struct {
	key  string
	item item
}

// scanner reads structured fields as section 4.2 of RFC 9651 tells.
type scanner struct {
	s string
	i int
}

func (p *scanner) done() bool { return p.i >= len(p.s) }

// peek returns the next byte, or 0, which appears in no field.
func (p *scanner) peek() byte {
	if p.done() {
		return 0
	}
	return p.s[p.i]
}

func (p *scanner) skip(set string) {
	for !p.done() && strings.IndexByte(set, p.s[p.i]) >= 0 {
		p.i++
	}
}

// next goes to the next member of a list; false at its end.
func (p *scanner) next() (bool, error) {
	p.skip(" \t")
	if p.done() {
		return false, nil
	}
	if p.peek() != ',' {
		return false, errStructured
	}
	p.i++
	p.skip(" \t")
	if p.done() {
		return false, errStructured // a comma at the end
	}
	return true, nil
}

// parseList reads a List.
func parseList(s string) ([]item, error) {
	p := &scanner{s: s}
	p.skip(" ")
	var items []item
	for more := !p.done(); more; {
		it, err := p.member()
		if err != nil {
			return nil, err
		}
		items = append(items, it)
		if more, err = p.next(); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// parseDictionary reads a Dictionary. Of a key that comes twice, the last value
// counts, in the place of the first.
func parseDictionary(s string) ([]member, error) {
	p := &scanner{s: s}
	p.skip(" ")
	var members []member
	for more := !p.done(); more; {
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		var it item
		if p.peek() == '=' {
			p.i++
			it, err = p.member()
		} else {
			it.value = true
			it.params, err = p.params()
		}
		if err != nil {
			return nil, err
		}
		members = setMember(members, member{key, it})
		if more, err = p.next(); err != nil {
			return nil, err
		}
	}
	return members, nil
}

func setMember(members []member, m member) []member {
	for i := range members {
		if members[i].key == m.key {
			members[i] = m
			return members
		}
	}
	return append(members, m)
}

func (p *scanner) member() (it item, err error) {
	if p.peek() != '(' {
		return p.item()
	}
	p.i++
	list := innerList{}
	for {
		p.skip(" ")
		if p.peek() == ')' {
			p.i++
			it.value = list
			it.params, err = p.params()
			return it, err
		}
		inner, err := p.item()
		if err != nil {
			return it, err
		}
		list = append(list, inner)
		if c := p.peek(); c != ' ' && c != ')' {
			return it, errStructured
		}
	}
}

func (p *scanner) item() (it item, err error) {
	if it.value, err = p.bare(); err != nil {
		return it, err
	}
	it.params, err = p.params()
	return it, err
}

func (p *scanner) params() ([]param, error) {
	var params []param
next:
	for p.peek() == ';' {
		p.i++
		p.skip(" ")
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		var value any = true
		if p.peek() == '=' {
			p.i++
			if value, err = p.bare(); err != nil {
				return nil, err
			}
		}
		for i := range params {
			if params[i].key == key {
				params[i].value = value
				continue next
			}
		}
		params = append(params, param{key, value})
	}
	return params, nil
}

func (p *scanner) key() (string, error) {
	start := p.i
	if c := p.peek(); c != '*' && (c < 'a' || c > 'z') {
		return "", errStructured
	}
	for !p.done() {
		c := p.s[p.i]
		if !('a' <= c && c <= 'z' || isDigit(c) || strings.IndexByte("_-.*", c) >= 0) {
			break
		}
		p.i++
	}
	return p.s[start:p.i], nil
}

func (p *scanner) bare() (any, error) {
	switch c := p.peek(); {
	case c == '-' || isDigit(c):
		return p.number()
	case c == '"':
		p.i++
		return p.text()
	case c == '*' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		start := p.i
		for !p.done() && (isTokenByte(p.s[p.i]) || p.s[p.i] == ':' || p.s[p.i] == '/') {
			p.i++
		}
		return token(p.s[start:p.i]), nil
	case c == ':':
		encoded, _, ok := strings.Cut(p.s[p.i+1:], ":")
		if !ok {
			return nil, errStructured
		}
		p.i += len(encoded) + 2
		b, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || strings.ContainsAny(encoded, "\r\n") {
			return nil, errStructured
		}
		return b, nil
	case c == '?':
		p.i++
		b := p.peek()
		if b != '0' && b != '1' {
			return nil, errStructured
		}
		p.i++
		return b == '1', nil
	case c == '@':
		p.i++
		n, err := p.number()
		if seconds, ok := n.(int64); ok && err == nil {
			return date(seconds), nil
		}
	}
	return nil, errStructured
}

// number reads an Integer of at most 15 digits, or a Decimal of at most 12 and 3.
func (p *scanner) number() (any, error) {
	sign := int64(1)
	if p.peek() == '-' {
		p.i++
		sign = -1
	}
	start := p.i
	var n int64
	for isDigit(p.peek()) {
		if p.i-start == 15 {
			return nil, errStructured
		}
		n = n*10 + int64(p.s[p.i]-'0')
		p.i++
	}
	digits := p.i - start
	if digits == 0 {
		return nil, errStructured
	}
	if p.peek() != '.' {
		return sign * n, nil
	}
	p.i++
	fraction, scale := p.i, 1.0
	for isDigit(p.peek()) {
		n = n*10 + int64(p.s[p.i]-'0')
		scale *= 10
		if p.i++; p.i-fraction > 3 {
			return nil, errStructured
		}
	}
	if p.i == fraction || digits > 12 {
		return nil, errStructured
	}
	return float64(sign*n) / scale, nil
}

func (p *scanner) text() (any, error) {
	var b strings.Builder
	for !p.done() {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			return b.String(), nil
		case c == '\\':
			if c = p.peek(); c != '"' && c != '\\' {
				return nil, errStructured
			}
			p.i++
		case c < 0x20 || c > 0x7e:
			return nil, errStructured
		}
		b.WriteByte(c)
	}
	return nil, errStructured
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
