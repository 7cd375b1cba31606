//! SIGTERM, as systemd sends it to the real process.

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use reqwest::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::{COMMIT, PATIENCE, Process, SlowRequest, command, get, json, websocket};
use crate::websocket::next;

#[tokio::test]
async fn a_drain_warns_then_serves_on_then_finishes_what_was_begun() {
    let process = Process::start(&[("DRAIN_DELAY_MS", "1500")]).await;
    let address = process.address;
    let mut client = websocket(address).await;
    next(&mut client).await;
    let slow = SlowRequest::begin(address).await;

    process.signal(Signal::SIGTERM);
    let warned = async {
        while get(address, "/api/v1/health/ready").await.status() != StatusCode::NOT_FOUND {
            sleep(PATIENCE / 2000).await;
        }
    };
    timeout(PATIENCE, warned).await.expect("readiness never turned");

    // Load balancers need time to notice: until then, everybody is served as ever.
    assert_eq!(json(get(address, "/api/v1/health/ready").await).await["status"], "draining");
    assert_eq!(json(get(address, "/api/v1/health").await).await["ready"], false);
    let live = get(address, "/api/v1/health/live").await;
    assert_eq!((live.status(), &live.headers()[CONNECTION]), (StatusCode::OK, &HeaderValue::from_static("close")));
    assert_eq!(json(get(address, "/api/v1/status").await).await["commit"], COMMIT);
    let mut late = websocket(address).await;
    next(&mut late).await;

    for client in [&mut client, &mut late] {
        let Message::Close(Some(frame)) = next(client).await else { panic!("the WebSocket was not closed") };
        assert_eq!(frame.code, CloseCode::Restart);
    }

    // For as long as anything is open a load balancer must find a replica that leaves, not one that is dead.
    let ready = get(address, "/api/v1/health/ready").await;
    assert_eq!((ready.status(), json(ready).await["status"].as_str()), (StatusCode::NOT_FOUND, Some("draining")));
    let served = get(address, "/api/v1/status").await;
    assert_eq!((served.status(), &served.headers()[CONNECTION]), (StatusCode::OK, &HeaderValue::from_static("close")));

    let answer = slow.finish().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n0123456789"), "{answer}");

    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("nothing was cut"), "{log}");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_websocket_that_comes_when_they_are_closed_is_sent_elsewhere() {
    let process = Process::start(&[("DRAIN_DELAY_MS", "0")]).await;
    let slow = SlowRequest::begin(process.address).await;
    closing(&process).await;

    let Err(Error::Http(refusal)) = connect_async(format!("ws://{}/api/v1/echo", process.address)).await else {
        panic!("the WebSocket was not refused over HTTP");
    };
    assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal.headers()[RETRY_AFTER], "1");
    let body: serde_json::Value = serde_json::from_slice(refusal.body().as_ref().unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "draining");

    slow.finish().await;
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn requests_that_keep_coming_do_not_keep_a_drain_from_its_end_and_are_answered() {
    let process = Process::start(&[("DRAIN_DELAY_MS", "0")]).await;
    let early = SlowRequest::begin(process.address).await;
    closing(&process).await;
    let late = SlowRequest::begin(process.address).await;
    early.finish().await;

    let closed = async {
        while TcpStream::connect(process.address).await.is_ok() {
            sleep(PATIENCE / 2000).await;
        }
    };
    timeout(PATIENCE, closed).await.expect("the port stayed open for a request that came late");
    assert!(late.finish().await.ends_with("\r\n\r\n0123456789"));
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn a_drain_that_runs_out_of_time_says_what_it_cut_and_fails() {
    let process = Process::start(&[("DRAIN_DELAY_MS", "0"), ("DRAIN_TIMEOUT_MS", "100")]).await;
    let _never_finished = SlowRequest::begin(process.address).await;
    process.signal(Signal::SIGINT);
    let (status, log) = process.ended().await;
    assert_eq!(status.code(), Some(1), "{log}");
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!((&last["level"], &last["requests"], &last["websockets"]), (&"WARN".into(), &1.into(), &0.into()));
}

#[tokio::test]
async fn a_wrong_configuration_is_told_and_nothing_is_served() {
    let output = command(&[("COMMIT", "main"), ("DRAIN_DELAY_MS", "soon")]).output();
    let output = timeout(PATIENCE, output).await.expect("it went on").unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    for problem in [r#"COMMIT is \"main\": must be 40 lower-case hex digits"#, r#"DRAIN_DELAY_MS is \"soon\""#] {
        assert!(told.contains(problem), "{told}");
    }
}

/// Starts a drain and waits until it closes WebSockets.
async fn closing(process: &Process) {
    let mut client = websocket(process.address).await;
    next(&mut client).await;
    process.signal(Signal::SIGTERM);
    assert!(matches!(next(&mut client).await, Message::Close(Some(_))), "the WebSocket was not closed");
}
