package s3api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"meridian/internal/sigv4"
	"meridian/internal/sse"
	"meridian/metadata"
	"meridian/origin"
	"meridian/origin/blob"
	"meridian/origin/crypt"
	"meridian/upload"
)

// failure is an answer that is not a success: an S3 code with what this request
// adds to it.
type failure struct {
	code    code
	message string  // "": the standard text
	fields  []field // further elements of the XML, in order
	cause   error   // for the log; never told to the client
}

// field is a further element of an error's XML.
type field struct{ name, value string }

func (f *failure) Error() string {
	s := string(f.code)
	if f.message != "" {
		s += ": " + f.message
	}
	if f.cause != nil {
		s += ": " + f.cause.Error()
	}
	return s
}

func (f *failure) Unwrap() error { return f.cause }

// refuse is a failure with a text of its own.
func refuse(c code, format string, args ...any) *failure {
	return &failure{code: c, message: fmt.Sprintf(format, args...)}
}

// because is a failure with the standard text and a cause for the log.
func because(c code, cause error) *failure { return &failure{code: c, cause: cause} }

// with adds an element to the XML.
func (f *failure) with(name, value string) *failure {
	f.fields = append(f.fields, field{name, value})
	return f
}

// badArgument is InvalidArgument with the elements that AWS adds.
func badArgument(name, value, format string, args ...any) *failure {
	return refuse(errInvalidArgument, format, args...).with("ArgumentName", name).with("ArgumentValue", value)
}

// sentinels maps the errors of the packages below to codes. The first that
// matches counts.
var sentinels = []struct {
	err  error
	code code
	text string // "": the standard text
}{
	{metadata.ErrNoSuchBucket, errNoSuchBucket, ""},
	{metadata.ErrBucketExists, errBucketAlreadyExists, ""},
	{metadata.ErrBucketNotEmpty, errBucketNotEmpty, ""},
	{metadata.ErrNoSuchKey, errNoSuchKey, ""},
	{metadata.ErrNoSuchVersion, errNoSuchVersion, ""},
	{metadata.ErrDeleteMarker, errMethodNotAllowed, ""},
	{metadata.ErrNoSuchUpload, errNoSuchUpload, ""},
	{metadata.ErrInvalidPart, errInvalidPart, ""},
	{metadata.ErrPrecondition, errPreconditionFailed, ""},
	{metadata.ErrLocked, errAccessDenied, "Access Denied because object protected by object lock."},
	{metadata.ErrResidency, errIllegalLocationConstraint, "The bucket's residency forbids this region. Write to the S3 endpoint of a region that it allows."},

	{crypt.ErrKeyNeeded, errInvalidRequest, "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."},
	{crypt.ErrKeyUnwanted, errInvalidRequest, notApplicable},
	{sse.ErrWrongKey, errAccessDenied, ""},
	{crypt.ErrNoRing, errNotImplemented, "Server side encryption needs a master key, and this endpoint was not given one (--encryption-key-file)."},
	{sse.ErrNoMasterKey, errInternalError, "The object is encrypted under a master key that this endpoint does not have (--encryption-key-file)."},
	{sse.ErrDamaged, errInternalError, "The object is damaged where it is stored."},

	{origin.ErrUnavailable, errServiceUnavailable, "No region that holds the object can be reached at the moment. Try again."},
	{blob.ErrUnavailable, errServiceUnavailable, "The store of this region cannot be reached at the moment. Try again, or write to the S3 endpoint of another region."},
	{upload.ErrWrongRegion, errIllegalLocationConstraint, ""},
	{upload.ErrPartOrder, errInvalidPartOrder, ""},
	{upload.ErrPartTooSmall, errEntityTooSmall, ""},
	{upload.ErrTooLarge, errEntityTooLarge, ""},
	{upload.ErrWrongSize, errInvalidRequest, "The provided 'x-amz-mp-object-size' header value does not match what was computed."},
	{upload.ErrChecksum, errBadDigest, "The checksum that you specified did not match the calculated checksum."},

	{os.ErrDeadlineExceeded, errRequestTimeout, ""},
	{io.ErrUnexpectedEOF, errIncompleteBody, ""},
	{blob.ErrNoSpace, errServiceUnavailable, "There is no space left to store this object."},
	{blob.ErrSize, errIncompleteBody, ""},
	{context.DeadlineExceeded, errServiceUnavailable, ""},
}

// failureOf turns any error into the answer that it gets.
func failureOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var sig *sigv4.Error
	if errors.As(err, &sig) {
		return signatureFailure(sig, err)
	}
	var c code
	if errors.As(err, &c) {
		return &failure{code: c, cause: err}
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return &failure{code: s.code, message: s.text, cause: err}
		}
	}
	if f := ruleFailure(err); f != nil {
		return f
	}
	if errors.Is(err, metadata.ErrInvalid) {
		return &failure{code: errInvalidArgument, message: err.Error(), cause: err}
	}
	return because(errInternalError, err)
}

// ruleFailure tells of a rule of the bucket that the object breaks. Its text is
// for people: no standard one names the rule.
func ruleFailure(err error) *failure {
	for sentinel, c := range map[error]code{
		metadata.ErrTooLarge: errEntityTooLarge, metadata.ErrTypeRefused: errInvalidRequest, metadata.ErrQuota: errQuotaExceeded,
		metadata.ErrPullZone: errMethodNotAllowed,
	} {
		if errors.Is(err, sentinel) {
			_, text, _ := strings.Cut(err.Error(), sentinel.Error())
			return &failure{code: c, message: "The object is refused: " + sentinel.Error() + text, cause: err}
		}
	}
	return nil
}

// codeIs says whether err is answered with k.
func codeIs(err error, k code) bool { return err != nil && failureOf(err).code == k }

// signatureFailure is what S3 tells of a signature that it refuses. A read that
// failed under the signature's reader is told by its own cause.
func signatureFailure(sig *sigv4.Error, err error) *failure {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return because(errRequestTimeout, err)
	}
	f := &failure{code: code(sig.Code), message: sig.Message, cause: err}
	if _, known := codeTable[f.code]; !known {
		f.code = errInvalidRequest
	}
	for _, x := range []field{
		{"AWSAccessKeyId", sig.AccessKey}, {"StringToSign", sig.StringToSign}, {"CanonicalRequest", sig.CanonicalRequest},
		{"Region", sig.Region}, {"HeadersNotSigned", sig.Headers},
	} {
		if x.value != "" {
			f.fields = append(f.fields, x)
		}
	}
	for _, x := range sig.Fields {
		f.fields = append(f.fields, field{x.Name, x.Value})
	}
	return f
}

// document is the XML of an error. It has no namespace.
func (f *failure) document(resource, requestID, hostID string) []byte {
	d := newPlainDocument("Error")
	_, text := f.code.about()
	if f.message != "" {
		text = f.message
	}
	d.elem("Code", string(f.code))
	d.elem("Message", text)
	for _, x := range f.fields {
		d.elem(x.name, x.value)
	}
	d.elem("Resource", resource)
	d.elem("RequestId", requestID)
	d.elem("HostId", hostID)
	return d.bytes()
}
