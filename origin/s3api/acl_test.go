package s3api_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"meridian/internal/sigv4"
)

func TestPublicAccessBlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt/open", []byte("x"), "x-amz-acl: public-read")
	w.can(alice, "PUT", "/bkt/k", []byte("x"))
	w.refused(alice, 404, "NoSuchPublicAccessBlockConfiguration", "GET", "/bkt?publicAccessBlock", nil)
	block := func(which ...string) {
		t.Helper()
		body := "<PublicAccessBlockConfiguration>"
		for _, name := range which {
			body += "<" + name + ">true</" + name + ">"
		}
		w.can(alice, "PUT", "/bkt?publicAccessBlock", []byte(body+"</PublicAccessBlockConfiguration>"))
	}
	open := policyOf(allow("", "s3:GetObject", "bkt/*"))

	block("BlockPublicPolicy")
	w.cannot(alice, "PUT", "/bkt?policy", open)
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("bob", "s3:GetObject", "bkt/*")))
	w.can(bob, "GET", "/bkt/k", nil)
	block("BlockPublicAcls")
	w.cannot(alice, "PUT", "/bkt/new", []byte("x"), "x-amz-acl: public-read")
	w.cannot(alice, "PUT", "/bkt/k?acl", nil, "x-amz-acl: authenticated-read")
	w.cannot(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read-write")
	w.can(alice, "PUT", "/bkt/new", []byte("x"), "x-amz-acl: private")
	w.can(user{}, "GET", "/bkt/open", nil) // what there is stays
	block("IgnorePublicAcls")
	w.cannot(user{}, "GET", "/bkt/open", nil)
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read")
	w.cannot(user{}, "GET", "/bkt", nil)
	block("RestrictPublicBuckets")
	w.can(user{}, "GET", "/bkt", nil)
	w.can(alice, "PUT", "/bkt?policy", open)
	w.cannot(user{}, "GET", "/bkt/k", nil)
	w.can(alice, "GET", "/bkt/k", nil)
	w.can(writer, "GET", "/bkt/k", nil)
	got := w.can(alice, "GET", "/bkt?publicAccessBlock", nil).body
	if !bytes.Contains(got, []byte("<RestrictPublicBuckets>true</RestrictPublicBuckets>")) || !bytes.Contains(got, []byte("<BlockPublicAcls>false</BlockPublicAcls>")) {
		t.Errorf("GetPublicAccessBlock: %s", got)
	}
	if r := w.can(alice, "DELETE", "/bkt?publicAccessBlock", nil); r.status != http.StatusNoContent {
		t.Errorf("DeletePublicAccessBlock: %d", r.status)
	}
	w.can(user{}, "GET", "/bkt/k", nil)
	w.refused(alice, 400, "MalformedXML", "PUT", "/bkt?publicAccessBlock", []byte("<Other/>"))
	w.cannot(bob, "PUT", "/bkt?publicAccessBlock", []byte("<PublicAccessBlockConfiguration/>"))
}

