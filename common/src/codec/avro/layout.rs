//! Walks a datum by its schema before anything is made of it, so that a hostile payload cannot
//! exhaust the stack, the memory or the processor. It looks at lengths only, not at values.

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, NamesRef, UuidSchema};

/// How deep records, arrays and maps may nest: as deep as serde_json lets JSON nest. Only a type
/// that contains itself can reach it.
const MAX_DEPTH: u32 = 128;

/// How many array items may take no bytes. Nothing else bounds them: four bytes can announce
/// millions.
const MAX_EMPTY_ITEMS: u64 = 65_536;

/// Why a payload is not one datum of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the payload ends inside a value")]
    Truncated,
    #[error("a number does not fit 64 bits")]
    Overlong,
    #[error("a length is negative")]
    NegativeLength,
    #[error("a union has no branch {0}")]
    Branch(i64),
    #[error("values nest more than {MAX_DEPTH} levels deep")]
    TooDeep,
    #[error("arrays have more than {MAX_EMPTY_ITEMS} items that take no bytes")]
    TooManyEmptyItems,
    #[error("the value ends {0} bytes before the payload does; have both sides the same schema?")]
    Trailing(usize),
    #[error("the schema refers to a type that it does not define")]
    Unresolved,
}

/// Checks that a payload is one datum of a schema and nothing else.
pub(super) fn check(
    schema: &Schema,
    names: &NamesRef<'_>,
    payload: &[u8],
) -> Result<(), Malformed> {
    let mut walk = Walk { names, rest: payload, depth: 0, empty_items: 0 };
    walk.value(schema)?;
    match walk.rest.len() {
        0 => Ok(()),
        trailing => Err(Malformed::Trailing(trailing)),
    }
}

struct Walk<'a> {
    names: &'a NamesRef<'a>,
    rest: &'a [u8],
    depth: u32,
    empty_items: u64,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Schema) -> Result<(), Malformed> {
        match schema {
            Schema::Null => Ok(()),
            Schema::Boolean => self.skip(1),
            Schema::Float => self.skip(4),
            Schema::Double => self.skip(8),
            Schema::Int
            | Schema::Long
            | Schema::Date
            | Schema::TimeMillis
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos
            | Schema::Enum(_) => self.number().map(drop),
            Schema::Bytes
            | Schema::String
            | Schema::BigDecimal
            | Schema::Uuid(UuidSchema::String | UuidSchema::Bytes)
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Bytes, .. }) => {
                let length = self.number()?;
                self.skip(usize::try_from(length).map_err(|_| Malformed::NegativeLength)?)
            }
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed))
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => {
                self.skip(fixed.size)
            }
            Schema::Union(union) => {
                let branch = self.number()?;
                let variant =
                    usize::try_from(branch).ok().and_then(|branch| union.variants().get(branch));
                self.value(variant.ok_or(Malformed::Branch(branch))?)
            }
            Schema::Record(record) => self.nested(|walk| {
                record.fields.iter().try_for_each(|field| walk.value(&field.schema))
            }),
            Schema::Array(array) => self.nested(|walk| walk.blocks(|walk| walk.item(&array.items))),
            Schema::Map(map) => self.nested(|walk| {
                walk.blocks(|walk| {
                    walk.value(&Schema::String)?;
                    walk.value(&map.types)
                })
            }),
            Schema::Ref { name } => {
                let schema = self.names.get(name).ok_or(Malformed::Unresolved)?;
                self.value(schema)
            }
        }
    }

    fn item(&mut self, schema: &Schema) -> Result<(), Malformed> {
        let before = self.rest.len();
        self.value(schema)?;
        if self.rest.len() == before {
            self.empty_items += 1;
            if self.empty_items > MAX_EMPTY_ITEMS {
                return Err(Malformed::TooManyEmptyItems);
            }
        }
        Ok(())
    }

    /// The blocks of an array or a map: a count and as many entries, until a count of zero. A
    /// negative count is followed by the size of the block in bytes, which nobody needs here.
    fn blocks(
        &mut self,
        mut entry: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        loop {
            let count = self.number()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.number()?;
            }
            for _ in 0..count.unsigned_abs() {
                entry(self)?;
            }
        }
    }

    fn nested(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.depth == MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// A zigzag number of variable length: seven bits a byte, the least significant first.
    fn number(&mut self) -> Result<i64, Malformed> {
        let mut bits: u64 = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed::Truncated)?;
            self.rest = rest;
            bits |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        Err(Malformed::Overlong)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.rest = self.rest.get(bytes..).ok_or(Malformed::Truncated)?;
        Ok(())
    }
}
