//! Addresses on loopback for what is about to be started.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::error::{ControlPlaneError, file};

/// Addresses that nobody listens on; all are held while they are chosen, so that they differ.
pub fn free_addresses<const COUNT: usize>() -> Result<[SocketAddr; COUNT], ControlPlaneError> {
    let cannot = || file("a free port on 127.0.0.1");
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); COUNT];
    let mut held = Vec::with_capacity(COUNT);
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).map_err(cannot())?;
        *address = listener.local_addr().map_err(cannot())?;
        held.push(listener);
    }
    Ok(addresses)
}

/// Whether somebody listens on that port of loopback.
pub(crate) fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn free_addresses_differ_and_can_be_listened_on() {
        let addresses = free_addresses::<8>().unwrap();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 8);
        let listener = TcpListener::bind(addresses[0]).unwrap();
        assert!(is_taken(addresses[0].port()));
        drop(listener);
        assert!(!is_taken(addresses[0].port()));
    }
}
