//! A node's configuration file: YAML, made from dotted keys.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Keys and their values, as they stand in the file.
#[derive(Debug, Clone, Default)]
pub struct NodeConfig {
    values: BTreeMap<String, String>,
}

impl NodeConfig {
    /// What every node under test has, whatever else a test sets: small files, so that a test crosses
    /// their boundaries, and a log without colours.
    pub fn for_tests() -> Self {
        let mut config = Self::default();
        config
            .set("storage.wal_segment_size_mb", "1")
            .set("storage.min_free_mb", "16")
            // Its default port is the same for every node.
            .set("http.bind_addr", "none")
            .set("logging.level", "info")
            .set("logging.format", "json");
        config
    }

    /// Sets a key; `value` is YAML.
    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        self.values.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same with this key set.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.set(key, value);
        self
    }

    /// The file's text. Keys have one section and a name.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        let mut current = "";
        for (key, value) in &self.values {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            if section != current {
                let _ = writeln!(text, "{section}:");
                current = section;
            }
            let _ = writeln!(text, "  {name}: {value}");
        }
        text
    }
}

/// The text of a file, as [`NodeConfig::to_yaml`] writes it, with another value of a key.
pub fn with_key(text: &str, key: &str, value: &str) -> String {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let mut config = NodeConfig::default();
    let mut current = "";
    for line in text.lines() {
        match line
            .strip_prefix("  ")
            .and_then(|line| line.split_once(": "))
        {
            Some((name, value)) => {
                config.set(&format!("{current}.{name}"), value);
            }
            None => current = line.trim_end_matches(':'),
        }
    }
    config.set(&format!("{section}.{name}"), value);
    config.to_yaml()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_written_file_is_replaced_or_added() {
        let config = NodeConfig::default()
            .with("storage.data_dir", "/d")
            .with("network.bind_addr", "\"a: b\"");
        let text = config.to_yaml();
        for (key, value) in [("storage.data_dir", "/e"), ("auth.required", "false")] {
            let changed = with_key(&text, key, value);
            assert_eq!(changed, config.clone().with(key, value).to_yaml());
        }
    }

    #[test]
    fn keys_are_grouped_by_section() {
        let config = NodeConfig::default()
            .with("storage.data_dir", "/d")
            .with("network.bind_addr", "127.0.0.1:1")
            .with("storage.min_free_mb", "1");
        assert_eq!(
            config.to_yaml(),
            "network:\n  bind_addr: 127.0.0.1:1\nstorage:\n  data_dir: /d\n  min_free_mb: 1\n"
        );
    }
}
