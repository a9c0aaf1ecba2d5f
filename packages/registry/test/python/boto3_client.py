"""Does with boto3 what people do with it. ENDPOINT ACCESS_KEY SECRET_KEY LARGE_FILE CERTIFICATE; prints what it has done."""
import hashlib
import io
import ssl
import sys
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT, ACCESS_KEY, SECRET_KEY, LARGE, CERTIFICATE = sys.argv[1:]
BUCKET = "code"
MIB = 1024 * 1024


def client(secret=SECRET_KEY, **options):
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        verify=CERTIFICATE or None,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, proxies={}, **options),
    )


s3 = client()


def refused(call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "accepted"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def put_and_get():
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"hello", ContentType="text/x", Metadata={"Colour": "blue"})
    got = s3.get_object(Bucket=BUCKET, Key="a")
    assert got["Body"].read() == b"hello"
    assert (got["ContentType"], got["Metadata"]) == ("text/x", {"colour": "blue"}), got
    assert s3.get_object(Bucket=BUCKET, Key="a", Range="bytes=1-2")["Body"].read() == b"el"
    assert s3.head_object(Bucket=BUCKET, Key="a")["ContentLength"] == 5
    assert refused(lambda: s3.head_object(Bucket=BUCKET, Key="b")) == "404"
    assert refused(lambda: s3.get_object(Bucket=BUCKET, Key="b")) == "NoSuchKey"
    assert refused(lambda: s3.get_object(Bucket=BUCKET, Key="a", IfNoneMatch=got["ETag"])) == "304"


def checksums():
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        s3.put_object(Bucket=BUCKET, Key="sum", Body=b"hello", ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket=BUCKET, Key="sum", ChecksumMode="ENABLED")
        assert got["Body"].read() == b"hello"
        assert got["Checksum" + algorithm], got
    plain = client(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    plain.put_object(Bucket=BUCKET, Key="sum", Body=io.BytesIO(b"plain"))
    assert plain.get_object(Bucket=BUCKET, Key="sum")["Body"].read() == b"plain"


def streams():
    # A body whose end is not known before it is read comes in pieces with a trailing header.
    class Stream(io.RawIOBase):
        def __init__(self):
            self.left = [b"x" * MIB, b"y" * 100]

        def readable(self):
            return True

        def read(self, size=-1):
            return self.left.pop(0) if self.left else b""

    s3.upload_fileobj(Stream(), BUCKET, "stream")
    assert s3.head_object(Bucket=BUCKET, Key="stream")["ContentLength"] == MIB + 100


def unusual_keys():
    for key in ("a b+c%25&d=e?f#g", "ü/日本/\U0001f600", "a//b/", "..", "~!*'()", "a\u0001b"):
        s3.put_object(Bucket=BUCKET, Key="odd/" + key, Body=key.encode())
        assert s3.get_object(Bucket=BUCKET, Key="odd/" + key)["Body"].read() == key.encode(), key
        found = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET, Prefix="odd/" + key)["Contents"]]
        assert found == ["odd/" + key], found
        # XML has no way to say that the last one is gone: only who wants to hear nothing understands the answer.
        deleted = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "odd/" + key}], "Quiet": "\u0001" in key})
        assert "Errors" not in deleted, deleted
        assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="odd/"), key


def listings():
    for number in range(25):
        s3.put_object(Bucket=BUCKET, Key="list/%02d" % number, Body=b"x")
    wanted = ["list/%02d" % number for number in range(25)]
    for operation in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(operation).paginate(Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": 7})
        assert [one["Key"] for page in pages for one in page["Contents"]] == wanted
        folders = getattr(s3, operation)(Bucket=BUCKET, Delimiter="/")["CommonPrefixes"]
        assert {"Prefix": "list/"} in folders, folders
    assert BUCKET in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] is None
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)
    assert s3.get_bucket_acl(Bucket=BUCKET)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert refused(lambda: s3.get_bucket_policy(Bucket=BUCKET)) == "NoSuchBucketPolicy"


