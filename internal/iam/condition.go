package iam

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// condition is one key of one operator: it holds where a value of the request
// compares to one of values.
type condition struct {
	op         operator
	quantifier quantifier
	ifExists   bool
	name, key  string // as the policy has it, and as keyName has it
	values     []pattern
}

// kind is how values are compared.
type kind int

const (
	kindString kind = iota
	kindFolded      // without regard to case
	kindLike
	kindNumber
	kindDate
	kindBool
	kindBinary
	kindIP
	kindARN
	kindNull
)

// operator is a kind of comparison, for ordered kinds with the outcomes of a
// comparison of the request to the policy for which it holds.
type operator struct {
	kind    kind
	negated bool
	holds   [3]bool // less, equal, greater
}

var (
	equal          = [3]bool{false, true, false}
	less           = [3]bool{true, false, false}
	lessOrEqual    = [3]bool{true, true, false}
	greater        = [3]bool{false, false, true}
	greaterOrEqual = [3]bool{false, true, true}
)

var operators = map[string]operator{
	"StringEquals":              {kind: kindString},
	"StringNotEquals":           {kind: kindString, negated: true},
	"StringEqualsIgnoreCase":    {kind: kindFolded},
	"StringNotEqualsIgnoreCase": {kind: kindFolded, negated: true},
	"StringLike":                {kind: kindLike},
	"StringNotLike":             {kind: kindLike, negated: true},
	"NumericEquals":             {kind: kindNumber, holds: equal},
	"NumericNotEquals":          {kind: kindNumber, holds: equal, negated: true},
	"NumericLessThan":           {kind: kindNumber, holds: less},
	"NumericLessThanEquals":     {kind: kindNumber, holds: lessOrEqual},
	"NumericGreaterThan":        {kind: kindNumber, holds: greater},
	"NumericGreaterThanEquals":  {kind: kindNumber, holds: greaterOrEqual},
	"DateEquals":                {kind: kindDate, holds: equal},
	"DateNotEquals":             {kind: kindDate, holds: equal, negated: true},
	"DateLessThan":              {kind: kindDate, holds: less},
	"DateLessThanEquals":        {kind: kindDate, holds: lessOrEqual},
	"DateGreaterThan":           {kind: kindDate, holds: greater},
	"DateGreaterThanEquals":     {kind: kindDate, holds: greaterOrEqual},
	"Bool":                      {kind: kindBool},
	"BinaryEquals":              {kind: kindBinary},
	"IpAddress":                 {kind: kindIP},
	"NotIpAddress":              {kind: kindIP, negated: true},
	"ArnEquals":                 {kind: kindARN},
	"ArnLike":                   {kind: kindARN},
	"ArnNotEquals":              {kind: kindARN, negated: true},
	"ArnNotLike":                {kind: kindARN, negated: true},
	"Null":                      {kind: kindNull},
}

// quantifier is what a condition wants of a key with several values.
type quantifier int

const (
	single quantifier = iota
	forAnyValue
	forAllValues
)

// parseOperator reads an operator with what may stand before and behind it.
func parseOperator(s string) (c condition, ok bool) {
	name := s
	if rest, found := strings.CutPrefix(name, "ForAnyValue:"); found {
		name, c.quantifier = rest, forAnyValue
	} else if rest, found := strings.CutPrefix(name, "ForAllValues:"); found {
		name, c.quantifier = rest, forAllValues
	}
	if rest, found := strings.CutSuffix(name, "IfExists"); found {
		name, c.ifExists = rest, true
	}
	c.op, ok = operators[name]
	return c, ok && (c.op.kind != kindNull || !c.ifExists && c.quantifier == single)
}

