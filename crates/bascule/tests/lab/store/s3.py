"""The object store as a client that nobody here wrote sees it (boto3). Verbs:

  write PREFIX        writes objects until it is killed; a line of JSON for each: its key, its digest, when it was answered
  put BUCKET KEY FILE, get BUCKET KEY, fill BUCKET, rules BUCKET
  read FILE           reads back what `write` has told in FILE, and prints how many there are and which are lost
  features            everything that software relies on; prints each that holds
  forbidden           what a key must not open; prints each that it does not
  lifecycle           waits until old versions, and uploads that were given up, are gone

Standard input is the key, as a file of AWS credentials. The store is at S3_ENDPOINT.
"""

import configparser
import hashlib
import json
import os
import random
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

AUTHORITY = "/etc/bascule/authority.pem"
key = configparser.ConfigParser()
key.read_string(sys.stdin.read())
credentials = dict(key["default"])
os.environ["AWS_CA_BUNDLE"] = AUTHORITY


def client(attempts=1, seconds=60):
    config = Config(
        s3={"addressing_style": "path"}, signature_version="s3v4", connect_timeout=2, read_timeout=seconds,
        retries={"total_max_attempts": attempts},
    )  # fmt: skip
    return boto3.client(
        "s3", endpoint_url=os.environ["S3_ENDPOINT"], region_name=os.environ.get("S3_REGION", "default"), config=config, **credentials
    )


def body(number):
    """Always the same for a number: small, middling, and some of several megabytes."""
    size = [500, 40_000, 300_000, 5_000_000][number % 4] if number % 8 else 1_500_000
    return random.Random(number).randbytes(size)


def write(prefix):
    s3, number = client(), 0
    while True:
        number += 1
        data = body(number)
        line = {"n": number, "key": f"{prefix}/{number}", "began": time.time()}
        try:
            s3.put_object(Bucket="media", Key=line["key"], Body=data)
            line["sha256"] = hashlib.sha256(data).hexdigest()
        except (BotoCoreError, ClientError, OSError) as error:
            line["error"] = f"{type(error).__name__}: {error}"
            time.sleep(0.1)
        line["at"] = time.time()
        print(json.dumps(line), flush=True)
        time.sleep(0.02)


def read(path):
    s3 = client(attempts=5)
    lines = [json.loads(text) for text in open(path)]
    written = [line for line in lines if "sha256" in line]

    def is_lost(line):
        try:
            data = s3.get_object(Bucket="media", Key=line["key"])["Body"].read()
        except (BotoCoreError, ClientError, OSError) as error:
            return f"{line['key']}: {type(error).__name__}: {error}"
        return None if hashlib.sha256(data).hexdigest() == line["sha256"] else f"{line['key']}: other bytes"

    with ThreadPoolExecutor(8) as threads:
        lost = [why for why in threads.map(is_lost, written) if why]
    slow = max((line["at"] - line["began"] for line in lines), default=0)
    print(json.dumps({"written": len(written), "errors": len(lines) - len(written), "lost": lost, "longest_s": slow}))


def refused(*codes):
    """A call that is refused with one of these codes."""

    class Refused:
        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            assert isinstance(error, ClientError), f"it was let through, or failed otherwise: {error}"
            self.code = error.response["Error"]["Code"]
            assert self.code in codes, self.code
            return True

    return Refused()


