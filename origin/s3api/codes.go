package s3api

import "net/http"

// code is an S3 error code as clients see it in <Code>. It is an error itself,
// so that a handler can return it where the standard text says enough.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
type code string

func (c code) Error() string { return string(c) }

const (
	accessControlListNotSupported code = "AccessControlListNotSupported"
	accessDenied                  code = "AccessDenied"
	accessForbidden               code = "AccessForbidden"
	authorizationHeaderMalformed  code = "AuthorizationHeaderMalformed"
	authorizationQueryError       code = "AuthorizationQueryParametersError"
	badDigest                     code = "BadDigest"
	badRequest                    code = "BadRequest"
	bucketAlreadyExists           code = "BucketAlreadyExists"
	bucketAlreadyOwnedByYou       code = "BucketAlreadyOwnedByYou"
	bucketNotEmpty                code = "BucketNotEmpty"
	entityTooLarge                code = "EntityTooLarge"
	entityTooSmall                code = "EntityTooSmall"
	illegalLocationConstraint     code = "IllegalLocationConstraintException"
	incompleteBody                code = "IncompleteBody"
	internalError                 code = "InternalError"
	invalidAccessKeyID            code = "InvalidAccessKeyId"
	invalidArgument               code = "InvalidArgument"
	invalidBucketName             code = "InvalidBucketName"
	invalidDigest                 code = "InvalidDigest"
	invalidLocationConstraint     code = "InvalidLocationConstraint"
	invalidPart                   code = "InvalidPart"
	invalidPartNumber             code = "InvalidPartNumber"
	invalidPartOrder              code = "InvalidPartOrder"
	invalidRange                  code = "InvalidRange"
	invalidRequest                code = "InvalidRequest"
	invalidStorageClass           code = "InvalidStorageClass"
	invalidTag                    code = "InvalidTag"
	invalidToken                  code = "InvalidToken"
	invalidURI                    code = "InvalidURI"
	keyTooLong                    code = "KeyTooLongError"
	malformedACL                  code = "MalformedACLError"
	malformedXML                  code = "MalformedXML"
	malformedTrailer              code = "MalformedTrailerError"
	metadataTooLarge              code = "MetadataTooLarge"
	methodNotAllowed              code = "MethodNotAllowed"
	missingContentLength          code = "MissingContentLength"
	missingRequestBody            code = "MissingRequestBodyError"
	missingSecurityHeader         code = "MissingSecurityHeader"
	noSuchBucket                  code = "NoSuchBucket"
	noSuchBucketPolicy            code = "NoSuchBucketPolicy"
	noSuchConfiguration           code = "NoSuchConfiguration"
	noSuchCORS                    code = "NoSuchCORSConfiguration"
	noSuchKey                     code = "NoSuchKey"
	noSuchLifecycle               code = "NoSuchLifecycleConfiguration"
	noSuchPublicAccessBlock       code = "NoSuchPublicAccessBlockConfiguration"
	noSuchTagSet                  code = "NoSuchTagSet"
	noSuchUpload                  code = "NoSuchUpload"
	noSuchVersion                 code = "NoSuchVersion"
	noSuchWebsite                 code = "NoSuchWebsiteConfiguration"
	notImplemented                code = "NotImplemented"
	notModified                   code = "NotModified" // a status without a body, not an error of S3
	objectLockNotFound            code = "ObjectLockConfigurationNotFoundError"
	ownershipControlsNotFound     code = "OwnershipControlsNotFoundError"
	preconditionFailed            code = "PreconditionFailed"
	replicationNotFound           code = "ReplicationConfigurationNotFoundError"
	requestTimeout                code = "RequestTimeout"
	requestTimeTooSkewed          code = "RequestTimeTooSkewed"
	serverSideEncryptionNotFound  code = "ServerSideEncryptionConfigurationNotFoundError"
	serviceUnavailable            code = "ServiceUnavailable"
	signatureDoesNotMatch         code = "SignatureDoesNotMatch"
	unexpectedContent             code = "UnexpectedContent"
	contentSHA256Mismatch         code = "XAmzContentSHA256Mismatch"
	clientGone                    code = "ClientGone" // nobody reads it; it is a label of the metrics
)

// statusClientGone is what the metrics call a request whose client left, after
// nginx.
const statusClientGone = 499

// about says with which status and text a code is answered.
func (c code) about() (status int, text string) {
	if a, ok := codeTable[c]; ok {
		return a.status, a.text
	}
	return http.StatusInternalServerError, codeTable[internalError].text
}

type codeAbout struct {
	status int
	text   string
}