def copies():
    s3.copy_object(Bucket=BUCKET, Key="copy/ü b", CopySource={"Bucket": BUCKET, "Key": "a"})
    got = s3.get_object(Bucket=BUCKET, Key="copy/ü b")
    assert (got["Body"].read(), got["ContentType"]) == (b"hello", "text/x")
    s3.copy_object(
        Bucket=BUCKET, Key="a2", CopySource={"Bucket": BUCKET, "Key": "copy/ü b"}, MetadataDirective="REPLACE",
        Metadata={"a": "b"},
    )
    assert s3.head_object(Bucket=BUCKET, Key="a2")["Metadata"] == {"a": "b"}


def multipart():
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=4)
    s3.upload_file(LARGE, BUCKET, "large", Config=config)
    assert s3.head_object(Bucket=BUCKET, Key="large")["ETag"].endswith('-7"')
    s3.download_file(BUCKET, "large", LARGE + ".boto3", Config=config)
    assert digest(LARGE + ".boto3") == digest(LARGE)
    # Copied part by part.
    s3.copy({"Bucket": BUCKET, "Key": "large"}, BUCKET, "large2", Config=config)
    assert s3.head_object(Bucket=BUCKET, Key="large2")["ContentLength"] == 50 * MIB
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="unfinished")["UploadId"]
    assert [one["UploadId"] for one in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [upload]
    s3.upload_part(Bucket=BUCKET, Key="unfinished", UploadId=upload, PartNumber=1, Body=b"x")
    assert len(s3.list_parts(Bucket=BUCKET, Key="unfinished", UploadId=upload)["Parts"]) == 1
    s3.abort_multipart_upload(Bucket=BUCKET, Key="unfinished", UploadId=upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def create_only():
    s3.put_object(Bucket=BUCKET, Key="once", Body=b"first", IfNoneMatch="*")
    again = refused(lambda: s3.put_object(Bucket=BUCKET, Key="once", Body=b"second", IfNoneMatch="*"))
    assert again == "PreconditionFailed", again
    assert s3.get_object(Bucket=BUCKET, Key="once")["Body"].read() == b"first"


def deletion():
    s3.delete_object(Bucket=BUCKET, Key="large")
    s3.delete_object(Bucket=BUCKET, Key="large")
    assert refused(lambda: s3.head_object(Bucket=BUCKET, Key="large")) == "404"
    keys = [{"Key": "list/%02d" % number} for number in range(25)]
    assert len(s3.delete_objects(Bucket=BUCKET, Delete={"Objects": keys})["Deleted"]) == 25
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="list/")


def wrong_keys():
    assert refused(lambda: client("wrong-secret").get_object(Bucket=BUCKET, Key="a")) == "SignatureDoesNotMatch"
    # Neither does it wait for a body that it does not take.
    assert refused(lambda: client("wrong-secret").put_object(Bucket=BUCKET, Key="b", Body=b"x" * 5 * MIB)) == "SignatureDoesNotMatch"
    assert refused(lambda: s3.create_bucket(Bucket="not-mine")) == "AccessDenied"


def presigned():
    context = ssl.create_default_context(cafile=CERTIFICATE) if CERTIFICATE else None
    v4 = client(signature_version="s3v4")
    url = v4.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "signed/ü"}, ExpiresIn=60)
    urllib.request.urlopen(urllib.request.Request(url, b"by URL", method="PUT"), timeout=60, context=context).close()
    url = v4.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "signed/ü"}, ExpiresIn=60)
    with urllib.request.urlopen(url, timeout=60, context=context) as reply:
        assert reply.read() == b"by URL"
    try:
        urllib.request.urlopen(url + "0", timeout=60, context=context)
    except urllib.error.HTTPError as error:
        assert error.code in (400, 403), error.code
    else:
        raise AssertionError("a forged URL was accepted")


for step in (
    put_and_get, checksums, streams, unusual_keys, listings, copies, multipart, create_only, deletion, wrong_keys,
    presigned,
):
    step()
    print(step.__name__)
