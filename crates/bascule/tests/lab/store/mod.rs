//! The object store loses its nodes, two at a time and in every way, while somebody writes.

mod site;

use std::time::{Duration, Instant};

use serde_json::Value;
use site::{Asks, NODES, PATIENCE, SIGNING_KEY, Site, Writes};

use crate::edge::site::{ask, signed};
use crate::lab::{A, BETWEEN_LOOKS, events, said};

#[test]
fn software_finds_what_it_relies_on_and_a_key_opens_no_more_than_it_should() {
    let site = Site::up();
    let holds = site.s3("tools", &["features"]);
    for what in ["versioning", "multipart", "presigned GET", "pagination", "CORS", "If-None-Match without", "quota"] {
        assert!(holds.contains(what), "{what}: {holds}");
    }
    let closed = site.s3("other", &["forbidden"]);
    assert_eq!(closed.lines().count(), 8, "{closed}");
    // Prometheus will find how it is.
    let metrics = format!(
        "curl --silent --cacert /etc/bascule/authority.pem https://{}:9100/metrics | grep -c '^bascule_store_node_up.* 1'",
        site.address("store-2")
    );
    assert_eq!(site.lab.shell("store-2", &metrics).trim(), "4");
    // From where nobody uses the store it cannot even be reached, and from nowhere past the load balancers.
    let knock = |from: &str, to: &str, port: u16| {
        let line = format!("timeout 3 bash -c '</dev/tcp/{}/{port}'", site.address(to));
        site.lab.run(&["exec", from, "--", "sh", "-c", &line]).status.success()
    };
    assert!(knock("tools-1", "lb-1", 9000) && knock("lb-1", "store-1", 8443) && knock("store-2", "store-1", 3300));
    assert!(!knock("web-1", "lb-1", 9000) && !knock("tools-1", "store-1", 8443) && !knock("lb-1", "store-1", 3300));
}

#[test]
fn what_is_past_its_days_goes() {
    let site = Site::up();
    assert!(!site.s3("tools", &["rules", "archive"]).contains("Transition"), "nobody has named a tier");
    // A day is a second for as long as this is asked of the gateways.
    let config = |words: &str| {
        let line = format!("ceph config {words}");
        site.lab.ok(&["exec", "store-1", "--", "sh", "-c", &line]);
        for node in NODES {
            site.lab.ok(&["exec", node, "--", "systemctl", "restart", "ceph-radosgw.target"]);
        }
    };
    // As the book tells to make a tier.
    let tier = "ceph osd pool create cold 8 8 erasure bascule && ceph osd pool set cold min_size 2 && ceph osd pool application enable cold rgw && \
        radosgw-admin zonegroup placement add --rgw-zonegroup default --placement-id default-placement --storage-class COLD && \
        radosgw-admin zone placement add --rgw-zone default --placement-id default-placement --storage-class COLD --data-pool cold";
    site.lab.ok(&["exec", "store-1", "--", "sh", "-c", tier]);
    config("set client.rgw rgw_lc_debug_interval 1");
    site.change("[store]\nvolume = \"7GiB\"\ncold_tier = \"COLD\"\n");
    assert_eq!(site.lab.summary(&["up"])["failed"], 0);
    assert!(site.s3("tools", &["rules", "archive"]).contains("Transition"));
    let gone = site.s3("tools", &["lifecycle"]);
    config("rm client.rgw rgw_lc_debug_interval");
    site.change("[store]\nvolume = \"7GiB\"\n");
    assert_eq!(site.lab.summary(&["up"])["failed"], 0);
    assert!(gone.contains("are gone"), "{gone}");
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
}

