//! What a real daemon cannot be made to do on demand: a scripted server on a unix socket.

mod server;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bascule_incus::{Changes, Client, Error, Exec, Incus, StopMode, Terminal, TerminalSize, Unreachable};
use serde_json::json;
use server::{Script, Server, Stream, WithId, operation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::conformance::assert_error;

async fn stop(server: &Server) -> bascule_incus::Result<()> {
    server.client().with_operation_timeout(Duration::from_millis(800)).stop("p", "lb-1", StopMode::Force).await
}

#[tokio::test]
async fn an_operation_that_ended_before_anybody_listened_is_found_by_reading_it() {
    let server = Server::start(Script {
        streams: vec![Stream::Silent],
        operation: vec![operation("Success", 200, "")],
        ..Script::default()
    });
    stop(&server).await.unwrap();
    assert_eq!(server.operation_reads(), 1);
}

#[tokio::test]
async fn an_operation_that_goes_on_is_awaited_by_its_events_and_its_error_is_told() {
    let events = vec![
        operation("Success", 200, "").with_id("another"),
        operation("Running", 103, ""),
        operation("Failure", 400, "the disk is on fire"),
    ];
    let server = Server::start(Script {
        streams: vec![Stream::Send(events)],
        operation: vec![operation("Running", 103, "")],
        ..Script::default()
    });
    let error = stop(&server).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot stop instance lb-1: the disk is on fire");
    assert_error!(Err::<(), _>(error), Refused);
    assert_eq!(server.operation_reads(), 1, "it was polled");
}

#[tokio::test]
async fn when_the_event_stream_is_lost_it_is_reopened_and_the_operation_read_again() {
    let server = Server::start(Script {
        streams: vec![Stream::Break, Stream::Break, Stream::Silent],
        operation: vec![operation("Running", 103, ""), operation("Running", 103, ""), operation("Success", 200, "")],
        ..Script::default()
    });
    stop(&server).await.unwrap();
    assert_eq!((server.streams_opened(), server.operation_reads()), (3, 3));
}

#[tokio::test]
async fn an_operation_that_incus_forgot_is_not_taken_for_a_success() {
    let server = Server::start(Script { streams: vec![Stream::Silent], ..Script::default() });
    assert_error!(stop(&server).await, OperationLost);
}

#[tokio::test]
async fn a_wait_that_runs_out_tells_which_operation_and_its_last_status() {
    let server = Server::start(Script {
        streams: vec![Stream::Send(vec![operation("Cancelling", 104, "")])],
        operation: vec![operation("Running", 103, "")],
        ..Script::default()
    });
    let told = stop(&server).await.unwrap_err().to_string();
    assert_eq!(
        told,
        "gave up to stop instance lb-1 after 800ms: operation op-1 (Stopping instance), last seen as Cancelling"
    );
}

/// A command on a server that gives the first ones up, without or with a terminal.
async fn run_command(server: &Server, on_terminal: bool) -> bascule_incus::Result<i32> {
    let (output, mut shown) = mpsc::channel(8);
    tokio::spawn(async move { while shown.recv().await.is_some() {} });
    let client = server.client();
    let exited = if on_terminal {
        let (_typing, input) = mpsc::channel(1);
        let (argv, env, size) = (vec!["sh".to_owned()], BTreeMap::new(), TerminalSize { columns: 80, rows: 24 });
        client.terminal("p", "lb-1", Terminal { argv, env, size, input, output }).await
    } else {
        client.exec("p", "lb-1", Exec::new(["true"], Duration::from_secs(20)), output).await
    };
    exited.map(|exited| exited.code)
}

#[tokio::test]
async fn a_command_that_incus_gave_up_before_it_began_is_made_again_three_times_at_most() {
    for on_terminal in [false, true] {
        for (commands_given_up, made) in [(0, 1), (2, 3), (3, 3)] {
            let mut ended = operation("Success", 200, "");
            ended["metadata"] = json!({ "return": 7 });
            let server = Server::start(Script {
                streams: vec![Stream::Silent],
                operation: vec![ended],
                commands_given_up,
                ..Script::default()
            });
            match run_command(&server, on_terminal).await {
                Ok(code) => assert_eq!((code, commands_given_up < 3), (7, true)),
                Err(error) => assert!(matches!(error, Error::NotFound { .. }) && commands_given_up == 3, "{error:?}"),
            }
            assert_eq!(server.commands_made(), made);
        }
    }
}

#[tokio::test]
async fn an_answer_is_sorted_by_its_status_and_by_what_it_says() {
    let answer =
        |status, text: &str| Server::start(Script { refusal: Some((status, text.to_owned())), ..Script::default() });
    let missing = answer(404, "Project not found");
    assert_eq!(missing.client().project("p").await.unwrap(), None);
    assert_error!(missing.client().delete_project("p").await, NotFound);

    let twice = answer(500, "Failed adding database record: UNIQUE constraint failed: projects.name");
    assert_error!(twice.client().create_project("p", Default::default()).await, AlreadyExists);

    let refused = answer(403, "not for you");
    let error = refused.client().project("p").await.unwrap_err();
    assert!(matches!(&error, Error::Refused { status: 403, message, .. } if message == "not for you"), "{error:?}");
}

#[tokio::test]
async fn a_change_that_met_another_writer_is_merged_into_what_that_one_wrote() {
    let server = Server::start(Script { writes_by_others: 2, ..Script::default() });
    server.client().patch_project_config("p", Changes::from([("user.mine".into(), Some("1".into()))])).await.unwrap();
    let config = server.project_config();
    assert_eq!((&config["user.mine"], &config["user.theirs"]), (&json!("1"), &json!("2")));

    let busy = Server::start(Script { writes_by_others: usize::MAX, ..Script::default() });
    assert_error!(busy.client().patch_project_config("p", Changes::new()).await, Contended);
}

#[tokio::test]
async fn a_daemon_that_cannot_be_reached_tells_why() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("unix.socket");
    let reach = async || match Client::unix(&socket).unwrap().server().await.unwrap_err() {
        Error::Unreachable { address, why, .. } => (address, why),
        other => panic!("{other:?}"),
    };
    let address = socket.display().to_string();
    assert_eq!(reach().await, (address.clone(), Unreachable::NoSocket));
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert_eq!(reach().await, (address, Unreachable::Refused));
}

