package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
)

// Error is why a policy is refused, in the words of AWS where those are known.
type Error string

func (e Error) Error() string { return string(e) }

const (
	errFirstByte = Error("Policies must be valid JSON and the first byte must be '{'")
	errJSON      = Error("This policy contains invalid Json")
	errVersion   = Error("The policy must contain a valid version string")
	errEmpty     = Error("Could not parse the policy: Statement is empty!")
	errPrincipal = Error("Invalid principal in policy")
	errAction    = Error("Policy has invalid action")
	errResource  = Error("Policy has invalid resource")
	errVariable  = Error("Policy has an invalid variable")
	errIP        = Error("Invalid IP address in Conditions")
)

// Versions of the language. Variables came with the newer one.
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Parse reads a policy. What is wrong with it is told by an Error. Whether it may
// be that of a bucket is for CheckBucketPolicy to say, or that of a user for
// CheckIdentityPolicy.
func Parse(text []byte) (*Policy, error) {
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' {
		return nil, errFirstByte
	}
	top, err := members(text)
	if err != nil {
		return nil, errJSON
	}
	var raw json.RawMessage
	variables := false
	for _, m := range top {
		switch m.name {
		case "Version":
			v, err := oneString(m.value)
			if err != nil || v != version2008 && v != version2012 {
				return nil, errVersion
			}
			variables = v == version2012
		case "Id":
			if _, err := oneString(m.value); err != nil {
				return nil, errJSON
			}
		case "Statement":
			raw = m.value
		default:
			return nil, Error("Unknown field " + m.name)
		}
	}
	if raw == nil {
		return nil, Error("Missing required field Statement")
	}
	var list []json.RawMessage
	if raw[0] != '[' {
		list = []json.RawMessage{raw}
	} else if json.Unmarshal(raw, &list) != nil {
		return nil, errJSON
	}
	if len(list) == 0 {
		return nil, errEmpty
	}
	p := &Policy{}
	var sids []string
	for _, one := range list {
		s, sid, err := parseStatement(one, variables)
		if err != nil {
			return nil, err
		}
		if sid != "" && slices.Contains(sids, sid) {
			return nil, Error("Statement IDs (SID) in a single policy must be unique.")
		}
		p.statements, sids = append(p.statements, s), append(sids, sid)
	}
	return p, nil
}

// parseStatement reads one statement and its Sid.
func parseStatement(raw json.RawMessage, variables bool) (s statement, sid string, err error) {
	fields, err := members(raw)
	if err != nil {
		return s, "", errJSON
	}
	seen := map[string]bool{}
	for _, m := range fields {
		kind := strings.TrimPrefix(m.name, "Not")
		if seen[kind] {
			return s, "", Error("Statement has both " + kind + " and Not" + kind)
		}
		seen[kind] = true
		switch m.name {
		case "Sid":
			if sid, err = oneString(m.value); err != nil {
				err = errJSON
			}
		case "Effect":
			err = s.setEffect(m.value)
		case "Principal", "NotPrincipal":
			s.notPrincipal = m.name != kind
			s.principals, err = parsePrincipals(m.value)
		case "Action", "NotAction":
			s.notAction = m.name != kind
			s.actions, err = parseActions(m.value)
		case "Resource", "NotResource":
			s.notResource = m.name != kind
			s.resources, err = parseResources(m.value, variables)
		case "Condition":
			s.conditions, err = parseConditions(m.value, variables)
		default:
			err = Error("Unknown field " + m.name)
		}
		if err != nil {
			return s, "", err
		}
	}
	for _, name := range []string{"Effect", "Action", "Resource"} {
		if !seen[name] {
			return s, "", Error("Missing required field " + name)
		}
	}
	return s, sid, nil
}

func (s *statement) setEffect(raw json.RawMessage) error {
	effect, err := oneString(raw)
	switch {
	case err != nil:
		return errJSON
	case effect != "Allow" && effect != "Deny":
		return Error("Invalid effect: " + effect)
	}
	s.deny = effect == "Deny"
	return nil
}

// parseActions reads actions. They are the same in any case.
func parseActions(raw json.RawMessage) ([]pattern, error) {
	names, err := stringsOf(raw)
	if err != nil || len(names) == 0 {
		return nil, errAction
	}
	var actions []pattern
	for _, name := range names {
		service, action, ok := strings.Cut(name, ":")
		if name != "*" && (!ok || action == "" || service == "" || strings.ContainsFunc(service, notServiceName)) {
			return nil, errAction
		}
		p, _ := compile(strings.ToLower(name), true, false)
		actions = append(actions, p)
	}
	return actions, nil
}

func notServiceName(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// parseResources reads ARNs, or "*".
func parseResources(raw json.RawMessage, variables bool) ([]pattern, error) {
	names, err := stringsOf(raw)
	if err != nil || len(names) == 0 {
		return nil, errResource
	}
	var resources []pattern
	for _, name := range names {
		if name != "*" && !strings.HasPrefix(name, "arn:") {
			return nil, errResource
		}
		p, ok := compile(name, true, variables)
		if !ok {
			return nil, errVariable
		}
		resources = append(resources, p)
	}
	return resources, nil
}

// member is a member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

var errNotObject = errors.New("not a JSON object with members that differ")

// members reads an object in its order. encoding/json would take names in any
// case, and the last of two that are the same: two readers of a policy might see
// two policies.
func members(raw []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotObject
	}
	var all []member
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok || seen[name] {
			return nil, errNotObject
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		seen[name] = true
		all = append(all, member{name, value})
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotObject
	}
	return all, nil
}

func oneString(raw json.RawMessage) (string, error) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", errJSON
	}
	return *s, nil
}

// stringsOf reads a value or a list of values; numbers and booleans count as
// their text.
func stringsOf(raw json.RawMessage) ([]string, error) {
	list := []json.RawMessage{raw}
	if len(raw) > 0 && raw[0] == '[' {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
	}
	values := make([]string, 0, len(list))
	for _, one := range list {
		var v any
		dec := json.NewDecoder(bytes.NewReader(one))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case string:
			values = append(values, v)
		case json.Number:
			values = append(values, v.String())
		case bool:
			values = append(values, string(one))
		default:
			return nil, errJSON
		}
	}
	return values, nil
}
