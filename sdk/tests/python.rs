//! The wire is what PROTOCOL.md says: `examples/python`, which was written from it, against this crate.
//!
//! Needs `python3` (3.11 or newer, with `venv`). Its packages are installed once, into `target/tools`.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use schemas::{ai::llm::v1::*, testing::echo::v1::*};
use serde_json::{Value, json};
use subwire::{Bus, Code, Context, Executed, Result, Running, Server, Status, Streaming, testing::NatsServer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    sync::watch,
    time::timeout,
};

/// No wait of these tests is longer, but for the installation of the packages.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shorter than the silence after which either side gives a call up.
const SOONER_THAN_SILENCE: Duration = Duration::from_secs(3);

/// Longer than the silence after which either side gives a call up.
const LONGER_THAN_SILENCE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn python_calls_rust_with_metadata_and_a_deadline() {
    let (_echo, mut python) = Python::calling("unary").await;
    let answer = python.says().await;
    assert_eq!(answer["text"], "grüße");
    assert_eq!(answer["payload"], "00ff");
    assert_eq!(answer["metadata"], " 100 % ä , and 3 bytes");
    assert_eq!(answer["trailer"], "3 %");
    let remaining_ms = answer["remaining_ms"].as_u64().expect("a number");
    assert!((1..=5_000).contains(&remaining_ms), "{remaining_ms}");
}

#[tokio::test]
async fn python_gets_the_details_of_an_error() {
    let (_echo, mut python) = Python::calling("error").await;
    let expected = json!({
        "code": 3, "message": "nö\r\n", "reason": "TOLD_TO", "fields": [["fail_with", "is not 0"]],
    });
    assert_eq!(python.says().await, expected);
}

#[tokio::test]
async fn a_call_from_python_ends_at_its_deadline() {
    let (mut echo, mut python) = Python::calling("deadline").await;
    for _ in ["its own", "that of the schema"] {
        let status = python.says().await;
        assert_eq!(status["code"], Code::DeadlineExceeded.number());
        assert_eq!(status["reason"], "DEADLINE");
        echo.idle().await;
    }
}

#[tokio::test]
async fn a_stock_client_needs_no_more_than_a_request() {
    let (_echo, mut python) = Python::calling("stock").await;
    assert_eq!(python.says().await, json!({"text": "hello", "headers": null}));
    let status = python.says().await;
    assert_eq!(status["code"], Code::DeadlineExceeded.number());
    assert_eq!(status["reason"], "DEADLINE");
}

#[tokio::test]
async fn python_holds_a_stream_back_and_gets_all_of_it() {
    let (mut echo, mut python) = Python::calling("flow").await;
    assert_eq!(python.says().await, json!({"first": 0}));

    // A window of 16,384, and what a frame may hold beyond it: Python has read a single message.
    let window = 16_384;
    let most = window + 4_096 + 1;
    echo.produced(|produced| produced >= window).await;
    let more = timeout(LONGER_THAN_SILENCE, echo.produced(|produced| produced > most)).await;
    assert!(more.is_err(), "the sender was not stopped: {} messages", echo.state().produced);

    python.go_on().await;
    assert_eq!(python.says().await, json!({"read": 200_000, "in_order": true, "trailer": "200000"}));
    echo.idle().await;
}

#[tokio::test]
async fn python_reads_what_came_before_a_failure() {
    let (_echo, mut python) = Python::calling("failing_stream").await;
    let outcome = python.says().await;
    assert_eq!(outcome["read"], json!([0, 1, 2, 3, 4]));
    assert_eq!(outcome["code"], Code::NotFound.number());
    assert_eq!(outcome["fields"], json!([["fail_with", "is not 0"]]));
}

#[tokio::test]
async fn a_stream_that_python_leaves_is_cancelled() {
    let (mut echo, mut python) = Python::calling("leaving").await;
    assert_eq!(python.says().await, json!({"first": 0}));
    assert_eq!(echo.state().running, 1);
    python.go_on().await;
    assert_eq!(python.says().await, json!({"left": true}));
    // Because it was told, and not because nobody beats any more.
    timeout(SOONER_THAN_SILENCE, echo.idle()).await.expect("cancelled");
}

