package access_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"meridian/internal/iam"
	"meridian/metadata"
	"meridian/metadata/access"
)

// config makes the Config of a bucket of pairs of a name and a value.
func config(t *testing.T, pairs ...any) map[string]json.RawMessage {
	t.Helper()
	m := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		document, err := json.Marshal(pairs[i+1])
		if err != nil {
			t.Fatal(err)
		}
		m[pairs[i].(string)] = document
	}
	return m
}

func policyOf(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[{` + strings.Join(statements, "},{") + `}]}`
}

const (
	letBobPut   = `"Effect":"Allow","Principal":{"AWS":"bob"},"Action":["s3:PutObject","s3:GetObject"],"Resource":"arn:aws:s3:::b/*"`
	letAllGet   = `"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`
	denySecrets = `"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::b/secret/*","arn:aws:s3:::b"]`
	byTag       = `"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/open":"yes"}}`
)

func canned(t *testing.T, name, owner string) *metadata.ACL {
	t.Helper()
	acl, ok := access.Canned(name, owner, "alice", true)
	if !ok {
		t.Fatal(name)
	}
	return acl
}

func TestDecide(t *testing.T) {
	t.Parallel()
	nobody := access.Caller{}
	user := func(name string) access.Caller { return access.Caller{User: name, Role: metadata.RoleUser} }
	role := func(role string) access.Caller { return access.Caller{User: "r", Role: role} }
	plain := config(t)
	acls := func(more ...any) map[string]json.RawMessage {
		return config(t, append(more, access.ConfigObjectACLs, true)...)
	}
	withPolicy := func(statements ...string) map[string]json.RawMessage {
		return config(t, access.ConfigPolicy, policyOf(statements...))
	}
	bobs := &access.Object{ACL: access.Private("bob")}
	open := &access.Object{ACL: canned(t, "public-read", "alice")}
	members := &access.Object{ACL: canned(t, "authenticated-read", "alice")}
	const get, put, list, acl = "s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:GetObjectAcl"
	for name, c := range map[string]struct {
		config map[string]json.RawMessage
		caller access.Caller
		action string
		key    string
		object *access.Object
		want   access.Verdict
	}{
		"nobody in a private bucket":       {plain, nobody, get, "k", nil, access.Refused},
		"another user":                     {plain, user("bob"), get, "k", nil, access.Refused},
		"the owner":                        {plain, user("alice"), get, "k", nil, access.Allowed},
		"the owner, of the bucket":         {plain, user("alice"), "s3:DeleteBucket", "", nil, access.Allowed},
		"admin":                            {plain, role(metadata.RoleAdmin), put, "k", nil, access.Allowed},
		"readwrite":                        {plain, role(metadata.RoleReadWrite), put, "k", nil, access.Allowed},
		"readonly":                         {plain, role(metadata.RoleReadOnly), get, "k", nil, access.Allowed},
		"readonly does not write":          {plain, role(metadata.RoleReadOnly), put, "k", nil, access.Refused},
		"readonly of the owner":            {plain, access.Caller{User: "alice", Role: metadata.RoleReadOnly}, put, "k", nil, access.Refused},
		"policy lets in":                   {withPolicy(letBobPut), user("bob"), put, "k", nil, access.Allowed},
		"policy lets nobody else in":       {withPolicy(letBobPut), user("eve"), put, "k", nil, access.Refused},
		"policy lets everybody in":         {withPolicy(letAllGet), nobody, get, "k", nil, access.Allowed},
		"denied":                           {withPolicy(letAllGet, denySecrets), nobody, get, "secret/k", nil, access.DeniedByBucket},
		"denied to the owner":              {withPolicy(denySecrets), user("alice"), get, "secret/k", nil, access.DeniedByBucket},
		"denied to a role":                 {withPolicy(denySecrets), role(metadata.RoleReadWrite), get, "secret/k", nil, access.DeniedByBucket},
		"denied to an administrator":       {withPolicy(denySecrets), role(metadata.RoleAdmin), get, "secret/k", nil, access.DeniedByBucket},
		"root is denied nothing":           {withPolicy(denySecrets), access.Caller{User: metadata.RootUser, Role: metadata.RoleAdmin}, get, "secret/k", nil, access.Allowed},
		"root is not a name":               {withPolicy(denySecrets), access.Caller{User: metadata.RootUser, Role: metadata.RoleReadWrite}, get, "secret/k", nil, access.DeniedByBucket},
		"the owner mends the policy":       {withPolicy(denySecrets), user("alice"), "s3:DeleteBucketPolicy", "", nil, access.Allowed},
		"others do not":                    {withPolicy(denySecrets), user("bob"), "s3:DeleteBucketPolicy", "", nil, access.DeniedByBucket},
		"by a tag":                         {withPolicy(byTag), nobody, get, "k", &access.Object{Tags: map[string]string{"open": "yes"}}, access.Allowed},
		"by another tag":                   {withPolicy(byTag), nobody, get, "k", &access.Object{Tags: map[string]string{"open": "no"}}, access.Refused},
		"restricted":                       {config(t, access.ConfigPolicy, policyOf(letAllGet), access.ConfigBlock, access.Block{RestrictBuckets: true}), nobody, get, "k", nil, access.Refused},
		"restricted, not public":           {config(t, access.ConfigPolicy, policyOf(letBobPut), access.ConfigBlock, access.Block{RestrictBuckets: true}), user("bob"), put, "k", nil, access.Allowed},
		"restricted denies":                {config(t, access.ConfigPolicy, policyOf(letAllGet, denySecrets), access.ConfigBlock, access.Block{RestrictBuckets: true}), role(metadata.RoleReadWrite), get, "secret/k", nil, access.DeniedByBucket},
		"object ACL for all":               {acls(), nobody, get, "k", open, access.Allowed},
		"of that version":                  {acls(), nobody, "s3:GetObjectVersion", "k", open, access.Allowed},
		"object ACL is not for writing":    {acls(), nobody, "s3:PutObjectAcl", "k", open, access.Refused},
		"object ACL, none there":           {acls(), nobody, get, "k", nil, access.Refused},
		"object ACL for users":             {acls(), nobody, get, "k", members, access.Refused},
		"object ACL for users, a user":     {acls(), user("eve"), get, "k", members, access.Allowed},
		"object ACLs are off":              {acls(access.ConfigOwnership, access.Enforced), nobody, get, "k", open, access.Refused},
		"object ACLs are ignored":          {acls(access.ConfigBlock, access.Block{IgnoreACLs: true}), user("eve"), get, "k", members, access.Refused},
		"blocking is about new ACLs":       {acls(access.ConfigBlock, access.Block{BlockACLs: true}), nobody, get, "k", open, access.Allowed},
		"object of another":                {acls(), user("bob"), get, "k", bobs, access.Allowed},
		"is not the bucket owner's":        {acls(), user("alice"), get, "k", bobs, access.Refused},
		"who may delete it":                {acls(), user("alice"), "s3:DeleteObject", "k", bobs, access.Allowed},
		"nor its ACL":                      {acls(), user("alice"), acl, "k", bobs, access.Refused},
		"unless given":                     {acls(), user("alice"), acl, "k", &access.Object{ACL: canned(t, "bucket-owner-full-control", "bob")}, access.Allowed},
		"an object's owner reads its ACL":  {acls(), user("bob"), acl, "k", &access.Object{ACL: &metadata.ACL{Owner: "bob"}}, access.Allowed},
		"but not what it took from itself": {acls(), user("bob"), get, "k", &access.Object{ACL: &metadata.ACL{Owner: "bob"}}, access.Refused},
		"bucket ACL, listing":              {config(t, access.ConfigACL, canned(t, "public-read", "alice")), nobody, list, "", nil, access.Allowed},
		"bucket ACL, not objects":          {config(t, access.ConfigACL, canned(t, "public-read", "alice")), nobody, get, "k", nil, access.Refused},
		"bucket ACL, writing":              {config(t, access.ConfigACL, canned(t, "public-read-write", "alice")), nobody, put, "k", nil, access.Allowed},
		"bucket ACL, not its policy":       {config(t, access.ConfigACL, canned(t, "public-read-write", "alice")), nobody, "s3:PutBucketPolicy", "", nil, access.Refused},
		"bucket ACL, off":                  {config(t, access.ConfigACL, canned(t, "public-read", "alice"), access.ConfigOwnership, access.Enforced), nobody, list, "", nil, access.Refused},
	} {
		b, err := access.Of(&metadata.Bucket{Name: "b", Owner: "alice", Visibility: metadata.Private, Config: c.config})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r := access.Request{Action: c.action, Key: c.key, Object: func() (*access.Object, error) { return c.object, nil }}
		if got, err := b.Decide(&c.caller, &r); err != nil || got != c.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
}

// Policies of the caller count like a role does, and beat it where they deny.
func TestOwnPolicies(t *testing.T) {
	t.Parallel()
	own := func(text string) *iam.Policy {
		p, err := iam.Parse([]byte(policyOf(text)))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	b, err := access.Of(&metadata.Bucket{Name: "b", Owner: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	allow := own(`"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/*"`)
	deny := own(`"Effect":"Deny","Action":"s3:*","Resource":"*"`)
	for want, c := range map[access.Verdict]access.Caller{
		access.Refused:        {User: "bob", Role: metadata.RoleUser},
		access.Allowed:        {User: "bob", Role: metadata.RoleUser, Policies: []*iam.Policy{allow}},
		access.DeniedByCaller: {User: "bob", Role: metadata.RoleReadWrite, Policies: []*iam.Policy{allow, deny}},
	} {
		if got, err := b.Decide(&c, &access.Request{Action: "s3:GetObject", Key: "k"}); err != nil || got != want {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}

func TestVisibility(t *testing.T) {
	t.Parallel()
	decide := func(action string, pairs ...any) access.Verdict {
		b, err := access.Of(&metadata.Bucket{Name: "b", Owner: "alice", Visibility: metadata.PublicRead, Config: config(t, pairs...)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Decide(&access.Caller{}, &access.Request{Action: action, Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for want, got := range map[access.Verdict][]access.Verdict{
		access.Allowed: {decide("s3:GetObject"), decide("s3:GetObjectVersion"), decide("s3:GetObject", access.ConfigPolicy, policyOf(letBobPut))},
		access.Refused: {
			decide("s3:PutObject"), decide("s3:GetObjectAcl"), decide("s3:GetObject", access.ConfigBlock, access.Block{IgnoreACLs: true}),
			decide("s3:GetObject", access.ConfigBlock, access.Block{RestrictBuckets: true}),
		},
		access.DeniedByBucket: {decide("s3:GetObject", access.ConfigPolicy, policyOf(`"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*"`))},
	} {
		for i, v := range got {
			if v != want {
				t.Errorf("%d: %v, want %v", i, v, want)
			}
		}
	}
}

// What a cache may answer without asking is what nobody is refused.
func TestOpen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bucket metadata.Bucket
		want   bool
	}{
		"private":              {metadata.Bucket{Name: "b"}, false},
		"visible":              {metadata.Bucket{Name: "b", Visibility: metadata.PublicRead}, true},
		"visible, the system":  {metadata.Bucket{Name: metadata.RenditionBucket, Visibility: metadata.PublicRead}, false},
		"visible, with a deny": {metadata.Bucket{Name: "b", Visibility: metadata.PublicRead, Config: config(t, access.ConfigPolicy, policyOf(denySecrets))}, false},
		"visible, blocked":     {metadata.Bucket{Name: "b", Visibility: metadata.PublicRead, Config: config(t, access.ConfigBlock, access.Block{IgnoreACLs: true})}, false},
		"by its policy":        {metadata.Bucket{Name: "b", Config: config(t, access.ConfigPolicy, policyOf(letAllGet))}, true},
		"by a tag":             {metadata.Bucket{Name: "b", Config: config(t, access.ConfigPolicy, policyOf(byTag))}, false},
		"restricted":           {metadata.Bucket{Name: "b", Config: config(t, access.ConfigPolicy, policyOf(letAllGet), access.ConfigBlock, access.Block{RestrictBuckets: true})}, false},
	} {
		b, err := access.Of(&c.bucket)
		if err != nil || b.Open() != c.want {
			t.Errorf("%s: %v, %v", name, b.Open(), err)
		}
	}
}

// Objects are looked for only where the answer depends on them.
func TestLookups(t *testing.T) {
	t.Parallel()
	asked := errors.New("asked")
	find := func() (*access.Object, error) { return nil, asked }
	for name, c := range map[string]struct {
		config map[string]json.RawMessage
		want   error
	}{
		"plain":          {config(t), nil},
		"with ACLs":      {config(t, access.ConfigObjectACLs, true), asked},
		"ACLs are off":   {config(t, access.ConfigObjectACLs, true, access.ConfigOwnership, access.Enforced), nil},
		"policy":         {config(t, access.ConfigPolicy, policyOf(letBobPut)), nil},
		"policy of tags": {config(t, access.ConfigPolicy, policyOf(byTag)), asked},
	} {
		b, err := access.Of(&metadata.Bucket{Name: "b", Owner: "alice", Config: c.config})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Decide(&access.Caller{}, &access.Request{Action: "s3:GetObject", Key: "k", Object: find}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, document := range map[string]string{access.ConfigPolicy: `"{"`, access.ConfigACL: `7`, access.ConfigOwnership: `{}`, access.ConfigBlock: `"x"`} {
		if _, err := access.Of(&metadata.Bucket{Name: "b", Config: map[string]json.RawMessage{name: json.RawMessage(document)}}); err == nil {
			t.Errorf("%s is read of %s", name, document)
		}
	}
}

func TestOfObject(t *testing.T) {
	t.Parallel()
	alice, bob := access.Caller{User: "alice", Role: metadata.RoleUser}, access.Caller{User: "bob", Role: metadata.RoleUser}
	full := canned(t, "bucket-owner-full-control", "bob")
	for name, c := range map[string]struct {
		ownership string
		caller    access.Caller
		asked     *metadata.ACL
		full      bool
		owner     string
		acl       bool
	}{
		"the owner":                    {"", alice, nil, false, "alice", false},
		"the owner, private":           {"", alice, access.Private("alice"), false, "alice", false},
		"the owner, public":            {"", alice, canned(t, "public-read", "alice"), false, "alice", true},
		"another":                      {"", bob, nil, false, "bob", true},
		"by role":                      {"", access.Caller{User: "w", Role: metadata.RoleReadWrite}, nil, false, "w", false},
		"nobody":                       {"", access.Caller{}, nil, false, "alice", false},
		"another, full control":        {access.Writer, bob, full, true, "bob", true},
		"another, preferred":           {access.Preferred, bob, nil, false, "bob", true},
		"full control where preferred": {access.Preferred, bob, full, true, "alice", false},
		"enforced":                     {access.Enforced, bob, nil, false, "alice", false},
	} {
		b := access.Bucket{Name: "b", Owner: "alice", Ownership: c.ownership}
		if acl, owner := b.OfObject(&c.caller, c.asked, c.full); owner != c.owner || (acl != nil) != c.acl {
			t.Errorf("%s: %+v of %s", name, acl, owner)
		}
	}
}

func identityPolicy(t *testing.T, statements ...string) []byte {
	t.Helper()
	text, err := access.IdentityPolicy([]byte(policyOf(statements...)), metadata.MaxKeyPolicy)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A key that has a policy is limited to it and to what others let its user do,
// whatever its role is and whatever its user owns.
func TestKeysWithPolicies(t *testing.T) {
	t.Parallel()
	const (
		get     = `"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/a/*"]`
		noOther = `"Effect":"Deny","Action":"s3:*","NotResource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]`
		denyAll = `"Effect":"Deny","Action":"*","Resource":"*"`
		all     = `"Effect":"Allow","Action":"s3:*","Resource":"*"`
	)
	plain := config(t)
	withPolicy := config(t, access.ConfigPolicy, policyOf(letBobPut))
	acls := config(t, access.ConfigObjectACLs, true, access.ConfigACL, canned(t, "public-read", "alice"))
	for name, c := range map[string]struct {
		config  map[string]json.RawMessage
		user    string
		role    string
		policy  []byte
		session string
		action  string
		key     string
		object  *access.Object
		want    access.Verdict
	}{
		"allowed":                             {plain, "bob", metadata.RoleUser, identityPolicy(t, get), "", "s3:GetObject", "a/k", nil, access.Allowed},
		"another key":                         {plain, "bob", metadata.RoleUser, identityPolicy(t, get), "", "s3:GetObject", "b/k", nil, access.Refused},
		"another action":                      {plain, "bob", metadata.RoleUser, identityPolicy(t, get), "", "s3:PutObject", "a/k", nil, access.Refused},
		"its role gives nothing":              {plain, "bob", metadata.RoleReadWrite, identityPolicy(t, get), "", "s3:PutObject", "a/k", nil, access.Refused},
		"nor that of an administrator":        {plain, "bob", metadata.RoleAdmin, identityPolicy(t, get), "", "s3:DeleteBucket", "", nil, access.Refused},
		"nor what its user owns":              {plain, "alice", metadata.RoleUser, identityPolicy(t, get), "", "s3:PutObject", "a/k", nil, access.Refused},
		"nor the bucket's own ACL":            {acls, "alice", metadata.RoleUser, identityPolicy(t, get), "", "s3:PutBucketAcl", "", nil, access.Refused},
		"nor an object's own ACL":             {acls, "alice", metadata.RoleUser, identityPolicy(t, get), "", "s3:PutObjectAcl", "a/k", &access.Object{ACL: access.Private("alice")}, access.Refused},
		"what is everybody's":                 {acls, "alice", metadata.RoleUser, identityPolicy(t, noOther), "", "s3:ListBucket", "", nil, access.Allowed},
		"the bucket lets in":                  {withPolicy, "bob", metadata.RoleUser, identityPolicy(t, get), "", "s3:PutObject", "x", nil, access.Allowed},
		"the bucket lets in, the key denies":  {withPolicy, "bob", metadata.RoleUser, identityPolicy(t, denyAll), "", "s3:PutObject", "x", nil, access.DeniedByCaller},
		"the bucket denies":                   {config(t, access.ConfigPolicy, policyOf(denySecrets)), "bob", metadata.RoleUser, identityPolicy(t, all), "", "s3:GetObject", "secret/k", nil, access.DeniedByBucket},
		"root with a policy is as others":     {plain, "root", metadata.RoleAdmin, identityPolicy(t, get), "", "s3:PutObject", "a/k", nil, access.Refused},
		"session, allowed by both":            {plain, "bob", metadata.RoleUser, identityPolicy(t, get), policyOf(all), "s3:GetObject", "a/k", nil, access.Allowed},
		"session gives nothing":               {plain, "bob", metadata.RoleUser, identityPolicy(t, get), policyOf(all), "s3:PutObject", "a/k", nil, access.Refused},
		"session limits":                      {plain, "w", metadata.RoleReadWrite, nil, policyOf(get), "s3:PutObject", "a/k", nil, access.Refused},
		"session of a role":                   {plain, "w", metadata.RoleReadWrite, nil, policyOf(get), "s3:GetObject", "a/k", nil, access.Allowed},
		"session limits the owner":            {plain, "alice", metadata.RoleUser, nil, policyOf(get), "s3:PutObject", "a/k", nil, access.Refused},
		"session limits what the bucket lets": {withPolicy, "bob", metadata.RoleUser, nil, policyOf(get), "s3:PutObject", "x", nil, access.Refused},
		"session denies":                      {plain, "alice", metadata.RoleUser, nil, policyOf(denyAll), "s3:GetObject", "a/k", nil, access.DeniedByCaller},
		"session of root limits":              {plain, "root", metadata.RoleAdmin, nil, policyOf(get), "s3:PutObject", "a/k", nil, access.Refused},
		"session of root":                     {plain, "root", metadata.RoleAdmin, nil, policyOf(get), "s3:GetObject", "a/k", nil, access.Allowed},
	} {
		b, err := access.Of(&metadata.Bucket{Name: "b", Owner: "alice", Visibility: metadata.Private, Config: c.config})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		caller, err := access.CallerOf(c.user, c.role, c.policy)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if caller, err = caller.Within(c.session); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r := access.Request{Action: c.action, Key: c.key, Object: func() (*access.Object, error) { return c.object, nil }}
		if got, err := b.Decide(caller, &r); err != nil || got != c.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	if _, err := access.CallerOf("u", metadata.RoleAdmin, []byte("{")); err == nil {
		t.Error("a policy that cannot be read lets in")
	}
	if _, err := (&access.Caller{User: "u", Role: metadata.RoleAdmin}).Within("{"); err == nil {
		t.Error("a policy of a session that cannot be read lets in")
	}
}

func TestIdentityPolicy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"readonly", "readwrite", "writeonly"} {
		text, err := access.IdentityPolicy([]byte(`"`+name+`"`), metadata.MaxKeyPolicy)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c, err := access.CallerOf("u", metadata.RoleUser, text)
		if err != nil {
			t.Fatal(err)
		}
		b := &access.Bucket{Name: "b", Owner: "alice"}
		for action, who := range map[string]string{"s3:GetObject": "readonly readwrite", "s3:PutObject": "readwrite writeonly", "s3:DeleteObject": "readwrite"} {
			got, err := b.Decide(c, &access.Request{Action: action, Key: "k"})
			if want := strings.Contains(who, name); err != nil || (got == access.Allowed) != want {
				t.Errorf("%s by %s: %v, %v", action, name, got, err)
			}
		}
	}
	short, err := access.IdentityPolicy([]byte(" {\n\"Statement\": []}"), 100)
	if err == nil || short != nil {
		t.Errorf("no statements: %s, %v", short, err)
	}
	for text, want := range map[string]string{
		`"admin"`:         `"admin" is none of readonly, readwrite, writeonly`,
		`7`:               "must be valid JSON",
		policyOf(readAny): "principal",
		policyOf(`"Effect":"Allow","Action":"s3:Fly","Resource":"*"`):                                                                     "invalid action",
		policyOf(`"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + strings.Repeat("x", metadata.MaxKeyPolicy) + `"`): "more than 6144",
	} {
		if _, err := access.IdentityPolicy([]byte(text), metadata.MaxKeyPolicy); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %s", text, err, want)
		}
	}
}

const readAny = `"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"`
