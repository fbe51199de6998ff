package metadata

// Catalog is what an origin needs: the state of the S3 surface and its feed.
type Catalog interface {
	Buckets
	Objects
	Uploads
	Blobs
	Copies
	WrappedKeys
	Keys
	Feed
}

// Store is all that Postgres keeps.
type Store interface {
	Catalog
	Follower
	Cursors
	Leases
	LifecycleRuns
	Webhooks
	MediaRecords
	Renditions
	Nodes
	NodeList
	Purges
	Warms
	Reports
}
