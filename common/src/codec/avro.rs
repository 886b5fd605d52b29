//! Avro payloads by apache-avro, with a schema that is derived from the Rust type.

mod layout;

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::ResolvedSchema;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{AvroSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, CodecError};

/// The most that apache-avro may allocate at once for a value that it decodes, in bytes. The
/// library's default of 512 MiB is meant for files; a Kafka record is rarely above 1 MiB.
const MAX_ALLOCATION: usize = 16 * 1024 * 1024;

/// Avro payloads: one bare datum, without a container, a header or a schema id.
///
/// Both sides must have the same schema, which is that of the Rust type: a bare datum says nothing
/// about the schema it was written with, and a field more or less makes it unreadable. Types of
/// the same name in different modules need different namespaces (`#[avro(namespace = "…")]`) to be
/// used in one payload.
///
/// A payload is refused if any byte follows the datum, if it nests records, arrays and maps more
/// than 128 levels deep, or if it has more than 65,536 array items that take no bytes at all.
/// The type's schema is derived and resolved once in the life of the process. At the first use
/// the limit on what apache-avro allocates for a value is set to 16 MiB for the whole process,
/// unless the program has set it before (`apache_avro::util::max_allocation_bytes`).
///
/// ```
/// use antiphon_common::{Avro, Codec};
/// use apache_avro::AvroSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
/// struct Quote {
///     symbol: String,
///     price: Option<f64>,
/// }
///
/// let quote = Quote { symbol: "ACME".to_owned(), price: None };
/// let mut payload = Vec::new();
/// Avro::encode(&quote, &mut payload)?;
/// assert_eq!(payload, b"\x08ACME\x00");
/// assert_eq!(<Avro as Codec<Quote>>::decode(&payload)?, quote);
/// # Ok::<(), antiphon_common::CodecError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Avro;

impl<T: Serialize + DeserializeOwned + AvroSchema + 'static> Codec<T> for Avro {
    /// No media type is registered for a bare datum. This is the usual one in practice; the
    /// specification's own `avro/binary` belongs to its protocol of remote calls over HTTP, where
    /// it means framed messages.
    const CONTENT_TYPE: &'static str = "application/avro";

    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        let form = Form::of::<T>().map_err(|problem| CodecError::encode("Avro", problem))?;
        form.writer
            .write_ser(into, value)
            .map(drop)
            .map_err(|error| CodecError::encode("Avro", error))
    }

    fn decode(payload: &[u8]) -> Result<T, CodecError> {
        let form = Form::of::<T>().map_err(|problem| CodecError::decode("Avro", problem))?;
        layout::check(form.schema, form.resolved.get_names(), payload)
            .map_err(|malformed| CodecError::decode("Avro", malformed))?;
        let mut rest = payload;
        let value =
            form.reader.read_deser(&mut rest).map_err(|error| CodecError::decode("Avro", error))?;
        // The datum fills the payload, but a type may want less than its schema has: an array of
        // three reads three items of however many there are.
        if !rest.is_empty() {
            return Err(CodecError::decode("Avro", layout::Malformed::Trailing(rest.len())));
        }
        Ok(value)
    }
}

/// What is known of a type's payloads: its schema, resolved for both directions.
struct Form {
    schema: &'static Schema,
    resolved: ResolvedSchema<'static>,
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
}

/// Every form that was ever needed. They are never freed, and there are at most as many as the
/// program has types; a schema that cannot be resolved is kept as its error.
static FORMS: RwLock<Option<HashMap<TypeId, &'static Result<Form, String>>>> = RwLock::new(None);

impl Form {
    /// The form of `T`, from the second call on without any work but a look-up.
    fn of<T: AvroSchema + 'static>() -> Result<&'static Self, &'static str> {
        let id = TypeId::of::<T>();
        let known = FORMS.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(form) = known.as_ref().and_then(|forms| forms.get(&id)) {
            return form.as_ref().map_err(String::as_str);
        }
        drop(known);

        // Under the lock, so that threads that meet a new type together resolve it once.
        let mut forms = FORMS.write().unwrap_or_else(PoisonError::into_inner);
        let form = forms.get_or_insert_default().entry(id).or_insert_with(|| {
            apache_avro::util::max_allocation_bytes(MAX_ALLOCATION);
            Box::leak(Box::new(Self::resolve(T::get_schema())))
        });
        form.as_ref().map_err(String::as_str)
    }

    fn resolve(schema: Schema) -> Result<Self, String> {
        let schema: &'static Schema = Box::leak(Box::new(schema));
        let unusable = |error| format!("the schema of the type cannot be resolved: {error}");
        let resolved = ResolvedSchema::new(schema).map_err(unusable)?;
        // Both sides need the same notion of how a value looks, whatever the process-wide default.
        let reader = GenericDatumReader::builder(schema)
            .resolved_writer_schemata(resolved.clone())
            .human_readable(false)
            .build()
            .map_err(unusable)?;
        let writer = GenericDatumWriter::builder(schema)
            .resolved_schemata(resolved.clone())
            .human_readable(false)
            .build()
            .map_err(unusable)?;
        Ok(Self { schema, resolved, reader, writer })
    }
}

#[cfg(test)]
mod tests;
