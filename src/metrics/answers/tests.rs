//! Every outcome moves the counter of its kind and that of its reason, and no other.

use http::StatusCode;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::*;
use crate::outcome::{ForwardReason, Generated};

/// What was counted since the last look.
fn moved(snapshotter: &Snapshotter) -> Vec<String> {
    let snapshot = snapshotter.snapshot().into_vec();
    let counters = snapshot.into_iter().filter_map(|(key, _, _, value)| {
        let labels = key.key().labels().map(|it| format!("/{}", it.value()));
        let (_, name) = key.key().name().split_once('_')?;
        let name = format!("{name}{}", labels.collect::<String>());
        match value {
            DebugValue::Counter(0) => None,
            DebugValue::Counter(1) => Some(name),
            other => panic!("{name}: {other:?}"),
        }
    });
    let mut counters: Vec<_> = counters.collect();
    counters.sort_unstable();
    counters
}

#[test]
fn each_outcome_moves_its_counters_and_no_other() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let metrics = metrics::with_local_recorder(&recorder, AnswerMetrics::register);
    let forward = ForwardReason::Stale;
    let fetched = |storing| CacheOutcome::Fetched { forward, storing };
    let hit = |tier| CacheOutcome::Hit { tier, ttl: 1 };
    let stale = |reason| CacheOutcome::Stale {
        reason,
        tier: Tier::Memory,
        ttl: -1,
    };
    let mut cases = vec![
        (hit(Tier::Memory), vec!["hits_total/memory".to_owned()]),
        (hit(Tier::Remote), vec!["hits_total/remote".to_owned()]),
        (CacheOutcome::Revalidated { forward, ttl: 1 }, vec![]),
        (CacheOutcome::Collapsed { forward, ttl: 1 }, vec![]),
        (fetched(Storing::Begun { ttl: 1 }), vec![]),
        (CacheOutcome::Generated(Generated::OnlyIfCached), vec![]),
    ];
    let error = StaleReason::IfError(Some(StatusCode::BAD_GATEWAY));
    let of_reason = [StaleReason::BreakerOpen, StaleReason::Client, error]
        .into_iter()
        .chain([
            StaleReason::Paused,
            StaleReason::Slow,
            StaleReason::WhileRevalidate,
        ])
        .map(|reason| ("stale_total", stale(reason)))
        .chain([
            ("not_stored_total", fetched(Storing::Failure)),
            ("not_stored_total", fetched(Storing::Full)),
            ("bypassed_total", CacheOutcome::Forwarded),
            ("bypassed_total", CacheOutcome::Tunnelled),
        ])
        .chain(NotStored::ALL.map(|reason| ("not_stored_total", fetched(Storing::Refused(reason)))))
        .chain(Bypass::ALL.map(|reason| ("bypassed_total", CacheOutcome::Bypassed(reason))));
    // The label is what `Cache-Status` shows.
    cases.extend(of_reason.map(|(name, outcome)| {
        let reason = outcome.reason().unwrap();
        (outcome, vec![format!("{name}/{reason}")])
    }));
    assert!(cases.len() > 50);
    for (outcome, mut expected) in cases {
        metrics.answered(&outcome);
        expected.push(format!("requests_total/{}", outcome.as_str()));
        expected.sort_unstable();
        assert_eq!(moved(&snapshotter), expected, "{outcome:?}");
    }
    metrics.answered(&CacheOutcome::Disabled);
    assert!(moved(&snapshotter).is_empty());
}
