//! The keys that there are, and what type each one takes: whatever the default settings have.

use toml::{Table, Value};

use super::{ConfigError, Settings};

/// The section whose keys are not ours but librdkafka's: any name, and every value a string.
pub(super) const PROPERTIES: &str = "kafka.properties";

/// Every key with its default, by section.
pub(super) fn known() -> Table {
    Table::try_from(Settings::default()).expect("settings have a form in TOML")
}

/// Checks the values of a layer against the known keys. A number or a boolean in the place of a
/// string becomes one, so that `"linger.ms" = 5` and `reply_partition = 3` need no quotes.
pub(super) fn fit(values: Table, known: &Table, origin: &str) -> Result<Table, ConfigError> {
    fit_table(values, known, "", origin)
}

/// The value of a variable, by the type of its key.
pub(super) fn parse(
    text: &str,
    known: &Value,
    key: &str,
    origin: &str,
) -> Result<Value, ConfigError> {
    match known {
        Value::Integer(_) => match text.trim().parse() {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => Err(wrong_type(format!("{text:?}"), known, key, origin)),
        },
        Value::Boolean(_) => match text.trim().parse() {
            Ok(is) => Ok(Value::Boolean(is)),
            Err(_) => Err(wrong_type(format!("{text:?}"), known, key, origin)),
        },
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(Value::from).collect()))
        }
        Value::Table(section) => Err(ConfigError::UnknownKey {
            key: key.to_owned(),
            origin: origin.to_owned(),
            known: names(section, key),
        }),
        _ => Ok(Value::from(text)),
    }
}

/// The key of that name in a section.
pub(super) fn find<'a>(
    name: &str,
    section: &'a Table,
    path: &str,
    origin: &str,
) -> Result<&'a Value, ConfigError> {
    section.get(name).ok_or_else(|| ConfigError::UnknownKey {
        key: join(path, name),
        origin: origin.to_owned(),
        known: names(section, path),
    })
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn fit_table(values: Table, known: &Table, path: &str, origin: &str) -> Result<Table, ConfigError> {
    let any_string = Value::String(String::new());
    let fitted = values.into_iter().map(|(name, value)| {
        let expected =
            if path == PROPERTIES { &any_string } else { find(&name, known, path, origin)? };
        let value = fit_value(value, expected, &join(path, &name), origin)?;
        Ok((name, value))
    });
    fitted.collect()
}

fn fit_value(value: Value, known: &Value, key: &str, origin: &str) -> Result<Value, ConfigError> {
    match (known, value) {
        (Value::Table(known), Value::Table(values)) => {
            Ok(Value::Table(fit_table(values, known, key, origin)?))
        }
        (Value::String(_), Value::Integer(number)) => Ok(Value::String(number.to_string())),
        (Value::String(_), Value::Boolean(choice)) => Ok(Value::String(choice.to_string())),
        (Value::Integer(_), Value::Integer(number)) if number < 0 => {
            Err(wrong_type(number.to_string(), known, key, origin))
        }
        (Value::Array(_), Value::Array(items)) if !items.iter().all(Value::is_str) => {
            Err(wrong_type("a list of other things".to_owned(), known, key, origin))
        }
        (known, value) if known.same_type(&value) => Ok(value),
        // Never the value itself, which may be a secret.
        (known, value) => Err(wrong_type(format!("a {}", value.type_str()), known, key, origin)),
    }
}

fn wrong_type(given: String, known: &Value, key: &str, origin: &str) -> ConfigError {
    let expected = match known {
        Value::Integer(_) => "a whole number, zero or more",
        Value::Array(_) => "a list of strings",
        Value::Table(_) => "a section",
        Value::Boolean(_) => "true or false",
        _ => "a string (put the value in quotes)",
    };
    ConfigError::Type { key: key.to_owned(), origin: origin.to_owned(), given, expected }
}

fn names(section: &Table, path: &str) -> String {
    if path == PROPERTIES {
        return "the properties of librdkafka".to_owned();
    }
    if section.is_empty() {
        return "no keys below that".to_owned();
    }
    let names: Vec<String> = section.keys().map(|name| format!("`{}`", join(path, name))).collect();
    names.join(", ")
}
