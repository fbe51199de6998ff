"""A round of boto3: boto3_round.py ENDPOINT BUCKET ACTION [ARGUMENTS]."""
import sys
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.client import Config

endpoint, bucket, action, *arguments = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint, config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
PARTS = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)


def version():
    print(boto3.__version__)


def make():
    s3.create_bucket(Bucket=bucket)
    assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]


def put(key, file):
    s3.upload_file(file, bucket, key, Config=PARTS)


def get(key, file):
    s3.download_file(bucket, key, file, Config=PARTS)


def read(key, first, last, file):
    answer = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-{last}")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206, answer
    with open(file, "wb") as f:
        f.write(answer["Body"].read())


def keys(prefix="", size=1000):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": size}):
        yield from (o["Key"] for o in page.get("Contents", []))


def list_(prefix):
    second = list(keys(prefix, 300))
    assert second == sorted(second) == list(keys(prefix)), "pages of 300 and of 1000 list different keys"
    first = [o["Key"] for page in s3.get_paginator("list_objects").paginate(Bucket=bucket, Prefix=prefix) for o in page["Contents"]]
    assert first == second, "ListObjects and ListObjectsV2 list different keys"
    print("\n".join(second))


def stat(key):
    print(s3.head_object(Bucket=bucket, Key=key)["ContentLength"])


def copy(source, key):
    s3.copy({"Bucket": bucket, "Key": source}, bucket, key, Config=PARTS)


def sign(key):
    print(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=300))


def remove(key):
    s3.delete_object(Bucket=bucket, Key=key)


def remove_all():
    boto3.resource("s3", endpoint_url=endpoint).Bucket(bucket).objects.all().delete()


def remove_bucket():
    s3.delete_bucket(Bucket=bucket)


def equal(got, want):
    assert got == want, f"{got!r}, want {want!r}"


def metadata_and_tags():
    s3.put_object(Bucket=bucket, Key="tagged", Body=b"x", Metadata={"colour": "blue"}, ContentType="text/x-own", Tagging="a=1")
    head = s3.head_object(Bucket=bucket, Key="tagged")
    equal((head["Metadata"], head["ContentType"]), ({"colour": "blue"}, "text/x-own"))
    equal(s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"], [{"Key": "a", "Value": "1"}])
    tags = [{"Key": "b", "Value": "2"}, {"Key": "ü", "Value": "ä +"}]
    s3.put_object_tagging(Bucket=bucket, Key="tagged", Tagging={"TagSet": tags})
    equal(sorted(s3.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"], key=lambda t: t["Key"]), tags)
    s3.copy_object(Bucket=bucket, Key="tagged", CopySource={"Bucket": bucket, "Key": "tagged"}, Metadata={"colour": "red"}, MetadataDirective="REPLACE")
    equal(s3.head_object(Bucket=bucket, Key="tagged")["Metadata"], {"colour": "red"})
    put = s3.put_object(Bucket=bucket, Key="summed", Body=b"x" * 100_000, ChecksumAlgorithm="SHA256")
    got = s3.get_object(Bucket=bucket, Key="summed", ChecksumMode="ENABLED")
    equal((got["ChecksumSHA256"], got["Body"].read()), (put["ChecksumSHA256"], b"x" * 100_000))


def signed_put_and_post():
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "by url", "ContentType": "text/plain"}, ExpiresIn=60)
    request = urllib.request.Request(url, data=b"by url", method="PUT", headers={"Content-Type": "text/plain"})
    equal(urllib.request.urlopen(request).status, 200)
    equal(s3.get_object(Bucket=bucket, Key="by url")["Body"].read(), b"by url")
    post = s3.generate_presigned_post(bucket, "by form", Fields={"acl": "private"}, Conditions=[{"acl": "private"}, ["content-length-range", 1, 100]], ExpiresIn=60)
    lines = []
    for name, value in post["fields"].items():
        lines += ["--edge", f'Content-Disposition: form-data; name="{name}"', "", value]
    lines += ["--edge", 'Content-Disposition: form-data; name="file"; filename="f"', "", "by form", "--edge--", ""]
    request = urllib.request.Request(post["url"], data="\r\n".join(lines).encode(), headers={"Content-Type": "multipart/form-data; boundary=edge"})
    equal(urllib.request.urlopen(request).status, 204)
    equal(s3.get_object(Bucket=bucket, Key="by form")["Body"].read(), b"by form")


def bucket_settings():
    rule = {"ID": "old", "Filter": {"Prefix": "old/"}, "Status": "Enabled", "Expiration": {"Days": 90}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    equal(s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"], [rule])
    s3.delete_bucket_lifecycle(Bucket=bucket)
    cors = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.com"]}]
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": cors})
    equal(s3.get_bucket_cors(Bucket=bucket)["CORSRules"], cors)
    s3.delete_bucket_cors(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "team", "Value": "own"}]})
    equal(s3.get_bucket_tagging(Bucket=bucket)["TagSet"], [{"Key": "team", "Value": "own"}])
    for ask in (s3.get_bucket_location, s3.get_bucket_acl, s3.get_bucket_request_payment, s3.get_bucket_accelerate_configuration):
        ask(Bucket=bucket)


def versions():
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = (s3.put_object(Bucket=bucket, Key="kept", Body=text)["VersionId"] for text in (b"first", b"second"))
    marker = s3.delete_object(Bucket=bucket, Key="kept")
    assert marker["DeleteMarker"], marker
    listed = s3.list_object_versions(Bucket=bucket, Prefix="kept")
    equal([v["VersionId"] for v in listed["Versions"]], [second, first])
    equal([m["VersionId"] for m in listed["DeleteMarkers"]], [marker["VersionId"]])
    equal(s3.get_object(Bucket=bucket, Key="kept", VersionId=first)["Body"].read(), b"first")
    s3.delete_object(Bucket=bucket, Key="kept", VersionId=marker["VersionId"])
    equal(s3.get_object(Bucket=bucket, Key="kept")["Body"].read(), b"second")
    gone = [{"Key": "kept", "VersionId": v} for v in (first, second)]
    equal(len(s3.delete_objects(Bucket=bucket, Delete={"Objects": gone})["Deleted"]), 2)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


{"list": list_}.get(action, globals().get(action))(*arguments)
