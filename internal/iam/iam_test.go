package iam_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"meridian/internal/iam"
)

// policy is one of the given statements, whose members are given without braces.
func policy(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[{` + strings.Join(statements, `},{`) + `}]}`
}

func parse(t *testing.T, text string) *iam.Policy {
	t.Helper()
	p, err := iam.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return p
}

func context(pairs ...string) iam.Context {
	c := iam.Context{}
	for i := 0; i < len(pairs); i += 2 {
		c.Set(pairs[i], append(c[strings.ToLower(pairs[i])], pairs[i+1])...)
	}
	return c
}

const readAll = `"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`

// AWS documents the order: an explicit deny, an explicit allow, nothing.
func TestEvaluate(t *testing.T) {
	t.Parallel()
	get := func(user, key string) iam.Request {
		return iam.Request{User: user, Action: "s3:GetObject", Resource: iam.ObjectARN("b", key)}
	}
	for name, c := range map[string]struct {
		policy string
		ask    iam.Request
		want   iam.Decision
	}{
		"everybody, anonymous":       {policy(readAll), get("", "k"), iam.Allow},
		"everybody, a user":          {policy(readAll), get("eve", "k"), iam.Allow},
		"another action":             {policy(readAll), iam.Request{Action: "s3:PutObject", Resource: iam.ObjectARN("b", "k")}, iam.None},
		"another bucket":             {policy(readAll), iam.Request{Action: "s3:GetObject", Resource: iam.ObjectARN("bb", "k")}, iam.None},
		"the bucket is no object":    {policy(readAll), iam.Request{Action: "s3:GetObject", Resource: iam.BucketARN("b")}, iam.None},
		"actions are in any case":    {policy(`"Effect":"Allow","Principal":"*","Action":"S3:getobject","Resource":"arn:aws:s3:::b/*"`), get("", "k"), iam.Allow},
		"resources are not":          {policy(`"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::b/K"`), get("", "k"), iam.None},
		"AWS: *":                     {policy(`"Effect":"Allow","Principal":{"AWS":"*"},"Action":"*","Resource":"arn:aws:s3:::b/*"`), get("", "k"), iam.Allow},
		"user by ARN":                {policy(`"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::000000000000:user/bob"]},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("bob", "k"), iam.Allow},
		"user by ARN, no account":    {policy(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam:::user/bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("bob", "k"), iam.Allow},
		"user of another account":    {policy(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("bob", "k"), iam.None},
		"user by name":               {policy(`"Effect":"Allow","Principal":{"AWS":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("bob", "k"), iam.Allow},
		"canonical user":             {policy(`"Effect":"Allow","Principal":{"CanonicalUser":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("bob", "k"), iam.Allow},
		"another user":               {policy(`"Effect":"Allow","Principal":{"AWS":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("bobby", "k"), iam.None},
		"users are not anonymous":    {policy(`"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("", "k"), iam.None},
		"the account is its users":   {policy(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("eve", "k"), iam.Allow},
		"another account":            {policy(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("eve", "k"), iam.None},
		"a service is nobody here":   {policy(`"Effect":"Allow","Principal":{"Service":"cloudfront.amazonaws.com"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("", "k"), iam.None},
		"deny beats allow":           {policy(readAll, `"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/secret/*"`), get("bob", "secret/k"), iam.Deny},
		"deny before allow":          {policy(`"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/secret/*"`, readAll), get("bob", "secret/k"), iam.Deny},
		"deny of something else":     {policy(readAll, `"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/secret/*"`), get("bob", "k"), iam.Allow},
		"deny all but one":           {policy(`"Effect":"Deny","NotPrincipal":{"AWS":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("eve", "k"), iam.Deny},
		"but that one":               {policy(`"Effect":"Deny","NotPrincipal":{"AWS":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`), get("bob", "k"), iam.None},
		"not action":                 {policy(`"Effect":"Deny","Principal":"*","NotAction":"s3:Put*","Resource":"arn:aws:s3:::b/*"`), get("bob", "k"), iam.Deny},
		"not action, that one":       {policy(`"Effect":"Deny","Principal":"*","NotAction":"s3:Get*","Resource":"arn:aws:s3:::b/*"`), get("bob", "k"), iam.None},
		"not resource":               {policy(`"Effect":"Allow","Principal":"*","Action":"s3:*","NotResource":"arn:aws:s3:::b/secret/*"`), get("bob", "k"), iam.Allow},
		"not resource, that one":     {policy(`"Effect":"Allow","Principal":"*","Action":"s3:*","NotResource":"arn:aws:s3:::b/secret/*"`), get("bob", "secret/k"), iam.None},
		"one of several resources":   {policy(`"Effect":"Allow","Principal":"*","Action":["s3:Put*","s3:Get*"],"Resource":["arn:aws:s3:::b/x","arn:aws:s3:::b/k"]`), get("", "k"), iam.Allow},
		"one statement, not a list":  {`{"Statement":{` + readAll + `}}`, get("", "k"), iam.Allow},
		"identity policy":            {policy(`"Effect":"Allow","Action":"s3:*","Resource":"*"`), get("eve", "k"), iam.Allow},
		"home folder":                {policy(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/home/${aws:username}/*"`), with(get("bob", "home/bob/k"), "aws:username", "bob"), iam.Allow},
		"home folder of another":     {policy(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/home/${aws:username}/*"`), with(get("bob", "home/eve/k"), "aws:username", "bob"), iam.None},
		"a name is no pattern":       {policy(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/home/${aws:username}/*"`), with(get("*", "home/eve/k"), "aws:username", "*"), iam.None},
		"home of nobody":             {policy(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/home/${aws:username}/*"`), get("", "home//k"), iam.None},
		"exception of nobody, allow": {policy(`"Effect":"Allow","Principal":"*","Action":"s3:*","NotResource":"arn:aws:s3:::b/${aws:username}/*"`), get("", "k"), iam.None},
		"exception of nobody, deny":  {policy(`"Effect":"Deny","Principal":"*","Action":"s3:*","NotResource":"arn:aws:s3:::b/${aws:username}/*"`), get("", "k"), iam.Deny},
		"default of a variable":      {policy(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username, 'all'}/*"`), get("", "all/k"), iam.Allow},
		"a star as itself":           {policy(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/${*}"`), get("", "k"), iam.None},
		"no variables in 2008":       {`{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}"}]}`, with(get("bob", "bob"), "aws:username", "bob"), iam.None},
	} {
		if got := parse(t, c.policy).Evaluate(&c.ask); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func with(r iam.Request, pairs ...string) iam.Request {
	r.Context = context(pairs...)
	return r
}

func TestConditions(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for name, c := range map[string]struct {
		condition string
		context   iam.Context
		want      bool
	}{
		"equal":                          {`"StringEquals":{"aws:UserAgent":"x"}`, context("aws:UserAgent", "x"), true},
		"keys are in any case":           {`"StringEquals":{"AWS:useragent":"x"}`, context("aws:UserAgent", "x"), true},
		"values are not":                 {`"StringEquals":{"aws:UserAgent":"x"}`, context("aws:UserAgent", "X"), false},
		"unless ignored":                 {`"StringEqualsIgnoreCase":{"aws:UserAgent":"x"}`, context("aws:UserAgent", "X"), true},
		"one of several":                 {`"StringEquals":{"aws:UserAgent":["x","y"]}`, context("aws:UserAgent", "y"), true},
		"no pattern":                     {`"StringEquals":{"aws:UserAgent":"*"}`, context("aws:UserAgent", "y"), false},
		"missing":                        {`"StringEquals":{"aws:UserAgent":"x"}`, nil, false},
		"missing, if exists":             {`"StringEqualsIfExists":{"aws:UserAgent":"x"}`, nil, true},
		"there, if exists":               {`"StringEqualsIfExists":{"aws:UserAgent":"x"}`, context("aws:UserAgent", "y"), false},
		"not equal":                      {`"StringNotEquals":{"aws:UserAgent":["x","y"]}`, context("aws:UserAgent", "z"), true},
		"not equal to one":               {`"StringNotEquals":{"aws:UserAgent":["x","y"]}`, context("aws:UserAgent", "y"), false},
		"not equal, missing":             {`"StringNotEquals":{"aws:UserAgent":"x"}`, nil, true},
		"like":                           {`"StringLike":{"aws:Referer":"http://*.example.com/?"}`, context("aws:Referer", "http://a.b.example.com/c"), true},
		"not like":                       {`"StringNotLike":{"aws:Referer":"http://*.example.com/*"}`, context("aws:Referer", "http://example.org/"), true},
		"a variable":                     {`"StringLike":{"s3:prefix":"${aws:username}/*"}`, context("s3:prefix", "bob/x", "aws:username", "bob"), true},
		"a variable without a value":     {`"StringLike":{"s3:prefix":"${aws:username}*"}`, context("s3:prefix", "bob"), false},
		"all keys must hold":             {`"StringEquals":{"aws:UserAgent":"x","aws:Referer":"y"}`, context("aws:UserAgent", "x", "aws:Referer", "z"), false},
		"all operators must hold":        {`"StringEquals":{"aws:UserAgent":"x"},"Bool":{"aws:SecureTransport":true}`, context("aws:UserAgent", "x", "aws:SecureTransport", "false"), false},
		"bool":                           {`"Bool":{"aws:SecureTransport":"false"}`, context("aws:SecureTransport", "false"), true},
		"number":                         {`"NumericLessThanEquals":{"s3:max-keys":10}`, context("s3:max-keys", "10"), true},
		"number above":                   {`"NumericLessThanEquals":{"s3:max-keys":"10"}`, context("s3:max-keys", "11"), false},
		"number, not as text":            {`"NumericGreaterThan":{"s3:max-keys":"9"}`, context("s3:max-keys", "10"), true},
		"number, other":                  {`"NumericNotEquals":{"s3:max-keys":"9"}`, context("s3:max-keys", "10"), true},
		"number, nonsense":               {`"NumericLessThan":{"s3:max-keys":"9"}`, context("s3:max-keys", "x"), false},
		"before":                         {`"DateLessThan":{"aws:CurrentTime":"2026-05-04T04:00:00Z"}`, times(now), true},
		"after":                          {`"DateGreaterThan":{"aws:CurrentTime":"2026-05-04T04:00:00Z"}`, times(now), false},
		"by seconds":                     {`"DateGreaterThan":{"aws:EpochTime":"1700000000"}`, times(now), true},
		"by number":                      {`"NumericGreaterThan":{"aws:EpochTime":"1700000000"}`, times(now), true},
		"in the range":                   {`"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.7"]}`, context("aws:SourceIp", "10.1.2.3"), true},
		"the address":                    {`"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.7"]}`, context("aws:SourceIp", "192.0.2.7"), true},
		"outside":                        {`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, context("aws:SourceIp", "11.1.2.3"), false},
		"not within":                     {`"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","11.0.0.0/8"]}`, context("aws:SourceIp", "11.1.2.3"), false},
		"not within, of neither":         {`"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","11.0.0.0/8"]}`, context("aws:SourceIp", "12.1.2.3"), true},
		"version 6":                      {`"IpAddress":{"aws:SourceIp":"2001:db8::/32"}`, context("aws:SourceIp", "2001:db8:1::1"), true},
		"version 4 in 6":                 {`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, context("aws:SourceIp", "::ffff:10.0.0.1"), true},
		"ARN":                            {`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/b*"}`, context("aws:PrincipalArn", "arn:aws:iam::000000000000:user/bob"), true},
		"ARN, a star stops at a colon":   {`"ArnLike":{"aws:PrincipalArn":"arn:aws:*:user/bob"}`, context("aws:PrincipalArn", "arn:aws:iam::000000000000:user/bob"), false},
		"ARN, other":                     {`"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/bob"}`, context("aws:PrincipalArn", "arn:aws:iam::000000000000:user/eve"), true},
		"must be missing":                {`"Null":{"s3:x-amz-acl":"true"}`, nil, true},
		"must be missing, is not":        {`"Null":{"s3:x-amz-acl":true}`, context("s3:x-amz-acl", "private"), false},
		"must be there":                  {`"Null":{"s3:x-amz-acl":"false"}`, context("s3:x-amz-acl", "private"), true},
		"any of them":                    {`"ForAnyValue:StringEquals":{"s3:RequestObjectTagKeys":["a","b"]}`, context("s3:RequestObjectTagKeys", "c", "s3:RequestObjectTagKeys", "b"), true},
		"none of them":                   {`"ForAnyValue:StringEquals":{"s3:RequestObjectTagKeys":["a","b"]}`, context("s3:RequestObjectTagKeys", "c"), false},
		"any, missing":                   {`"ForAnyValue:StringNotEquals":{"s3:RequestObjectTagKeys":"a"}`, nil, false},
		"all of them":                    {`"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":["a","b"]}`, context("s3:RequestObjectTagKeys", "a", "s3:RequestObjectTagKeys", "b"), true},
		"not all":                        {`"ForAllValues:StringLike":{"s3:RequestObjectTagKeys":["a*"]}`, context("s3:RequestObjectTagKeys", "a1", "s3:RequestObjectTagKeys", "b"), false},
		"all, missing":                   {`"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":"a"}`, nil, true},
		"any that is not":                {`"ForAnyValue:StringNotEquals":{"s3:RequestObjectTagKeys":"a"}`, context("s3:RequestObjectTagKeys", "a", "s3:RequestObjectTagKeys", "b"), true},
		"a tag":                          {`"StringEquals":{"s3:ExistingObjectTag/Class":"secret"}`, context("s3:ExistingObjectTag/Class", "secret"), true},
		"tags differ by case":            {`"StringEquals":{"s3:ExistingObjectTag/class":"secret"}`, context("s3:ExistingObjectTag/Class", "secret"), false},
		"no value of the policy, at all": {`"StringEquals":{"aws:UserAgent":[]}`, context("aws:UserAgent", "x"), false},
	} {
		p := parse(t, policy(readAll+`,"Condition":{`+c.condition+`}`))
		r := iam.Request{Action: "s3:GetObject", Resource: iam.ObjectARN("b", "k"), Context: c.context}
		if got := p.Evaluate(&r) == iam.Allow; got != c.want {
			t.Errorf("%s: %s of %v: %v", name, c.condition, c.context, got)
		}
	}
}

func times(now time.Time) iam.Context {
	c := iam.Context{}
	c.Times(now)
	return c
}

func TestRefused(t *testing.T) {
	t.Parallel()
	statement := func(s string) string { return policy(s) }
	for text, want := range map[string]string{
		"":                      "Policies must be valid JSON and the first byte must be '{'",
		"false":                 "Policies must be valid JSON and the first byte must be '{'",
		`"Statement":[]}`:       "Policies must be valid JSON and the first byte must be '{'",
		"{true}":                "This policy contains invalid Json",
		`{"Statement":[]} x`:    "This policy contains invalid Json",
		`{"Id":"a","Id":"b"}`:   "This policy contains invalid Json",
		`{"Statement":"x"}`:     "This policy contains invalid Json",
		`{}`:                    "Missing required field Statement",
		`{"Statement":[]}`:      "Could not parse the policy: Statement is empty!",
		`{"statement":[]}`:      "Unknown field statement",
		`{"Version":"2012-01"}`: "The policy must contain a valid version string",
		`{"Version":null}`:      "The policy must contain a valid version string",
		statement(`"Effect":"allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b"`):                   "Invalid effect: allow",
		statement(`"Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b"`):                                    "Missing required field Effect",
		statement(`"Effect":"Allow","Principal":"*","Resource":"arn:aws:s3:::b"`):                                   "Missing required field Action",
		statement(`"Effect":"Allow","Principal":"*","Action":"s3:*"`):                                               "Missing required field Resource",
		statement(`"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b"`):                                   "Missing required field Principal",
		statement(readAll + `,"Comment":"x"`):                                                                       "Unknown field Comment",
		statement(readAll + `,"NotResource":"arn:aws:s3:::b/x"`):                                                    "Statement has both Resource and NotResource",
		policy(`"Sid":"a",`+readAll, `"Sid":"a",`+readAll):                                                          "Statement IDs (SID) in a single policy must be unique.",
		statement(`"Effect":"Allow","NotPrincipal":{"AWS":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b"`):      "Allow with NotPrincipal is not allowed.",
		statement(`"Effect":"Allow","Principal":{"AWS":"nobody"},"Action":"s3:*","Resource":"arn:aws:s3:::b"`):      "Invalid principal in policy",
		statement(`"Effect":"Allow","Principal":["*","nobody"],"Action":"s3:*","Resource":"arn:aws:s3:::b"`):        "Invalid principal in policy",
		statement(`"Effect":"Allow","Principal":{"AWS":"b*"},"Action":"s3:*","Resource":"arn:aws:s3:::b"`):          "Invalid principal in policy",
		statement(`"Effect":"Allow","Principal":{"Aws":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b"`):         "Invalid principal in policy",
		statement(`"Effect":"Allow","Principal":{},"Action":"s3:*","Resource":"arn:aws:s3:::b"`):                    "Invalid principal in policy",
		statement(`"Effect":"Allow","Principal":"","Action":"s3:*","Resource":"arn:aws:s3:::b"`):                    "Invalid principal in policy",
		statement(`"Effect":"Allow","Principal":"*","Action":"s3:Fly","Resource":"arn:aws:s3:::b"`):                 "Policy has invalid action",
		statement(`"Effect":"Allow","Principal":"*","Action":"ec2:RunInstances","Resource":"arn:aws:s3:::b"`):       "Policy has invalid action",
		statement(`"Effect":"Allow","Principal":"*","Action":"*GetObject","Resource":"arn:aws:s3:::b/*"`):           "Policy has invalid action",
		statement(`"Effect":"Allow","Principal":"*","Action":[],"Resource":"arn:aws:s3:::b"`):                       "Policy has invalid action",
		statement(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::other"`):               "Policy has invalid resource",
		statement(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::bb/*"`):                "Policy has invalid resource",
		statement(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"`):                                "Policy has invalid resource",
		statement(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::/b"`):                  "Policy has invalid resource",
		statement(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:iam:::b"`):                  "Policy has invalid resource",
		statement(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username"`):    "Policy has an invalid variable",
		statement(`"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b"`):           "Action does not apply to any resource(s) in statement",
		statement(`"Effect":"Allow","Principal":"*","Action":"s3:GetBucket*","Resource":"arn:aws:s3:::b/*"`):        "Action does not apply to any resource(s) in statement",
		statement(readAll + `,"Condition":{"stringequals":{"aws:UserAgent":"x"}}`):                                  "Invalid Condition type : stringequals",
		statement(readAll + `,"Condition":{"NullIfExists":{"aws:UserAgent":"true"}}`):                               "Invalid Condition type : NullIfExists",
		statement(readAll + `,"Condition":{"ForSomeValues:StringEquals":{"aws:UserAgent":"x"}}`):                    "Invalid Condition type : ForSomeValues:StringEquals",
		statement(readAll + `,"Condition":{"StringEquals":{"s3:Fake":"x"}}`):                                        "Policy has an invalid condition key",
		statement(readAll + `,"Condition":{"StringEquals":{"s3:prefix":"x"}}`):                                      "Conditions do not apply to combination of actions and resources in statement",
		statement(readAll + `,"Condition":{"IpAddress":{"aws:SourceIp":"300.1.1.1/40"}}`):                           "Invalid IP address in Conditions",
		statement(readAll + `,"Condition":{"Null":{"aws:SourceIp":"true"}}`):                                        "Invalid IP address in Conditions",
		statement(readAll + `,"Condition":{"NumericEquals":{"s3:signatureAge":"x"}}`):                               "Invalid numeric value in Conditions",
		statement(readAll + `,"Condition":{"DateLessThan":{"aws:CurrentTime":"soon"}}`):                             "Invalid date value in Conditions",
		statement(readAll + `,"Condition":{"StringEquals":{"aws:UserAgent":{"x":"y"}}}`):                            "This policy contains invalid Json",
		statement(readAll + `,"Condition":{"StringEquals":{"aws:UserAgent":"x"},"StringEquals":{"aws:Referer":1}}`): "This policy contains invalid Json",
	} {
		if err := check(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	failed := errors.New("no database")
	err := parse(t, policy(`"Effect":"Allow","Principal":{"AWS":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b"`)).
		CheckBucketPolicy("b", func(string) (bool, error) { return false, failed })
	if !errors.Is(err, failed) {
		t.Errorf("a look-up that fails: %v", err)
	}
}

func check(text string) error {
	p, err := iam.Parse([]byte(text))
	if err != nil {
		return err
	}
	return p.CheckBucketPolicy("b", func(user string) (bool, error) { return user == "bob", nil })
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		policy(readAll),
		policy(`"Effect":"Allow","Principal":"*","Action":"*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]`),
		policy(`"Effect":"Allow","Principal":{"AWS":["bob","arn:aws:iam::111111111111:root","222222222222"]},"Action":"s3:List*","Resource":"arn:aws:s3:::b"`),
		policy(`"Effect":"Allow","Principal":"*","Action":["s3:ListBucket","s3:GetObject"],"Resource":["arn:aws:s3:::*","arn:aws:s3:::*/*"]`),
		policy(`"Effect":"Deny","NotPrincipal":{"AWS":"bob"},"NotAction":"s3:Get*","NotResource":"arn:aws:s3:::b/x"`),
		policy(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b*","Condition":{"StringLike":{"s3:prefix":["a*",""]}}`),
		policy(`"Sid":"one",`+readAll, `"Sid":"two",`+readAll+`,"Condition":{"Bool":{"aws:SecureTransport":false},"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`),
	} {
		if err := check(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := parse(t, policy(`"Effect":"Allow","Action":["s3:*","iam:GetUser"],"Resource":"*"`)).CheckIdentityPolicy(); err != nil {
		t.Errorf("identity policy: %v", err)
	}
	for _, text := range []string{policy(readAll), policy(`"Effect":"Allow","Action":"s3:Fly","Resource":"*"`)} {
		if err := parse(t, text).CheckIdentityPolicy(); err == nil {
			t.Errorf("identity policy accepted: %s", text)
		}
	}
}

// What is public is as AWS documents it.
func TestIsPublic(t *testing.T) {
	t.Parallel()
	everybody := func(condition string) string { return policy(readAll + `,"Condition":{` + condition + `}`) }
	for text, want := range map[string]bool{
		policy(readAll): true,
		policy(`"Effect":"Allow","Principal":{"AWS":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`):          false,
		policy(`"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*"`):                     false,
		policy(`"Effect":"Allow","Principal":{"AWS":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`, readAll): true,
		everybody(`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`):                                                      false,
		everybody(`"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}`):                                                       true,
		everybody(`"IpAddress":{"aws:SourceIp":["10.0.0.0/8","8.0.0.0/7"]}`):                                        true,
		everybody(`"IpAddress":{"aws:SourceIp":"2001:db8::/32"}`):                                                   false,
		everybody(`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`):                                                   true,
		everybody(`"IpAddressIfExists":{"aws:SourceIp":"10.0.0.0/8"}`):                                              true,
		everybody(`"StringEquals":{"aws:SourceVpc":"vpc-91237329"}`):                                                false,
		everybody(`"StringLike":{"aws:SourceVpc":"vpc-*"}`):                                                         true,
		everybody(`"StringLike":{"aws:Referer":"http://example.com/*"}`):                                            true,
		everybody(`"StringEquals":{"aws:UserAgent":"x"}`):                                                           true,
		everybody(`"StringEquals":{"aws:PrincipalOrgID":"o-1"}`):                                                    false,
		everybody(`"StringEquals":{"aws:userid":"${aws:username}"}`):                                                true,
		everybody(`"ForAllValues:StringEquals":{"aws:PrincipalOrgID":"o-1"}`):                                       true,
		everybody(`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/bob"}`):                            false,
	} {
		if got := parse(t, text).IsPublic(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestOpensAll(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		policy(readAll): true,
		policy(`"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:Get*","Resource":"arn:aws:s3:::*"`):               true,
		policy(`"Effect":"Allow","Principal":{"AWS":"bob"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"`):              false,
		policy(`"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/a*"`):               false,
		policy(`"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${aws:username}*"`): false,
		policy(`"Effect":"Allow","Principal":"*","Action":"s3:GetObjectVersion","Resource":"arn:aws:s3:::b/*"`):         false,
		policy(`"Effect":"Allow","Principal":"*","Action":"s3:GetObject","NotResource":"arn:aws:s3:::b/x"`):             false,
		policy(readAll + `,"Condition":{"Bool":{"aws:SecureTransport":"true"}}`):                                        false,
		policy(readAll, `"Effect":"Deny","Principal":{"AWS":"bob"},"Action":"s3:Get*","Resource":"arn:aws:s3:::b/x"`):   false,
		policy(readAll, `"Effect":"Deny","Principal":"*","NotAction":"s3:Put*","Resource":"arn:aws:s3:::b/x"`):          false,
		policy(readAll, `"Effect":"Deny","Principal":"*","Action":"s3:Put*","Resource":"arn:aws:s3:::b/*"`):             true,
	} {
		if got := parse(t, text).OpensAll("s3:GetObject", "b"); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestUses(t *testing.T) {
	t.Parallel()
	p := parse(t, policy(readAll+`,"Condition":{"StringEquals":{"S3:ExistingObjectTag/a":"${aws:username}"}}`))
	if !p.Uses("s3:ExistingObjectTag/") || !p.Uses("aws:username") || p.Uses("aws:SourceIp") {
		t.Error("keys are not found")
	}
	if p = parse(t, policy(`"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${s3:ExistingObjectTag/a}"`)); !p.Uses("s3:ExistingObjectTag/") {
		t.Error("a variable is not found")
	}
}

// A pattern of many stars must not cost what it could.
func TestPatternCost(t *testing.T) {
	t.Parallel()
	p := parse(t, policy(fmt.Sprintf(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/%sb"`, strings.Repeat("a*", 100))))
	r := iam.Request{Action: "s3:GetObject", Resource: iam.ObjectARN("b", strings.Repeat("a", 1000))}
	if p.Evaluate(&r) != iam.None {
		t.Error("a key without a b matches")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(policy(readAll)), "b", "k", "bob")
	f.Add([]byte(policy(readAll+`,"Condition":{"StringLikeIfExists":{"aws:Referer":["http://*.x/${aws:username, 'y'}"]}}`)), "b", "k", "")
	f.Add([]byte(`{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":["1"]},"NotAction":"*","NotResource":"arn:aws:s3:::?/${*}"}}`), "b", "x/*", "é")
	f.Add([]byte(policy(`"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::*","Condition":{"ForAllValues:ArnLike":{"aws:PrincipalArn":"arn:*"},"NumericLessThan":{"s3:max-keys":1e3}}`)), "b", "k", "bob")
	f.Fuzz(func(t *testing.T, text []byte, bucket, key, user string) {
		p, err := iam.Parse(text)
		if err != nil {
			var known iam.Error
			if !errors.As(err, &known) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		r := iam.Request{
			User: user, Action: "s3:GetObject", Resource: iam.ObjectARN(bucket, key),
			Context: context("aws:username", user, "aws:Referer", key, "aws:PrincipalArn", iam.UserARN(user), "s3:max-keys", key),
		}
		got := p.Evaluate(&r)
		if p.OpensAll(r.Action, bucket) && got != iam.Allow {
			t.Fatalf("%s opens all of %q, but not %q: %v", text, bucket, key, got)
		}
		if got == iam.Deny && !p.Denies() {
			t.Fatalf("%s denies nothing, and denies", text)
		}
		p.IsPublic()
		p.Uses("s3:")
		_ = p.CheckBucketPolicy(bucket, func(string) (bool, error) { return true, nil })
	})
}
