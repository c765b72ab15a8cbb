//! tokio-console's subscriber on twoply's tasks. This package is its test, and a package of its own because
//! the subscriber looks for a flag of the compiler's (`README.md` of `integrations/` says which).
