//! The edge cache, before a store that counts, takes its time, fails and is gone.

mod origin;
pub(crate) mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use serde_json::Value;

use crate::lab::{events, said};
use site::{
    EDGES, Heard, KEY, Listeners, Request, Site, all, ask, get, in_an_hour, noise, signature, signed, signed_below,
};

/// Three chunks and a half of a MiB.
const TRACK: &str = "/tracks/42/a.mp4";
const TRACK_BYTES: usize = 3_670_016;

fn put_track(site: &Site, seed: u64) -> Bytes {
    let track = noise(seed, TRACK_BYTES);
    site.origin.put(TRACK, track.clone());
    track
}

fn ranges(site: &Site) -> Vec<String> {
    let mut ranges: Vec<String> = site.origin.asked().iter().map(|asked| asked.header("range").to_owned()).collect();
    ranges.sort();
    ranges
}

const CHUNKS: [&str; 4] =
    ["bytes=0-1048575", "bytes=1048576-2097151", "bytes=2097152-3145727", "bytes=3145728-4194303"];

#[test]
fn an_object_is_fetched_once_in_chunks_which_all_ranges_and_all_clients_share() {
    let site = Site::up();
    let track = put_track(&site, 1);
    let first = get(&signed(KEY, "/media/42/a.mp4"));
    assert_eq!((first.status, first.cache(), first.is_cut), (200, "MISS", false), "{:?}", first.headers);
    assert!(first.body == track, "{} bytes", first.body.len());
    let asked = site.origin.asked();
    assert_eq!(asked.len(), 4);
    for request in &asked {
        assert_eq!((&*request.path, request.header("host")), (TRACK, "10.99.38.1:9038"));
        let sent: BTreeSet<&str> = request.headers.keys().map(String::as_str).collect();
        let known = ["authorization", "host", "range", "x-amz-content-sha256", "x-amz-date"];
        assert_eq!(sent, known.into(), "of what a client sends nothing reaches the store");
    }

    let who = [("Authorization", "Bearer someone"), ("Cookie", "session=1"), ("X-Forwarded-For", "192.0.2.1")];
    let second = ask(Method::GET, &signed_below(KEY, "/media/42/", "/media/42/a.mp4"), &who);
    assert_eq!((second.status, second.cache()), (200, "HIT"));
    assert!(second.body == track);
    for (header, range) in [
        ("bytes=0-0", 0..1),
        ("bytes=1048575-1048576", 1_048_575..1_048_577),
        ("bytes=500000-3500000", 500_000..3_500_001),
        ("bytes=3670000-", 3_670_000..TRACK_BYTES),
        ("bytes=-7", TRACK_BYTES - 7..TRACK_BYTES),
    ] {
        let part = ask(Method::GET, &signed(KEY, "/media/42/a.mp4"), &[("Range", header)]);
        assert_eq!((part.status, part.cache()), (206, "HIT"), "{header}");
        assert!(part.body == track.slice(range), "{header}");
    }
    let head = ask(Method::HEAD, &signed(KEY, "/media/42/a.mp4"), &[]);
    assert_eq!((head.status, head.header("content-length"), head.cache()), (200, "3670016", "HIT"));
    let known = ask(Method::GET, &signed(KEY, "/media/42/a.mp4"), &[("If-None-Match", first.header("etag"))]);
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(site.origin.asked().len(), 0, "the store was asked for what is kept");

    // Nothing that came with the object is believed, or told.
    for name in ["content-encoding", "set-cookie", "x-amz-request-id", "x-accel-redirect"] {
        assert_eq!(first.header(name), "", "{name}");
    }
    assert_eq!(first.header("content-security-policy"), "default-src 'none'; sandbox");
    assert_eq!(first.header("cache-control"), "private, max-age=3600");
    site.keeper();

    // What tells Prometheus asks nginx on loopback.
    let metrics = "curl --silent http://127.0.0.1:9113/metrics | grep '^nginx_up '";
    assert_eq!(site.lab.shell("edge-1", metrics).trim(), "nginx_up 1");

    // From the middle of something else, only what is needed is fetched.
    site.origin.put("/tracks/42/b.flac", track.clone());
    let part = ask(Method::GET, &signed(KEY, "/media/42/b.flac"), &[("Range", "bytes=2500000-2500009")]);
    assert!(part.body == track.slice(2_500_000..2_500_010));
    assert_eq!(ranges(&site), [CHUNKS[2]]);
}

