"""Reads what load.py has written, of which each line of a file tells, and prints how many are lost: of those that were confirmed
by so many replicas, by the number of replicas.

Standard input is the password. Arguments: the user, the Sentinels, the keys' prefix, the file.
"""

import json
import sys
from collections import Counter

from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

user, sentinels, prefix, path = sys.argv[1:5]
password = sys.stdin.readline().strip()
tls = dict(ssl=True, ssl_ca_certs="/etc/bascule/authority.pem", username=user, password=password, retry=Retry(NoBackoff(), 0))
places = [tuple(place.split(":")) for place in sentinels.split(",")]
sentinel = Sentinel([(host, int(port)) for host, port in places], sentinel_kwargs=tls, **tls)
master = sentinel.master_for("main", socket_timeout=5)

written, lost = Counter(), Counter()
with open(path) as lines:
    for text in lines:
        line = json.loads(text)
        if "confirmed" in line:
            written[line["confirmed"]] += 1
            if master.get(f"{prefix}:{line['n']}") != str(line["n"]).encode():
                lost[line["confirmed"]] += 1
print(json.dumps({"written": written, "lost": lost}))
