//! One configuration, and what all cores have made of it together. A reload makes another.
use crate::{auth::Guard, error::StartError, options::Options, tls::Keys, trust::Trust};
use std::sync::Arc;

/// Shared by the cores of a server until its options change.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) options: Arc<Options>,
    /// Only where the server speaks TLS.
    pub(crate) keys: Option<Keys>,
    /// Only where a site asks for passwords.
    pub(crate) guard: Option<Arc<Guard>>,
    /// The proxies that are believed when they say who the client is.
    pub(crate) trust: Trust,
}

impl Setup {
    /// Reads what the options name. Sessions of the setup `before` can be resumed under this one.
    pub(crate) fn open(options: Options, before: Option<&Setup>) -> Result<Arc<Setup>, StartError> {
        let keys = Keys::open(&options.tls, before.and_then(|setup| setup.keys.as_ref()))?;
        let guard = Guard::open(&options)?.map(Arc::new);
        let trust = Trust::of(&options.trust_proxy);
        Ok(Arc::new(Setup { options: Arc::new(options), keys, guard, trust }))
    }
}