/// A crowd that asks for one path at one moment.
fn crowd(path: &str) -> Vec<Request<'static>> {
    (0..200).map(|_| (Method::GET, signed(KEY, path), &[] as &[(&str, &str)])).collect()
}

#[test]
fn two_hundred_who_come_at_once_cost_one_request_for_each_chunk_of_a_store_that_takes_its_time() {
    let site = Site::up();
    let track = put_track(&site, 2);
    // Longer than the five seconds after which nginx would by itself let the next one through.
    site.origin.delay(Duration::from_secs(7));
    let answers = all(&crowd("/media/42/a.mp4"));
    site.origin.delay(Duration::ZERO);
    let wrong = answers.iter().filter(|answer| answer.status != 200 || answer.body != track).count();
    assert_eq!(wrong, 0, "{:?}", answers.iter().find(|answer| answer.body != track).map(|answer| &answer.headers));
    assert_eq!(answers.iter().filter(|answer| answer.cache() == "MISS").count(), 1);
    assert_eq!(ranges(&site), CHUNKS);

    // What is not there is not asked for by each of them, either.
    assert!(all(&crowd("/media/42/none.ts")).iter().all(|answer| answer.status == 404));
    let asked = site.origin.asked().len();
    assert!(asked <= 5, "the store was asked {asked} times");
}

#[test]
fn nobody_is_answered_without_a_good_signature_whatever_is_kept() {
    let site = Site::up();
    let track = put_track(&site, 3);
    site.origin.put("/tracks/4/a.mp4", track.clone());
    assert_eq!(get(&signed(KEY, "/media/42/a.mp4")).cache(), "MISS");
    assert_eq!(get(&signed(KEY, "/media/42/a.mp4")).cache(), "HIT");
    get(&signed(KEY, "/media/4/a.mp4"));
    for known in KNOWN {
        assert_eq!(raw(known), ("200".to_owned(), "HIT".to_owned()), "{known}");
    }
    site.origin.asked();

    let expires = in_an_hour();
    let with = |path: &str, signed: &str, more: &str| {
        format!("{path}?expires={expires}&signature={}{more}", signature(KEY, expires, signed))
    };
    let good = with("/media/42/a.mp4", "/media/42/a.mp4", "");
    let refused = [
        ("nothing", "/media/42/a.mp4".to_owned()),
        ("only an end", format!("/media/42/a.mp4?expires={expires}")),
        ("another end", good.replace(&expires.to_string(), &(expires + 1).to_string())),
        ("expired", format!("/media/42/a.mp4?expires=1000&signature={}", signature(KEY, 1000, "/media/42/a.mp4"))),
        ("another key", signed("another key", "/media/42/a.mp4")),
        ("another path", with("/media/42/a.mp4", "/media/4/a.mp4", "")),
        ("another prefix", with("/media/42/a.mp4", "/media/4/", "&prefix=/media/4/")),
        ("the begin of a name", with("/media/42/a.mp4", "/media/4", "&prefix=/media/4")),
        ("out of the prefix", with("/media/42/../4/a.mp4", "/media/42/", "&prefix=/media/42/")),
        ("out of it, encoded", with("/media/42/%2e%2e/4/a.mp4", "/media/42/", "&prefix=/media/42/")),
        ("an empty prefix", with("/media/42/a.mp4", "", "&prefix=")),
        ("upper case", good.to_uppercase().replace("/MEDIA/42/A.MP4", "/media/42/a.mp4")),
        ("half of it", good[..good.len() - 2].to_owned()),
        ("what is no UTF-8", with("/media/42/%ff.mp4", "/media/42/", "&prefix=/media/42/")),
        ("the folder itself", with("/media/42/", "/media/42/", "")),
    ];
    for (what, target) in refused {
        // As it is, without a client that would put it in order.
        let (status, cache) = raw(&target);
        assert_eq!((status.as_str(), cache.as_str()), ("403", "NONE"), "{what}: {target}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let refused = ask(method.clone(), &good, &[]);
        assert_eq!((refused.status, refused.cache()), (405, "NONE"), "{method}");
    }
    assert_eq!(site.origin.asked().len(), 0, "somebody who was refused reached the store");
    // As it was, for who comes with a good one.
    assert_eq!(raw(&good), ("200".to_owned(), "HIT".to_owned()));
    assert_eq!(raw(&with("/media/4/../42/a.mp4", "/media/42/a.mp4", "")).0, "200");
    let odd = "/media/42/a song (1)+é&=.ts";
    site.origin.put("/tracks/42/a%20song%20(1)+%C3%A9&=.ts", track);
    let target = with("/media/42/a%20song%20(1)+%C3%A9&=.ts", odd, "");
    assert_eq!(raw(&target).0, "200");
    // No path of somebody else's: the edges answer below their routes, and nowhere else.
    let edge = site.lab.address("edge-1");
    let door = site.lab.shell("tools-1", &format!("timeout 3 bash -c '</dev/tcp/{edge}/8443' && echo open"));
    assert_eq!(door, "", "an edge lets in others than load balancers");
}

/// The examples of the book's page "What your software is told", until the year 2100.
const KNOWN: [&str; 2] = [
    "/media/42/a.mp4?expires=4102444800&signature=4a030936637fc9a6fc4c9d451306e2f33ef6d96954471e625b6a476185468ffe",
    "/media/42/a.mp4?expires=4102444800&prefix=/media/42/&signature=ec517ce09b2116f00ef7df7b99cd58d36419b3dad8d0f9af27e3ddeff214c580",
];

/// The status of an answer to a path that is sent as it is, and whether it was kept.
fn raw(target: &str) -> (String, String) {
    let url = format!("http://10.99.38.2{target}");
    let format = "%{http_code} %header{x-cache-status}";
    let output = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--max-time", "30", "--path-as-is", "--output", "/dev/null"])
        .args(["--write-out", format, &url])
        .output()
        .unwrap();
    let said = said(&output);
    let (status, cache) = said.split_once(' ').unwrap();
    (status.to_owned(), cache.to_owned())
}

#[test]
fn requests_to_the_store_are_signed_as_aws_sdk_signs_them() {
    let site = Site::up();
    for name in ["1.ts", "a song (1)+é&=*'!.ts", "ü/ß~-_..ts", "100%.ts"] {
        ask(Method::GET, &signed_path(&format!("/media/42/{name}")), &[]);
    }
    let asked = site.origin.asked();
    assert_eq!(asked.len(), 4, "{asked:#?}");
    let install = "command -v python3 >/dev/null && python3 -c 'import botocore' 2>/dev/null || { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends python3-botocore >/dev/null; }";
    site.lab.shell("tools-1", install);
    for request in asked {
        let given: Vec<String> = ["host", "x-amz-date"].iter().map(|name| request.header(name).to_owned()).collect();
        let argv = ["exec", "tools-1", "--", "python3", "-c", BOTOCORE, &request.path, &given[0], &given[1]];
        let output = site.lab.run(&argv);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), request.header("authorization"), "{}", request.path);
    }
}

