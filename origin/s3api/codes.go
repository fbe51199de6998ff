package s3api

import "net/http"

// code is an S3 error code as clients see it in <Code>. It is an error itself,
// so that a handler can return it where the standard text says enough.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
type code string

func (c code) Error() string { return string(c) }

const (
	errAccessControlListNotSupported code = "AccessControlListNotSupported"
	errAccessDenied                  code = "AccessDenied"
	errAccessForbidden               code = "AccessForbidden"
	errAuthorizationHeaderMalformed  code = "AuthorizationHeaderMalformed"
	errAuthorizationQueryError       code = "AuthorizationQueryParametersError"
	errBadDigest                     code = "BadDigest"
	errBadRequest                    code = "BadRequest"
	errBucketAlreadyExists           code = "BucketAlreadyExists"
	errBucketAlreadyOwnedByYou       code = "BucketAlreadyOwnedByYou"
	errBucketNotEmpty                code = "BucketNotEmpty"
	errEntityTooLarge                code = "EntityTooLarge"
	errEntityTooSmall                code = "EntityTooSmall"
	errExpiredToken                  code = "ExpiredToken"
	errIllegalLocationConstraint     code = "IllegalLocationConstraintException"
	errIncompleteBody                code = "IncompleteBody"
	errInternalError                 code = "InternalError"
	errInvalidBucketState            code = "InvalidBucketState"
	errInvalidAccessKeyID            code = "InvalidAccessKeyId"
	errIncompleteSignature           code = "IncompleteSignature" // of STS, as are the next ones
	errInvalidAction                 code = "InvalidAction"
	errInvalidClientToken            code = "InvalidClientTokenId"
	errMalformedPolicyDocument       code = "MalformedPolicyDocument"
	errMissingAuthToken              code = "MissingAuthenticationToken"
	errValidation                    code = "ValidationError"
	errInvalidArgument               code = "InvalidArgument"
	errInvalidBucketACLWithOwnership code = "InvalidBucketAclWithObjectOwnership"
	errInvalidBucketName             code = "InvalidBucketName"
	errInvalidChunkSize              code = "InvalidChunkSizeError"
	errInvalidDigest                 code = "InvalidDigest"
	errInvalidLocationConstraint     code = "InvalidLocationConstraint"
	errInvalidPart                   code = "InvalidPart"
	errInvalidPartNumber             code = "InvalidPartNumber"
	errInvalidPartOrder              code = "InvalidPartOrder"
	errInvalidPolicyDocument         code = "InvalidPolicyDocument"
	errInvalidRange                  code = "InvalidRange"
	errInvalidRequest                code = "InvalidRequest"
	errInvalidStorageClass           code = "InvalidStorageClass"
	errInvalidTag                    code = "InvalidTag"
	errInvalidToken                  code = "InvalidToken"
	errInvalidURI                    code = "InvalidURI"
	errKeyTooLong                    code = "KeyTooLongError"
	errMalformedACL                  code = "MalformedACLError"
	errMalformedPolicy               code = "MalformedPolicy"
	errMalformedXML                  code = "MalformedXML"
	errMalformedTrailer              code = "MalformedTrailerError"
	errMalformedPOST                 code = "MalformedPOSTRequest"
	errMaxPostPreData                code = "MaxPostPreDataLengthExceeded"
	errMetadataTooLarge              code = "MetadataTooLarge"
	errMethodNotAllowed              code = "MethodNotAllowed"
	errMissingContentLength          code = "MissingContentLength"
	errMissingRequestBody            code = "MissingRequestBodyError"
	errMissingSecurityHeader         code = "MissingSecurityHeader"
	errNoSuchBucket                  code = "NoSuchBucket"
	errNoSuchBucketPolicy            code = "NoSuchBucketPolicy"
	errNoSuchConfiguration           code = "NoSuchConfiguration"
	errNoSuchCORS                    code = "NoSuchCORSConfiguration"
	errNoSuchKey                     code = "NoSuchKey"
	errNoSuchLifecycle               code = "NoSuchLifecycleConfiguration"
	errNoSuchObjectLock              code = "NoSuchObjectLockConfiguration"
	errNoSuchPublicAccessBlock       code = "NoSuchPublicAccessBlockConfiguration"
	errNoSuchTagSet                  code = "NoSuchTagSet"
	errNoSuchUpload                  code = "NoSuchUpload"
	errNoSuchVersion                 code = "NoSuchVersion"
	errNoSuchWebsite                 code = "NoSuchWebsiteConfiguration"
	errNotImplemented                code = "NotImplemented"
	errNotModified                   code = "NotModified" // a status without a body, not an error of S3
	errObjectLockNotFound            code = "ObjectLockConfigurationNotFoundError"
	errOwnershipControlsNotFound     code = "OwnershipControlsNotFoundError"
	errPreconditionFailed            code = "PreconditionFailed"
	errQuotaExceeded                 code = "QuotaExceeded" // as Ceph says it; AWS has no quotas
	errReplicationNotFound           code = "ReplicationConfigurationNotFoundError"
	errRequestHeadersTooLarge        code = "RequestHeaderSectionTooLarge"
	errRequestTimeout                code = "RequestTimeout"
	errRequestTimeTooSkewed          code = "RequestTimeTooSkewed"
	errServerSideEncryptionNotFound  code = "ServerSideEncryptionConfigurationNotFoundError"
	errServiceUnavailable            code = "ServiceUnavailable"
	errSignatureDoesNotMatch         code = "SignatureDoesNotMatch"
	errUnexpectedContent             code = "UnexpectedContent"
	errUnresolvableEmail             code = "UnresolvableGrantByEmailAddress"
	errContentSHA256Mismatch         code = "XAmzContentSHA256Mismatch"
	errClientGone                    code = "ClientGone" // nobody reads it; it is a label of the metrics
)

