"""A ledger outside the platform: inserts rows through the pool until it is killed, and knows which were acknowledged.

    ledger.py write PLACE RUN CLIENTS [SETTING…]     standard input is the password; SETTING is set in each transaction
    ledger.py read PLACE FILE [FILE…]                compares what write has printed with what is there

The first FILE is of who came through the pool. The others are of somebody on each node, past all poolers, from before that until
after it: they tell whether two nodes were written to at one time.

A line of JSON for each insert: its name, when it was begun and answered (seconds), the timeline it was written on, and the error where
it was not acknowledged. A COMMIT that says WARNING ("canceled waiting for synchronous replication") is none: the row may be lost with
the node.
"""

import json
import sys
import threading
import time
from collections import Counter

import psycopg2

INSERT = """INSERT INTO ledger (name, timeline) VALUES
    (%s, ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int) RETURNING timeline"""
lock = threading.Lock()


def tell(line):
    with lock:
        print(json.dumps(line), flush=True)


def connect(place, password):
    return psycopg2.connect(place, password=password, connect_timeout=5)


def insert(place, password, run, client, settings):
    connection, number = None, 0
    while True:
        number += 1
        line = {"name": f"{run}-{client}-{number}", "began": time.time()}
        try:
            if connection is None:
                connection = connect(place, password)
            connection.notices.clear()
            with connection, connection.cursor() as cursor:
                for setting in settings:
                    cursor.execute(f"SET LOCAL {setting}")
                cursor.execute(INSERT, (line["name"],))
                line["timeline"] = cursor.fetchone()[0]
            warnings = [notice for notice in connection.notices if notice.startswith("WARNING")]
            if warnings:
                line["error"] = warnings[0].strip()
        except psycopg2.Error as error:
            line["error"] = str(error).strip() or type(error).__name__
            if connection is not None:
                connection.close()
                connection = None
        tell({**line, "at": time.time()})
        time.sleep(0.1 if "error" in line else 0.01)


def idle(place, password):
    """Speaks, is silent through whatever happens, and speaks again, on one and the same connection."""
    connection = connect(place, password)
    connection.autocommit = True
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT NOT pg_is_in_recovery()")
            tell({"idle": cursor.fetchone()[0], "at": time.time()})
        time.sleep(8)


def guarded_idle(place, password):
    try:
        idle(place, password)
    except psycopg2.Error as error:
        tell({"idle": False, "why": str(error).strip(), "at": time.time()})


def write(place, run, clients, settings):
    password = sys.stdin.readline().strip()
    for client in range(clients):
        threading.Thread(target=insert, args=(place, password, run, client, settings), daemon=True).start()
    threading.Thread(target=guarded_idle, args=(place, password), daemon=True).start()
    while True:
        time.sleep(1)


def lines_of(path):
    with open(path) as file:
        # The last line may have been cut when it was killed.
        lines = (line for line in file if line.startswith("{") and line.endswith("}\n"))
        return [json.loads(line) for line in lines]


def read(place, path, others):
    """How many were acknowledged, which of them are lost, what errors there were, and whether two nodes were written to at one time."""
    password = sys.stdin.readline().strip()
    lines = lines_of(path)
    written = [line for line in lines if "name" in line]
    began = min((line["began"] for line in written), default=0)
    past_poolers = [line for other in others for line in lines_of(other) if line.get("began", 0) >= began]
    acknowledged = [line for line in written if "error" not in line]
    at_nodes = [line for line in past_poolers if "error" not in line]
    connection = connect(place, password)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM ledger")
        there = {name for (name,) in cursor.fetchall()}
    # Whoever begins after an answer from a newer timeline must not get one from an older.
    newest, backwards = 0, []
    answered = acknowledged + at_nodes
    answers = sorted([(line["at"], 0, line) for line in answered] + [(line["began"], 1, line) for line in answered], key=lambda event: event[:2])
    for _, begins, line in answers:
        if begins and line["timeline"] < newest:
            backwards.append(line["name"])
        elif not begins:
            newest = max(newest, line["timeline"])
    times = sorted(line["at"] for line in acknowledged)
    print(json.dumps({
        "acknowledged": len(acknowledged),
        "at_nodes": len(at_nodes),
        "lost": [line["name"] for line in answered if line["name"] not in there],
        "errors": Counter(line["error"].splitlines()[0] for line in written if "error" in line),
        "timelines": sorted({line["timeline"] for line in acknowledged}),
        "backwards": backwards,
        "idle": all(line["idle"] for line in lines if "idle" in line),
        "gap_ms": round(1000 * max((after - before for before, after in zip(times, times[1:])), default=0)),
    }))  # fmt: skip


match sys.argv[1:]:
    case ["write", place, run, clients, *settings]:
        write(place, run, int(clients), settings)
    case ["read", place, path, *others]:
        read(place, path, others)
