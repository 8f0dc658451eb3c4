//! Changes that were read before they are written: tried again where somebody else has written in between.

use crate::cluster::Cluster;

/// How often a change is made anew.
const TRIES_MAX: usize = 5;

/// What became of a change.
pub(crate) enum Written {
    Yes,
    /// Somebody else has written since the object was read.
    Overtaken(kube::Error),
}

impl Written {
    /// A conflict is no error yet.
    pub(crate) fn of<T>(cluster: &Cluster, result: kube::Result<T>) -> anyhow::Result<Self> {
        match result {
            Ok(_) => Ok(Self::Yes),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Self::Overtaken(kube::Error::Api(status))),
            Err(error) => Err(cluster.explain(error)),
        }
    }
}

/// Tries until it is written, at most five times.
pub(crate) async fn insist(cluster: &Cluster, change: impl AsyncFn() -> anyhow::Result<Written>) -> anyhow::Result<()> {
    for _ in 1..TRIES_MAX {
        match change().await? {
            Written::Yes => return Ok(()),
            Written::Overtaken(_) => {}
        }
    }
    match change().await? {
        Written::Yes => Ok(()),
        Written::Overtaken(error) => Err(cluster.explain(error)),
    }
}
