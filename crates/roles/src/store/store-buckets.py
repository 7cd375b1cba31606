#!/usr/bin/python3
"""store-buckets VERB check|apply: the store's users and buckets, as the platform file has them.

All buckets belong to the platform's own user. What others may do in them is said by each bucket's policy. A bucket that the
file does not name any more is left alone, and open to nobody but the platform; a user that it does not name is removed.

  add      everybody has their new key, beside the one that they had
  buckets  every bucket is there, with its settings
  only     nobody has another key than theirs, and nobody else has one
"""

import configparser
import hashlib
import hmac
import json
import subprocess
import sys
import time

import boto3
import botocore
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions
import urllib3

ETC = "/etc/ceph"
KEYS = f"{ETC}/bascule/users"
OWNER = "bascule"
AUTHORITY = "/etc/bascule/authority.pem"
READ = [
    "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging", "s3:GetObjectVersionTagging",
    "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetBucketVersioning",
    "s3:GetLifecycleConfiguration", "s3:GetBucketCORS",
]  # fmt: skip
WRITE = READ + [
    "s3:PutObject", "s3:PutObjectTagging", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:DeleteObjectTagging",
    "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:ListBucketMultipartUploads",
]  # fmt: skip


def owners_key():
    """The platform's own key follows from the store's secret."""
    with open(f"{ETC}/bascule/cluster") as file:
        secret = file.read().strip().encode()
    digest = hmac.new(secret, b"access key of the owner", hashlib.sha256).hexdigest()
    return digest[:20].upper(), hmac.new(secret, b"secret of the owner", hashlib.sha256).hexdigest()


def wanted_buckets():
    with open(f"{ETC}/bascule-buckets.json") as file:
        return json.load(file)


def wanted_keys():
    keys = {OWNER: owners_key()}
    for user in sorted({user for bucket in wanted_buckets() for user in bucket["access"]}):
        file = configparser.ConfigParser(interpolation=None)
        file.read(f"{KEYS}/{user}")
        keys[user] = (file["default"]["aws_access_key_id"], file["default"]["aws_secret_access_key"])
    return keys


class NoOwner(Exception):
    """Nobody can be asked for yet."""


class Store:
    def __init__(self, settings):
        self.endpoint = f"https://{settings['members'][settings['own']]}:{settings['gateway_port']}"
        self.key = botocore.credentials.Credentials(*owners_key())
        # One connection: there is nothing to gain by more.
        self.http = urllib3.PoolManager(ca_certs=AUTHORITY, maxsize=1, retries=False, timeout=30)
        self.s3 = boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="default", verify=AUTHORITY,
            aws_access_key_id=self.key.access_key, aws_secret_access_key=self.key.secret_key,
            config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}),
        )  # fmt: skip

    def admin(self, path, **query):
        """Of the gateway's own interface: https://docs.ceph.com/en/reef/radosgw/adminops/"""
        words = "&".join(f"{name}={value}" for name, value in query.items())
        request = botocore.awsrequest.AWSRequest("GET", f"{self.endpoint}/admin/{path}?{words}")
        botocore.auth.S3SigV4Auth(self.key, "s3", "default").add_auth(request)
        prepared = request.prepare()
        answer = self.http.request("GET", prepared.url, headers=dict(prepared.headers))
        if answer.status == 404:
            return None
        if answer.status == 403:
            raise NoOwner("the store does not know its owner yet")
        if answer.status >= 300:
            raise SystemExit(f"store-buckets: {path}: {answer.status} {answer.data[:200].decode()}")
        return json.loads(answer.data)

    def user(self, name):
        found = self.admin("metadata/user", key=name)
        return found and found["data"]