/// A path, percent-encoded as a browser does it.
fn signed_path(path: &str) -> String {
    let target = signed(KEY, path);
    let (_, query) = target.split_once("?expires").unwrap();
    let mut encoded = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~!'()*+&=".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{encoded}?expires{query}")
}

/// With the date that the edge had.
const BOTOCORE: &str = r#"
import sys, datetime, urllib.parse
import botocore.auth, botocore.awsrequest, botocore.credentials
path, host, date = sys.argv[1:]
class Then(botocore.auth.S3SigV4Auth):
    def add_auth(self, request):
        request.context["timestamp"] = date
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))
    def _modify_request_before_signing(self, request):
        super()._modify_request_before_signing(request)
        request.headers.replace_header("X-Amz-Date", date) if "X-Amz-Date" in request.headers else request.headers.add_header("X-Amz-Date", date)
    def payload(self, request):
        return "UNSIGNED-PAYLOAD"
key = botocore.credentials.Credentials("EDGE1", "abc/DEF+123=")
# What it signs is the path as S3 has it: each character encoded that is not unreserved.
path = urllib.parse.quote(urllib.parse.unquote(path), safe="/~")
request = botocore.awsrequest.AWSRequest("GET", "http://" + host + path, headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
Then(key, "s3", "us-east-1").add_auth(request)
print(request.headers["Authorization"])
"#;

#[test]
fn without_a_store_everything_that_was_kept_is_served_however_old_after_a_restart_too() {
    let site = Site::up();
    let track = put_track(&site, 5);
    let (playlist, cover) = (Bytes::from_static(b"#EXTM3U\n"), noise(6, 50_000));
    site.origin.put("/tracks/42/a.m3u8", playlist.clone());
    site.origin.put("/tracks/42/cover.jpg", cover.clone());
    let all_of_it = [("a.mp4", track), ("a.m3u8", playlist), ("cover.jpg", cover)];
    for (name, object) in &all_of_it {
        let answer = get(&signed(KEY, &format!("/media/42/{name}")));
        assert!(answer.cache() == "MISS" && answer.body == *object, "{name}");
    }
    assert_eq!(get(&signed(KEY, "/media/42/a.m3u8")).header("cache-control"), "private, no-cache");
    site.origin.go();
    std::thread::sleep(Duration::from_secs(61));
    for edge in EDGES {
        site.lab.ok(&["exec", edge, "--", "systemctl", "restart", "nginx"]);
    }
    site.wait_until_whole();
    for (name, object) in &all_of_it {
        let answer = get(&signed(KEY, &format!("/media/42/{name}")));
        let expected = if *name == "a.m3u8" { "STALE" } else { "HIT" };
        assert_eq!((answer.status, answer.cache()), (200, expected), "{name}");
        assert!(answer.body == *object, "{name}");
    }
    assert_eq!(get(&signed(KEY, "/media/42/never.mp4")).status, 502);
    assert_eq!(get("/media/42/a.mp4").status, 403, "whoever is not signed is refused then, too");

    site.origin.come_back();
    for status in [500, 502, 503, 504, 403] {
        site.origin.fail(Some(status));
        let answer = get(&signed(KEY, "/media/42/a.m3u8"));
        assert_eq!((answer.status, answer.cache()), (200, "STALE"), "the store answers {status}");
        let never = get(&signed(KEY, &format!("/media/42/never-{status}.mp4")));
        assert_eq!(never.status, 502, "the store answers {status}");
        assert!(!String::from_utf8_lossy(&never.body).contains("<Error>"));
    }
    site.origin.fail(None);
    // One that hangs, and one that takes its time: there the first who comes waits, and nobody else.
    site.origin.delay(Duration::from_secs(30));
    assert_eq!(get(&signed(KEY, "/media/42/a.m3u8")).cache(), "STALE");
    site.origin.delay(Duration::from_secs(4));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&signed(KEY, "/media/42/a.m3u8")));
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(get(&signed(KEY, "/media/42/a.m3u8")).cache(), "UPDATING");
        assert_eq!(first.join().unwrap().cache(), "REVALIDATED");
    });
    site.origin.delay(Duration::ZERO);
    assert_eq!(get(&signed(KEY, "/media/42/a.m3u8")).cache(), "HIT");
}