// statusClientGone is what the metrics call a request whose client left, after
// nginx.
const statusClientGone = 499

// about says with which status and text a code is answered.
func (c code) about() (status int, text string) {
	if a, ok := codeTable[c]; ok {
		return a.status, a.text
	}
	return http.StatusInternalServerError, codeTable[errInternalError].text
}

type codeAbout struct {
	status int
	text   string
}

var codeTable = map[code]codeAbout{
	errAccessControlListNotSupported: {400, "The bucket does not allow ACLs."},
	errAccessDenied:                  {403, "Access Denied."},
	errAccessForbidden:               {403, "CORSResponse: CORS is not enabled for this bucket."},
	errAuthorizationHeaderMalformed:  {400, "The authorization header is malformed."},
	errAuthorizationQueryError:       {400, "Error parsing the X-Amz-Credential parameter."},
	errBadDigest:                     {400, "The Content-MD5 you specified did not match what we received."},
	errBadRequest:                    {400, "Bad Request"},
	errBucketAlreadyExists:           {409, "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."},
	errBucketAlreadyOwnedByYou:       {409, "Your previous request to create the named bucket succeeded and you already own it."},
	errBucketNotEmpty:                {409, "The bucket you tried to delete is not empty."},
	errEntityTooLarge:                {400, "Your proposed upload exceeds the maximum allowed object size."},
	errEntityTooSmall:                {400, "Your proposed upload is smaller than the minimum allowed size"},
	errExpiredToken:                  {400, "The provided token has expired."},
	errIllegalLocationConstraint:     {400, "The specified location constraint is incompatible for the region specific endpoint this request was sent to."},
	errIncompleteBody:                {400, "You did not provide the number of bytes specified by the Content-Length HTTP header"},
	errInternalError:                 {500, "We encountered an internal error, please try again."},
	errInvalidBucketState:            {409, "The request is not valid with the current state of the bucket."},
	errInvalidAccessKeyID:            {403, "The AWS Access Key Id you provided does not exist in our records."},
	errIncompleteSignature:           {400, "The request signature does not conform to AWS standards."},
	errInvalidAction:                 {400, "The action or operation requested is invalid."},
	errInvalidClientToken:            {403, "The security token included in the request is invalid."},
	errMalformedPolicyDocument:       {400, "The policy document is malformed."},
	errMissingAuthToken:              {403, "Request is missing Authentication Token"},
	errValidation:                    {400, "The input fails to satisfy the constraints of the service."},
	errInvalidArgument:               {400, "Invalid Argument"},
	errInvalidBucketACLWithOwnership: {400, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"},
	errInvalidBucketName:             {400, "The specified bucket is not valid."},
	errInvalidChunkSize:              {400, "Only the last chunk is allowed to have a size less than 8192 bytes"},
	errInvalidDigest:                 {400, "The Content-Md5 you specified is not valid."},
	errInvalidLocationConstraint:     {400, "The specified location-constraint is not valid"},
	errInvalidPart:                   {400, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."},
	errInvalidPartNumber:             {416, "The requested partnumber is not satisfiable."},
	errInvalidPartOrder:              {400, "The list of parts was not in ascending order. Parts must be ordered by part number."},
	errInvalidPolicyDocument:         {400, "The content of the form does not meet the conditions specified in the policy document."},
	errInvalidRange:                  {416, "The requested range is not satisfiable"},
	errInvalidRequest:                {400, "Invalid Request"},
	errInvalidStorageClass:           {400, "The storage class you specified is not valid"},
	errInvalidTag:                    {400, "The tag provided was not a valid tag. This error can occur if the tag did not pass input validation."},
	errInvalidToken:                  {400, "The provided token is malformed or otherwise invalid."},
	errInvalidURI:                    {400, "The specified URI couldn't be parsed."},
	errKeyTooLong:                    {400, "Your key is too long."},
	errMalformedACL:                  {400, "The XML you provided was not well-formed or did not validate against our published schema."},
	errMalformedXML:                  {400, "The XML you provided was not well-formed or did not validate against our published schema."},
	errMalformedPolicy:               {400, "Policies must be valid JSON and the first byte must be '{'"},
	errMalformedTrailer:              {400, "The request contained trailing data that was not well-formed or did not conform to our published schema."},
	errMalformedPOST:                 {400, "The body of your POST request is not well-formed multipart/form-data."},
	errMaxPostPreData:                {400, "Your POST request fields preceding the upload file were too large."},
	errMetadataTooLarge:              {400, "Your metadata headers exceed the maximum allowed metadata size"},
	errMethodNotAllowed:              {405, "The specified method is not allowed against this resource."},
	errMissingContentLength:          {411, "You must provide the Content-Length HTTP header."},
	errMissingRequestBody:            {400, "Request Body is empty"},
	errMissingSecurityHeader:         {400, "Your request was missing a required header."},
	errNoSuchBucket:                  {404, "The specified bucket does not exist."},
	errNoSuchBucketPolicy:            {404, "The bucket policy does not exist."},
	errNoSuchConfiguration:           {404, "The specified configuration does not exist."},
	errNoSuchCORS:                    {404, "The CORS configuration does not exist"},
	errNoSuchKey:                     {404, "The specified key does not exist."},
	errNoSuchLifecycle:               {404, "The lifecycle configuration does not exist"},
	errNoSuchObjectLock:              {404, "The specified object does not have a ObjectLock configuration."},
	errNoSuchPublicAccessBlock:       {404, "The public access block configuration was not found"},
	errNoSuchTagSet:                  {404, "The TagSet does not exist."},
	errNoSuchUpload:                  {404, "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."},
	errNoSuchVersion:                 {404, "The specified version does not exist."},
	errNoSuchWebsite:                 {404, "The specified bucket does not have a website configuration"},
	errNotImplemented:                {501, "A header you provided implies functionality that is not implemented."},
	errNotModified:                   {304, "Not Modified"},
	errObjectLockNotFound:            {404, "Object Lock configuration does not exist for this bucket."},
	errOwnershipControlsNotFound:     {404, "The bucket ownership controls were not found."},
	errPreconditionFailed:            {412, "At least one of the pre-conditions you specified did not hold."},
	errQuotaExceeded:                 {403, "The quota of the bucket is used up."},
	errReplicationNotFound:           {404, "The replication configuration was not found"},
	errRequestHeadersTooLarge:        {400, "Your request header section exceeds the maximum allowed size."},
	errRequestTimeout:                {400, "Your socket connection to the server was not read from or written to within the timeout period."},
	errRequestTimeTooSkewed:          {403, "The difference between the request time and the current time is too large."},
	errServerSideEncryptionNotFound:  {404, "The server side encryption configuration was not found"},
	errServiceUnavailable:            {503, "Service is unable to handle request."},
	errSignatureDoesNotMatch:         {403, "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
	errUnexpectedContent:             {400, "This request does not support content."},
	errUnresolvableEmail:             {400, "The e-mail address you provided does not match any account on record."},
	errContentSHA256Mismatch:         {400, "The provided 'x-amz-content-sha256' header does not match what was computed."},
	errClientGone:                    {statusClientGone, "The client closed the connection."},
}
