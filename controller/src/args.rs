//! What the command line says.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser};
use scaleset_hardware_wire::flags::{Latency, LogFormat, time_scale};

use crate::check::Check;
use crate::cluster::watched::namespace_name;
use crate::context::SuddenScaleIn;

mod election;
mod remote;

pub use election::ElectionArgs;
pub use remote::RemoteArgs;

/// Runs virtual machine scale sets on a Kubernetes API server.
#[derive(Clone, Debug, Parser)]
#[command(name = "scaleset-controller", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// A question to answer instead of running.
    #[command(subcommand)]
    pub question: Option<Check>,
    /// Kubeconfig of the API server; without it the pod's own account is used.
    #[arg(long, env = "KUBECONFIG", value_name = "PATH", value_parser = possibly_empty())]
    pub kubeconfig: Option<PathBuf>,
    /// Description of the simulated regions; without it the built-in ones are used.
    #[arg(long, value_name = "PATH")]
    pub region_file: Option<PathBuf>,
    /// File in which the simulated hardware lives.
    #[arg(long, value_name = "PATH", default_value = "./hardware.redb")]
    pub hardware_store: PathBuf,
    /// How many seconds of the simulated hardware pass in one second.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = time_scale)]
    pub time_scale: f64,
    /// Seed of the simulated hardware's chance instead of the region file's; the same seed draws the same.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How long the simulated hardware takes for what it does.
    #[arg(long, value_enum, value_name = "LATENCY", default_value_t = Latency::RegionFile)]
    pub hardware_latency: Latency,
    /// Where the hardware is, if not in this process.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Whether and how one of several replicas is elected to lead.
    #[command(flatten)]
    pub election: ElectionArgs,
    /// Address at which the simulated world can be changed; closed by default.
    #[arg(long, value_name = "ADDRESS")]
    pub control_listen: Option<SocketAddr>,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub health_listen: SocketAddr,
    /// Namespace of the controller's own objects, among them the `ConfigMaps` that tell what the regions offer.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME", default_value = "scaleset-system")]
    pub namespace: String,
    /// Works in that namespace and in no other; without it in every one. Which objects there are elsewhere it neither knows
    /// nor needs a right to know.
    #[arg(long, value_name = "NAME", value_parser = namespace_name)]
    pub watch_namespace: Option<String>,
    /// Whether a drop of a set's target below half, and by more than five, waits for a confirmation.
    #[arg(long, value_enum, value_name = "RULE", default_value_t = SuddenScaleIn::Hold)]
    pub sudden_scale_in: SuddenScaleIn,
    /// How logs are written to stderr.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, also by module (`info,scaleset_controller=debug`).
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
    /// Collector that spans are sent to by OTLP over gRPC (`http://localhost:4317`); without it nothing is traced.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Checks the flags and the region file, and ends; nothing is started or written.
    #[arg(long)]
    pub check: bool,
}

impl Args {
    /// Where spans are sent. An empty address counts as none, as in the specification of the variable.
    pub fn collector(&self) -> Option<&str> {
        self.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty())
    }
}

/// An empty `KUBECONFIG` counts as none, as it does for kubectl.
fn possibly_empty() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn defaults_are_safe() {
        let args = Args::try_parse_from(["scaleset-controller", "--kubeconfig", "k"]).unwrap();
        assert!(args.health_listen.ip().is_loopback());
        assert_eq!(args.control_listen, None, "the world is not open to everybody");
        assert_eq!(args.watch_namespace, None, "every namespace");
        assert!((args.time_scale - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_sudden_scale_in_waits_unless_it_is_allowed() {
        let parse = |flag: &[&str]| Args::try_parse_from(["scaleset-controller"].iter().chain(flag));
        assert_eq!(parse(&[]).unwrap().sudden_scale_in, SuddenScaleIn::Hold);
        assert_eq!(parse(&["--sudden-scale-in=allow"]).unwrap().sudden_scale_in, SuddenScaleIn::Allow);
        assert!(parse(&["--sudden-scale-in=never"]).is_err());
    }

    #[test]
    fn one_namespace_can_be_named_and_no_list() {
        let parse = |flags: &[&str]| Args::try_parse_from(["scaleset-controller"].iter().chain(flags));
        assert_eq!(parse(&["--watch-namespace=shop"]).unwrap().watch_namespace.as_deref(), Some("shop"));
        for flags in
            [&["--watch-namespace="][..], &["--watch-namespace=a,b"], &["--watch-namespace=a", "--watch-namespace=b"]]
        {
            assert!(parse(flags).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn an_empty_kubeconfig_is_accepted_as_none() {
        let args = Args::try_parse_from(["scaleset-controller", "--kubeconfig="]).unwrap();
        assert_eq!(args.kubeconfig, Some(PathBuf::new()));
    }

    #[test]
    fn the_collector_is_taken_from_the_variable_of_opentelemetry_and_an_empty_one_is_none() {
        let command = Args::command();
        let endpoint = command.get_arguments().find(|argument| argument.get_id() == "otlp_endpoint");
        let variable = endpoint.and_then(clap::Arg::get_env).and_then(std::ffi::OsStr::to_str);
        assert_eq!(variable, Some("OTEL_EXPORTER_OTLP_ENDPOINT"), "as docs/metrics.md promises");
        let collector = |flag: &str| {
            let args = Args::try_parse_from(["scaleset-controller", flag]).unwrap();
            args.collector().map(str::to_owned)
        };
        assert_eq!(collector("--otlp-endpoint="), None);
        assert_eq!(collector("--otlp-endpoint=http://c:4317").as_deref(), Some("http://c:4317"));
    }

    #[test]
    fn hardware_is_either_here_or_there() {
        let parse = |flags: &[&str]| Args::try_parse_from(["scaleset-controller"].iter().chain(flags));
        let there = "--hardware-url=http://h:9090";
        let args = parse(&[there, "--hardware-cert-file=c", "--hardware-key-file=k", "--leader-elect"]).unwrap();
        let options = args.remote.options().unwrap();
        assert_eq!(options.identity_files, Some(("c".into(), "k".into())));
        assert_eq!(parse(&[]).unwrap().remote.options(), None);
        for flags in [
            vec!["--hardware-token-file=t"],
            vec![there, "--hardware-cert-file=c"],
            vec![there, "--hardware-store=s"],
            vec![there, "--time-scale=1"],
            vec![there, "--control-listen=127.0.0.1:1"],
            vec!["--leader-elect-retry-period-seconds=0"],
        ] {
            assert!(parse(&flags).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn impossible_time_scales_are_refused() {
        for scale in ["0", "-1", "nan", "inf", "fast", "1e9"] {
            let flag = format!("--time-scale={scale}");
            assert!(Args::try_parse_from(["scaleset-controller", &flag]).is_err(), "{scale}");
        }
    }
}
