package sigv4

import (
	"errors"
	"fmt"
)

// The kinds of refusal, with the S3 error code of each. What Verify and the
// readers of a body return is an *Error that wraps one of them; test with
// errors.Is.
var (
	ErrNoCredentials        = errors.New("no credentials")                       // AccessDenied
	ErrSeveralMechanisms    = errors.New("only one auth mechanism allowed")      // InvalidArgument
	ErrUnsupportedAlgorithm = errors.New("unsupported authorization mechanism")  // InvalidRequest, InvalidArgument
	ErrMalformed            = errors.New("malformed authorization")              // AuthorizationHeaderMalformed, AuthorizationQueryParametersError
	ErrUnknownAccessKey     = errors.New("unknown access key")                   // InvalidAccessKeyId
	ErrSignatureMismatch    = errors.New("signature does not match")             // SignatureDoesNotMatch
	ErrMissingDate          = errors.New("missing date")                         // AccessDenied
	ErrSkewed               = errors.New("request time too skewed")              // RequestTimeTooSkewed
	ErrExpired              = errors.New("request has expired")                  // AccessDenied
	ErrNotYetValid          = errors.New("request is not valid yet")             // AccessDenied
	ErrUnsignedHeaders      = errors.New("headers were not signed")              // AccessDenied
	ErrInvalidContentSHA256 = errors.New("invalid x-amz-content-sha256")         // InvalidArgument
	ErrContentSHA256        = errors.New("x-amz-content-sha256 does not match")  // XAmzContentSHA256Mismatch
	ErrIncompleteBody       = errors.New("body differs from its length")         // IncompleteBody
	ErrMissingContentLength = errors.New("missing x-amz-decoded-content-length") // MissingContentLength
	ErrInvalidChunk         = errors.New("malformed aws-chunked body")           // IncompleteBody
	ErrChunkSize            = errors.New("chunk too small")                      // InvalidChunkSizeError
	ErrMalformedTrailer     = errors.New("malformed trailer")                    // MalformedTrailerError
)

// Error is a refusal: the kind, and what S3 says to the client.
type Error struct {
	Kind    error  // one of the errors above
	Code    string // S3 error code
	Message string // for the client
	// Region is, where the region of a scope was wrong, the one that was
	// expected.
	Region string
	// AccessKey, StringToSign and CanonicalRequest explain a mismatch, as S3
	// tells them in its answer. They hold no secret.
	AccessKey        string
	StringToSign     string
	CanonicalRequest string
	// Headers are those that should have been signed, comma separated.
	Headers string
	// Fields are further elements of S3's answer, in order.
	Fields []Field
	cause  error
}

// Field is an element that S3's answer has beside code and message.
type Field struct{ Name, Value string }

// with adds a field.
func (e *Error) with(name, value string) *Error {
	e.Fields = append(e.Fields, Field{name, value})
	return e
}

func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("sigv4: %s: %v", e.Message, e.cause)
	}
	return "sigv4: " + e.Message
}

// Unwrap gives the kind, and the cause where a read failed.
func (e *Error) Unwrap() []error {
	if e.cause != nil {
		return []error{e.Kind, e.cause}
	}
	return []error{e.Kind}
}

func refuse(kind error, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// malformed is ErrMalformed under the code that belongs to where the
// credentials came from.
func malformed(p place, format string, args ...any) *Error {
	switch p {
	case inQuery:
		return refuse(ErrMalformed, "AuthorizationQueryParametersError", format, args...)
	case inForm:
		return refuse(ErrMalformed, "InvalidArgument", format, args...)
	case inHeader:
	}
	return refuse(ErrMalformed, "AuthorizationHeaderMalformed",
		"The authorization header is malformed; "+format, args...)
}

// badCredential is malformed with what S3 says before it of a credential in a
// query.
func badCredential(p place, format string, args ...any) *Error {
	if p == inQuery {
		format = "Error parsing the X-Amz-Credential parameter; " + format
	}
	return malformed(p, format, args...)
}

// badAuthorization refuses a header that is of no version of AWS's signatures.
func badAuthorization(value, text string) *Error {
	return refuse(ErrUnsupportedAlgorithm, "InvalidArgument", "%s", text).with("ArgumentName", "Authorization").with("ArgumentValue", value)
}

// keyError dresses what a KeyFunc returned; errors of its own pass through.
func keyError(err error, accessKey string) error {
	if !errors.Is(err, ErrUnknownAccessKey) {
		return fmt.Errorf("sigv4: signing key of %q: %w", accessKey, err)
	}
	e := refuse(ErrUnknownAccessKey, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
	e.AccessKey = accessKey
	return e
}
