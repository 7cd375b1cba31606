//! A program for the platform: it is told by its environment where to listen and what it is, and reads its secret from a
//! file that only it may read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, fs};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// After SIGTERM it goes on answering for so long: the load balancers look at its health twice a second, and send
/// their requests elsewhere then.
const DRAIN: Duration = Duration::from_secs(3);

struct Hello {
    greeting: String,
    instance: String,
    commit: String,
    admin_token: String,
    is_stopping: AtomicBool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let credentials = PathBuf::from(env::var("CREDENTIALS_DIRECTORY")?);
    let hello = Arc::new(Hello {
        greeting: env::var("GREETING")?,
        instance: env::var("INSTANCE")?,
        commit: env::var("COMMIT")?,
        admin_token: fs::read_to_string(credentials.join("admin_token"))?,
        is_stopping: AtomicBool::new(false),
    });
    let routes = Router::new()
        .route("/hello", get(greet))
        .route("/hello/version", get(version))
        .route("/hello/health", get(health))
        .route("/hello/admin", get(admin))
        .with_state(hello.clone());
    let listener = TcpListener::bind(env::var("LISTEN_ADDRESS")?).await?;
    let mut terminated = signal(SignalKind::terminate())?;
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            terminated.recv().await;
            hello.is_stopping.store(true, Ordering::Relaxed);
            tokio::time::sleep(DRAIN).await;
        })
        .await?;
    Ok(())
}

async fn greet(State(hello): State<Arc<Hello>>) -> String {
    format!("{} from {}", hello.greeting, hello.instance)
}

async fn version(State(hello): State<Arc<Hello>>) -> String {
    hello.commit.clone()
}

async fn health(State(hello): State<Arc<Hello>>) -> StatusCode {
    if hello.is_stopping.load(Ordering::Relaxed) { StatusCode::NOT_FOUND } else { StatusCode::OK }
}

/// Only for who knows the token: `curl -H "Authorization: Bearer $(bascule secrets show admin_token)" …/hello/admin`
async fn admin(State(hello): State<Arc<Hello>>, headers: HeaderMap) -> Result<String, StatusCode> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| value.strip_prefix("Bearer ")).ok_or(StatusCode::UNAUTHORIZED)?;
    let is_right: bool = token.as_bytes().ct_eq(hello.admin_token.as_bytes()).into();
    if is_right { Ok(format!("{} runs {}", hello.instance, hello.commit)) } else { Err(StatusCode::UNAUTHORIZED) }
}
