//! Values that applications give their handlers: states, one of each type for all requests; and
//! extensions, which layers put into the context of one request.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use antiphon_common::Status;

use super::{Extract, Parts};

/// The state of this type, which [`Router::with_state`](crate::Router::with_state) was given: a
/// clone for each request. A replier whose handlers need a state that it does not have does not
/// start.
#[derive(Debug, Clone, Copy)]
pub struct State<T>(pub T);

/// What a layer has put into the context of this request by
/// [`Context::insert`](crate::Context::insert). A request for which none has is answered with
/// `INTERNAL`.
#[derive(Debug, Clone, Copy)]
pub struct Extension<T>(pub T);

impl<T: Clone + Send + Sync + 'static> Extract for State<T> {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        let state = parts.state::<T>().cloned().map(Self);
        state.ok_or_else(|| Status::internal("the replier has no state that its handler needs"))
    }

    fn needs(needs: &mut Needs) {
        needs.state::<T>();
    }
}

impl<T: Clone + Send + Sync + 'static> Extract for Extension<T> {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        let given = parts.context.get::<T>().cloned().map(Self);
        given.ok_or_else(|| Status::internal("no layer has given the handler what it needs"))
    }
}

type Values = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// One value of each type, shared.
#[derive(Clone, Default)]
pub(crate) struct Extensions(Option<Arc<Values>>);

/// The states of a router.
pub(crate) type States = Extensions;

/// The states that a handler needs.
#[derive(Debug, Default)]
pub struct Needs(Vec<(TypeId, &'static str)>);

impl Extensions {
    /// Adds a value, in place of one of its type.
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.insert_shared(Arc::new(value));
    }

    pub(crate) fn insert_shared<T: Send + Sync + 'static>(&mut self, value: Arc<T>) {
        let values = Arc::make_mut(self.0.get_or_insert_default());
        values.insert(TypeId::of::<T>(), value);
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.get(&TypeId::of::<T>())?.downcast_ref()
    }

    pub(crate) fn shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(self.0.as_ref()?.get(&TypeId::of::<T>())?).downcast().ok()
    }

    /// The name of a type that is needed and not there.
    pub(crate) fn missing(&self, needs: &Needs) -> Option<&'static str> {
        let has = |id| self.0.as_ref().is_some_and(|values| values.contains_key(id));
        needs.0.iter().find(|(id, _)| !has(id)).map(|(_, name)| *name)
    }
}

impl Needs {
    /// Says that a state of this type is needed.
    pub fn state<T: 'static>(&mut self) {
        self.0.push((TypeId::of::<T>(), type_name::<T>()));
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.0.as_ref().map_or(0, |values| values.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_type_and_clones_do_not_change_each_other() {
        let mut first = Extensions::default();
        assert_eq!(first.get::<u8>(), None);
        first.insert(1_u8);
        first.insert("word");
        let mut second = first.clone();
        second.insert(2_u8);
        assert_eq!((first.get::<u8>(), second.get::<u8>()), (Some(&1), Some(&2)));
        assert_eq!(second.get::<&str>(), Some(&"word"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut needs = Needs::default();
        State::<u8>::needs(&mut needs);
        State::<String>::needs(&mut needs);
        let mut states = States::default();
        states.insert(1_u8);
        assert_eq!(states.missing(&needs), Some("alloc::string::String"));
        states.insert(String::new());
        assert_eq!(states.missing(&needs), None);
    }
}
