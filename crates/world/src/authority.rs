use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use bascule_pki::Pair;
use bascule_plan::Certificate;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// The moment at which every world begins, in seconds since 1970: the modelled machines', too.
const BEGINNING_S: u64 = 1_700_000_000;

/// Issues certificates that are the same in every run of a world.
#[derive(Debug, Clone)]
pub(crate) struct SeededAuthority {
    pair: Arc<Pair>,
    issued: Arc<AtomicU64>,
}

impl SeededAuthority {
    pub(crate) fn new() -> Self {
        // Made once: every world begins with the same one.
        static PAIR: LazyLock<Arc<Pair>> = LazyLock::new(|| {
            let pair = bascule_pki::make_authority("World internal", BEGINNING_S, &mut StdRng::seed_from_u64(0));
            Arc::new(pair.expect("an authority"))
        });
        Self { pair: PAIR.clone(), issued: Arc::default() }
    }

    pub(crate) fn certificate(&self) -> &str {
        &self.pair.certificate
    }
}

impl bascule_engine::Authority for SeededAuthority {
    fn issue(&self, wanted: &Certificate, now_s: u64) -> Result<String, String> {
        let seed = 1 + self.issued.fetch_add(1, Ordering::Relaxed);
        bascule_pki::issue(wanted, &self.pair.key, now_s, &mut StdRng::seed_from_u64(seed))
            .map_err(|error| error.to_string())
    }
}
