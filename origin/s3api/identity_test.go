package s3api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
	"meridian/metadata/access"
	"meridian/origin/s3api"
)

// limited makes a key of a user with a policy of these statements.
func (w *world) limited(id, name, role string, statements ...string) user {
	w.t.Helper()
	u := user{key: id, secret: "secret of " + id}
	policy, err := access.IdentityPolicy([]byte(`{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`), metadata.MaxKeyPolicy)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.catalog.PutKey(w.t.Context(), metadata.AccessKey{ID: u.key, Secret: u.secret, User: name, Role: role, Policy: policy}); err != nil {
		w.t.Fatal(err)
	}
	return u
}

const (
	uploads     = `{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":"arn:aws:s3:::app/uploads/${aws:username}/*"}`
	listUploads = `{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::app","Condition":{"StringLike":{"s3:prefix":"uploads/*"}}}`
	everything  = `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`
	noDelete    = `{"Effect":"Deny","Action":["s3:DeleteObject*","s3:DeleteBucket"],"Resource":"*"}`
)

func TestKeysWithPolicies(t *testing.T) {
	t.Parallel()
	hands := &clock{now: time.Now()}
	w := newWorld(t, func(o *s3api.Options) { o.Now = hands.Now })
	w.must("PUT", "/app", nil)
	w.must("PUT", "/app/other", []byte("other"))
	app := w.limited("APPKEY", "app", metadata.RoleReadWrite, uploads, listUploads)
	ok := func(u user, method, path string, body []byte, headers ...string) reply {
		t.Helper()
		r := w.do(u, method, path, body, headers...)
		if r.status/100 != 2 {
			t.Errorf("%s %s by %s: %d %s", method, path, u.key, r.status, r.body)
		}
		return r
	}
	ok(app, "PUT", "/app/uploads/app/k", []byte("mine"))
	if r := ok(app, "GET", "/app/uploads/app/k", nil); string(r.body) != "mine" {
		t.Errorf("read %q", r.body)
	}
	ok(app, "GET", "/app?list-type=2&prefix=uploads/", nil)
	for _, x := range [][2]string{
		{"GET", "/app/other"}, {"PUT", "/app/other"}, {"PUT", "/app/uploads/bob/k"}, {"DELETE", "/app/uploads/app/k"}, {"GET", "/app?list-type=2"},
		{"GET", "/app?policy"}, {"PUT", "/new"}, {"GET", "/"}, {"DELETE", "/app"}, {"PUT", "/app/uploads/app/k?acl"},
	} {
		w.refused(app, 403, "AccessDenied", x[0], x[1], []byte("x"))
	}
	w.refused(app, 403, "AccessDenied", "PUT", "/app/uploads/app/copy", nil, "X-Amz-Copy-Source: /app/other")
	// What its holder writes is its bucket's, as what is written by role.
	ok(root, "GET", "/app/uploads/app/k", nil)

	// A deny of the key beats what the bucket allows, and what it denies nobody allows.
	all := w.limited("ALLKEY", "all", metadata.RoleUser, everything, noDelete)
	ok(all, "PUT", "/app/any", []byte("x"))
	ok(all, "GET", "/", nil)
	ok(all, "PUT", "/alls", nil)
	w.must("PUT", "/app?policy", []byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":["all","app"]},"Action":["s3:DeleteObject","s3:GetObject"],"Resource":"arn:aws:s3:::app/*"},
		{"Effect":"Deny","Principal":{"AWS":"all"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::app/other"}]}`))
	if r := w.refused(all, 403, "AccessDenied", "DELETE", "/app/any", nil); !strings.Contains(string(r.body), "explicit deny in an identity-based policy") {
		t.Errorf("denied by the key: %s", r.body)
	}
	if r := w.refused(all, 403, "AccessDenied", "GET", "/app/other", nil); !strings.Contains(string(r.body), "explicit deny in a resource-based policy") {
		t.Errorf("denied by the bucket: %s", r.body)
	}
	w.refused(all, 403, "AccessDenied", "DELETE", "/alls", nil) // though it is theirs
	ok(app, "GET", "/app/other", nil)                           // since the bucket lets it in

	// A change counts at once where the key was not seen for a moment, as does an end.
	change := func(change func(*metadata.AccessKey)) {
		t.Helper()
		if _, err := w.catalog.UpdateKey(t.Context(), all.key, func(k *metadata.AccessKey) error { change(k); return nil }); err != nil {
			t.Fatal(err)
		}
		hands.add(time.Second)
	}
	change(func(k *metadata.AccessKey) { k.Policy = json.RawMessage(`{"Statement":[` + noDelete + `]}`) })
	w.refused(all, 403, "AccessDenied", "PUT", "/app/any", []byte("x"))
	change(func(k *metadata.AccessKey) { k.Policy = nil })
	ok(all, "DELETE", "/alls", nil) // as the owner
	w.refused(all, 403, "AccessDenied", "PUT", "/app/any", []byte("x"))
	end := hands.Now().Add(time.Minute)
	change(func(k *metadata.AccessKey) { k.Expires = &end })
	ok(all, "DELETE", "/app/any", nil)
	hands.add(time.Minute)
	w.refused(all, 403, "InvalidAccessKeyId", "DELETE", "/app/any", nil)

	// One that cannot be read lets nobody in.
	odd := metadata.AccessKey{ID: "ODDKEY", Secret: "odd secret", User: "odd", Role: metadata.RoleAdmin, Policy: json.RawMessage(`{"Statement":7}`)}
	if err := w.catalog.PutKey(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	w.refused(user{odd.ID, odd.Secret}, 500, "InternalError", "GET", "/app/other", nil)
}
