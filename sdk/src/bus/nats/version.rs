//! Which versions of nats-server are too old.

/// The oldest servers without known security holes: in general, and in the 2.12 line.
const VERSION_FLOOR: [(u32, u32, u32); 2] = [(2, 14, 3), (2, 12, 12)];

/// Says so when this version has known security holes.
pub(super) fn warn_if_old(version: &str) {
    if is_old(version) {
        let [(major, minor, patch), older] = VERSION_FLOOR;
        tracing::warn!(
            version,
            "nats-server has known security holes: use {major}.{minor}.{patch} or newer, or {}.{}.{} in that line",
            older.0,
            older.1,
            older.2,
        );
    }
}

fn is_old(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map_while(|number| number.parse::<u32>().ok());
    let (Some(major), Some(minor), Some(patch)) = (numbers.next(), numbers.next(), numbers.next()) else {
        return false;
    };
    let [newest, older] = VERSION_FLOOR;
    let is_older_line = (major, minor) == (older.0, older.1);
    (major, minor, patch) < if is_older_line { older } else { newest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_security_holes_is_old() {
        let old = ["2.9.10", "2.12.11", "2.13.9", "2.14.2", "2.14.2-RC.1"];
        let good = ["2.12.12", "2.12.99", "2.14.3", "2.15.1", "3.0.0", "dev"];
        assert!(old.into_iter().all(is_old));
        assert!(!good.into_iter().any(is_old));
    }
}
