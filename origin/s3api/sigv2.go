package s3api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"meridian/internal/sigv2"
	"meridian/internal/sigv4"
)

// identifyV2 verifies a signature of version 2, of which malformed says that it
// could not have come from a signer, and sets c.who and c.auth.
func (c *call) identifyV2(claim sigv2.Claim, malformed error) error {
	if malformed != nil {
		return c.refusedV2(claim.AccessKey, malformed)
	}
	if c.r.Header.Get("X-Amz-Security-Token") != "" || c.query.Has("x-amz-security-token") {
		return errInvalidToken // temporary credentials sign with version 4
	}
	who, secret, err := c.secretV2(c.r.Context(), claim.AccessKey)
	if err != nil {
		return err
	}
	host, _ := virtualBucket(c.r.Host, c.opts.Domains)
	if err := claim.Verify(c.r, secret, host, signedByV2, c.opts.Now()); err != nil {
		return c.refusedV2(claim.AccessKey, err)
	}
	// Parameters that are not signed are no headers: Presigned stays false.
	c.who, c.auth = who, &sigv4.Auth{AccessKey: claim.AccessKey, PayloadHash: sigv4.UnsignedPayload}
	c.version2 = true
	return nil
}

// signedByV2 says whether version 2 signs a parameter. All that make a request
// into another one are among them, but for list-type, which SDKs do not sign:
// the two listings show the same.
func signedByV2(param string) bool {
	if param == "list-type" {
		return false
	}
	return param == "versionId" || slices.Contains(selectors, param) || overrides[param] != ""
}

// secretV2 finds a secret key. Nodes sign with version 4 only.
func (c *call) secretV2(ctx context.Context, accessKey string) (identity, string, error) {
	who, err := c.owner(ctx, accessKey)
	if errors.Is(err, sigv4.ErrUnknownAccessKey) {
		return identity{}, "", because(errInvalidAccessKeyID, err).with("AWSAccessKeyId", asUTF8(accessKey))
	}
	return who, who.key.Secret, err
}

// identifyFormV2 verifies a form whose policy is signed by version 2.
func (c *call) identifyFormV2(f *form) error {
	accessKey := f.fields["awsaccesskeyid"]
	for _, name := range []string{"policy", "awsaccesskeyid", "signature"} {
		if f.fields[name] == "" {
			return missingField(name)
		}
	}
	who, secret, err := c.secretV2(c.r.Context(), accessKey)
	if err != nil {
		return err
	}
	if err := sigv2.VerifyPolicy(secret, f.fields["policy"], f.fields["signature"]); err != nil {
		return c.refusedV2(accessKey, err)
	}
	c.who, c.version2 = who, true
	return nil
}

// missingField refuses a form without a field that it must have.
func missingField(name string) error {
	return badArgument(name, "", "Bucket POST must contain a field named '%s'.  If it is specified, please check the order of the fields.", name)
}

// refusedV2 says in the words of S3 why a signature of version 2 does not hold.
func (c *call) refusedV2(accessKey string, err error) error {
	switch {
	case errors.Is(err, sigv2.ErrMismatch):
		return because(errSignatureDoesNotMatch, err).with("AWSAccessKeyId", asUTF8(accessKey))
	case errors.Is(err, sigv2.ErrNoDate):
		return &failure{code: errAccessDenied, message: "AWS authentication requires a valid Date or x-amz-date header.", cause: err}
	case errors.Is(err, sigv2.ErrSkewed):
		return because(errRequestTimeTooSkewed, err).with("ServerTime", c.opts.Now().UTC().Format(time.RFC3339)).
			with("MaxAllowedSkewMilliseconds", strconv.FormatInt(sigv2.MaxSkew.Milliseconds(), 10))
	case errors.Is(err, sigv2.ErrExpired):
		return &failure{code: errAccessDenied, message: "Request has expired.", cause: err}
	case errors.Is(err, sigv2.ErrMalformed):
		return &failure{code: errInvalidRequest, message: "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.", cause: err}
	}
	return fmt.Errorf("verify signature of version 2: %w", err)
}
