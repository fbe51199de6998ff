-- What a key may do, an IAM policy; null where its role says it.
ALTER TABLE access_key ADD COLUMN policy json;
