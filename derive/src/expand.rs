//! The impl of `Request` that comes out of the derive.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, LitStr, Path, Result, Type, parse_quote};

use crate::attribute::Request;
use crate::names;

/// The codecs that Antiphon brings, which need no import.
const OWN_CODECS: [&str; 3] = ["Json", "Raw", "Avro"];

/// Writes the impl for a type.
pub(crate) fn request(input: &DeriveInput) -> Result<TokenStream> {
    if let Data::Union(data) = &input.data {
        return Err(Error::new(
            data.union_token.span,
            "a union cannot be a request: nothing says which of its fields is to be sent; use a \
             struct or an enum",
        ));
    }
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "a request cannot be generic, because it stands for one topic and one endpoint: \
             implement `Request` by hand for each concrete type",
        ));
    }
    let Request { topic, reply, endpoint, codec, krate } = Request::read(input)?;

    let krate = krate.unwrap_or_else(|| parse_quote!(::antiphon));
    let endpoint = match endpoint {
        Some(endpoint) => endpoint,
        None => default_endpoint(input)?,
    };
    let codec = codec_type(codec, &krate);
    let name = &input.ident;
    let where_clause = &input.generics.where_clause;
    Ok(quote! {
        #[automatically_derived]
        impl #krate::Request for #name #where_clause {
            type Reply = #reply;
            type Codec = #codec;
            const TOPIC: &'static str = #topic;
            const ENDPOINT: &'static str = #endpoint;
        }
    })
}

fn default_endpoint(input: &DeriveInput) -> Result<LitStr> {
    let endpoint = names::kebab_case(&input.ident.unraw().to_string());
    names::check_endpoint(&endpoint).map_err(|_| {
        Error::new(
            input.ident.span(),
            "the type's name makes no endpoint of 1 to 128 bytes: add `endpoint = \"…\"`",
        )
    })?;
    Ok(LitStr::new(&endpoint, input.ident.span()))
}

/// The codec as written, except that a bare `Json`, `Raw` or `Avro` is Antiphon's.
fn codec_type(codec: Option<Type>, krate: &Path) -> TokenStream {
    let Some(codec) = codec else { return quote!(#krate::Json) };
    let own = match &codec {
        Type::Path(path) if path.qself.is_none() => path.path.get_ident(),
        _ => None,
    };
    match own {
        Some(own) if OWN_CODECS.iter().any(|known| own == known) => quote!(#krate::#own),
        _ => codec.into_token_stream(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(input: &DeriveInput) -> String {
        request(input).expect("a valid request").to_string()
    }

    #[test]
    fn defaults_are_the_facade_json_and_kebab_case() {
        let code = expanded(&parse_quote! {
            #[request(topic = "quotes", reply = Quote)]
            struct GetQuote { symbol: String }
        });
        assert!(code.contains("impl :: antiphon :: Request for GetQuote"), "{code}");
        assert!(code.contains("type Codec = :: antiphon :: Json"), "{code}");
        assert!(code.contains(r#"TOPIC : & 'static str = "quotes""#), "{code}");
        assert!(code.contains(r#"ENDPOINT : & 'static str = "get-quote""#), "{code}");
    }

    #[test]
    fn bare_names_of_codecs_are_antiphons_and_paths_are_the_users() {
        for (codec, written) in [
            (parse_quote!(Avro), ":: antiphon :: Avro"),
            (parse_quote!(Raw), ":: antiphon :: Raw"),
            (parse_quote!(self::Json), "self :: Json"),
            (parse_quote!(Framed<Json>), "Framed < Json >"),
            (parse_quote!(Mine), "Mine"),
        ] {
            let codec: Type = codec;
            let krate = parse_quote!(::antiphon);
            assert_eq!(codec_type(Some(codec), &krate).to_string(), written);
        }
    }

    #[test]
    fn a_renamed_crate_is_used_throughout() {
        let code = expanded(&parse_quote! {
            #[request(topic = "t", reply = (), endpoint = "e", crate = crate::deps::ap)]
            enum Ask { One, Two }
        });
        assert!(!code.contains("antiphon"), "{code}");
        assert!(code.contains("impl crate :: deps :: ap :: Request for Ask"), "{code}");
        assert!(code.contains("type Codec = crate :: deps :: ap :: Json"), "{code}");
    }
}