func TestOwnershipControls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.refused(alice, 404, "OwnershipControlsNotFoundError", "GET", "/bkt?ownershipControls", nil)
	set := func(ownership string) []byte {
		return []byte("<OwnershipControls><Rule><ObjectOwnership>" + ownership + "</ObjectOwnership></Rule></OwnershipControls>")
	}
	w.refused(alice, 400, "MalformedXML", "PUT", "/bkt?ownershipControls", set("Mine"))
	w.refused(alice, 400, "MalformedXML", "PUT", "/bkt?ownershipControls", []byte("<OwnershipControls/>"))
	w.refused(alice, 404, "NoSuchBucket", "PUT", "/none?ownershipControls", set("ObjectWriter"))
	w.can(alice, "PUT", "/bkt?policy", policyOf(allow("", "*", "bkt", "bkt/*")))
	owner := func(key string) string {
		t.Helper()
		r := w.do(bob, "GET", "/bkt/"+key+"?acl", nil)
		_, id, _ := strings.Cut(string(r.body), "<Owner><ID>")
		id, _, _ = strings.Cut(id, "<")
		return id
	}
	for ownership, want := range map[string][3]string{ // without an ACL, with full control for the bucket's owner, private; "" is refused
		"BucketOwnerEnforced":  {"alice", "alice", ""},
		"BucketOwnerPreferred": {"bob", "alice", "bob"},
		"ObjectWriter":         {"bob", "bob", "bob"},
	} {
		w.can(alice, "PUT", "/bkt?ownershipControls", set(ownership))
		if r := w.can(alice, "GET", "/bkt?ownershipControls", nil); !bytes.Contains(r.body, []byte(ownership)) {
			t.Errorf("GetBucketOwnershipControls: %s", r.body)
		}
		w.can(bob, "PUT", "/bkt/plain", []byte("x"))
		w.can(bob, "PUT", "/bkt/full", []byte("x"), "x-amz-acl: bucket-owner-full-control")
		w.can(bob, "PUT", "/bkt/copy", nil, "x-amz-copy-source: /bkt/full")
		if want[2] == "" {
			w.refused(bob, 400, "AccessControlListNotSupported", "PUT", "/bkt/own", []byte("x"), "x-amz-acl: private")
			w.refused(bob, 400, "AccessControlListNotSupported", "POST", "/bkt/own?uploads", nil, "x-amz-acl: private")
			w.refused(alice, 400, "AccessControlListNotSupported", "PUT", "/bkt?acl", nil, "x-amz-acl: private")
			w.refused(alice, 400, "AccessControlListNotSupported", "PUT", "/bkt/plain?acl", nil, "x-amz-acl: private")
		} else {
			w.can(bob, "PUT", "/bkt/own", []byte("x"), "x-amz-acl: private")
			if got := owner("own"); got != want[2] {
				t.Errorf("%s: a private object is %q's", ownership, got)
			}
		}
		if got := [3]string{owner("plain"), owner("full"), owner("copy")}; got != [3]string{want[0], want[1], want[0]} {
			t.Errorf("%s: %q", ownership, got)
		}
	}
	w.can(alice, "PUT", "/bkt?ownershipControls", set("ObjectWriter"))
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read")
	w.refused(alice, 400, "InvalidBucketAclWithObjectOwnership", "PUT", "/bkt?ownershipControls", set("BucketOwnerEnforced"))
	w.refused(alice, 400, "InvalidBucketAclWithObjectOwnership", "PUT", "/ccc", nil, "x-amz-acl: public-read", "x-amz-object-ownership: BucketOwnerEnforced")
	w.can(alice, "PUT", "/ccc", nil, "x-amz-object-ownership: BucketOwnerEnforced")
	w.refused(alice, 400, "AccessControlListNotSupported", "PUT", "/ccc?acl", nil, "x-amz-acl: public-read")
	w.can(alice, "DELETE", "/bkt?ownershipControls", nil)
	w.refused(alice, 404, "OwnershipControlsNotFoundError", "GET", "/bkt?ownershipControls", nil)
}

