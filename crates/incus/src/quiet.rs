//! A stream that reads to its end even when the other side no longer listens.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Swallows what is written to a side that has closed.
///
/// Incus pings every websocket and closes it when the command has ended. A websocket answers a ping before it reads on;
/// when that answer cannot be written any more, it would end with an error and never hand over the output that has
/// already arrived. A reader learns of the end by reading.
#[derive(Debug)]
pub(crate) struct QuietWrites<S>(pub(crate) S);

fn quiet<T>(written: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
    match written {
        Poll::Ready(Err(error))
            if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::NotConnected) =>
        {
            Poll::Ready(Ok(instead))
        }
        written => written,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for QuietWrites<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for QuietWrites<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        quiet(Pin::new(&mut self.0).poll_write(cx, buf), buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        quiet(Pin::new(&mut self.0).poll_flush(cx), ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        quiet(Pin::new(&mut self.0).poll_shutdown(cx), ())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::QuietWrites;

    /// A ping, two messages, then the end, all there before the first is read.
    const SAID: &[u8] = b"\x89\x02hi\x82\x03one\x82\x03two";

    #[tokio::test]
    async fn what_arrived_before_the_other_side_closed_is_read_to_the_end() {
        let (mut server, client) = UnixStream::pair().unwrap();
        server.write_all(SAID).await.unwrap();
        drop(server);
        let mut socket = WebSocketStream::from_raw_socket(QuietWrites(client), Role::Client, None).await;
        let mut messages = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            messages.extend(message.is_binary().then(|| message.into_data()));
        }
        assert_eq!(messages, ["one", "two"]);
    }

    #[tokio::test]
    async fn without_it_a_ping_loses_what_came_after() {
        let (mut server, client) = UnixStream::pair().unwrap();
        server.write_all(SAID).await.unwrap();
        drop(server);
        let mut socket = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let mut messages = 0;
        while let Some(Ok(message)) = socket.next().await {
            messages += usize::from(message.is_binary());
        }
        assert_eq!(messages, 0);
    }
}
