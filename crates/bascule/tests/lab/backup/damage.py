"""Changes a file in the repository of backups, or puts it back. Runs on a node of the store, as the user that writes backups.

Arguments: damage WORDS… | mend. Of all files whose name has all of the words the largest is damaged; says which.
"""

import configparser
import json
import pathlib
import sys

import boto3
import botocore.config

settings = json.loads(pathlib.Path("/etc/ceph/bascule.json").read_text())
key = configparser.ConfigParser(interpolation=None)
key.read("/etc/ceph/bascule/users/postgres")
s3 = boto3.client(
    "s3", endpoint_url=f"https://{settings['members'][settings['own']]}:{settings['gateway_port']}", region_name="default",
    verify="/etc/bascule/authority.pem", config=botocore.config.Config(s3={"addressing_style": "path"}),
    aws_access_key_id=key["default"]["aws_access_key_id"], aws_secret_access_key=key["default"]["aws_secret_access_key"],
)  # fmt: skip
kept = pathlib.Path("/root/kept")
verb, *words = sys.argv[1:]
if verb == "damage":
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="backups")
    found = [(entry["Size"], entry["Key"]) for page in pages for entry in page.get("Contents", [])]
    name = max((size, name) for size, name in found if all(word in name for word in words))[1]
    whole = s3.get_object(Bucket="backups", Key=name)["Body"].read()
    kept.with_suffix(".name").write_text(name)
    kept.write_bytes(whole)
    at = len(whole) // 2
    s3.put_object(Bucket="backups", Key=name, Body=whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
    print(name)
else:
    s3.put_object(Bucket="backups", Key=kept.with_suffix(".name").read_text(), Body=kept.read_bytes())
