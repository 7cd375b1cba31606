#!/usr/bin/python3
"""store-migrate: moves a bucket of another S3 server into one of this store, by rclone.

Standard input is JSON: the other server's `endpoint`, `region` and `credentials` (a file of AWS credentials), its bucket `from`,
this store's bucket `to`, and how to `verify`. Lines of JSON on standard output tell how far it is, and at last what was found. What is
there already, and the same, is not moved again: it may be cut off anywhere and be called again.
"""

import configparser
import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

ETC = "/etc/ceph"
AUTHORITY = "/etc/bascule/authority.pem"


def tell(**line):
    print(json.dumps(line), flush=True)


def failed(why):
    tell(failed=why)
    sys.exit(1)


def owners_key():
    """The platform's own, see `store-buckets`."""
    with open(f"{ETC}/bascule/cluster") as file:
        secret = file.read().strip().encode()
    digest = hmac.new(secret, b"access key of the owner", hashlib.sha256).hexdigest()
    return digest[:20].upper(), hmac.new(secret, b"secret of the owner", hashlib.sha256).hexdigest()


def written(asked, folder):
    """rclone's settings, in memory: nothing of them is among arguments or in an environment."""
    other = configparser.ConfigParser(interpolation=None)
    try:
        other.read_string(asked["credentials"])
        key = other["default"]["aws_access_key_id"], other["default"]["aws_secret_access_key"]
    except (configparser.Error, KeyError):
        failed("the credentials are no file of AWS credentials with a [default]")
    with open(f"{ETC}/bascule.json") as file:
        own = json.load(file)
    endpoint = f"https://{own['members'][own['own']]}:{own['gateway_port']}"
    settings = configparser.ConfigParser(interpolation=None)
    for name, at, region, (id, secret) in [
        ("other", asked["endpoint"], asked["region"], key),
        ("store", endpoint, "default", owners_key()),
    ]:
        settings[name] = {
            "type": "s3", "provider": "Other", "endpoint": at, "region": region, "force_path_style": "true",
            "access_key_id": id, "secret_access_key": secret, "no_check_bucket": "true",
        }  # fmt: skip
    path = f"{folder}/rclone.conf"
    with open(path, "w") as file:
        settings.write(file)
    return path


class Rclone:
    started = []

    def __init__(self, config, authorities):
        self.options = ["--config", config, "--ca-cert", authorities, "--use-json-log", "--retries", "5"]
        self.options += ["--contimeout", "10s", "--low-level-retries", "3", "--retries-sleep", "1s"]

    def start(self, *argv):
        argv = ["rclone", *argv, *self.options]
        pipe = subprocess.PIPE
        self.started.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True))
        return self.started[-1]

    def lines(self, running):
        """What it logs, as it comes."""
        for line in running.stderr:
            try:
                yield json.loads(line)
            except ValueError:
                yield {"level": "error", "msg": line.strip()}

    def run(self, *argv):
        """What it answers, or the last of what it complained of."""
        running = self.start(*argv)
        said = [line["msg"] for line in self.lines(running) if line.get("level") in ("error", "critical", "fatal")]
        answer = running.stdout.read()
        return answer if running.wait() == 0 else failed(last(said))


def last(said):
    return said[-1].strip() if said else "rclone: no word"


def migrate(asked, folder):
    # Both servers are known by some authority: the environment's own, or one that everybody knows.
    authorities = f"{folder}/authorities.pem"
    with open(authorities, "wb") as together:
        for path in ("/etc/ssl/certs/ca-certificates.crt", AUTHORITY):
            if os.path.exists(path):
                with open(path, "rb") as file:
                    shutil.copyfileobj(file, together)
    rclone = Rclone(written(asked, folder), authorities)
    source, target = f"other:{asked['from']}", f"store:{asked['to']}"

    whole = json.loads(rclone.run("size", source, "--json"))
    tell(objects=whole["count"], bytes=whole["bytes"])

    running = rclone.start(
        "copy", source, target, "--metadata", "--transfers", "8", "--checkers", "16",
        "--stats", "1s", "--stats-log-level", "NOTICE",
    )  # fmt: skip
    said = []
    for line in rclone.lines(running):
        if "stats" in line:
            moved = line["stats"]
            tell(moved=moved["bytes"], of=moved["totalBytes"], speed=moved["speed"], seconds_left=moved.get("eta"))
        elif line.get("level") in ("error", "critical", "fatal"):
            said.append(line["msg"])
    if running.wait() != 0:
        failed(last(said))

    # Read back from both, byte by byte: a digest of S3 says nothing of an object that came in parts.
    found = f"{folder}/found"
    by = ["--download"] if asked["verify"] == "bytes" else []
    running = rclone.start("check", source, target, "--one-way", "--combined", found, "--stats", "1s", "--stats-log-level", "NOTICE", *by)  # fmt: skip
    said = []
    for line in rclone.lines(running):
        if "stats" in line:
            tell(verified=line["stats"].get("checks", 0), of_objects=whole["count"])
        elif line.get("level") in ("error", "critical", "fatal"):
            said.append(line["msg"])
    # 1 is that something differs, of which `found` tells what.
    if running.wait() not in (0, 1) or not os.path.exists(found):
        failed(last(said))
    with open(found) as file:
        lines = file.read().splitlines()
    differ = [line[2:] for line in lines if not line.startswith("= ")]
    same = len(lines) - len(differ)
    tell(same=same, differ=len(differ), first=differ[:5])
    # What was written to the other server meanwhile is the next run's.
    sys.exit(0 if not differ and same >= whole["count"] else 1)


# Told to end, it takes the keys with it, and rclone.
for told in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(told, lambda *_: sys.exit("told to end"))

with tempfile.TemporaryDirectory(dir="/run", prefix="store-migrate-") as folder:
    try:
        migrate(json.load(sys.stdin), folder)
    finally:
        for running in Rclone.started:
            running.kill()
