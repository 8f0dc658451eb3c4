//! What the command line of `scaleset-hardware` says.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

use crate::flags::{Latency, LogFormat, time_scale};

/// Simulated hardware as a process of its own, for controllers that name it with --hardware-url.
#[derive(Clone, Debug, Parser)]
#[command(name = "scaleset-hardware", version, max_term_width = 100)]
pub struct Args {
    /// Address at which controllers call, over gRPC.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub listen: SocketAddr,
    /// File in which the hardware lives.
    #[arg(long, value_name = "PATH", default_value = "./hardware.redb")]
    pub store: PathBuf,
    /// Description of the regions; without it the built-in ones are used.
    #[arg(long, value_name = "PATH")]
    pub region_file: Option<PathBuf>,
    /// How many seconds of the hardware pass in one second.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = time_scale)]
    pub time_scale: f64,
    /// Seed of chance instead of the region file's; the same seed draws the same.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How long the hardware takes for what it does.
    #[arg(long, value_enum, value_name = "LATENCY", default_value_t = Latency::RegionFile)]
    pub latency: Latency,
    /// Address at which the simulated world can be looked at and changed; closed by default, loopback only.
    #[arg(long, value_name = "ADDRESS")]
    pub control_listen: Option<SocketAddr>,
    /// Address of /healthz and /readyz.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
    pub health_listen: SocketAddr,
    /// Who may call, and over what.
    #[command(flatten)]
    pub access: Access,
    /// How logs are written to stderr.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, also by module (`info,scaleset_hardware=debug`).
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

/// Who may call, and over what.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Access {
    /// File with the token that callers must show. It is read again while the process runs.
    #[arg(long, value_name = "PATH", conflicts_with = "token_audience")]
    pub token_file: Option<PathBuf>,
    /// Audience of the Kubernetes tokens that callers must show; each is verified by a `TokenReview`.
    #[arg(long, value_name = "NAME", requires = "token_user")]
    pub token_audience: Option<String>,
    /// Kubernetes user of those tokens, for example `system:serviceaccount:scaleset-system:scaleset-controller`.
    #[arg(long, value_name = "NAME", requires = "token_audience")]
    pub token_user: Option<String>,
    /// Kubeconfig of the API server that verifies tokens; without it the pod's own account is used.
    #[arg(long, env = "KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Certificate of this server, PEM. Read at the start.
    #[arg(long, value_name = "PATH", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of that certificate, PEM.
    #[arg(long, value_name = "PATH", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
    /// Authority whose certificates callers must show, PEM (mutual TLS).
    #[arg(long, value_name = "PATH", requires = "tls_cert_file")]
    pub client_ca_file: Option<PathBuf>,
}

impl Args {
    /// Why these flags would let everybody in; none where they would not.
    pub fn is_open_to_all(&self) -> Option<String> {
        let Access { token_file, token_audience, client_ca_file, .. } = &self.access;
        let guarded = token_file.is_some() || token_audience.is_some() || client_ca_file.is_some();
        (!guarded && !self.listen.ip().is_loopback()).then(|| {
            format!(
                "cannot listen on {}: whoever reaches it could do anything; give --token-file, --token-audience with \
                 --token-user, or --client-ca-file, or listen on 127.0.0.1",
                self.listen
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(["scaleset-hardware"].iter().chain(flags))
    }

    #[test]
    fn defaults_are_safe() {
        let args = parse(&[]).unwrap();
        assert!(args.listen.ip().is_loopback() && args.health_listen.ip().is_loopback());
        assert_eq!(args.control_listen, None, "the world is not open to everybody");
        assert_eq!(args.is_open_to_all(), None);
    }

    #[test]
    fn beyond_loopback_somebody_has_to_ask_who_calls() {
        let beyond = "--listen=0.0.0.0:9090";
        let refusal = parse(&[beyond]).unwrap().is_open_to_all().unwrap();
        assert!(refusal.starts_with("cannot listen on 0.0.0.0:9090: "), "{refusal}");
        let tls = ["--tls-cert-file=c", "--tls-key-file=k"];
        assert!(parse(&[beyond, tls[0], tls[1]]).unwrap().is_open_to_all().is_some(), "it hides, and lets in");
        for guarded in [
            vec!["--token-file=t"],
            vec!["--token-audience=a", "--token-user=u"],
            vec![tls[0], tls[1], "--client-ca-file=a"],
        ] {
            assert_eq!(parse(&[&[beyond], &guarded[..]].concat()).unwrap().is_open_to_all(), None, "{guarded:?}");
        }
    }

    #[test]
    fn half_a_pair_is_refused() {
        for flags in [
            vec!["--token-audience=a"],
            vec!["--token-user=u"],
            vec!["--tls-cert-file=c"],
            vec!["--tls-key-file=k"],
            vec!["--client-ca-file=a"],
            vec!["--token-file=t", "--token-audience=a", "--token-user=u"],
            vec!["--time-scale=0"],
        ] {
            assert!(parse(&flags).is_err(), "{flags:?}");
        }
    }
}