def features():
    s3 = client(attempts=3)
    prefix = f"features-{time.time_ns()}"

    def holds(what):
        print(what, flush=True)

    # Versions.
    one, other = (s3.put_object(Bucket="media", Key=f"{prefix}/v", Body=text)["VersionId"] for text in (b"one", b"two"))
    assert s3.get_object(Bucket="media", Key=f"{prefix}/v")["Body"].read() == b"two"
    assert s3.get_object(Bucket="media", Key=f"{prefix}/v", VersionId=one)["Body"].read() == b"one"
    marker = s3.delete_object(Bucket="media", Key=f"{prefix}/v")
    assert marker["DeleteMarker"]
    with refused("NoSuchKey", "404"):
        s3.get_object(Bucket="media", Key=f"{prefix}/v")
    s3.delete_object(Bucket="media", Key=f"{prefix}/v", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket="media", Key=f"{prefix}/v")["VersionId"] == other
    holds("versioning")

    # A large object in parts, which come in any order.
    parts = [random.Random(number).randbytes(5 << 20) for number in range(3)] + [b"the end"]
    upload = s3.create_multipart_upload(Bucket="media", Key=f"{prefix}/m")["UploadId"]
    tags = {}
    for number in (3, 1, 4, 2):
        given = dict(Bucket="media", Key=f"{prefix}/m", UploadId=upload, PartNumber=number)
        tags[number] = s3.upload_part(**given, Body=parts[number - 1])["ETag"]
    listed = s3.list_parts(Bucket="media", Key=f"{prefix}/m", UploadId=upload)["Parts"]
    assert [part["PartNumber"] for part in listed] == [1, 2, 3, 4]
    together = {"Parts": [{"PartNumber": number, "ETag": tags[number]} for number in sorted(tags)]}
    s3.complete_multipart_upload(Bucket="media", Key=f"{prefix}/m", UploadId=upload, MultipartUpload=together)
    assert s3.get_object(Bucket="media", Key=f"{prefix}/m")["Body"].read() == b"".join(parts)
    holds("multipart")

    # A signed URL, of which a player asks for a piece.
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "media", "Key": f"{prefix}/m"}, ExpiresIn=60)
    asked = urllib.request.Request(url, headers={"Range": "bytes=5242870-5242889"})
    import ssl

    trusted = ssl.create_default_context(cafile=AUTHORITY)
    with urllib.request.urlopen(asked, context=trusted) as answer:
        assert answer.status == 206 and answer.read() == parts[0][-10:] + parts[1][:10]
    try:
        urllib.request.urlopen(url.replace("X-Amz-Signature=", "X-Amz-Signature=0"), context=trusted)
        raise AssertionError("a forged signature is taken")
    except urllib.error.HTTPError as error:
        assert error.code == 403
    holds("presigned GET with Range")

    # Many names, a page at a time.
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: s3.put_object(Bucket="scratch", Key=f"{prefix}/{n:03}", Body=b"x"), range(25)))
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="scratch", Prefix=f"{prefix}/", PaginationConfig={"PageSize": 10}
    )
    pages = [[entry["Key"] for entry in page["Contents"]] for page in pages]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert sum(pages, []) == [f"{prefix}/{n:03}" for n in range(25)]
    below = s3.list_objects_v2(Bucket="scratch", Prefix="features-", Delimiter="/")
    assert {"Prefix": f"{prefix}/"} in below["CommonPrefixes"]
    holds("list v2 with pagination")

    # What a browser asks before a page may use the store.
    def preflight(origin):
        headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        asked = urllib.request.Request(f"{os.environ['S3_ENDPOINT']}/media/{prefix}", method="OPTIONS", headers=headers)
        try:
            with urllib.request.urlopen(asked, context=trusted) as answer:
                return answer.headers["Access-Control-Allow-Origin"]
        except urllib.error.HTTPError:
            return None

    assert preflight("https://shop.example") == "https://shop.example"
    assert preflight("https://elsewhere.example") is None
    holds("CORS")

    # Only where there is nothing yet; of many who try at once, one.
    def try_to_be_first(n):
        try:
            s3.put_object(Bucket="scratch", Key=f"{prefix}/first", Body=str(n).encode(), IfNoneMatch="*")
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("PreconditionFailed", "412"), error
            return None
        return str(n).encode()

    with ThreadPoolExecutor(8) as threads:
        firsts = [first for first in threads.map(try_to_be_first, range(16)) if first]
    assert len(firsts) == 1 and s3.get_object(Bucket="scratch", Key=f"{prefix}/first")["Body"].read() == firsts[0]
    holds("If-None-Match without versions")

    # How it deviates from S3, which is why nothing may rely on it.
    tag = s3.put_object(Bucket="scratch", Key=f"{prefix}/match", Body=b"one")["ETag"]
    for given, taken in [(tag, False), (tag.strip('"'), True)]:
        try:
            s3.put_object(Bucket="scratch", Key=f"{prefix}/match", Body=b"one", IfMatch=given)
            assert taken, "a quoted ETag is taken: say so in the book"
        except ClientError as error:
            assert not taken and error.response["Error"]["Code"] == "PreconditionFailed", error
    holds("deviates: If-Match wants the ETag without quotes")
    s3.put_object(Bucket="media", Key=f"{prefix}/d", Body=b"one")
    s3.put_object(Bucket="media", Key=f"{prefix}/d", Body=b"two", IfNoneMatch="*")
    holds("deviates: If-None-Match is ignored with versions")

    # As much as the bucket may hold, and not more.
    with refused("QuotaExceeded"):
        for n in range(120):
            s3.put_object(Bucket="small", Key=f"{prefix}/{n}", Body=bytes(1 << 20))
            time.sleep(0.3)
    for entry in s3.list_objects_v2(Bucket="small")["Contents"]:
        s3.delete_object(Bucket="small", Key=entry["Key"])
    holds("quota")