var codeTable = map[code]codeAbout{
	accessControlListNotSupported: {400, "The bucket does not allow ACLs"},
	accessDenied:                  {403, "Access Denied"},
	accessForbidden:               {403, "CORSResponse: CORS is not enabled for this bucket."},
	authorizationHeaderMalformed:  {400, "The authorization header is malformed."},
	authorizationQueryError:       {400, "Error parsing the X-Amz-Credential parameter."},
	badDigest:                     {400, "The Content-MD5 you specified did not match what we received."},
	badRequest:                    {400, "Bad Request"},
	bucketAlreadyExists:           {409, "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."},
	bucketAlreadyOwnedByYou:       {409, "Your previous request to create the named bucket succeeded and you already own it."},
	bucketNotEmpty:                {409, "The bucket you tried to delete is not empty"},
	entityTooLarge:                {400, "Your proposed upload exceeds the maximum allowed size"},
	entityTooSmall:                {400, "Your proposed upload is smaller than the minimum allowed size"},
	illegalLocationConstraint:     {400, "The specified location constraint is incompatible for the region specific endpoint this request was sent to."},
	incompleteBody:                {400, "You did not provide the number of bytes specified by the Content-Length HTTP header"},
	internalError:                 {500, "We encountered an internal error. Please try again."},
	invalidAccessKeyID:            {403, "The AWS Access Key Id you provided does not exist in our records."},
	invalidArgument:               {400, "Invalid Argument"},
	invalidBucketName:             {400, "The specified bucket is not valid."},
	invalidDigest:                 {400, "The Content-MD5 you specified was invalid."},
	invalidLocationConstraint:     {400, "The specified location-constraint is not valid"},
	invalidPart:                   {400, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."},
	invalidPartNumber:             {416, "The requested partnumber is not satisfiable"},
	invalidPartOrder:              {400, "The list of parts was not in ascending order. Parts must be ordered by part number."},
	invalidRange:                  {416, "The requested range is not satisfiable"},
	invalidRequest:                {400, "Invalid Request"},
	invalidStorageClass:           {400, "The storage class you specified is not valid"},
	invalidTag:                    {400, "The tag provided was not a valid tag. This error can occur if the tag did not pass input validation."},
	invalidToken:                  {400, "The provided token is malformed or otherwise invalid."},
	invalidURI:                    {400, "Couldn't parse the specified URI."},
	keyTooLong:                    {400, "Your key is too long"},
	malformedACL:                  {400, "The XML you provided was not well-formed or did not validate against our published schema"},
	malformedXML:                  {400, "The XML you provided was not well-formed or did not validate against our published schema"},
	malformedTrailer:              {400, "The request contained trailing data that was not well-formed or did not conform to our published schema."},
	metadataTooLarge:              {400, "Your metadata headers exceed the maximum allowed metadata size"},
	methodNotAllowed:              {405, "The specified method is not allowed against this resource."},
	missingContentLength:          {411, "You must provide the Content-Length HTTP header."},
	missingRequestBody:            {400, "Request Body is empty"},
	missingSecurityHeader:         {400, "Your request was missing a required header"},
	noSuchBucket:                  {404, "The specified bucket does not exist"},
	noSuchBucketPolicy:            {404, "The bucket policy does not exist"},
	noSuchConfiguration:           {404, "The specified configuration does not exist."},
	noSuchCORS:                    {404, "The CORS configuration does not exist"},
	noSuchKey:                     {404, "The specified key does not exist."},
	noSuchLifecycle:               {404, "The lifecycle configuration does not exist"},
	noSuchPublicAccessBlock:       {404, "The public access block configuration was not found"},
	noSuchTagSet:                  {404, "The TagSet does not exist"},
	noSuchUpload:                  {404, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."},
	noSuchVersion:                 {404, "The specified version does not exist."},
	noSuchWebsite:                 {404, "The specified bucket does not have a website configuration"},
	notImplemented:                {501, "A header or query you provided requests functionality that is not implemented."},
	notModified:                   {304, "Not Modified"},
	objectLockNotFound:            {404, "Object Lock configuration does not exist for this bucket"},
	ownershipControlsNotFound:     {404, "The bucket ownership controls were not found"},
	preconditionFailed:            {412, "At least one of the pre-conditions you specified did not hold"},
	replicationNotFound:           {404, "The replication configuration was not found"},
	requestTimeout:                {400, "Your socket connection to the server was not read from or written to within the timeout period."},
	requestTimeTooSkewed:          {403, "The difference between the request time and the current time is too large."},
	serverSideEncryptionNotFound:  {404, "The server side encryption configuration was not found"},
	serviceUnavailable:            {503, "Service is unable to handle request."},
	signatureDoesNotMatch:         {403, "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
	unexpectedContent:             {400, "This request does not support content"},
	contentSHA256Mismatch:         {400, "The provided 'x-amz-content-sha256' header does not match what was computed."},
	clientGone:                    {statusClientGone, "The client closed the connection."},
}
