package s3api_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/minio/minio-go/v7"
	miniocreds "github.com/minio/minio-go/v7/pkg/credentials"

	"meridian/internal/session"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/origin/s3api"
)

// temporary are credentials of a session.
type temporary struct {
	user
	token string
}

// stsReply is what is read of an answer of STS.
type stsReply struct {
	reply
	Credentials struct {
		ID      string    `xml:"AccessKeyId"`
		Secret  string    `xml:"SecretAccessKey"`
		Token   string    `xml:"SessionToken"`
		Expires time.Time `xml:"Expiration"`
	}
	Arn, UserID, Account, AssumedRoleArn string
	Code, Message                        string
}

// sts asks for an action with parameters as name, value, ....
func (w *world) sts(c temporary, action string, now time.Time, params ...string) stsReply {
	w.t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2011-06-15"}}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	body := []byte(form.Encode())
	r := w.request(http.MethodPost, "/", body, "Content-Type: application/x-www-form-urlencoded")
	// As SDKs do it: unlike those of S3, such requests do not tell their hash.
	by := aws.Credentials{AccessKeyID: c.key, SecretAccessKey: c.secret, SessionToken: c.token}
	if err := v4.NewSigner().SignHTTP(w.t.Context(), by, r, sha256Hex(body), "sts", region, now); err != nil {
		w.t.Fatal(err)
	}
	return w.readSTS(w.send(r))
}

func (w *world) readSTS(r reply) stsReply {
	w.t.Helper()
	a := stsReply{reply: r}
	d := xml.NewDecoder(bytes.NewReader(r.body))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return a
		}
		if err != nil {
			w.t.Fatalf("not XML: %v: %q", err, r.body)
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		to := map[string]any{
			"Credentials": &a.Credentials, "Arn": &a.Arn, "UserId": &a.UserID, "Account": &a.Account, "Code": &a.Code, "Message": &a.Message,
		}[start.Name.Local]
		if to == nil {
			continue
		}
		if err := d.DecodeElement(to, &start); err != nil {
			w.t.Fatalf("%v: %q", err, r.body)
		}
	}
}

func (a stsReply) temporary(t *testing.T) temporary {
	t.Helper()
	if a.status != 200 || a.Credentials.Token == "" {
		t.Fatalf("no credentials: %d %s", a.status, a.body)
	}
	return temporary{user{a.Credentials.ID, a.Credentials.Secret}, a.Credentials.Token}
}

// by sends a request of temporary credentials, signed in its header or its query.
func (w *world) by(c temporary, now time.Time, presigned bool, method, path string, body []byte) reply {
	w.t.Helper()
	r := w.request(method, path, body)
	signer := sigv4.Signer{AccessKey: c.key, Secret: c.secret, Region: region}
	switch {
	case !presigned:
		if c.token != "" {
			r.Header.Set("X-Amz-Security-Token", c.token)
		}
		signer.Sign(r, sigv4.UnsignedPayload, now)
	default:
		if c.token != "" {
			q := r.URL.Query()
			q.Set("X-Amz-Security-Token", c.token)
			r.URL.RawQuery = q.Encode()
		}
		signer.Presign(r, time.Hour, now)
	}
	return w.send(r)
}

