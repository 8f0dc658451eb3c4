//! Flags about hardware in a process of its own.

use std::path::PathBuf;

use scaleset_hardware_wire::client::RemoteOptions;

/// Where the hardware is, if not in this process.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RemoteArgs {
    /// Address of hardware in a process of its own (`scaleset-hardware`), http:// or https://; without it the simulated
    /// hardware is in this process.
    #[arg(long, value_name = "URL", conflicts_with_all = [
        "region_file", "hardware_store", "time_scale", "seed", "hardware_latency", "control_listen",
    ])]
    pub hardware_url: Option<String>,
    /// File with the token that the hardware lets in. It is read again while the process runs.
    #[arg(long, value_name = "PATH", requires = "hardware_url")]
    pub hardware_token_file: Option<PathBuf>,
    /// Authority of the hardware's certificate, PEM; needed with https://. Read at the start.
    #[arg(long, value_name = "PATH", requires = "hardware_url")]
    pub hardware_ca_file: Option<PathBuf>,
    /// Certificate that the hardware lets in, PEM. Read at the start.
    #[arg(long, value_name = "PATH", requires_all = ["hardware_url", "hardware_key_file"])]
    pub hardware_cert_file: Option<PathBuf>,
    /// Private key of that certificate, PEM. Read at the start.
    #[arg(long, value_name = "PATH", requires_all = ["hardware_url", "hardware_cert_file"])]
    pub hardware_key_file: Option<PathBuf>,
}

impl RemoteArgs {
    /// How to connect; none where the hardware is in this process.
    pub fn options(&self) -> Option<RemoteOptions> {
        let Self { hardware_url, hardware_token_file, hardware_ca_file, hardware_cert_file, hardware_key_file } = self;
        Some(RemoteOptions {
            url: hardware_url.clone()?,
            token_file: hardware_token_file.clone(),
            ca_file: hardware_ca_file.clone(),
            identity_files: hardware_cert_file.clone().zip(hardware_key_file.clone()),
        })
    }
}
