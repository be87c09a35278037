//! Messages, clients and servers of every service in this workspace, as modules named after their
//! packages: `ai.llm.v1` is [`ai::llm::v1`].

subwire::include_protos!();
