package s3api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// postPolicy says what a form may upload: conditions on its fields, and until
// when. Whoever signed it need not know the form.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
type postPolicy struct {
	expires    time.Time
	conditions []postCondition
	// least and most bound the file, in bytes; most is -1 where it is not.
	least, most int64
}

// postCondition wants a field to equal value, or to begin with it.
type postCondition struct {
	text   string // as the policy has it, for the client to read
	field  string // lower case
	value  string
	prefix bool
	never  bool // it holds for no form
}

// maxConditions bounds what a policy may cost.
const maxConditions = 200

// parsePolicy reads a policy as the form carries it, in base64.
func parsePolicy(encoded string) (*postPolicy, error) {
	if encoded == "" {
		return nil, badPolicy("Invalid Policy: Expecting '{' but found End-of-Input")
	}
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, badPolicy("Invalid Policy: invalid Base64 encoding.")
	}
	var doc map[string]json.RawMessage
	if json.Unmarshal(text, &doc) != nil || doc == nil {
		return nil, errPolicyJSON
	}
	for name := range doc {
		if name != "expiration" && name != "conditions" {
			return nil, badPolicy("Invalid Policy: Unexpected: %q", asUTF8(name))
		}
	}
	var expiration string
	var conditions []json.RawMessage
	switch {
	case doc["expiration"] == nil:
		return nil, badPolicy("Invalid Policy: Policy missing expiration.")
	case json.Unmarshal(doc["expiration"], &expiration) != nil:
		return nil, errPolicyJSON
	case doc["conditions"] == nil:
		return nil, badPolicy("Invalid Policy: Policy missing conditions.")
	case json.Unmarshal(doc["conditions"], &conditions) != nil || conditions == nil:
		return nil, badPolicy("Invalid Policy: Invalid 'conditions' value: must be a List.")
	case len(conditions) > maxConditions:
		return nil, badPolicy("Invalid Policy: it has more than %d conditions.", maxConditions)
	}
	p := &postPolicy{most: -1}
	if p.expires, err = time.Parse(time.RFC3339, expiration); err != nil {
		return nil, badPolicy("Invalid Policy: Invalid 'expiration' value: '%.60s'", asUTF8(expiration))
	}
	for _, raw := range conditions {
		if err := p.add(raw); err != nil {
			return nil, err
		}
	}
	return p, nil
}

var errPolicyJSON = badPolicy("Invalid Policy: Invalid JSON.")

func badPolicy(format string, args ...any) error {
	return refuse(errInvalidPolicyDocument, format, args...)
}

// add reads one condition: {"field": "value"}, ["eq" or "starts-with", "$field",
// "value"] or ["content-length-range", least, most].
func (p *postPolicy) add(raw json.RawMessage) error {
	var simple map[string]any
	if json.Unmarshal(raw, &simple) == nil && simple != nil {
		if len(simple) != 1 {
			return badPolicy("Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
		}
		for field, v := range simple {
			value, ok := v.(string)
			if !ok {
				return badPolicy("Invalid Policy: Invalid Simple-Condition: value must be a string.")
			}
			text := fmt.Sprintf("[%q, %q, %q]", "eq", "$"+field, value)
			p.conditions = append(p.conditions, postCondition{text: text, field: strings.ToLower(field), value: value})
		}
		return nil
	}
	var list []any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&list) != nil || list == nil {
		return badPolicy("Invalid Policy: Invalid condition test: must be a List or Object.")
	}
	if len(list) == 0 {
		return badPolicy("Invalid Policy: Invalid Condition: missing operation identifier.")
	}
	given, _ := list[0].(string)
	op := strings.ToLower(given)
	switch {
	case op != "eq" && op != "starts-with" && op != "content-length-range":
		return badPolicy("Invalid Policy: Invalid Condition: unknown operation '%.60s'.", asUTF8(given))
	case len(list) != 3:
		return badPolicy("Invalid Policy: Invalid %s: wrong number of arguments.", op)
	}
	if op == "content-length-range" {
		least, ok1 := policyNumber(list[1])
		most, ok2 := policyNumber(list[2])
		if !ok1 || !ok2 || least < 0 || most < least {
			return errPolicyJSON
		}
		if p.most < 0 || most < p.most { // several must hold together
			p.most = most
		}
		p.least = max(p.least, least)
		return nil
	}
	name, ok1 := list[1].(string)
	value, ok2 := list[2].(string)
	if !ok1 || !ok2 {
		return errPolicyJSON
	}
	text := string(raw)
	var compact bytes.Buffer
	if json.Compact(&compact, raw) == nil {
		text = compact.String()
	}
	// A name without "$" is that of no field, and its condition holds for none.
	field, dollar := strings.CutPrefix(name, "$")
	p.conditions = append(p.conditions, postCondition{
		text: text, field: strings.ToLower(field), value: value, prefix: op == "starts-with", never: !dollar || field == "",
	})
	return nil
}

// policyNumber reads a number, or one in quotes.
func policyNumber(v any) (int64, bool) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = v
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// uncovered are the fields that need no condition.
var uncovered = []string{"x-amz-signature", "file", "policy", "awsaccesskeyid", "signature"}

// check refuses a form that the policy does not allow. fields are by lower-case
// name; that of the bucket is the bucket of the URL.
func (p *postPolicy) check(fields map[string]string, now time.Time) error {
	if !now.Before(p.expires) {
		return refuse(errAccessDenied, "Invalid according to Policy: Policy expired.")
	}
	covered := map[string]bool{}
	for _, c := range p.conditions {
		covered[c.field] = true
		if c.never || !c.holds(fields[c.field]) {
			return refuse(errAccessDenied, "Invalid according to Policy: Policy Condition failed: %s", asUTF8(c.text))
		}
	}
	var extra []string
	for name := range fields {
		if !covered[name] && !slices.Contains(uncovered, name) && !strings.HasPrefix(name, "x-ignore-") {
			extra = append(extra, asUTF8(name))
		}
	}
	if len(extra) > 0 {
		slices.Sort(extra)
		return refuse(errAccessDenied, "Invalid according to Policy: Extra input fields: %s", strings.Join(extra, ", "))
	}
	return nil
}

func (c *postCondition) holds(value string) bool {
	if !c.prefix {
		return value == c.value
	}
	if c.field != "content-type" {
		return strings.HasPrefix(value, c.value)
	}
	// Of a list of types every one must.
	for one := range strings.SplitSeq(value, ",") {
		if !strings.HasPrefix(strings.TrimSpace(one), c.value) {
			return false
		}
	}
	return true
}

// allowSize refuses a file of n bytes, or one that has n so far.
func (p *postPolicy) allowSize(n int64, whole bool) error {
	switch {
	case p.most >= 0 && n > p.most:
		return refuse(errEntityTooLarge, "").
			with("ProposedSize", strconv.FormatInt(n, 10)).with("MaxSizeAllowed", strconv.FormatInt(p.most, 10))
	case whole && n < p.least:
		return refuse(errEntityTooSmall, "").
			with("ProposedSize", strconv.FormatInt(n, 10)).with("MinSizeAllowed", strconv.FormatInt(p.least, 10))
	}
	return nil
}