#[tokio::test]
async fn python_streams_to_rust() {
    let (_echo, mut python) = Python::calling("both_ways").await;
    assert_eq!(python.says().await, json!({"sum": 199_990_000, "messages": 20_000}));
    assert_eq!(python.says().await, json!({"heard": ["a", "b"]}));
}

#[tokio::test]
async fn large_messages_go_both_ways() {
    let (_echo, mut python) = Python::calling("large").await;
    let size = 3 * 1024 * 1024;
    assert_eq!(python.says().await, json!({"payload": size}));
    assert_eq!(python.says().await, json!({"payload": size, "messages": 1}));
}

#[tokio::test]
async fn a_long_call_from_python_is_kept_alive() {
    let (_echo, mut python) = Python::calling("long_call").await;
    assert_eq!(python.says().await, json!({"text": "late"}));
}

#[tokio::test]
async fn rust_calls_python() {
    let (echo, _python) = Python::responding().await;
    let request = EchoRequest { text: "grüße".into(), payload: vec![0, 255].into(), ..EchoRequest::default() };
    let answer = echo.echo(request).timeout(Duration::from_secs(5)).await.expect("an answer");
    assert_eq!((answer.text.as_str(), &*answer.payload), ("grüße", &[0, 255][..]));
    assert_eq!(answer.instance, "python");
    assert!((1..=5_000).contains(&answer.remaining_ms), "{}", answer.remaining_ms);
}

#[tokio::test]
async fn rust_gets_the_details_of_an_error_of_python() {
    let (echo, _python) = Python::responding().await;

    let status = echo.echo(EchoRequest::default()).await.expect_err("an empty text");
    assert_eq!((status.code(), status.executed()), (Code::InvalidArgument, Executed::Yes));
    assert_eq!(status.field_violations()[0].field, "text");

    let request = EchoRequest { text: "nö\r\n".into(), fail_with: Code::NotFound.number(), ..EchoRequest::default() };
    let status = echo.echo(request).await.expect_err("told to fail");
    assert_eq!((status.code(), status.message()), (Code::NotFound, "nö\r\n"));
}

#[tokio::test]
async fn metadata_comes_back_from_python() {
    let (echo, _python) = Python::responding().await;
    let request = EchoRequest { text: "hello".into(), ..EchoRequest::default() };
    let call = echo.echo(request).metadata("Tenant", " 100 % ä\r\n ").metadata_bin("key-bin", vec![0, 1, 255]);
    let response = call.response().await.expect("an answer");
    assert_eq!(response.metadata.get("tenant"), Some(" 100 % ä\r\n "));
    assert_eq!(response.metadata.get_bin("key-bin").map(|bytes| &**bytes), Some(&[0, 1, 255][..]));
    assert_eq!(response.trailers.get("answered-by"), Some("python"));
}

#[tokio::test]
async fn the_example_prints_what_it_gets() {
    let nats = NatsServer::start().await.expect("a nats-server");
    let bus = Bus::nats(nats.url()).await.expect("a connection");
    let _server = Server::builder(bus).add(LlmServer::new(Llm)).start().await.expect("a server");
    let mut python = Python::start(nats, &examples().join("call_llm.py"), &["say it again"]).await;
    for expected in [
        "infer: say it again",
        "       3 tokens",
        "an empty prompt: INVALID_ARGUMENT: there is no prompt",
        "       prompt: must not be empty",
        "stream_infer: say it again",
    ] {
        assert_eq!(python.line().await, expected);
    }
}

/// A Python program beside the test, on a nats-server of their own. Killed when dropped.
struct Python {
    _program: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    _nats: NatsServer,
}

impl Python {
    /// A case of `caller.py`, and the service it calls.
    async fn calling(case: &str) -> (Echo, Self) {
        let nats = NatsServer::start().await.expect("a nats-server");
        let echo = Echo::serve(&nats).await;
        let caller = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/caller.py");
        (echo, Self::start(nats, &caller, &[case]).await)
    }

    /// `responder.py`, and a client of it.
    async fn responding() -> (EchoClient, Self) {
        let nats = NatsServer::start().await.expect("a nats-server");
        let bus = Bus::nats(nats.url()).await.expect("a connection");
        let mut python = Self::start(nats, &examples().join("responder.py"), &[]).await;
        assert_eq!(python.line().await, "listening on svc.testing.echo.v1.echo");
        (EchoClient::new(bus), python)
    }

