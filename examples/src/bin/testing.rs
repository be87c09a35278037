//! How services and callers are tested: `cargo test -p examples --bin testing`.
//!
//! There is nothing to mock. A server is a channel, so a client can be made right on top of it, with
//! real encoding and real deadlines; a stand-in for somebody else's service is one more `impl`.

use demo::hello::v1::{HelloClient, HelloServer, HelloService, SayRequest, SayResponse};
use subwire::{Code, Context, Result, Status};

subwire::include_protos!();

/// The service to test.
#[derive(Debug)]
struct Greeter {
    greeting: &'static str,
}

impl HelloService for Greeter {
    async fn say(&self, _: Context, SayRequest { name }: SayRequest) -> Result<SayResponse> {
        if name.is_empty() {
            return Err(Status::invalid_argument("`name` is empty").with_field_violation("name", "must not be empty"));
        }
        Ok(SayResponse { greeting: format!("{}, {name}!", self.greeting) })
    }
}

/// The caller to test: it makes do without the service.
async fn greet(hello: &HelloClient, name: &str) -> Result<String> {
    match hello.say(SayRequest { name: name.to_owned() }).await {
        Ok(answer) => Ok(answer.greeting),
        Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => Ok(format!("({name})")),
        Err(status) => Err(status),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let hello = HelloClient::new(HelloServer::new(Greeter { greeting: "Good morning" }));
    println!("{}", greet(&hello, "tester").await?);
    println!("the tests of this program: cargo test -p examples --bin testing");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{future, time::Duration};

    use subwire::{Bus, Server};
    use tokio::time::Instant;

    use super::*;

    fn hello() -> HelloClient {
        HelloClient::new(HelloServer::new(Greeter { greeting: "Hello" }))
    }

    #[tokio::test]
    async fn a_name_is_greeted() -> Result<()> {
        let answer = hello().say(SayRequest { name: "Ann".to_owned() }).await?;
        assert_eq!(answer.greeting, "Hello, Ann!");
        Ok(())
    }

    /// Assert the code and the field: the message is for people and may change.
    #[tokio::test]
    async fn an_empty_name_is_refused() {
        let status = hello().say(SayRequest::default()).await.expect_err("nobody to greet");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.field_violations()[0].field, "name");
    }

    /// Stands in for a service that fails.
    struct Failing(Code);

    impl HelloService for Failing {
        async fn say(&self, _: Context, _: SayRequest) -> Result<SayResponse> {
            Err(Status::new(self.0, "told to"))
        }
    }

    #[tokio::test]
    async fn a_caller_makes_do_without_the_service() -> Result<()> {
        let hello = HelloClient::new(HelloServer::new(Failing(Code::Unavailable)));
        assert_eq!(greet(&hello, "Ann").await?, "(Ann)");

        let hello = HelloClient::new(HelloServer::new(Failing(Code::PermissionDenied)));
        assert_eq!(greet(&hello, "Ann").await.expect_err("passed on").code(), Code::PermissionDenied);
        Ok(())
    }

    /// Stands in for a service that never answers.
    struct Silent;

    impl HelloService for Silent {
        async fn say(&self, _: Context, _: SayRequest) -> Result<SayResponse> {
            future::pending().await
        }
    }

    /// The clock stands still until everybody waits for it, then jumps: the test takes no time.
    #[tokio::test(start_paused = true)]
    async fn a_caller_waits_ten_seconds_at_most() -> Result<()> {
        let hello = HelloClient::new(HelloServer::new(Silent));
        let start = Instant::now();
        assert_eq!(greet(&hello, "Ann").await?, "(Ann)");
        // To the millisecond, which is as fine as the clock is.
        assert_eq!(start.elapsed().as_millis().div_ceil(10) * 10, Duration::from_secs(10).as_millis());
        Ok(())
    }

    /// The same over a bus, for what only a bus has: subjects, headers, limits.
    #[tokio::test]
    async fn the_service_works_on_a_bus() -> Result<()> {
        let bus = Bus::memory();
        let server = HelloServer::new(Greeter { greeting: "Hello" });
        let running = Server::builder(&bus).add(server).start().await?;
        assert_eq!(greet(&HelloClient::new(&bus), "Ann").await?, "Hello, Ann!");
        running.stop().await
    }
}
