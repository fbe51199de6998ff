package s3api

// routes is the whole S3 API as this endpoint knows it. What is not here is
// refused by unroutable.
type routes map[routeKey]*operation

func newRoutes() routes {
	m := routes{}
	add := func(s scope, method, selector, name string, a need, run func(*call) error) {
		m[routeKey{s, method, selector}] = &operation{name, a, run}
	}

	add(service, "GET", "", "ListBuckets", read, (*call).listBuckets)
	add(service, "POST", "", "TokenService", forTokens, (*call).tokenService)

	add(bucket, "PUT", "", "CreateBucket", write, (*call).createBucket)
	add(bucket, "HEAD", "", "HeadBucket", read, (*call).headBucket)
	add(bucket, "DELETE", "", "DeleteBucket", write, (*call).deleteBucket)
	add(bucket, "GET", "location", "GetBucketLocation", read, (*call).getBucketLocation)
	add(bucket, "GET", "versioning", "GetBucketVersioning", read, (*call).getBucketVersioning)
	add(bucket, "PUT", "versioning", "PutBucketVersioning", write, (*call).putBucketVersioning)
	add(bucket, "GET", "acl", "GetBucketAcl", read, (*call).getBucketACL)
	add(bucket, "PUT", "acl", "PutBucketAcl", write, (*call).putBucketACL)
	add(bucket, "GET", "policy", "GetBucketPolicy", read, (*call).getBucketPolicy)
	add(bucket, "PUT", "policy", "PutBucketPolicy", write, (*call).putBucketPolicy)
	add(bucket, "DELETE", "policy", "DeleteBucketPolicy", write, (*call).deleteBucketPolicy)
	add(bucket, "GET", "policyStatus", "GetBucketPolicyStatus", read, (*call).getBucketPolicyStatus)
	add(bucket, "GET", "publicAccessBlock", "GetPublicAccessBlock", read, (*call).getPublicAccessBlock)
	add(bucket, "PUT", "publicAccessBlock", "PutPublicAccessBlock", write, (*call).putPublicAccessBlock)
	add(bucket, "DELETE", "publicAccessBlock", "DeletePublicAccessBlock", write, (*call).deletePublicAccessBlock)
	add(bucket, "GET", "ownershipControls", "GetBucketOwnershipControls", read, (*call).getOwnershipControls)
	add(bucket, "PUT", "ownershipControls", "PutBucketOwnershipControls", perBody, (*call).putOwnershipControls)
	add(bucket, "DELETE", "ownershipControls", "DeleteBucketOwnershipControls", write, (*call).deleteOwnershipControls)
	add(bucket, "GET", "cors", "GetBucketCors", read, (*call).getBucketCORS)
	add(bucket, "PUT", "cors", "PutBucketCors", write, (*call).putBucketCORS)
	add(bucket, "DELETE", "cors", "DeleteBucketCors", write, (*call).deleteBucketCORS)
	add(bucket, "GET", "lifecycle", "GetBucketLifecycleConfiguration", read, (*call).getBucketLifecycle)
	add(bucket, "PUT", "lifecycle", "PutBucketLifecycleConfiguration", write, (*call).putBucketLifecycle)
	add(bucket, "DELETE", "lifecycle", "DeleteBucketLifecycle", write, (*call).deleteBucketLifecycle)
	add(bucket, "GET", "encryption", "GetBucketEncryption", read, (*call).getBucketEncryption)
	add(bucket, "PUT", "encryption", "PutBucketEncryption", write, (*call).putBucketEncryption)
	add(bucket, "DELETE", "encryption", "DeleteBucketEncryption", write, (*call).deleteBucketEncryption)
	add(bucket, "GET", "tagging", "GetBucketTagging", read, (*call).getBucketTagging)
	add(bucket, "PUT", "tagging", "PutBucketTagging", write, (*call).putBucketTagging)
	add(bucket, "DELETE", "tagging", "DeleteBucketTagging", write, (*call).deleteBucketTagging)
	add(bucket, "GET", "object-lock", "GetObjectLockConfiguration", read, (*call).getObjectLockConfiguration)
	add(bucket, "PUT", "object-lock", "PutObjectLockConfiguration", write, (*call).putObjectLockConfiguration)
	add(bucket, "GET", "notification", "GetBucketNotificationConfiguration", read, (*call).getBucketNotification)
	add(bucket, "PUT", "notification", "PutBucketNotificationConfiguration", write, (*call).putBucketNotification)
	add(bucket, "PUT", "requestPayment", "PutBucketRequestPayment", write, (*call).putRequestPayment)
	add(bucket, "PUT", "accelerate", "PutBucketAccelerateConfiguration", write, (*call).putAccelerate)
	add(bucket, "PUT", "logging", "PutBucketLogging", write, (*call).putLogging)
	add(bucket, "PUT", "website", "PutBucketWebsite", write, (*call).putWebsite)
	add(bucket, "DELETE", "website", "DeleteBucketWebsite", write, (*call).deleteWebsite)
	add(bucket, "GET", "", "ListObjects", read, (*call).listObjects)
	add(bucket, "GET", "list-type", "ListObjectsV2", read, (*call).listObjectsV2)
	add(bucket, "GET", "versions", "ListObjectVersions", read, (*call).listVersions)
	add(bucket, "GET", "uploads", "ListMultipartUploads", read, (*call).listUploads)
	add(bucket, "POST", "", "PostObject", signedForm, (*call).postObject)
	add(bucket, "POST", "delete", "DeleteObjects", perKey, (*call).deleteObjects)

	add(object, "GET", "", "GetObject", readObject, (*call).getObject)
	add(object, "HEAD", "", "HeadObject", readObject, (*call).getObject)
	add(object, "GET", "partNumber", "GetObject", readObject, (*call).getObject)
	add(object, "HEAD", "partNumber", "HeadObject", readObject, (*call).getObject)
	add(object, "GET", "attributes", "GetObjectAttributes", read, (*call).getObjectAttributes)
	add(object, "GET", "acl", "GetObjectAcl", read, (*call).getObjectACL)
	add(object, "PUT", "acl", "PutObjectAcl", write, (*call).putObjectACL)
	add(object, "GET", "retention", "GetObjectRetention", read, (*call).getObjectRetention)
	add(object, "PUT", "retention", "PutObjectRetention", perBody, (*call).putObjectRetention)
	add(object, "GET", "legal-hold", "GetObjectLegalHold", read, (*call).getObjectLegalHold)
	add(object, "PUT", "legal-hold", "PutObjectLegalHold", perBody, (*call).putObjectLegalHold)
	add(object, "GET", "tagging", "GetObjectTagging", read, (*call).getObjectTagging)
	add(object, "PUT", "tagging", "PutObjectTagging", perBody, (*call).putObjectTagging)
	add(object, "DELETE", "tagging", "DeleteObjectTagging", write, (*call).deleteObjectTagging)
	add(object, "PUT", "", "PutObject", write, (*call).putOrCopyObject)
	add(object, "DELETE", "", "DeleteObject", write, (*call).deleteObject)
	add(object, "POST", "uploads", "CreateMultipartUpload", write, (*call).createUpload)
	add(object, "PUT", "partNumber&uploadId", "UploadPart", write, (*call).putOrCopyPart)
	add(object, "GET", "uploadId", "ListParts", read, (*call).listParts)
	add(object, "POST", "uploadId", "CompleteMultipartUpload", write, (*call).completeUpload)
	add(object, "DELETE", "uploadId", "AbortMultipartUpload", write, (*call).abortUpload)

	// Both are refused, but not before it is known that the caller might.
	for selector, name := range map[string]string{"restore": "RestoreObject", "select": "SelectObjectContent"} {
		add(object, "POST", selector, name, readObject, func(*call) error {
			return refuse(errNotImplemented, "%s", instead[selector]).with("Header", selector)
		})
	}
	addUnconfigured(add)
	return m
}