    async fn start(nats: NatsServer, program: &Path, arguments: &[&str]) -> Self {
        let python = tokio::task::spawn_blocking(environment).await.expect("no panic").expect("a Python environment");
        let mut program = tokio::process::Command::new(python)
            .arg(program)
            .args(arguments)
            .env("PYTHONPATH", examples())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NATS_URL", nats.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter starts");
        let stdin = program.stdin.take().expect("piped");
        let stdout = BufReader::new(program.stdout.take().expect("piped")).lines();
        Self { _program: program, stdin, stdout, _nats: nats }
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.stdout.next_line()).await.expect("the program says something in time");
        line.expect("text").expect("the program says something before it ends: its error is above")
    }

    async fn says(&mut self) -> Value {
        serde_json::from_str(&self.line().await).expect("JSON")
    }

    async fn go_on(&mut self) {
        self.stdin.write_all(b"go on\n").await.expect("the program listens");
    }
}

/// The service that Python calls.
struct Echo {
    state: watch::Receiver<State>,
    _server: Running,
}

/// What its handlers do.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    running: usize,
    produced: u64,
}

impl Echo {
    async fn serve(nats: &NatsServer) -> Self {
        let (handlers, state) = watch::channel(State::default());
        let bus = Bus::nats(nats.url()).await.expect("a connection");
        let server = Server::builder(bus).add(EchoServer::new(Handlers(handlers))).start().await.expect("a server");
        Self { state, _server: server }
    }

    fn state(&self) -> State {
        *self.state.borrow()
    }

    async fn produced(&mut self, enough: impl Fn(u64) -> bool) {
        self.wait_for(|state| enough(state.produced)).await;
    }

    /// Every handler has ended.
    async fn idle(&mut self) {
        self.wait_for(|state| state.running == 0).await;
    }

    async fn wait_for(&mut self, what: impl FnMut(&State) -> bool) {
        let reached = timeout(PATIENCE, self.state.wait_for(what)).await.expect("in time");
        reached.expect("the service lives");
    }
}

struct Handlers(watch::Sender<State>);

impl Handlers {
    fn begin(&self) -> Handling {
        self.0.send_modify(|state| state.running += 1);
        Handling(self.0.clone())
    }
}

/// Counts a handler that runs, for as long as it does.
struct Handling(watch::Sender<State>);

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.running -= 1);
    }
}

fn failure(code: i32, text: &str) -> Status {
    Status::new(Code::from_number(code), text)
        .with_error_info("TOLD_TO", "echo", [])
        .with_field_violation("fail_with", "is not 0")
}

impl EchoService for Handlers {
    async fn echo(&self, cx: Context, request: EchoRequest) -> Result<EchoResponse> {
        let _handling = self.begin();
        if let (Some(tenant), Some(key)) = (cx.metadata().get("tenant"), cx.metadata().get_bin("key-bin")) {
            cx.append_metadata("seen-tenant", format!("{tenant}, and {} bytes", key.len()))?;
            cx.append_trailer("cost", "3 %")?;
        }
        if request.fail_with != 0 {
            return Err(failure(request.fail_with, &request.text));
        }
        if request.hang {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(request.delay_ms.into())).await;
        let remaining_ms = cx.remaining().map_or(0, |remaining| remaining.as_millis() as u64);
        Ok(EchoResponse { text: request.text, payload: request.payload, remaining_ms, instance: "rust".into() })
    }

    async fn echo_soon(&self, _: Context, request: EchoSoonRequest) -> Result<EchoSoonResponse> {
        let _handling = self.begin();
        if request.hang {
            std::future::pending::<()>().await;
        }
        Ok(EchoSoonResponse {})
    }

    async fn count(&self, cx: Context, request: CountRequest) -> Result<Streaming<CountResponse>> {
        let handling = self.begin();
        Ok(Streaming::produce(async move |numbers| {
            for n in 0..request.messages {
                numbers.send(CountResponse { n, ..CountResponse::default() }).await?;
                handling.0.send_modify(|state| state.produced += 1);
            }
            if request.hang {
                std::future::pending::<()>().await;
            }
            cx.append_trailer("counted", request.messages.to_string())?;
            match request.fail_with {
                0 => Ok(()),
                code => Err(failure(code, "after the last")),
            }
        }))
    }

