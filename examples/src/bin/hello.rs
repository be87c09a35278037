//! The smallest service and its client, in one file. The schema is `proto/demo/hello/v1/hello.proto`.

use demo::hello::v1::{HelloClient, HelloServer, HelloService, SayRequest, SayResponse};
use subwire::{Bus, Context, Result, Server, Status};

// What `build.rs` generated.
subwire::include_protos!();

struct Hello;

impl HelloService for Hello {
    async fn say(&self, _: Context, request: SayRequest) -> Result<SayResponse> {
        if request.name.is_empty() {
            return Err(Status::invalid_argument("`name` is empty"));
        }
        Ok(SayResponse { greeting: format!("Hello, {}!", request.name) })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // In memory, or NATS if NATS_URL is set.
    let bus = Bus::from_env().await?;
    let service = Server::builder(&bus).add(HelloServer::new(Hello)).start().await?;

    let hello = HelloClient::new(&bus);
    let answer = hello.say(SayRequest { name: "world".to_owned() }).await?;
    println!("{}", answer.greeting);

    let refused = hello.say(SayRequest::default()).await;
    println!("{}", refused.err().map_or_else(String::new, |status| status.to_string()));

    service.stop().await?;
    bus.close().await
}