func TestTemporaryCredentials(t *testing.T) {
	t.Parallel()
	hands := &clock{now: time.Now()}
	w := newWorld(t, func(o *s3api.Options) { o.Now = hands.Now })
	w.must("PUT", "/photos", nil)
	w.must("PUT", "/photos/k", []byte("k"))
	w.must("PUT", "/photos/mine/k", []byte("mine"))
	check := func(name string, c temporary, method, path string, status int, code string) {
		t.Helper()
		for _, presigned := range []bool{false, true} {
			r := w.by(c, hands.Now(), presigned, method, path, []byte("x"))
			if r.status != status || code != "" && r.error(t).Code != code {
				t.Errorf("%s, presigned %v: %s %s: %d %s, want %d %s", name, presigned, method, path, r.status, r.body, status, code)
			}
		}
	}
	of := func(u user) temporary { return temporary{user: u} }
	full := w.sts(of(writer), "GetSessionToken", hands.Now())
	if left := full.Credentials.Expires.Sub(hands.Now()); left < 12*time.Hour-time.Minute || left > 12*time.Hour || !strings.HasPrefix(full.Credentials.ID, "ASIA") {
		t.Errorf("made %+v", full.Credentials)
	}
	check("of a writer", full.temporary(t), "PUT", "/photos/new", 200, "")
	check("of a reader", w.sts(of(reader), "GetSessionToken", hands.Now()).temporary(t), "PUT", "/photos/new", 403, "AccessDenied")

	const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::photos/mine/*"}]}`
	assumed := w.sts(of(root), "AssumeRole", hands.Now(), "RoleArn", "arn:aws:iam::000000000000:role/any", "RoleSessionName", "me", "Policy", policy, "DurationSeconds", "900")
	mine := assumed.temporary(t)
	if assumed.Arn != "arn:aws:sts::000000000000:assumed-role/root/me" || assumed.Credentials.Expires.Sub(hands.Now()) > 15*time.Minute {
		t.Errorf("assumed %+v", assumed)
	}
	check("of root, within a policy", mine, "GET", "/photos/mine/k", 200, "")
	check("beyond it", mine, "GET", "/photos/k", 403, "AccessDenied")
	check("beyond it", mine, "GET", "/", 403, "AccessDenied")
	app := w.limited("APPKEY", "app", metadata.RoleUser, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*"}`)
	both := w.sts(of(app), "AssumeRole", hands.Now(), "Policy", policy).temporary(t)
	check("within both policies", both, "GET", "/photos/mine/k", 200, "")
	check("allowed by one", both, "PUT", "/photos/mine/k", 403, "AccessDenied")
	check("allowed by the other", both, "GET", "/photos/k", 403, "AccessDenied")

	// Who they are.
	for _, c := range []struct {
		who temporary
		arn string
	}{
		{of(alice), "arn:aws:iam::000000000000:user/alice"}, {full.temporary(t), "arn:aws:iam::000000000000:user/writer"},
		{mine, "arn:aws:sts::000000000000:assumed-role/root/me"},
	} {
		if a := w.sts(c.who, "GetCallerIdentity", hands.Now()); a.status != 200 || a.Arn != c.arn || a.Account != "000000000000" {
			t.Errorf("caller %d %s, want %s", a.status, a.body, c.arn)
		}
	}

	// By a form.
	form := signedForm(mine.user, []string{`{"x-amz-security-token":"` + mine.token + `"}`, `["starts-with","$key","mine/"]`},
		[2]string{"key", "mine/form"}, [2]string{"x-amz-security-token", mine.token})
	kind, body := form.encode()
	if r := w.do(user{}, "POST", "/photos", body, "Content-Type: "+kind); r.status != 204 {
		t.Errorf("form: %d %s", r.status, r.body)
	}

	// Nothing but the very token goes with the key.
	bare, swapped, touched := mine, mine, mine
	bare.token, swapped.token = "", full.Credentials.Token
	touched.token = mine.token[:len(mine.token)-10] + strings.Repeat("A", 10)
	forged, err := session.New("ROOTKEY", "a guess", "", "", hands.Now(), hands.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	check("without its token", bare, "GET", "/photos/mine/k", 403, "InvalidAccessKeyId")
	check("with another token", swapped, "GET", "/photos/mine/k", 400, "InvalidToken")
	check("with a token that was changed", touched, "GET", "/photos/mine/k", 400, "InvalidToken")
	check("forged", temporary{user{forged.ID, forged.Secret}, forged.Token}, "GET", "/photos/mine/k", 400, "InvalidToken")
	check("another secret", temporary{user{mine.key, "x"}, mine.token}, "GET", "/photos/mine/k", 403, "SignatureDoesNotMatch")
	check("a token beside a key that needs none", temporary{root, mine.token}, "GET", "/photos/mine/k", 400, "InvalidToken")

	// They end by themselves, and with their key.
	hands.add(14 * time.Minute)
	check("just before its end", mine, "GET", "/photos/mine/k", 200, "")
	hands.add(time.Minute)
	check("after its end", mine, "GET", "/photos/mine/k", 400, "ExpiredToken")
	if a := w.sts(mine, "GetCallerIdentity", hands.Now()); a.status != 403 || a.Code != "ExpiredToken" {
		t.Errorf("after its end: %d %s", a.status, a.body)
	}
	if err := w.catalog.DeleteKey(t.Context(), writer.key); err != nil {
		t.Fatal(err)
	}
	hands.add(time.Second)
	check("after its key was revoked", full.temporary(t), "GET", "/photos/k", 403, "InvalidAccessKeyId")
}

func TestTokenServiceRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now()
	soon := now.Add(time.Hour).UTC().Truncate(time.Second)
	ending := metadata.AccessKey{ID: "ENDING", Secret: "ending secret", User: "e", Role: metadata.RoleReadWrite, Expires: &soon}
	if err := w.catalog.PutKey(t.Context(), ending); err != nil {
		t.Fatal(err)
	}
	a := w.sts(temporary{user: user{ending.ID, ending.Secret}}, "GetSessionToken", now)
	if !a.Credentials.Expires.Equal(soon) {
		t.Errorf("a session outlives its key, until %s: %s", soon, a.body)
	}
	by := temporary{user: alice}
	ofSession := a.temporary(t)
	denied := temporary{user: w.limited("DENIED", "d", metadata.RoleUser, `{"Effect":"Deny","Action":"sts:*","Resource":"*"}`, everything)}
	for name, c := range map[string]struct {
		who    temporary
		action string
		params []string
		status int
		code   string
	}{
		"unknown key":         {temporary{user: user{"NOBODY", "x"}}, "GetSessionToken", nil, 403, "InvalidClientTokenId"},
		"wrong secret":        {temporary{user: user{alice.key, "x"}}, "GetSessionToken", nil, 403, "SignatureDoesNotMatch"},
		"a node":              {temporary{user: node}, "GetSessionToken", nil, 403, "AccessDenied"},
		"no action":           {by, "", nil, 400, "InvalidAction"},
		"unknown action":      {by, "DecodeAuthorizationMessage", nil, 400, "InvalidAction"},
		"another version":     {by, "GetSessionToken", []string{"Version", "2010-01-01"}, 400, "InvalidAction"},
		"too short":           {by, "AssumeRole", []string{"DurationSeconds", "899"}, 400, "ValidationError"},
		"too long":            {by, "AssumeRole", []string{"DurationSeconds", "43201"}, 400, "ValidationError"},
		"too long a session":  {by, "GetSessionToken", []string{"DurationSeconds", "129601"}, 400, "ValidationError"},
		"no number":           {by, "GetSessionToken", []string{"DurationSeconds", "1h"}, 400, "ValidationError"},
		"by a session":        {ofSession, "AssumeRole", nil, 403, "AccessDenied"},
		"denied by its key":   {denied, "AssumeRole", nil, 403, "AccessDenied"},
		"a broken policy":     {by, "AssumeRole", []string{"Policy", "{"}, 400, "MalformedPolicyDocument"},
		"a name for a policy": {by, "AssumeRole", []string{"Policy", `"readonly"`}, 400, "MalformedPolicyDocument"},
		"a policy of buckets": {by, "AssumeRole", []string{"Policy", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}]}`}, 400, "MalformedPolicyDocument"},
		"a great policy":      {by, "AssumeRole", []string{"Policy", `{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"` + strings.Repeat("x", 2048) + `"}]}`}, 400, "MalformedPolicyDocument"},
		"policies by ARN":     {by, "AssumeRole", []string{"PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/X"}, 400, "ValidationError"},
		"a second factor":     {by, "GetSessionToken", []string{"SerialNumber", "x", "TokenCode", "123456"}, 400, "ValidationError"},
		"a bad name":          {by, "AssumeRole", []string{"RoleSessionName", "a b"}, 400, "ValidationError"},
		"a bad role":          {by, "AssumeRole", []string{"RoleArn", "admin"}, 400, "ValidationError"},
		"a great body":        {by, "AssumeRole", []string{"Tags", strings.Repeat("x", 70_000)}, 400, "ValidationError"},
	} {
		if a := w.sts(c.who, c.action, now, c.params...); a.status != c.status || a.Code != c.code || a.Message == "" {
			t.Errorf("%s: %d %s, want %d %s", name, a.status, a.body, c.status, c.code)
		}
	}
	plain := func(contentType, payload string, service string) stsReply {
		r := w.request(http.MethodPost, "/", []byte("Action=GetSessionToken"), "Content-Type: "+contentType)
		if service != "" {
			sigv4.Signer{AccessKey: alice.key, Secret: alice.secret, Region: region, Service: service}.Sign(r, payload, now)
		}
		return w.readSTS(w.send(r))
	}
	const kind = "application/x-www-form-urlencoded"
	good := sha256Hex([]byte("Action=GetSessionToken"))
	for name, c := range map[string]struct {
		got    stsReply
		status int
		code   string
	}{
		"good":               {plain(kind+"; charset=utf-8", good, "sts"), 200, ""},
		"unsigned":           {plain(kind, "", ""), 403, "MissingAuthenticationToken"},
		"for S3":             {plain(kind, good, "s3"), 400, "IncompleteSignature"},
		"body is not signed": {plain(kind, sigv4.UnsignedPayload, "sts"), 403, "SignatureDoesNotMatch"},
		"another body":       {plain(kind, sha256Hex([]byte("Action=AssumeRole")), "sts"), 403, "SignatureDoesNotMatch"},
		"no form":            {plain("application/json", good, "sts"), 400, "ValidationError"},
		"in chunks":          {plain(kind, sigv4.StreamingPayload, "sts"), 403, "SignatureDoesNotMatch"},
	} {
		if c.got.status != c.status || c.got.Code != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, c.got.status, c.got.body, c.status, c.code)
		}
	}
	w.refused(user{}, 405, "MethodNotAllowed", "POST", "/", nil) // of S3, for who says nothing of the other
}

// What SDKs do by themselves.
func TestAssumeRoleOfMinIO(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/photos", nil)
	creds, err := miniocreds.NewSTSAssumeRole(w.url, miniocreds.STSAssumeRoleOptions{
		AccessKey: writer.key, SecretKey: writer.secret, DurationSeconds: 3600,
		Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:aws:s3:::photos/*"]}]}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := w.minio(writer, func(o *minio.Options) { o.Creds = creds })
	body := strings.Repeat("Meridian ", 1000)
	if _, err := c.PutObject(t.Context(), "photos", "k", strings.NewReader(body), int64(len(body)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveObject(t.Context(), "photos", "k", minio.RemoveObjectOptions{}); minio.ToErrorResponse(err).Code != "AccessDenied" {
		t.Errorf("beyond the policy: %v", err)
	}
	u, err := c.PresignedGetObject(t.Context(), "photos", "k", time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := w.send(w.request(http.MethodGet, u.RequestURI(), nil)); r.status != 200 || string(r.body) != body {
		t.Errorf("presigned: %d, %d bytes", r.status, len(r.body))
	}
}
