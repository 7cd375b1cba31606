use bascule_engine::Clock;
use tokio::time::Instant;

/// 2023-11-14, 22:13:20 UTC.
const BEGAN_UNIX_MS: i64 = 1_700_000_000_000;

/// The world's own time: it is the runtime's, which a test has paused, so that it goes on only when everybody waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    began: Instant,
}

impl Time {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    pub(crate) fn now_ms(self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Clock for Time {
    fn monotonic_ms(&self) -> u64 {
        self.now_ms()
    }

    fn unix_ms(&self) -> i64 {
        BEGAN_UNIX_MS.saturating_add_unsigned(self.now_ms())
    }
}
