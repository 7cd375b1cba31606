//! Nodes that do not find their way by themselves.

use std::time::Duration;

use serde_json::json;

use super::nothing_is_lost;
use super::site::{Ledger, Site};

const PG_CTL: &str = "runuser -u postgres -- /usr/lib/postgresql/17/bin/pg_ctl -D /var/lib/postgresql/data";

/// Nobody who writes notices any of it.
#[test]
fn a_node_that_went_its_own_way_or_has_nowhere_to_go_is_brought_back() {
    let site = Site::up();
    let ledger = Ledger::start(&site);

    // Somebody promotes a standby behind the monitor's back, and it is written to.
    let (primary, standby) = site.wait_until_whole();
    site.lab.shell(&standby, &format!("{PG_CTL} promote"));
    site.lab.shell(&standby, "runuser -u postgres -- psql -c 'CREATE TABLE its_own AS SELECT 1'");
    let two = site.status();
    assert_eq!(two["writable"], 2, "{two:#}");
    assert!(two["alerts"].to_string().contains("may all be written to"), "{two:#}");
    let refused = site.lab.run(&["pg", "rejoin", &primary]);
    assert!(!refused.status.success() || crate::lab::said(&refused).contains("is where it belongs"));
    site.lab.ok(&["pg", "rejoin", &standby]);
    assert_eq!(site.is_whole_again(), (primary.clone(), standby.clone()));

    // The monitor wants of it what it cannot do (pg_auto_failover #774).
    let goal = format!("UPDATE pgautofailover.node SET goalstate = 'demote_timeout' WHERE nodename = '{standby}'");
    site.lab.shell("pg-monitor", &format!("runuser -u postgres -- psql -c \"{goal}\" pg_auto_failover"));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(site.status()["well"], json!(false));
    site.lab.ok(&["pg", "rejoin", &standby]);
    assert_eq!(site.is_whole_again(), (primary.clone(), standby.clone()));

    // Its postmaster is dead, and nobody buries it (pg_auto_failover #1166).
    site.lab.shell(&standby, "pkill -STOP -f 'pg_autoctl: start/stop [p]ostgres' && kill -9 $(head -n 1 /var/lib/postgresql/data/postmaster.pid)");
    let looked = "timeout 120 sh -c 'until journalctl --unit bascule-postgres-metrics | grep \"its keeper does not notice\"; do sleep 1; done'";
    assert_ne!(site.lab.shell(&standby, looked), "");
    assert_eq!(site.is_whole_again(), (primary, standby));

    let read = ledger.end();
    println!("postgres, brought back: {read}");
    nothing_is_lost(&read);
    assert_eq!(read["idle"], json!(true), "{read}");
}