def put_user(name, keys):
    """By standard input: a secret has no place among arguments."""
    data = {
        "user_id": name, "display_name": name, "op_mask": "read, write, delete",
        # None is as many as one likes, and less is none at all.
        "max_buckets": 0 if name == OWNER else -1,
        "keys": [{"user": name, "access_key": id, "secret_key": secret} for id, secret in keys],
    }  # fmt: skip
    if name == OWNER:
        data["caps"] = [{"type": of, "perm": "*"} for of in ("buckets", "metadata", "users")]
    admin("metadata", "put", f"user:{name}", given=json.dumps({"key": f"user:{name}", "data": data}))


def admin(*argv, given=""):
    done = subprocess.run(["radosgw-admin", *argv], input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"radosgw-admin {argv[0]} {argv[1]}: {(done.stderr.strip() or 'no word').splitlines()[-1]}")
    return done.stdout


def accepted(user):
    return {(key["access_key"], key["secret_key"]) for key in user["keys"]} if user else set()


def add(store, apply):
    if apply:
        # The owner is who asks for all others, and so is made without being asked for.
        put_user(OWNER, [owners_key()])
        wait_for_owner(store)
    for name, key in wanted_keys().items():
        there = accepted(store.user(name))
        if key not in there:
            if not apply:
                return f"{name} has no key yet, or another one"
            put_user(name, sorted(there | {key}))


def wait_for_owner(store):
    """A gateway that has just started, or has seen the owner before, takes a moment."""
    for _ in range(60):
        try:
            if store.user(OWNER):
                return
        except (NoOwner, urllib3.exceptions.HTTPError):
            pass
        time.sleep(0.5)
    raise SystemExit("store-buckets: the gateway does not know the store's owner")


def only(store, apply):
    wanted = wanted_keys()
    for name in store.admin("metadata/user"):
        if name not in wanted:
            if not apply:
                return f"{name} has a key, and nothing of the platform uses it"
            admin("metadata", "rm", f"user:{name}")
        elif accepted(store.user(name)) != {wanted[name]}:
            if not apply:
                return f"{name} has an old key, too"
            put_user(name, [wanted[name]])


# --- buckets ------------------------------------------------------------------------------------------------------------


def policy(bucket):
    def may(access, actions):
        users = sorted(user for user, has in bucket["access"].items() if has == access)
        return users and [{
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:aws:iam:::user/{user}" for user in users]},
            "Action": sorted(actions),
            "Resource": [f"arn:aws:s3:::{bucket['name']}", f"arn:aws:s3:::{bucket['name']}/*"],
        }]  # fmt: skip

    statements = (may("read", READ) or []) + (may("write", WRITE) or [])
    return {"Version": "2012-10-17", "Statement": statements}


