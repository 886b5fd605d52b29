//! What the environment sets: variables to keys and values, without access to the process's own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use toml::{Table, Value};

use super::load::Layer;
use super::{ConfigError, keys};

const PREFIX: &str = "ANTIPHON__";

/// What follows the prefix in the name of a variable that sets a client property.
const PROPERTIES: &str = "KAFKA__PROPERTIES__";

/// Says that the value is in a file.
const FILE: &str = "_FILE";

/// The properties of librdkafka whose own names end like [`FILE`].
const NAMED_FILE: [&str; 3] = [
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
];

/// The properties of librdkafka that have an underscore in their names.
const UNDERSCORED: [&str; 2] = ["log_level", "enabled_events"];

/// The variables that concern us, as text.
pub(super) fn of_this_process(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(invalid(&name, "is not UTF-8: write its value in UTF-8".to_owned())),
        })
        .collect()
}

/// One layer for each variable, in the order of their names. Secrets that are in files are read
/// by `read`.
pub(super) fn layers(
    variables: &BTreeMap<String, String>,
    known: &Table,
    read: impl Fn(&Path) -> io::Result<String>,
) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = Vec::new();
    let mut properties = BTreeMap::new();
    for (variable, text) in variables {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let origin = format!("the variable {variable}");
        let (path, value) = match name.strip_prefix(PROPERTIES) {
            Some(property) => {
                let (property, value) = read_property(variable, property, text, &read)?;
                if let Some(other) = properties.insert(property.clone(), variable) {
                    let problem = format!("sets `{property}`, and so does {other}: unset one");
                    return Err(invalid(variable, problem));
                }
                (vec!["kafka".to_owned(), "properties".to_owned(), property], Value::from(value))
            }
            None => key(name, text, known, &origin)?,
        };
        layers.push(Layer { origin, values: nested(&path, value) });
    }
    Ok(layers)
}

/// The key that a variable names, and its value.
fn key(
    name: &str,
    text: &str,
    known: &Table,
    origin: &str,
) -> Result<(Vec<String>, Value), ConfigError> {
    let segments: Vec<String> = name.to_lowercase().split("__").map(str::to_owned).collect();
    // What a key that is no section has inside.
    let nothing = Table::new();
    let mut section = known;
    let mut path = String::new();
    let mut found = None;
    for segment in &segments {
        let value = keys::find(segment, section, &path, origin)?;
        path = keys::join(&path, segment);
        section = match value {
            Value::Table(section) => section,
            _ => &nothing,
        };
        found = Some(value);
    }
    let found = found.expect("splitting yields at least one segment");
    let value = keys::parse(text, found, &path, origin)?;
    Ok((segments, value))
}

/// The client property that a variable names, and its value.
fn read_property(
    variable: &str,
    name: &str,
    text: &str,
    read: impl Fn(&Path) -> io::Result<String>,
) -> Result<(String, String), ConfigError> {
    let property = property_name(name);
    let in_file = name.strip_suffix(FILE).filter(|_| !NAMED_FILE.contains(&property.as_str()));
    let property = in_file.map_or(property, property_name);
    if property.split('.').any(str::is_empty) {
        let problem = "names no client property: write its name in capitals, with one underscore \
                       for each dot";
        return Err(invalid(variable, problem.to_owned()));
    }
    if in_file.is_none() {
        return Ok((property, text.to_owned()));
    }
    let secret = read(Path::new(text)).map_err(|error| {
        invalid(variable, format!("names the file {text}, which cannot be read: {error}"))
    })?;
    Ok((property, secret.trim_end_matches(['\r', '\n']).to_owned()))
}

fn property_name(name: &str) -> String {
    let name = name.to_lowercase();
    if name.contains('.') || UNDERSCORED.contains(&name.as_str()) {
        name
    } else {
        name.replace('_', ".")
    }
}

fn nested(path: &[String], value: Value) -> Table {
    match path {
        [] => Table::new(),
        [name] => Table::from_iter([(name.clone(), value)]),
        [name, rest @ ..] => Table::from_iter([(name.clone(), Value::Table(nested(rest, value)))]),
    }
}

fn invalid(variable: &str, problem: String) -> ConfigError {
    ConfigError::Variable { variable: variable.to_owned(), problem }
}