#[test]
fn any_two_nodes_die_and_everything_is_read_and_writes_go_on() {
    let site = Site::up();
    let writes = Writes::start(&site);
    writes.go_on();
    // The second pair has to make up for what was written while the first was away.
    for pair in [["store-1", "store-2"], ["store-3", "store-4"]] {
        site.lab.incus(&[&["stop", "--force"][..], &pair].concat());
        writes.go_on();
        site.reads_everything(&writes);
        let told = site.status();
        assert_eq!(told["alerts"], 2, "{told}");
        assert_eq!(told["page"], true, "{told}");
        site.lab.incus(&[&["start"][..], &pair].concat());
        site.wait_until_whole();
    }
    let read = writes.end();
    println!("store: two of four nodes killed, then the other two: {read}");
    assert_eq!(read["lost"], Value::Array(Vec::new()));
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
}

#[test]
#[ignore = "long: left out by --short"]
fn a_node_that_is_frozen_or_cut_off_is_missed_by_nobody_and_returns_by_itself() {
    let site = Site::up();
    let writes = Writes::start(&site);
    site.lab.incus(&["pause", "store-2"]);
    writes.go_on();
    site.lab.incus(&["resume", "store-2"]);
    site.wait_until_whole();
    site.lab.cut_off("store-1");
    writes.go_on();
    site.lab.connect("store-1");
    site.wait_until_whole();
    // The witness goes beside a node, and comes back by `up` alone, as the node does.
    site.lab.incus(&["stop", "--force", "store-witness", "store-1"]);
    writes.go_on();
    let told = site.status();
    assert_eq!((&told["away"], &told["page"]), (&Value::from(2), &Value::from(true)), "{told}");
    assert_eq!(site.lab.summary(&["up"])["failed"], 0);
    site.wait_until_whole();
    let read = writes.end();
    println!("store: a node frozen, another cut off, a third and the witness killed: {read}");
    assert_eq!(read["lost"], Value::Array(Vec::new()));
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
}

#[test]
fn a_node_that_lost_its_disk_gets_its_parts_again() {
    let site = Site::up();
    let writes = Writes::start(&site);
    writes.go_on();
    site.lab.incus(&["stop", "--force", "store-1"]);
    site.lab.wipe("store-1");
    site.lab.incus(&["delete", "store-1"]);
    let summary = site.lab.summary(&["up"]);
    assert_eq!(summary["failed"], 0, "{summary}");
    site.wait_until_whole();
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
    // All parts are needed of it now.
    site.lab.incus(&["stop", "--force", "store-3", "store-4"]);
    writes.go_on();
    let read = writes.end();
    assert_eq!(read["lost"], Value::Array(Vec::new()));
    site.lab.incus(&["start", "store-3", "store-4"]);
    site.wait_until_whole();
}