/// A socket whose connections a test treats by hand, and a client of it.
fn bare_socket() -> (tempfile::TempDir, tokio::net::UnixListener, Client) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("unix.socket");
    (folder, tokio::net::UnixListener::bind(&socket).unwrap(), Client::unix(&socket).unwrap())
}

#[tokio::test]
async fn what_only_reads_is_asked_again_when_its_connection_breaks() {
    let (_folder, listener, client) = bare_socket();
    let serve = async {
        // Held open: one that is closed tells the client more than its answer.
        let mut answered = Vec::new();
        for connection in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            if connection > 0 {
                let body = json!({ "type": "sync", "metadata": { "name": "p", "config": { "a": "b" } } }).to_string();
                let head = format!("HTTP/1.1 200 OK\r\netag: 1\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
                answered.push(stream);
            }
        }
    };
    let read = tokio::select! {
        read = client.project("p") => read,
        () = serve => unreachable!(),
    };
    assert_eq!(read.unwrap().unwrap().config["a"], "b");
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_leaves_open_whether_the_change_was_made() {
    let (_folder, listener, client) = bare_socket();
    let hang_up = async {
        // The client may try a fresh connection once more.
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
            let _ = stream.try_read(&mut [0; 4096]);
        }
    };
    let result = tokio::select! {
        result = client.create_project("p", Default::default()) => result,
        () = hang_up => unreachable!(),
    };
    assert_error!(result, Interrupted);
}

/// Answers every request on a connection, until the client closes it.
async fn answer_all(mut stream: tokio::net::UnixStream) {
    let body = json!({ "type": "sync", "metadata": { "name": "p", "config": {} } }).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut asked = Vec::new();
    while stream.read_buf(&mut asked).await.is_ok_and(|read| read > 0) {
        if asked.ends_with(b"\r\n\r\n") {
            asked.clear();
            tokio::task::yield_now().await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

/// Like Incus 6.0, which reads the first bytes of a connection before it accepts the next one. On several threads, where a
/// client with a pool opens one too many.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_is_used_again_and_none_is_opened_that_says_nothing() {
    let (_folder, listener, client) = bare_socket();
    let accepted = AtomicUsize::new(0);
    let serve = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let spoke = tokio::time::timeout(Duration::from_secs(10), stream.readable()).await;
            spoke.expect("a connection that says nothing").unwrap();
            accepted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(answer_all(stream));
        }
    };
    let ask = async {
        for _ in 0..10 {
            client.project("p").await.unwrap();
        }
        assert_eq!(accepted.load(Ordering::Relaxed), 1, "one request after the other");
        let asking = async |client: Client| {
            for _ in 0..100 {
                client.project("p").await.unwrap();
            }
        };
        let mut at_once: JoinSet<()> = (0..8).map(|_| asking(client.clone())).collect();
        while let Some(done) = at_once.join_next().await {
            done.unwrap();
        }
        assert!(accepted.load(Ordering::Relaxed) <= 8, "eight requests at once");
    };
    tokio::select! {
        () = ask => {}
        () = serve => unreachable!(),
    }
}
