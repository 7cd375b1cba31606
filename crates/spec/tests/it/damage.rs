//! Files that were damaged at random.

use proptest::prelude::*;

use crate::{Memory, SMALL};

const OVERLAY: &str =
    "survives = \"host\"\n[hosts.\"nörd\"]\n[component.web]\nhosts = [\"nörd\"]\naddresses = [\"10.20.0.4\"]\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_is_wrong_can_be_shown(
        cut in prop::sample::subsequence((0..SMALL.chars().count()).collect::<Vec<_>>(), 0..6),
        insert in prop::collection::vec((0..SMALL.chars().count(), prop::sample::select("\"[]={}.,#\r\n-0é\u{feff}".chars().collect::<Vec<_>>())), 0..4),
        overlay_length in 0..=OVERLAY.chars().count(),
    ) {
        let mut damaged = String::new();
        for (index, character) in SMALL.chars().enumerate() {
            damaged.extend(insert.iter().filter(|(at, _)| *at == index).map(|(_, inserted)| inserted));
            damaged.extend((!cut.contains(&index)).then_some(character));
        }
        let overlay: String = OVERLAY.chars().take(overlay_length).collect();
        if let Err(diagnostics) = Memory::new(&damaged, &overlay).load() {
            prop_assert!(!diagnostics.is_empty());
            for found in &diagnostics {
                prop_assert!(found.line >= 1 && found.column >= 1 && !found.help.is_empty(), "{found}");
                prop_assert!(!found.message.contains("cannot be read although"), "{found}\n{damaged}\n{overlay}");
            }
            prop_assert!(diagnostics.render(false).contains("help"));
        }
    }
}
