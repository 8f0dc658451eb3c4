//! The charts: what helm makes of them, which values they refuse, and what a real API server says to what they install.

#[path = "chart/addresses.rs"]
mod addresses;
#[path = "chart/alerts.rs"]
mod alerts;
#[path = "chart/kustomize.rs"]
mod kustomize;
#[path = "chart/lint.rs"]
mod lint;
#[path = "chart/namespaced.rs"]
mod namespaced;
#[path = "chart/notes.rs"]
mod notes;
#[path = "chart/pods.rs"]
mod pods;
#[path = "chart/rendered.rs"]
mod rendered;
#[path = "chart/rights.rs"]
mod rights;
#[path = "chart/upgrade.rs"]
mod upgrade;
#[path = "chart/values.rs"]
mod values;
