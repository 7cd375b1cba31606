use reqwest::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use reqwest::{Client, StatusCode};

use crate::harness::{COMMIT, STARTED_AT, Server, SlowRequest, get, json, made_token, websocket};

#[tokio::test]
async fn a_new_server_is_live_and_ready() {
    let server = Server::start(None).await;
    for (path, body) in [
        ("/api/v1/health/live", serde_json::json!({ "status": "live" })),
        ("/api/v1/health/ready", serde_json::json!({ "status": "ready" })),
        ("/api/v1/health", serde_json::json!({ "live": true, "ready": true, "status": "ready" })),
    ] {
        let response = get(server.address, path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(json(response).await, body, "{path}");
    }
}

#[tokio::test]
async fn status_tells_who_answers_since_when() {
    let server = Server::start(None).await;
    let status = json(get(server.address, "/api/v1/status").await).await;
    assert_eq!(status["service"], "veza-api");
    assert_eq!(status["commit"], COMMIT);
    assert_eq!(status["instance"], "api-test-1");
    assert!(status["uptime_s"].is_u64(), "{status}");
    assert_eq!(status["started_at"], STARTED_AT);
    assert!(status["version"].is_string(), "{status}");
}

#[tokio::test]
async fn an_unknown_path_is_a_404_in_json() {
    let server = Server::start(None).await;
    for path in ["/api/v1/nowhere", "/api/v1/health/nowhere", "/api", "/"] {
        let response = get(server.address, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        let body = json(response).await;
        assert_eq!(body["error"]["code"], "not_found");
        assert_eq!(body["error"]["message"], format!("there is nothing at {path}"));
    }
}

#[tokio::test]
async fn a_wrong_method_is_a_405_in_json_that_tells_the_right_one() {
    let server = Server::start(None).await;
    let response = Client::new().delete(format!("http://{}/api/v1/status", server.address)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[ALLOW], "GET,HEAD");
    assert_eq!(json(response).await["error"]["code"], "method_not_allowed");
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_keeps_the_one_it_was_given() {
    let server = Server::start(None).await;
    let response = get(server.address, "/api/v1/nowhere").await;
    assert_eq!(response.headers()["x-request-id"].len(), 36);

    let request = Client::new().get(format!("http://{}/api/v1/status", server.address));
    let response = request.header("x-request-id", "from-the-balancer").send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "from-the-balancer");
}

#[tokio::test]
async fn no_answer_may_be_kept_by_a_cache() {
    let server = Server::start(None).await;
    for path in ["/api/v1/status", "/api/v1/health/ready", "/api/v1/nowhere", "/api/v1/operator/connections"] {
        assert_eq!(get(server.address, path).await.headers()[CACHE_CONTROL], "no-store", "{path}");
    }
}

#[tokio::test]
async fn a_post_is_echoed_to_the_byte_up_to_a_bound() {
    let server = Server::start(None).await;
    let echo = async |bytes: Vec<u8>| {
        Client::new().post(format!("http://{}/api/v1/echo", server.address)).body(bytes).send().await.unwrap()
    };
    let bytes: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    assert_eq!(echo(bytes.clone()).await.bytes().await.unwrap(), bytes);

    let refused = echo(vec![0; 64 * 1024 + 1]).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(json(refused).await["error"]["code"], "payload_too_large");
}

#[tokio::test]
async fn only_the_operator_sees_what_is_open() {
    let token = made_token();
    let server = Server::start(Some(&token)).await;
    let ask = async |authorization: Option<String>| {
        let mut request = Client::new().get(format!("http://{}/api/v1/operator/connections", server.address));
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        request.send().await.unwrap()
    };

    let mut wrong = token.clone();
    wrong.replace_range(token.len() - 1.., "!");
    for refused in [None, Some(wrong), Some(format!("{token}x")), Some(token[1..].to_owned()), Some(String::new())] {
        let response = ask(refused.as_ref().map(|token| format!("Bearer {token}"))).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{refused:?}");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(json(response).await["error"]["code"], "unauthorized");
    }
    assert_eq!(ask(Some(token.clone())).await.status(), StatusCode::UNAUTHORIZED, "without the scheme");

    let _websocket = websocket(server.address).await;
    let _slow = SlowRequest::begin(server.address).await;
    let open = json(ask(Some(format!("Bearer {token}"))).await).await;
    assert_eq!(open, serde_json::json!({ "draining": false, "requests_in_flight": 1, "websockets": 1 }));
}

#[tokio::test]
async fn without_a_token_nobody_is_the_operator() {
    let server = Server::start(None).await;
    let request = Client::new().get(format!("http://{}/api/v1/operator/connections", server.address));
    let response = request.header(AUTHORIZATION, "Bearer ").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}
