//! What a drain waits for, and how far it has got.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;
use tower_http::metrics::in_flight_requests::InFlightRequestsCounter;

/// How long the steps of a drain may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainLimits {
    /// Between readiness turning 404 and the first WebSocket closed: at least as long as a load balancer takes to
    /// notice, i.e. its check interval.
    pub delay: Duration,
    /// After the delay: how long WebSockets and requests may take to end.
    pub timeout: Duration,
}

/// What was open at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Open {
    /// Requests whose answer was not sent to the last byte. A WebSocket is none once its handshake was answered.
    pub requests_in_flight: usize,
    pub websockets: usize,
}

impl Open {
    pub fn is_clean(self) -> bool {
        self == Self::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Phase {
    Serving,
    /// Serves as before, but tells load balancers to send nobody new.
    Leaving,
    /// Serves requests still, closes WebSockets and opens none.
    Closing,
    /// Accepts no connection.
    Closed,
}

/// Counts what is open and tells everybody of the phase. Clones share one state.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    phase: Arc<watch::Sender<Phase>>,
    websockets: Arc<watch::Sender<usize>>,
    /// Requests that came before WebSockets were closed, and those that came later.
    early: InFlightRequestsCounter,
    late: InFlightRequestsCounter,
}

/// How often the requests in flight are looked at while a drain waits for them; they cannot be awaited.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Default for Activity {
    fn default() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Serving)),
            websockets: Arc::new(watch::Sender::new(0)),
            early: InFlightRequestsCounter::new(),
            late: InFlightRequestsCounter::new(),
        }
    }
}

impl Activity {
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(crate) fn phase(&self) -> PhaseWatch {
        PhaseWatch(self.phase.subscribe())
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.phase.borrow() != Phase::Serving
    }

    /// Whether a WebSocket that opened now would only be closed at once.
    pub(crate) fn is_closing(&self) -> bool {
        *self.phase.borrow() >= Phase::Closing
    }

    /// Where a request that comes now is counted.
    pub(crate) fn requests(&self) -> &InFlightRequestsCounter {
        if self.is_closing() { &self.late } else { &self.early }
    }

    pub(crate) fn open(&self) -> Open {
        Open { requests_in_flight: self.early.get() + self.late.get(), websockets: *self.websockets.borrow() }
    }

    /// Counts a WebSocket for as long as the guard lives. Taken before the handshake is answered, so that a drain
    /// never overlooks one that is just opening.
    pub(crate) fn count_websocket(&self) -> WebSocketGuard {
        self.websockets.send_modify(|open| *open += 1);
        WebSocketGuard(Arc::clone(&self.websockets))
    }

    /// Resolves when no WebSocket is open and no request in flight that came before they were closed. Requests that
    /// came later are not waited for: a load balancer's checks and sticky clients keep coming until the port is closed.
    pub(crate) async fn left(&self) {
        // An error would mean that the sender is gone; `self` holds it.
        let _ = self.websockets.subscribe().wait_for(|open| *open == 0).await;
        while self.early.get() > 0 {
            sleep(LOOK_EVERY).await;
        }
    }
}

#[derive(Debug)]
pub(crate) struct PhaseWatch(watch::Receiver<Phase>);

impl PhaseWatch {
    /// Resolves when the phase is `phase` or a later one, or when the server is gone.
    pub(crate) async fn reached(&mut self, phase: Phase) {
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }
}

#[derive(Debug)]
pub(crate) struct WebSocketGuard(Arc<watch::Sender<usize>>);

impl Drop for WebSocketGuard {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}