func TestBucketACL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil, "x-amz-acl: public-read")
	w.can(alice, "PUT", "/bkt/k", []byte("x"))
	w.can(user{}, "GET", "/bkt", nil)
	w.can(bob, "HEAD", "/bkt", nil)
	w.cannot(user{}, "GET", "/bkt/k", nil) // which is the object's to say
	w.cannot(bob, "PUT", "/bkt/k", []byte("x"))
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read-write")
	w.refused(user{}, 400, "XAmzContentSHA256Mismatch", "PUT", "/bkt/new", []byte("anonymous"), "x-amz-content-sha256: "+sha256Hex([]byte("other")))
	w.refused(user{}, 400, "XAmzContentSHA256Mismatch", "PUT", "/bkt/new", []byte("anonymous"), "x-amz-content-sha256: no hash")
	w.refused(user{}, 400, "InvalidRequest", "PUT", "/bkt/new", []byte("anonymous"), "x-amz-content-sha256: "+sigv4.StreamingPayload)
	w.can(user{}, "PUT", "/bkt/new", []byte("anonymous"), "x-amz-content-sha256: "+sha256Hex([]byte("anonymous")))
	if r := w.can(alice, "GET", "/bkt/new", nil); string(r.body) != "anonymous" {
		t.Errorf("%q", r.body)
	}
	w.can(alice, "PUT", "/photos", nil, "x-amz-acl: public-read-write")
	if r := w.post(formPost{fields: [][2]string{{"key", "form"}}, file: []byte("x")}); r.status != 204 {
		t.Errorf("an anonymous form: %d %s", r.status, r.body)
	}
	w.can(bob, "DELETE", "/bkt/new", nil)
	hers := "/bkt/hers?uploadId=" + between(string(w.can(alice, "POST", "/bkt/hers?uploads", nil).body), "<UploadId>", "</UploadId>")
	for _, u := range []user{bob, {}} {
		w.cannot(u, "GET", hers, nil)
		w.cannot(u, "DELETE", hers, nil)
	}
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: authenticated-read")
	w.can(bob, "GET", "/bkt", nil)
	w.cannot(user{}, "GET", "/bkt", nil)
	for header, can := range map[string][4]bool{ // list, put, read the ACL, set it
		"x-amz-grant-read: id=bob": {true, false, false, false}, `x-amz-grant-write: id="bob"`: {false, true, false, false},
		"x-amz-grant-read-acp: id=bob": {false, false, true, false}, "x-amz-grant-write-acp: id=bob": {false, false, false, true},
		"x-amz-grant-full-control: id=bob, id=alice": {true, true, true, true},
	} {
		for i, do := range []func() reply{
			func() reply { return w.do(bob, "GET", "/bkt", nil) },
			func() reply { return w.do(bob, "PUT", "/bkt/his", []byte("x")) },
			func() reply { return w.do(bob, "GET", "/bkt?acl", nil) },
			func() reply { return w.do(bob, "PUT", "/bkt?acl", nil, "x-amz-acl: private") },
		} {
			w.can(alice, "PUT", "/bkt?acl", nil, header)
			if r := do(); (r.status == 200) != can[i] {
				t.Errorf("%s: %d: %d %s", header, i, r.status, r.body)
			}
		}
	}
	c := w.aws(alice)
	put := func(owner string, grants ...types.Grant) error {
		_, err := c.PutBucketAcl(t.Context(), &s3.PutBucketAclInput{Bucket: aws.String("bkt"), AccessControlPolicy: &types.AccessControlPolicy{
			Owner: &types.Owner{ID: aws.String(owner)}, Grants: grants,
		}})
		return err
	}
	grant := func(g types.Grantee, p types.Permission) types.Grant { return types.Grant{Grantee: &g, Permission: p} }
	to := func(id string) types.Grantee { return types.Grantee{Type: types.TypeCanonicalUser, ID: aws.String(id)} }
	all := types.Grantee{Type: types.TypeGroup, URI: aws.String("http://acs.amazonaws.com/groups/global/AllUsers")}
	if err := put("alice", grant(to("bob"), types.PermissionReadAcp), grant(all, types.PermissionRead), grant(to("alice"), types.PermissionFullControl)); err != nil {
		t.Fatal(err)
	}
	got, err := w.aws(bob).GetBucketAcl(t.Context(), &s3.GetBucketAclInput{Bucket: aws.String("bkt")})
	if err != nil || aws.ToString(got.Owner.ID) != "alice" || len(got.Grants) != 3 || aws.ToString(got.Grants[0].Grantee.URI) != aws.ToString(all.URI) ||
		aws.ToString(got.Grants[1].Grantee.ID) != "bob" || got.Grants[1].Permission != types.PermissionReadAcp ||
		aws.ToString(got.Grants[2].Grantee.ID) != "alice" {
		t.Errorf("GetBucketAcl: %+v, %v", got, err)
	}
	for _, refused := range []struct {
		want string
		err  error
	}{
		{"InvalidArgument", put("alice", grant(to("_foo"), types.PermissionRead))},
		{"AccessDenied", put("bob", grant(to("alice"), types.PermissionRead))},
		{"UnresolvableGrantByEmailAddress", put("alice", grant(types.Grantee{Type: types.TypeAmazonCustomerByEmail, EmailAddress: aws.String("nobody@example.com")}, types.PermissionRead))},
		{"MalformedACLError", put("", grant(to("alice"), types.PermissionRead))},
		{"MalformedACLError", put("alice", grant(to("alice"), "ALL"))},
	} {
		if refused.err == nil || !strings.Contains(refused.err.Error(), refused.want) {
			t.Errorf("%v, want %s", refused.err, refused.want)
		}
	}
	w.refused(alice, 400, "MissingSecurityHeader", "PUT", "/bkt?acl", nil)
	w.refused(alice, 400, "InvalidArgument", "PUT", "/bkt?acl", nil, "x-amz-acl: open")
	w.refused(alice, 400, "UnexpectedContent", "PUT", "/bkt?acl", []byte("<AccessControlPolicy/>"), "x-amz-acl: private")
	// Without any grant, also of the owner's own.
	w.can(alice, "PUT", "/bkt?acl", []byte("<AccessControlPolicy><Owner><ID>alice</ID></Owner><AccessControlList/></AccessControlPolicy>"))
	w.can(alice, "GET", "/bkt", nil)
}

