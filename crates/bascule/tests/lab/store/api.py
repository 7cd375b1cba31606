#!/usr/bin/python3
"""A component that uses the store, as its platform tells it to. Each request for /api/keep writes an object and reads it
back: 200 when it is the same, 500 with the reason otherwise."""

import json
import os
import signal
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# Everything else comes from its environment. Each request is tried once.
s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}))
bucket = os.environ["S3_BUCKETS"].split(",")[0]
drains = threading.Event()


def kept():
    key, data = f"kept/{uuid.uuid4()}", os.urandom(20_000)
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=data)
        same = s3.get_object(Bucket=bucket, Key=key)["Body"].read() == data
        s3.delete_object(Bucket=bucket, Key=key)
    except (BotoCoreError, ClientError, OSError) as error:
        return 500, f"{type(error).__name__}: {error}"
    return (200, "the same") if same else (500, "something else was read")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        match self.path:
            case "/api/health":
                status, text = (404, "drains") if drains.is_set() else (200, "well")
            case "/api/version":
                status, text = 200, json.dumps({"commit": os.environ["COMMIT"]})
            case "/api/keep":
                status, text = kept()
            case _:
                status, text = 404, "nothing"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


host, port = os.environ["LISTEN_ADDRESS"].rsplit(":", 1)
server = ThreadingHTTPServer((host, int(port)), Handler)
server.daemon_threads = True


def end():
    """Load balancers see the drain; what is under way ends."""
    drains.set()
    time.sleep(3)
    server.shutdown()


signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())
server.serve_forever()
