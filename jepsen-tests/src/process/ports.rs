//! Ports for nodes.

mod unused;

use crate::Error;

/// A port that is free now and that no other test gets; see the module `unused`.
///
/// # Errors
/// When every port of the range is in use, or the files cannot be made that say which are.
pub fn free() -> Result<u16, Error> {
    let port = unused::unused().map_err(Error::io("the folder of locked ports"))?;
    port.ok_or_else(|| Error::Binaries(format!("no free port in {:?}", unused::RANGE)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;
    use std::fs::File;

    use super::*;

    #[test]
    fn a_port_is_given_out_once_and_other_processes_see_its_lock() {
        let ports = [(); 20].map(|()| free().unwrap());
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
        let folder = std::env::temp_dir().join("rstmdb-test-ports");
        for port in ports {
            // A lock belongs to the open file, so this is what another process would see.
            let file = File::open(folder.join(port.to_string())).unwrap();
            assert!(file.try_lock().is_err(), "{port}");
        }
    }
}
