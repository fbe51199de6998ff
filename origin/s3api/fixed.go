package s3api

import "net/http"

// Configurations that have one value here. It may be set again, as tools do that
// restore what they have read; any other is refused in words, so that nobody
// believes in what is not there.

// putRequestPayment: who owns a bucket pays for it.
func (c *call) putRequestPayment() error {
	var req struct {
		Payer string `xml:"Payer"`
	}
	if err := c.readXML(smallXML, digestAllowed, "RequestPaymentConfiguration", &req); err != nil {
		return err
	}
	switch req.Payer {
	case "BucketOwner":
		return c.unchanged()
	case "Requester":
		return refuse(errNotImplemented, "Nobody pays for requests here: the payer is BucketOwner.")
	}
	return errMalformedXML
}

func (c *call) putAccelerate() error {
	var req struct {
		Status string `xml:"Status"`
	}
	if err := c.readXML(smallXML, digestAllowed, "AccelerateConfiguration", &req); err != nil {
		return err
	}
	switch req.Status {
	case "Suspended":
		return c.unchanged()
	case "Enabled":
		return refuse(errNotImplemented, "There is no transfer acceleration: upload to the S3 endpoint of the nearest region, and read from its edge.")
	}
	return errMalformedXML
}

func (c *call) putLogging() error {
	var req struct {
		Enabled *struct{} `xml:"LoggingEnabled"`
	}
	if err := c.readXML(smallXML, digestAllowed, "BucketLoggingStatus", &req); err != nil {
		return err
	}
	if req.Enabled != nil {
		return refuse(errNotImplemented, "No access logs are put into buckets: every process writes its own, and /v1/feed tells of changes.")
	}
	return c.unchanged()
}

// putWebsite is refused as a whole: index and error documents without redirects
// would be half a website.
func (c *call) putWebsite() error {
	if _, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); err != nil {
		return err
	}
	return refuse(errNotImplemented, "There are no website endpoints: objects of a public bucket can be read at the edges, under their full keys.")
}

// deleteWebsite finds none, which is no error.
func (c *call) deleteWebsite() error {
	if _, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// unchanged answers a write of what is so already.
func (c *call) unchanged() error {
	if _, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}