def forbidden():
    """With the key of who may read `media` and write `private`."""
    s3 = client(attempts=3)

    def holds(what):
        print(what, flush=True)

    assert s3.list_objects_v2(Bucket="media", MaxKeys=1)["KeyCount"] == 1
    with refused("AccessDenied"):
        s3.put_object(Bucket="media", Key="not-mine", Body=b"x")
    holds("a reader does not write")
    with refused("AccessDenied"):
        s3.delete_object(Bucket="media", Key="not-mine")
    holds("a reader does not delete")
    for call in (s3.list_objects_v2, s3.get_bucket_policy, s3.get_bucket_lifecycle_configuration):
        with refused("AccessDenied"):
            call(Bucket="scratch")
    with refused("AccessDenied"):
        s3.get_object(Bucket="scratch", Key="anything")
    holds("another's bucket is closed")
    assert s3.list_buckets()["Buckets"] == []
    holds("no names of buckets are told")
    with refused("AccessDenied", "TooManyBuckets"):
        s3.create_bucket(Bucket="of-my-own")
    holds("no buckets are made")
    with refused("AccessDenied"):
        s3.put_bucket_policy(Bucket="private", Policy='{"Version": "2012-10-17", "Statement": []}')
    holds("not even its own bucket's rules are changed")
    s3.put_object(Bucket="private", Key="mine", Body=b"x")
    assert s3.get_object(Bucket="private", Key="mine")["Body"].read() == b"x"
    holds("its own bucket is open")
    credentials["aws_secret_access_key"] = "0" * 64
    with refused("SignatureDoesNotMatch"):
        client().list_objects_v2(Bucket="private")
    holds("a wrong secret is refused")


def lifecycle():
    s3 = client(attempts=3)
    prefix = f"lifecycle-{time.time_ns()}"
    for text in (b"one", b"two"):
        s3.put_object(Bucket="media", Key=f"{prefix}/v", Body=text)
    s3.create_multipart_upload(Bucket="media", Key=f"{prefix}/m")
    s3.put_object(Bucket="scratch", Key=f"{prefix}/x", Body=b"x")
    s3.put_object(Bucket="archive", Key=f"{prefix}/c", Body=b"cold")
    for _ in range(120):
        versions = s3.list_object_versions(Bucket="media", Prefix=prefix)["Versions"]
        uploads = s3.list_multipart_uploads(Bucket="media").get("Uploads", [])
        uploads = [upload for upload in uploads if upload["Key"].startswith(prefix)]
        expired = s3.list_objects_v2(Bucket="scratch", Prefix=prefix)["KeyCount"] == 0
        tier = s3.head_object(Bucket="archive", Key=f"{prefix}/c").get("StorageClass", "STANDARD")
        if len(versions) == 1 and not uploads and expired and tier == "COLD":
            assert s3.get_object(Bucket="archive", Key=f"{prefix}/c")["Body"].read() == b"cold"
            assert s3.get_object(Bucket="media", Key=f"{prefix}/v")["Body"].read() == b"two"
            print("old versions, objects that are past their days and uploads that were given up are gone; what is cold is in its tier")
            return
        time.sleep(1)
    sys.exit(f"{len(versions)} versions, {len(uploads)} uploads, expired: {expired}, {tier}")


def rules(bucket):
    print(client().get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"])


def put(bucket, name, path):
    client().put_object(Bucket=bucket, Key=name, Body=open(path, "rb").read())


def get(bucket, name):
    sys.stdout.buffer.write(client().get_object(Bucket=bucket, Key=name)["Body"].read())


def fill(bucket):
    s3 = client()
    s3.create_bucket(Bucket=bucket)
    for number in range(30):
        s3.put_object(Bucket=bucket, Key=f"{number // 10}/{number}", Body=body(number), ContentType="audio/mp4")
    open("/root/large", "wb").write(random.Random(0).randbytes(20 << 20))
    s3.upload_file("/root/large", bucket, "large")


verbs = {"put": put, "get": get, "fill": fill, "write": write, "read": read, "features": features, "forbidden": forbidden, "lifecycle": lifecycle, "rules": rules}
verbs[sys.argv[1]](*sys.argv[2:])
