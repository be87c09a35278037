//! The programs about services.

use rustix::process::{Pid, Signal, kill_process};
use subwire::testing::NatsServer;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Child,
    time::timeout,
};

use crate::program::{PATIENCE, printed, program, run};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const STREAMING: &str = env!("CARGO_BIN_EXE_streaming");
const TESTING: &str = env!("CARGO_BIN_EXE_testing");
const BOTH: &str = env!("CARGO_BIN_EXE_ai_integration");
const CLIENT: &str = env!("CARGO_BIN_EXE_ai_integration_client");
const SERVICE: &str = env!("CARGO_BIN_EXE_ai_integration_service");

/// What a client of the text generation prints.
fn check_conversation(lines: &[String], bus: &str) {
    let generation = lines.get(2).and_then(|line| line.strip_prefix("Generation ID: gen-"));
    assert!(generation.is_some_and(|id| !id.is_empty()), "{lines:?}");
    let expected = [
        &format!("Connected to {bus}"),
        "Sending request to svc.ai.llm.v1.infer",
        &lines[2],
        "Output: Response to: Tell me about NATS messaging",
        "Tokens used: 12",
        "Finish reason: stop",
        "Streaming:",
        "Response to: Tell me about NATS messaging",
    ];
    assert_eq!(lines, expected);
}

/// The programs that need nothing beside them.
async fn check_complete_programs(settings: &[(&str, &str)], bus: &str) {
    check_conversation(&printed(BOTH, settings).await, bus);
    assert_eq!(printed(HELLO, settings).await, ["Hello, world!", "INVALID_ARGUMENT: `name` is empty"]);
    assert_eq!(printed(TESTING, settings).await[0], "Good morning, tester!");

    let lines = printed(STREAMING, settings).await;
    let expected = [
        "unary: the square of 12 is 144",
        "server streaming: 1 2 3 4 5",
        "client streaming: 1 to 100 make 5050",
        "bidirectional: 10 makes the average 10; 20 makes the average 15; 60 makes the average 30; end: true",
    ];
    assert_eq!(lines[..4], expected);
    let number = |line: &String| line.split(' ').filter_map(|word| word.parse::<u64>().ok()).next_back();
    for line in &lines[4..] {
        // The largest window is 65,536 messages, far below the 400,000 that are asked for.
        assert!(number(line).is_some_and(|ahead| ahead < 100_000), "{line}");
    }
    assert_eq!(lines.len(), 6);
}

#[tokio::test]
async fn the_programs_run_in_memory() {
    check_complete_programs(&[], "the in-memory bus").await;
    check_conversation(&printed(BOTH, &[("MESSAGE_BUS", "memory")]).await, "the in-memory bus");
}

#[tokio::test]
async fn the_programs_run_on_nats() {
    let nats = NatsServer::start().await.expect("a nats-server");
    check_complete_programs(&[("NATS_URL", &nats.url())], "NATS").await;
}

#[tokio::test]
async fn a_client_alone_says_what_to_do() {
    let nats = NatsServer::start().await.expect("a nats-server");
    for settings in [[("MESSAGE_BUS", "memory")], [("NATS_URL", &nats.url())]] {
        let output = run(CLIENT, &settings).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        for hint in ["no service answers on svc.ai.llm.v1.infer", "NATS_URL", "ai_integration_service"] {
            assert!(errors.contains(hint), "{errors}");
        }
    }
}

/// Starts the service and waits until it serves.
async fn service(nats: &NatsServer) -> (Child, BufReader<impl AsyncReadExt + Unpin>) {
    let mut command = program(SERVICE, &[("NATS_URL", &nats.url())]);
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("runs");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    timeout(PATIENCE, stdout.read_line(&mut line)).await.expect("in time").expect("a line");
    assert_eq!(line, "Serving svc.ai.llm.v1 on NATS\n");
    (child, stdout)
}

#[tokio::test]
async fn a_service_answers_clients_until_it_is_told_to_stop() {
    let nats = NatsServer::start().await.expect("a nats-server");
    for signal in [Signal::TERM, Signal::INT] {
        let (mut service, mut stdout) = service(&nats).await;
        for _ in 0..2 {
            check_conversation(&printed(CLIENT, &[("NATS_URL", &nats.url())]).await, "NATS");
        }
        let pid = service.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
        kill_process(pid, signal).expect("it can be told");
        let status = timeout(PATIENCE, service.wait()).await.expect("it stops").expect("it ran");
        assert_eq!(status.code(), Some(0), "{signal:?}");

        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await.expect("readable");
        assert_eq!(rest, "", "standard output belongs to the program");
        let mut log = String::new();
        service.stderr.take().expect("piped").read_to_string(&mut log).await.expect("readable");
        assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
    }
}

#[test]
fn the_smallest_program_stays_small() {
    assert!(include_str!("../../src/bin/hello.rs").lines().count() < 60);
}
