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

/// Tries until it is written, at most five times; the last conflict is told by `explain`.
pub(crate) async fn insist(
    explain: impl Fn(kube::Error) -> anyhow::Error,
    change: impl AsyncFn() -> anyhow::Result<Written>,
) -> anyhow::Result<()> {
    for _ in 1..TRIES_MAX {
        match change().await? {
            Written::Yes => return Ok(()),
            Written::Overtaken(_) => {}
        }
    }
    match change().await? {
        Written::Yes => Ok(()),
        Written::Overtaken(error) => Err(explain(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Tries a change that is overtaken so many times; how often it was made, and whether it was written.
    async fn tried(overtaken: usize) -> (usize, bool) {
        let made = Cell::new(0);
        let change = async || {
            made.set(made.get() + 1);
            let conflict = || Written::Overtaken(kube::Error::TlsRequired);
            Ok(if made.get() > overtaken { Written::Yes } else { conflict() })
        };
        let written = insist(|error| anyhow::anyhow!("{error}"), change).await.is_ok();
        (made.get(), written)
    }

    #[tokio::test]
    async fn a_conflict_is_tried_again_and_not_for_ever() {
        assert_eq!(tried(0).await, (1, true));
        assert_eq!(tried(3).await, (4, true));
        assert_eq!(tried(4).await, (5, true));
        assert_eq!(tried(100).await, (5, false));
    }
}
