"""Writes to Redis, as a client that nobody here wrote does it, until it is killed or standard input ends.

Standard input is the password. Arguments: the user, the Sentinels (ADDRESS:PORT, with commas), how many replicas have to confirm a
write (0 to ask for no confirmation). A line of JSON for each write: its number, when it was answered (seconds), how many replicas
confirmed it, or the error.
"""

import json
import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

user, sentinels, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
prefix = sys.argv[4]
password = sys.stdin.readline().strip()
# Its own retries would wait up to ten seconds between two.
tls = dict(ssl=True, ssl_ca_certs="/etc/bascule/authority.pem", username=user, password=password, retry=Retry(NoBackoff(), 0))
limits = dict(socket_timeout=1.5, socket_connect_timeout=0.5)
places = [tuple(place.split(":")) for place in sentinels.split(",")]
sentinel = Sentinel([(host, int(port)) for host, port in places], sentinel_kwargs={**tls, **limits}, **tls, **limits)
master = sentinel.master_for("main")

number = 0
while True:
    number += 1
    line = {"n": number}
    try:
        # One connection for both: WAIT speaks of the writes of its own.
        pipeline = master.pipeline(transaction=False)
        pipeline.set(f"{prefix}:{number}", number)
        if wanted:
            pipeline.execute_command("WAIT", wanted, 1000)
        answers = pipeline.execute()
        line["confirmed"] = answers[1] if wanted else 0
    except (redis.RedisError, OSError) as error:
        line["error"] = f"{type(error).__name__}: {error}"
        time.sleep(0.05)
    line["at"] = time.time()
    print(json.dumps(line), flush=True)
    time.sleep(0.005)
