//! Reads `#[request(…)]`, and reports every mistake in it at its place.

use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Error, LitStr, Path, Result, Type};

use crate::names;

/// What the attribute says; the required keys are there, and the names are legal.
pub(crate) struct Request {
    pub(crate) topic: LitStr,
    pub(crate) reply: Type,
    /// None stands for the type's name in kebab-case.
    pub(crate) endpoint: Option<LitStr>,
    /// None stands for `Json`.
    pub(crate) codec: Option<Type>,
    /// None stands for `::antiphon`.
    pub(crate) krate: Option<Path>,
}

#[derive(Default)]
struct Keys {
    topic: Option<LitStr>,
    reply: Option<Type>,
    endpoint: Option<LitStr>,
    codec: Option<Type>,
    krate: Option<Path>,
}

impl Request {
    /// Reads the attributes of a type. Mistakes that do not follow from each other are reported
    /// together, so that one compilation shows them all.
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let mut keys = Keys::default();
        let mut mistakes = Mistakes::default();
        let mut place = None;
        for attribute in input.attrs.iter().filter(|attr| attr.path().is_ident("request")) {
            place.get_or_insert_with(|| attribute.path().span());
            mistakes.note(keys.read(attribute));
        }
        let Some(place) = place else {
            return Err(Error::new(
                input.ident.span(),
                "a request needs its topic and its reply: add \
                 `#[request(topic = \"…\", reply = …)]` to the type",
            ));
        };
        // A key that could not be read would be reported as missing too, which helps nobody.
        mistakes.none()?;

        if keys.topic.is_none() {
            mistakes.add(Error::new(
                place,
                "the key `topic` is missing: add `topic = \"…\"`, the topic that the requests \
                 are sent to",
            ));
        }
        if keys.reply.is_none() {
            mistakes.add(Error::new(
                place,
                "the key `reply` is missing: add `reply = …`, the type of the reply",
            ));
        }
        mistakes.note(check(keys.topic.as_ref(), names::check_topic));
        mistakes.note(check(keys.endpoint.as_ref(), names::check_endpoint));
        mistakes.none()?;

        let Keys { topic, reply, endpoint, codec, krate } = keys;
        match (topic, reply) {
            (Some(topic), Some(reply)) => Ok(Self { topic, reply, endpoint, codec, krate }),
            _ => unreachable!("a missing key was reported above"),
        }
    }
}

impl Keys {
    fn read(&mut self, attribute: &Attribute) -> Result<()> {
        attribute.parse_nested_meta(|meta| {
            let Some(key) = meta.path.get_ident().map(ToString::to_string) else {
                return Err(unknown(&meta));
            };
            match key.as_str() {
                "topic" => set(&mut self.topic, &key, &meta, text),
                "reply" => set(&mut self.reply, &key, &meta, |meta| unquoted(meta)?.parse()),
                "endpoint" => set(&mut self.endpoint, &key, &meta, text),
                "codec" => set(&mut self.codec, &key, &meta, |meta| unquoted(meta)?.parse()),
                "crate" => set(&mut self.krate, &key, &meta, |meta| {
                    unquoted(meta)?.call(Path::parse_mod_style)
                }),
                _ => Err(unknown(&meta)),
            }
        })
    }
}

fn set<T>(
    key: &mut Option<T>,
    name: &str,
    meta: &ParseNestedMeta<'_>,
    read: impl FnOnce(&ParseNestedMeta<'_>) -> Result<T>,
) -> Result<()> {
    if key.is_some() {
        return Err(meta.error(format!("the key `{name}` is given twice: remove one of them")));
    }
    *key = Some(read(meta)?);
    Ok(())
}

fn text(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let value = value(meta)?;
    value.parse().map_err(|_| {
        value.error("expected a string literal: the name is checked when the program is compiled")
    })
}

/// The value of a key that is a type or a path, which other derives want in quotes.
fn unquoted<'a>(meta: &ParseNestedMeta<'a>) -> Result<ParseStream<'a>> {
    let value = value(meta)?;
    if value.peek(LitStr) {
        return Err(value.error("write the name without quotes"));
    }
    Ok(value)
}

fn value<'a>(meta: &ParseNestedMeta<'a>) -> Result<ParseStream<'a>> {
    meta.value().map_err(|_| meta.error("the key has no value: write `= …` behind it"))
}

fn unknown(meta: &ParseNestedMeta<'_>) -> Error {
    meta.error("unknown key: the known keys are `topic`, `reply`, `endpoint`, `codec` and `crate`")
}

fn check(
    literal: Option<&LitStr>,
    rule: impl FnOnce(&str) -> std::result::Result<(), String>,
) -> Result<()> {
    literal.map_or(Ok(()), |literal| {
        rule(&literal.value()).map_err(|problem| Error::new(literal.span(), problem))
    })
}

/// Mistakes that were found so far.
#[derive(Default)]
struct Mistakes(Option<Error>);

impl Mistakes {
    fn add(&mut self, mistake: Error) {
        match &mut self.0 {
            Some(first) => first.combine(mistake),
            None => self.0 = Some(mistake),
        }
    }

    fn note(&mut self, result: Result<()>) {
        if let Err(mistake) = result {
            self.add(mistake);
        }
    }

    fn none(&mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn messages(input: &DeriveInput) -> Vec<String> {
        match Request::read(input) {
            Ok(_) => Vec::new(),
            Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    #[test]
    fn keys_may_be_spread_over_attributes() {
        let request = Request::read(&parse_quote! {
            #[request(topic = "t", crate = crate)]
            #[serde(rename_all = "camelCase")]
            #[request(reply = Vec<u8>, codec = my::Codec)]
            struct A;
        })
        .expect("a complete request");
        assert_eq!(request.topic.value(), "t");
        assert!(request.endpoint.is_none());
        assert!(request.codec.is_some() && request.krate.is_some());
    }

    #[test]
    fn mistakes_are_reported_together() {
        let found = messages(&parse_quote! { #[request(endpoint = "")] struct A; });
        assert_eq!(found.len(), 3, "{found:?}");
        let found = messages(&parse_quote! {
            #[request(topics = "t")]
            #[request(reply = A, reply = B)]
            struct A;
        });
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("unknown key"), "{found:?}");
        assert!(found[1].starts_with("the key `reply` is given twice"), "{found:?}");
    }
}
