//! [`Registry`]: which models there are, and their artefacts.

use std::collections::BTreeMap;

use prost::Message as _;
use schemas::ml::pipeline::v1::{Model, ModelRegistered, ModelRegisteredFilter};
use subwire::{Bus, Code, Events, ObjectSpec, ObjectStore, Replay, Result, Status};

/// Which models there are, and their artefacts. A clone is the same registry.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    bus: Bus,
    artefacts: ObjectStore,
}

/// By name and version.
pub(crate) type Models = BTreeMap<(String, u32), ModelRegistered>;

impl Registry {
    pub(crate) async fn open(bus: &Bus) -> Result<Self> {
        let artefacts = ObjectStore::open(bus, ObjectSpec::new("ml-models")).await?;
        Ok(Self { bus: bus.clone(), artefacts })
    }

    /// Stores the artefact of a model, and tells everybody. In this order: who hears of it can load it.
    pub(crate) async fn register(&self, name: &str, version: u32, model: &Model) -> Result<()> {
        let artefact = format!("{name}-{version}");
        let info = self.artefacts.put_bytes(artefact.as_str(), model.encode_to_vec()).await?;
        let registered = ModelRegistered { name: name.to_owned(), version, artefact, bytes: info.size };
        Events::new(&self.bus).publish(&registered).await?;
        Ok(())
    }

    /// Every model so far, also for who was not there when it was registered.
    pub(crate) async fn models(&self) -> Result<Models> {
        let mut past = Replay::of(&self.bus, ModelRegisteredFilter::new()).until_caught_up().open().await?;
        let mut models = Models::new();
        while let Some(replayed) = past.next().await.transpose()? {
            let registered: ModelRegistered = replayed.event;
            models.insert((registered.name.clone(), registered.version), registered);
        }
        Ok(models)
    }

    /// The artefact of a model. The store checks its digest.
    pub(crate) async fn load(&self, registered: &ModelRegistered) -> Result<Model> {
        let artefact = self.artefacts.get_bytes(&registered.artefact).await?;
        Model::decode(artefact).map_err(|error| {
            Status::new(Code::DataLoss, format!("the artefact {} is no model: {error}", registered.artefact))
        })
    }
}