func TestObjectACL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil)
	w.can(alice, "PUT", "/bkt?versioning", []byte("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"))
	w.can(alice, "PUT", "/bkt/k", []byte("hello"), "x-amz-acl: public-read")
	w.can(user{}, "GET", "/bkt/k", nil)
	w.can(user{}, "HEAD", "/bkt/k", nil)
	w.cannot(user{}, "GET", "/bkt/k?acl", nil)
	w.cannot(user{}, "GET", "/bkt", nil)
	open := w.can(alice, "HEAD", "/bkt/k", nil).header.Get("X-Amz-Version-Id")
	if open == "" {
		t.Fatal("no version")
	}
	w.can(alice, "PUT", "/bkt/k", []byte("closed")) // the ACL is the version's
	w.cannot(user{}, "GET", "/bkt/k", nil)
	w.can(user{}, "GET", "/bkt/k?versionId="+open, nil)
	w.can(alice, "PUT", "/bkt/k?acl&versionId="+open, nil, "x-amz-acl: private")
	w.cannot(user{}, "GET", "/bkt/k?versionId="+open, nil)
	w.can(alice, "PUT", "/bkt/k?acl", nil, "x-amz-grant-read: uri=http://acs.amazonaws.com/groups/global/AuthenticatedUsers")
	w.can(bob, "GET", "/bkt/k", nil)
	w.cannot(user{}, "GET", "/bkt/k", nil)
	same := w.can(alice, "GET", "/bkt/k?acl", nil).body
	if !bytes.Contains(same, []byte("AuthenticatedUsers")) || !bytes.Contains(same, []byte("<Owner><ID>alice</ID>")) {
		t.Errorf("ACL: %s", same)
	}
	w.can(alice, "PUT", "/bkt/k?acl", same)
	w.refused(alice, 404, "NoSuchKey", "PUT", "/bkt/none?acl", same)
	w.refused(alice, 404, "NoSuchKey", "GET", "/bkt/none?acl", nil)

	// Copies and uploads have their own.
	w.can(alice, "PUT", "/bkt/copy", nil, "x-amz-copy-source: /bkt/k")
	w.cannot(bob, "GET", "/bkt/copy", nil)
	w.can(alice, "PUT", "/bkt/copy", nil, "x-amz-copy-source: /bkt/k", "x-amz-acl: public-read")
	w.can(user{}, "GET", "/bkt/copy", nil)
	begun := w.can(alice, "POST", "/bkt/up?uploads", nil, "x-amz-acl: public-read")
	_, id, _ := strings.Cut(string(begun.body), "<UploadId>")
	id, _, _ = strings.Cut(id, "<")
	part := w.can(alice, "PUT", "/bkt/up?partNumber=1&uploadId="+id, []byte("hello"))
	w.can(alice, "POST", "/bkt/up?uploadId="+id, []byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>`+part.header.Get("ETag")+`</ETag></Part></CompleteMultipartUpload>`))
	w.can(user{}, "GET", "/bkt/up", nil)
	w.can(alice, "PUT", "/photos", nil)
	if r := w.post(signedForm(alice, []string{`{"acl":"public-read"}`, `["starts-with","$key",""]`}, [2]string{"key", "form"}, [2]string{"acl", "public-read"})); r.status != 204 {
		t.Errorf("form: %d %s", r.status, r.body)
	}
	w.can(user{}, "GET", "/photos/form", nil)

	// Who may list the bucket is told what it does not have; who may not, is not.
	w.cannot(user{}, "GET", "/bkt/none", nil)
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read")
	w.refused(user{}, 404, "NoSuchKey", "GET", "/bkt/none", nil)
	w.refused(user{}, 404, "NoSuchVersion", "GET", "/bkt/k?versionId=01J00000000000000000000000", nil)
	w.cannot(user{}, "GET", "/bkt/k", nil)
	w.can(alice, "PUT", "/bkt?policy", policyOf(deny("", "s3:GetObject", "bkt/secret*"), allow("bob", "s3:ListBucket", "bkt")+`,"Condition":{"StringLike":{"s3:prefix":"pub/*"}}`))
	w.cannot(user{}, "GET", "/bkt/secret", nil)
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: private")
	w.refused(bob, 404, "NoSuchKey", "GET", "/bkt/pub/none", nil)
	w.cannot(bob, "GET", "/bkt/none", nil)
	w.can(alice, "DELETE", "/bkt?policy", nil)

	// What another writes into the bucket is theirs.
	w.can(alice, "PUT", "/bkt?acl", nil, "x-amz-acl: public-read-write")
	w.can(bob, "PUT", "/bkt/his", []byte("x"))
	w.can(bob, "GET", "/bkt/his", nil)
	w.can(bob, "GET", "/bkt/his?acl", nil)
	w.cannot(alice, "GET", "/bkt/his", nil)
	w.cannot(alice, "GET", "/bkt/his?acl", nil)
	w.can(writer, "GET", "/bkt/his", nil)
	w.can(bob, "PUT", "/bkt/shared", []byte("x"), "x-amz-acl: bucket-owner-read")
	w.can(alice, "GET", "/bkt/shared", nil)
	w.cannot(alice, "GET", "/bkt/shared?acl", nil)
	w.can(bob, "PUT", "/bkt/shared?acl", nil, "x-amz-acl: bucket-owner-full-control")
	w.can(alice, "GET", "/bkt/shared?acl", nil)
	w.can(alice, "DELETE", "/bkt/his", nil)
}