    async fn sum(&self, _: Context, mut requests: Streaming<SumRequest>) -> Result<SumResponse> {
        let mut response = SumResponse::default();
        while let Some(request) = requests.message().await? {
            response.sum += request.n;
            response.messages += 1;
            response.payload_bytes += request.payload.len() as u64;
        }
        Ok(response)
    }

    async fn talk(&self, _: Context, mut requests: Streaming<TalkRequest>) -> Result<Streaming<TalkResponse>> {
        Ok(Streaming::produce(async move |answers| {
            while let Some(request) = requests.message().await? {
                answers.send(TalkResponse { text: request.text }).await?;
            }
            Ok(())
        }))
    }
}

/// A model of the simplest kind.
struct Llm;

impl Llm {
    fn generate(prompt: &str) -> Result<Vec<String>> {
        if prompt.is_empty() {
            let status = Status::invalid_argument("there is no prompt");
            return Err(status.with_field_violation("prompt", "must not be empty"));
        }
        Ok(prompt.split_inclusive(' ').map(str::to_owned).collect())
    }
}

impl LlmService for Llm {
    async fn infer(&self, _: Context, request: InferRequest) -> Result<InferResponse> {
        let words = Self::generate(&request.prompt)?;
        Ok(InferResponse { output: words.concat(), tokens_used: words.len() as u32, ..InferResponse::default() })
    }

    async fn stream_infer(&self, _: Context, request: StreamInferRequest) -> Result<Streaming<StreamInferResponse>> {
        let words = Self::generate(&request.prompt)?;
        let chunk = |text| StreamInferResponse { text, ..StreamInferResponse::default() };
        Ok(Streaming::from_iter(words.into_iter().map(chunk)))
    }

    async fn summarize(&self, _: Context, _: Streaming<SummarizeRequest>) -> Result<SummarizeResponse> {
        Err(Status::unimplemented("the example does not call it"))
    }

    async fn chat(&self, _: Context, _: Streaming<ChatRequest>) -> Result<Streaming<ChatResponse>> {
        Err(Status::unimplemented("the example does not call it"))
    }
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("sdk lies in the workspace")
}

fn examples() -> PathBuf {
    workspace().join("examples/python")
}

/// The interpreter of a virtual environment that has `requirements.txt`; made when there is none yet.
fn environment() -> Result<PathBuf, String> {
    let requirements = examples().join("requirements.txt");
    let wanted = fs::read_to_string(&requirements).map_err(|why| format!("{}: {why}", requirements.display()))?;
    let check = "import sys, ensurepip, venv; assert sys.version_info >= (3, 11); print(sys.version)";
    let version = run("python3 is needed, 3.11 or newer, with venv", Command::new("python3").args(["-c", check]))?;
    let mut hasher = DefaultHasher::new();
    (wanted, version).hash(&mut hasher);
    let tools = workspace().join("target/tools");
    let folder = tools.join(format!("python-{:016x}", hasher.finish()));
    let python = folder.join("bin/python");

    // Tests run side by side, and in several processes: one of them makes it, and the others wait.
    let done = folder.join("complete");
    let failed = |why: std::io::Error| format!("{}: {why}", tools.display());
    fs::create_dir_all(&tools).map_err(failed)?;
    let lock = File::create(folder.with_extension("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if done.is_file() {
        return Ok(python);
    }
    match fs::remove_dir_all(&folder) {
        Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed(why)),
        _ => {}
    }
    run("python3 could not make a virtual environment", Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let install = ["-m", "pip", "install", "--disable-pip-version-check", "--only-binary=:all:", "-r"];
    run("pip could not install the packages", Command::new(&python).args(install).arg(&requirements))?;
    File::create(done).map_err(failed)?;
    Ok(python)
}

/// Runs a command to its end. An error says what it was for, and what it said.
fn run(promise: &str, command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|why| format!("{promise}: {command:?}: {why}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    Err(format!("{promise}: {command:?}: {}\n{out}{err}", output.status))
}