// parseConditions reads {"operator": {"key": value or [values]}}.
func parseConditions(raw json.RawMessage, variables bool) ([]condition, error) {
	blocks, err := members(raw)
	if err != nil {
		return nil, errJSON
	}
	var all []condition
	for _, b := range blocks {
		template, ok := parseOperator(b.name)
		if !ok {
			return nil, Error("Invalid Condition type : " + b.name)
		}
		keys, err := members(b.value)
		if err != nil {
			return nil, errJSON
		}
		for _, k := range keys {
			values, err := stringsOf(k.value)
			if err != nil || k.name == "" {
				return nil, errJSON
			}
			c := template
			c.name, c.key = k.name, keyName(k.name)
			if err := c.setValues(values, variables); err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	return all, nil
}

func (c *condition) setValues(values []string, variables bool) error {
	text := c.op.kind == kindString || c.op.kind == kindFolded || c.op.kind == kindLike || c.op.kind == kindARN
	wild := c.op.kind == kindLike || c.op.kind == kindARN
	for _, v := range values {
		if !c.op.kind.valid(v) {
			return c.op.kind.refuse()
		}
		p, ok := compile(v, wild, variables && text)
		if !ok {
			return errVariable
		}
		c.values = append(c.values, p)
	}
	return nil
}

// valid says whether a value of a policy can be compared so at all.
func (k kind) valid(v string) bool {
	var err error
	ok := true
	switch k {
	case kindNumber:
		_, ok = number(v)
	case kindDate:
		_, ok = date(v)
	case kindBool, kindNull:
		ok = strings.EqualFold(v, "true") || strings.EqualFold(v, "false")
	case kindBinary:
		_, err = base64.StdEncoding.DecodeString(v)
	case kindIP:
		_, err = parseNetwork(v)
	case kindARN:
		ok = v == "*" || strings.HasPrefix(v, "arn:") || strings.HasPrefix(v, "${")
	case kindString, kindFolded, kindLike:
	}
	return ok && err == nil
}

func (k kind) refuse() Error {
	switch k {
	case kindIP:
		return errIP
	case kindNumber:
		return "Invalid numeric value in Conditions"
	case kindDate:
		return "Invalid date value in Conditions"
	case kindBool, kindNull:
		return "Invalid boolean value in Conditions"
	case kindARN:
		return "Invalid ARN in Conditions"
	default:
		return "Invalid value in Conditions"
	}
}

func (c *condition) uses(prefix string) bool {
	if strings.HasPrefix(c.key, prefix) {
		return true
	}
	for i := range c.values {
		if c.values[i].uses(prefix) {
			return true
		}
	}
	return false
}

// holds says whether the condition is met.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
func (c *condition) holds(ctx Context) bool {
	have, known := ctx[c.key]
	known = known && len(have) > 0
	if c.op.kind == kindNull {
		return c.anyOf(strconv.FormatBool(!known), ctx)
	}
	if !known {
		return c.ifExists || c.quantifier == forAllValues || c.op.negated && c.quantifier == single
	}
	// A negated condition without a quantifier wants that no value compares.
	all := c.quantifier == forAllValues || c.quantifier == single && c.op.negated
	for _, v := range have {
		if met := c.anyOf(v, ctx) != c.op.negated; met != all {
			return met
		}
	}
	return all
}

// anyOf says whether a value of the request compares to any of the policy's.
func (c *condition) anyOf(have string, ctx Context) bool {
	for i := range c.values {
		if c.compare(have, &c.values[i], ctx) {
			return true
		}
	}
	return false
}

func (c *condition) compare(have string, want *pattern, ctx Context) bool {
	switch c.op.kind {
	case kindString, kindLike:
		ok, _ := want.match(have, ctx)
		return ok
	case kindFolded:
		g, known := want.glyphs(ctx)
		return known && strings.EqualFold(plain(g), have)
	case kindARN:
		return matchARN(want, have, ctx)
	case kindNumber:
		a, ok1 := number(have)
		b, ok2 := number(want.text)
		return ok1 && ok2 && c.op.holds[a.Cmp(b)+1]
	case kindDate:
		a, ok1 := date(have)
		b, ok2 := date(want.text)
		return ok1 && ok2 && c.op.holds[a.Compare(b)+1]
	case kindBool, kindNull:
		return strings.EqualFold(have, want.text)
	case kindBinary:
		return have == want.text
	case kindIP:
		a, err1 := parseNetwork(have)
		b, err2 := parseNetwork(want.text)
		return err1 == nil && err2 == nil && b.Contains(a.Addr())
	}
	return false
}

// plain is what glyphs are that stand for themselves.
func plain(g []glyph) string {
	var b strings.Builder
	for _, r := range g {
		b.WriteRune(rune(r))
	}
	return b.String()
}

// matchARN compares part by part: what stands for others does not reach over a
// colon, but for the last part.
func matchARN(want *pattern, have string, ctx Context) bool {
	g, known := want.glyphs(ctx)
	if !known {
		return false
	}
	if len(g) == 1 && g[0] == anything {
		return true
	}
	parts := strings.SplitN(have, ":", 6)
	for i, p := range parts {
		end := len(g)
		if i < 5 {
			end = 0
			for end < len(g) && g[end] != ':' {
				end++
			}
			if i < len(parts)-1 && end == len(g) {
				return false
			}
		}
		if !matchGlyphs(g[:end], p) {
			return false
		}
		g = g[min(end+1, len(g)):]
	}
	return len(g) == 0
}

// number reads a decimal number exactly.
func number(s string) (*big.Rat, bool) {
	// SetString would take fractions, other bases and exponents without bound.
	if s == "" || len(s) > 64 || strings.Trim(s, "+-.0123456789") != "" {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// date reads what AWS calls ISO 8601, or seconds since 1970.
func date(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "20060102T150405Z"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0), err == nil
}

func epoch(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