#[test]
fn what_was_not_asked_for_longest_goes_when_there_is_no_more_room() {
    let site = Site::up();
    // Two edges may keep 256 MiB each.
    let object = noise(12, 8 << 20);
    let path = |n: usize| format!("/media/large/{n}.mp4");
    for n in 0..80 {
        site.origin.put(&format!("/tracks/large/{n}.mp4"), object.clone());
        let answer = get(&signed(KEY, &path(n)));
        assert!(answer.status == 200 && answer.body == object, "{n}: {:?}", answer.headers);
        // Somebody listens to the first one all the time.
        assert_eq!(get(&signed(KEY, &path(0))).cache(), "HIT", "after {n} others");
    }
    let began = Instant::now();
    let kept =
        |edge: &str| -> u64 { site.lab.shell(edge, "du -sm /var/cache/edge/objects | cut -f 1").parse().unwrap() };
    for edge in EDGES {
        while kept(edge) > 257 {
            assert!(began.elapsed() < Duration::from_secs(30), "{edge} keeps {} MiB", kept(edge));
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    let again = |n: usize| get(&signed(KEY, &path(n))).cache().to_owned();
    assert_eq!((again(79), again(0)), ("HIT".to_owned(), "HIT".to_owned()));
    assert!((1..6).any(|n| again(n) == "MISS"), "nothing went");
}

#[test]
fn an_object_that_is_replaced_is_never_mixed_and_a_purge_brings_the_new_one() {
    let site = Site::up();
    let old = put_track(&site, 7);
    assert!(get(&signed(KEY, "/media/42/a.mp4")).body == old);
    site.origin.put("/tracks/42/b.mp4", old.clone());
    site.origin.put("/tracks/421/c.mp4", old.clone());
    for path in ["/media/42/b.mp4", "/media/421/c.mp4"] {
        get(&signed(KEY, path));
    }
    // All of it is kept: that is what is served.
    let new = put_track(&site, 8);
    assert!(get(&signed(KEY, "/media/42/a.mp4")).body == old);
    let output = site.lab.run(&["edge", "purge", "/media/42/", "--output", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(forgotten(&events(&output)).values().sum::<usize>(), 8, "two objects of four chunks");
    assert!(get(&signed(KEY, "/media/42/a.mp4")).body == new);
    site.origin.asked();
    assert_eq!(get(&signed(KEY, "/media/421/c.mp4")).cache(), "HIT", "its name only begins alike");

    // Some of it is kept: what was begun is not ended with something else, and the next one gets the new object.
    site.lab.ok(&["edge", "purge", "/media/42/"]);
    ask(Method::GET, &signed(KEY, "/media/42/a.mp4"), &[("Range", "bytes=0-1500000")]);
    let newest = put_track(&site, 9);
    let cut = get(&signed(KEY, "/media/42/a.mp4"));
    assert!(cut.is_cut && cut.status == 200, "{:?}", cut.headers);
    assert!(cut.body.len() <= 2 * 1024 * 1024 && new.starts_with(&cut.body), "{} bytes", cut.body.len());
    // Nobody who comes without a signature has an edge forget anything by what he says.
    site.origin.put("/tracks/42/kept.mp4", old.clone());
    get(&signed(KEY, "/media/42/kept.mp4"));
    let forged = "x etag mismatch in slice response, subrequest: \"/tracks/42/kept.mp4\", ";
    for header in ["Referer", "User-Agent", "X-Forwarded-For", "Host"] {
        let curl = ["--silent", "--noproxy", "*", "--output", "/dev/null", "--request", "GET", "--data", "too much"];
        let header = format!("{header}: {forged}");
        let url = "http://10.99.38.2/media/42/x.mp4";
        Command::new("curl").args(curl).args(["--header", &header, url]).status().unwrap();
    }
    let began = Instant::now();
    loop {
        let answer = get(&signed(KEY, "/media/42/a.mp4"));
        if answer.body == newest {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the old chunks stay: {:?}", answer.headers);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(get(&signed(KEY, "/media/42/kept.mp4")).cache(), "HIT");
}

/// How many files went, by edges.
fn forgotten(events: &[Value]) -> BTreeMap<String, usize> {
    let said = events.iter().filter(|event| event["type"] == "output");
    said.map(|event| {
        let text = event["text"].as_str().unwrap();
        let count = text.trim().strip_suffix(" gone").and_then(|text| text.rsplit(' ').next()).unwrap();
        (event["instance"].as_str().unwrap().to_owned(), count.parse().unwrap())
    })
    .collect()
}

#[test]
fn a_purge_says_what_it_could_not_reach_and_hurts_nobody_who_listens() {
    let site = Site::up();
    let objects = shelf(&site, 40);
    let listeners = Listeners::start(objects.clone(), |path| signed(KEY, path));
    let wait_until_all_are_kept = || {
        let began = Instant::now();
        while site.kept().iter().sum::<usize>() < objects.len() {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(300));
        }
    };
    wait_until_all_are_kept();
    let output = site.lab.run(&["edge", "purge", "/media/", "--output", "json"]);
    let counts = forgotten(&events(&output));
    assert!(EDGES.iter().all(|edge| counts[*edge] >= 8), "each keeps a part: {counts:?}");
    wait_until_all_are_kept();
    let heard = listeners.stop();
    assert!(heard.wrong.is_empty(), "{:?}", heard.wrong.first());

    let wrong = site.lab.run(&["edge", "purge", "/elsewhere/"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    site.lab.incus(&["stop", "--force", "edge-2"]);
    let output = site.lab.run(&["edge", "purge", "/media/"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("it does not run"), "{}", said(&output));
    site.lab.ok(&["up"]);
}

/// Short objects of one chunk each, of which each edge gets some.
fn shelf(site: &Site, count: u64) -> Vec<(String, Bytes)> {
    let object = |n: u64| {
        let object = noise(1000 + n, 200_000);
        site.origin.put(&format!("/tracks/shelf/{n}.ts"), object.clone());
        (format!("/media/shelf/{n}.ts"), object)
    };
    (0..count).map(object).collect()
}

/// What was heard wrong after so long, when all should be well again.
fn late(heard: &Heard, since: Instant, bound: Duration) -> Vec<&String> {
    heard.wrong.iter().filter(|(at, _)| *at > since + bound).map(|(_, what)| what).collect()
}

/// A load balancer sees three checks fail, half a second apart, and a second later all that was under way has ended.
const NOTICED: Duration = Duration::from_secs(4);

#[test]
fn an_edge_that_is_killed_frozen_or_cut_off_is_done_without_and_comes_back() {
    let site = Site::up();
    let objects = shelf(&site, 40);
    type Act = fn(&Site, &str);
    let faults: [(&str, Act, Act); 4] = [
        ("nginx killed", |site, edge| drop(site.lab.shell(edge, "systemctl kill --signal=KILL nginx")), |_, _| {}),
        ("stopped", |site, edge| site.lab.incus(&["stop", "--force", edge]), |site, _| drop(site.lab.ok(&["up"]))),
        ("frozen", |site, edge| site.lab.incus(&["pause", edge]), |site, edge| site.lab.incus(&["resume", edge])),
        ("cut off", |site, edge| site.lab.cut_off(edge), |site, edge| site.lab.connect(edge)),
    ];
    for (n, (fault, begin, end)) in faults.into_iter().enumerate() {
        let edge = EDGES[n % 2];
        let listeners = Listeners::start(objects.clone(), |path| signed(KEY, path));
        std::thread::sleep(Duration::from_secs(3));
        let began = Instant::now();
        begin(&site, edge);
        std::thread::sleep(Duration::from_secs(10));
        end(&site, edge);
        site.wait_until_whole();
        std::thread::sleep(Duration::from_secs(3));
        let heard = listeners.stop();
        println!("edge {fault}: {} right, {} wrong", heard.right, heard.wrong.len());
        assert!(late(&heard, began, NOTICED).is_empty(), "{fault}: {:#?}", late(&heard, began, NOTICED));
        assert!(heard.right > 200 && heard.paths.len() == objects.len(), "{fault}: {}", heard.right);
        // At most what was under way.
        assert!(heard.wrong.len() <= 16, "{fault}: {:#?}", heard.wrong);
        assert_eq!(site.lab.summary(&["up"])["changed"], 0, "{fault}");
    }
}

#[test]
fn an_edge_whose_disk_was_lost_is_brought_back_by_up() {
    let site = Site::up();
    let track = put_track(&site, 10);
    get(&signed(KEY, "/media/42/a.mp4"));
    let edge = site.keeper();
    let listeners = Listeners::start(shelf(&site, 40), |path| signed(KEY, path));
    std::thread::sleep(Duration::from_secs(3));
    let began = Instant::now();
    site.lab.incus(&["stop", "--force", edge]);
    site.lab.wipe_volume(edge, &format!("{edge}-cache"));
    site.lab.ok(&["up"]);
    site.wait_until_whole();
    let heard = listeners.stop();
    assert!(late(&heard, began, NOTICED).is_empty(), "{:#?}", late(&heard, began, NOTICED));
    assert!(get(&signed(KEY, "/media/42/a.mp4")).body == track);
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
}

#[test]
fn keys_are_replaced_while_everybody_goes_on_and_twice_replaced_one_is_good_for_nothing() {
    let site = Site::up();
    let objects = shelf(&site, 20);
    let by_the_old = Listeners::start(objects, |path| signed(KEY, path));
    site.set("media_key", "a second key");
    site.set("store_key", "[default]\naws_access_key_id = EDGE2\naws_secret_access_key = other\n");
    site.lab.ok(&["up"]);
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
    let track = put_track(&site, 11);
    assert!(get(&signed("a second key", "/media/42/a.mp4")).body == track);
    let asked = site.origin.asked();
    let last = asked.iter().rfind(|asked| asked.path == TRACK).unwrap().header("authorization");
    assert!(last.starts_with("AWS4-HMAC-SHA256 Credential=EDGE2/"), "{last}");
    assert_eq!(get(&signed(KEY, "/media/42/a.mp4")).status, 200, "players have URLs that it signed");
    let heard = by_the_old.stop();
    assert!(heard.wrong.is_empty() && heard.right > 50, "{} {:?}", heard.right, heard.wrong.first());

    site.set("media_key", "a third key");
    site.lab.ok(&["up"]);
    assert_eq!(get(&signed(KEY, "/media/42/a.mp4")).status, 403);
    assert_eq!(get(&signed("a second key", "/media/42/a.mp4")).status, 200);
    site.set("media_key", KEY);
    site.set("store_key", site::STORE_KEY);
    site.lab.ok(&["up"]);
    assert_eq!(get(&signed(KEY, "/media/42/a.mp4")).status, 200);
}
