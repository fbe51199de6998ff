package access

import (
	"bytes"
	"encoding/json"
	"fmt"

	"meridian/internal/iam"
	"meridian/metadata"
)

// MaxSessionPolicy is the length of the longest policy of temporary credentials
// in bytes.
const MaxSessionPolicy = 2 << 10

// CallerOf is who asks with an access key: as its role says, or limited to its
// policy where it has one. One that cannot be read is an error, and lets nobody
// in.
func CallerOf(user, role string, policy []byte) (*Caller, error) {
	if len(policy) == 0 {
		return &Caller{User: user, Role: role}, nil
	}
	p, err := iam.Parse(policy)
	if err != nil {
		return nil, fmt.Errorf("policy of an access key of %s: %w", user, err)
	}
	return &Caller{User: user, Policies: []*iam.Policy{p}}, nil
}

// Within is the caller limited further, to what the policy of temporary
// credentials allows as well; empty for no limit.
func (c *Caller) Within(policy string) (*Caller, error) {
	if policy == "" {
		return c, nil
	}
	p, err := iam.Parse([]byte(policy))
	if err != nil {
		return nil, fmt.Errorf("policy of a session of %s: %w", c.User, err)
	}
	limited := *c
	limited.Session = p
	return &limited, nil
}

// IdentityPolicy checks the policy that an access key or temporary credentials
// shall have, a document or as a JSON string the name of a canned one, and returns
// it without blanks. What is wrong with it is told by an iam.Error.
func IdentityPolicy(text []byte, most int) (json.RawMessage, error) {
	var name string
	if json.Unmarshal(text, &name) == nil {
		canned, ok := cannedPolicies[name]
		if !ok {
			return nil, iam.Error(fmt.Sprintf("%.40q is none of readonly, readwrite, writeonly; give one of them, or a policy document", name))
		}
		text = []byte(canned)
	}
	p, err := iam.Parse(text)
	if err == nil {
		err = p.CheckIdentityPolicy()
	}
	if err != nil {
		return nil, err
	}
	var short bytes.Buffer
	if err := json.Compact(&short, text); err != nil {
		return nil, iam.Error("This policy contains invalid Json")
	}
	if short.Len() > most {
		return nil, iam.Error(fmt.Sprintf("has %d bytes without its blanks, more than %d", short.Len(), most))
	}
	return short.Bytes(), nil
}

// cannedPolicies are those that have names, after those of MinIO.
var cannedPolicies = map[string]string{
	metadata.RoleReadOnly:  allowing(`"s3:Get*","s3:List*"`),
	metadata.RoleReadWrite: allowing(`"s3:*"`),
	"writeonly":            allowing(`"s3:PutObject"`),
}

func allowing(actions string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + actions + `],"Resource":["arn:aws:s3:::*"]}]}`
}
