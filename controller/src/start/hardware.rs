//! Where the hardware is: in this process, or in one of its own.

use std::fmt;
use std::sync::Arc;

use scaleset_hardware::Hardware;
use scaleset_hardware::sim::{ClockSource, RegionSource, Simulation, SimulationOptions, Storage, control};
use scaleset_hardware_wire::client::{Overtaken, RemoteHardware, RemoteOptions};
use tokio::net::TcpListener;
use tracing::warn;

use super::StartError;
use crate::args::Args;
use crate::health::{Health, Standing};

/// Where the hardware is.
pub(super) enum HardwareSource {
    /// In this process, which alone has it.
    Here(Simulation),
    /// In another one.
    There(RemoteOptions),
}

impl fmt::Display for HardwareSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(_) => write!(formatter, "in this process"),
            Self::There(RemoteOptions { url, .. }) => write!(formatter, "{url}"),
        }
    }
}

impl HardwareSource {
    /// Opens the hardware that is to be here; of another process, nothing is asked yet.
    pub(super) fn open(args: &Args) -> Result<Self, StartError> {
        match args.remote.options() {
            Some(options) => Ok(Self::There(options)),
            None => Ok(Self::Here(simulation(args)?)),
        }
    }

    /// Lets the simulated world be changed where an address is given for it; ends only when that fails.
    pub(super) fn serve_world(&self, listener: Option<TcpListener>) -> impl Future<Output = StartError> + use<> {
        let served = match self {
            Self::Here(simulation) => listener.map(|listener| (listener, simulation.clone())),
            Self::There(_) => None,
        };
        async {
            let Some((listener, simulation)) = served else { return std::future::pending().await };
            match control::serve(listener, simulation, std::future::pending()).await {
                Ok(()) => StartError::Broken("the control endpoint stopped".to_owned()),
                Err(error) => StartError::Control(error),
            }
        }
    }

    /// The hardware, as the leader of that epoch (0: there was no election) may use it. Waits for hardware that does not
    /// answer, for as long as it takes: `/readyz` says so.
    pub(super) async fn reach(
        &self,
        epoch: u64,
        health: &Health,
    ) -> Result<Result<Arc<dyn Hardware>, Overtaken>, StartError> {
        let options = match self {
            Self::Here(simulation) => return Ok(Ok(Arc::new(simulation.clone()))),
            Self::There(options) => options,
        };
        let waiting = |reason: &str| {
            let standing = Standing::WithoutHardware(reason.trim_start_matches("waiting for ").to_owned());
            if health.stands(standing) {
                warn!("{reason}");
            }
        };
        // Before the first attempt has ended there is nothing to warn of.
        health.stands(Standing::WithoutHardware(format!("the hardware at {}: no answer yet", options.url)));
        let connected = RemoteHardware::connect(options, epoch, waiting).await?;
        health.stands(Standing::Leading);
        Ok(connected.map(|hardware| {
            let hardware: Arc<dyn Hardware> = Arc::new(hardware);
            health.reached(Arc::clone(&hardware));
            hardware
        }))
    }
}

fn simulation(args: &Args) -> Result<Simulation, StartError> {
    let region = RegionSource::chosen(args.region_file.as_deref(), args.seed)?;
    let options = SimulationOptions {
        region,
        storage: Storage::File(args.hardware_store.clone()),
        clock: ClockSource::Wall { time_scale: args.time_scale },
        latency: args.hardware_latency.into(),
    };
    Ok(Simulation::open(options)?)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn readiness_names_the_hardware_while_it_is_first_tried() {
        // Takes connections and never says anything.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let source = HardwareSource::There(RemoteOptions { url: url.clone(), ..RemoteOptions::default() });
        let health = Health::default();
        let api = "waiting for the kubernetes api\n".to_owned();
        assert_eq!(health.readiness().await, (StatusCode::SERVICE_UNAVAILABLE, api), "before it was its turn");
        let reach = std::pin::pin!(source.reach(1, &health));
        assert!(reach.now_or_never().is_none(), "it cannot have answered");
        let told = format!("waiting for the hardware at {url}: no answer yet\n");
        assert_eq!(health.readiness().await, (StatusCode::SERVICE_UNAVAILABLE, told));
    }
}