def lifecycle(bucket):
    rules = {"uploads": {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": bucket["abort_uploads_days"]}}}
    if bucket["versioning"]:
        rules["versions"] = {
            "NoncurrentVersionExpiration": {"NoncurrentDays": bucket["keep_noncurrent_days"]},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        }
    if bucket["expire_days"]:
        rules["objects"] = {"Expiration": {"Days": bucket["expire_days"]}}
    if bucket["cold"]:
        cold = {"Days": bucket["cold"]["after_days"], "StorageClass": bucket["cold"]["tier"]}
        rules["cold"] = {"Transitions": [cold]}
    return [{"ID": id, "Status": "Enabled", "Filter": {"Prefix": ""}, **rule} for id, rule in sorted(rules.items())]


def cors(bucket):
    return bucket["cors_origins"] and [{
        "AllowedOrigins": sorted(bucket["cors_origins"]),
        "AllowedMethods": ["DELETE", "GET", "HEAD", "POST", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag", "x-amz-version-id"],
        "MaxAgeSeconds": 3600,
    }]  # fmt: skip


def found(ask, *missing):
    """What there is, and nothing where the store says that there is none."""
    try:
        return ask()
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in missing:
            return None
        raise


def in_order(value):
    """Lists of S3 have no order."""
    if isinstance(value, dict):
        inside = {key: in_order(inner) for key, inner in value.items()}
        return {key: inner for key, inner in inside.items() if inner not in (None, "", [], {})}
    if isinstance(value, list):
        return sorted((in_order(inner) for inner in value), key=lambda inner: json.dumps(inner, sort_keys=True))
    return value


def settings_of(store, bucket):
    """Each setting: what it is, what it should be, and how it is made so."""
    s3, name = store.s3, bucket["name"]

    def state():
        return s3.get_bucket_versioning(Bucket=name).get("Status", "")

    def put_lifecycle():
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": lifecycle(bucket)})

    def put_policy():
        if policy(bucket)["Statement"]:
            s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy(bucket)))
        else:
            s3.delete_bucket_policy(Bucket=name)

    def put_cors():
        if cors(bucket):
            s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": cors(bucket)})
        else:
            s3.delete_bucket_cors(Bucket=name)

    def put_versioning(status):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})

    def rules():
        there = found(lambda: s3.get_bucket_lifecycle_configuration(Bucket=name), "NoSuchLifecycleConfiguration")
        return [{key: value for key, value in rule.items() if key != "Prefix"} for rule in (there or {}).get("Rules", [])]

    def allowed():
        there = found(lambda: s3.get_bucket_policy(Bucket=name), "NoSuchBucketPolicy")
        return json.loads(there["Policy"])["Statement"] if there else []

    def origins():
        there = found(lambda: s3.get_bucket_cors(Bucket=name), "NoSuchCORSConfiguration")
        return [{key: value for key, value in rule.items() if key != "ID"} for rule in (there or {}).get("CORSRules", [])]

    def room():
        quota = store.admin("bucket", bucket=name)["bucket_quota"]
        return quota["max_size"] if quota["enabled"] else None

    def put_room():
        of = ("--quota-scope=bucket", f"--bucket={name}")
        if bucket["quota_bytes"]:
            admin("quota", "set", *of, f"--max-size={bucket['quota_bytes']}")
        admin("quota", "enable" if bucket["quota_bytes"] else "disable", *of)

    before = state()
    versioning = "Enabled" if bucket["versioning"] else "Suspended" if before else ""
    return [
        ("versioning", before, versioning, lambda: put_versioning(versioning)),
        ("lifecycle", rules(), lifecycle(bucket), put_lifecycle),
        ("policy", allowed(), policy(bucket)["Statement"], put_policy),
        ("cors", origins(), cors(bucket) or [], put_cors),
        ("quota", room(), bucket["quota_bytes"], put_room),
    ]


def buckets(store, apply):
    wanted = wanted_buckets()
    there = {bucket["Name"] for bucket in store.s3.list_buckets()["Buckets"]}
    for bucket in wanted:
        if bucket["name"] not in there:
            if not apply:
                return f"there is no bucket {bucket['name']}"
            store.s3.create_bucket(Bucket=bucket["name"])
        for setting, now, should, put in settings_of(store, bucket):
            if in_order(now) != in_order(should):
                if not apply:
                    return f"bucket {bucket['name']} has another {setting}"
                put()
    named = {bucket["name"] for bucket in wanted}
    for name in sorted(there - named):
        if found(lambda name=name: store.s3.get_bucket_policy(Bucket=name), "NoSuchBucketPolicy"):
            if not apply:
                return f"bucket {name}, which the platform file does not name, is open to others"
            store.s3.delete_bucket_policy(Bucket=name)


def main():
    verbs = {"add": add, "buckets": buckets, "only": only}
    match sys.argv[1:]:
        case [verb, ("check" | "apply") as mode] if verb in verbs:
            with open(f"{ETC}/bascule.json") as file:
                store = Store(json.load(file))
            try:
                why = verbs[verb](store, mode == "apply")
            except NoOwner as nobody:
                why = str(nobody)
        case _:
            print(f"usage: store-buckets {'|'.join(verbs)} check|apply", file=sys.stderr)
            return 2
    if why:
        print(why)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except botocore.exceptions.ClientError as error:
        sys.exit(f"store-buckets: {error}")
    except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError) as error:
        sys.exit(f"store-buckets: the gateway of this node does not answer: {error}")
