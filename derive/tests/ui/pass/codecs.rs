//! Antiphon's codecs need no import and win over types of the same name in scope; others are
//! taken as written.

#[path = "../../stand_in/mod.rs"]
mod stand_in;

use stand_in::{Request, codec_is};

mod my {
    pub struct Codec;
    pub struct Framed<C>(pub C);
}

pub struct Json;

#[derive(Request)]
#[request(topic = "t", reply = (), codec = Json, crate = crate::stand_in)]
struct Antiphons;

#[derive(Request)]
#[request(topic = "t", reply = (), codec = self::Json, crate = crate::stand_in)]
struct Mine;

#[derive(Request)]
#[request(topic = "t", reply = (), codec = my::Codec, crate = crate::stand_in)]
struct Elsewhere;

#[derive(Request)]
#[request(topic = "t", reply = (), codec = my::Framed<Json>, crate = crate::stand_in)]
struct Wrapped;

fn main() {
    codec_is::<Antiphons, stand_in::Json>();
    codec_is::<Mine, Json>();
    codec_is::<Elsewhere, my::Codec>();
    codec_is::<Wrapped, my::Framed<Json>>();
}