// addUnconfigured adds the reads of configurations that a bucket here never
// has, each with the error by which AWS says so: tools ask for them and expect
// exactly that. Writing them is refused with NotImplemented.
func addUnconfigured(add func(s scope, method, selector, name string, a need, run func(*call) error)) {
	for selector, u := range map[string]struct {
		name string
		code code
	}{
		"replication":         {"GetBucketReplication", errReplicationNotFound},
		"website":             {"GetBucketWebsite", errNoSuchWebsite},
		"analytics":           {"GetBucketAnalyticsConfiguration", errNoSuchConfiguration},
		"intelligent-tiering": {"GetBucketIntelligentTieringConfiguration", errNoSuchConfiguration},
		"inventory":           {"GetBucketInventoryConfiguration", errNoSuchConfiguration},
		"metrics":             {"GetBucketMetricsConfiguration", errNoSuchConfiguration},
	} {
		add(bucket, "GET", selector, u.name, read, func(c *call) error { return c.unconfigured(u.code) })
	}
	for selector, u := range map[string]struct{ name, root, inner string }{
		"accelerate":     {"GetBucketAccelerateConfiguration", "AccelerateConfiguration", ""},
		"logging":        {"GetBucketLogging", "BucketLoggingStatus", ""},
		"requestPayment": {"GetBucketRequestPayment", "RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"},
	} {
		add(bucket, "GET", selector, u.name, read, func(c *call) error { return c.emptyConfiguration(u.root, u.inner) })
	}
}
