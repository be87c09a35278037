//! The four small systems.

use subwire::testing::NatsServer;
use subwire_archive::testing::PostgresServer;

use crate::program::{printed, run};

const MESSAGING: &str = env!("CARGO_BIN_EXE_agent_messaging");
const SQUAD: &str = env!("CARGO_BIN_EXE_agent_squad");
const PRIORITIZATION: &str = env!("CARGO_BIN_EXE_prioritization");
const PIPELINE: &str = env!("CARGO_BIN_EXE_ml_pipeline");

/// What each of them prints, but for the line that says on which bus.
const RESULTS: [(&str, &[&str]); 4] = [
    (
        MESSAGING,
        &[
            "planner listens on agent.planner.*",
            "coder listens on agent.coder.*",
            "tester listens on agent.tester.*",
            "Queries:",
            "  planner asks coder for the estimate: three days",
            "  coder asks planner for the deadline: Friday",
            "  tester asks coder for the salary: I do not know",
            "Heard until they left:",
            "  coder: planner says \"begin with the parser\"; planner says \"then the printer\"",
            "  tester: coder says \"the parser can be tested\"",
            "planner asks coder, who has left: UNAVAILABLE",
            "All agents are disconnected",
        ],
    ),
    (
        SQUAD,
        &[
            "Stream agent-messages, consumer agent-processor",
            "Reports to ada:",
            "  the login by backend-1, found good by tess",
            "  the export by backend-2, found good by tess",
            "  the search by backend-1, found good by tess",
            "Statistics of 27 events:",
            "  message.assignment 3",
            "  message.note 1",
            "  message.report 3",
            "  message.review 3",
            "  status.joined 4",
            "  status.left 4",
            "  task.completed 3",
            "  task.created 3",
            "  task.started 3",
            "Replay of what was said to the role backend:",
            "  ada to backend-1: the login",
            "  ada to backend-2: the export",
            "  ada to backend-1: the search",
        ],
    ),
    (
        PRIORITIZATION,
        &[
            "A ticket of no kind: INVALID_ARGUMENT",
            "Queued in PRIORITY_REQUESTS: 8 requests, 1 of them sent twice and stored once",
            "Results in PRIORITY_RESULTS:",
            "  100 critical nobody can sign in (an outage +45, more than 1,000 people +30, too late within 4 hours +25)",
            "   80 critical invoices are sent twice (a defect +25, more than 1,000 people +30, too late within 4 hours +25)",
            "   60 high     totals are off by a cent (a defect +25, more than 50 people +20, too late within a day +15)",
            "   40 normal   the printer of the third floor is dead \
             (an outage +45, more than 1 person +10, too late within a week +5, a workaround -20)",
            "   20 normal   the report in Norwegian (a wish +5, more than 1 person +10, too late within a week +5)",
            "   15 low      a button is cut off on small screens (a defect +25, more than 1 person +10, a workaround -20)",
            "   15 low      a dark theme (a wish +5, more than 1,000 people +30, a workaround -20)",
            "   15 low      how to export a report (a question +15)",
            "Called svc.ops.prioritization.v1.prioritize: the same priorities",
        ],
    ),
    (
        PIPELINE,
        &[
            "Who was there heard of: sentiment 1 (60 bytes), sentiment 2 (107 bytes)",
            "Who comes late knows of: sentiment 1 (60 bytes), sentiment 2 (107 bytes)",
            "version 1: 3 positive, 4 neutral, 1 negative, score +11",
            "version 2: 3 positive, 2 neutral, 3 negative, score +5",
        ],
    ),
];

/// Runs all of them, and compares.
async fn check_systems(settings: &[(&str, &str)], bus: &str) {
    for (path, result) in RESULTS {
        let lines = printed(path, settings).await;
        let (connected, rest) = lines.split_first().expect("lines");
        assert_eq!(connected, &format!("Connected to {bus}"));
        assert_eq!(rest, result, "{path}");
    }
}

#[tokio::test]
async fn the_systems_run_in_memory() {
    check_systems(&[("MESSAGE_BUS", "memory")], "the in-memory bus").await;
}

/// Streams remember: the second time, the streams, the consumers and their places are there, and messages too.
#[tokio::test]
async fn the_systems_run_on_nats_again_and_again() {
    let nats = NatsServer::builder().jetstream().start().await.expect("a nats-server");
    for _ in 0..2 {
        check_systems(&[("MESSAGE_BUS", "nats"), ("NATS_URL", &nats.url())], "NATS").await;
    }
}

/// Runs a program that must fail, and returns what it complains about.
async fn complaint(path: &str, settings: &[(&str, &str)]) -> String {
    let output = run(path, settings).await;
    assert_eq!(output.status.code(), Some(1), "{path}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{path}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_wrong_setting_is_an_error_that_names_the_variable() {
    for setting in [
        ("MESSAGE_BUS", "kafka"),
        ("NATS_URL", "http://localhost"),
        ("NATS_STREAM_NAME", "agent messages"),
        ("NATS_MAX_MSGS", "a million"),
        ("NATS_MAX_AGE_DAYS", "0"),
        ("NATS_CONSUMER_NAME", "agent.processor"),
    ] {
        let errors = complaint(SQUAD, &[setting]).await;
        assert!(errors.contains(setting.1), "{errors}");
        assert!(errors.contains(setting.0) || setting.0 == "NATS_URL", "{errors}");
    }
}

#[tokio::test]
async fn the_squad_takes_its_names_from_the_environment() {
    let nats = NatsServer::builder().jetstream().start().await.expect("a nats-server");
    let url = nats.url();
    let ours = [
        ("NATS_URL", url.as_str()),
        ("NATS_STREAM_NAME", "ours"),
        ("NATS_MAX_MSGS", "5000"),
        ("NATS_MAX_AGE_DAYS", "1"),
        ("NATS_CONSUMER_NAME", "counter"),
    ];
    let lines = printed(SQUAD, &ours).await;
    assert_eq!(lines[1], "Stream ours, consumer counter");
    assert_eq!(lines[2..], RESULTS[1].1[1..]);

    let page = nats.monitor("/jsz?streams=1&config=1&consumers=1").await.expect("a page");
    for part in ["\"name\": \"ours\"", "\"max_msgs\": 5000", "\"max_age\": 86400000000000", "\"name\": \"counter\""] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

/// On both buses: the archive is one and the same.
#[tokio::test]
async fn the_squad_is_archived_where_that_is_configured() {
    let postgres = PostgresServer::start().await.expect("a PostgreSQL");
    let nats = NatsServer::builder().jetstream().start().await.expect("a nats-server");
    let archive = ("SUBWIRE_ARCHIVE_URL", &*postgres.url());
    for settings in [[("MESSAGE_BUS", "memory"), archive], [("NATS_URL", &nats.url()), archive]] {
        let lines = printed(SQUAD, &settings).await;
        let (archived, rest) = (&lines[lines.len() - 3..], &lines[1..lines.len() - 3]);
        assert_eq!(rest, RESULTS[1].1);
        assert_eq!(archived, ["Archive of 27 events, tasks completed in it:", "  backend-1 2", "  backend-2 1"]);
    }
}

#[tokio::test]
async fn a_broker_without_streams_is_an_error_that_says_so() {
    let nats = NatsServer::start().await.expect("a nats-server");
    for (path, _) in &RESULTS[1..] {
        let output = run(path, &[("NATS_URL", &nats.url())]).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(errors.contains("JetStream"), "{errors}");
    }
}