#[test]
fn a_bit_that_flips_on_a_disk_is_found_put_right_and_told() {
    let site = Site::up();
    let words = "what is on the disk ".repeat(40_000);
    site.put("flipped", &words);
    let flip = ["exec", "store-3", "--", "python3", "-", "2", "_flipped"];
    let flipped = site.lab.with_input(&flip, include_bytes!("flip.py"));
    assert!(flipped.status.success(), "{}", said(&flipped));
    site.wait_until_whole();
    // The weekly look at everything comes now. One that a person asks for puts nothing right.
    let hurry = [
        "osd_deep_scrub_interval 5",
        "osd_scrub_min_interval 5",
        "osd_scrub_max_interval 10",
        "osd_scrub_load_threshold 100",
    ];
    let config = |verb: &str, words: &[&str]| {
        let line = words.iter().map(|words| format!("ceph config {verb} osd {words}")).collect::<Vec<_>>().join(" && ");
        site.lab.ok(&["exec", "store-1", "--", "sh", "-c", &line]);
    };
    config("set", &hurry);
    let began = Instant::now();
    loop {
        let told = site.lab.run(&["store", "status", "--output", "json"]);
        let alert = "were wrong on its disk, and were made anew";
        let is_told = |event: &Value| event["type"] == "alert" && event["message"].as_str().unwrap().contains(alert);
        if events(&told).iter().any(is_told) {
            assert_eq!(told.status.code(), Some(1));
            config("rm", &hurry.map(|words| words.split_once(' ').unwrap().0));
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{}", said(&told));
        std::thread::sleep(Duration::from_secs(1));
    }
    // Its own part is right again: the other two that could stand in for it are away.
    site.lab.incus(&["stop", "--force", "store-1", "store-2"]);
    assert_eq!(site.get("flipped"), words);
    site.lab.incus(&["start", "store-1", "store-2"]);
    site.wait_until_whole();
    // A restart begins to count anew.
    site.lab.ok(&["exec", "store-3", "--", "systemctl", "restart", "ceph-osd@2"]);
    site.wait_until_whole();
    assert_eq!(site.status()["alerts"], 0);
}

#[test]
fn a_bucket_is_moved_over_from_another_server_and_compared() {
    let site = Site::up();
    let there = site.other_server();
    // The same for whoever moves it: small ones, and one that comes in parts.
    site.fill(&there);
    let moved = site.migrate(&there, &["--bucket", "old", "--to", "scratch"]);
    assert!(moved.status.success(), "{}", said(&moved));
    assert!(said(&moved).contains("31 objects are here and the same as there"), "{}", said(&moved));
    assert!(said(&moved).contains("to cut over"), "{}", said(&moved));
    // What changed meanwhile is moved by the next run; what is another's is not touched.
    site.s3_at(&there, &["put", "old", "late", "/root/s3.py"]);
    let again = site.migrate(&there, &["--bucket", "old", "--to", "scratch", "--verify", "digests"]);
    assert!(said(&again).contains("32 objects are here"), "{}", said(&again));
    let nowhere = site.migrate(&there, &["--bucket", "nothing", "--to", "scratch"]);
    assert_eq!(nowhere.status.code(), Some(1), "{}", said(&nowhere));
    let unknown = site.migrate(&there, &["--bucket", "old"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
    assert!(said(&unknown).contains("the platform has no bucket `old`"), "{}", said(&unknown));
    // The way in that was made for it is closed again.
    assert_eq!(site.lab.summary(&["up"])["failed"], 0);
}

#[test]
fn what_an_edge_keeps_is_served_with_the_store_entirely_down() {
    let site = Site::up();
    let words = "what is listened to ".repeat(200_000);
    site.put("songs/1.m4s", &words);
    let get = |path: &str, headers: &[(&str, &str)]| {
        ask(reqwest::Method::GET, &format!("http://10.99.37.9{}", signed(SIGNING_KEY, path)), headers)
    };
    let first = get("/media/songs/1.m4s", &[]);
    assert_eq!((first.status, first.cache()), (200, "MISS"));
    assert!(first.body == words.as_bytes());
    site.lab.incus(&[&["stop", "--force"][..], &NODES].concat());
    let kept = get("/media/songs/1.m4s", &[]);
    assert_eq!((kept.status, kept.cache()), (200, "HIT"));
    assert!(kept.body == words.as_bytes());
    let piece = get("/media/songs/1.m4s", &[("range", "bytes=1048570-1048589")]);
    assert_eq!((piece.status, &piece.body[..]), (206, &words.as_bytes()[1_048_570..1_048_590]));
    assert_eq!(get("/media/songs/2.m4s", &[]).status, 502);
    let forged = ask(reqwest::Method::GET, "http://10.99.37.9/media/songs/1.m4s", &[]);
    assert_eq!(forged.status, 403, "it is kept, and signed by nobody");
    site.lab.incus(&[&["start"][..], &NODES].concat());
    site.wait_until_whole();
    assert_eq!(get("/media/songs/2.m4s", &[]).status, 404);
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
}

#[test]
fn all_members_stop_and_come_back_by_themselves() {
    let site = Site::up();
    let writes = Writes::start(&site);
    writes.go_on();
    let file = writes.stop();
    let all = [&NODES[..], &["store-witness"]].concat();
    site.lab.incus(&[&["stop", "--force"][..], &all].concat());
    site.lab.incus(&[&["start"][..], &all].concat());
    site.wait_until_whole();
    let read = site.read(&file);
    assert_eq!(read["lost"], Value::Array(Vec::new()));
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
}

#[test]
fn a_components_key_is_replaced_while_it_goes_on() {
    let site = Site::up();
    site.lab.ok(&["deploy", A]);
    let asks = Asks::start();
    let before = site.key("api");
    site.lab.ok(&["secrets", "rotate", "bascule/store/user/api"]);
    // The store does not know it yet: a replica that came with it now would be turned away.
    let refused = site.lab.run(&["deploy", A]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("store-1 does not have it yet"), "{}", said(&refused));
    let summary = site.lab.summary(&["up"]);
    assert_eq!(summary["failed"], 0, "{summary}");
    let refused = site.s3_with(&before, &["get", "own", "anything"]);
    assert!(said(&refused).contains("InvalidAccessKeyId"), "{}", said(&refused));
    let (right, wrong) = asks.end();
    site.wait_until_whole();
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
    println!("store: a component's key was replaced: {right} right, {} wrong", wrong.len());
    assert!(wrong.is_empty() && right > 50, "{right} right, {wrong:#?}");
}

/// Of what it has to do with, nothing has to be done.
#[test]
fn a_node_that_cannot_be_started_holds_back_nobody() {
    let site = Site::up();
    site.lab.incus(&["stop", "--force", "store-1"]);
    // Until the others have agreed to do without it, none of them has anything to tell.
    let began = Instant::now();
    while site.status()["away"] != 1 || site.status()["alerts"] != 2 {
        assert!(began.elapsed() < PATIENCE, "{}", site.status());
        std::thread::sleep(BETWEEN_LOOKS);
    }
    assert_eq!(site.lab.up_without("store-1"), ["store-1"]);
    let summary = site.lab.summary(&["up"]);
    assert_eq!(summary["failed"], 0, "{summary}");
    site.wait_until_whole();
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
}

#[test]
#[ignore = "long: left out by --short"]
fn a_change_rolls_through_the_nodes_and_a_key_is_replaced_while_somebody_writes() {
    let site = Site::up();
    let writes = Writes::start(&site);
    writes.go_on();
    site.change("[store]\nvolume = \"7GiB\"\n");
    let summary = site.lab.summary(&["up"]);
    assert_eq!(summary["failed"], 0, "{summary}");
    let told = events(&site.lab.run(&["store", "status", "--output", "json"]));
    let nodes = told.iter().filter(|event| event["type"] == "store_node" && event["keeps_data"] == true);
    let rooms: Vec<u64> = nodes.map(|node| node["bytes_total"].as_u64().unwrap()).collect();
    assert!(rooms.len() == 4 && rooms.iter().all(|bytes| *bytes > 11 << 29), "{rooms:?}");
    let before = site.key("other");
    site.lab.ok(&["secrets", "rotate", "bascule/store/user/other"]);
    let summary = site.lab.summary(&["up"]);
    assert_eq!(summary["failed"], 0, "{summary}");
    let read = writes.end();
    println!("store: a larger volume and another key rolled through all nodes: {read}");
    assert_eq!((&read["lost"], &read["errors"]), (&Value::Array(Vec::new()), &Value::from(0)));
    // What was settled when the store was made is refused before anything is touched.
    site.change("[store]\nvolume = \"7GiB\"\nparity = 1\n");
    for verb in ["plan", "up"] {
        let refused = site.lab.run(&[verb]);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        let why = "the store was made of 4 nodes of which 2 may be lost, as store-1 says, and cannot become one of 4 nodes of which 1";
        assert!(said(&refused).contains(why), "{}", said(&refused));
    }
    site.change("[store]\nvolume = \"7GiB\"\n");
    assert!(site.s3("other", &["forbidden"]).contains("its own bucket is open"));
    let refused = site.s3_with(&before, &["forbidden"]);
    assert!(said(&refused).contains("InvalidAccessKeyId"), "{}", said(&refused));
    assert_eq!(site.lab.summary(&["up"])["failed"], 0);
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
}
