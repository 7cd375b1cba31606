use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{COMMIT, Client, PATIENCE, Server, get, json, websocket};

pub(crate) async fn next(client: &mut Client) -> Message {
    timeout(PATIENCE, client.next()).await.expect("no message came").expect("the connection ended").unwrap()
}

#[tokio::test]
async fn the_first_message_tells_who_answers() {
    let server = Server::start(None).await;
    let hello = next(&mut websocket(server.address).await).await.into_text().unwrap();
    let hello: serde_json::Value = serde_json::from_str(&hello).unwrap();
    assert_eq!(hello, serde_json::json!({ "instance": "api-test-1", "commit": COMMIT }));
}

#[tokio::test]
async fn text_and_binary_come_back_in_order_and_pings_are_answered() {
    let server = Server::start(None).await;
    let mut client = websocket(server.address).await;
    next(&mut client).await;
    for message in [Message::text("one ♪"), Message::binary(vec![0, 255, 7]), Message::text("")] {
        client.send(message.clone()).await.unwrap();
        assert_eq!(next(&mut client).await, message);
    }
    client.send(Message::Ping("beat".into())).await.unwrap();
    assert_eq!(next(&mut client).await, Message::Pong("beat".into()));
}

#[tokio::test]
async fn a_message_may_be_64_kib_and_no_larger() {
    let server = Server::start(None).await;
    let mut client = websocket(server.address).await;
    next(&mut client).await;
    let largest = Message::binary(vec![7; 64 * 1024]);
    client.send(largest.clone()).await.unwrap();
    assert_eq!(next(&mut client).await, largest);

    client.send(Message::binary(vec![7; 64 * 1024 + 1])).await.unwrap();
    let end = timeout(PATIENCE, client.next()).await.expect("the server kept silent");
    assert!(!matches!(end, Some(Ok(Message::Binary(_)))), "{end:?}");
}

#[tokio::test]
async fn a_plain_get_is_refused_in_json() {
    let server = Server::start(None).await;
    let response = get(server.address, "/api/v1/echo").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json(response).await["error"]["code"], "bad_request");
}

#[tokio::test]
async fn a_client_that_closes_is_no_longer_waited_for() {
    let server = Server::start(None).await;
    let mut client = websocket(server.address).await;
    next(&mut client).await;
    client.close(None).await.unwrap();
    while let Some(Ok(_)) = timeout(PATIENCE, client.next()).await.expect("the close was not answered") {}
    assert!(server.stop().await.is_clean());
}

#[tokio::test]
async fn a_restart_closes_every_websocket_with_1012() {
    let server = Server::start(None).await;
    let mut clients = vec![websocket(server.address).await, websocket(server.address).await];
    for client in &mut clients {
        next(client).await;
    }
    let stopped = tokio::spawn(server.stop());
    for client in &mut clients {
        let Message::Close(Some(frame)) = next(client).await else { panic!("not closed") };
        assert_eq!(frame.code, CloseCode::Restart);
    }
    assert!(stopped.await.unwrap().is_clean());
}
