use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use bascule_incus::Client;
use serde_json::{Value, json};
use tokio::net::UnixListener;

/// What the server answers; each list is taken from the front, and its last item repeats.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) streams: Vec<Stream>,
    /// Readings of the operation; none means that Incus no longer knows it.
    pub(crate) operation: Vec<Value>,
    /// Answers every request so.
    pub(crate) refusal: Option<(u16, String)>,
    /// So often somebody else writes between a read and a write of the project.
    pub(crate) writes_by_others: usize,
    /// So many commands are given up before anybody can connect to them.
    pub(crate) commands_given_up: usize,
}

#[derive(Clone)]
pub(crate) enum Stream {
    Silent,
    Send(Vec<Value>),
    Break,
}

pub(crate) fn operation(status: &str, status_code: u16, err: &str) -> Value {
    let (id, description) = ("op-1", "Stopping instance");
    json!({ "id": id, "description": description, "status": status, "status_code": status_code, "err": err, "metadata": null })
}

pub(crate) trait WithId {
    fn with_id(self, id: &str) -> Self;
}

impl WithId for Value {
    fn with_id(mut self, id: &str) -> Self {
        self["id"] = json!(id);
        self
    }
}

pub(crate) struct Server {
    shared: Arc<Mutex<Shared>>,
    folder: tempfile::TempDir,
}

struct Shared {
    script: Script,
    streams_opened: usize,
    operation_reads: usize,
    project_config: Value,
    commands_made: usize,
    /// The project's ETag is how often it was written.
    project_writes: usize,
}

type Handle = State<Arc<Mutex<Shared>>>;

impl Server {
    /// Serves until the test's runtime ends.
    pub(crate) fn start(script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("unix.socket")).unwrap();
        let shared = Shared {
            script,
            streams_opened: 0,
            operation_reads: 0,
            commands_made: 0,
            project_config: json!({}),
            project_writes: 0,
        };
        let shared = Arc::new(Mutex::new(shared));
        let router = Router::new()
            .route("/1.0/events", get(events))
            .route("/1.0/operations/op-1", get(read_operation))
            .route("/1.0/operations/op-1/websocket", get(stream_of_command))
            .route("/1.0/instances/lb-1/state", any(change_state))
            .route("/1.0/instances/lb-1/exec", any(make_command))
            .route("/1.0/projects", any(refuse))
            .route("/1.0/projects/p", any(project))
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { shared, folder }
    }

    pub(crate) fn client(&self) -> Client {
        Client::unix(self.folder.path().join("unix.socket")).unwrap()
    }

    pub(crate) fn streams_opened(&self) -> usize {
        self.lock().streams_opened
    }

    pub(crate) fn operation_reads(&self) -> usize {
        self.lock().operation_reads
    }

    pub(crate) fn commands_made(&self) -> usize {
        self.lock().commands_made
    }

    pub(crate) fn project_config(&self) -> Value {
        self.lock().project_config.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }
}

async fn events(State(shared): Handle, upgrade: WebSocketUpgrade) -> Response {
    let stream = {
        let mut shared = shared.lock().unwrap();
        let index = shared.streams_opened.min(shared.script.streams.len() - 1);
        shared.streams_opened += 1;
        shared.script.streams[index].clone()
    };
    upgrade.on_upgrade(async move |mut socket| match stream {
        Stream::Silent => while socket.recv().await.is_some() {},
        Stream::Send(operations) => {
            // After the client has read the operation.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            for operation in operations {
                let event = json!({ "type": "operation", "metadata": operation });
                socket.send(Message::text(event.to_string())).await.unwrap();
            }
            while socket.recv().await.is_some() {}
        }
        Stream::Break => {}
    })
}

async fn read_operation(State(shared): Handle) -> Response {
    let mut shared = shared.lock().unwrap();
    let index = shared.operation_reads;
    shared.operation_reads += 1;
    match shared.script.operation.get(index).or(shared.script.operation.last()) {
        Some(operation) => sync(operation.clone()),
        None => refusal(404, "Operation not found"),
    }
}

async fn change_state() -> Response {
    (StatusCode::ACCEPTED, Json(json!({ "type": "async", "metadata": operation("Running", 103, "") }))).into_response()
}

async fn make_command(State(shared): Handle) -> Response {
    shared.lock().unwrap().commands_made += 1;
    let mut made = operation("Running", 103, "");
    made["metadata"] = json!({ "fds": { "control": "c", "0": "0", "1": "1", "2": "2" } });
    (StatusCode::ACCEPTED, Json(json!({ "type": "async", "metadata": made }))).into_response()
}

async fn stream_of_command(State(shared): Handle, upgrade: WebSocketUpgrade) -> Response {
    let shared = shared.lock().unwrap();
    if shared.commands_made <= shared.script.commands_given_up {
        return refusal(404, "Operation not found");
    }
    upgrade.on_upgrade(async |mut socket| {
        let _ = socket.send(Message::text("")).await;
        while socket.recv().await.is_some() {}
    })
}

async fn refuse(State(shared): Handle) -> Response {
    let shared = shared.lock().unwrap();
    let (status, message) = shared.script.refusal.clone().unwrap();
    refusal(status, &message)
}

async fn project(State(shared): Handle, headers: HeaderMap, request: Request) -> Response {
    let method = request.method().clone();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let mut shared = shared.lock().unwrap();
    if let Some((status, message)) = &shared.script.refusal {
        return refusal(*status, message);
    }
    if method == Method::GET {
        let etag = shared.project_writes.to_string();
        let answer = sync(json!({ "name": "p", "config": shared.project_config }));
        if shared.project_writes < shared.script.writes_by_others {
            shared.project_writes += 1;
            shared.project_config["user.theirs"] = json!(shared.project_writes.to_string());
        }
        return ([("etag", etag)], answer).into_response();
    }
    if headers["if-match"] != shared.project_writes.to_string() {
        return refusal(412, "Precondition failed");
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    shared.project_config = body["config"].clone();
    sync(Value::Null)
}

fn sync(metadata: Value) -> Response {
    Json(json!({ "type": "sync", "status_code": 200, "metadata": metadata })).into_response()
}

fn refusal(status: u16, message: &str) -> Response {
    let body = json!({ "type": "error", "error": message, "error_code": status });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}
